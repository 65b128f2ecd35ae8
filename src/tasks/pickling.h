/* Tasklets and channels as pickle sees them.
 *
 *   tasklet    (bytes, [tempval], [channel], [attributes], ...)
 *   channel    (direction, preference, flags, waiting, attributes)
 *
 * The first of the bytes has a tasklet's flags, which say what is there.  Then
 * comes what the fiber layer's pickling makes of a suspended fiber, bytes and
 * items; or func, args, kwargs of a tasklet that has not started; or nothing.
 * The attributes are those of an instance of a subclass; a channel has None if
 * it is no such instance.  Format 2 and 1 had for a tasklet
 *
 *   (flags, tempval, channel, frames, (func, args, kwargs), attributes)
 *
 * where what doesn't apply is None.
 *
 * A loaded tasklet belongs to the thread that first uses it.  One that was in
 * the run queue is paused; one that was blocked waits at its channel again.
 * The two refer to one another, and either may be complete first: a channel
 * keeps the tasklets of its queue aside until the last of them has its frames.
 */
#ifndef PICKLETASK_TASKS_PICKLING_H
#define PICKLETASK_TASKS_PICKLING_H

#include <Python.h>

int pickling_setup(PyObject *module);

/* Methods of tasklet. */
PyObject *pickling_reduce_tasklet(PyObject *self, PyObject *protocol);
PyObject *pickling_set_tasklet(PyObject *self, PyObject *state);
PyObject *pickling_copy_tasklet(PyObject *self, PyObject *noargs);

/* _context_of(tasklet): its own context, or None. */
PyObject *pickling_context(PyObject *module, PyObject *object);

/* Methods of channel. */
PyObject *pickling_reduce_channel(PyObject *self, PyObject *protocol);
PyObject *pickling_set_channel(PyObject *self, PyObject *state);

PyDoc_STRVAR(pickling_reduce_tasklet_doc,
"__reduce_ex__($self, protocol, /)\n--\n\n"
"Reduce a tasklet that is not running for pickle or copy.\n\n"
"A blocked tasklet takes along its channel and all others that wait there.\n"
"Raises RuntimeError for the current and the main tasklet, and\n"
"NotPicklableError for one that stands inside of C code.  The tasklet stays\n"
"as it was.");
PyDoc_STRVAR(pickling_set_tasklet_doc,
"__setstate__($self, state, /)\n--\n\n"
"Give a new tasklet a saved state: it is paused, or blocked as it was.\n\n"
"Raises RestoreError if the state can't be restored here, and RuntimeError\n"
"if the tasklet is alive.");
PyDoc_STRVAR(pickling_copy_tasklet_doc,
"__copy__($self, /)\n--\n\n"
"Refuse: two tasklets can't go on with the same frames.\n\n"
"Raises TypeError; copy.deepcopy() copies a tasklet.");
PyDoc_STRVAR(pickling_reduce_channel_doc,
"__reduce_ex__($self, protocol, /)\n--\n\n"
"Reduce a channel with the tasklets that wait there, for pickle or copy.");
PyDoc_STRVAR(pickling_set_channel_doc,
"__setstate__($self, state, /)\n--\n\n"
"Give a new channel a saved state.");

#endif
