/* Fibers: suspended computations, with or without a C stack.
 *
 * A fiber is NEW (nothing ran yet), RUNNING, PARKED (suspended with a C stack
 * of its own: "hard"), SOFT (suspended as interpreter frames alone, see
 * soften.h) or DEAD.  Its state is the core's business, never its user's:
 * fiber_switch() goes to any fiber that is not dead.
 *
 * The layer above embeds a fiber in its own object and says in fiber_hooks
 * what to run and what to do at the end.  Values do not travel through this
 * layer: the user leaves them with the target before it switches, and
 * `deliver` takes them out after arrival.
 *
 * Prepare, commit, deliver: fiber_prepare() does all that may fail;
 * fiber_switch() after it cannot fail to leave; what arrives runs `deliver`.
 *
 * Ownership: a fiber's references are those that its frames hold.  Who keeps
 * the object around a fiber alive while it runs or waits is the user's
 * affair; the fiber layer holds borrowed pointers only.
 */
#ifndef PICKLETASK_FIBER_H
#define PICKLETASK_FIBER_H

#include "interp/interp.h"
#include "stack/stack.h"

typedef enum {
    FIBER_NEW, FIBER_RUNNING, FIBER_PARKED, FIBER_SOFT, FIBER_DEAD
} fiber_state;

typedef struct fiber fiber;
typedef struct fiber_thread fiber_thread;
struct fiber_image;

/* The C call that suspends: how the interpreter called the function that
 * switches.  Lives on the C stack of the fiber that leaves. */
typedef struct {
    PyObject *const *args;  /* as METH_FASTCALL got them; NULL if there are
                             * none (tp_iternext) */
    Py_ssize_t nargs;
    PyObject *kwnames;      /* borrowed, or NULL */
    PyObject *self;         /* borrowed */
    void (*function)(void); /* the PyCFunction in ml_meth; NULL: tp_iternext
                             * of self */
} fiber_call;

/* What a fiber that is parked left on its own C stack. */
typedef struct {
    interp_saved interp;
    const fiber_call *call;  /* NULL: it can not become soft */
} fiber_saved;

struct fiber {
    fiber_state state;
    unsigned char landed;   /* was soft: its first loop is landing.c's */
    unsigned char ended;    /* its frames are left: what runs is its end */
    unsigned char stuck;    /* PARKED, can't become soft: not asked again */
    unsigned char has_context;  /* its own one isn't to come: contexts.h */
    unsigned char repeats;  /* a frame may have to repeat its instruction:
                             * PENDING_REPEAT */
    fiber_thread *thread;   /* where it runs or is parked; NULL: nowhere */
    stack *stack;           /* PARKED; NEW and SOFT once prepared */
    void *sp;               /* PARKED, prepared: where to swap to */
    fiber_saved *saved;     /* PARKED: on the C stack */
    struct fiber_image *image;  /* SOFT; also the data stack of a fiber that
                                 * was too deep for its stack's own */
    PyObject *context;      /* contextvars.Context or NULL; owned */
    _PyErr_StackItem exc;   /* root of the fiber's handled exceptions */
    fiber *colder, *warmer; /* the thread's parked fibers, by time */
};

/* What the layer above does. All are called with the GIL. */
typedef struct {
    /* A new fiber begins. New reference, or NULL with an exception. */
    PyObject *(*run)(fiber *f);
    /* f has just arrived: takes what was left for it. New reference, or NULL
     * with an exception that is raised in f. */
    PyObject *(*deliver)(fiber *f);
    /* f has ended. Steals the result (NULL: an exception is set, and has to
     * be dealt with). May run Python code. Returns the fiber to go to, which
     * is neither f nor dead. */
    fiber *(*finished)(fiber *f, PyObject *result);
    /* The running fiber is in order again after an arrival, and t->unsettled
     * is set: the place to drop references that had to outlive it. No
     * exception is set. */
    void (*settle)(fiber_thread *t);
    /* First and last frame's function of f, to prove who called it. Borrowed,
     * or NULL if it's not a Python function. */
    PyObject *(*function)(fiber *f);
} fiber_hooks;

