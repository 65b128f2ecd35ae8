/* Fibers: the switch, and the life of a fiber.
 *
 * Where things are while a fiber is parked:
 *
 *      fiber                     its C stack
 *     +--------+                +----------------------------+ <- high
 *     | stack -|--------------->| data stack: Python frames  |
 *     |        |                |  grow upwards              |
 *     |        |                +----------------------------+ <- chunk
 *     |        |                | fiber_main                 |
 *     |        |                |  interpreter loop          |
 *     |        |                |   a C function that waits  |
 *     | saved -|--------------->|    fiber_switch: saved     |
 *     | sp ----|--------------->|     registers              |
 *     +--------+                +----------------------------+
 *                               : free, then the guard       :
 *                               +----------------------------+ <- low
 *
 * The data stack begins in the middle of a page, and the C stack below it
 * ends there, so that a shallow fiber touches one page.
 *
 * A thread's stacks come from its pool.  A fiber that ends can't free the
 * stack it stands on: it leaves it in thread->dead_stack, and who arrives
 * next frees it.  If the next fiber is new or soft, it simply takes the stack
 * over: fiber_main is a loop.
 */
#include "fiber.h"
#include "awaitable.h"
#include "chain.h"
#include "contexts.h"
#include "crossing.h"
#include "distance.h"
#include "imports.h"
#include "landing.h"
#include "soften.h"
#include "stack/tools.h"

#include <stddef.h>

/* What a C stack needs is what CPython's own limits let it use: at those of
 * 3.11 to 3.13 up to 5 MiB (sorted() with a key that recurses).  Memory that
 * was never touched costs nothing. */
#define STACK_SIZE (8 << 20)

/* Bytes at the top of a stack for Python frames; deeper ones go to chunks
 * that CPython allocates.  Not a whole number of pages, see above. */
#define CHUNK_SIZE ((64 << 10) - 2048)

/* Found by benchmarks/memory: beyond it, softening saves nine tenths of the
 * memory and costs less than a page fault. */
static Py_ssize_t parked_limit = 1000;

static const fiber_hooks *the_hooks;
static _Thread_local fiber_thread *this_thread;

/* ---- invariants ------------------------------------------------------- */

int
fiber_check(const fiber *f)
{
    switch (f->state) {
    case FIBER_NEW:
        assert(f->image == NULL);
        assert(f->saved == NULL);
        break;
    case FIBER_RUNNING:
        assert(f->thread != NULL);
        assert(f->saved == NULL);
        assert(f->warmer == NULL && f->colder == NULL);
        break;
    case FIBER_PARKED:
        assert(f->thread != NULL);
        assert(f->saved != NULL && f->sp != NULL);
        break;
    case FIBER_SOFT:
        assert(f->image != NULL);
        assert(f->saved == NULL);
        break;
    case FIBER_DEAD:
        assert(f->image == NULL);
        assert(f->saved == NULL);
        break;
    }
    return 1;
}

/* ---- the thread's parked fibers, by time ------------------------------ */

static inline void
park(fiber_thread *t, fiber *f)
{
    if (f == &t->main || f->stuck) {
        return;
    }
    f->colder = t->warmest;
    f->warmer = NULL;
    if (t->warmest != NULL) {
        t->warmest->warmer = f;
    }
    else {
        t->coldest = f;
    }
    t->warmest = f;
    t->parked++;
}

static inline void
unpark(fiber *f)
{
    fiber_thread *t = f->thread;
    if (f->state != FIBER_PARKED || f == &t->main || f->stuck) {
        return;
    }
    if (f->warmer != NULL) {
        f->warmer->colder = f->colder;
    }
    else {
        t->warmest = f->colder;
    }
    if (f->colder != NULL) {
        f->colder->warmer = f->warmer;
    }
    else {
        t->coldest = f->warmer;
    }
    f->colder = f->warmer = NULL;
    t->parked--;
}

void
fiber_unpark(fiber *f)
{
    unpark(f);
}

