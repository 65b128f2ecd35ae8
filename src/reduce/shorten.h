/* Shorter pickles that mean the same.
 *
 * pickle's own pickler numbers each object that it saves, though few of them
 * are met again; names each function with three operations in place of one;
 * and puts frames around small pickles.
 */
#ifndef PICKLETASK_REDUCE_SHORTEN_H
#define PICKLETASK_REDUCE_SHORTEN_H

#include "interp/interp.h"

/* 0, or -1 with an exception. */
int shorten_setup(PyObject *module);

#endif
