/* Tasklets: the object, its life, and what it shows. What makes it switch is
 * in tasklet_methods.c. */
#include "tasklet.h"
#include "arguments.h"
#include "bomb.h"
#include "channel.h"
#include "ending.h"
#include "fiber/contexts.h"
#include "scheduler.h"
#include "tasklet_methods.h"

#include <structmember.h>

PyTypeObject *tasklet_type;

/* ---- state ------------------------------------------------------------ */

int
tasklet_suspended(tasklet *t)
{
    if (t->scheduler != NULL && t == t->scheduler->main) {
        return t != t->scheduler->current;
    }
    return t->fiber.state == FIBER_PARKED || t->fiber.state == FIBER_SOFT;
}

static int
is_main(tasklet *t)
{
    return t->scheduler != NULL && t == t->scheduler->main;
}

static int
is_current(tasklet *t)
{
    return t->scheduler != NULL && t == t->scheduler->current;
}

int
tasklet_alive(tasklet *t)
{
    if (is_main(t)) {
        return 1;
    }
    if (t->scheduler == NULL && !t->loose) {
        return 0;
    }
    return t->fiber.state == FIBER_NEW ? t->args != NULL
                                       : t->fiber.state != FIBER_DEAD;
}

void
tasklet_release_arguments(tasklet *t)
{
    PyObject *args = t->args, *kwargs = t->kwargs;
    t->args = t->kwargs = NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
}

void
tasklet_discard(tasklet *t)
{
    assert(t->next == NULL && !is_main(t));
    fiber_discard(&t->fiber);
    tasklet_release_arguments(t);
    Py_CLEAR(t->func);
    Py_CLEAR(t->tempval);
    t->kind = TEMPVAL_VALUE;
}

void
tasklet_leave(tasklet *t, PyObject *value)
{
    assert(t->tempval == NULL);
    t->kind = TEMPVAL_VALUE;
    if (value == (PyObject *)t) {
        tasklet_leave_self(t);
    }
    else if (bomb_check(value)) {
        t->kind = TEMPVAL_BOMB;
        t->tempval = Py_NewRef(bomb_exception(value));
    }
    else if (value != Py_None) {
        t->tempval = Py_NewRef(value);
    }
}

void
tasklet_get_state(tasklet *t, tasklet_state *state)
{
    int started = t->fiber.state != FIBER_NEW;
    assert(!is_current(t));
    *state = (tasklet_state){
        .func = t->func,
        .args = started ? NULL : t->args,
        .kwargs = started ? NULL : t->kwargs,
        .tempval = t->tempval,
        .kind = t->kind,
        .channel = (PyObject *)t->channel,
        .direction = t->direction,
        .atomic = t->atomic,
        .ignore_nesting = t->ignore_nesting,
        .block_trap = t->block_trap,
    };
}

int
tasklet_set_state(tasklet *t, const tasklet_state *state)
{
    PyObject *old[] = {t->func, t->args, t->kwargs, t->tempval};
    t->func = Py_XNewRef(state->func);
    t->args = Py_XNewRef(state->args);
    t->kwargs = Py_XNewRef(state->kwargs);
    t->tempval = Py_XNewRef(state->tempval);
    t->kind = state->kind;
    t->atomic = state->atomic;
    t->ignore_nesting = state->ignore_nesting;
    t->block_trap = state->block_trap;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(old); i++) {
        Py_XDECREF(old[i]);
    }
    return 0;
}

void
tasklet_claim(scheduler *s, tasklet *t)
{
    if (!t->loose) {
        return;
    }
    assert(t->fiber.thread == NULL && t->fiber.stack == NULL);
    t->loose = 0;
    scheduler_unlink(t);
    scheduler_link(s, t);
    contexts_give(&t->fiber, s->thread->tstate->context);
}

int
tasklet_check_thread(scheduler *s, tasklet *t)
{
    tasklet_claim(s, t);
    if (t->scheduler == s) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    t->scheduler == NULL
                        ? "tasklet has no thread: the one it belonged to "
                          "has ended"
                        : "can't switch to a different thread.");
    return -1;
}

/* ---- binding ---------------------------------------------------------- */

/* The context that the running tasklet uses, made if there is none yet.
 * Borrowed, or NULL with an exception. */
static PyObject *
running_context(void)
{
    PyThreadState *ts = PyThreadState_Get();
    if (ts->context == NULL) {
        ts->context = PyContext_New();
    }
    return ts->context;
}

/* 0 if the tasklet may be bound, else -1 with an exception. */
static int
check_bindable(tasklet *t)
{
    const char *text;

    if (is_current(t)) {
        text = "can't (re)bind the current tasklet";
    }
    else if (t->next != NULL) {
        text = "can't (re)bind a runnable tasklet";
    }
    else if (tasklet_suspended(t)) {
        text = "tasklet has C state on its stack; kill() it before it is "
               "bound again";
    }
    else {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError, text);
    return -1;
}

