/* The methods of tasklets. scheduler.h tells how those that switch work. */
#include "tasklet_methods.h"
#include "arguments.h"
#include "bomb.h"
#include "pickling.h"
#include "scheduler.h"

/* ---- starting --------------------------------------------------------- */

PyDoc_STRVAR(bind_doc,
"bind($self, /, func=None, args=None, kwargs=None)\n--\n\n"
"Give the tasklet something to run, without putting it into the run queue.\n"
"\n"
"func    a callable; None: the one it is bound to\n"
"args    a tuple, kwargs a dict: with either, the tasklet is ready to be\n"
"        inserted or run; without, it waits for setup()\n\n"
"With no argument at all the tasklet is unbound. It takes the\n"
"contextvars.Context that the caller uses. Returns the tasklet.\n\n"
"RuntimeError if it is running, in a queue, or suspended; TypeError for\n"
"arguments of other types.");

static PyObject *
method_bind(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"func", "args", "kwargs", NULL};
    PyObject *func = NULL, *a = NULL, *k = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOO:bind", names, &func,
                                     &a, &k)
        || tasklet_bind((tasklet *)self, func, a, k) < 0)
    {
        return NULL;
    }
    return Py_NewRef(self);
}

PyDoc_STRVAR(setup_doc,
"setup($self, /, *args, **kwargs)\n--\n\n"
"Put the tasklet at the end of the run queue, to call its function with\n"
"these arguments. Calling the tasklet does the same. Returns the tasklet.\n"
"\n"
"RuntimeError if it is alive already, has no function, or belongs to\n"
"another thread.");

static PyObject *
method_setup(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int r = tasklet_set_up((tasklet *)self, args, kwargs);
    return r < 0 ? NULL : Py_NewRef(self);
}

/* ---- the run queue ---------------------------------------------------- */

/* 0 if t may be put into the run queue of s, else -1 with RuntimeError. */
static int
check_runnable(scheduler *s, tasklet *t)
{
    const char *text = NULL;

    if (t->channel != NULL) {
        text = "You cannot run a blocked tasklet";
    }
    else if (t->scheduler != NULL && !tasklet_alive(t)) {
        text = "You cannot run an unbound(dead) tasklet";
    }
    if (text != NULL) {
        PyErr_SetString(PyExc_RuntimeError, text);
        return -1;
    }
    return tasklet_check_thread(s, t);
}

PyDoc_STRVAR(insert_doc,
"insert($self, /)\n--\n\n"
"Put the tasklet at the end of the run queue, unless it is in it. Returns\n"
"the tasklet.\n\n"
"RuntimeError if it is blocked, has nothing to run, or belongs to another\n"
"thread.");

static PyObject *
method_insert(PyObject *self, PyObject *unused)
{
    tasklet *t = (tasklet *)self;
    scheduler *s = scheduler_get();

    if (s == NULL || check_runnable(s, t) < 0) {
        return NULL;
    }
    if (t->next == NULL) {
        scheduler_insert(s, (tasklet *)Py_NewRef(t));
    }
    return Py_NewRef(self);
}

PyDoc_STRVAR(remove_doc,
"remove($self, /)\n--\n\n"
"Take the tasklet out of the run queue, if it is in it: it is paused then.\n"
"Returns the tasklet.\n\n"
"RuntimeError if it is running, blocked, or belongs to another thread.");

static PyObject *
method_remove(PyObject *self, PyObject *unused)
{
    tasklet *t = (tasklet *)self;
    scheduler *s = scheduler_get();
    const char *text = NULL;

    if (s == NULL) {
        return NULL;
    }
    if (t->channel != NULL) {
        text = "You cannot remove a blocked tasklet.";
    }
    else if (t == s->current) {
        text = "The current tasklet cannot be removed.";
    }
    if (text != NULL) {
        PyErr_SetString(PyExc_RuntimeError, text);
        return NULL;
    }
    if (t->next != NULL) {
        if (tasklet_check_thread(s, t) < 0) {
            return NULL;
        }
        scheduler_remove(s, t);
        Py_DECREF(t);
    }
    return Py_NewRef(self);
}

/* ---- switching -------------------------------------------------------- */

/* Goes to t at once; the running tasklet stays in the run queue, or leaves it
 * if `pause` is set.  New reference, or NULL with an exception. */
static PyObject *
run(tasklet *t, int pause, const fiber_call *call)
{
    scheduler *s = scheduler_enter();
    departure d = {0};
    tasklet *me;
    int r;

    if (s == NULL) {
        return NULL;
    }
    me = s->current;
    do {
        if (check_runnable(s, t) < 0) {
            return NULL;
        }
        if (t == me) {
            Py_RETURN_NONE;
        }
        r = scheduler_depart(s, t, &d);
    } while (r > 0);
    if (r < 0) {
        return NULL;
    }
    if (t->next == NULL) {
        scheduler_insert(s, (tasklet *)Py_NewRef(t));
    }
    if (pause) {
        scheduler_remove(s, me);
        scheduler_trash(s, (PyObject *)me);
    }
    return scheduler_go(s, t, call);
}

