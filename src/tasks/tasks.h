/* Tasklets, channels, and the functions of the module about them. */
#ifndef PICKLETASK_TASKS_H
#define PICKLETASK_TASKS_H

#include "module.h"

/* Sets up the fiber layer too. 0, or -1 with an exception. */
int tasks_setup(PyObject *module);

#endif
