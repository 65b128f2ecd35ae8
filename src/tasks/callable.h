/* What a tasklet runs, brought into the form that frames can be made soft in:
 * a plain Python function with all of its arguments. */
#ifndef PICKLETASK_CALLABLE_H
#define PICKLETASK_CALLABLE_H

#include "tasklet.h"

/* Once. 0, or -1 with an exception. */
int callable_setup(void);

/* Calls what the tasklet was bound to; t->func is a plain Python function
 * then, if it can be.  New reference, or NULL with an exception. */
PyObject *callable_run(tasklet *t);

#endif
