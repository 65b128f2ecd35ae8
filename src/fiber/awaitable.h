/* Awaitables of CPython's own, which resume a generator or coroutine when they
 * are sent a value: those of asynchronous generators' steps, that of anext()
 * with a default, and what a coroutine's __await__() returns.
 *
 * A SEND to one of them waits for the generator's frame, with a little C code
 * in between.  What that has yet to do when the generator yields, returns or
 * raises, awaitable_finish() does instead.
 */
#ifndef PICKLETASK_AWAITABLE_H
#define PICKLETASK_AWAITABLE_H

#include "interp/awaitables.h"

typedef struct {
    PyTypeObject *asend, *athrow, *anext, *await;
} awaitable_types;

extern awaitable_types awaitable_known;

/* What it resumes. Borrowed; NULL if it is no such awaitable, or if it wraps
 * something else. */
PyObject *awaitable_generator(PyObject *awaitable);

/* Does it make something else of what the generator yields, returns or
 * raises? */
int awaitable_converts(PyObject *awaitable);

typedef enum {
    AWAITABLE_YIELDS,
    AWAITABLE_RETURNS,
    AWAITABLE_RAISES        /* exception set */
} awaitable_outcome;

/* What becomes of what its generator did, for an awaitable that converts or
 * doesn't.  *result is stolen and replaced, NULL if there's an exception. Runs
 * no Python code but what frees a value. */
awaitable_outcome awaitable_finish(PyObject *awaitable,
                                   awaitable_outcome outcome,
                                   PyObject **result);

/* 0, or -1 with an exception. */
int awaitable_setup(PyObject *module);

#endif
