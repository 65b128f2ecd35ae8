/* Suspended frames as plain, picklable state, and back.
 *
 * The normal form is the same for every version of CPython:
 *
 *   fiber      (FORMAT, exception, frame, frame, ...)   innermost first
 *   frame      (head, pc, nulls, extra, value, ...)
 *   generator  (FORMAT, head, pc, nulls, exception, value, ...)
 *
 * head is a function that has the frame's code and globals, or a reference to
 * code.  pc is the code unit of the pending instruction, or, with a reference,
 * its place (references.h).  The values are those of the local variables and
 * then of the value stack, without the operands that the pending instruction
 * has used up; nulls says which of these slots are empty: an int of bits, or
 * bytes if there are more than 60 slots.  exception is the one being handled,
 * or None.
 *
 * extra is None; or the namespace, of a frame of code that is not that of a
 * function; or (generator, exception), of a frame of a generator that runs in
 * the fiber.
 *
 * C code between two frames is written as a frame of a bridge (bridge.h), like
 * one of any other function.
 *
 * A generator whose frame belongs to a fiber is pickled as an empty one; the
 * fiber fills it when it is rebuilt.  Alone it is an exhausted generator.
 *
 * capture.c writes this, rebuild.c reads it, in the same order.  Nothing of it
 * is trusted: rebuilding checks every slot against what the bytecode needs
 * before it changes anything.
 */
#ifndef PICKLETASK_REDUCE_STATE_H
#define PICKLETASK_REDUCE_STATE_H

#include "fiber/fiber.h"

#define STATE_FORMAT 2
/* The oldest one that we read: in it no frame waits below C code. */
#define STATE_OLDEST 1
/* Slots that fit into an int of bits. */
#define STATE_SMALL 60

/* Where the parts are. */
enum { FIBER_FORMAT, FIBER_EXCEPTION, FIBER_FRAMES };
enum { FRAME_HEAD, FRAME_PC, FRAME_NULLS, FRAME_EXTRA, FRAME_VALUES };
/* A generator's state is a frame behind the format number. */
enum { GENERATOR_FORMAT, GENERATOR_FRAME };

/* ---- capture.c: only reads --------------------------------------------- */

/* A suspended fiber. New reference, or NULL with NotPicklableError. */
PyObject *capture_fiber(fiber *f, int by_reference);

/* A generator, coroutine or asynchronous generator, reduced for pickle. New
 * reference, or NULL with an exception. */
PyObject *capture_generator(PyObject *gen, int by_reference);

/* ---- rebuild.c --------------------------------------------------------- */

/* Makes new fiber f soft with frames from such a state. 0, or -1 with
 * CorruptStateError or what else is wrong, and nothing changed. */
int rebuild_fiber(fiber *f, PyObject *state);

/* What asynchronous generators know beside their frames: a sum of these. */
enum {
    REBUILD_PLAIN,
    REBUILD_CLOSED,         /* it has ended, or is about to */
    REBUILD_STEPPED,        /* a step has begun and not ended */
    REBUILD_STATES = 4
};

/* An empty generator of a function or code object. `name` and `qualname` may
 * be NULL. New reference, or NULL with an exception. */
PyObject *rebuild_new_generator(PyObject *head, PyObject *name,
                                PyObject *qualname, int state);

/* 0 if this is a format number that we read; -1 with an exception. */
int rebuild_check_format(PyObject *format);

/* Suspends an empty generator in a state. 0, or -1 with an exception, and
 * nothing changed. */
int rebuild_generator(PyObject *gen, PyObject *state);

int state_setup(PyObject *module);

#endif
