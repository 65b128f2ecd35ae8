/* The methods of tasklets: what starts them, stops them and switches. */
#ifndef PICKLETASK_TASKLET_METHODS_H
#define PICKLETASK_TASKLET_METHODS_H

#include <Python.h>

extern PyMethodDef tasklet_methods[];

#endif
