/* A thread's tasklets. */
#include "scheduler.h"
#include "bomb.h"
#include "callable.h"

#include <stddef.h>

/* A tasklet that swallows TaskletExit gets it so many times. */
#define KILL_ATTEMPTS 10

PyObject *scheduler_callback;
PyObject *scheduler_error_handler;

/* Set at exit: nothing is finalised by running it any more. */
static int exiting;

static PyObject *
fail(const char *text)
{
    PyErr_SetString(PyExc_RuntimeError, text);
    return NULL;
}

/* New RuntimeError instance, or NULL with an exception. */
static PyObject *
runtime_error(const char *text)
{
    return PyObject_CallFunction(PyExc_RuntimeError, "s", text);
}

/* ---- choosing whom to go to ------------------------------------------- */

/* Calls the schedule callback, unless d says that it was. Returns 1 if Python
 * code has run. */
static int
tell(scheduler *s, tasklet *to, departure *d)
{
    PyObject *callback, *result;

    if (scheduler_callback == NULL || d->told || s->in_callback) {
        return 0;
    }
    d->told = 1;
    s->in_callback = 1;
    callback = Py_NewRef(scheduler_callback);
    result = PyObject_CallFunctionObjArgs(callback, (PyObject *)s->current,
                                          (PyObject *)to, NULL);
    if (result == NULL) {
        PyErr_WriteUnraisable(callback);
    }
    Py_XDECREF(result);
    Py_DECREF(callback);
    s->in_callback = 0;
    return 1;
}

int
scheduler_depart_slow(scheduler *s, tasklet *to, departure *d)
{
    if (to != s->current) {
        if (s->in_callback) {
            fail("Recursive scheduler call due to callbacks!");
            goto error;
        }
        if (s->trap) {
            fail("switch_trap");
            goto error;
        }
        if (tell(s, to, d)) {
            return 1;
        }
    }
    if (fiber_prepare(s->thread, scheduler_fiber(s, to)) < 0) {
        goto error;
    }
    return 0;

error:
    Py_CLEAR(d->bomb);
    return -1;
}

int
scheduler_pending(scheduler *s)
{
    tasklet *me = s->current;
    tempval_kind kind;
    PyObject *value = tasklet_take(me, &kind);
    if (kind == TEMPVAL_BOMB) {
        bomb_explode(value);
        return -1;
    }
    Py_DECREF(value);
    return 0;
}

/* Who is woken if nobody can run, and gets stray exceptions. Borrowed. */
static tasklet *
waker(scheduler *s)
{
    return s->watchdog != NULL ? s->watchdog : s->main;
}

tasklet *
scheduler_heir(scheduler *s, departure *d)
{
    static const char text[] =
        "Deadlock: the last runnable tasklet cannot be blocked.";
    tasklet *me = s->current;
    tasklet *heir;

    Py_CLEAR(d->bomb);
    if (me->next != me) {
        return me->next;
    }
    heir = waker(s);
    if (heir == me) {
        fail(text);
        return NULL;
    }
    if (heir->channel != NULL) {
        d->bomb = runtime_error(text);
        if (d->bomb == NULL) {
            return NULL;
        }
    }
    return heir;
}

/* ---- changing the queues ---------------------------------------------- */

void
scheduler_bomb(scheduler *s, tasklet *t, PyObject *exception)
{
    if (t->tempval != NULL) {
        scheduler_trash(s, t->tempval);
    }
    t->tempval = exception;
    t->kind = TEMPVAL_BOMB;
}

void
scheduler_admit(scheduler *s, tasklet *t, departure *d)
{
    channel *c = channel_unlink(t);
    if (c != NULL) {
        scheduler_trash(s, (PyObject *)c);
        scheduler_insert(s, t);
    }
    else if (t->next == NULL) {
        scheduler_insert(s, (tasklet *)Py_NewRef(t));
    }
    if (d != NULL && d->bomb != NULL) {
        scheduler_bomb(s, t, d->bomb);
        d->bomb = NULL;
    }
}

