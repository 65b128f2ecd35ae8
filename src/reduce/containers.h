/* Iterators of dicts and sets that stay with what they go over.
 *
 * The iterator of a dict is reduced to the dict and how many entries come
 * before it.  A dict is loaded with its entries in the same order, so that
 * this says where it stands, also if the dict is filled only afterwards.
 *
 * A set is loaded in another order.  What takes the place of its iterator has
 * a list of what is left, and looks at the set only for its size.
 */
#ifndef PICKLETASK_REDUCE_CONTAINERS_H
#define PICKLETASK_REDUCE_CONTAINERS_H

#include "interp/interp.h"

/* Adds the reducers, and _DICT_ITERATORS: the types that one of them is
 * for. 0, or -1 with an exception. */
int containers_setup(PyObject *module);

#endif
