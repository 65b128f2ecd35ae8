/* Tasklets and channels as pickle sees them: see pickling.h. */
#include "pickling.h"

#include "channel.h"
#include "fiber/contexts.h"
#include "scheduler.h"

/* Bits of a tasklet's flags. The lowest two are its tempval_kind. */
enum { KIND = 3, ATOMIC = 4, IGNORE_NESTING = 8, BLOCK_TRAP = 16 };

/* Bit of the protocol that pickletask's own pickler sets. */
enum { BY_REFERENCE = 0x100 };

/* Bits of a channel's flags. */
enum { SCHEDULE_ALL = 1, CLOSING = 2 };

/* ---- attributes of subclasses ------------------------------------------ */

/* Names of a class's __slots__. New reference, or NULL with an exception. */
static PyObject *
slot_names(PyTypeObject *type)
{
    PyObject *copyreg = PyImport_ImportModule("copyreg"), *names;
    if (copyreg == NULL) {
        return NULL;
    }
    names = PyObject_CallMethod(copyreg, "_slotnames", "O", type);
    Py_DECREF(copyreg);
    return names;
}

/* Adds those slots of self that have a value. 0, or -1 with an exception. */
static int
add_slots(PyObject *self, PyObject *attributes)
{
    PyObject *names = slot_names(Py_TYPE(self));
    int status = names == NULL ? -1 : 0;

    for (Py_ssize_t i = 0;
         status == 0 && PyList_Check(names) && i < PyList_GET_SIZE(names); i++)
    {
        PyObject *name = PyList_GET_ITEM(names, i);
        PyObject *value = PyObject_GetAttr(self, name);
        if (value != NULL) {
            status = PyDict_SetItem(attributes, name, value);
            Py_DECREF(value);
        }
        else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
        else {
            status = -1;
        }
    }
    Py_XDECREF(names);
    return status;
}

/* What an instance of a subclass has of its own: a dict, or None. New
 * reference, or NULL with an exception. */
static PyObject *
get_attributes(PyObject *self, PyTypeObject *base)
{
    PyObject *attributes, *dict;

    if (Py_IS_TYPE(self, base)) {
        return Py_NewRef(Py_None);
    }
    dict = PyObject_GetAttrString(self, "__dict__");
    if (dict == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return NULL;
        }
        PyErr_Clear();
        attributes = PyDict_New();
    }
    else {
        attributes = PyDict_Copy(dict);
        Py_DECREF(dict);
    }
    if (attributes != NULL && add_slots(self, attributes) < 0) {
        Py_CLEAR(attributes);
    }
    return attributes;
}

/* 0, or -1 with an exception. */
static int
set_attributes(PyObject *self, PyObject *attributes)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;

    if (attributes == Py_None) {
        return 0;
    }
    if (!PyDict_CheckExact(attributes)) {
        PyErr_SetString(PyExc_TypeError,
                        "the saved attributes must be a dict");
        return -1;
    }
    /* Setting one may run Python code, which may change the dict. */
    PyObject *copy = PyDict_Copy(attributes);
    int status = copy == NULL ? -1 : 0;
    while (status == 0 && PyDict_Next(copy, &position, &key, &value)) {
        status = PyObject_SetAttr(self, key, value);
    }
    Py_XDECREF(copy);
    return status;
}

/* ---- what is called ----------------------------------------------------- */

/* A tuple or dict with what is to be pickled for each value; None for NULL.
 * New reference, or NULL with an exception. */