void
scheduler_settle(scheduler *s)
{
    PyObject *trash[SCHEDULER_TRASH];
    int n = s->trashed;

    if (n == 0) {
        return;
    }
    /* To release one may switch, and make new trash. */
    memcpy(trash, s->trash, sizeof(trash));
    s->trashed = 0;
    for (int i = 0; i < n; i++) {
        Py_DECREF(trash[i]);
    }
}

PyObject *
scheduler_throw(scheduler *s, tasklet *to, PyObject *exception,
                const fiber_call *call)
{
    departure d = {0};
    int r;

    assert(to != s->current && to->scheduler == s);
    do {
        if (!tasklet_alive(to)) {
            fail("You cannot throw to a dead tasklet");
            goto error;
        }
        r = scheduler_depart(s, to, &d);
    } while (r > 0);
    if (r < 0) {
        goto error;
    }
    scheduler_admit(s, to, NULL);
    scheduler_bomb(s, to, exception);
    return scheduler_go(s, to, call);

error:
    Py_DECREF(exception);
    return NULL;
}

void
scheduler_throw_pending(tasklet *to, PyObject *exception)
{
    scheduler *s = to->scheduler;
    channel *c = channel_unlink(to);
    PyObject *old = to->tempval;

    to->tempval = exception;
    to->kind = TEMPVAL_BOMB;
    if (c != NULL) {
        scheduler_insert(s, to);
    }
    else if (to->next == NULL) {
        scheduler_insert(s, (tasklet *)Py_NewRef(to));
    }
    Py_XDECREF(old);
    Py_XDECREF(c);
}

/* ---- arriving and ending: the hooks of the fiber layer ---------------- */

/* `me` goes on after run(), and with it those that are in a run() inside of
 * its own. */
static void
leave_run(scheduler *s, tasklet *me)
{
    tasklet *w;
    do {
        w = s->watchdog;
        s->watchdog = w->outer;
        w->outer = NULL;
        w->watching = 0;
        if (w->next == NULL) {
            scheduler_insert(s, w);
        }
        else {
            /* Never the last one: a queue has another. */
            Py_DECREF(w);
        }
    } while (w != me);
}

static PyObject *
deliver(fiber *f)
{
    scheduler *s = f->thread->user;
    tasklet *me = s->current;
    tempval_kind kind;

    if (me->watching) {
        leave_run(s, me);
    }
    PyObject *value = tasklet_take(me, &kind);
    return kind == TEMPVAL_BOMB ? bomb_explode(value) : value;
}

static PyObject *
run(fiber *f)
{
    scheduler *s = f->thread->user;
    tasklet *me = s->current;
    if (scheduler_pending(s) < 0) {
        return NULL;
    }
    return callable_run(me);
}

static PyObject *
function(fiber *f)
{
    if (f->thread != NULL && f == &f->thread->main) {
        return NULL;
    }
    tasklet *t = (tasklet *)((char *)f - offsetof(tasklet, fiber));
    return t->func != NULL && PyFunction_Check(t->func) ? t->func : NULL;
}

static void
settle(fiber_thread *t)
{
    scheduler *s = t->user;
    PyObject *type, *value, *traceback;

    if (s->trashed > 0) {
        PyErr_Fetch(&type, &value, &traceback);
        scheduler_settle(s);
        PyErr_Restore(type, value, traceback);
    }
}

/* Is this the thread in which SystemExit ends the process? */
static int
in_main_thread(void)
{
    int result = 1;
    PyObject *main = NULL, *current = NULL;
    PyObject *threading = PyImport_ImportModule("threading");

    if (threading != NULL) {
        main = PyObject_CallMethod(threading, "main_thread", NULL);
        current = PyObject_CallMethod(threading, "current_thread", NULL);
    }
    if (main != NULL && current != NULL) {
        result = main == current;
    }
    PyErr_Clear();
    Py_XDECREF(threading);
    Py_XDECREF(main);
    Py_XDECREF(current);
    return result;
}

