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

#include "compiled.h"
#include "interp/interp.h"

/* How far a loop is from the next outer one. */
typedef struct {
    Py_ssize_t bytes;
    const char *compiled;       /* the outer one, if it runs compiled code */
} distance;

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
    /* To what resumes a generator (awaitable.h): in SEND, in calls. */
    DISTANCE_AWAIT = -12,
    DISTANCE_AWAIT_CALL = -13,
    DISTANCE_PASS = -14,        /* throw() that passes through generators */
    DISTANCE_CONTEXT = -15,     /* Context.run() */
    DISTANCE_GETATTR = -16,     /* getattr(), and so on */
    DISTANCE_HASATTR = -17,
    DISTANCE_SETATTR = -18,
    DISTANCE_DELATTR = -19,
    DISTANCE_DIVMOD = -20,
    DISTANCE_POWER = -21,       /* pow() */
    DISTANCE_GET = -22,         /* object.__getattribute__(), and so on */
    DISTANCE_SET = -23,
    DISTANCE_DELETE = -24,
    DISTANCE_METACALL = -25,    /* type.__call__() */
    DISTANCE_METACLASS = -26,   /* a class statement: the metaclass */
    DISTANCE_SUBCLASS = -27,    /* and __init_subclass__() */
    DISTANCE_NEW_CLASS = -28,   /* the same of type.__new__(), type() */
    DISTANCE_MAP = -29,         /* a for statement over map(), and so on: */
    DISTANCE_FILTER = -30,      /* the step of the iterator that these ask */
    DISTANCE_ZIP = -31,
    DISTANCE_ENUMERATE = -32,
    DISTANCE_EXEC_SPREAD = -33, /* exec(*args, **kwargs) */
    /* To what of importlib finds a module: from an import statement, from a
     * call of __import__(), from one of __import__(*args, **kwargs). */
    DISTANCE_IMPORT = -34,
    DISTANCE_IMPORT_CALL = -35,
    DISTANCE_IMPORT_SPREAD = -36,
    /* To what sees to the submodules that "from package import" names. */
    DISTANCE_FROM = -37,
    DISTANCE_FROM_CALL = -38,
    /* The first line of the table in pickletask/_conversions.py; the others
     * count down from it. */
    DISTANCE_CONVERSION = -100,
};

/* From the loop that began with `inner` to the next outer one, which runs
 * `outer`. Moves *loop outwards. */
distance distance_between(interp_loop *loop, iframe *inner, iframe *outer);

/* Does the way make this distance? */
int distance_is_known(int way, const distance *d);

/* It does. */
void distance_note(int way, const distance *d);

#endif