static PyObject *
substitute_all(PyObject *values)
{
    const fiber_pickling *pickling = fiber_get_pickling();
    PyObject *result, *key, *value;
    Py_ssize_t position = 0;

    if (values == NULL) {
        return Py_NewRef(Py_None);
    }
    if (PyTuple_Check(values)) {
        result = PyTuple_New(PyTuple_GET_SIZE(values));
        for (Py_ssize_t i = 0;
             result != NULL && i < PyTuple_GET_SIZE(values); i++)
        {
            value = pickling->substitute(PyTuple_GET_ITEM(values, i));
            if (value == NULL) {
                Py_CLEAR(result);
                break;
            }
            PyTuple_SET_ITEM(result, i, value);
        }
        return result;
    }
    result = PyDict_New();
    while (result != NULL && PyDict_Next(values, &position, &key, &value)) {
        value = pickling->substitute(value);
        if (value == NULL || PyDict_SetItem(result, key, value) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(value);
    }
    return result;
}

/* (func, args, kwargs) of a tasklet that has not started. New reference, or
 * NULL with an exception. */
static PyObject *
get_call(const tasklet_state *now)
{
    PyObject *func = now->func == NULL ? Py_None : now->func;
    func = fiber_get_pickling()->substitute(func);
    PyObject *args = substitute_all(now->args);
    PyObject *kwargs = substitute_all(now->kwargs);
    PyObject *call = NULL;

    if (func != NULL && args != NULL && kwargs != NULL) {
        call = PyTuple_Pack(3, func, args, kwargs);
    }
    Py_XDECREF(func);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return call;
}

/* ---- tasklets ---------------------------------------------------------- */

static int
check_reducible(tasklet *t)
{
    scheduler *s = t->scheduler;

    if (s != NULL && t == s->current) {
        PyErr_SetString(PyExc_RuntimeError,
                        "You cannot __reduce__ the tasklet which is current.");
        return -1;
    }
    if (s != NULL && t == s->main) {
        PyErr_SetString(PyExc_RuntimeError,
                        "You cannot __reduce__ the main tasklet: it stands "
                        "for the thread's own stack.");
        return -1;
    }
    if (t->fiber.state == FIBER_RUNNING) {
        PyErr_SetString(PyExc_RuntimeError,
                        "You cannot __reduce__ a tasklet that is running.");
        return -1;
    }
    return 0;
}

/* The parts of the state, in their order. New references; 0, or -1 with an
 * exception, and some of them. */
static int
get_parts(tasklet *t, int by_reference, PyObject *parts[6])
{
    const fiber_pickling *pickling = fiber_get_pickling();
    tasklet_state now;

    tasklet_get_state(t, &now);
    int flags = now.kind | (now.atomic ? ATOMIC : 0)
                | (now.ignore_nesting ? IGNORE_NESTING : 0)
                | (now.block_trap ? BLOCK_TRAP : 0);
    parts[0] = PyLong_FromLong(flags);
    parts[1] = pickling->substitute(now.tempval == NULL ? Py_None
                                                        : now.tempval);
    parts[2] = Py_NewRef(now.channel == NULL ? Py_None : now.channel);
    parts[3] = t->fiber.state == FIBER_PARKED || t->fiber.state == FIBER_SOFT
                   ? pickling->capture(&t->fiber, by_reference)
                   : Py_NewRef(Py_None);
    if (parts[3] == NULL) {
        return -1;
    }
    parts[4] = t->fiber.state == FIBER_NEW ? get_call(&now)
                                           : Py_NewRef(Py_None);
    if (parts[4] == NULL) {
        return -1;
    }
    parts[5] = get_attributes((PyObject *)t, tasklet_type);
    return parts[0] && parts[1] && parts[5] ? 0 : -1;
}

PyObject *
pickling_reduce_tasklet(PyObject *self, PyObject *protocol)
{
    tasklet *t = (tasklet *)self;
    PyObject *parts[6] = {NULL}, *result = NULL;
    long number = PyLong_AsLong(protocol);

    if ((number == -1 && PyErr_Occurred()) || check_reducible(t) < 0) {
        return NULL;
    }
    if (get_parts(t, (number & BY_REFERENCE) != 0, parts) == 0) {
        result = Py_BuildValue("O()(OOOOOO)", Py_TYPE(self), parts[0],
                               parts[1], parts[2], parts[3], parts[4],
                               parts[5]);
    }
    for (int i = 0; i < 6; i++) {
        Py_XDECREF(parts[i]);
    }
    return result;
}

/* Can this tasklet get a saved state? 0, or -1 with an exception. */
static int
check_settable(tasklet *t)
{
    scheduler *s = scheduler_get();
    if (s == NULL || tasklet_check_thread(s, t) < 0) {
        return -1;
    }
    if (tasklet_alive(t) || t->next != NULL || t->fiber.state == FIBER_RUNNING)
    {
        PyErr_SetString(PyExc_RuntimeError, "tasklet is alive");
        return -1;
    }
    return 0;
}

/* Tries to put those that a channel keeps aside into its queue: works when
 * the last of them has its frames. */
static void
adopt(channel *c)
{
    PyObject *waiting = c->aside;

    if (waiting == NULL || c->first != NULL) {
        return;
    }
    while (c->aside_ready < PyList_GET_SIZE(waiting)) {
        tasklet *t = (tasklet *)PyList_GET_ITEM(waiting, c->aside_ready);
        if (t->fiber.state != FIBER_SOFT) {
            return;
        }
        c->aside_ready++;
    }
    c->aside = NULL;
    if (channel_set_state(c, waiting, c->aside_direction, c->preference,
                          c->schedule_all, c->closing) < 0)
    {
        PyErr_Clear();
    }
    Py_DECREF(waiting);
}

/* Gives the tasklet its frames, or what to call. */
static int
set_run(tasklet *t, PyObject *frames, PyObject *call)
{
    if (t->fiber.state == FIBER_DEAD) {
        fiber_discard(&t->fiber);
        fiber_init(&t->fiber);
    }
    if (frames != Py_None) {
        return fiber_get_pickling()->rebuild(&t->fiber, frames);
    }
    if (call == Py_None) {
        t->fiber.state = FIBER_DEAD;
        return 0;
    }
    if (!PyTuple_CheckExact(call) || PyTuple_GET_SIZE(call) != 3) {
        PyErr_SetString(PyExc_TypeError,
                        "a saved call must be (func, args, kwargs)");
        return -1;
    }
    return tasklet_bind(t, PyTuple_GET_ITEM(call, 0),
                        PyTuple_GET_ITEM(call, 1), PyTuple_GET_ITEM(call, 2));
}

PyObject *
pickling_set_tasklet(PyObject *self, PyObject *state)
{
    tasklet *t = (tasklet *)self;
    int flags, status;
    PyObject *tempval, *where, *frames, *call, *attributes, *own = Py_None;
    PyObject *context = NULL;

    if (!PyTuple_CheckExact(state)
        || !PyArg_ParseTuple(state, "iOOOOO|O;a tasklet's state", &flags,
                             &tempval, &where, &frames, &call, &attributes,
                             &own))
    {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError,
                            "a tasklet's state must be a tuple");
        }
        return NULL;
    }
    int kind = flags & KIND;
    if (kind > TEMPVAL_BOMB
        || (kind == TEMPVAL_BOMB && !PyExceptionInstance_Check(tempval))
        || (kind == TEMPVAL_SELF && tempval != Py_None)
        || (where != Py_None && !PyObject_TypeCheck(where, channel_type))
        || (own != Py_None && !PyContext_CheckExact(own)))
    {
        PyErr_SetString(PyExc_TypeError, "a tasklet's state is damaged");
        return NULL;
    }
    if (check_settable(t) < 0 || set_attributes(self, attributes) < 0
        || check_settable(t) < 0)
    {
        return NULL;
    }
    context = t->fiber.context;
    t->fiber.context = NULL;
    if (set_run(t, frames, call) < 0) {
        t->fiber.context = context;
        return NULL;
    }
    tasklet_state now = {
        .func = t->func,
        .args = t->args,
        .kwargs = t->kwargs,
        .tempval = tempval == Py_None ? NULL : tempval,
        .kind = kind,
        .atomic = (flags & ATOMIC) != 0,
        .ignore_nesting = (flags & IGNORE_NESTING) != 0,
        .block_trap = (flags & BLOCK_TRAP) != 0,
    };
    if (frames != Py_None) {
        now.func = now.args = now.kwargs = NULL;
    }
    if (frames == Py_None) {
        /* That of whoever loads it. */
        Py_XSETREF(context, t->fiber.context);
        t->fiber.context = NULL;
    }
    /* Without an own one, it gets that of the thread that claims it. */
    t->fiber.has_context = 0;
    if (own != Py_None) {
        contexts_give(&t->fiber, own);
    }
    status = tasklet_set_state(t, &now);
    Py_XDECREF(context);
    if (status < 0) {
        return NULL;
    }
    t->loose = (unsigned char)tasklet_alive(t);
    if (where != Py_None) {
        adopt((channel *)where);
    }
    Py_RETURN_NONE;
}

