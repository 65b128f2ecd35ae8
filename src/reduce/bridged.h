/* Bridges of restricted loads: do they stand for C code that could be there?
 *
 * The frame of a bridge (bridge.h) does by itself what C code would have done
 * for the frames around it.  A pickle that was forged could have one do what
 * no frame of it asks for: read another attribute, make a class of anything,
 * call the __init__ of an object that it may not name.  So where that matters,
 * the next outer frame and the next inner one have to say the same as the
 * bridge's parameters.  What else it does is checked by the bridge itself.
 */
#ifndef PICKLETASK_REDUCE_BRIDGED_H
#define PICKLETASK_REDUCE_BRIDGED_H

#include "interp/interp.h"

/* Where the frame of a bridge stands. All borrowed. */
typedef struct {
    int pc;
    PyObject *const *slots;     /* its parameters come first */
    PyCodeObject *outer;        /* of the frame that waits for it, */
    int opcode, oparg;          /* in this instruction */
    PyObject *const *values;    /* of that frame, */
    int count;                  /* so many */
    PyCodeObject *inner;        /* of the frame it waits for; or NULL */
    PyObject *space;            /* the namespace of that frame, or NULL */
} bridged_place;

/* Does a frame of pickletask/_bridges.py with this code belong there? Runs no
 * Python code. */
int bridged_belongs(PyCodeObject *code, const bridged_place *place);

#endif
