/* Measuring C stack distances: see distance.h. */
#include "distance.h"

#include "imports.h"
#include "interp/analysis.h"

#define DISTANCES 96
#define WAYS 128
/* Enough for all code to be specialised, if it is; the first one is of code
 * that never ran. */
#define ROUNDS (INTERP_QUICKENS ? 10 : 5)
#define TRACED_ROUNDS (INTERP_QUICKENS ? 2 : 3)

typedef struct {
    int way;
    int count;
    Py_ssize_t known[DISTANCES];
} known_distances;

static known_distances table[WAYS];
static int ways;            /* of the table: in use */

static known_distances *
known_of(int way)
{
    for (int i = 0; i < ways; i++) {
        if (table[i].way == way) {
            return &table[i];
        }
    }
    return NULL;
}

static int
is_among(const known_distances *of, Py_ssize_t bytes)
{
    for (int i = 0; of != NULL && i < of->count; i++) {
        if (of->known[i] == bytes) {
            return 1;
        }
    }
    return 0;
}

distance
distance_between(interp_loop *loop, iframe *inner, iframe *outer)
{
    const char *place = interp_loop_place(*loop, inner);
    distance d = {.bytes = interp_loop_distance(loop, inner, outer)};

    if (compiled_is_entered(place + d.bytes, d.bytes)) {
        d.compiled = place + d.bytes;
    }
    return d;
}

/* The same for a call from compiled code. */
static int
is_among_compiled(const known_distances *of, const distance *d)
{
    Py_ssize_t found[COMPILED_PLACES];
    int count = compiled_distances(d->compiled, d->bytes, found);

    for (int i = 0; i < count; i++) {
        if (is_among(of, found[i])) {
            return 1;
        }
    }
    return 0;
}

int
distance_is_known(int way, const distance *d)
{
    const known_distances *of = known_of(way);

    if (d->compiled == NULL) {
        return is_among(of, d->bytes);
    }
    if (!is_among_compiled(of, d)) {
        compiled_look();
        return is_among_compiled(of, d);
    }
    return 1;
}

void
distance_note(int way, const distance *d)
{
    known_distances *of = known_of(way);
    Py_ssize_t bytes = d->bytes, found[COMPILED_PLACES];

    if (distance_is_known(way, d)) {
        return;
    }
    if (d->compiled != NULL) {
        /* The innermost return address is the call's own: calls that are over
         * have left none. */
        int count = compiled_distances(d->compiled, d->bytes, found);
        if (count == 0) {
            return;
        }
        bytes = found[count - 1];
    }
    if (of == NULL && ways < WAYS) {
        of = &table[ways++];
        of->way = way;
    }
    if (of != NULL && of->count < DISTANCES) {
        of->known[of->count++] = bytes;
    }
}

/* The opcode of the instruction in which a frame stands. -1 with an exception
 * if there's no memory. */
static int
pending_opcode(iframe *f)
{
    const analysis *a = analysis_get(iframe_code(f));
    analysis_instruction at;

    if (a == NULL
        || analysis_at(a, analysis_start(a, iframe_unit(f)), &at) < 0)
    {
        return -1;
    }
    return at.opcode;
}

/* A function has been called in such a way.  If it has a loop of its own, *at
 * and *d are set to where and how far that is; way 0 becomes that of the
 * caller's pending instruction.  1 if it has, 0 if not, -1 with an
 * exception. */
