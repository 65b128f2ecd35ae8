/* What pickletask's own picklers do with an object before pickle looks at it.
 *
 * A pickler's reducer_override is asked about every object that is no plain
 * value.  So this finds the few kinds that matter by their types, and leaves
 * the others to pickle as fast as it can.  There is a function for each of the
 * two ways to save code.
 *
 * pickletask/pickling.py has the options that need Python code.
 */
#ifndef PICKLETASK_REDUCE_OVERRIDE_H
#define PICKLETASK_REDUCE_OVERRIDE_H

#include "interp/interp.h"

/* Adds the functions, and _REDUCERS: a dict for the reducers that copyreg is
 * given. Comes after the setup of tasklets. 0, or -1 with an exception. */
int override_setup(PyObject *module);

#endif