/* Makes the coldest fibers soft, until no more than the limit are parked.
 * One that can't be is taken off the list until it has run again.  Running
 * out of memory is no reason to fail here: a fiber may stay as it is. */
static void
soften_coldest(fiber_thread *t)
{
    while (t->parked > parked_limit) {
        fiber *f = t->coldest;
        switch (soften(f, the_hooks)) {
        case SOFTEN_DONE:
            break;
        case SOFTEN_FAILED:
            PyErr_Clear();
            return;
        case SOFTEN_REFUSED:
            fiber_unpark(f);
            f->stuck = 1;
            break;
        }
    }
}

Py_ssize_t
fiber_set_parked_limit(Py_ssize_t limit)
{
    Py_ssize_t old = parked_limit;
    parked_limit = limit;
    return old;
}

/* ---- arriving --------------------------------------------------------- */

/* What has to wait until the running fiber is in order.  Keeps the exception
 * that may be set. */
static Py_NO_INLINE void
settle_now(fiber_thread *t)
{
    if (t->parked > parked_limit) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        soften_coldest(t);
        PyErr_Restore(type, value, traceback);
    }
    if (t->unsettled) {
        the_hooks->settle(t);
    }
}

static inline void
settle(fiber_thread *t)
{
    if (t->unsettled || t->parked > parked_limit) {
        settle_now(t);
    }
}

static void
release_dead_stack(fiber_thread *t)
{
    if (t->dead_stack != NULL) {
        stack_release(&t->pool, t->dead_stack);
        t->dead_stack = NULL;
    }
}

/* ---- the first function on a fiber's stack ---------------------------- */

static void *
stack_chunk(const stack *s)
{
    return s->high - CHUNK_SIZE;
}

/* Runs fiber f from its beginning, or from where its frames stand, to its
 * end.  New reference, or NULL with an exception. */
static PyObject *
run(fiber_thread *t, fiber *f)
{
    PyThreadState *ts = t->tstate;
    PyObject *result, *context = f->context;
    interp_base base;
    int soft = f->state == FIBER_SOFT;

    f->thread = t;
    f->state = FIBER_RUNNING;
    f->context = NULL;
    interp_use_chunk(ts, stack_chunk(f->stack), CHUNK_SIZE);
    interp_fresh(ts, &base, &f->exc, context, f->stack->low,
                 stack_chunk(f->stack));
    if (soft) {
        result = landing(t, f, &base, the_hooks, settle);
    }
    else {
        settle(t);
        result = the_hooks->run(f);
    }
    assert(t->current == f);
    f->ended = 1;
    return result;
}

/* The fiber's last thread state goes; the context stays with the fiber, for
 * to drop it may run Python code. */
static void
retire(fiber_thread *t, fiber *f)
{
    f->context = t->tstate->context;
    t->tstate->context = NULL;
    t->tstate->datastack_chunk = NULL;
    f->state = FIBER_DEAD;
    f->thread = NULL;
    if (f->image != NULL) {
        PyMem_Free(f->image);
        f->image = NULL;
    }
}

static void
fiber_main(void *argument)
{
    fiber_thread *t = argument;
    void *nowhere;

    tools_arrive(NULL);
    release_dead_stack(t);
    for (;;) {
        fiber *f = t->current;
        fiber *to = the_hooks->finished(f, run(t, f));
        assert(to != f && to->state != FIBER_DEAD);
        stack *s = f->stack;
        f->stack = NULL;
        retire(t, f);
        t->current = to;
        if (to->stack == NULL && to->state != FIBER_PARKED) {
            to->stack = s;
            continue;
        }
        t->stacks--;
        t->dead_stack = s;
        fiber_unpark(to);
        tools_leave(NULL, to->stack);
        stack_swap(&nowhere, to->sp, NULL);
        Py_UNREACHABLE();
    }
}

/* ---- switching -------------------------------------------------------- */

