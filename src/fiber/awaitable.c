/* Awaitables: see awaitable.h. */
#include "awaitable.h"

awaitable_types awaitable_known;

/* ---- what they resume -------------------------------------------------- */

static int
is_asend(PyObject *object)
{
    return Py_IS_TYPE(object, awaitable_known.asend);
}

static int
is_athrow(PyObject *object)
{
    return Py_IS_TYPE(object, awaitable_known.athrow);
}

static int
is_anext(PyObject *object)
{
    return Py_IS_TYPE(object, awaitable_known.anext);
}

PyObject *
awaitable_generator(PyObject *awaitable)
{
    if (awaitable == NULL) {
        return NULL;
    }
    if (is_anext(awaitable)) {
        awaitable = ((anext_object *)awaitable)->wrapped;
        if (PyCoro_CheckExact(awaitable) || PyGen_CheckExact(awaitable)) {
            return awaitable;
        }
    }
    if (is_asend(awaitable)) {
        return (PyObject *)((asend_object *)awaitable)->gen;
    }
    if (is_athrow(awaitable)) {
        return (PyObject *)((athrow_object *)awaitable)->gen;
    }
    if (Py_IS_TYPE(awaitable, awaitable_known.await)) {
        return ((await_object *)awaitable)->coroutine;
    }
    return NULL;
}

int
awaitable_converts(PyObject *awaitable)
{
    return awaitable != NULL
           && (is_asend(awaitable) || is_athrow(awaitable)
               || is_anext(awaitable));
}

/* ---- what they make of it ---------------------------------------------- */

/* What an asynchronous generator yields itself, not what it awaits. */
static int
is_yielded(PyObject *result)
{
    PyTypeObject *type = Py_TYPE(result);

    return !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)
           && strcmp(type->tp_name, "async_generator_wrapped_value") == 0;
}

/* Is it the exception that ends an asynchronous generator? */
static int
is_end(void)
{
    return PyErr_ExceptionMatches(PyExc_StopAsyncIteration)
           || PyErr_ExceptionMatches(PyExc_GeneratorExit);
}

/* A step, by asend() or athrow(), or aclose() if it closes. */
static awaitable_outcome
finish_step(PyAsyncGenObject *gen, int closes, awaitable_outcome outcome,
            PyObject **result)
{
    if (outcome == AWAITABLE_YIELDS && !is_yielded(*result)) {
        return AWAITABLE_YIELDS;
    }
    gen->ag_running_async = 0;
    if (outcome == AWAITABLE_YIELDS && closes) {
        PyErr_SetString(PyExc_RuntimeError,
                        "async generator ignored GeneratorExit");
        Py_CLEAR(*result);
        return AWAITABLE_RAISES;
    }
    if (outcome == AWAITABLE_YIELDS) {
        Py_SETREF(*result, Py_NewRef(((yielded_object *)*result)->value));
        return AWAITABLE_RETURNS;
    }
    if (outcome == AWAITABLE_RETURNS) {
        Py_CLEAR(*result);
        PyErr_SetNone(PyExc_StopAsyncIteration);
    }
    if (is_end()) {
        gen->ag_closed = 1;
        if (closes) {
            PyErr_Clear();
            *result = Py_NewRef(Py_None);
            return AWAITABLE_RETURNS;
        }
    }
    return AWAITABLE_RAISES;
}

awaitable_outcome
awaitable_finish(PyObject *awaitable, awaitable_outcome outcome,
                 PyObject **result)
{
    if (is_anext(awaitable)) {
        anext_object *a = (anext_object *)awaitable;
        outcome = awaitable_finish(a->wrapped, outcome, result);
        if (outcome == AWAITABLE_RAISES
            && PyErr_ExceptionMatches(PyExc_StopAsyncIteration))
        {
            PyErr_Clear();
            *result = Py_NewRef(a->value);
            outcome = AWAITABLE_RETURNS;
        }
    }
    else if (is_asend(awaitable)) {
        asend_object *a = (asend_object *)awaitable;
        outcome = finish_step(a->gen, 0, outcome, result);
        a->state = outcome == AWAITABLE_YIELDS ? a->state : AWAITABLE_CLOSED;
    }
    else if (is_athrow(awaitable)) {
        athrow_object *a = (athrow_object *)awaitable;
        outcome = finish_step(a->gen, athrow_closes(a), outcome, result);
        a->state = outcome == AWAITABLE_YIELDS ? a->state : AWAITABLE_CLOSED;
    }
    return outcome;
}

/* The same for a method that is called: what yields returns, what returns
 * raises StopIteration. New reference, or NULL with an exception. */
static PyObject *
finish_call(PyObject *awaitable, PyObject *value, PyObject *error)
{
    awaitable_outcome outcome = AWAITABLE_YIELDS;
    PyObject *result = Py_NewRef(value);

    if (error != NULL && PyErr_GivenExceptionMatches(error,
                                                     PyExc_StopIteration))
    {
        outcome = AWAITABLE_RETURNS;
        Py_SETREF(result,
                  Py_NewRef(((PyStopIterationObject *)error)->value));
    }
    else if (error != NULL) {
        outcome = AWAITABLE_RAISES;
        Py_CLEAR(result);
        PyErr_Restore(Py_NewRef(Py_TYPE(error)), Py_NewRef(error),
                      PyException_GetTraceback(error));
    }
    outcome = awaitable_finish(awaitable, outcome, &result);
    if (outcome == AWAITABLE_RETURNS) {
        (void)_PyGen_SetStopIterationValue(result);
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
core_finish_step(PyObject *module, PyObject *args)
{
    PyObject *awaitable, *value, *error = NULL;

    if (!PyArg_ParseTuple(args, "OO|O!", &awaitable, &value,
                          PyExc_BaseException, &error))
    {
        return NULL;
    }
    return finish_call(awaitable, value, error);
}

/* ---- setup ------------------------------------------------------------- */

/* The type of an example, whose instances should have that size. NULL with an
 * exception. */
static PyTypeObject *
find_type(PyObject *examples, int index, size_t size)
{
    PyTypeObject *type = Py_TYPE(PyTuple_GET_ITEM(examples, index));

    if (type->tp_basicsize != (Py_ssize_t)size) {
        PyErr_Format(PyExc_ImportError,
                     "pickletask can't be used with this build of CPython: "
                     "%s objects are not what they are elsewhere",
                     type->tp_name);
        return NULL;
    }
    return (PyTypeObject *)Py_NewRef(type);
}

static PyMethodDef functions[] = {
    {"_finish_step", core_finish_step, METH_VARARGS,
     PyDoc_STR("For bridges: what becomes of what a generator did.")},
    {NULL},
};

int
awaitable_setup(PyObject *module)
{
    PyObject *program = PyImport_ImportModule("pickletask._awaitables");
    PyObject *examples = NULL;
    awaitable_types *known = &awaitable_known;
    int status = -1;

    if (program != NULL && PyModule_AddFunctions(module, functions) == 0) {
        examples = PyObject_CallMethod(program, "examples", NULL);
    }
    if (examples != NULL) {
        known->asend = find_type(examples, 0, sizeof(asend_object));
        known->athrow = find_type(examples, 1, sizeof(athrow_object));
        known->anext = find_type(examples, 2, sizeof(anext_object));
        known->await = find_type(examples, 3, sizeof(await_object));
        status = PyErr_Occurred() ? -1 : 0;
    }
    Py_XDECREF(program);
    Py_XDECREF(examples);
    return status;
}