PyDoc_STRVAR(run_doc,
"run($self, /)\n--\n\n"
"Go to the tasklet at once. It is put into the run queue if it is not in\n"
"it; the caller stays there, and what stands behind the tasklet in the\n"
"queue runs next.\n\n"
"RuntimeError if it is blocked, has nothing to run, or belongs to another\n"
"thread. Runs other tasklets.");

static PyObject *
method_run(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    static const arguments_spec spec = {"run", 0, 0, {NULL}};
    PyObject *unused;
    const fiber_call call = {
        args, nargs, kwnames, self, (void (*)(void))method_run,
    };
    if (arguments_unpack_one(&spec, args, nargs, kwnames, &unused) < 0) {
        return NULL;
    }
    return run((tasklet *)self, 0, &call);
}

PyDoc_STRVAR(switch_doc,
"switch($self, /)\n--\n\n"
"Go to the tasklet at once, as run() does, and pause the caller.\n\n"
"RuntimeError if the tasklet is blocked, has nothing to run, or belongs to\n"
"another thread. Runs other tasklets.");

static PyObject *
method_switch(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const arguments_spec spec = {"switch", 0, 0, {NULL}};
    PyObject *unused;
    const fiber_call call = {
        args, nargs, kwnames, self, (void (*)(void))method_switch,
    };
    if (arguments_unpack_one(&spec, args, nargs, kwnames, &unused) < 0) {
        return NULL;
    }
    return run((tasklet *)self, 1, &call);
}

/* ---- exceptions ------------------------------------------------------- */

/* A tasklet that never ran, or whose thread is gone, ends without running. */
static void
end(tasklet *t)
{
    scheduler *s = t->scheduler;
    int queued = s != NULL && t->next != NULL;

    if (queued) {
        scheduler_remove(s, t);
    }
    tasklet_discard(t);
    if (queued) {
        Py_DECREF(t);
    }
}

/* Has the exception, which it steals, raised in t: now, or when t goes on if
 * `pending` is set.  New reference, or NULL with an exception. */
static PyObject *
throw(tasklet *t, PyObject *exception, int pending, const fiber_call *call)
{
    scheduler *s = scheduler_enter();
    int exits = PyErr_GivenExceptionMatches(exception, bomb_exit);
    PyObject *result = NULL;

    if (s == NULL) {
        goto error;
    }
    tasklet_claim(s, t);
    if (!tasklet_alive(t)) {
        if (exits) {
            if (t->scheduler == NULL) {
                end(t);
            }
            result = Py_NewRef(Py_None);
        }
        else if (t->scheduler != NULL || !tasklet_suspended(t)) {
            PyErr_SetString(PyExc_RuntimeError,
                            "You cannot throw to a dead tasklet");
        }
        else {
            tasklet_check_thread(s, t);
        }
        goto error;
    }
    if (pending) {
        scheduler_throw_pending(t, exception);
        Py_RETURN_NONE;
    }
    if (tasklet_check_thread(s, t) < 0) {
        goto error;
    }
    if (t == s->current) {
        return bomb_explode(exception);
    }
    if (exits && t != s->main && t->fiber.state == FIBER_NEW) {
        end(t);
        result = Py_NewRef(Py_None);
        goto error;
    }
    return scheduler_throw(s, t, exception, call);

error:
    Py_DECREF(exception);
    return result;
}

/* The value of an optional flag: 0 or 1, or -1 with an exception. */
static int
flag(PyObject *object)
{
    return object == NULL ? 0 : PyObject_IsTrue(object);
}

PyDoc_STRVAR(kill_doc,
"kill($self, /, pending=False)\n--\n\n"
"End the tasklet: TaskletExit is raised where it stands, so that its\n"
"`finally` clauses run.\n\n"
"pending  if true, it is only made runnable, and the exception is raised\n"
"         when its turn comes\n\n"
"What never ran ends without running; a dead tasklet stays dead. If its\n"
"thread has ended, its frames are dropped. RuntimeError if it belongs to\n"
"another thread and `pending` is false. Runs other tasklets.");

static PyObject *
method_kill(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const arguments_spec spec = {"kill", 0, 1, {"pending"}};
    const fiber_call call = {
        args, nargs, kwnames, self, (void (*)(void))method_kill,
    };
    PyObject *given[1], *exit;
    int pending;

    if (arguments_unpack(&spec, args, nargs, kwnames, given) < 0
        || (pending = flag(given[0])) < 0)
    {
        return NULL;
    }
    exit = PyObject_CallNoArgs(bomb_exit);
    if (exit == NULL) {
        return NULL;
    }
    return throw((tasklet *)self, exit, pending, &call);
}

