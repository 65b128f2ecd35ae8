/* The iterators of itertools, where CPython doesn't pickle them itself.
 *
 * An iterator is reduced to its type, the arguments that make a new one, and
 * a state of what no argument says.  Setting the state checks all of it first:
 * these types trust their fields.
 */
#ifndef PICKLETASK_REDUCE_ITERATORS_H
#define PICKLETASK_REDUCE_ITERATORS_H

#include "interp/interp.h"

/* Adds the reducer, and _ITERATORS: the types that it is for. 0, or -1 with
 * an exception. */
int iterators_setup(PyObject *module);

#endif
