/* What `await` meets of CPython's own: what asend(), athrow(), aclose() and
 * anext() return, and what a coroutine's __await__() does.
 * Objects/genobject.c and Objects/iterobject.c keep them to themselves. */
#ifndef PICKLETASK_INTERP_AWAITABLES_H
#define PICKLETASK_INTERP_AWAITABLES_H

#include "interp/interp.h"

enum {
    AWAITABLE_INIT,         /* nobody has awaited it */
    AWAITABLE_ITER,
    AWAITABLE_CLOSED
};

/* Fields are owned; those marked may be NULL. */

typedef struct {
    PyObject_HEAD
    PyAsyncGenObject *gen;
    PyObject *value;        /* to be sent, or NULL */
    int state;
} asend_object;

typedef struct {
    PyObject_HEAD
    PyAsyncGenObject *gen;
#if INTERP_THROWS_TUPLE
    PyObject *args;         /* of throw(), or NULL for aclose() */
#else
    PyObject *type;         /* or NULL for aclose() */
    PyObject *traceback;    /* or NULL */
    PyObject *value;        /* or NULL */
#endif
    int state;
} athrow_object;

/* anext() with a default */
typedef struct {
    PyObject_HEAD
    PyObject *wrapped;
    PyObject *value;
} anext_object;

typedef struct {
    PyObject_HEAD
    PyObject *coroutine;
} await_object;

/* What an asynchronous generator has yielded to its own consumer. */
typedef struct {
    PyObject_HEAD
    PyObject *value;
} yielded_object;

static inline int
athrow_closes(const athrow_object *a)
{
#if INTERP_THROWS_TUPLE
    return a->args == NULL;
#else
    return a->type == NULL;
#endif
}

#endif