/* 0 if args and kwargs (NULL: not given) are what a call takes, else -1 with
 * TypeError. */
static int
check_arguments(PyObject *args, PyObject *kwargs)
{
    PyObject *key, *value;
    Py_ssize_t pos = 0;

    if (args != NULL && !PyTuple_Check(args)) {
        PyErr_Format(PyExc_TypeError,
                     "tasklet args must be a tuple or None, not %s",
                     Py_TYPE(args)->tp_name);
        return -1;
    }
    if (kwargs == NULL) {
        return 0;
    }
    if (!PyDict_Check(kwargs)) {
        PyErr_Format(PyExc_TypeError,
                     "tasklet kwargs must be a dict or None, not %s",
                     Py_TYPE(kwargs)->tp_name);
        return -1;
    }
    while (PyDict_Next(kwargs, &pos, &key, &value)) {
        if (!PyUnicode_Check(key)) {
            PyErr_Format(PyExc_TypeError,
                         "tasklet kwargs: keywords must be strings, not %s",
                         Py_TYPE(key)->tp_name);
            return -1;
        }
    }
    return 0;
}

int
tasklet_bind(tasklet *t, PyObject *func, PyObject *args, PyObject *kwargs)
{
    PyObject *context, *old[6];

    func = func == Py_None ? NULL : func;
    args = args == Py_None ? NULL : args;
    kwargs = kwargs == Py_None ? NULL : kwargs;
    if (func != NULL && !PyCallable_Check(func)) {
        PyErr_Format(PyExc_TypeError,
                     "tasklet func must be a callable or None, not %s",
                     Py_TYPE(func)->tp_name);
        return -1;
    }
    if (check_arguments(args, kwargs) < 0) {
        return -1;
    }
    if (func == NULL && args == NULL && kwargs == NULL && is_main(t)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "can't unbind the main tasklet");
        return -1;
    }
    if (check_bindable(t) < 0) {
        return -1;
    }
    if (args != NULL || kwargs != NULL) {
        if (func == NULL && t->func == NULL) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the tasklet was not bound to a function");
            return -1;
        }
        func = func == NULL ? t->func : func;
    }
    context = running_context();
    if (context == NULL) {
        return -1;
    }
    args = args != NULL ? Py_NewRef(args)
                        : kwargs != NULL ? PyTuple_New(0) : NULL;
    kwargs = kwargs != NULL ? PyDict_Copy(kwargs) : NULL;
    if (PyErr_Occurred()) {
        Py_XDECREF(args);
        Py_XDECREF(kwargs);
        return -1;
    }
    old[0] = t->func;
    old[1] = t->args;
    old[2] = t->kwargs;
    old[3] = t->tempval;
    old[4] = t->fiber.context;
    t->func = Py_XNewRef(func);
    t->args = args;
    t->kwargs = kwargs;
    t->tempval = NULL;
    t->kind = TEMPVAL_VALUE;
    if (t->fiber.state == FIBER_DEAD) {
        old[5] = t->fiber.exc.exc_value;
        fiber_init(&t->fiber);
    }
    else {
        old[5] = NULL;
    }
    t->fiber.context = Py_NewRef(context);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(old); i++) {
        Py_XDECREF(old[i]);
    }
    return 0;
}

int
tasklet_set_up(tasklet *t, PyObject *args, PyObject *kwargs)
{
    scheduler *s = scheduler_get();
    if (s == NULL) {
        return -1;
    }
    if (tasklet_alive(t)) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet is alive");
        return -1;
    }
    if (t->func == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the tasklet was not bound to a function");
        return -1;
    }
    if (tasklet_check_thread(s, t) < 0) {
        return -1;
    }
    t->args = Py_NewRef(args);
    t->kwargs = Py_XNewRef(kwargs);
    scheduler_insert(s, (tasklet *)Py_NewRef(t));
    return 0;
}

/* ---- lifecycle -------------------------------------------------------- */

/* A tasklet of s that has nothing to run. New reference, or NULL. */
static tasklet *
alloc(PyTypeObject *type, scheduler *s)
{
    tasklet *t = (tasklet *)type->tp_alloc(type, 0);
    if (t != NULL) {
        fiber_init(&t->fiber);
        scheduler_link(s, t);
    }
    return t;
}

tasklet *
tasklet_new_main(scheduler *s)
{
    tasklet *t = alloc(tasklet_type, s);
    if (t != NULL) {
        t->fiber.state = FIBER_DEAD;
    }
    return t;
}

