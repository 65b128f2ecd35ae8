/* Measuring C stack distances: see distance.h. */
#include "distance.h"

#define DISTANCES 24

typedef struct {
    int way;
    int count;
    Py_ssize_t known[DISTANCES];
} distances;

static distances table[] = {
    {.way = FOR_ITER},
    {.way = SEND},
    {.way = DISTANCE_NEXT},
    {.way = DISTANCE_METHOD},
    {.way = DISTANCE_SPREAD},
    {.way = DISTANCE_FINALISER},
};

static PyCFunction next_function, send_function;    /* CPython's own */

static distances *
distances_of(int way)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(table); i++) {
        if (table[i].way == way) {
            return &table[i];
        }
    }
    return NULL;
}

static int
is_among(const distances *d, Py_ssize_t distance)
{
    for (int i = 0; d != NULL && i < d->count; i++) {
        if (d->known[i] == distance) {
            return 1;
        }
    }
    return 0;
}

int
distance_is_known(int way, Py_ssize_t distance)
{
    return is_among(distances_of(way), distance)
           && (way != DISTANCE_SPREAD
               || !is_among(distances_of(DISTANCE_FINALISER), distance));
}

int
distance_of_call(PyObject *callable, PyObject *first, int count,
                 PyObject *generator)
{
    if (callable == NULL) {
        return 0;
    }
    if (PyCFunction_Check(callable)) {
        PyCFunction function = PyCFunction_GET_FUNCTION(callable);
        if (function == next_function && count == 1) {
            return first == generator ? DISTANCE_NEXT : 0;
        }
        return function == send_function && count == 1
                       && PyCFunction_GET_SELF(callable) == generator
                   ? DISTANCE_METHOD
                   : 0;
    }
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type)) {
        PyMethodDef *method = ((PyMethodDescrObject *)callable)->d_method;
        return method->ml_meth == send_function && count == 2
                       && first == generator
                   ? DISTANCE_METHOD
                   : 0;
    }
    return 0;
}

/* probe(way): called by a generator that is resumed directly in such a way;
 * measures the distance, if it has a loop of its own. */
