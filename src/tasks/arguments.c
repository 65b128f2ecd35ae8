/* Arguments of functions that are called by METH_FASTCALL. */
#include "arguments.h"

/* Index of the parameter called `name`, or -1. */
static int
find(const arguments_spec *spec, PyObject *name)
{
    for (int i = 0; i < spec->max; i++) {
        if (PyUnicode_CompareWithASCIIString(name, spec->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int
arguments_unpack(const arguments_spec *spec, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *kwnames, PyObject **out)
{
    Py_ssize_t keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    if (nargs > spec->max) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %d argument%s (%zd given)",
                     spec->function, spec->max, spec->max == 1 ? "" : "s",
                     nargs + keywords);
        return -1;
    }
    for (Py_ssize_t i = 0; i < spec->max; i++) {
        out[i] = i < nargs ? args[i] : NULL;
    }
    for (Py_ssize_t k = 0; k < keywords; k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        int i = find(spec, name);
        if (i < 0) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument '%U'",
                         spec->function, name);
            return -1;
        }
        if (out[i] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got multiple values for argument '%U'",
                         spec->function, name);
            return -1;
        }
        out[i] = args[nargs + k];
    }
    for (int i = 0; i < spec->min; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() missing required argument '%s'",
                         spec->function, spec->names[i]);
            return -1;
        }
    }
    return 0;
}

int
arguments_only_positional(const char *function, Py_ssize_t min,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    if (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0) {
        PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments",
                     function);
        return -1;
    }
    if (nargs < min) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at least %zd argument%s (%zd given)",
                     function, min, min == 1 ? "" : "s", nargs);
        return -1;
    }
    return 0;
}
