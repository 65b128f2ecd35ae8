/* What contexts of contextvars consist of. */
#ifndef PICKLETASK_INTERP_CONTEXTS_H
#define PICKLETASK_INTERP_CONTEXTS_H

#include "interp/interp.h"
#include "internal/pycore_context.h"

/* Has it been entered, and not left? */
static inline int
interp_context_is_entered(PyObject *context)
{
    return ((PyContext *)context)->ctx_entered;
}

static inline void
interp_context_set_entered(PyObject *context, int entered)
{
    ((PyContext *)context)->ctx_entered = entered;
}

/* Where the one is that was current before it was entered: owned, or NULL. */
static inline PyObject **
interp_context_outer(PyObject *context)
{
    return (PyObject **)&((PyContext *)context)->ctx_prev;
}

/* Two contexts exchange their variables. */
static inline void
interp_context_exchange(PyObject *context, PyObject *other)
{
    PyContext *c = (PyContext *)context, *o = (PyContext *)other;
    PyHamtObject *vars = c->ctx_vars;
    c->ctx_vars = o->ctx_vars;
    o->ctx_vars = vars;
    /* What variables remember of the two is outdated. */
    PyThreadState_Get()->context_ver++;
}

#endif