static PyObject *
probe(PyObject *module, PyObject *argument)
{
    PyThreadState *ts = PyThreadState_Get();
    iframe *inner = interp_current(ts);
    long way = PyLong_AsLong(argument);
    distances *d = distances_of((int)way);

    if (way == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (d != NULL && iframe_is_entry(inner)) {
        interp_loop loop = interp_current_loop(ts);
        iframe *outer = inner->previous;
        if (iframe_is_marker(outer)) {
            outer = outer->previous;
        }
        Py_ssize_t distance = interp_loop_distance(&loop, inner, outer);
        if (!is_among(d, distance) && d->count < DISTANCES) {
            d->known[d->count++] = distance;
        }
    }
    Py_RETURN_NONE;
}

/* Every shape of code, often enough to be specialised in between; call() is
 * specialised for callables of all kinds, as a place is that saw several. */
static const char program[] =
    "def inner(way):\n"
    "    probe(way)\n"
    "    yield\n"
    "    probe(way)\n"
    "    yield\n"
    "def for_loop():\n"
    "    for x in inner(FOR_ITER): pass\n"
    "def delegate():\n"
    "    yield from inner(SEND)\n"
    "async def awaited():\n"
    "    probe(SEND)\n"
    "async def awaiting():\n"
    "    await awaited()\n"
    "def by_next():\n"
    "    g = inner(NEXT); next(g); next(g)\n"
    "def by_send():\n"
    "    g = inner(METHOD); g.send(None); g.send(None)\n"
    "    s = inner(METHOD).send; s(None); s(None)\n"
    "def call(f, a): return f(a)\n"
    "def call_two(f, a, b): return f(a, b)\n"
    "def by_general():\n"
    "    for i in range(9):\n"
    "        call((1).__add__, 1); call_two(int.__add__, 1, 1)\n"
    "    g = inner(NEXT); call(next, g); call(next, g)\n"
    "    g = inner(METHOD); call(g.send, None); call(g.send, None)\n"
    "    g = inner(METHOD); f = type(g).send; f(g, None); f(g, None)\n"
    "    g = inner(METHOD); call_two(f, g, None); call_two(f, g, None)\n"
    "class Spread:\n"
    "    def method(self, *args, **kwargs): probe(SPREAD)\n"
    "def spread(*args, **kwargs): probe(SPREAD)\n"
    "def by_spread():\n"
    "    m = Spread().method\n"
    "    for f in spread, m:\n"
    "        for a in (), (1,), (1, 2, 3, 4, 5, 6):\n"
    "            f(*a); f(*a, **{}); f(*a, **{'k': 1})\n"
    "class Finalised:\n"
    "    def __del__(self): probe(FINALISER)\n"
    "def empty(*args, **kwargs): return iter(())\n"
    "def by_finaliser():\n"
    "    empty(*[Finalised()]); empty(**{'k': Finalised()})\n"
    "    len(*[(Finalised(),)]); len(*[[Finalised()]])\n"
    "    len(*[{1: Finalised()}])\n"
    "async def called():\n"
    "    probe(METHOD)\n"
    "def by_coroutine():\n"
    "    try: called().send(None)\n"
    "    except StopIteration: pass\n"
    "def drive(step):\n"
    "    for_loop(); by_next(); by_send(); by_coroutine()\n"
    "    by_general()\n"
    "    by_spread(); by_finaliser()\n"
    "    for x in delegate(): pass\n"
    "    g = delegate(); next(g); g.send(step); g.close()\n"
    "    c = awaiting()\n"
    "    try: c.send(None)\n"
    "    except StopIteration: pass\n"
    "for step in range(20): drive(step)\n";

static PyMethodDef probe_method = {"probe", probe, METH_O, NULL};

/* A trace function, or a profiler, that does nothing. */
static int
silent(PyObject *self, PyFrameObject *frame, int what, PyObject *arg)
{
    return 0;
}

static int
run_program(PyObject *code, PyObject *names)
{
    PyObject *result = PyEval_EvalCode(code, names, names);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* The C functions behind next() and send(). 0, or -1 with an exception. */
static int
find_functions(void)
{
    PyObject *next = PyDict_GetItemString(PyEval_GetBuiltins(), "next");
    PyObject *send = PyObject_GetAttrString((PyObject *)&PyGen_Type, "send");
    int found = next != NULL && PyCFunction_Check(next) && send != NULL
                && Py_IS_TYPE(send, &PyMethodDescr_Type);

    if (found) {
        next_function = PyCFunction_GET_FUNCTION(next);
        send_function = ((PyMethodDescrObject *)send)->d_method->ml_meth;
    }
    else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ImportError,
                        "pickletask must be imported before the builtin "
                        "next() is replaced");
    }
    Py_XDECREF(send);
    return found ? 0 : -1;
}

int
distance_setup(PyObject *module)
{
    PyThreadState *ts = PyThreadState_Get();
    int status = -1;
    PyObject *names = NULL, *code = NULL, *function = NULL;

    code = Py_CompileString(program, "<pickletask distances>", Py_file_input);
    function = PyCFunction_New(&probe_method, NULL);
    names = Py_BuildValue("{s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:O,s:O}",
                          "FINALISER", DISTANCE_FINALISER, "FOR_ITER",
                          FOR_ITER, "SEND", SEND, "NEXT", DISTANCE_NEXT,
                          "METHOD", DISTANCE_METHOD, "SPREAD",
                          DISTANCE_SPREAD, "__name__", "pickletask._core",
                          "__builtins__", PyEval_GetBuiltins(), "probe",
                          function);
    if (code == NULL || function == NULL || names == NULL
        || find_functions() < 0 || run_program(code, names) < 0)
    {
        goto error;
    }
    if (ts->c_tracefunc == NULL && ts->c_profilefunc == NULL) {
        PyEval_SetTrace(silent, NULL);
        status = run_program(code, names);
        PyEval_SetTrace(NULL, NULL);
        if (status == 0) {
            PyEval_SetProfile(silent, NULL);
            status = run_program(code, names);
            PyEval_SetProfile(NULL, NULL);
        }
    }
    else {
        status = 0;
    }

error:
    Py_XDECREF(names);
    Py_XDECREF(code);
    Py_XDECREF(function);
    return status;
}
