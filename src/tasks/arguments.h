/* Arguments of functions that are called by METH_FASTCALL | METH_KEYWORDS.
 *
 * All functions that switch are, because the fiber layer finds what a caller
 * pushed by where its arguments are.
 */
#ifndef PICKLETASK_ARGUMENTS_H
#define PICKLETASK_ARGUMENTS_H

#include <Python.h>

typedef struct {
    const char *function;       /* for messages */
    int min, max;               /* how many, at least and at most */
    const char *names[4];       /* max of them */
} arguments_spec;

/* Stores the arguments in out[0 .. spec->max), NULL for those not given; all
 * borrowed.  0, or -1 with TypeError. */
int arguments_unpack(const arguments_spec *spec, PyObject *const *args,
                     Py_ssize_t nargs, PyObject *kwnames, PyObject **out);

/* The same for functions of at most one parameter, as fast as it gets. */
static inline int
arguments_unpack_one(const arguments_spec *spec, PyObject *const *args,
                     Py_ssize_t nargs, PyObject *kwnames, PyObject **out)
{
    if (kwnames == NULL && nargs >= spec->min && nargs <= spec->max) {
        *out = nargs == 1 ? args[0] : NULL;
        return 0;
    }
    return arguments_unpack(spec, args, nargs, kwnames, out);
}

/* 0 if there are no keyword arguments and at least `min` others, else -1 with
 * TypeError. */
int arguments_only_positional(const char *function, Py_ssize_t min,
                              Py_ssize_t nargs, PyObject *kwnames);

#endif
