/* The layer that pickles: what module.c knows of it. */
#ifndef PICKLETASK_REDUCE_REDUCE_H
#define PICKLETASK_REDUCE_REDUCE_H

#include "interp/interp.h"

/* Adds the reducers and exceptions to the module. 0, or -1 with an
 * exception. */
int reduce_setup(PyObject *module);

#endif
