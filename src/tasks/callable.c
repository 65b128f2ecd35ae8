/* What a tasklet runs: see callable.h.
 *
 *      partial(f, *a, **k)(*args, **kwargs)
 *                                    ->  f(*a, *args, **{**k, **kwargs})
 *      obj.method(*args, **kwargs)           ->  method(obj, *args, **kwargs)
 *      obj(*args, **kwargs)          ->  __call__(obj, *args, **kwargs)
 *
 * and again, until none of them applies.  Then keyword arguments follow the
 * others in t->args, and t->kwargs has their names: a tuple, as vectorcall
 * wants it.  All of that belongs to the tasklet, not to the C stack.
 */
#include "callable.h"

static PyTypeObject *partial_type;  /* functools.partial */
static PyObject *call_name;         /* "__call__" */

/* ---- taking callables apart ------------------------------------------- */

/* Steals func, args and kwargs (NULL: stays as it is) for t. */
static void
replace(tasklet *t, PyObject *func, PyObject *args, PyObject *kwargs)
{
    PyObject *old_func = t->func, *old_args = t->args, *old_kwargs = NULL;
    t->func = func;
    t->args = args;
    if (kwargs != NULL) {
        old_kwargs = t->kwargs;
        t->kwargs = kwargs;
    }
    Py_XDECREF(old_func);
    Py_XDECREF(old_args);
    Py_XDECREF(old_kwargs);
}

/* t goes on with func(self, *args) in place of func(*args). 0, or -1. */
static int
unbind(tasklet *t, PyObject *func, PyObject *self)
{
    Py_ssize_t n = PyTuple_GET_SIZE(t->args);
    PyObject *args = PyTuple_New(n + 1);
    if (args == NULL) {
        return -1;
    }
    PyTuple_SET_ITEM(args, 0, Py_NewRef(self));
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *arg = PyTuple_GET_ITEM(t->args, i);
        PyTuple_SET_ITEM(args, i + 1, Py_NewRef(arg));
    }
    replace(t, Py_NewRef(func), args, NULL);
    return 0;
}

/* The same for functools.partial. */
static int
unfold(tasklet *t)
{
    PyObject *func = PyObject_GetAttrString(t->func, "func");
    PyObject *first = PyObject_GetAttrString(t->func, "args");
    PyObject *keywords = PyObject_GetAttrString(t->func, "keywords");
    PyObject *args = NULL, *kwargs = NULL;

    if (func == NULL || first == NULL || keywords == NULL) {
        goto error;
    }
    args = PySequence_Concat(first, t->args);
    kwargs = PyDict_Copy(keywords);
    if (args == NULL || kwargs == NULL
        || (t->kwargs != NULL && PyDict_Update(kwargs, t->kwargs) < 0))
    {
        goto error;
    }
    Py_DECREF(first);
    Py_DECREF(keywords);
    replace(t, func, args, kwargs);
    return 0;

error:
    Py_XDECREF(func);
    Py_XDECREF(first);
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return -1;
}

/* One step. 1 if there was something to do, 0 if not, or -1 with an
 * exception. */
static int
simplify(tasklet *t)
{
    PyObject *func = t->func, *call;
    int result;

    if (PyFunction_Check(func)) {
        return 0;
    }
    if (PyMethod_Check(func)) {
        result = unbind(t, PyMethod_GET_FUNCTION(func),
                        PyMethod_GET_SELF(func));
        return result < 0 ? -1 : 1;
    }
    if (Py_IS_TYPE(func, partial_type)) {
        return unfold(t) < 0 ? -1 : 1;
    }
    call = _PyType_Lookup(Py_TYPE(func), call_name);
    if (call == NULL || !PyFunction_Check(call)) {
        return 0;
    }
    Py_INCREF(call);
    result = unbind(t, call, func);
    Py_DECREF(call);
    return result < 0 ? -1 : 1;
}

/* Moves keyword arguments behind the others. 0, or -1 with an exception. */
static int
flatten(tasklet *t)
{
    PyObject *kwargs = t->kwargs, *args, *names, *key, *value;
    Py_ssize_t n = PyTuple_GET_SIZE(t->args), k = PyDict_GET_SIZE(kwargs);
    Py_ssize_t pos = 0;

    args = PyTuple_New(n + k);
    names = PyTuple_New(k);
    if (args == NULL || names == NULL) {
        Py_XDECREF(args);
        Py_XDECREF(names);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *arg = PyTuple_GET_ITEM(t->args, i);
        PyTuple_SET_ITEM(args, i, Py_NewRef(arg));
    }
    for (Py_ssize_t i = 0; PyDict_Next(kwargs, &pos, &key, &value); i++) {
        PyTuple_SET_ITEM(names, i, Py_NewRef(key));
        PyTuple_SET_ITEM(args, n + i, Py_NewRef(value));
    }
    replace(t, Py_NewRef(t->func), args, names);
    return 0;
}

/* ---- running it ------------------------------------------------------- */

PyObject *
callable_run(tasklet *t)
{
    Py_ssize_t n, keywords = 0;
    int r = 1;

    while (r > 0) {
        r = simplify(t);
    }
    if (r < 0) {
        return NULL;
    }
    if (t->kwargs != NULL) {
        if (PyDict_GET_SIZE(t->kwargs) == 0) {
            Py_CLEAR(t->kwargs);
        }
        else if (flatten(t) < 0) {
            return NULL;
        }
        else {
            keywords = PyTuple_GET_SIZE(t->kwargs);
        }
    }
    n = PyTuple_GET_SIZE(t->args) - keywords;
    return PyObject_Vectorcall(t->func, &PyTuple_GET_ITEM(t->args, 0),
                               (size_t)n, t->kwargs);
}

int
callable_setup(void)
{
    PyObject *functools = PyImport_ImportModule("functools");
    PyObject *partial = NULL;

    if (functools != NULL) {
        partial = PyObject_GetAttrString(functools, "partial");
        Py_DECREF(functools);
    }
    call_name = PyUnicode_InternFromString("__call__");
    if (partial == NULL || call_name == NULL || !PyType_Check(partial)) {
        Py_XDECREF(partial);
        return -1;
    }
    partial_type = (PyTypeObject *)partial;
    return 0;
}
