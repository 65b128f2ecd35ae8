/* Long chains of generators, each of which resumes the next.
 *
 * A pickler recurses from each to the next.  So that it never gets far before
 * it meets one that it knows, some have milestones before their state: others
 * further on, the innermost first.  These may refer to the generator, which
 * is made before its state.
 */
#ifndef PICKLETASK_REDUCE_MILESTONES_H
#define PICKLETASK_REDUCE_MILESTONES_H

#include "interp/interp.h"

/* The state of a suspended generator, stolen, or a pair of its milestones and
 * the state. New reference, or NULL with an exception. */
PyObject *milestones_add(PyObject *state, PyGenObject *gen);

/* The state in what that gave. Borrowed. */
PyObject *milestones_skip(PyObject *state);

#endif
