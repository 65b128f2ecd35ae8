/* The extension module pickletask._core: one setup call a concept. */
#include "module.h"

#include "interp/analysis.h"
#include "interp/supported.h"
#include "reduce/reduce.h"
#include "tasks/tasks.h"

static PyObject *
core_check_interpreter(PyObject *module, PyObject *unused)
{
    return interp_is_main() < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
module_add_maker(PyObject *module, const char *name, newfunc make)
{
    PyType_Slot slots[] = {
        {Py_tp_new, make},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = name,
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    PyObject *type = PyType_FromSpec(&spec);

    if (type != NULL
        && PyModule_AddObjectRef(module, strchr(name, '.') + 1, type) < 0)
    {
        Py_CLEAR(type);
    }
    return type;
}

static PyMethodDef functions[] = {
    {"_check_interpreter", core_check_interpreter, METH_NOARGS,
     PyDoc_STR("Raise ImportError in a subinterpreter.")},
    {NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pickletask._core",
    .m_doc = PyDoc_STR("The C core of pickletask."),
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    if (interp_supported() < 0) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&module_def);
    if (module == NULL || analysis_setup(module) < 0
        || tasks_setup(module) < 0 || reduce_setup(module) < 0)
    {
        Py_CLEAR(module);
    }
    return module;
}
