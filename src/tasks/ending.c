/* How tasklets, threads and the process end. */
#include "ending.h"
#include "bomb.h"

/* A tasklet that swallows TaskletExit gets it so many times. */
#define KILL_ATTEMPTS 10

/* Set at exit: nothing is finalised by running it any more. */
static int exiting;

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

/* Ends a tasklet that can't run any more and is not in the run queue. */
static void
discard(tasklet *t)
{
    channel *c = channel_unlink(t);
    tasklet_discard(t);
    if (c != NULL) {
        /* Not the last one of t: who called has another. */
        Py_DECREF(c);
        Py_DECREF(t);
    }
}

void
ending_finalize(tasklet *t)
{
    PyObject *type, *value, *traceback, *exit;
    scheduler *s;

    PyErr_Fetch(&type, &value, &traceback);
    if (t->loose && !exiting) {
        s = scheduler_get();
        if (s != NULL) {
            tasklet_claim(s, t);
        }
        PyErr_Clear();
    }
    s = t->scheduler;
    if (s == NULL || exiting) {
        discard(t);
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
            discard(t);
        }
    }
    else {
        int failed = 0;
        for (int i = 0; i < KILL_ATTEMPTS && !failed; i++) {
            /* At first, nobody can resume it even if it waits at a channel;
             * later, in a queue, somebody may. */
            if (!tasklet_suspended(t) || (i > 0 && t->next != NULL)) {
                break;
            }
            failed = kill_once(s, t) < 0;
        }
        if (tasklet_suspended(t) && (failed || t->next == NULL)) {
            discard(t);
        }
    }
    PyErr_Restore(type, value, traceback);
}

/* All started tasklets of s that still live, as a new list, or NULL; those
 * that are loose only at the end of the process: else others may use them. */
static PyObject *
living(scheduler *s, int loose)
{
    PyObject *list = PyList_New(0);
    for (tasklet *t = s->youngest; list != NULL && t != NULL; t = t->older) {
        /* Objects that are being deallocated are there too. */
        if (t != s->main && t->loose <= loose && Py_REFCNT(t) > 0
            && tasklet_suspended(t) && PyList_Append(list, (PyObject *)t) < 0)
        {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* Ends all suspended tasklets, oldest first. They may start new ones, and
 * refuse to end: not for ever. */
static void
kill_all(scheduler *s, int loose)
{
    for (int i = 0; i < KILL_ATTEMPTS; i++) {
        PyObject *list = living(s, loose);
        Py_ssize_t n = list == NULL ? 0 : PyList_GET_SIZE(list);
        for (Py_ssize_t k = n; k-- > 0;) {
            tasklet *t = (tasklet *)PyList_GET_ITEM(list, k);
            if (tasklet_suspended(t) && t->scheduler == s) {
                tasklet_claim(s, t);
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

/* ---- the end of a thread ------------------------------------------------ */

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
            scheduler_admit(s, s->main, NULL);
            s->current = s->main;
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

void
ending_thread(fiber_thread *thread)
{
    scheduler *s = thread->user;
    PyObject *type, *value, *traceback;
    tasklet *t, *main = s->main;

    thread->user_free = thread_ended;
    PyErr_Fetch(&type, &value, &traceback);
    if (!exiting && thread->tstate == PyThreadState_Get()
        && s->current == main)
    {
        kill_all(s, 0);
    }
    do {
        t = s->youngest == main ? main->older : s->youngest;
        if (t != NULL && t->loose) {
            /* Another thread may use it. */
            scheduler_unlink(t);
        }
        else if (t != NULL) {
            forget(s, t);
        }
        scheduler_settle(s);
    } while (t != NULL);
    if (main->next != NULL) {
        scheduler_remove(s, main);
        Py_DECREF(main);
    }
    if (unwatch(s, main)) {
        Py_DECREF(main);
    }
    scheduler_unlink(main);
    thread->user = NULL;
    PyMem_Free(s);
    Py_DECREF(main);
    PyErr_Restore(type, value, traceback);
}

/* ---- the end of the process -------------------------------------------- */

static PyObject *
at_last(PyObject *module, PyObject *unused)
{
    fiber_thread *t = fiber_thread_get();
    if (t == NULL) {
        PyErr_Clear();
    }
    else if (t->user != NULL) {
        kill_all(t->user, 1);
    }
    exiting = 1;
    Py_RETURN_NONE;
}

/* Queues of multiprocessing pickle in threads, which it waits for when the
 * process exits, perhaps later than now: tasks in them must not end before.
 * Has `callback` called after that. 1, or 0 if there's nothing to wait for,
 * with an exception if one is set. */
static int
postpone(PyObject *callback)
{
    PyObject *name = PyUnicode_FromString("multiprocessing.util");
    PyObject *util = name == NULL ? NULL : PyImport_GetModule(name);
    PyObject *exits = NULL, *type = NULL, *args = NULL, *kwargs = NULL;
    PyObject *finalizer = NULL;

    if (util == NULL) {
        goto error;
    }
    exits = PyObject_GetAttrString(util, "_exiting");
    if (exits != Py_False) {
        goto error;
    }
    type = PyObject_GetAttrString(util, "Finalize");
    args = Py_BuildValue("(OO)", Py_None, callback);
    kwargs = Py_BuildValue("{s:i}", "exitpriority", -1000);
    if (type != NULL && args != NULL && kwargs != NULL) {
        finalizer = PyObject_Call(type, args, kwargs);
    }

error:
    Py_XDECREF(name);
    Py_XDECREF(util);
    Py_XDECREF(exits);
    Py_XDECREF(type);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(finalizer);
    return finalizer != NULL;
}

static PyMethodDef at_last_def;

static PyObject *
at_exit(PyObject *module, PyObject *unused)
{
    PyObject *callback = PyCFunction_New(&at_last_def, NULL);
    int postponed = callback != NULL && postpone(callback);

    Py_XDECREF(callback);
    PyErr_Clear();
    return postponed ? Py_NewRef(Py_None) : at_last(NULL, NULL);
}

static PyMethodDef at_last_def = {
    "_at_last", at_last, METH_NOARGS,
    PyDoc_STR("Ends the suspended tasklets before the interpreter does."),
};

static PyMethodDef at_exit_def = {
    "_at_exit", at_exit, METH_NOARGS,
    PyDoc_STR("Ends the suspended tasklets before the interpreter does."),
};

int
ending_setup(PyObject *module)
{
    PyObject *callback = NULL, *atexit = NULL, *result = NULL;

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