PyObject *
pickling_context(PyObject *module, PyObject *object)
{
    tasklet *t = (tasklet *)object;

    if (!PyObject_TypeCheck(object, tasklet_type)) {
        PyErr_Format(PyExc_TypeError, "expected a tasklet, not %.200s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (check_reducible(t) < 0) {
        return NULL;
    }
    PyObject *own = contexts_own(&t->fiber);
    return own == NULL && PyErr_Occurred()
               ? NULL
               : Py_NewRef(own == NULL ? Py_None : own);
}

PyObject *
pickling_copy_tasklet(PyObject *self, PyObject *noargs)
{
    PyErr_SetString(PyExc_TypeError,
                    "can't make a shallow copy of a tasklet: its frames can't "
                    "be shared; use copy.deepcopy()");
    return NULL;
}

/* ---- channels ---------------------------------------------------------- */

PyObject *
pickling_reduce_channel(PyObject *self, PyObject *protocol)
{
    channel *c = (channel *)self;
    int direction = (c->balance > 0) - (c->balance < 0);
    int flags = (c->schedule_all ? SCHEDULE_ALL : 0)
                | (c->closing ? CLOSING : 0);
    PyObject *waiting = channel_waiting(c);
    PyObject *attributes = get_attributes(self, channel_type);
    PyObject *result = NULL;

    if (waiting != NULL && attributes != NULL) {
        result = Py_BuildValue("O()(iiiOO)", Py_TYPE(self), direction,
                               c->preference, flags, waiting, attributes);
    }
    Py_XDECREF(waiting);
    Py_XDECREF(attributes);
    return result;
}

PyObject *
pickling_set_channel(PyObject *self, PyObject *state)
{
    channel *c = (channel *)self;
    int direction, preference, flags;
    PyObject *waiting, *attributes;

    if (!PyTuple_CheckExact(state)
        || !PyArg_ParseTuple(state, "iiiO!O;a channel's state", &direction,
                             &preference, &flags, &PyList_Type, &waiting,
                             &attributes))
    {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError,
                            "a channel's state must be a tuple");
        }
        return NULL;
    }
    waiting = PyList_GetSlice(waiting, 0, PY_SSIZE_T_MAX);
    if (waiting == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(waiting); i++) {
        if (!PyObject_TypeCheck(PyList_GET_ITEM(waiting, i), tasklet_type)) {
            PyErr_SetString(PyExc_TypeError,
                            "only tasklets can wait at a channel");
            goto error;
        }
    }
    if (c->first != NULL || c->aside != NULL
        || (PyList_GET_SIZE(waiting) > 0 && direction == 0))
    {
        PyErr_SetString(PyExc_ValueError, "the channel is in use");
        goto error;
    }
    if (set_attributes(self, attributes) < 0) {
        goto error;
    }
    c->preference = (signed char)((preference > 0) - (preference < 0));
    c->schedule_all = (flags & SCHEDULE_ALL) != 0;
    c->closing = (flags & CLOSING) != 0;
    c->aside_direction = direction < 0 ? -1 : 1;
    c->aside_ready = 0;
    Py_XSETREF(c->aside, waiting);
    adopt(c);
    Py_RETURN_NONE;

error:
    Py_DECREF(waiting);
    return NULL;
}
