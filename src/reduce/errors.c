/* The exceptions of pickling and restoring: see errors.h. */
#include "errors.h"

PyObject *NotPicklableError;
PyObject *RestoreError;
PyObject *VersionMismatchError;
PyObject *CodeChangedError;
PyObject *CorruptStateError;

static int
add(PyObject *module, PyObject **error, const char *name, PyObject *base,
    const char *doc)
{
    char full[64];

    PyOS_snprintf(full, sizeof(full), "pickletask.%s", name);
    *error = PyErr_NewExceptionWithDoc(full, doc, base, NULL);
    if (*error == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, name, *error);
}

int
errors_setup(PyObject *module)
{
    int status = -1;
    PyObject *pickling = NULL, *unpickling = NULL;
    PyObject *pickle = PyImport_ImportModule("_pickle");

    if (pickle == NULL) {
        return -1;
    }
    pickling = PyObject_GetAttrString(pickle, "PicklingError");
    unpickling = PyObject_GetAttrString(pickle, "UnpicklingError");
    if (pickling == NULL || unpickling == NULL) {
        goto error;
    }
    if (add(module, &NotPicklableError, "NotPicklableError", pickling,
            "A task, generator or frame stands where it can't be saved.\n\n"
            "The message names the C function or operation in the way, the\n"
            "Python function around it, its file and line.  The task stays\n"
            "as it was and can go on.") < 0
        || add(module, &RestoreError, "RestoreError", unpickling,
               "What was saved can't be restored here.") < 0
        || add(module, &VersionMismatchError, "VersionMismatchError",
               RestoreError,
               "The state was saved by another version of Python, or of\n"
               "pickletask's format.") < 0
        || add(module, &CodeChangedError, "CodeChangedError", RestoreError,
               "The code that the state belongs to isn't the same any more.")
               < 0
        || add(module, &CorruptStateError, "CorruptStateError", RestoreError,
               "The state is not one that a Python program can be in.") < 0)
    {
        goto error;
    }
    status = 0;

error:
    Py_DECREF(pickle);
    Py_XDECREF(pickling);
    Py_XDECREF(unpickling);
    return status;
}