/* Gives an exception to set_error_handler()'s. Steals it; returns NULL, or
 * what it raised. */
static PyObject *
handle_error(PyObject *exception)
{
    PyObject *handler = Py_NewRef(scheduler_error_handler);
    PyObject *traceback = PyException_GetTraceback(exception);
    PyObject *result = PyObject_CallFunctionObjArgs(
        handler, (PyObject *)Py_TYPE(exception), exception,
        traceback == NULL ? Py_None : traceback, NULL);

    Py_DECREF(handler);
    Py_XDECREF(traceback);
    Py_DECREF(exception);
    if (result == NULL) {
        return bomb_defuse();
    }
    Py_DECREF(result);
    return NULL;
}

/* What the exception that ended a tasklet means for others: clears it, and
 * returns what is to be raised in the waker.  New reference, or NULL. */
static PyObject *
last_words(tasklet *me)
{
    PyObject *exception;

    if (PyErr_ExceptionMatches(bomb_exit)) {
        PyErr_Clear();
        return NULL;
    }
    exception = bomb_defuse();
    if (scheduler_error_handler != NULL) {
        exception = handle_error(exception);
    }
    if (exception == NULL) {
        return NULL;
    }
    if (me->finalizing) {
        bomb_explode(exception);
        PyErr_WriteUnraisable((PyObject *)me);
        return NULL;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit)
        && (PyErr_GivenExceptionMatches(exception, bomb_exit)
            || !in_main_thread()))
    {
        Py_CLEAR(exception);
    }
    return exception;
}

/* The exception for main if it waits at a channel for ever. New reference. */
static PyObject *
main_is_lost(int direction)
{
    PyObject *exception = runtime_error(
        direction < 0
            ? "the main tasklet is receiving without a sender available."
            : "the main tasklet is sending without a receiver available.");
    return exception != NULL ? exception : bomb_defuse();
}

static fiber *
finished(fiber *f, PyObject *result)
{
    scheduler *s = f->thread->user;
    tasklet *me = s->current, *to;
    departure d = {0};

    if (result == NULL) {
        d.bomb = last_words(me);
    }
    Py_XDECREF(result);
    tasklet_release_arguments(me);
    Py_CLEAR(me->func);
    int stray = d.bomb != NULL;
    do {
        if (!stray) {
            Py_CLEAR(d.bomb);
        }
        to = stray || me->next == me ? waker(s) : me->next;
        if (to->channel != NULL && d.bomb == NULL) {
            d.bomb = main_is_lost(to->direction);
        }
    } while (tell(s, to, &d));

    /* Nothing is left for the tasklet itself. */
    if (me->tempval != NULL) {
        scheduler_trash(s, me->tempval);
        me->tempval = NULL;
    }
    me->kind = TEMPVAL_VALUE;
    scheduler_admit(s, to, &d);
    scheduler_remove(s, me);
    scheduler_trash(s, (PyObject *)me);
    s->current = to;
    return scheduler_fiber(s, to);
}

static const fiber_hooks hooks = {
    .run = run,
    .deliver = deliver,
    .finished = finished,
    .settle = settle,
    .function = function,
};

/* ---- finalisation ----------------------------------------------------- */

/* Throws TaskletExit into a suspended tasklet of this thread, and goes on
 * here as soon as it has ended or switched.  0, or -1 if there's no memory.
 * No exception is set before and after. */
