/* Channels: where tasklets meet to hand over a value. */
#include "channel.h"
#include "arguments.h"
#include "bomb.h"
#include "pickling.h"
#include "scheduler.h"

#include <structmember.h>

PyTypeObject *channel_type;
PyObject *channel_callback;

enum { RECEIVING = -1, SENDING = 1 };

/* ---- the queue -------------------------------------------------------- */

/* Puts t at the end. Steals a reference to t. */
static void
enqueue(channel *c, tasklet *t, int direction)
{
    ring_insert(c->first, t);
    if (c->first == NULL) {
        c->first = t;
    }
    c->balance += direction;
    t->direction = (signed char)direction;
    t->channel = (channel *)Py_NewRef(c);
}

channel *
channel_unlink(tasklet *t)
{
    channel *c = t->channel;
    if (c == NULL) {
        return NULL;
    }
    if (c->first == t) {
        c->first = t->next == t ? NULL : t->next;
    }
    ring_remove(t);
    c->balance -= t->direction;
    t->direction = 0;
    t->channel = NULL;
    return c;
}

PyObject *
channel_waiting(channel *c)
{
    PyObject *list = PyList_New(0);
    tasklet *t = c->first;

    while (list != NULL && t != NULL) {
        if (PyList_Append(list, (PyObject *)t) < 0) {
            Py_CLEAR(list);
        }
        t = t->next == c->first ? NULL : t->next;
    }
    return list;
}

/* Takes all out of the queue. The caller has references to them. */
static void
empty(channel *c)
{
    while (c->first != NULL) {
        tasklet *t = c->first;
        channel_unlink(t);
        Py_DECREF(c);
        Py_DECREF(t);
    }
}

int
channel_set_state(channel *c, PyObject *waiting, int direction,
                  int preference, int schedule_all, int closing)
{
    if (c->first != NULL) {
        PyErr_SetString(PyExc_ValueError, "the channel is in use");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(waiting); i++) {
        tasklet *t = (tasklet *)PyList_GET_ITEM(waiting, i);
        /* One that is in a queue already may be in this one. */
        if (!PyObject_TypeCheck(t, tasklet_type) || t->next != NULL
            || !tasklet_suspended(t) || t->scheduler == NULL)
        {
            empty(c);
            PyErr_SetString(PyExc_ValueError,
                            "only paused tasklets can be put at a channel, "
                            "each once");
            return -1;
        }
        enqueue(c, (tasklet *)Py_NewRef(t),
                direction < 0 ? RECEIVING : SENDING);
    }
    c->preference = (signed char)((preference > 0) - (preference < 0));
    c->schedule_all = schedule_all != 0;
    c->closing = closing != 0;
    return 0;
}

/* ---- meeting ---------------------------------------------------------- */

/* What is handed over. */
typedef struct {
    PyObject *object;       /* owned; NULL: None */
    tempval_kind kind;      /* not TEMPVAL_SELF */
} parcel;

/* Takes what waits for t. */
static parcel
take(tasklet *t)
{
    parcel p;
    p.object = tasklet_take(t, &p.kind);
    p.kind = p.kind == TEMPVAL_SELF ? TEMPVAL_VALUE : p.kind;
    return p;
}

/* Leaves it with t, which is in a queue. Steals the object. */
static void
leave(scheduler *s, tasklet *t, parcel p)
{
    if (t->tempval != NULL) {
        scheduler_trash(s, t->tempval);
    }
    t->tempval = p.object;
    t->kind = p.kind;
    if (p.object == (PyObject *)t) {
        t->tempval = NULL;
        t->kind = TEMPVAL_SELF;
        Py_DECREF(t);
    }
}

/* Opens it: new reference, or NULL with an exception. */
static PyObject *
unpack(parcel p)
{
    if (p.object == NULL) {
        Py_RETURN_NONE;
    }
    return p.kind == TEMPVAL_BOMB ? bomb_explode(p.object) : p.object;
}

/* Calls the channel callback, which may change the value: it finds it in the
 * tempval of the running tasklet.  0, or -1 with an exception: the callback
 * itself uses a channel. */
static int
tell(scheduler *s, channel *c, int direction, parcel *p)
{
    tasklet *me = s->current;
    PyObject *callback, *result;

    if (s->in_callback) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Recursive channel call due to callbacks!");
        return -1;
    }
    leave(s, me, *p);
    s->in_callback = 1;
    callback = Py_NewRef(channel_callback);
    result = PyObject_CallFunctionObjArgs(
        callback, (PyObject *)c, (PyObject *)me,
        direction > 0 ? Py_True : Py_False,
        c->balance * direction < 0 ? Py_False : Py_True, NULL);
    if (result == NULL) {
        PyErr_WriteUnraisable(callback);
    }
    Py_XDECREF(result);
    Py_DECREF(callback);
    s->in_callback = 0;
    *p = take(me);
    return 0;
}

