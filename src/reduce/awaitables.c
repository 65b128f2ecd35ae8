/* Steps of asynchronous generators: see awaitables.h. */
#include "awaitables.h"

#include "errors.h"
#include "fiber/awaitable.h"
#include "state.h"
#include "substitute.h"

/* Which of the two kinds. */
enum { ASEND, ATHROW };
/* Arguments that athrow() takes. */
#define THROWN 3

/* What pickles name. */
static PyObject *new_awaitable, *set_awaitable;
static PyObject *new_generators[REBUILD_STATES];

/* ---- reducing ---------------------------------------------------------- */

/* The arguments of a step, borrowed; how many, at most THROWN. */
static int
get_arguments(PyObject *object, PyObject **arguments)
{
    int count = 0;

    if (Py_IS_TYPE(object, awaitable_known.asend)) {
        arguments[0] = ((asend_object *)object)->value;
        return arguments[0] != NULL;
    }
    athrow_object *a = (athrow_object *)object;
#if INTERP_THROWS_TUPLE
    if (a->args != NULL) {
        count = (int)Py_MIN(PyTuple_GET_SIZE(a->args), THROWN);
    }
    for (int i = 0; i < count; i++) {
        arguments[i] = PyTuple_GET_ITEM(a->args, i);
    }
#else
    PyObject *all[THROWN] = {a->type, a->value, a->traceback};
    for (int i = 0; i < THROWN; i++) {
        arguments[i] = all[i] == NULL ? Py_None : all[i];
        count = all[i] == NULL ? count : i + 1;
    }
#endif
    return count;
}