/* A thread's fibers. Made by fiber_thread_get(). */
struct fiber_thread {
    PyThreadState *tstate;
    fiber *current;
    fiber main;             /* the thread's own stack; never soft */
    stack_pool pool;
    stack *dead_stack;      /* left for ever; released on arrival */
    fiber *coldest, *warmest;
    Py_ssize_t parked;      /* fibers between coldest and warmest */
    Py_ssize_t stacks;      /* all that own a stack */
    int unsettled;          /* the layer above wants its `settle` called */
    void *user;             /* the layer above's; NULL at first */
    void (*user_free)(fiber_thread *t);  /* called when the thread ends */
};

/* Called once, before anything else. 0, or -1 with an exception. */
int fiber_setup(PyObject *module, const fiber_hooks *hooks);

/* The calling thread's fibers. NULL with an exception: no memory. */
fiber_thread *fiber_thread_get(void);

/* Makes *f a new fiber; zeroed memory is not enough. */
void fiber_init(fiber *f);

/* Makes sure that fiber_switch(t, f) can leave for f, which is not dead and
 * at home in t or nowhere. 0, or -1 with an exception, nothing changed. */
int fiber_prepare(fiber_thread *t, fiber *f);

/* Leaves the running fiber for `to`, which is prepared (or is the running
 * one: then delivers at once). Comes back when somebody switches here: new
 * reference, or NULL with an exception. Runs Python code after arrival. */
PyObject *fiber_switch(fiber_thread *t, fiber *to, const fiber_call *call);

/* The frame object in which a suspended fiber stands. New reference; NULL
 * without an exception if there is none, with one if there's no memory. */
PyObject *fiber_frame(fiber *f);

/* Depth of the fiber in C: 0 if it is, or could be made, soft; -1 with an
 * exception. */
int fiber_nesting(fiber *f);

/* Clears a fiber that is not running and can't go on: no `finally` runs.
 * A C stack that can't be unwound is leaked with what it holds. */
void fiber_discard(fiber *f);

/* tp_traverse of what the fiber holds. */
int fiber_traverse(fiber *f, visitproc visit, void *arg);

/* Asserted at entry and exit of every operation. */
int fiber_check(const fiber *f);

/* How many stacks a thread keeps before the coldest parked fiber is made
 * soft. Returns the old limit. */
Py_ssize_t fiber_set_parked_limit(Py_ssize_t limit);

/* Takes f off the list of parked fibers, if it is on it. */
void fiber_unpark(fiber *f);

/* What the user said to fiber_setup(). */
const fiber_hooks *fiber_get_hooks(void);

/* How fibers are written down and made again. Set by the layer that knows it;
 * used by the objects around fibers, which do not know that layer. */
typedef struct {
    /* A suspended fiber as plain, picklable state, with its code by reference
     * or by value: a tuple of bytes, which begin with one of the caller's, the
     * caller's own items, and those of the fiber. New reference, or NULL with
     * an exception. */
    PyObject *(*capture)(fiber *f, int by_reference, unsigned char first,
                         PyObject *const *own, int count);
    /* Makes a new fiber soft with such a state, in which there are so many
     * items of the caller's. 0, or -1 with an exception, and nothing
     * changed. */
    int (*rebuild)(fiber *f, PyObject *state, int count);
    /* The same with a state of format 2 or 1, which has its fiber apart. */
    int (*rebuild_old)(fiber *f, PyObject *frames);
    /* The value, or what is to be pickled in its place. New reference, or
     * NULL with an exception. */
    PyObject *(*substitute)(PyObject *value);
} fiber_pickling;

void fiber_set_pickling(const fiber_pickling *pickling);
const fiber_pickling *fiber_get_pickling(void);

#endif
