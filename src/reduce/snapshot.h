/* Frame objects and tracebacks, for looking at afterwards.
 *
 * A frame object that is pickled by itself, or in a traceback, is a snapshot:
 * code, globals, local variables and line.  It can't be resumed; debuggers
 * and traceback printers take it like any frame that has ended.
 */
#ifndef PICKLETASK_REDUCE_SNAPSHOT_H
#define PICKLETASK_REDUCE_SNAPSHOT_H

#include "interp/interp.h"

/* Adds _frame_variables, _reduce_frame, _new_frame, _set_frame,
 * _reduce_traceback and _new_traceback to the module. 0, or -1 with an
 * exception. */
int snapshot_setup(PyObject *module);

#endif
