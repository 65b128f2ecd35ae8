/* Functions that can't be called: see sealed.h. */
#include "sealed.h"

#include "interp/analysis.h"

typedef struct {
    PyObject_HEAD
    PyObject *function; /* owned */
} sealed;

static PyTypeObject *sealed_type; /* owned */

PyObject *
sealed_new(PyObject *function, int always)
{
    sealed *self = NULL;

    if (function == NULL) {
        return NULL;
    }
    int trusting = always
                       ? 1
                       : analysis_trusts_caller(
                             (PyCodeObject *)PyFunction_GET_CODE(function));
    if (trusting == 0) {
        return function;
    }
    if (trusting > 0) {
        self = PyObject_GC_New(sealed, sealed_type);
    }
    if (self == NULL) {
        Py_DECREF(function);
        return NULL;
    }
    self->function = function;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

PyObject *
sealed_open(PyObject *object)
{
    return Py_IS_TYPE(object, sealed_type) ? ((sealed *)object)->function
                                           : object;
}

/* ---- the type --------------------------------------------------------- */

/* A cycle through it is cleared at the function, whose closure it goes
 * through. */
static int
sealed_traverse(sealed *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->function);
    return 0;
}

static void
sealed_dealloc(sealed *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    Py_DECREF(self->function);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyObject *
sealed_repr(sealed *self)
{
    return PyUnicode_FromFormat("<sealed %R>", self->function);
}

static PyObject *
core_seal(PyObject *module, PyObject *function)
{
    if (!PyFunction_Check(function)) {
        PyErr_Format(PyExc_TypeError, "expected a function, not %.200s",
                     Py_TYPE(function)->tp_name);
        return NULL;
    }
    return sealed_new(Py_NewRef(function), 1);
}

static PyMethodDef functions[] = {
    {"_seal", core_seal, METH_O,
     PyDoc_STR("Function that pickles may refer to, but not call.")},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Function that pickles may refer to, but not call."},
    {Py_tp_traverse, sealed_traverse},
    {Py_tp_dealloc, sealed_dealloc},
    {Py_tp_repr, sealed_repr},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pickletask._core._sealed",
    .basicsize = sizeof(sealed),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int
sealed_setup(PyObject *module)
{
    sealed_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec,
                                                           NULL);
    return sealed_type == NULL || PyModule_AddFunctions(module, functions) < 0
               ? -1
               : 0;
}
