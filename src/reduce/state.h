/* Suspended frames as plain, picklable state, and back.
 *
 * The normal form is the same for every version of CPython, and compact
 * (compact.h): bytes, and the objects behind them.
 *
 *   fiber      FORMAT frame frame ...                    innermost first
 *   generator  FORMAT frame
 *
 * FORMAT is a byte: 32 times STATE_FORMAT and the minor version of Python.  In
 * the bytes of a fiber, one of its owner's comes before it, and items of the
 * owner's before those of the frames.  A frame is
 *
 *   bytes      flags [digest] pc [place] nulls [special ...]
 *   items      head [path] [generator] [exception] [namespace] value ...
 *
 * flags says what is there, by the bits FRAME_...  head is a function that has
 * the frame's code and globals, or what code by reference begins with; digest
 * and path are the rest of the reference.  In a generator the head may be all
 * of a reference, a tuple.  pc is the code unit of the pending instruction;
 * by reference, its place follows (references.h).  nulls is a number whose
 * bits say which slots are empty, with a bit more above the last slot.
 *
 * The values are those of the local variables and then of the value stack,
 * without the operands that the pending instruction has used up.  A special is
 * a slot whose value isn't there as it is: a number, eight times the slot,
 * twice its kind, and 1 if another one follows, in the order of the slots:
 *
 *   SPECIAL_SAME     slot        the value of that earlier slot
 *   SPECIAL_LOOP                 an iterator over: items sequence, index
 *   SPECIAL_LOOP_IN  slot        over that slot's value: item index
 *   SPECIAL_RANGE                over a range: items next one, step, how many
 *
 * The exception is the one that is being handled: by a generator, or, with the
 * outermost frame, outside of all of them.  A namespace is that of a frame of
 * code that is not that of a function.  A generator is one that runs in the
 * fiber, in this frame.
 *
 * C code between two frames is written as a frame of a bridge (bridge.h), like
 * one of any other function.
 *
 * A generator whose frame belongs to a fiber is pickled as an empty one; the
 * fiber fills it when it is rebuilt.  Alone it is an exhausted generator.
 *
 * capture.c writes this, rebuild.c reads it, in the same order.  Nothing of it
 * is trusted: rebuilding checks every slot against what the bytecode needs
 * before it changes anything.  Format 2 and 1 had tuples in place of bytes:
 *
 *   fiber      (format, exception, frame, frame, ...)
 *   generator  (format, frame's parts ...)
 *   frame      (head, pc, nulls, extra, value, ...)
 *
 * where nulls is an int of bits, or bytes if there are more than 60 slots, and
 * extra is None, the namespace, or (generator, exception).
 */
#ifndef PICKLETASK_REDUCE_STATE_H
#define PICKLETASK_REDUCE_STATE_H

#include "fiber/fiber.h"

#define STATE_FORMAT 3
/* The last one of tuples, and the oldest one that we read: in it no frame
 * waits below C code. */
#define STATE_TUPLES 2
#define STATE_OLDEST 1
/* Slots that fit into an int of bits. */
#define STATE_SMALL 60

enum { STATE_MINORS = 32 };

/* Flags of a frame. */
enum {
    FRAME_REFERENCE = 1,    /* head and digest are a reference to code */
    FRAME_PATH = 2,         /* with a path */
    FRAME_GENERATOR = 4,
    FRAME_EXCEPTION = 8,
    FRAME_NAMESPACE = 16,
    FRAME_SPECIALS = 32,
    FRAME_PLACE = 64
};

typedef enum {
    SPECIAL_SAME, SPECIAL_LOOP, SPECIAL_LOOP_IN, SPECIAL_RANGE
} special_kind;

/* Where the parts of tuples are. */
enum { FIBER_FORMAT, FIBER_EXCEPTION, FIBER_FRAMES };
enum { OLD_HEAD, OLD_PC, OLD_NULLS, OLD_EXTRA, OLD_VALUES };
/* A generator's state is a frame behind the format number. */
enum { GENERATOR_FORMAT, GENERATOR_FRAME };

/* ---- capture.c: only reads --------------------------------------------- */

/* A suspended fiber, behind a byte and items of its owner's. New reference, or
 * NULL with NotPicklableError. */
PyObject *capture_fiber(fiber *f, int by_reference, unsigned char first,
                        PyObject *const *own, int count);

/* A generator, coroutine or asynchronous generator, reduced for pickle. New
 * reference, or NULL with an exception. */
PyObject *capture_generator(PyObject *gen, int by_reference);

/* ---- rebuild.c --------------------------------------------------------- */

/* Makes new fiber f soft with frames from such a state, in which there are so
 * many items of the owner's. 0, or -1 with CorruptStateError or what else is
 * wrong, and nothing changed. */
int rebuild_fiber(fiber *f, PyObject *state, int count);

/* The same from a state of tuples. */
int rebuild_old_fiber(fiber *f, PyObject *state);

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

/* Suspends an empty generator in a state. 0, or -1 with an exception, and
 * nothing changed. */
int rebuild_generator(PyObject *gen, PyObject *state);

int state_setup(PyObject *module);

#endif