static PyObject *
core_reduce_awaitable(PyObject *module, PyObject *object)
{
    PyObject *arguments[THROWN], *state = NULL, *result = NULL;
    int is_asend = Py_IS_TYPE(object, awaitable_known.asend);

    if (!is_asend && !Py_IS_TYPE(object, awaitable_known.athrow)) {
        PyErr_Format(PyExc_TypeError, "expected a step of an asynchronous "
                     "generator, not %.200s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    int count = get_arguments(object, arguments);
    PyObject *gen = awaitable_generator(object);
    int now = is_asend ? ((asend_object *)object)->state
                       : ((athrow_object *)object)->state;
    state = PyTuple_New(2 + count);
    if (state == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(state, 0, Py_NewRef(gen == NULL ? Py_None : gen));
    PyTuple_SET_ITEM(state, 1, PyLong_FromLong(now));
    for (int i = 0; i < count; i++) {
        PyTuple_SET_ITEM(state, 2 + i, substitute_for(arguments[i]));
    }
    if (!PyErr_Occurred()) {
        result = Py_BuildValue("O(i)OOOO", new_awaitable,
                               is_asend ? ASEND : ATHROW, state, Py_None,
                               Py_None, set_awaitable);
    }
    Py_DECREF(state);
    return result;
}

/* ---- rebuilding -------------------------------------------------------- */

static PyObject *
core_new_awaitable(PyObject *module, PyObject *args)
{
    int kind;

    if (!PyArg_ParseTuple(args, "i", &kind)) {
        return NULL;
    }
    if (kind == ASEND) {
        asend_object *a = PyObject_GC_New(asend_object,
                                          awaitable_known.asend);
        if (a != NULL) {
            a->gen = NULL;
            a->value = NULL;
            a->state = AWAITABLE_CLOSED;
            PyObject_GC_Track(a);
        }
        return (PyObject *)a;
    }
    if (kind == ATHROW) {
        athrow_object *a = PyObject_GC_New(athrow_object,
                                           awaitable_known.athrow);
        if (a != NULL) {
            a->gen = NULL;
#if INTERP_THROWS_TUPLE
            a->args = NULL;
#else
            a->type = a->value = a->traceback = NULL;
#endif
            a->state = AWAITABLE_CLOSED;
            PyObject_GC_Track(a);
        }
        return (PyObject *)a;
    }
    PyErr_SetString(PyExc_ValueError, "there is no such kind of step");
    return NULL;
}

static int
damaged(void)
{
    PyErr_SetString(CorruptStateError, "can't restore a step of an "
                    "asynchronous generator: its state is damaged");
    return -1;
}

/* Gives an empty athrow_object its arguments. 0, or -1 with an exception. */
static int
set_thrown(athrow_object *a, PyObject *arguments)
{
    if (PyTuple_GET_SIZE(arguments) == 0) {
        return 0;
    }
    if (PyTuple_GET_SIZE(arguments) > THROWN) {
        return damaged();
    }
#if INTERP_THROWS_TUPLE
    a->args = Py_NewRef(arguments);
    return 0;
#else
    return PyArg_ParseTuple(arguments, "O|OO", &a->type, &a->value,
                            &a->traceback)
               ? (Py_INCREF(a->type), Py_XINCREF(a->value),
                  Py_XINCREF(a->traceback), 0)
               : damaged();
#endif
}

/* The same for any of them. */
static int
set_step(PyObject *object, PyObject *gen, int now, PyObject *arguments)
{
    if (Py_IS_TYPE(object, awaitable_known.asend)) {
        asend_object *a = (asend_object *)object;
        if (PyTuple_GET_SIZE(arguments) > 1) {
            return damaged();
        }
        if (PyTuple_GET_SIZE(arguments) == 1) {
            a->value = Py_NewRef(PyTuple_GET_ITEM(arguments, 0));
        }
        a->gen = (PyAsyncGenObject *)Py_NewRef(gen);
        a->state = now;
        return 0;
    }
    athrow_object *a = (athrow_object *)object;
    if (set_thrown(a, arguments) < 0) {
        return -1;
    }
    a->gen = (PyAsyncGenObject *)Py_NewRef(gen);
    a->state = now;
    return 0;
}

static PyObject *
core_set_awaitable(PyObject *module, PyObject *args)
{
    PyObject *object, *state;

    if (!PyArg_ParseTuple(args, "OO", &object, &state)) {
        return NULL;
    }
    int is_step = Py_IS_TYPE(object, awaitable_known.asend)
                  || Py_IS_TYPE(object, awaitable_known.athrow);
    if (!is_step || awaitable_generator(object) != NULL
        || !PyTuple_CheckExact(state) || PyTuple_GET_SIZE(state) < 2
        || !PyAsyncGen_CheckExact(PyTuple_GET_ITEM(state, 0))
        || !PyLong_CheckExact(PyTuple_GET_ITEM(state, 1)))
    {
        damaged();
        return NULL;
    }
    int overflow;
    long now = PyLong_AsLongAndOverflow(PyTuple_GET_ITEM(state, 1), &overflow);
    if (now < AWAITABLE_INIT || now > AWAITABLE_CLOSED) {
        damaged();
        return NULL;
    }
    PyObject *arguments = PyTuple_GetSlice(state, 2, PY_SSIZE_T_MAX);
    if (arguments == NULL) {
        return NULL;
    }
    int status = set_step(object, PyTuple_GET_ITEM(state, 0), (int)now,
                          arguments);
    Py_DECREF(arguments);
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- their generators --------------------------------------------------- */

PyObject *
awaitables_maker(PyGenObject *gen)
{
    int state = REBUILD_PLAIN;

    if (PyAsyncGen_CheckExact(gen)) {
        PyAsyncGenObject *a = (PyAsyncGenObject *)gen;
        state |= a->ag_closed ? REBUILD_CLOSED : 0;
        /* If it executes, a fiber will say so. */
        state |= a->ag_running_async && gen->gi_frame_state < FRAME_EXECUTING
                     ? REBUILD_STEPPED
                     : 0;
    }
    return new_generators[state];
}

PyObject *
awaitables_make_generator(PyObject *args, int state)
{
    PyObject *head, *name = NULL, *qualname = NULL;
    /* Its milestones came along here before they did with its state. */
    PyObject *milestones;
    if (!PyArg_ParseTuple(args, "O|UUO", &head, &name, &qualname,
                          &milestones)) {
        return NULL;
    }
    return rebuild_new_generator(head, name, qualname, state);
}

static PyObject *
core_new_generator(PyObject *module, PyObject *args)
{
    return awaitables_make_generator(args, REBUILD_PLAIN);
}

static PyObject *
core_new_closed_generator(PyObject *module, PyObject *args)
{
    return awaitables_make_generator(args, REBUILD_CLOSED);
}

static PyObject *
core_new_stepped_generator(PyObject *module, PyObject *args)
{
    return awaitables_make_generator(args, REBUILD_STEPPED);
}

static PyObject *
core_new_closing_generator(PyObject *module, PyObject *args)
{
    return awaitables_make_generator(args, REBUILD_CLOSED | REBUILD_STEPPED);
}

/* ---- setup ------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"_reduce_awaitable", core_reduce_awaitable, METH_O,
     PyDoc_STR("Reducer of the steps of asynchronous generators.")},
    {"_new_awaitable", core_new_awaitable, METH_VARARGS,
     PyDoc_STR("A closed step of no generator.")},
    {"_set_awaitable", core_set_awaitable, METH_VARARGS,
     PyDoc_STR("Brings such a step into a saved state.")},
    {"_new_generator", core_new_generator, METH_VARARGS,
     PyDoc_STR("Empty generator of a function.")},
    {"_new_closed_generator", core_new_closed_generator, METH_VARARGS,
     PyDoc_STR("An asynchronous one that has ended.")},
    {"_new_stepped_generator", core_new_stepped_generator, METH_VARARGS,
     PyDoc_STR("One of which a step is under way.")},
    {"_new_closing_generator", core_new_closing_generator, METH_VARARGS,
     PyDoc_STR("One that is being closed.")},
    {NULL},
};

int
awaitables_setup(PyObject *module)
{
    static const char *const makers[REBUILD_STATES] = {
        NULL, "_new_closed_generator", "_new_stepped_generator",
        "_new_closing_generator",
    };
    const awaitable_types *known = &awaitable_known;
    PyObject *types = PyTuple_Pack(2, known->asend, known->athrow);
    int status = -1;

    if (types != NULL && PyModule_AddFunctions(module, functions) == 0
        && PyModule_AddObjectRef(module, "_AWAITABLES", types) == 0)
    {
        new_awaitable = PyObject_GetAttrString(module, "_new_awaitable");
        set_awaitable = PyObject_GetAttrString(module, "_set_awaitable");
        for (int i = 1; i < REBUILD_STATES; i++) {
            new_generators[i] = PyObject_GetAttrString(module, makers[i]);
        }
        status = PyErr_Occurred() ? -1 : 0;
    }
    Py_XDECREF(types);
    return status;
}