static int
kill_once(scheduler *s, tasklet *t)
{
    tasklet *me = s->current;
    PyObject *mine = me->tempval, *exit, *result;
    unsigned char kind = me->kind;

    exit = PyObject_CallNoArgs(bomb_exit);
    if (exit == NULL || fiber_prepare(s->thread, &t->fiber) < 0) {
        PyErr_Clear();
        Py_XDECREF(exit);
        return -1;
    }
    /* What waits for the tasklet that goes on is not for this place. */
    me->tempval = NULL;
    me->kind = TEMPVAL_VALUE;
    t->finalizing = 1;
    if (t->next != NULL && t->channel == NULL) {
        /* The next one after it has to be the one that goes on here. */
        ring_remove(t);
        ring_insert(me, t);
    }
    scheduler_admit(s, t, NULL);
    scheduler_bomb(s, t, exit);
    result = scheduler_go(s, t, NULL);
    if (result == NULL && mine == NULL) {
        mine = bomb_defuse();
        kind = TEMPVAL_BOMB;
    }
    else if (result == NULL) {
        PyErr_WriteUnraisable((PyObject *)t);
    }
    t->finalizing = 0;
    Py_XDECREF(me->tempval);
    me->tempval = mine;
    me->kind = kind;
    Py_XDECREF(result);
    return 0;
}

void
scheduler_finalize(tasklet *t)
{
    PyObject *type, *value, *traceback, *exit;
    scheduler *s = t->scheduler;

    PyErr_Fetch(&type, &value, &traceback);
    if (s == NULL || exiting) {
        tasklet_discard(t);
    }
    else if (s->thread->tstate != PyThreadState_Get()) {
        /* It ends as soon as its own thread schedules. */
        exit = PyObject_CallNoArgs(bomb_exit);
        if (exit != NULL) {
            t->finalizing = 1;
            scheduler_throw_pending(t, exit);
        }
        else {
            PyErr_Clear();
            tasklet_discard(t);
        }
    }
    else {
        int failed = 0;
        for (int i = 0; i < KILL_ATTEMPTS && !failed; i++) {
            /* In a queue, somebody may resume it. */
            if (!tasklet_suspended(t) || t->next != NULL) {
                break;
            }
            failed = kill_once(s, t) < 0;
        }
        if (tasklet_suspended(t) && t->next == NULL) {
            tasklet_discard(t);
        }
    }
    PyErr_Restore(type, value, traceback);
}

