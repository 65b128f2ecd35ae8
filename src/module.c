/* The extension module pickletask._core: one setup call a concept. */
#include "module.h"

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pickletask._core",
    .m_doc = PyDoc_STR("The C core of pickletask."),
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModule_Create(&module_def);
}
