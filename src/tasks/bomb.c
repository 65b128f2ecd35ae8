/* Exceptions on their way from one tasklet to another. */
#include "bomb.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *exception;    /* owned; an instance, or NULL in tp_new */
} bomb;

PyObject *bomb_exit;
static PyTypeObject *bomb_type;

/* ---- making exceptions ------------------------------------------------ */

/* An instance of the exception class `type` for `value`, as the raise
 * statement of Python 2 made it.  New reference, or NULL. */
static PyObject *
instantiate(PyObject *type, PyObject *value)
{
    PyObject *result;
    if (value == NULL || value == Py_None) {
        result = PyObject_CallNoArgs(type);
    }
    else if (PyExceptionInstance_Check(value)
             && PyObject_TypeCheck(value, (PyTypeObject *)type))
    {
        return Py_NewRef(value);
    }
    else if (PyTuple_Check(value)) {
        result = PyObject_Call(type, value, NULL);
    }
    else {
        result = PyObject_CallOneArg(type, value);
    }
    if (result != NULL && !PyExceptionInstance_Check(result)) {
        PyErr_Format(PyExc_TypeError,
                     "calling %R should have returned an instance of "
                     "BaseException, not %s", type, Py_TYPE(result)->tp_name);
        Py_CLEAR(result);
    }
    return result;
}

PyObject *
bomb_make(PyObject *type, PyObject *value, PyObject *traceback)
{
    PyObject *exception;

    if (traceback == Py_None) {
        traceback = NULL;
    }
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_Format(PyExc_TypeError,
                     "throw() third argument must be a traceback object, "
                     "not %s", Py_TYPE(traceback)->tp_name);
        return NULL;
    }
    if (PyExceptionClass_Check(type)) {
        exception = instantiate(type, value);
    }
    else if (!PyExceptionInstance_Check(type)) {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must be classes or instances deriving from "
                     "BaseException, not %s", Py_TYPE(type)->tp_name);
        return NULL;
    }
    else if (value != NULL && value != Py_None) {
        PyErr_SetString(PyExc_TypeError,
                        "instance exception may not have a separate value");
        return NULL;
    }
    else {
        exception = Py_NewRef(type);
    }
    if (exception != NULL && traceback != NULL
        && PyException_SetTraceback(exception, traceback) < 0)
    {
        Py_CLEAR(exception);
    }
    return exception;
}

PyObject *
bomb_call(const char *function, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *exception;

    if (nargs < 1 || !PyExceptionClass_Check(args[0])) {
        PyErr_Format(PyExc_TypeError,
                     "%s() needs an exception class as first parameter, "
                     "not %s", function,
                     nargs < 1 ? "nothing" : Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    exception = PyObject_Vectorcall(args[0], args + 1, (size_t)nargs - 1,
                                    NULL);
    if (exception != NULL && !PyExceptionInstance_Check(exception)) {
        PyErr_Format(PyExc_TypeError,
                     "calling %R should have returned an instance of "
                     "BaseException, not %s", args[0],
                     Py_TYPE(exception)->tp_name);
        Py_CLEAR(exception);
    }
    return exception;
}

PyObject *
bomb_defuse(void)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

PyObject *
bomb_explode(PyObject *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return NULL;
}

/* ---- lifecycle -------------------------------------------------------- */

int
bomb_check(PyObject *object)
{
    return Py_TYPE(object) == bomb_type;
}

PyObject *
bomb_exception(PyObject *self)
{
    return ((bomb *)self)->exception;
}

PyObject *
bomb_new(PyObject *exception)
{
    bomb *self = PyObject_GC_New(bomb, bomb_type);
    if (self != NULL) {
        self->exception = Py_NewRef(exception);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

static PyObject *
new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"type", "value", "traceback", NULL};
    PyObject *exc, *value = NULL, *traceback = NULL, *exception, *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:bomb", names, &exc,
                                     &value, &traceback))
    {
        return NULL;
    }
    exception = bomb_make(exc, value, traceback);
    if (exception == NULL) {
        return NULL;
    }
    self = bomb_new(exception);
    Py_DECREF(exception);
    return self;
}

static int
traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((bomb *)self)->exception);
    return 0;
}

/* No tp_clear: a bomb always has its exception, and every cycle through one
 * has a dict in it that can be cleared. */
static void
dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((bomb *)self)->exception);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- Python attributes ------------------------------------------------ */

static PyObject *
get_type(PyObject *self, void *unused)
{
    return Py_NewRef((PyObject *)Py_TYPE(((bomb *)self)->exception));
}

static PyObject *
get_traceback(PyObject *self, void *unused)
{
    PyObject *traceback = PyException_GetTraceback(
        ((bomb *)self)->exception);
    return traceback != NULL ? traceback : Py_NewRef(Py_None);
}

static PyObject *
repr(PyObject *self)
{
    return PyUnicode_FromFormat("bomb(%R)", ((bomb *)self)->exception);
}

static PyGetSetDef getset[] = {
    {"type", get_type, NULL, "The class of the exception.", NULL},
    {"traceback", get_traceback, NULL, "Its traceback, or None.", NULL},
    {NULL},
};

static PyMemberDef members[] = {
    {"value", T_OBJECT, offsetof(bomb, exception), READONLY,
     "The exception."},
    {NULL},
};

PyDoc_STRVAR(doc,
"bomb(type, value=None, traceback=None)\n--\n\n"
"An exception that explodes when a tasklet goes on with it.\n\n"
"The parameters are those of tasklet.throw(). A bomb that is assigned to\n"
"tasklet.tempval, or sent over a channel, is raised in the tasklet that\n"
"gets it.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)doc},
    {Py_tp_new, new},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {Py_tp_repr, repr},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pickletask.bomb",
    .basicsize = sizeof(bomb),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int
bomb_setup(PyObject *module)
{
    bomb_exit = PyErr_NewExceptionWithDoc(
        "pickletask.TaskletExit",
        "Raised in a tasklet to end it: tasklet.kill() does.\n\n"
        "A tasklet that ends by it ends silently.",
        PyExc_SystemExit, NULL);
    if (bomb_exit == NULL
        || PyModule_AddObjectRef(module, "TaskletExit", bomb_exit) < 0)
    {
        return -1;
    }
    bomb_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (bomb_type == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "bomb", (PyObject *)bomb_type);
}