/* All started tasklets of s that still live, as a new list, or NULL. */
static PyObject *
living(scheduler *s)
{
    PyObject *list = PyList_New(0);
    for (tasklet *t = s->youngest; list != NULL && t != NULL; t = t->older) {
        /* Objects that are being deallocated are there too. */
        if (t != s->main && Py_REFCNT(t) > 0 && tasklet_suspended(t)
            && PyList_Append(list, (PyObject *)t) < 0)
        {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* Ends all suspended tasklets, oldest first. They may start new ones, and
 * refuse to end: not for ever. */
static void
kill_all(scheduler *s)
{
    for (int i = 0; i < KILL_ATTEMPTS; i++) {
        PyObject *list = living(s);
        Py_ssize_t n = list == NULL ? 0 : PyList_GET_SIZE(list);
        for (Py_ssize_t k = n; k-- > 0;) {
            tasklet *t = (tasklet *)PyList_GET_ITEM(list, k);
            if (tasklet_suspended(t) && t->scheduler == s) {
                kill_once(s, t);
            }
        }
        Py_XDECREF(list);
        PyErr_Clear();
        if (n == 0) {
            return;
        }
    }
}

static PyObject *
at_exit(PyObject *module, PyObject *unused)
{
    fiber_thread *t = fiber_thread_get();
    if (t == NULL) {
        PyErr_Clear();
    }
    else if (t->user != NULL) {
        kill_all(t->user);
    }
    exiting = 1;
    Py_RETURN_NONE;
}

/* ---- lifecycle -------------------------------------------------------- */

/* Takes t off the list of those in run(). Returns 1 if it was there: the
 * list's reference is the caller's then. */
static int
unwatch(scheduler *s, tasklet *t)
{
    tasklet **link = &s->watchdog;

    if (!t->watching) {
        return 0;
    }
    while (*link != t) {
        link = &(*link)->outer;
    }
    *link = t->outer;
    t->outer = NULL;
    t->watching = 0;
    return 1;
}

/* Takes a tasklet away from the scheduler and all queues. May run Python
 * code, which finds the scheduler in order. */
static void
forget(scheduler *s, tasklet *t)
{
    channel *c = channel_unlink(t);
    int watched = unwatch(s, t);
    int queued = c != NULL;

    if (c == NULL && t->next != NULL) {
        if (t == s->current) {
            /* It runs in a thread that fork() has ended. */
            s->current = s->main;
            scheduler_admit(s, s->main, NULL);
        }
        scheduler_remove(s, t);
        /* What runs can't be released: its frames are in use for ever. */
        queued = t->fiber.state != FIBER_RUNNING;
    }
    scheduler_unlink(t);
    Py_XDECREF(c);
    if (watched) {
        Py_DECREF(t);
    }
    if (queued) {
        Py_DECREF(t);
    }
}

/* What thread->user_free is when it has been called. */
static void
thread_ended(fiber_thread *thread)
{
}

/* The thread ends; the fiber layer calls this in that thread, or in the only
 * one that is left after fork(). */
static void
thread_ends(fiber_thread *thread)
{
    scheduler *s = thread->user;
    PyObject *type, *value, *traceback;
    tasklet *t, *main = s->main;

    thread->user_free = thread_ended;
    PyErr_Fetch(&type, &value, &traceback);
    if (!exiting && thread->tstate == PyThreadState_Get()
        && s->current == main)
    {
        kill_all(s);
    }
    do {
        t = s->youngest == main ? main->older : s->youngest;
        if (t != NULL) {
            forget(s, t);
        }
        scheduler_settle(s);
    } while (t != NULL);
    if (main->next != NULL) {
        scheduler_remove(s, main);
        Py_DECREF(main);
    }
    scheduler_unlink(main);
    thread->user = NULL;
    PyMem_Free(s);
    Py_DECREF(main);
    PyErr_Restore(type, value, traceback);
}

scheduler *
scheduler_new(fiber_thread *t)
{
    scheduler *s = NULL;

    if (t->user_free == thread_ended) {
        return (scheduler *)fail("the thread has ended");
    }
    s = PyMem_Calloc(1, sizeof(*s));
    if (s == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    s->thread = t;
    s->thread_id = PyThread_get_thread_ident();
    s->main = tasklet_new_main(s);
    if (s->main == NULL || t->user != NULL) {
        /* No memory; or to take some ran the garbage collector, which ran
         * somebody's finaliser, which made a scheduler. */
        if (s->main != NULL) {
            scheduler_unlink(s->main);
            Py_DECREF(s->main);
        }
        PyMem_Free(s);
        return t->user;
    }
    scheduler_insert(s, (tasklet *)Py_NewRef(s->main));
    s->current = s->main;
    t->user = s;
    t->user_free = thread_ends;
    return s;
}

static PyMethodDef at_exit_def = {
    "_at_exit", at_exit, METH_NOARGS,
    PyDoc_STR("Ends the suspended tasklets before the interpreter does."),
};

void
scheduler_link(scheduler *s, tasklet *t)
{
    t->scheduler = s;
    t->older = s->youngest;
    if (t->older != NULL) {
        t->older->younger = t;
    }
    s->youngest = t;
}

void
scheduler_unlink(tasklet *t)
{
    scheduler *s = t->scheduler;
    if (s == NULL) {
        return;
    }
    if (t->younger != NULL) {
        t->younger->older = t->older;
    }
    else {
        s->youngest = t->older;
    }
    if (t->older != NULL) {
        t->older->younger = t->younger;
    }
    t->older = t->younger = NULL;
    t->scheduler = NULL;
}

int
scheduler_setup(PyObject *module)
{
    PyObject *callback = NULL, *atexit = NULL, *result = NULL;

    if (fiber_setup(module, &hooks) < 0) {
        return -1;
    }
    callback = PyCFunction_New(&at_exit_def, NULL);
    atexit = PyImport_ImportModule("atexit");
    if (callback != NULL && atexit != NULL) {
        result = PyObject_CallMethod(atexit, "register", "O", callback);
    }
    Py_XDECREF(callback);
    Py_XDECREF(atexit);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}