PyDoc_STRVAR(throw_doc,
"throw($self, /, exc, val=None, tb=None, pending=False)\n--\n\n"
"Raise an exception in the tasklet, where it stands.\n\n"
"exc, val, tb  as for generator.throw(): a class and what to call it with,\n"
"              or an instance; and a traceback or None\n"
"pending       if true, the tasklet is only made runnable, and the\n"
"              exception is raised when its turn comes\n\n"
"RuntimeError if the tasklet is dead (unless it is TaskletExit), or if it\n"
"belongs to another thread and `pending` is false; TypeError if it's no\n"
"exception. Runs other tasklets.");

static PyObject *
method_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const arguments_spec spec = {
        "throw", 1, 4, {"exc", "val", "tb", "pending"},
    };
    const fiber_call call = {
        args, nargs, kwnames, self, (void (*)(void))method_throw,
    };
    PyObject *given[4], *exception;
    int pending;

    if (arguments_unpack(&spec, args, nargs, kwnames, given) < 0
        || (pending = flag(given[3])) < 0)
    {
        return NULL;
    }
    exception = bomb_make(given[0], given[1], given[2]);
    if (exception == NULL) {
        return NULL;
    }
    return throw((tasklet *)self, exception, pending, &call);
}

PyDoc_STRVAR(raise_exception_doc,
"raise_exception($self, exc, /, *args)\n--\n\n"
"Raise exc(*args) in the tasklet, where it stands.\n\n"
"Errors are those of throw(). Runs other tasklets.");

static PyObject *
method_raise_exception(PyObject *self, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    const fiber_call call = {
        args, nargs, kwnames, self, (void (*)(void))method_raise_exception,
    };
    PyObject *exception;

    if (arguments_only_positional("raise_exception", 1, nargs, kwnames) < 0) {
        return NULL;
    }
    exception = bomb_call("raise_exception", args, nargs);
    if (exception == NULL) {
        return NULL;
    }
    return throw((tasklet *)self, exception, 0, &call);
}

/* ---- flags ------------------------------------------------------------ */

/* Sets *place to the truth of value; returns what it was as a bool, or NULL
 * with an exception. */
static PyObject *
set_flag(char *place, PyObject *value)
{
    char old = *place;
    int truth = PyObject_IsTrue(value);
    if (truth < 0) {
        return NULL;
    }
    *place = (char)truth;
    return PyBool_FromLong(old);
}

PyDoc_STRVAR(set_atomic_doc,
"set_atomic($self, flag, /)\n--\n\n"
"Say whether the tasklet must not be interrupted. Returns the old value.");

static PyObject *
method_set_atomic(PyObject *self, PyObject *value)
{
    return set_flag(&((tasklet *)self)->atomic, value);
}

PyDoc_STRVAR(set_ignore_nesting_doc,
"set_ignore_nesting($self, flag, /)\n--\n\n"
"Say whether the tasklet may be interrupted inside of C calls. Returns the\n"
"old value.");

static PyObject *
method_set_ignore_nesting(PyObject *self, PyObject *value)
{
    return set_flag(&((tasklet *)self)->ignore_nesting, value);
}

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))
#define FAST (METH_FASTCALL | METH_KEYWORDS)

PyMethodDef tasklet_methods[] = {
    {"bind", FUNCTION(method_bind), METH_VARARGS | METH_KEYWORDS, bind_doc},
    {"setup", FUNCTION(method_setup), METH_VARARGS | METH_KEYWORDS,
     setup_doc},
    {"insert", method_insert, METH_NOARGS, insert_doc},
    {"remove", method_remove, METH_NOARGS, remove_doc},
    {"run", FUNCTION(method_run), FAST, run_doc},
    {"switch", FUNCTION(method_switch), FAST, switch_doc},
    {"kill", FUNCTION(method_kill), FAST, kill_doc},
    {"throw", FUNCTION(method_throw), FAST, throw_doc},
    {"raise_exception", FUNCTION(method_raise_exception), FAST,
     raise_exception_doc},
    {"set_atomic", method_set_atomic, METH_O, set_atomic_doc},
    {"set_ignore_nesting", method_set_ignore_nesting, METH_O,
     set_ignore_nesting_doc},
    {"__reduce_ex__", pickling_reduce_tasklet, METH_O,
     pickling_reduce_tasklet_doc},
    {"__copy__", pickling_copy_tasklet, METH_NOARGS,
     pickling_copy_tasklet_doc},
    {"__setstate__", pickling_set_tasklet, METH_O, pickling_set_tasklet_doc},
    {NULL},
};
