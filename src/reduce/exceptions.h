/* What pickle forgets of exceptions: traceback, cause, context, and whether
 * the context is shown.
 *
 * An exception is saved as its class says, and these afterwards, since they
 * may lead back to it.  Tracebacks are for looking at when they are loaded:
 * pickletask/postmortem.py says what is saved of them.
 */
#ifndef PICKLETASK_REDUCE_EXCEPTIONS_H
#define PICKLETASK_REDUCE_EXCEPTIONS_H

#include "interp/interp.h"

/* Follows substitute_setup(). 0, or -1 with an exception. */
int exceptions_setup(PyObject *module);

/* Has the exception anything that pickle forgets?  A group has exceptions in
 * it that may. */
int exceptions_have_more(PyObject *value);

/* The exception, pickled by itself, and what pickle forgets of it. New
 * reference, or NULL with an exception. */
PyObject *exceptions_reduce(PyObject *value);

/* New reference, or NULL with an exception. */
PyObject *exceptions_reduce_traceback(PyObject *traceback);

/* A deep copy of an exception, which this substitute stands for, with the same
 * relations. Tracebacks are shared: nobody changes them. New reference, or
 * NULL with an exception. */
PyObject *exceptions_copy(PyObject *value, PyObject *substitute,
                          PyObject *memo);

#endif
