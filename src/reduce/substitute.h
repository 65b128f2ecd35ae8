/* Stand-ins that pickle as what they stand for.
 *
 * pickle never asks copyreg about functions, and cloudpickle, dill and
 * multiprocessing have reducers of their own for cells, code and modules'
 * dicts.  So capture does not put such objects into its plain state, but a
 * substitute for each, whose __reduce_ex__ says how to make the object anew.
 * While a substitute lives, there is no second one for the same object, and
 * so a pickler's memo keeps the object's identity.
 *
 * What is loaded is the object itself: substitutes never reach a pickle.
 */
#ifndef PICKLETASK_REDUCE_SUBSTITUTE_H
#define PICKLETASK_REDUCE_SUBSTITUTE_H

#include "interp/interp.h"

int substitute_setup(PyObject *module);

/* The value, or its substitute if it needs one. New reference, or NULL with
 * an exception. */
PyObject *substitute_for(PyObject *value);

/* A substitute for the function of a frame: all that counts of it are its
 * code and globals. New reference, or NULL with an exception. */
PyObject *substitute_head(PyObject *code, PyObject *globals);

#endif
