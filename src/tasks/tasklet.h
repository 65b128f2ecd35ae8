/* Tasklets: what Python sees of a fiber.
 *
 *   made       tasklet(f): has a function, or not even that
 *   ready      it has arguments too; "alive" from here on
 *   running    one of each thread; it is in the run queue
 *   suspended  in the run queue ("scheduled"), waiting at a channel
 *              ("blocked", and "scheduled" too), in run(), or in nothing
 *              ("paused")
 *   dead       can be bound again
 *
 * Ownership: the run queue and channels own a reference to each tasklet that
 * waits there.  A suspended tasklet has none to itself, so that one which
 * nobody can resume any more is found and finalised.
 *
 * A thread's main tasklet stands for the thread's own stack: it does not use
 * the fiber inside.
 */
#ifndef PICKLETASK_TASKLET_H
#define PICKLETASK_TASKLET_H

#include "fiber/fiber.h"

typedef struct tasklet tasklet;
typedef struct scheduler scheduler;
typedef struct channel channel;

/* What a tasklet finds when it goes on. */
typedef enum {
    TEMPVAL_VALUE,      /* tempval, or None if that is NULL */
    TEMPVAL_SELF,       /* the tasklet; not owned, for it would be a cycle */
    TEMPVAL_BOMB        /* raises tempval */
} tempval_kind;

struct tasklet {
    PyObject_HEAD
    tasklet *next, *prev;       /* neighbours in a queue, or NULL; borrowed */
    PyObject *tempval;          /* owned, or NULL */
    unsigned char kind;         /* tempval_kind */
    unsigned char watching;     /* suspended in run() */
    unsigned char finalizing;   /* its errors have nobody to go to */
    unsigned char loose;        /* loaded, and not used yet: belongs to whom
                                 * it will; in no run queue */
    signed char direction;      /* blocked: 1 sending, -1 receiving; else 0 */
    char atomic, ignore_nesting, block_trap;    /* set by users */
    scheduler *scheduler;       /* of its thread; NULL if that has ended */
    channel *channel;           /* where it is blocked, or NULL; owned */
    tasklet *outer;             /* the next one out in run(); owned by the
                                 * scheduler's list */
    PyObject *func;             /* callable or NULL; owned */
    PyObject *args;             /* tuple, or NULL if not ready; owned */
    PyObject *kwargs;           /* dict or NULL; names (tuple) once started,
                                 * values are in args; owned */
    tasklet *older, *younger;   /* of all in the scheduler; borrowed */
    PyObject *weakrefs;
    fiber fiber;
};

extern PyTypeObject *tasklet_type;

/* Makes the type and adds it. 0, or -1 with an exception. */
int tasklet_setup(PyObject *module);

/* A main tasklet for s. New reference, or NULL with an exception. */
tasklet *tasklet_new_main(scheduler *s);

/* Started, and neither running nor dead. */
int tasklet_suspended(tasklet *t);

/* Has something to run. */
int tasklet_alive(tasklet *t);

/* Ends a tasklet that is not running and not in a queue; nothing of it runs.
 * May run Python code: what it held is released. */
void tasklet_discard(tasklet *t);

/* Drops what the tasklet was called with. May run Python code. */
void tasklet_release_arguments(tasklet *t);

/* Gives the tasklet something to run from its beginning.  Each may be NULL or
 * None: func then is the one it has, without args and kwargs it is not ready,
 * with nothing it is unbound.  0, or -1 with an exception, nothing changed.
 * May run Python code. */
int tasklet_bind(tasklet *t, PyObject *func, PyObject *args,
                 PyObject *kwargs);

/* Brings the arguments of a call (kwargs may be NULL), and puts the tasklet
 * into the run queue.  0, or -1 with an exception, nothing changed. */
int tasklet_set_up(tasklet *t, PyObject *args, PyObject *kwargs);

/* 0 if t is of the calling thread, whose scheduler is s, or is loose and now
 * claimed; else -1 with RuntimeError. */
int tasklet_check_thread(scheduler *s, tasklet *t);

/* Makes a loose tasklet one of the calling thread, whose scheduler is s; does
 * nothing to others. Can't fail. */
void tasklet_claim(scheduler *s, tasklet *t);

/* ---- tempval ---------------------------------------------------------- */

/* Leaves a value, or what is in a bomb. The slot must be empty. */
void tasklet_leave(tasklet *t, PyObject *value);

/* Leaves the tasklet itself. */
static inline void
tasklet_leave_self(tasklet *t)
{
    assert(t->tempval == NULL);
    t->kind = TEMPVAL_SELF;
}

/* Takes what is there, and empties the slot. New reference, an exception
 * instance if *kind is TEMPVAL_BOMB. */
static inline PyObject *
tasklet_take(tasklet *t, tempval_kind *kind)
{
    PyObject *value = t->tempval;
    *kind = t->kind;
    t->tempval = NULL;
    t->kind = TEMPVAL_VALUE;
    if (value == NULL) {
        value = Py_NewRef(*kind == TEMPVAL_SELF ? (PyObject *)t : Py_None);
    }
    return value;
}

/* ---- for reducers ----------------------------------------------------- */

/* What a tasklet is, without its fiber. Nothing of it is owned. */
typedef struct {
    PyObject *func, *args, *kwargs;     /* of one that has not started */
    PyObject *tempval;                  /* NULL: None */
    tempval_kind kind;
    PyObject *channel;                  /* NULL: not blocked */
    int direction;
    char atomic, ignore_nesting, block_trap;
} tasklet_state;

/* The state of a tasklet that is not running. */
void tasklet_get_state(tasklet *t, tasklet_state *state);

/* Gives a state to a tasklet of the calling thread that is not alive.  What
 * is there of func, args and kwargs makes it ready; for one that has started
 * the caller fills t->fiber first.  The channel is ignored: see
 * channel_set_state().  0, or -1 with an exception, nothing changed. */
int tasklet_set_state(tasklet *t, const tasklet_state *state);

#endif
