/* Distances on the C stack between an interpreter loop and the next inner one,
 * which the instruction pending in the outer one has begun.
 *
 * That an operand is the right generator or function doesn't prove that the
 * pending instruction itself runs it: a finaliser could.  The C functions on
 * the direct way have frames of a fixed size in a given build, so the distance
 * proves it.  The distances are measured once, at import, over every way the
 * interpreter has (specialised or not; traced, profiled, or neither), by
 * running pickletask/_distances.py.
 */
#ifndef PICKLETASK_DISTANCE_H
#define PICKLETASK_DISTANCE_H

#include "interp/interp.h"

/* Measures. 0, or -1 with an exception. */
int distance_setup(PyObject *module);

/* Ways from one frame to the next: the opcode of an instruction that runs
 * Python code by itself, or a call of one of these. */
enum {
    DISTANCE_NEXT = -1,         /* next() */
    DISTANCE_METHOD = -2,       /* a generator's send() */
    DISTANCE_THROW = -3,
    DISTANCE_CLOSE = -4,
    DISTANCE_SPREAD = -5,       /* f(*args), f(**kwargs): not inlined */
    DISTANCE_OBJECT = -6,       /* an object whose class has __call__ */
    DISTANCE_TYPE = -7,         /* a class with __init__ or __new__ */
    DISTANCE_PARTIAL = -8,
    DISTANCE_CACHED = -9,
    DISTANCE_CLASS = -10,       /* the body of a class statement */
    DISTANCE_EXEC = -11,        /* exec() and eval() */
    /* What must not be taken for any of these: the instruction drops its
     * operands, and a finaliser runs. */
    DISTANCE_FINALISER = -12,
    /* To what resumes a generator (awaitable.h): in SEND, in calls. */
    DISTANCE_AWAIT = -13,
    DISTANCE_AWAIT_CALL = -14,
    DISTANCE_PASS = -15,        /* throw() that passes through generators */
    DISTANCE_CONTEXT = -16,     /* Context.run() */
    DISTANCE_GETATTR = -17,     /* getattr(), and so on */
    DISTANCE_HASATTR = -18,
    DISTANCE_SETATTR = -19,
    DISTANCE_DELATTR = -20,
    DISTANCE_DIVMOD = -21,
    DISTANCE_POWER = -22,       /* pow() */
    DISTANCE_GET = -23,         /* object.__getattribute__(), and so on */
    DISTANCE_SET = -24,
    DISTANCE_DELETE = -25,
    DISTANCE_METACALL = -26,    /* type.__call__() */
    DISTANCE_METACLASS = -27,   /* a class statement: the metaclass */
    DISTANCE_SUBCLASS = -28,    /* and __init_subclass__() */
    DISTANCE_NEW_CLASS = -29,   /* the same of type.__new__(), type() */
    DISTANCE_MAP = -30,         /* a for statement over map(), and so on: */
    DISTANCE_FILTER = -31,      /* the step of the iterator that these ask */
    DISTANCE_ZIP = -32,
    DISTANCE_ENUMERATE = -33,
    /* The first line of the table in pickletask/_conversions.py; the others
     * count down from it. */
    DISTANCE_CONVERSION = -100,
};

/* Does the way make this distance? */
int distance_is_known(int way, Py_ssize_t distance);

#endif
