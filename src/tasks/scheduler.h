/* A thread's tasklets: who runs, who comes next, and how one leaves.
 *
 * The run queue is a ring.  The running tasklet is in it, its `current`:
 *
 *            main --> a --> b --> c -+      schedule() goes to a;
 *              ^                     |      insert() puts d between c and
 *           current                  |      main;
 *              +---------------------+      a.run() moves `current` to a.
 *
 * Besides the run queue, tasklets wait at channels, or in run().  Those in
 * run() are chained from s->watchdog, innermost first: it is woken when the
 * ring runs empty, and gets the exceptions of tasklets that nobody else
 * wants.  Where there is none, main takes its place.
 *
 * Every operation that may switch has this shape:
 *
 *      s = scheduler_enter();
 *      do {
 *          check that it is allowed; choose whom to go to;
 *      } while (scheduler_depart(s, to, &d) > 0);
 *      if it returned -1: nothing has changed, return NULL;
 *      change the queues;                 can't fail, runs no Python code
 *      return scheduler_go(s, to, &call);     nothing comes after it
 *
 * The loop is there because callbacks are Python code: what was true before
 * one is looked at again after it.
 *
 * Nothing is released between leaving and arriving.  What the change frees
 * goes to s->trash, which is emptied when the next tasklet has arrived.
 */
#ifndef PICKLETASK_SCHEDULER_H
#define PICKLETASK_SCHEDULER_H

#include "tasklet.h"

/* The most that one change of the queues can leave behind: the tasklet that
 * left, and of the one that is gone to its tempval and its channel. */
#define SCHEDULER_TRASH 4

struct scheduler {
    fiber_thread *thread;       /* borrowed */
    tasklet *current;           /* runs; borrowed from the ring */
    tasklet *main;              /* owned */
    tasklet *watchdog;          /* innermost in run(), owned, or NULL */
    Py_ssize_t runcount;        /* tasklets in the ring */
    int trap;                   /* switch_trap() */
    int in_callback;
    int trashed;
    PyObject *trash[SCHEDULER_TRASH];   /* owned */
    tasklet *youngest;          /* of all that are of this thread */
    unsigned long thread_id;
};

/* What an operation keeps while it chooses whom to go to. Starts as zeros. */
typedef struct {
    int told;           /* the callback was called */
    PyObject *bomb;     /* owned; deadlock: who is woken gets this */
} departure;

extern PyObject *scheduler_callback;        /* owned, or NULL */
extern PyObject *scheduler_error_handler;   /* owned, or NULL */

/* Once. 0, or -1 with an exception. */
int scheduler_setup(PyObject *module);

/* ---- finding it ------------------------------------------------------- */

/* The scheduler of a thread that has none yet, or NULL with an exception. */
scheduler *scheduler_new(fiber_thread *t);

/* The calling thread's scheduler, or NULL with an exception: no memory. */
static inline scheduler *
scheduler_get(void)
{
    fiber_thread *t = fiber_thread_get();
    if (t == NULL || t->user != NULL) {
        return t == NULL ? NULL : t->user;
    }
    return scheduler_new(t);
}

/* Raises what was thrown at the running tasklet to wait for this. -1, or 0 if
 * it was nothing. */
int scheduler_pending(scheduler *s);

/* The same for an operation that may switch. NULL with an exception too if
 * one was waiting for the running tasklet. */
static inline scheduler *
scheduler_enter(void)
{
    scheduler *s = scheduler_get();
    if (s != NULL && s->current->tempval != NULL
        && scheduler_pending(s) < 0)
    {
        return NULL;
    }
    return s;
}

static inline fiber *
scheduler_fiber(scheduler *s, tasklet *t)
{
    return t == s->main ? &s->thread->main : &t->fiber;
}

/* Makes t one of the tasklets of s, or of nobody. */
void scheduler_link(scheduler *s, tasklet *t);
void scheduler_unlink(tasklet *t);

/* ---- rings ------------------------------------------------------------ */

/* Puts t before `at`, which is in a ring; `at` NULL: t is a new ring. */
static inline void
ring_insert(tasklet *at, tasklet *t)
{
    if (at == NULL) {
        t->next = t->prev = t;
    }
    else {
        t->next = at;
        t->prev = at->prev;
        at->prev->next = t;
        at->prev = t;
    }
}

static inline void
ring_remove(tasklet *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

/* Puts t at the end of the run queue. Steals a reference to t. */
static inline void
scheduler_insert(scheduler *s, tasklet *t)
{
    ring_insert(s->current, t);
    s->runcount++;
}

/* Takes t out of the run queue. The reference is the caller's. */
static inline void
scheduler_remove(scheduler *s, tasklet *t)
{
    ring_remove(t);
    s->runcount--;
}

/* ---- leaving ---------------------------------------------------------- */

/* See scheduler_depart(). */
int scheduler_depart_slow(scheduler *s, tasklet *to, departure *d);

/* Makes sure that the running tasklet can leave for `to`, which is of this
 * thread and not dead.  0, -1 with an exception (d is emptied), or 1: Python
 * code has run, choose again. */
static inline int
scheduler_depart(scheduler *s, tasklet *to, departure *d)
{
    if (scheduler_callback == NULL && (s->trap | s->in_callback) == 0
        && scheduler_fiber(s, to)->state == FIBER_PARKED)
    {
        return 0;
    }
    return scheduler_depart_slow(s, to, d);
}

/* Whom to go to if the running tasklet leaves the run queue. Borrowed; NULL
 * with an exception: there's nobody else, or no memory. */
tasklet *scheduler_heir(scheduler *s, departure *d);

/* Puts t into the run queue, wherever it is, and leaves d's bomb with it. */
void scheduler_admit(scheduler *s, tasklet *t, departure *d);

/* Leaves an exception with t, which it steals; what was there is trash. */
void scheduler_bomb(scheduler *s, tasklet *t, PyObject *exception);

/* Steals an object to release after arrival. */
static inline void
scheduler_trash(scheduler *s, PyObject *object)
{
    assert(s->trashed < SCHEDULER_TRASH);
    s->trash[s->trashed++] = object;
    s->thread->unsettled = 1;
}

/* Releases them now. May run Python code. */
void scheduler_settle(scheduler *s);

/* Goes to a tasklet in the run queue.  New reference, or NULL with an
 * exception: what was left for the one that leaves. */
static inline PyObject *
scheduler_go(scheduler *s, tasklet *to, const fiber_call *call)
{
    assert(to->next != NULL && to->channel == NULL);
    s->current = to;
    return fiber_switch(s->thread, scheduler_fiber(s, to), call);
}

/* Makes a tasklet runnable, or goes on with it, with an exception, which it
 * steals.  It is suspended, or ready, and of this thread. */
PyObject *scheduler_throw(scheduler *s, tasklet *to, PyObject *exception,
                          const fiber_call *call);

/* Has the exception, which it steals, raised when the tasklet goes on, and
 * puts it into the run queue of its thread, whichever that is. */
void scheduler_throw_pending(tasklet *to, PyObject *exception);

/* Takes t out of the channel where it is blocked, if it is; in channel.c.
 * Both references, of the channel to t and of t to the channel, are the
 * caller's.  Returns the channel, or NULL. */
channel *channel_unlink(tasklet *t);

#endif
