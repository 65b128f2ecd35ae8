/* Frame objects and tracebacks: see snapshot.h. */
#include "snapshot.h"

#include "errors.h"
#include "sealed.h"
#include "substitute.h"

static PyObject *new_frame, *set_frame, *new_traceback;

/* The state is (unit, value, ...): where the instruction pointer stands, and
 * a 1-tuple for each local variable that has a value, None for the others. */

static int
corrupt(void)
{
    PyErr_SetString(CorruptStateError,
                    "can't restore a frame: its saved state is damaged");
    return -1;
}

/* ---- frames ------------------------------------------------------------ */

static PyObject *
capture_locals(iframe *f)
{
    int count = iframe_code(f)->co_nlocalsplus;
    PyObject *state = PyTuple_New(1 + count);
    PyObject *unit = PyLong_FromLong(iframe_unit(f));

    if (state == NULL || unit == NULL) {
        goto error;
    }
    PyTuple_SET_ITEM(state, 0, Py_NewRef(unit));
    for (int i = 0; i < count; i++) {
        PyObject *item = Py_NewRef(Py_None);
        PyObject *value = islot_object(f->localsplus[i]);
        if (value != NULL) {
            value = substitute_for(value);
            Py_SETREF(item, value == NULL ? NULL : PyTuple_Pack(1, value));
            Py_XDECREF(value);
        }
        if (item == NULL) {
            goto error;
        }
        PyTuple_SET_ITEM(state, 1 + i, item);
    }
    Py_DECREF(unit);
    return state;

error:
    Py_XDECREF(unit);
    Py_XDECREF(state);
    return NULL;
}

/* The local variables by name, as f_locals has them, but without a trace in
 * the frame. */
