/* Type parameters and type aliases as plain state.
 *
 * Pickle knows them by their names only, which find none of those that stand
 * in brackets.  What their bounds, constraints, defaults and values are is
 * told by functions that run when somebody asks: the state has these, and
 * the answers given so far.
 */
#ifndef PICKLETASK_REDUCE_TYPEVARS_H
#define PICKLETASK_REDUCE_TYPEVARS_H

#include "interp/interp.h"

/* Adds the functions that take the state and set it, and _TYPE_PARAMS: the
 * types that they are for, none before 3.12. 0, or -1 with an exception. */
int typevars_setup(PyObject *module);

#endif
