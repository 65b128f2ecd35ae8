/* The exceptions of pickling and restoring. */
#ifndef PICKLETASK_REDUCE_ERRORS_H
#define PICKLETASK_REDUCE_ERRORS_H

#include "interp/interp.h"

extern PyObject *NotPicklableError;     /* pickle.PicklingError */
extern PyObject *RestoreError;          /* pickle.UnpicklingError */
extern PyObject *VersionMismatchError;  /* RestoreError */
extern PyObject *CodeChangedError;      /* RestoreError */
extern PyObject *CorruptStateError;     /* RestoreError */

/* Adds them to the module. 0, or -1 with an exception. */
int errors_setup(PyObject *module);

#endif
