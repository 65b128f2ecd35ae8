/* What every layer may know of the extension module pickletask._core. */
#ifndef PICKLETASK_MODULE_H
#define PICKLETASK_MODULE_H

#include <Python.h>

/* Each concept that has Python-visible parts adds them to the module with
 * one function of this shape: 0, or -1 with an exception set. */
typedef int (*module_setup)(PyObject *module);

#endif