static PyObject *
core_frame_variables(PyObject *module, PyObject *object)
{
    if (!PyFrame_Check(object)) {
        PyErr_Format(PyExc_TypeError, "expected a frame, not %.200s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    iframe *f = ((PyFrameObject *)object)->f_frame;
    PyCodeObject *code = iframe_code(f);
    PyObject *result = PyDict_New();

    for (int i = 0; result != NULL && i < code->co_nlocalsplus; i++) {
        PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
        PyObject *value = islot_object(f->localsplus[i]);
        int kind = _PyLocals_GetKind(code->co_localspluskinds, i);
        if (kind & (CO_FAST_CELL | CO_FAST_FREE) && value != NULL
            && PyCell_Check(value))
        {
            value = PyCell_GET(value);
        }
        if (value != NULL && PyDict_SetItem(result, name, value) < 0) {
            Py_CLEAR(result);
        }
    }
    return result;
}

static PyObject *
core_reduce_frame(PyObject *module, PyObject *object)
{
    if (!PyFrame_Check(object)) {
        PyErr_Format(PyExc_TypeError, "expected a frame, not %.200s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    iframe *f = ((PyFrameObject *)object)->f_frame;
    PyObject *names = NULL, *result = NULL;
    PyObject *state = capture_locals(f);
    PyObject *head = substitute_head((PyObject *)iframe_code(f),
                                     f->f_globals);
    /* That of a function is made anew when it is asked for. */
    names = f->f_locals == NULL || iframe_code(f)->co_flags & CO_OPTIMIZED
                ? Py_NewRef(Py_None)
                : substitute_for(f->f_locals);
    if (state != NULL && head != NULL && names != NULL) {
        result = Py_BuildValue("O(OO)OOOO", new_frame, head, names, state,
                               Py_None, Py_None, set_frame);
    }
    Py_XDECREF(state);
    Py_XDECREF(head);
    Py_XDECREF(names);
    return result;
}

static PyObject *
core_new_frame(PyObject *module, PyObject *args)
{
    PyObject *head, *names;

    if (!PyArg_ParseTuple(args, "OO", &head, &names)) {
        return NULL;
    }
    head = sealed_open(head);
    if (!PyFunction_Check(head)) {
        corrupt();
        return NULL;
    }
    PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(head);
    int wants = !(code->co_flags & CO_OPTIMIZED);
    if (wants != PyDict_Check(names) || (!wants && names != Py_None)) {
        corrupt();
        return NULL;
    }
    return (PyObject *)PyFrame_New(PyThreadState_Get(), code,
                                   PyFunction_GET_GLOBALS(head),
                                   wants ? names : NULL);
}

/* Does each value fit its variable? */
static int
check_locals(PyCodeObject *code, PyObject *state)
{
    if (PyTuple_GET_SIZE(state) != 1 + code->co_nlocalsplus) {
        return corrupt();
    }
    for (int i = 0; i < code->co_nlocalsplus; i++) {
        PyObject *item = PyTuple_GET_ITEM(state, 1 + i);
        int kind = _PyLocals_GetKind(code->co_localspluskinds, i);
        if (item != Py_None
            && (!PyTuple_CheckExact(item) || PyTuple_GET_SIZE(item) != 1))
        {
            return corrupt();
        }
        if (kind & CO_FAST_FREE
            && (item == Py_None || !PyCell_Check(PyTuple_GET_ITEM(item, 0))))
        {
            return corrupt();
        }
    }
    return 0;
}

static PyObject *
core_set_frame(PyObject *module, PyObject *args)
{
    PyObject *object, *state;
    int overflow;

    if (!PyArg_ParseTuple(args, "O!O!", &PyFrame_Type, &object, &PyTuple_Type,
                          &state))
    {
        return NULL;
    }
    iframe *f = ((PyFrameObject *)object)->f_frame;
    PyCodeObject *code = iframe_code(f);
    if (f->owner != FRAME_OWNED_BY_FRAME_OBJECT
        || check_locals(code, state) < 0)
    {
        if (!PyErr_Occurred()) {
            corrupt();
        }
        return NULL;
    }
    PyObject *number = PyTuple_GET_ITEM(state, 0);
    if (!PyLong_CheckExact(number)) {
        corrupt();
        return NULL;
    }
    long unit = PyLong_AsLongAndOverflow(number, &overflow);
    if (overflow || unit < code->_co_firsttraceable
        || unit >= (long)(Py_SIZE(code)))
    {
        corrupt();
        return NULL;
    }
    iframe_set_unit(f, (int)unit);
    for (int i = 0; i < code->co_nlocalsplus; i++) {
        PyObject *item = PyTuple_GET_ITEM(state, 1 + i);
        PyObject *value = item == Py_None ? NULL : PyTuple_GET_ITEM(item, 0);
        islot old = f->localsplus[i];
        f->localsplus[i] = islot_of(Py_XNewRef(value));
        islot_close(old);
    }
    Py_RETURN_NONE;
}

/* ---- tracebacks --------------------------------------------------------- */

static PyObject *
core_reduce_traceback(PyObject *module, PyObject *object)
{
    if (!PyTraceBack_Check(object)) {
        PyErr_Format(PyExc_TypeError, "expected a traceback, not %.200s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    PyTracebackObject *tb = (PyTracebackObject *)object;
    PyObject *next = tb->tb_next == NULL ? Py_None : (PyObject *)tb->tb_next;
    PyObject *line = PyObject_GetAttrString(object, "tb_lineno");
    if (line == NULL) {
        return NULL;
    }
    return Py_BuildValue("O(OOiN)", new_traceback, next, tb->tb_frame,
                         tb->tb_lasti, line);
}

/* types.TracebackType, and the next frame's f_back. */
static PyObject *
core_new_traceback(PyObject *module, PyObject *args)
{
    PyObject *next, *frame, *lasti, *line;

    if (!PyArg_ParseTuple(args, "OO!OO", &next, &PyFrame_Type, &frame, &lasti,
                          &line))
    {
        return NULL;
    }
    /* CPython says None where an instruction has no line, and takes only an
     * int: -1 makes it look the line up again. */
    PyObject *number = line == Py_None ? PyLong_FromLong(-1)
                                       : Py_NewRef(line);
    if (number == NULL) {
        return NULL;
    }
    PyObject *tb = PyObject_CallFunctionObjArgs(
        (PyObject *)&PyTraceBack_Type, next, frame, lasti, number, NULL);
    Py_DECREF(number);
    if (tb != NULL && next != Py_None) {
        PyFrameObject *inner = ((PyTracebackObject *)next)->tb_frame;
        if (inner->f_frame->owner == FRAME_OWNED_BY_FRAME_OBJECT
            && inner->f_back == NULL && (PyObject *)inner != frame)
        {
            inner->f_back = (PyFrameObject *)Py_NewRef(frame);
        }
    }
    return tb;
}

/* ---- setup -------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"_frame_variables", core_frame_variables, METH_O,
     PyDoc_STR("The local variables of a frame, by name.")},
    {"_reduce_frame", core_reduce_frame, METH_O,
     PyDoc_STR("Reducer of frame objects: a snapshot.")},
    {"_new_frame", core_new_frame, METH_VARARGS,
     PyDoc_STR("Frame object that has ended.")},
    {"_set_frame", core_set_frame, METH_VARARGS,
     PyDoc_STR("Sets the local variables and position of a new frame.")},
    {"_reduce_traceback", core_reduce_traceback, METH_O,
     PyDoc_STR("Reducer of tracebacks.")},
    {"_new_traceback", core_new_traceback, METH_VARARGS,
     PyDoc_STR("Traceback entry.")},
    {NULL},
};

int
snapshot_setup(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    new_frame = PyObject_GetAttrString(module, "_new_frame");
    set_frame = PyObject_GetAttrString(module, "_set_frame");
    new_traceback = PyObject_GetAttrString(module, "_new_traceback");
    return new_frame == NULL || set_frame == NULL || new_traceback == NULL
               ? -1
               : 0;
}
