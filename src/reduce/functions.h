/* Functions by value, for those that no name finds.
 *
 * A function is (packed code, home) and what its code doesn't say: its
 * closure, defaults and attributes.  home is the name of the module whose dict
 * its globals are, or the dict itself.  Of the function of a frame only code
 * and globals count.
 */
#ifndef PICKLETASK_REDUCE_FUNCTIONS_H
#define PICKLETASK_REDUCE_FUNCTIONS_H

#include "interp/interp.h"

int functions_setup(PyObject *module);

/* Does its module's dict find this very function by its qualified name? 1 or
 * 0, or -1 with an exception. */
int functions_importable(PyObject *function);

/* What __reduce_ex__ of a function would return. New reference, or NULL with
 * an exception. */
PyObject *functions_reduce(PyObject *function);

/* The same with its code by reference. */
PyObject *functions_refer(PyObject *function);

/* What a pickler's reducer_override returns for a function: its qualified name
 * if that finds it, else what makes it anew. New reference, or NULL with an
 * exception. */
PyObject *functions_override(PyObject *function, int by_reference);

/* A function with this code and these globals, as a frame needs one: shared,
 * safe to be called. New reference, or NULL with an exception. */
PyObject *functions_of(PyCodeObject *code, PyObject *globals);

/* What __reduce_ex__ would return for the function of a frame. */
PyObject *functions_reduce_head(PyObject *code, PyObject *globals);

/* The same with its code by reference. */
PyObject *functions_refer_head(PyObject *code, PyObject *globals);

/* A copy of a function that has a closure, with cells of its own, entered into
 * deepcopy's memo. New reference, or NULL with an exception. */
PyObject *functions_copy(PyObject *function, PyObject *memo);

#endif
