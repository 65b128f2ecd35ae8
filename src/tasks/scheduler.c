/* A thread's tasklets. */
#include "scheduler.h"
#include "bomb.h"
#include "callable.h"
#include "ending.h"

#include <stddef.h>

PyObject *scheduler_callback;
PyObject *scheduler_error_handler;

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
    tempval_kind kind;
    PyObject *value;

    if (s->in_callback) {
        /* What is there is shown to the callback. */
        return 0;
    }
    value = tasklet_take(s->current, &kind);
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
    s->thread->unsettled = 0;
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

    PyErr_Fetch(&type, &value, &traceback);
    scheduler_settle(s);
    PyErr_Restore(type, value, traceback);
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

    if (!PyErr_Occurred()) {
        /* CPython forgets it in some places where memory is lacking. */
        PyErr_NoMemory();
    }
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

/* ---- lifecycle -------------------------------------------------------- */

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

scheduler *
scheduler_new(fiber_thread *t)
{
    scheduler *s = NULL;

    if (t->user_free != NULL) {
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
    t->user_free = ending_thread;
    return s;
}

int
scheduler_setup(PyObject *module)
{
    return fiber_setup(module, &hooks);
}
