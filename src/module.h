/* What every layer may know of the extension module pickletask._core. */
#ifndef PICKLETASK_MODULE_H
#define PICKLETASK_MODULE_H

#include <Python.h>

/* Each concept that has Python-visible parts adds them to the module with
 * one function of this shape: 0, or -1 with an exception set. */
typedef int (*module_setup)(PyObject *module);

/* Adds what pickles name to have something made: a type, since pickle finds
 * out the name of a type much faster than that of a function.  Calling it
 * calls `make`, whose result is no instance; there are none.  `name` is
 * static, "pickletask." and as little as can be. New reference, or NULL with
 * an exception. */
PyObject *module_add_maker(PyObject *module, const char *name, newfunc make);

#endif
