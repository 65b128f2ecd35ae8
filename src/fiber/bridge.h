/* Bridges: Python frames in the place of C code.
 *
 * Where C code stands between two Python frames, it has something left to do
 * when the inner one returns: to check the result, to try something else, or
 * to throw it away.  A function of pickletask/_bridges.py does the same in
 * Python.  A frame of it, linked between the two, makes the chain one of
 * Python frames alone, which can be soft, written down and resumed like any
 * other:
 *
 *      outer <- [C code] <- inner          outer <- bridge <- inner
 *
 * Such a frame waits in the first call that the function makes.  It is not
 * seen from Python, as the C code isn't: tracebacks, f_back and tracers pass
 * over a frame whose code has no RESUME instruction.
 */
#ifndef PICKLETASK_BRIDGE_H
#define PICKLETASK_BRIDGE_H

#include "interp/analysis.h"
#include "interp/interp.h"

typedef enum {
    BRIDGE_NONE,
    BRIDGE_INIT,
    BRIDGE_NEW,
    BRIDGE_DEFAULT,
    BRIDGE_CLOSE,
    BRIDGE_ATTRIBUTE,
    BRIDGE_FETCHED,
    BRIDGE_FOUND,
    BRIDGE_NOTHING,
    BRIDGE_CONVERSION,
    BRIDGE_OPERATION,
    BRIDGE_COMPARISON,
    BRIDGE_CONDITION,
    BRIDGE_MEMBERSHIP,
    BRIDGE_TRUTH,
    BRIDGE_ITERATOR,
    BRIDGE_STEPS,
    BRIDGE_APPLIED,
    BRIDGE_MAPPED,
    BRIDGE_FILTERED,
    BRIDGE_ZIPPED,
    BRIDGE_COUNTED,
    BRIDGE_CLASS,
    BRIDGE_FINISH,
    BRIDGE_CLOSE_STEP,
    BRIDGE_CLOSING,
    BRIDGE_CONTEXT,
    BRIDGE_METACLASS,
    BRIDGE_INSTEAD,
    BRIDGE_DERIVED_CLASS,
    /* Those of imports, which no restricted load takes. */
    BRIDGE_IMPORTING,
    BRIDGE_IMPORTED,
    BRIDGE_INSIDE,
    BRIDGE_SUBMODULES,
    BRIDGE_ENTERING,
    BRIDGES
} bridge_kind;

/* Parameters that a bridge has at most. */
#define BRIDGE_VALUES 4

typedef struct {
    PyObject *function;     /* owned */
    PyCodeObject *code;     /* the function's */
    int pc, oparg, next;    /* of the call that is pending */
    int values;             /* parameters: the first local variables */
} bridge;

/* What is known of a kind. Borrowed. */
const bridge *bridge_get(bridge_kind kind);

/* The bridge that has this code. Borrowed, or NULL. */
const bridge *bridge_of(PyCodeObject *code);

/* Is it one of the functions of pickletask/_bridges.py, be it a bridge or what
 * these call? */
int bridge_is_own(PyObject *function);

/* May a frame of such a function wait at pc, if a restricted load brings it?
 * Only where the function, whatever it gets there, doesn't call it or look
 * something up in it: see pickletask/_bridges.py. */
int bridge_may_wait(const analysis *a, PyCodeObject *code, int pc);

/* Makes an empty frame of the bridge's function. Can't fail. The caller puts
 * the parameters into the local variables, which are no values until then,
 * and links the frame. */
void bridge_begin(const bridge *b, iframe *f);

/* A generator of the bridge's function that is empty, as an ended one is. New
 * reference, or NULL with an exception. */
PyObject *bridge_generator(const bridge *b);

/* Imports the functions. 0, or -1 with an exception. */
int bridge_setup(PyObject *module);

#endif