static int
measure(PyObject *argument, int *way, const char **at, distance *d)
{
    PyThreadState *ts = PyThreadState_Get();
    iframe *inner = interp_current(ts), *outer = inner->previous;
    interp_loop loop = interp_current_loop(ts);

    *way = (int)PyLong_AsLong(argument);
    if (*way == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (!iframe_is_entry(inner)) {
        return 0;
    }
    if (iframe_is_marker(outer)) {
        outer = outer->previous;
    }
    if (*way == 0 && (*way = pending_opcode(outer)) < 0) {
        return -1;
    }
    *at = interp_loop_place(loop, inner);
    *d = distance_between(&loop, inner, outer);
    return 1;
}

/* probe(way): called by a function that has been called in such a way;
 * measures the distance.  Way 0: that of the caller's pending instruction. */
static PyObject *
probe(PyObject *module, PyObject *argument)
{
    const char *at;
    distance d;
    int way, measured = measure(argument, &way, &at, &d);

    if (measured < 0) {
        return NULL;
    }
    if (measured) {
        distance_note(way, &d);
    }
    Py_RETURN_NONE;
}

static PyMethodDef probe_method = {"probe", probe, METH_O, NULL};

/* learn(way): the same when the caller runs compiled code, which the loop has
 * entered; until then it returns False. */
static PyObject *
learn(PyObject *module, PyObject *argument)
{
    const char *at;
    distance d;
    int way, measured = measure(argument, &way, &at, &d);
    const known_distances *of;

    if (measured < 0) {
        return NULL;
    }
    if (!measured || (of = known_of(way)) == NULL || is_among(of, d.bytes)) {
        Py_RETURN_FALSE;
    }
    compiled_learn(at + d.bytes, d.bytes, of->known, of->count);
    Py_RETURN_TRUE;
}

static PyMethodDef learn_method = {"learn", learn, METH_O, NULL};

/* -cleaner: leaves nothing of earlier calls on the stack below the caller's.
 * An operator, for which compiled code needs less of the stack than for calls:
 * its own return address is no further inside than that of any other. */
static PyObject *
clean(PyObject *self)
{
    volatile uintptr_t stack[512];

    for (size_t i = 0; i < Py_ARRAY_LENGTH(stack); i++) {
        stack[i] = 0;
    }
    Py_RETURN_NONE;
}

static PyType_Slot cleaner_slots[] = {{Py_nb_negative, clean}, {0, NULL}};
static PyType_Spec cleaner_spec = {"pickletask._core._cleaner",
                                   sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT,
                                   cleaner_slots};

/* The same for what importlib calls. */
static PyObject *
probe_import(PyObject *module, PyObject *unused)
{
    return imports_probe() < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef import_method = {"probe_import", probe_import, METH_NOARGS,
                                    NULL};

/* A trace function, or a profiler, that does nothing. */
static int
silent(PyObject *self, PyFrameObject *frame, int what, PyObject *arg)
{
    return 0;
}

/* The ways by the names that the program has for them. */
static const struct {
    const char *name;
    int way;
} names[] = {
    {"NEXT", DISTANCE_NEXT},         {"METHOD", DISTANCE_METHOD},
    {"THROW", DISTANCE_THROW},       {"CLOSE", DISTANCE_CLOSE},
    {"SPREAD", DISTANCE_SPREAD},     {"OBJECT", DISTANCE_OBJECT},
    {"TYPE", DISTANCE_TYPE},         {"PARTIAL", DISTANCE_PARTIAL},
    {"CACHED", DISTANCE_CACHED},     {"CLASS", DISTANCE_CLASS},
    {"EXEC", DISTANCE_EXEC},         {"AWAIT", DISTANCE_AWAIT},
    {"AWAIT_CALL", DISTANCE_AWAIT_CALL},
    {"PASS", DISTANCE_PASS},         {"CONTEXT", DISTANCE_CONTEXT},
    {"GETATTR", DISTANCE_GETATTR},   {"HASATTR", DISTANCE_HASATTR},
    {"SETATTR", DISTANCE_SETATTR},   {"DELATTR", DISTANCE_DELATTR},
    {"DIVMOD", DISTANCE_DIVMOD},     {"POWER", DISTANCE_POWER},
    {"GET", DISTANCE_GET},           {"SET", DISTANCE_SET},
    {"DELETE", DISTANCE_DELETE},     {"METACALL", DISTANCE_METACALL},
    {"METACLASS", DISTANCE_METACLASS},
    {"SUBCLASS", DISTANCE_SUBCLASS}, {"NEW_CLASS", DISTANCE_NEW_CLASS},
    {"MAP", DISTANCE_MAP},           {"FILTER", DISTANCE_FILTER},
    {"ZIP", DISTANCE_ZIP},           {"ENUMERATE", DISTANCE_ENUMERATE},
    {"EXEC_SPREAD", DISTANCE_EXEC_SPREAD},
    {"CONVERSION", DISTANCE_CONVERSION},
};

/* What runs all shapes. New reference, or NULL with an exception. */
static PyObject *
make_program(void)
{
    PyObject *module = PyImport_ImportModule("pickletask._distances");
    PyObject *function = PyCFunction_New(&probe_method, NULL);
    PyObject *other = PyCFunction_New(&import_method, NULL);
    PyObject *result = NULL, *by_name = PyDict_New();

    for (size_t i = 0; by_name != NULL && i < Py_ARRAY_LENGTH(names); i++) {
        PyObject *way = PyLong_FromLong(names[i].way);
        if (way == NULL
            || PyDict_SetItemString(by_name, names[i].name, way) < 0)
        {
            Py_CLEAR(by_name);
        }
        Py_XDECREF(way);
    }
    if (module != NULL && function != NULL && other != NULL && by_name != NULL)
    {
        result = PyObject_CallMethod(module, "Program", "OOO", function, other,
                                     by_name);
    }
    Py_XDECREF(module);
    Py_XDECREF(function);
    Py_XDECREF(other);
    Py_XDECREF(by_name);
    return result;
}

/* 0, or -1 with an exception. */
static int
run(PyObject *program, int rounds)
{
    PyObject *result = PyObject_CallMethod(program, "run", "i", rounds);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Has the program run until it's compiled, if anything is. 0, or -1 with an
 * exception. */
static int
run_compiled(PyObject *program)
{
    int enabled = compiled_is_enabled();
    PyObject *function, *type, *cleaner = NULL, *result = NULL;

    if (enabled <= 0) {
        return enabled;
    }
    function = PyCFunction_New(&learn_method, NULL);
    type = PyType_FromSpec(&cleaner_spec);
    if (type != NULL) {
        cleaner = PyObject_CallNoArgs(type);
    }
    if (function != NULL && cleaner != NULL) {
        result = PyObject_CallMethod(program, "learn_compiled", "OO", function,
                                     cleaner);
    }
    if (result != NULL && compiled_is_known()) {
        Py_SETREF(result, PyObject_CallMethod(program, "run_compiled", "O",
                                              cleaner));
    }
    Py_XDECREF(function);
    Py_XDECREF(type);
    Py_XDECREF(cleaner);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *
core_distances(PyObject *module, PyObject *unused)
{
    PyObject *result = PyDict_New();

    for (int i = 0; result != NULL && i < ways; i++) {
        PyObject *way = PyLong_FromLong(table[i].way);
        PyObject *known = PyTuple_New(table[i].count);
        int failed = way == NULL || known == NULL;
        for (int k = 0; !failed && k < table[i].count; k++) {
            PyObject *distance = PyLong_FromSsize_t(table[i].known[k]);
            failed = distance == NULL;
            PyTuple_SET_ITEM(known, k, distance);
        }
        if (failed || PyDict_SetItem(result, way, known) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(way);
        Py_XDECREF(known);
    }
    return result;
}

static PyMethodDef functions[] = {
    {"_distances", core_distances, METH_NOARGS,
     PyDoc_STR("For tests: {way: distances} (src/fiber/distance.h).")},
    {NULL},
};

int
distance_setup(PyObject *module)
{
    PyThreadState *ts = PyThreadState_Get();
    PyObject *program = NULL;
    int status = -1;

    if (PyModule_AddFunctions(module, functions) < 0
        || (program = make_program()) == NULL || run(program, ROUNDS) < 0)
    {
        goto error;
    }
    status = 0;
    if (ts->c_tracefunc == NULL && ts->c_profilefunc == NULL) {
        status = run_compiled(program);
    }
    if (status == 0 && ts->c_tracefunc == NULL && ts->c_profilefunc == NULL) {
        PyEval_SetTrace(silent, NULL);
        status = run(program, TRACED_ROUNDS);
        PyEval_SetTrace(NULL, NULL);
        if (status == 0) {
            PyEval_SetProfile(silent, NULL);
            status = run(program, TRACED_ROUNDS);
            PyEval_SetProfile(NULL, NULL);
        }
    }

error:
    Py_XDECREF(program);
    return status;
}
