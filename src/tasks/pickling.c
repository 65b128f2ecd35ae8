/* Tasklets and channels as pickle sees them: see pickling.h. */
#include "pickling.h"

#include "channel.h"
#include "fiber/contexts.h"
#include "module.h"
#include "scheduler.h"

/* Bits of a tasklet's flags. The lowest two are its tempval_kind, or HAS_VALUE
 * in place of TEMPVAL_VALUE if the value isn't None. */
enum {
    KIND = 3,
    HAS_VALUE = 3,
    ATOMIC = 4,
    IGNORE_NESTING = 8,
    BLOCK_TRAP = 16,
    HAS_CHANNEL = 32,
    HAS_ATTRIBUTES = 64,
    HAS_CALL = 128
};

/* Bit of the protocol that pickletask's own pickler sets. */
enum { BY_REFERENCE = 0x100 };

/* Bits of a channel's flags. */
enum { SCHEDULE_ALL = 1, CLOSING = 2 };

static PyObject *tasklet_maker;     /* what pickles name. Owned */

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

/* The most items of a state beside those of the frames: tempval, channel,
 * attributes, and what is called, with its arguments. */
enum { MOST = 6 };

/* Adds an item. Steals it, or passes on that it is NULL. 0, or -1 with an
 * exception. */
static int
add_item(PyObject *items[MOST], int *count, PyObject *item)
{
    if (item == NULL) {
        return -1;
    }
    items[(*count)++] = item;
    return 0;
}

/* The items that there are, and the flags that say which. 0, or -1 with an
 * exception; new references in any case. */
static int
get_items(tasklet *t, const tasklet_state *now, PyObject *items[MOST],
          int *count, unsigned char *flags)
{
    const fiber_pickling *pickling = fiber_get_pickling();
    PyObject *attributes;

    *flags = (unsigned char)(now->kind | (now->atomic ? ATOMIC : 0)
                             | (now->ignore_nesting ? IGNORE_NESTING : 0)
                             | (now->block_trap ? BLOCK_TRAP : 0));
    if (now->tempval != NULL && now->tempval != Py_None) {
        *flags |= now->kind == TEMPVAL_VALUE ? HAS_VALUE : 0;
        if (add_item(items, count, pickling->substitute(now->tempval)) < 0) {
            return -1;
        }
    }
    if (now->channel != NULL) {
        *flags |= HAS_CHANNEL;
        items[(*count)++] = Py_NewRef(now->channel);
    }
    if (!Py_IS_TYPE(t, tasklet_type)) {
        attributes = get_attributes((PyObject *)t, tasklet_type);
        *flags |= HAS_ATTRIBUTES;
        if (add_item(items, count, attributes) < 0) {
            return -1;
        }
    }
    if (t->fiber.state == FIBER_NEW) {
        PyObject *func = now->func == NULL ? Py_None : now->func;
        *flags |= HAS_CALL;
        if (add_item(items, count, pickling->substitute(func)) < 0
            || add_item(items, count, substitute_all(now->args)) < 0
            || add_item(items, count, substitute_all(now->kwargs)) < 0)
        {
            return -1;
        }
    }
    return 0;
}

/* The state of a tasklet that has no frames. New reference, or NULL with an
 * exception. */
static PyObject *
pack_items(unsigned char flags, PyObject *const *items, int count)
{
    PyObject *state = PyTuple_New(1 + count);
    PyObject *bytes = PyBytes_FromStringAndSize((char *)&flags, 1);

    if (state == NULL || bytes == NULL) {
        Py_XDECREF(state);
        Py_XDECREF(bytes);
        return NULL;
    }
    PyTuple_SET_ITEM(state, 0, bytes);
    for (int i = 0; i < count; i++) {
        PyTuple_SET_ITEM(state, 1 + i, Py_NewRef(items[i]));
    }
    return state;
}

