/* Contexts: see contexts.h. */
#include "contexts.h"

#include "chain.h"
#include "interp/contexts.h"

int
contexts_is_entered(PyObject *context)
{
    return interp_context_is_entered(context);
}

void
contexts_enter(fiber *f, PyObject *context)
{
    assert(f->state != FIBER_RUNNING && f->stack == NULL
           && !interp_context_is_entered(context));
    interp_context_set_entered(context, 1);
    *interp_context_outer(context) = f->context;
    f->context = Py_NewRef(context);
}

void
contexts_leave(fiber *f, PyObject *context)
{
    if (f->context == context) {
        f->context = *interp_context_outer(context);
        *interp_context_outer(context) = NULL;
        interp_context_set_entered(context, 0);
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
        place = interp_context_outer(*place);
    }
    *place = Py_XNewRef(context);
    f->has_context = 1;
}

/* How many contexts a suspended fiber is inside of. -1 with an exception. */
static int
count_entered(fiber *f)
{
    const bridge *b = bridge_get(BRIDGE_CONTEXT);
    int count = -1;
    chain c;
    chain_result result = chain_walk(f, fiber_get_hooks(), 0, &c);

    if (result == CHAIN_REFUSED) {
        PyErr_SetString(PyExc_RuntimeError,
                        "can't tell the context of a task that runs C code");
    }
    for (int i = 0; result == CHAIN_KNOWN && i < c.count; i++) {
        count += chain_code(&c.links[i]) == b->code;
    }
    chain_clear(&c);
    return result == CHAIN_KNOWN ? count + 1 : -1;
}

PyObject *
contexts_own(fiber *f)
{
    PyObject *context = f->context;
    int count = 0;

    if (f->state == FIBER_PARKED) {
        context = f->saved->interp.context;
    }
    if (f->state == FIBER_PARKED || f->state == FIBER_SOFT) {
        count = count_entered(f);
    }
    while (context != NULL && count > 0) {
        context = *interp_context_outer(context);
        count--;
    }
    return count < 0 ? NULL : context;
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
    interp_context_exchange(context, other);
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
