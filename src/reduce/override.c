/* What pickletask's own picklers do with an object: see override.h. */
#include "override.h"

#include "functions.h"
#include "references.h"
#include "state.h"
#include "substitute.h"

/* A bit of the protocol that tasklets know; see src/tasks/pickling.c. */
enum { BY_REFERENCE = 0x100, PROTOCOL = 5 };

static PyObject *reducers;          /* dict: type -> reducer. Owned */
static PyObject *registered;        /* copyreg.dispatch_table. Owned */
static PyTypeObject *tasklet_type;  /* owned */
static PyObject *load_referred_code, *new_method;       /* owned */
static PyObject *reduce_ex_string, *protocol_number;    /* owned */

/* ---- by reference ------------------------------------------------------ */

static PyObject *
refer_code(PyObject *code)
{
    PyObject *reference = references_make((PyCodeObject *)code, NULL);
    if (reference == NULL) {
        return NULL;
    }
    return Py_BuildValue("ON", load_referred_code, reference);
}

/* pickle's own way names getattr(), which no restricted load allows. */
static PyObject *
refer_method(PyObject *method)
{
    PyObject *function = PyMethod_GET_FUNCTION(method);
    if (!Py_IS_TYPE(function, &PyFunction_Type)) {
        return PyObject_CallMethod(method, "__reduce__", NULL);
    }
    return Py_BuildValue("O(OO)", new_method, function,
                         PyMethod_GET_SELF(method));
}

/* What has another form if code goes by reference. New reference; NULL, with
 * an exception if one is set, for what hasn't. */
static PyObject *
refer(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    if (type == &PyMethod_Type) {
        return refer_method(object);
    }
    if (type == &PyCode_Type) {
        return refer_code(object);
    }
    if (type == &PyGen_Type || type == &PyCoro_Type
        || type == &PyAsyncGen_Type)
    {
        return capture_generator(object, 1);
    }
    if (PyType_IsSubtype(type, tasklet_type)
        && PyDict_GetItemWithError(registered, (PyObject *)type) == NULL
        && !PyErr_Occurred())
    {
        return PyObject_CallMethodOneArg(object, reduce_ex_string,
                                         protocol_number);
    }
    return NULL;
}

/* ---- all kinds --------------------------------------------------------- */

/* With what pickle forgets of an exception. */
static PyObject *
reduce_exception(PyObject *exception)
{
    static PyObject *reducer;       /* owned */

    if (reducer == NULL) {
        PyObject *module = PyImport_ImportModule("pickletask.postmortem");
        if (module != NULL) {
            reducer = PyObject_GetAttrString(module, "reduce_exception");
            Py_DECREF(module);
        }
    }
    return reducer == NULL ? NULL : PyObject_CallOneArg(reducer, exception);
}

/* What a pickler without a dispatch table of its own does. New reference, or
 * NULL with an exception. Runs Python code. */
static PyObject *
override(PyObject *object, int by_reference)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject *reducer, *result = NULL;

    if (type == &PyFunction_Type) {
        return functions_override(object, by_reference);
    }
    if (substitute_check(object)) {
        return substitute_override(object, by_reference);
    }
    if (by_reference) {
        result = refer(object);
    }
    if (result != NULL || PyErr_Occurred()) {
        return result;
    }
    if (PyExceptionInstance_Check(object)) {
        return reduce_exception(object);
    }
    reducer = PyDict_GetItemWithError(reducers, (PyObject *)type);
    if (reducer != NULL
        && PyDict_GetItemWithError(registered, (PyObject *)type) == NULL
        && !PyErr_Occurred())
    {
        Py_INCREF(reducer);
        result = PyObject_CallOneArg(reducer, object);
        Py_DECREF(reducer);
        return result;
    }
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_NotImplemented);
}

/* ---- functions of the module ------------------------------------------- */

static PyObject *
core_override_by_value(PyObject *module, PyObject *object)
{
    return override(object, 0);
}

static PyObject *
core_override_by_reference(PyObject *module, PyObject *object)
{
    return override(object, 1);
}

static PyMethodDef functions[] = {
    {"_override_by_value", core_override_by_value, METH_O,
     PyDoc_STR("reducer_override of a pickler that saves code by value.")},
    {"_override_by_reference", core_override_by_reference, METH_O,
     PyDoc_STR("reducer_override of one that saves code by reference.")},
    {NULL},
};

/* copyreg.dispatch_table. New reference, or NULL with an exception. */
static PyObject *
find_registered(void)
{
    PyObject *copyreg = PyImport_ImportModule("copyreg"), *table;
    if (copyreg == NULL) {
        return NULL;
    }
    table = PyObject_GetAttrString(copyreg, "dispatch_table");
    Py_DECREF(copyreg);
    if (table != NULL && !PyDict_CheckExact(table)) {
        PyErr_SetString(PyExc_ImportError,
                        "pickletask: copyreg.dispatch_table is no dict");
        Py_CLEAR(table);
    }
    return table;
}

int
override_setup(PyObject *module)
{
    reducers = PyDict_New();
    registered = find_registered();
    reduce_ex_string = PyUnicode_InternFromString("__reduce_ex__");
    protocol_number = PyLong_FromLong(PROTOCOL | BY_REFERENCE);
    if (reducers == NULL || registered == NULL || reduce_ex_string == NULL
        || protocol_number == NULL
        || PyModule_AddFunctions(module, functions) < 0
        || PyModule_AddObjectRef(module, "_REDUCERS", reducers) < 0)
    {
        return -1;
    }
    tasklet_type = (PyTypeObject *)PyObject_GetAttrString(module, "tasklet");
    load_referred_code = PyObject_GetAttrString(module,
                                                "_load_referred_code");
    new_method = PyObject_GetAttrString(module, "_new_method");
    return tasklet_type == NULL || load_referred_code == NULL
                   || new_method == NULL
               ? -1
               : 0;
}
