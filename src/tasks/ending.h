/* How tasklets, threads and the process end.
 *
 * A suspended tasklet that nobody can resume gets TaskletExit where it stands,
 * so that its `finally` and `with` blocks run: in its own thread, and whoever
 * dropped it goes on at once after that.  When its thread has ended, or the
 * process is about to, it can't run any more: its frames are cleared.
 */
#ifndef PICKLETASK_ENDING_H
#define PICKLETASK_ENDING_H

#include "scheduler.h"

/* Once; after this, suspended tasklets end before the interpreter does. 0, or
 * -1 with an exception. */
int ending_setup(PyObject *module);

/* tp_finalize of a suspended tasklet.  Keeps the exception that is set.  Runs
 * Python code. */
void ending_finalize(tasklet *t);

/* The end of a thread.  The fiber layer calls this in that thread, or in the
 * only one that is left after fork(); the scheduler is freed. */
void ending_thread(fiber_thread *thread);

#endif
