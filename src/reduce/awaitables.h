/* What asend(), athrow() and aclose() return, as plain state.
 *
 * It is loaded as one that is closed, and has no generator yet: the generator
 * may hold it.  The state (generator, state, argument, ...) comes afterwards.
 */
#ifndef PICKLETASK_REDUCE_AWAITABLES_H
#define PICKLETASK_REDUCE_AWAITABLES_H

#include "interp/interp.h"

/* What makes an empty asynchronous generator like this one, which is closed,
 * or of which a step is under way. Borrowed; NULL if it's neither, or no
 * asynchronous one. */
PyObject *awaitables_maker(PyGenObject *gen);

/* What such a maker makes of (head[, name, qualname]) and the state
 * (REBUILD_...). New reference, or NULL with an exception. */
PyObject *awaitables_make_generator(PyObject *args, int state);

/* Adds the reducer, and _AWAITABLES: the types that it is for. 0, or -1 with
 * an exception. */
int awaitables_setup(PyObject *module);

#endif