int
fiber_prepare(fiber_thread *t, fiber *f)
{
    assert(f->state != FIBER_DEAD);
    if (f->state == FIBER_RUNNING || f->state == FIBER_PARKED
        || f->stack != NULL)
    {
        return 0;
    }
    stack *s = stack_acquire(&t->pool);
    if (s == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    t->stacks++;
    f->stack = s;
    f->thread = t;
    f->sp = stack_prepare(stack_chunk(s), fiber_main, t);
    return 0;
}

/* Gives back the stack of a fiber that was prepared and never entered. */
static void
unprepare(fiber *f)
{
    if (f->stack != NULL && f->state != FIBER_PARKED) {
        stack_release(&f->thread->pool, f->stack);
        f->thread->stacks--;
        f->stack = NULL;
        f->sp = NULL;
    }
}

PyObject *
fiber_switch(fiber_thread *t, fiber *to, const fiber_call *call)
{
    fiber *from = t->current;
    fiber_saved saved;
    void *mark;
    PyObject *result;

    assert(fiber_check(from) && fiber_check(to));
    if (to == from) {
        return the_hooks->deliver(from);
    }
    assert(to->sp != NULL);
    assert(!PyErr_Occurred());
    interp_save(t->tstate, &saved.interp);
    saved.call = call;
    from->saved = &saved;
    from->stuck = call == NULL;
    from->state = FIBER_PARKED;
    park(t, from);
    unpark(to);
    t->current = to;
    tools_leave(&mark, to->stack);
    stack_swap(&from->sp, to->sp, NULL);

    tools_arrive(&mark);
    release_dead_stack(t);
    from->saved = NULL;
    from->sp = NULL;
    from->stuck = 0;
    from->state = FIBER_RUNNING;
    interp_load(t->tstate, &saved.interp);
    result = the_hooks->deliver(from);
    settle(t);
    return result;
}

/* ---- lifecycle -------------------------------------------------------- */

void
fiber_init(fiber *f)
{
    memset(f, 0, sizeof(*f));
    f->state = FIBER_NEW;
}

void
fiber_discard(fiber *f)
{
    assert(f->state != FIBER_RUNNING);
    if (f->state == FIBER_PARKED && soften(f, the_hooks) == SOFTEN_FAILED) {
        PyErr_Clear();
    }
    fiber_unpark(f);
    unprepare(f);
    if (f->state == FIBER_SOFT) {
        soften_discard(f);
    }
    /* A C stack that is still there can't be unwound: it is lost. */
    f->stack = NULL;
    f->saved = NULL;
    f->sp = NULL;
    f->stuck = 0;
    f->state = FIBER_DEAD;
    f->thread = NULL;
    PyObject *exception = f->exc.exc_value;
    f->exc.exc_value = NULL;
    Py_XDECREF(exception);
    Py_CLEAR(f->context);
}

int
fiber_traverse(fiber *f, visitproc visit, void *arg)
{
    Py_VISIT(f->context);
    Py_VISIT(f->exc.exc_value);
    if (f->state == FIBER_PARKED || f->state == FIBER_SOFT) {
        return soften_traverse(f, visit, arg);
    }
    return 0;
}

/* ---- threads ---------------------------------------------------------- */

static const char capsule_name[] = "pickletask._core.thread";
static PyObject *capsule_key;       /* the same; owned */

static void
thread_free(PyObject *capsule)
{
    fiber_thread *t = PyCapsule_GetPointer(capsule, capsule_name);
    if (t->user_free != NULL) {
        t->user_free(t);
    }
    if (this_thread == t) {
        this_thread = NULL;
    }
    release_dead_stack(t);
    if (t->stacks == 0 && t->parked == 0) {
        stack_pool_fini(&t->pool);
        PyMem_RawFree(t);
    }
    /* Otherwise parked fibers still point here; they can only be
     * discarded, which needs the list and the pool. */
}

/* Returns the new fibers of thread state ts, or NULL with an exception. */
static fiber_thread *
thread_new(PyThreadState *ts)
{
    PyObject *capsule = NULL;
    PyObject *dict = PyThreadState_GetDict();
    fiber_thread *t = PyMem_RawCalloc(1, sizeof(*t));

    if (t == NULL || dict == NULL) {
        PyErr_NoMemory();
        goto error;
    }
    capsule = PyCapsule_New(t, capsule_name, thread_free);
    if (capsule == NULL) {
        goto error;
    }
    t->tstate = ts;
    stack_pool_init(&t->pool, STACK_SIZE);
    fiber_init(&t->main);
    t->main.state = FIBER_RUNNING;
    t->main.thread = t;
    t->current = &t->main;
    if (PyDict_SetItem(dict, capsule_key, capsule) < 0) {
        Py_DECREF(capsule);
        return NULL;
    }
    Py_DECREF(capsule);
    return t;

error:
    PyMem_RawFree(t);
    return NULL;
}

/* Out of line, so that the quick way saves no registers. */
static Py_NO_INLINE fiber_thread *
thread_find(void)
{
    fiber_thread *t = NULL;
    PyObject *dict = PyThreadState_GetDict();
    PyObject *capsule = NULL;
    if (dict != NULL) {
        capsule = PyDict_GetItemWithError(dict, capsule_key);
        if (capsule == NULL && PyErr_Occurred()) {
            return NULL;
        }
    }
    if (capsule != NULL) {
        t = PyCapsule_GetPointer(capsule, capsule_name);
    }
    else {
        t = thread_new(PyThreadState_Get());
    }
    this_thread = t;
    return t;
}

fiber_thread *
fiber_thread_get(void)
{
    fiber_thread *t = this_thread;
    if (t != NULL && interp_is_active(t->tstate)) {
        return t;
    }
    return thread_find();
}

int
fiber_setup(PyObject *module, const fiber_hooks *hooks)
{
    the_hooks = hooks;
    capsule_key = PyUnicode_InternFromString(capsule_name);
    if (capsule_key == NULL) {
        return -1;
    }
    if (landing_setup(module) < 0 || awaitable_setup(module) < 0
        || contexts_setup(module) < 0 || bridge_setup(module) < 0
        || crossing_setup() < 0 || imports_setup(module) < 0
        || distance_setup(module) < 0)
    {
        return -1;
    }
    return 0;
}

/* ---- what suspended fibers show ---------------------------------------- */

PyObject *
fiber_frame(fiber *f)
{
    fiber_thread *t = fiber_thread_get();
    iframe *top = NULL;

    if (t == NULL) {
        return NULL;
    }
    if (f->state == FIBER_PARKED) {
        top = interp_saved_frame(&f->saved->interp);
    }
    else if (f->state == FIBER_SOFT) {
        top = f->image->top;
    }
    else if (f == t->current) {
        top = interp_current(t->tstate);
    }
    if (top == NULL) {
        return NULL;
    }
    /* CPython makes frame objects for the running frame only. Nothing may run
     * meanwhile, no finaliser either. */
    int collects = PyGC_Disable();
    iframe *running = interp_current(t->tstate);
    interp_set_current(t->tstate, top);
    PyObject *frame = (PyObject *)PyThreadState_GetFrame(t->tstate);
    interp_set_current(t->tstate, running);
    if (collects) {
        PyGC_Enable();
    }
    return frame;
}

int
fiber_nesting(fiber *f)
{
    chain c;

    if (f->state != FIBER_PARKED) {
        return 0;
    }
    chain_result result = chain_walk(f, the_hooks, 1, &c);
    chain_clear(&c);
    return result == CHAIN_FAILED ? -1 : result == CHAIN_REFUSED;
}

/* ---- what other layers ask for ----------------------------------------- */

static const fiber_pickling *the_pickling;

const fiber_hooks *
fiber_get_hooks(void)
{
    return the_hooks;
}

void
fiber_set_pickling(const fiber_pickling *pickling)
{
    the_pickling = pickling;
}

const fiber_pickling *
fiber_get_pickling(void)
{
    return the_pickling;
}
