/* Contexts: see contexts.h. */
#include "contexts.h"

#include "internal/pycore_context.h"

int
contexts_is_entered(PyObject *context)
{
    return ((PyContext *)context)->ctx_entered;
}

void
contexts_enter(fiber *f, PyObject *context)
{
    PyContext *c = (PyContext *)context;

    assert(f->state != FIBER_RUNNING && f->stack == NULL && !c->ctx_entered);
    c->ctx_entered = 1;
    c->ctx_prev = (PyContext *)f->context;
    f->context = Py_NewRef(context);
}

void
contexts_leave(fiber *f, PyObject *context)
{
    PyContext *c = (PyContext *)context;

    if (f->context == context) {
        f->context = (PyObject *)c->ctx_prev;
        c->ctx_prev = NULL;
        c->ctx_entered = 0;
        Py_DECREF(context);
    }
}

void
contexts_give(fiber *f, PyObject *context)
{
    PyObject **place = &f->context;

    if (f->has_context) {
        return;
    }
    while (*place != NULL) {
        place = (PyObject **)&((PyContext *)*place)->ctx_prev;
    }
    *place = Py_XNewRef(context);
    f->has_context = 1;
}

PyObject *
contexts_own(fiber *f, int count)
{
    PyObject *context = f->state == FIBER_PARKED ? f->saved->interp.context
                                                 : f->context;

    while (context != NULL && --count >= 0) {
        context = (PyObject *)((PyContext *)context)->ctx_prev;
    }
    return context;
}

/* ---- functions of the module ------------------------------------------- */

static PyObject *
core_exit_context(PyObject *module, PyObject *context)
{
    if (!PyContext_CheckExact(context)) {
        PyErr_Format(PyExc_TypeError, "expected a context, not %.200s",
                     Py_TYPE(context)->tp_name);
        return NULL;
    }
    return PyContext_Exit(context) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
core_fill_context(PyObject *module, PyObject *args)
{
    PyObject *context, *other;

    if (!PyArg_ParseTuple(args, "O!O!", &PyContext_Type, &context,
                          &PyContext_Type, &other))
    {
        return NULL;
    }
    PyContext *c = (PyContext *)context, *o = (PyContext *)other;
    PyHamtObject *vars = c->ctx_vars;
    c->ctx_vars = o->ctx_vars;
    o->ctx_vars = vars;
    /* What variables remember of the contexts is outdated. */
    PyThreadState_Get()->context_ver++;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"_exit_context", core_exit_context, METH_O,
     PyDoc_STR("For bridges: what Context.run() does in the end.")},
    {"_fill_context", core_fill_context, METH_VARARGS,
     PyDoc_STR("Two contexts exchange their variables.")},
    {NULL},
};

int
contexts_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
