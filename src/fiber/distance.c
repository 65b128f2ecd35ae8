/* Measuring C stack distances: see distance.h. */
#include "distance.h"

#define DISTANCES 8

typedef struct {
    int opcode;
    int count;
    Py_ssize_t known[DISTANCES];
} distances;

static distances table[] = {{.opcode = FOR_ITER}, {.opcode = SEND}};

static distances *
distances_of(int opcode)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(table); i++) {
        if (table[i].opcode == opcode) {
            return &table[i];
        }
    }
    return NULL;
}

int
distance_is_known(int opcode, Py_ssize_t distance)
{
    distances *d = distances_of(opcode);
    if (d != NULL) {
        for (int i = 0; i < d->count; i++) {
            if (d->known[i] == distance) {
                return 1;
            }
        }
    }
    return 0;
}

/* probe(opcode): called by a generator that such an instruction resumes
 * directly; measures its distance, if it has a loop of its own. */
static PyObject *
probe(PyObject *module, PyObject *argument)
{
    PyThreadState *ts = PyThreadState_Get();
    iframe *inner = interp_current(ts);
    long opcode = PyLong_AsLong(argument);
    distances *d = distances_of((int)opcode);

    if (opcode == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (d != NULL && iframe_is_entry(inner)) {
        interp_loop loop = interp_current_loop(ts);
        iframe *outer = inner->previous;
        if (iframe_is_marker(outer)) {
            outer = outer->previous;
        }
        Py_ssize_t distance = interp_loop_distance(&loop, inner, outer);
        if (!distance_is_known((int)opcode, distance)
            && d->count < DISTANCES)
        {
            d->known[d->count++] = distance;
        }
    }
    Py_RETURN_NONE;
}

/* Every shape of code, often enough to be specialised in between. */
static const char program[] =
    "def inner(opcode):\n"
    "    probe(opcode)\n"
    "    yield\n"
    "    probe(opcode)\n"
    "    yield\n"
    "def for_loop():\n"
    "    for x in inner(FOR_ITER): pass\n"
    "def delegate():\n"
    "    yield from inner(SEND)\n"
    "async def awaited():\n"
    "    probe(SEND)\n"
    "async def awaiting():\n"
    "    await awaited()\n"
    "def drive(step):\n"
    "    for_loop()\n"
    "    for x in delegate(): pass\n"
    "    g = delegate(); next(g); g.send(step); g.close()\n"
    "    c = awaiting()\n"
    "    try: c.send(None)\n"
    "    except StopIteration: pass\n"
    "for step in range(20): drive(step)\n";

static PyMethodDef probe_method = {"probe", probe, METH_O, NULL};

/* Runs the program with a trace function that does nothing. */
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

int
distance_setup(PyObject *module)
{
    PyThreadState *ts = PyThreadState_Get();
    int status = -1;
    PyObject *names = NULL, *code = NULL, *function = NULL;

    code = Py_CompileString(program, "<pickletask distances>", Py_file_input);
    function = PyCFunction_New(&probe_method, NULL);
    names = Py_BuildValue("{s:i,s:i,s:O,s:O}", "FOR_ITER", FOR_ITER, "SEND",
                          SEND, "__builtins__", PyEval_GetBuiltins(),
                          "probe", function);
    if (code == NULL || function == NULL || names == NULL
        || run_program(code, names) < 0)
    {
        goto error;
    }
    if (ts->c_tracefunc == NULL && ts->c_profilefunc == NULL) {
        PyEval_SetTrace(silent, NULL);
        status = run_program(code, names);
        PyEval_SetTrace(NULL, NULL);
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
