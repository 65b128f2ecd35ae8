/* What pickle forgets of exceptions: see exceptions.h. */
#include "exceptions.h"

#include "errors.h"
#include "substitute.h"

static PyObject *same, *set_exception;      /* owned */

/* Functions of pickletask/postmortem.py. Owned, or NULL. */
static PyObject *describe_traceback, *rebuild_traceback;

int
exceptions_have_more(PyObject *value)
{
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)value;

    return e->cause != NULL || e->context != NULL || e->traceback != NULL
           || e->suppress_context
           || PyObject_TypeCheck(
               value, (PyTypeObject *)PyExc_BaseExceptionGroup);
}

/* ---- reducing --------------------------------------------------------- */

/* The exceptions of a group, or an empty tuple. New reference, or NULL with
 * an exception. */
static PyObject *
exception_members(PyObject *value)
{
    PyObject *members = NULL, *result = NULL;

    if (PyObject_TypeCheck(value, (PyTypeObject *)PyExc_BaseExceptionGroup)) {
        members = ((PyBaseExceptionGroupObject *)value)->excs;
    }
    if (members == NULL || !PyTuple_CheckExact(members)) {
        return PyTuple_New(0);
    }
    result = PyTuple_New(PyTuple_GET_SIZE(members));
    for (Py_ssize_t i = 0; result != NULL && i < PyTuple_GET_SIZE(members);
         i++)
    {
        PyObject *item = substitute_for(PyTuple_GET_ITEM(members, i));
        if (item == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyTuple_SET_ITEM(result, i, item);
    }
    return result;
}

/* What pickle forgets of an exception: (traceback, cause, context, suppress,
 * members).  The members are there for what pickle forgets of them. New
 * reference, or NULL with an exception. */
static PyObject *
exception_state(PyObject *value)
{
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)value;
    PyObject *parts[] = {e->traceback, e->cause, e->context};
    PyObject *state = PyTuple_New(5);

    for (int i = 0; state != NULL && i < 5; i++) {
        PyObject *part;
        if (i < 3) {
            part = substitute_for(parts[i] == NULL ? Py_None : parts[i]);
        }
        else {
            part = i == 3 ? PyBool_FromLong(e->suppress_context)
                          : exception_members(value);
        }
        if (part == NULL) {
            Py_CLEAR(state);
            break;
        }
        PyTuple_SET_ITEM(state, i, part);
    }
    return state;
}

PyObject *
exceptions_reduce(PyObject *value)
{
    PyObject *state = exception_state(value);
    if (state == NULL) {
        return NULL;
    }
    return Py_BuildValue("O(O)NOOO", same, value, state, Py_None, Py_None,
                         set_exception);
}

/* 0, or -1 with an exception. */
static int
find_postmortem(void)
{
    if (describe_traceback != NULL) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("pickletask.postmortem");
    if (module == NULL) {
        return -1;
    }
    rebuild_traceback = PyObject_GetAttrString(module, "rebuild");
    describe_traceback = rebuild_traceback == NULL
                             ? NULL
                             : PyObject_GetAttrString(module, "describe");
    Py_DECREF(module);
    return describe_traceback == NULL ? -1 : 0;
}

PyObject *
exceptions_reduce_traceback(PyObject *traceback)
{
    if (find_postmortem() < 0) {
        return NULL;
    }
    PyObject *entries = PyObject_CallOneArg(describe_traceback, traceback);
    if (entries == NULL) {
        return NULL;
    }
    return Py_BuildValue("ON", rebuild_traceback, entries);
}

/* ---- copying ---------------------------------------------------------- */

/* A copy of the cause or context of an exception. New reference, or NULL with
 * an exception. */
static PyObject *
copy_related(PyObject *value, PyObject *memo)
{
    PyObject *copy = substitute_deepcopy(value, memo);

    if (copy != NULL && !PyExceptionInstance_Check(copy)) {
        PyErr_Format(PyExc_TypeError, "a copy of %.200s is %.200s, which is "
                     "no exception", Py_TYPE(value)->tp_name,
                     Py_TYPE(copy)->tp_name);
        Py_CLEAR(copy);
    }
    return copy;
}

/* Gives the copies of a group's members their relations. 0, or -1 with an
 * exception. */