/* Who goes on after a meeting with the first one that waits. Borrowed. */
static tasklet *
preferred(scheduler *s, channel *c, int direction)
{
    tasklet *me = s->current;

    tasklet_claim(s, c->first);
    if (c->first->scheduler != s) {
        return me;
    }
    if (c->schedule_all) {
        return me->next == me ? c->first : me->next;
    }
    return c->preference == -direction ? c->first : me;
}

/* Whom to go to if the running tasklet waits here. Borrowed, or NULL with an
 * exception: it can't. */
static tasklet *
successor(scheduler *s, channel *c, departure *d)
{
    if (s->current->block_trap) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this tasklet does not like to be blocked.");
        return NULL;
    }
    if (c->closing) {
        PyErr_SetString(PyExc_ValueError,
                        "Send/receive operation on a closed channel");
        return NULL;
    }
    return scheduler_heir(s, d);
}

/* Hands over p, or gets what the first one that waits has.  It becomes
 * runnable: behind the running one if it is preferred, else at the end. */
static parcel
meet(scheduler *s, channel *c, int direction, tasklet *to, parcel p)
{
    tasklet *me = s->current, *partner = c->first;

    channel_unlink(partner);
    /* Not the last reference: who called has another. */
    Py_DECREF(c);
    if (direction == SENDING) {
        leave(s, partner, p);
        p = (parcel){NULL, TEMPVAL_VALUE};
    }
    else {
        p = take(partner);
    }
    if (to == partner && !c->schedule_all) {
        ring_insert(me->next, partner);
        s->runcount++;
    }
    else {
        scheduler_insert(partner->scheduler, partner);
    }
    return p;
}

/* Sends p, whose object it steals, or receives (p is empty). New reference,
 * or NULL with an exception: what to return. */
static PyObject *
act(channel *c, int direction, parcel p, const fiber_call *call)
{
    scheduler *s = scheduler_enter();
    departure d = {0};
    tasklet *me, *to;
    int r = 0, meets;

    if (s == NULL || (channel_callback != NULL
                      && tell(s, c, direction, &p) < 0))
    {
        goto error;
    }
    me = s->current;
    do {
        meets = c->balance * direction < 0;
        to = meets ? preferred(s, c, direction) : successor(s, c, &d);
        if (to == NULL) {
            goto error;
        }
        if (to != me) {
            r = scheduler_depart(s, to, &d);
        }
    } while (to != me && r > 0);
    if (to != me && r < 0) {
        goto error;
    }
    if (meets) {
        Py_CLEAR(d.bomb);
        p = meet(s, c, direction, to, p);
        if (to == me) {
            scheduler_settle(s);
            return unpack(p);
        }
        leave(s, me, p);
    }
    else {
        if (to->next == NULL || to->channel != NULL) {
            scheduler_admit(s, to, &d);
        }
        scheduler_remove(s, me);
        enqueue(c, me, direction);
        leave(s, me, p);
    }
    return scheduler_go(s, to, call);

error:
    Py_CLEAR(d.bomb);
    Py_XDECREF(p.object);
    return NULL;
}

/* ---- Python methods --------------------------------------------------- */

#define FUNCTION(f) ((void (*)(void))(f))

PyDoc_STRVAR(send_doc,
"send($self, /, value)\n--\n\n"
"Hand a value to a tasklet that receives; wait until one does if none is\n"
"waiting. The preference tells who goes on first.\n\n"
"RuntimeError if nobody else could run then (deadlock), or if the tasklet\n"
"has its block_trap set; ValueError if the channel is closed and nobody\n"
"waits. Runs other tasklets.");

