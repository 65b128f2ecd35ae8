/* The functions of the module about tasklets. */
#include "tasks.h"
#include "arguments.h"
#include "bomb.h"
#include "callable.h"
#include "channel.h"
#include "ending.h"
#include "pickling.h"
#include "scheduler.h"

#define FUNCTION(f) ((void (*)(void))(f))

/* ---- switching -------------------------------------------------------- */

/* Leaves value, or the tasklet itself for NULL, for the running one. */
static inline void
leave(tasklet *me, PyObject *value)
{
    if (value == NULL) {
        tasklet_leave_self(me);
    }
    else {
        tasklet_leave(me, value);
    }
}

static const arguments_spec retval_spec = {"schedule", 0, 1, {"retval"}};

PyDoc_STRVAR(schedule_doc,
"schedule($module, /, retval=...)\n--\n\n"
"Let the next tasklet in the run queue run; the caller goes to its end.\n"
"Returns retval when its turn comes.\n\n"
"Runs other tasklets, and raises what they throw at this one.");

static PyObject *
schedule(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
         PyObject *kwnames)
{
    const fiber_call call = {
        args, nargs, kwnames, module, FUNCTION(schedule),
    };
    scheduler *s;
    departure d = {0};
    tasklet *to;
    PyObject *value;
    int r;

    if (arguments_unpack_one(&retval_spec, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    s = scheduler_enter();
    if (s == NULL) {
        return NULL;
    }
    do {
        to = s->current->next;
        if (to == s->current) {
            return Py_NewRef(value == NULL ? (PyObject *)to : value);
        }
        r = scheduler_depart(s, to, &d);
    } while (r > 0);
    if (r < 0) {
        return NULL;
    }
    leave(s->current, value);
    return scheduler_go(s, to, &call);
}

PyDoc_STRVAR(schedule_remove_doc,
"schedule_remove($module, /, retval=...)\n--\n\n"
"Let the next tasklet in the run queue run; the caller is paused. Returns\n"
"retval when somebody runs it.\n\n"
"RuntimeError if there is no other (deadlock). Runs other tasklets, and\n"
"raises what they throw at this one.");

static PyObject *
schedule_remove(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    const fiber_call call = {
        args, nargs, kwnames, module, FUNCTION(schedule_remove),
    };
    scheduler *s;
    departure d = {0};
    tasklet *me, *to;
    PyObject *value;
    int r;

    if (arguments_unpack_one(&retval_spec, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    s = scheduler_enter();
    if (s == NULL) {
        return NULL;
    }
    me = s->current;
    do {
        to = scheduler_heir(s, &d);
        if (to == NULL) {
            return NULL;
        }
        r = scheduler_depart(s, to, &d);
    } while (r > 0);
    if (r < 0) {
        return NULL;
    }
    scheduler_admit(s, to, &d);
    scheduler_remove(s, me);
    scheduler_trash(s, (PyObject *)me);
    leave(me, value);
    return scheduler_go(s, to, &call);
}

PyDoc_STRVAR(run_doc,
"run($module, /)\n--\n\n"
"Run all tasklets in the run queue until none is left: they have ended, are\n"
"paused, or wait at channels. The caller is not in the queue meanwhile.\n\n"
"Raises the exceptions that tasklets end by (but not TaskletExit), and what\n"
"they throw at this one; those that are left stay in the queue then.");

static PyObject *
run(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
    PyObject *kwnames)
{
    static const arguments_spec spec = {"run", 0, 0, {NULL}};
    PyObject *unused;
    const fiber_call call = {args, nargs, kwnames, module, FUNCTION(run)};
    scheduler *s;
    departure d = {0};
    tasklet *me, *to;
    int r;

    if (arguments_unpack_one(&spec, args, nargs, kwnames, &unused) < 0) {
        return NULL;
    }
    s = scheduler_enter();
    if (s == NULL) {
        return NULL;
    }
    me = s->current;
    do {
        to = me->next;
        if (to == me) {
            Py_RETURN_NONE;
        }
        r = scheduler_depart(s, to, &d);
    } while (r > 0);
    if (r < 0) {
        return NULL;
    }
    scheduler_remove(s, me);
    me->watching = 1;
    me->outer = s->watchdog;
    s->watchdog = me;
    return scheduler_go(s, to, &call);
}

/* ---- asking ----------------------------------------------------------- */

PyDoc_STRVAR(getcurrent_doc,
"getcurrent($module, /)\n--\n\n"
"Return the running tasklet of the calling thread.");

static PyObject *
getcurrent(PyObject *module, PyObject *unused)
{
    scheduler *s = scheduler_get();
    return s == NULL ? NULL : Py_NewRef(s->current);
}

PyDoc_STRVAR(getmain_doc,
"getmain($module, /)\n--\n\n"
"Return the main tasklet of the calling thread: the one that every thread\n"
"starts with.");

static PyObject *
getmain(PyObject *module, PyObject *unused)
{
    scheduler *s = scheduler_get();
    return s == NULL ? NULL : Py_NewRef(s->main);
}

PyDoc_STRVAR(getruncount_doc,
"getruncount($module, /)\n--\n\n"
"Return how many tasklets are in the run queue of the calling thread, the\n"
"running one included.");

static PyObject *
getruncount(PyObject *module, PyObject *unused)
{
    scheduler *s = scheduler_get();
    return s == NULL ? NULL : PyLong_FromSsize_t(s->runcount);
}

PyDoc_STRVAR(getcurrentid_doc,
"getcurrentid($module, /)\n--\n\n"
"Return an integer that no other living tasklet has: the thread's\n"
"identifier for a main tasklet.");

static PyObject *
getcurrentid(PyObject *module, PyObject *unused)
{
    scheduler *s = scheduler_get();
    if (s == NULL) {
        return NULL;
    }
    return s->current == s->main ? PyLong_FromUnsignedLong(s->thread_id)
                                 : PyLong_FromVoidPtr(s->current);
}

/* ---- callbacks and limits --------------------------------------------- */

/* Puts a callable, or NULL for None, into *place. Returns the old one. */
static PyObject *
exchange(PyObject **place, PyObject *callable)
{
    PyObject *old = *place;

    if (callable != Py_None && !PyCallable_Check(callable)) {
        PyErr_Format(PyExc_TypeError, "parameter must be a callable or None, "
                     "not %s", Py_TYPE(callable)->tp_name);
        return NULL;
    }
    *place = callable == Py_None ? NULL : Py_NewRef(callable);
    return old == NULL ? Py_NewRef(Py_None) : old;
}

static PyObject *
object_or_none(PyObject *object)
{
    return Py_NewRef(object == NULL ? Py_None : object);
}

PyDoc_STRVAR(set_schedule_callback_doc,
"set_schedule_callback($module, callback, /)\n--\n\n"
"Have callback(previous, next) called before every switch, in the tasklet\n"
"that is left. None: no callback. Returns the old one.\n\n"
"It must not switch itself; its exceptions go to sys.unraisablehook().");

static PyObject *
set_schedule_callback(PyObject *module, PyObject *callable)
{
    return exchange(&scheduler_callback, callable);
}

PyDoc_STRVAR(get_schedule_callback_doc,
"get_schedule_callback($module, /)\n--\n\n"
"Return the callback for switches, or None.");

static PyObject *
get_schedule_callback(PyObject *module, PyObject *unused)
{
    return object_or_none(scheduler_callback);
}

PyDoc_STRVAR(set_channel_callback_doc,
"set_channel_callback($module, callback, /)\n--\n\n"
"Have callback(channel, tasklet, sending, willblock) called before every\n"
"operation on a channel; tasklet.tempval is what is sent. None: no\n"
"callback. Returns the old one.\n\n"
"It must not use channels; its exceptions go to sys.unraisablehook().");

static PyObject *
set_channel_callback(PyObject *module, PyObject *callable)
{
    return exchange(&channel_callback, callable);
}

PyDoc_STRVAR(get_channel_callback_doc,
"get_channel_callback($module, /)\n--\n\n"
"Return the callback for operations on channels, or None.");

static PyObject *
get_channel_callback(PyObject *module, PyObject *unused)
{
    return object_or_none(channel_callback);
}

PyDoc_STRVAR(set_error_handler_doc,
"set_error_handler($module, handler, /)\n--\n\n"
"Have handler(type, value, traceback) called for exceptions that tasklets\n"
"end by (but not TaskletExit), in place of raising them in run() or the\n"
"main tasklet; there goes what the handler raises. None: no handler.\n"
"Returns the old one.");

static PyObject *
set_error_handler(PyObject *module, PyObject *callable)
{
    return exchange(&scheduler_error_handler, callable);
}

PyDoc_STRVAR(switch_trap_doc,
"switch_trap($module, change=0, /)\n--\n\n"
"Add to a counter of the calling thread; while it is not 0, every switch\n"
"to another tasklet raises RuntimeError. Returns the old value.");

static PyObject *
switch_trap(PyObject *module, PyObject *args)
{
    scheduler *s = scheduler_get();
    int change = 0, old;

    if (s == NULL || !PyArg_ParseTuple(args, "|i:switch_trap", &change)) {
        return NULL;
    }
    old = s->trap;
    if (__builtin_add_overflow(old, change, &s->trap)) {
        s->trap = old;
        PyErr_SetString(PyExc_OverflowError,
                        "switch_trap: the counter does not go that far");
        return NULL;
    }
    return PyLong_FromLong(old);
}

PyDoc_STRVAR(set_parked_limit_doc,
"set_parked_limit($module, limit, /)\n--\n\n"
"Set how many suspended tasklets of a thread keep a C stack; of more, those\n"
"that have waited longest give it up, if they can, which saves nine tenths\n"
"of their memory and makes the next switch to them slower. 0: all give it\n"
"up at once. Returns the old limit.\n\n"
"ValueError if the limit is negative.");

static PyObject *
set_parked_limit(PyObject *module, PyObject *value)
{
    Py_ssize_t limit = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (limit == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (limit < 0) {
        PyErr_Format(PyExc_ValueError,
                     "the limit must not be negative, but is %zd", limit);
        return NULL;
    }
    return PyLong_FromSsize_t(fiber_set_parked_limit(limit));
}

/* ---- the module ------------------------------------------------------- */

#define FAST (METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef methods[] = {
    {"schedule", (PyCFunction)FUNCTION(schedule), FAST, schedule_doc},
    {"schedule_remove", (PyCFunction)FUNCTION(schedule_remove), FAST,
     schedule_remove_doc},
    {"run", (PyCFunction)FUNCTION(run), FAST, run_doc},
    {"getcurrent", getcurrent, METH_NOARGS, getcurrent_doc},
    {"getmain", getmain, METH_NOARGS, getmain_doc},
    {"getruncount", getruncount, METH_NOARGS, getruncount_doc},
    {"getcurrentid", getcurrentid, METH_NOARGS, getcurrentid_doc},
    {"set_schedule_callback", set_schedule_callback, METH_O,
     set_schedule_callback_doc},
    {"get_schedule_callback", get_schedule_callback, METH_NOARGS,
     get_schedule_callback_doc},
    {"set_channel_callback", set_channel_callback, METH_O,
     set_channel_callback_doc},
    {"get_channel_callback", get_channel_callback, METH_NOARGS,
     get_channel_callback_doc},
    {"set_error_handler", set_error_handler, METH_O, set_error_handler_doc},
    {"switch_trap", switch_trap, METH_VARARGS, switch_trap_doc},
    {"set_parked_limit", set_parked_limit, METH_O, set_parked_limit_doc},
    {"_context_of", pickling_context, METH_O,
     PyDoc_STR("A tasklet's own context, or None.")},
    {NULL},
};

int
tasks_setup(PyObject *module)
{
    static const module_setup setups[] = {
        bomb_setup, scheduler_setup, tasklet_setup, channel_setup,
        pickling_setup, ending_setup,
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(setups); i++) {
        if (setups[i](module) < 0) {
            return -1;
        }
    }
    if (callable_setup() < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, methods);
}