static int
copy_members(PyObject *value, PyObject *memo)
{
    PyObject *copies = NULL, *members = exception_members(value);

    if (members != NULL) {
        copies = substitute_deepcopy_itself(members, memo);
        Py_DECREF(members);
    }
    Py_XDECREF(copies);
    return copies == NULL ? -1 : 0;
}

PyObject *
exceptions_copy(PyObject *value, PyObject *substitute, PyObject *memo)
{
    PyObject *cause, *context;
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)value;
    PyObject *result = substitute_deepcopy_itself(value, memo);

    if (result == NULL || !PyExceptionInstance_Check(result)) {
        return result;
    }
    /* Relations may lead back here. */
    if (substitute_enter_copy(memo, substitute, result) < 0) {
        goto error;
    }
    if (e->cause != NULL) {
        cause = copy_related(e->cause, memo);
        if (cause == NULL) {
            goto error;
        }
        PyException_SetCause(result, cause);
    }
    if (e->context != NULL) {
        context = copy_related(e->context, memo);
        if (context == NULL) {
            goto error;
        }
        PyException_SetContext(result, context);
    }
    if (copy_members(value, memo) < 0) {
        goto error;
    }
    if (e->traceback != NULL
        && PyException_SetTraceback(result, e->traceback) < 0)
    {
        goto error;
    }
    ((PyBaseExceptionObject *)result)->suppress_context = e->suppress_context;
    return result;

error:
    Py_DECREF(result);
    return NULL;
}

/* ---- functions of the module ------------------------------------------ */

/* An exception, or None. */
static int
is_related(PyObject *object)
{
    return object == Py_None || PyExceptionInstance_Check(object);
}

static PyObject *
core_set_exception(PyObject *module, PyObject *args)
{
    PyObject *value, *state, *traceback, *cause, *context, *suppress;

    if (!PyArg_ParseTuple(args, "OO", &value, &state)) {
        return NULL;
    }
    if (!PyExceptionInstance_Check(value) || !PyTuple_CheckExact(state)
        || PyTuple_GET_SIZE(state) != 5)
    {
        goto corrupt;
    }
    traceback = PyTuple_GET_ITEM(state, 0);
    cause = PyTuple_GET_ITEM(state, 1);
    context = PyTuple_GET_ITEM(state, 2);
    suppress = PyTuple_GET_ITEM(state, 3);
    if ((traceback != Py_None && !PyTraceBack_Check(traceback))
        || !is_related(cause) || !is_related(context)
        || !PyBool_Check(suppress))
    {
        goto corrupt;
    }
    if (PyException_SetTraceback(value, traceback) < 0) {
        return NULL;
    }
    PyException_SetCause(value, cause == Py_None ? NULL : Py_NewRef(cause));
    PyException_SetContext(value,
                           context == Py_None ? NULL : Py_NewRef(context));
    ((PyBaseExceptionObject *)value)->suppress_context = suppress == Py_True;
    Py_RETURN_NONE;

corrupt:
    PyErr_SetString(CorruptStateError,
                    "can't restore an exception: its saved state is damaged");
    return NULL;
}

static PyObject *
core_exception_state(PyObject *module, PyObject *value)
{
    if (!PyExceptionInstance_Check(value)) {
        PyErr_Format(PyExc_TypeError, "expected an exception, not %.200s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    if (!exceptions_have_more(value)) {
        Py_RETURN_NONE;
    }
    return exception_state(value);
}

/* The dict of an exception, or None: asking for __dict__ would make one. */
static PyObject *
core_exception_attributes(PyObject *module, PyObject *value)
{
    if (!PyExceptionInstance_Check(value)) {
        PyErr_Format(PyExc_TypeError, "expected an exception, not %.200s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    PyObject *dict = ((PyBaseExceptionObject *)value)->dict;
    return Py_NewRef(dict == NULL ? Py_None : dict);
}

static PyMethodDef functions[] = {
    {"_set_exception", core_set_exception, METH_VARARGS,
     PyDoc_STR("Gives an exception its traceback, cause and context.")},
    {"_exception_state", core_exception_state, METH_O,
     PyDoc_STR("What pickle forgets of an exception, or None.")},
    {"_exception_attributes", core_exception_attributes, METH_O,
     PyDoc_STR("The dict of an exception, or None.")},
    {NULL},
};

int
exceptions_setup(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    same = PyObject_GetAttrString(module, "_same");
    set_exception = PyObject_GetAttrString(module, "_set_exception");
    return same == NULL || set_exception == NULL ? -1 : 0;
}