static PyObject *
method_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const arguments_spec spec = {"send", 1, 1, {"value"}};
    const fiber_call call = {
        args, nargs, kwnames, self, FUNCTION(method_send),
    };
    PyObject *value;

    if (arguments_unpack_one(&spec, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    if (bomb_check(value)) {
        PyObject *exception = Py_NewRef(bomb_exception(value));
        return act((channel *)self, SENDING, (parcel){exception, TEMPVAL_BOMB},
                   &call);
    }
    return act((channel *)self, SENDING,
               (parcel){Py_NewRef(value), TEMPVAL_VALUE}, &call);
}

PyDoc_STRVAR(receive_doc,
"receive($self, /)\n--\n\n"
"Return the value that another tasklet sends, or raise its exception; wait\n"
"until one does if none is waiting. The preference tells who goes on first.\n"
"\n"
"RuntimeError if nobody else could run then (deadlock), or if the tasklet\n"
"has its block_trap set; ValueError if the channel is closed and nobody\n"
"waits. Runs other tasklets.");

static PyObject *
method_receive(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const arguments_spec spec = {"receive", 0, 0, {NULL}};
    PyObject *unused;
    const fiber_call call = {
        args, nargs, kwnames, self, FUNCTION(method_receive),
    };
    if (arguments_unpack_one(&spec, args, nargs, kwnames, &unused) < 0) {
        return NULL;
    }
    return act((channel *)self, RECEIVING, (parcel){NULL, TEMPVAL_VALUE},
               &call);
}

PyDoc_STRVAR(send_exception_doc,
"send_exception($self, exc, /, *args)\n--\n\n"
"Raise exc(*args) in a tasklet that receives, as send() hands over a\n"
"value.\n\n"
"Errors are those of send(), and TypeError if it's no exception class.");

static PyObject *
method_send_exception(PyObject *self, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *kwnames)
{
    const fiber_call call = {
        args, nargs, kwnames, self, FUNCTION(method_send_exception),
    };
    PyObject *exception;

    if (arguments_only_positional("send_exception", 1, nargs, kwnames) < 0) {
        return NULL;
    }
    exception = bomb_call("send_exception", args, nargs);
    if (exception == NULL) {
        return NULL;
    }
    return act((channel *)self, SENDING, (parcel){exception, TEMPVAL_BOMB},
               &call);
}

PyDoc_STRVAR(send_throw_doc,
"send_throw($self, /, exc, val=None, tb=None)\n--\n\n"
"Raise an exception in a tasklet that receives, as send() hands over a\n"
"value. The parameters are those of tasklet.throw().\n\n"
"Errors are those of send(), and TypeError if it's no exception.");

static PyObject *
method_send_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const arguments_spec spec = {
        "send_throw", 1, 3, {"exc", "val", "tb"},
    };
    const fiber_call call = {
        args, nargs, kwnames, self, FUNCTION(method_send_throw),
    };
    PyObject *given[3], *exception;

    if (arguments_unpack(&spec, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    exception = bomb_make(given[0], given[1], given[2]);
    if (exception == NULL) {
        return NULL;
    }
    return act((channel *)self, SENDING, (parcel){exception, TEMPVAL_BOMB},
               &call);
}

static PyObject *
iternext(PyObject *self)
{
    const fiber_call call = {NULL, 0, NULL, self, NULL};
    channel *c = (channel *)self;

    if (c->closing && c->balance <= 0) {
        return NULL;
    }
    return act(c, RECEIVING, (parcel){NULL, TEMPVAL_VALUE}, &call);
}

PyDoc_STRVAR(close_doc,
"close($self, /)\n--\n\n"
"Let nobody begin to wait here any more. Who waits already can be met.");

static PyObject *
method_close(PyObject *self, PyObject *unused)
{
    ((channel *)self)->closing = 1;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(open_doc,
"open($self, /)\n--\n\n"
"Undo close().");

static PyObject *
method_open(PyObject *self, PyObject *unused)
{
    ((channel *)self)->closing = 0;
    Py_RETURN_NONE;
}

/* A Python function: where it waits, its frame can be soft and pickled. */
static const char send_sequence[] =
    "def send_sequence(self, iterable, /):\n"
    "    \"\"\"Send each value of an iterable; return how many there were.\n"
    "\n"
    "    Errors are those of send() and of the iterable.\n"
    "    \"\"\"\n"
    "    count = 0\n"
    "    for value in iterable:\n"
    "        self.send(value)\n"
    "        count += 1\n"
    "    return count\n"
    "send_sequence.__qualname__ = 'channel.send_sequence'\n";

static PyMethodDef methods[] = {
    {"send", (PyCFunction)FUNCTION(method_send),
     METH_FASTCALL | METH_KEYWORDS, send_doc},
    {"receive", (PyCFunction)FUNCTION(method_receive),
     METH_FASTCALL | METH_KEYWORDS, receive_doc},
    {"send_exception", (PyCFunction)FUNCTION(method_send_exception),
     METH_FASTCALL | METH_KEYWORDS, send_exception_doc},
    {"send_throw", (PyCFunction)FUNCTION(method_send_throw),
     METH_FASTCALL | METH_KEYWORDS, send_throw_doc},
    {"close", method_close, METH_NOARGS, close_doc},
    {"open", method_open, METH_NOARGS, open_doc},
    {"__reduce_ex__", pickling_reduce_channel, METH_O,
     pickling_reduce_channel_doc},
    {"__setstate__", pickling_set_channel, METH_O, pickling_set_channel_doc},
    {NULL},
};

/* ---- lifecycle -------------------------------------------------------- */

static PyObject *
new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    channel *c = (channel *)type->tp_alloc(type, 0);
    if (c != NULL) {
        c->preference = -1;
    }
    return (PyObject *)c;
}

static int
traverse(PyObject *self, visitproc visit, void *arg)
{
    channel *c = (channel *)self;
    tasklet *t = c->first;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->aside);
    while (t != NULL) {
        Py_VISIT(t);
        t = t->next == c->first ? NULL : t->next;
    }
    return 0;
}

static int
clear(PyObject *self)
{
    channel *c = (channel *)self;

    Py_CLEAR(c->aside);
    empty(c);
    return 0;
}

static void
dealloc(PyObject *self)
{
    channel *c = (channel *)self;
    PyTypeObject *type = Py_TYPE(self);

    assert(c->first == NULL);
    PyObject_GC_UnTrack(self);
    if (c->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    Py_CLEAR(c->aside);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- Python attributes ------------------------------------------------ */

static PyObject *
get_balance(PyObject *self, void *unused)
{
    return PyLong_FromSsize_t(((channel *)self)->balance);
}

static PyObject *
get_queue(PyObject *self, void *unused)
{
    tasklet *first = ((channel *)self)->first;
    return Py_NewRef(first == NULL ? Py_None : (PyObject *)first);
}

static PyObject *
get_closed(PyObject *self, void *unused)
{
    channel *c = (channel *)self;
    return PyBool_FromLong(c->closing && c->balance == 0);
}

static PyObject *
get_preference(PyObject *self, void *unused)
{
    return PyLong_FromLong(((channel *)self)->preference);
}

/* Stores the integer `value`. 0, or -1 with TypeError. */
static int
get_long(const char *name, PyObject *value, long *result)
{
    int overflow;

    if (value == NULL || !PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "channel.%s must be set to an integer, not %s", name,
                     value == NULL ? "deleted" : Py_TYPE(value)->tp_name);
        return -1;
    }
    *result = PyLong_AsLongAndOverflow(value, &overflow);
    if (overflow != 0) {
        *result = overflow;
    }
    return 0;
}

static int
set_preference(PyObject *self, PyObject *value, void *unused)
{
    long n;
    if (get_long("preference", value, &n) < 0) {
        return -1;
    }
    ((channel *)self)->preference = (signed char)((n > 0) - (n < 0));
    return 0;
}

static PyObject *
get_schedule_all(PyObject *self, void *unused)
{
    return PyLong_FromLong(((channel *)self)->schedule_all);
}

static int
set_schedule_all(PyObject *self, PyObject *value, void *unused)
{
    long n;
    if (get_long("schedule_all", value, &n) < 0) {
        return -1;
    }
    ((channel *)self)->schedule_all = n != 0;
    return 0;
}

static PyGetSetDef getset[] = {
    {"balance", get_balance, NULL,
     "How many tasklets wait to send, or minus how many wait to receive.",
     NULL},
    {"queue", get_queue, NULL, "The tasklet that waits first, or None.",
     NULL},
    {"closed", get_closed, NULL,
     "True if the channel is closing and nobody waits.", NULL},
    {"preference", get_preference, set_preference,
     "Who goes on first after a meeting: -1 the receiver, 1 the sender,\n"
     "0 who came last.", NULL},
    {"schedule_all", get_schedule_all, set_schedule_all,
     "If not 0: after a meeting the next tasklet in the run queue goes on.",
     NULL},
    {NULL},
};

static PyMemberDef members[] = {
    {"closing", T_BOOL, offsetof(channel, closing), READONLY,
     "True after close()."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(channel, weakrefs),
     READONLY},
    {NULL},
};

PyDoc_STRVAR(doc,
"channel()\n--\n\n"
"A place where tasklets hand over values: send() and receive() wait for one\n"
"another.\n\n"
"Iteration receives, until the channel is closed.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)doc},
    {Py_tp_new, new},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iternext},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pickletask.channel",
    .basicsize = sizeof(channel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

/* Adds the methods that are written in Python. 0, or -1. */
static int
add_python_methods(PyTypeObject *type)
{
    int r = -1;
    PyObject *function, *result = NULL, *code = NULL;
    PyObject *globals = Py_BuildValue("{ss}", "__name__", "pickletask");

    if (globals == NULL
        || PyDict_SetItemString(globals, "__builtins__",
                                PyEval_GetBuiltins()) < 0)
    {
        goto error;
    }
    code = Py_CompileString(send_sequence, "<pickletask.channel>",
                            Py_file_input);
    if (code == NULL) {
        goto error;
    }
    result = PyEval_EvalCode(code, globals, globals);
    if (result == NULL) {
        goto error;
    }
    function = PyDict_GetItemString(globals, "send_sequence");
    r = PyDict_SetItemString(type->tp_dict, "send_sequence", function);
    PyType_Modified(type);

error:
    Py_XDECREF(globals);
    Py_XDECREF(code);
    Py_XDECREF(result);
    return r;
}

int
channel_setup(PyObject *module)
{
    channel_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (channel_type == NULL || add_python_methods(channel_type) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "channel",
                                 (PyObject *)channel_type);
}