PyObject *
pickling_reduce_tasklet(PyObject *self, PyObject *protocol)
{
    tasklet *t = (tasklet *)self;
    PyObject *items[MOST], *state = NULL, *result = NULL, *maker;
    long number = PyLong_AsLong(protocol);
    unsigned char flags = 0;
    tasklet_state now;
    int count = 0;

    if ((number == -1 && PyErr_Occurred()) || check_reducible(t) < 0) {
        return NULL;
    }
    tasklet_get_state(t, &now);
    if (get_items(t, &now, items, &count, &flags) == 0) {
        int suspended = t->fiber.state == FIBER_PARKED
                        || t->fiber.state == FIBER_SOFT;
        state = suspended ? fiber_get_pickling()->capture(
                                &t->fiber, (number & BY_REFERENCE) != 0, flags,
                                items, count)
                          : pack_items(flags, items, count);
    }
    if (state != NULL) {
        maker = Py_IS_TYPE(self, tasklet_type) ? tasklet_maker
                                               : (PyObject *)Py_TYPE(self);
        result = Py_BuildValue("O()N", maker, state);
    }
    for (int i = 0; i < count; i++) {
        Py_DECREF(items[i]);
    }
    return result;
}

/* ---- loading tasklets -------------------------------------------------- */

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

/* What a state says. Borrowed from it; NULL: not there. */
typedef struct {
    int flags, kind;
    PyObject *tempval, *where, *attributes;
    PyObject *func, *args, *kwargs;
    int count;              /* how many items come before those of frames */
    int has_frames;
    PyObject *old_frames;   /* of format 2 or 1 */
} saved_tasklet;

/* 0, or -1 without an exception. */
static int
read_state(PyObject *state, saved_tasklet *saved)
{
    PyObject *const *item = ((PyTupleObject *)state)->ob_item + 1;
    PyObject *bytes = PyTuple_GET_ITEM(state, 0);
    Py_ssize_t left = PyTuple_GET_SIZE(state) - 1;
    int flags, has_tempval;

    if (PyBytes_GET_SIZE(bytes) == 0) {
        return -1;
    }
    saved->flags = flags = (unsigned char)PyBytes_AS_STRING(bytes)[0];
    saved->kind = flags & KIND;
    has_tempval = saved->kind == HAS_VALUE || saved->kind == TEMPVAL_BOMB;
    saved->kind = saved->kind == HAS_VALUE ? TEMPVAL_VALUE : saved->kind;
    saved->has_frames = PyBytes_GET_SIZE(bytes) > 1;
    saved->count = has_tempval + ((flags & HAS_CHANNEL) != 0)
                   + ((flags & HAS_ATTRIBUTES) != 0);
    if (flags & HAS_CALL ? saved->has_frames || left != saved->count + 3
                     : left < saved->count
                           || (!saved->has_frames && left > saved->count))
    {
        return -1;
    }
    saved->tempval = has_tempval ? *item++ : NULL;
    saved->where = flags & HAS_CHANNEL ? *item++ : NULL;
    saved->attributes = flags & HAS_ATTRIBUTES ? *item++ : NULL;
    if (flags & HAS_CALL) {
        saved->func = item[0];
        saved->args = item[1];
        saved->kwargs = item[2];
    }
    return 0;
}

static PyObject *
none_to_null(PyObject *value)
{
    return value == Py_None ? NULL : value;
}

/* The same for format 2 and 1: (flags, tempval, channel, frames, call,
 * attributes). 0, or -1 with or without an exception. */
static int
read_old_state(PyObject *state, saved_tasklet *saved)
{
    PyObject *call;

    if (!PyArg_ParseTuple(state, "iOOOOO;a tasklet's state", &saved->flags,
                          &saved->tempval, &saved->where, &saved->old_frames,
                          &call, &saved->attributes))
    {
        return -1;
    }
    saved->kind = saved->flags & KIND;
    saved->tempval = none_to_null(saved->tempval);
    saved->where = none_to_null(saved->where);
    saved->attributes = none_to_null(saved->attributes);
    saved->old_frames = none_to_null(saved->old_frames);
    saved->has_frames = saved->old_frames != NULL;
    if (!saved->has_frames && call != Py_None) {
        if (!PyTuple_CheckExact(call) || PyTuple_GET_SIZE(call) != 3) {
            PyErr_SetString(PyExc_TypeError,
                            "a saved call must be (func, args, kwargs)");
            return -1;
        }
        saved->func = PyTuple_GET_ITEM(call, 0);
        saved->args = PyTuple_GET_ITEM(call, 1);
        saved->kwargs = PyTuple_GET_ITEM(call, 2);
    }
    return 0;
}