/* Ignores the arguments: __init__ may be overridden freely. */
static PyObject *
new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    scheduler *s = scheduler_get();
    return s == NULL ? NULL : (PyObject *)alloc(type, s);
}

static int
init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"func", "args", "kwargs", NULL};
    PyObject *func = NULL, *a = NULL, *k = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOO:tasklet", names,
                                     &func, &a, &k))
    {
        return -1;
    }
    return tasklet_bind((tasklet *)self, func, a, k);
}

/* tasklet(func), the usual call, without a tuple for the argument. */
static PyObject *
vectorcall(PyObject *type, PyObject *const *args, size_t nargsf,
           PyObject *kwnames)
{
    static const arguments_spec spec = {
        "tasklet", 0, 3, {"func", "args", "kwargs"},
    };
    PyObject *given[3], *self;

    if (arguments_unpack(&spec, args, PyVectorcall_NARGS(nargsf), kwnames,
                         given) < 0)
    {
        return NULL;
    }
    self = new((PyTypeObject *)type, NULL, NULL);
    if (self != NULL
        && tasklet_bind((tasklet *)self, given[0], given[1], given[2]) < 0)
    {
        Py_CLEAR(self);
    }
    return self;
}

static int
traverse(PyObject *self, visitproc visit, void *arg)
{
    tasklet *t = (tasklet *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(t->tempval);
    Py_VISIT(t->channel);
    Py_VISIT(t->func);
    Py_VISIT(t->args);
    Py_VISIT(t->kwargs);
    return fiber_traverse(&t->fiber, visit, arg);
}

/* Called for what has been finalised and is still unreachable. */
static int
clear(PyObject *self)
{
    tasklet *t = (tasklet *)self;
    channel *c = channel_unlink(t);

    if (t->next == NULL && t->fiber.state != FIBER_RUNNING && !is_main(t)) {
        tasklet_discard(t);
    }
    if (c != NULL) {
        Py_DECREF(c);
        /* The collector has another reference. */
        Py_DECREF(t);
    }
    return 0;
}

static void
finalize(PyObject *self)
{
    tasklet *t = (tasklet *)self;
    if (t->fiber.state == FIBER_PARKED || t->fiber.state == FIBER_SOFT) {
        ending_finalize(t);
    }
}

static void
dealloc(PyObject *self)
{
    tasklet *t = (tasklet *)self;
    PyTypeObject *type = Py_TYPE(self);

    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, dealloc)
    assert(t->next == NULL && t->channel == NULL && !t->watching);
    if (t->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    tasklet_discard(t);
    scheduler_unlink(t);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyObject *
call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int r = tasklet_set_up((tasklet *)self, args, kwargs);
    return r < 0 ? NULL : Py_NewRef(self);
}

/* ---- Python attributes ------------------------------------------------ */

static PyObject *
get_alive(PyObject *self, void *unused)
{
    return PyBool_FromLong(tasklet_alive((tasklet *)self));
}

static PyObject *
get_blocked(PyObject *self, void *unused)
{
    return PyBool_FromLong(((tasklet *)self)->channel != NULL);
}

static PyObject *
get_scheduled(PyObject *self, void *unused)
{
    return PyBool_FromLong(((tasklet *)self)->next != NULL);
}

static PyObject *
get_paused(PyObject *self, void *unused)
{
    tasklet *t = (tasklet *)self;
    return PyBool_FromLong(t->next == NULL && tasklet_alive(t));
}

static PyObject *
get_is_main(PyObject *self, void *unused)
{
    return PyBool_FromLong(is_main((tasklet *)self));
}

static PyObject *
get_is_current(PyObject *self, void *unused)
{
    return PyBool_FromLong(is_current((tasklet *)self));
}

static PyObject *
get_frame(PyObject *self, void *unused)
{
    tasklet *t = (tasklet *)self;
    PyObject *frame = NULL;

    if (is_current(t)) {
        frame = (PyObject *)PyThreadState_GetFrame(
            t->scheduler->thread->tstate);
    }
    else if (is_main(t)) {
        frame = fiber_frame(&t->scheduler->thread->main);
    }
    else if (tasklet_suspended(t)) {
        frame = fiber_frame(&t->fiber);
    }
    if (frame == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return frame != NULL ? frame : Py_NewRef(Py_None);
}

/* The neighbour, or None if the ring begins or ends there. */
static PyObject *
neighbour(tasklet *t, tasklet *other, tasklet *end)
{
    if (other == NULL || (t->channel != NULL && end == channel_first(t))) {
        return Py_NewRef(Py_None);
    }
    return Py_NewRef(other);
}

static PyObject *
get_next(PyObject *self, void *unused)
{
    tasklet *t = (tasklet *)self;
    return neighbour(t, t->next, t->next);
}

static PyObject *
get_prev(PyObject *self, void *unused)
{
    tasklet *t = (tasklet *)self;
    return neighbour(t, t->prev, t);
}

static PyObject *
get_tempval(PyObject *self, void *unused)
{
    tasklet *t = (tasklet *)self;
    switch (t->kind) {
    case TEMPVAL_BOMB:
        return bomb_new(t->tempval);
    case TEMPVAL_SELF:
        return Py_NewRef(self);
    default:
        return Py_NewRef(t->tempval == NULL ? Py_None : t->tempval);
    }
}

static int
set_tempval(PyObject *self, PyObject *value, void *unused)
{
    tasklet *t = (tasklet *)self;
    PyObject *old = t->tempval;
    t->tempval = NULL;
    tasklet_leave(t, value == NULL ? Py_None : value);
    Py_XDECREF(old);
    return 0;
}

static PyObject *
get_thread_id(PyObject *self, void *unused)
{
    scheduler *s = ((tasklet *)self)->scheduler;
    return s == NULL ? PyLong_FromLong(-1)
                     : PyLong_FromUnsignedLong(s->thread_id);
}

/* How many interpreter loops or other C calls stand below it; -1 with an
 * exception. */
static int
nesting(tasklet *t)
{
    if (t->scheduler == NULL || is_main(t) || is_current(t)
        || t->fiber.state != FIBER_PARKED)
    {
        return 0;
    }
    return fiber_nesting(&t->fiber);
}

static PyObject *
get_nesting_level(PyObject *self, void *unused)
{
    int level = nesting((tasklet *)self);
    return level < 0 ? NULL : PyLong_FromLong(level);
}

static PyObject *
get_restorable(PyObject *self, void *unused)
{
    int level = nesting((tasklet *)self);
    return level < 0 ? NULL : PyBool_FromLong(level == 0);
}

static PyGetSetDef getset[] = {
    {"alive", get_alive, NULL,
     "True if it has something to run, and a thread to run in.", NULL},
    {"blocked", get_blocked, NULL, "True if it waits at a channel.", NULL},
    {"scheduled", get_scheduled, NULL,
     "True if it is in the run queue or waits at a channel.", NULL},
    {"paused", get_paused, NULL, "True if it is alive and not scheduled.",
     NULL},
    {"is_main", get_is_main, NULL,
     "True if it is the main tasklet of its thread.", NULL},
    {"is_current", get_is_current, NULL,
     "True if it is the running tasklet of its thread.", NULL},
    {"frame", get_frame, NULL,
     "The innermost frame, or None if it hasn't started or has ended.",
     NULL},
    {"next", get_next, NULL,
     "The next tasklet in the same queue, or None.", NULL},
    {"prev", get_prev, NULL,
     "The previous tasklet in the same queue, or None.", NULL},
    {"tempval", get_tempval, set_tempval,
     "What the function that switched away will return when the tasklet\n"
     "goes on; a bomb is raised there.", NULL},
    {"thread_id", get_thread_id, NULL,
     "threading.get_ident() of its thread, or -1 if that has ended.", NULL},
    {"nesting_level", get_nesting_level, NULL,
     "How many C calls its frames go through; 0 if there are none.", NULL},
    {"restorable", get_restorable, NULL,
     "True if nesting_level is 0.", NULL},
    {NULL},
};

static PyMemberDef members[] = {
    {"atomic", T_BOOL, offsetof(tasklet, atomic), READONLY,
     "True if it must not be interrupted: see set_atomic()."},
    {"ignore_nesting", T_BOOL, offsetof(tasklet, ignore_nesting), READONLY,
     "True if it may be interrupted inside of C calls:\n"
     "see set_ignore_nesting()."},
    {"block_trap", T_BOOL, offsetof(tasklet, block_trap), 0,
     "If True, RuntimeError is raised where it would have to wait at a\n"
     "channel."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(tasklet, weakrefs),
     READONLY},
    {NULL},
};

PyDoc_STRVAR(doc,
"tasklet(func=None, args=None, kwargs=None)\n--\n\n"
"A task that runs until it switches to another one, and goes on there\n"
"when somebody switches back.\n\n"
"The parameters are those of bind(). The usual way to start one is\n"
"tasklet(func)(*args, **kwargs).");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)doc},
    {Py_tp_new, new},
    {Py_tp_init, init},
    {Py_tp_call, call},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_finalize, finalize},
    {Py_tp_dealloc, dealloc},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_methods, tasklet_methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pickletask.tasklet",
    .basicsize = sizeof(tasklet),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int
tasklet_setup(PyObject *module)
{
    tasklet_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (tasklet_type == NULL) {
        return -1;
    }
    tasklet_type->tp_vectorcall = vectorcall;
    return PyModule_AddObjectRef(module, "tasklet",
                                 (PyObject *)tasklet_type);
}