/* Reads and checks a state. 0, or -1 with an exception. */
static int
check_state(PyObject *state, saved_tasklet *saved)
{
    if (!PyTuple_CheckExact(state) || PyTuple_GET_SIZE(state) == 0) {
        PyErr_SetString(PyExc_TypeError, "a tasklet's state must be a tuple");
        return -1;
    }
    int status = PyBytes_CheckExact(PyTuple_GET_ITEM(state, 0))
                     ? read_state(state, saved)
                     : read_old_state(state, saved);
    if (status < 0 || saved->kind > TEMPVAL_BOMB
        || (saved->kind == TEMPVAL_BOMB
            && (saved->tempval == NULL
                || !PyExceptionInstance_Check(saved->tempval)))
        || (saved->kind == TEMPVAL_SELF && saved->tempval != NULL)
        || (saved->where != NULL
            && !PyObject_TypeCheck(saved->where, channel_type)))
    {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "a tasklet's state is damaged");
        }
        return -1;
    }
    return 0;
}

/* Gives the tasklet its frames, or what to call. 0, or -1 with an
 * exception. */
static int
set_run(tasklet *t, PyObject *state, const saved_tasklet *saved)
{
    const fiber_pickling *pickling = fiber_get_pickling();

    if (t->fiber.state == FIBER_DEAD) {
        fiber_discard(&t->fiber);
        fiber_init(&t->fiber);
    }
    if (saved->old_frames != NULL) {
        return pickling->rebuild_old(&t->fiber, saved->old_frames);
    }
    if (saved->has_frames) {
        return pickling->rebuild(&t->fiber, state, saved->count);
    }
    if (saved->func == NULL) {
        t->fiber.state = FIBER_DEAD;
        return 0;
    }
    return tasklet_bind(t, saved->func, saved->args, saved->kwargs);
}

/* Does the tasklet's own context come with its state? */
static int
has_context(PyObject *state)
{
    return PyTuple_CheckExact(state) && PyTuple_GET_SIZE(state) == 2
           && PyTuple_CheckExact(PyTuple_GET_ITEM(state, 0))
           && PyContext_CheckExact(PyTuple_GET_ITEM(state, 1));
}

PyObject *
pickling_set_tasklet(PyObject *self, PyObject *state)
{
    tasklet *t = (tasklet *)self;
    saved_tasklet saved = {0};
    PyObject *context, *own = NULL;
    int status;

    if (has_context(state)) {
        own = PyTuple_GET_ITEM(state, 1);
        state = PyTuple_GET_ITEM(state, 0);
    }
    if (check_state(state, &saved) < 0 || check_settable(t) < 0
        || (saved.attributes != NULL
            && set_attributes(self, saved.attributes) < 0)
        || check_settable(t) < 0)
    {
        return NULL;
    }
    context = t->fiber.context;
    t->fiber.context = NULL;
    if (set_run(t, state, &saved) < 0) {
        t->fiber.context = context;
        return NULL;
    }
    tasklet_state now = {
        .func = t->func,
        .args = t->args,
        .kwargs = t->kwargs,
        .tempval = none_to_null(saved.tempval),
        .kind = saved.kind,
        .atomic = (saved.flags & ATOMIC) != 0,
        .ignore_nesting = (saved.flags & IGNORE_NESTING) != 0,
        .block_trap = (saved.flags & BLOCK_TRAP) != 0,
    };
    if (saved.has_frames) {
        now.func = now.args = now.kwargs = NULL;
    }
    if (!saved.has_frames) {
        /* That of whoever loads it. */
        Py_XSETREF(context, t->fiber.context);
        t->fiber.context = NULL;
    }
    /* Without an own one, it gets that of the thread that claims it. */
    t->fiber.has_context = 0;
    if (own != NULL) {
        contexts_give(&t->fiber, own);
    }
    status = tasklet_set_state(t, &now);
    Py_XDECREF(context);
    if (status < 0) {
        return NULL;
    }
    t->loose = (unsigned char)tasklet_alive(t);
    if (saved.where != NULL) {
        adopt((channel *)saved.where);
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

/* ---- setup ------------------------------------------------------------- */

/* An empty tasklet, for pickles to name. */
static PyObject *
make_tasklet(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) != 0) {
        PyErr_SetString(PyExc_TypeError,
                        "an empty tasklet takes no arguments");
        return NULL;
    }
    return PyObject_CallNoArgs((PyObject *)tasklet_type);
}

int
pickling_setup(PyObject *module)
{
    tasklet_maker = module_add_maker(module, "pickletask._t", make_tasklet);
    return tasklet_maker == NULL ? -1 : 0;
}
