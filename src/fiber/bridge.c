/* Bridges: see bridge.h. */
#include "bridge.h"

#include "interp/clear.h"

static bridge bridges[BRIDGES];
static PyObject *namespace;     /* of the module; borrowed from a function */

static const char *const names[BRIDGES] = {
    [BRIDGE_INIT] = "init",
    [BRIDGE_NEW] = "new",
    [BRIDGE_DEFAULT] = "default",
    [BRIDGE_CLOSE] = "close",
    [BRIDGE_ATTRIBUTE] = "attribute",
    [BRIDGE_FETCHED] = "fetched",
    [BRIDGE_FOUND] = "found",
    [BRIDGE_NOTHING] = "nothing",
    [BRIDGE_CONVERSION] = "conversion",
    [BRIDGE_OPERATION] = "operation",
    [BRIDGE_COMPARISON] = "comparison",
    [BRIDGE_CONDITION] = "condition",
    [BRIDGE_MEMBERSHIP] = "membership",
    [BRIDGE_TRUTH] = "truth",
    [BRIDGE_ITERATOR] = "iterator",
    [BRIDGE_STEPS] = "steps",
    [BRIDGE_APPLIED] = "applied",
    [BRIDGE_MAPPED] = "mapped",
    [BRIDGE_FILTERED] = "filtered",
    [BRIDGE_ZIPPED] = "zipped",
    [BRIDGE_COUNTED] = "counted",
    [BRIDGE_CLASS] = "build_class",
    [BRIDGE_FINISH] = "finish",
    [BRIDGE_CLOSE_STEP] = "close_step",
    [BRIDGE_CLOSING] = "closing",
    [BRIDGE_CONTEXT] = "run_in_context",
    [BRIDGE_METACLASS] = "metaclass",
    [BRIDGE_INSTEAD] = "instead",
    [BRIDGE_DERIVED_CLASS] = "build_derived_class",
    [BRIDGE_IMPORTING] = "importing",
    [BRIDGE_IMPORTED] = "imported",
    [BRIDGE_INSIDE] = "inside",
    [BRIDGE_SUBMODULES] = "submodules",
    [BRIDGE_ENTERING] = "entering",
};

const bridge *
bridge_get(bridge_kind kind)
{
    assert(kind > BRIDGE_NONE && kind < BRIDGES);
    return &bridges[kind];
}

const bridge *
bridge_of(PyCodeObject *code)
{
    for (int i = BRIDGE_NONE + 1; i < BRIDGES; i++) {
        if (bridges[i].code == code) {
            return &bridges[i];
        }
    }
    return NULL;
}

int
bridge_is_own(PyObject *function)
{
    return PyFunction_Check(function)
           && PyFunction_GET_GLOBALS(function) == namespace;
}

int
bridge_may_wait(const analysis *a, PyCodeObject *code, int pc)
{
    static const char *const variables[] = {"result", "made", "value",
                                            "values"};
    const bridge *b = bridge_of(code);
    analysis_instruction at;
    int local;

    if (analysis_at(a, pc, &at) < 0
        || (b != NULL && b >= bridge_get(BRIDGE_IMPORTING)))
    {
        return 0;
    }
    if ((b != NULL && pc == b->pc) || at.opcode == YIELD_VALUE
        || at.opcode == INTERP_OP_TO_BOOL)
    {
        return 1;
    }
    if ((at.opcode != CALL && at.opcode != CALL_FUNCTION_EX
         && at.opcode != INTERP_OP_CALL_KW)
        || !analysis_passes_on(a, at.next, &local))
    {
        return 0;
    }
    PyObject *name = local < 0
                         ? NULL
                         : PyTuple_GET_ITEM(code->co_localsplusnames, local);
    int known = name == NULL;
    for (size_t i = 0; !known && i < Py_ARRAY_LENGTH(variables); i++) {
        known = PyUnicode_CompareWithASCIIString(name, variables[i]) == 0;
    }
    return known;
}

void
bridge_begin(const bridge *b, iframe *f)
{
    iframe_begin(f, (PyCodeObject *)Py_NewRef(b->code),
                 Py_NewRef(b->function), FRAME_OWNED_BY_THREAD);
    for (int i = 0; i < b->code->co_nlocalsplus; i++) {
        f->localsplus[i] = ISLOT_NULL;
    }
    iframe_set_depth(f, 0);
    iframe_set_entry(f, 0);
    iframe_wait(f, b->pc, b->next, b->oparg, PENDING_PUSH);
}

PyObject *
bridge_generator(const bridge *b)
{
    PyObject *values[BRIDGE_VALUES] = {Py_None, Py_None, Py_None, Py_None};
    PyObject *gen = PyObject_Vectorcall(b->function, values, b->values, NULL);
    if (gen != NULL) {
        generator_clear((PyGenObject *)gen);
    }
    return gen;
}

/* ---- setup ------------------------------------------------------------ */

/* A copy of the code with nothing in place of RESUME. New reference, or NULL
 * with an exception. */
static PyObject *
without_resume(PyObject *code)
{
    PyObject *bytes = PyObject_GetAttrString(code, "co_code");
    PyObject *result = NULL, *replace = NULL, *none = NULL, *kwargs = NULL;
    const analysis *a = analysis_get((PyCodeObject *)code);
    analysis_instruction at;

    if (bytes == NULL || a == NULL || !PyBytes_CheckExact(bytes)) {
        goto error;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    Py_SETREF(bytes, PyBytes_FromStringAndSize(PyBytes_AS_STRING(bytes),
                                               size));
    if (bytes == NULL) {
        goto error;
    }
    char *units = PyBytes_AS_STRING(bytes);
    for (int pc = 0; pc < size / 2; pc++) {
        if (analysis_at(a, pc, &at) == 0 && at.opcode == RESUME) {
            for (int unit = pc; unit < at.next; unit++) {
                units[2 * unit] = (char)NOP;
                units[2 * unit + 1] = 0;
            }
        }
    }
    replace = PyObject_GetAttrString(code, "replace");
    none = PyTuple_New(0);
    kwargs = Py_BuildValue("{s:O}", "co_code", bytes);
    if (replace != NULL && none != NULL && kwargs != NULL) {
        result = PyObject_Call(replace, none, kwargs);
    }

error:
    Py_XDECREF(bytes);
    Py_XDECREF(replace);
    Py_XDECREF(none);
    Py_XDECREF(kwargs);
    return result;
}

/* Makes the frames of all the functions invisible. 0, or -1 with an
 * exception. */
static int
hide_all(PyObject *functions)
{
    PyObject *dict = PyModule_GetDict(functions), *value;
    Py_ssize_t position = 0;
    int status = 0;

    while (status == 0 && PyDict_Next(dict, &position, NULL, &value)) {
        if (PyFunction_Check(value)) {
            PyObject *code = without_resume(PyFunction_GET_CODE(value));
            /* Without RESUME it wouldn't be prepared for tracing either. */
            status = code == NULL || interp_watch((PyCodeObject *)code) < 0
                         ? -1
                         : PyObject_SetAttrString(value, "__code__", code);
            Py_XDECREF(code);
        }
    }
    return status;
}

/* Finds out where the frames of a bridge wait.  Steals the function. 0, or -1
 * with an exception. */
static int
prepare(bridge *b, PyObject *function)
{
    analysis_instruction at;

    b->function = function;
    if (function == NULL) {
        return -1;
    }
    b->code = (PyCodeObject *)PyFunction_GET_CODE(function);
    b->values = b->code->co_argcount;
    const analysis *a = analysis_get(b->code);
    if (a == NULL) {
        return -1;
    }
    for (int pc = 0; pc < (int)Py_SIZE(b->code); pc++) {
        if (analysis_at(a, pc, &at) == 0 && at.opcode == CALL) {
            b->pc = pc;
            b->oparg = at.oparg;
            b->next = at.next;
            assert(analysis_kept(a, pc) == 0 && b->values <= BRIDGE_VALUES);
            return 0;
        }
    }
    PyErr_Format(PyExc_SystemError, "pickletask: no call in %R", function);
    return -1;
}

/* Gives the functions one of ours. 0, or -1 with an exception. */
static int
lend(PyObject *module, PyObject *functions, const char *name)
{
    PyObject *function = PyObject_GetAttrString(module, name);
    int status = function == NULL ? -1
                                  : PyObject_SetAttrString(functions, name,
                                                           function);
    Py_XDECREF(function);
    return status;
}

int
bridge_setup(PyObject *module)
{
    PyObject *functions = PyImport_ImportModule("pickletask._bridges");
    int status = functions == NULL
                         || lend(module, functions, "_finish_step") < 0
                         || lend(module, functions, "_exit_context") < 0
                         || hide_all(functions) < 0
                     ? -1
                     : 0;

    for (int i = BRIDGE_NONE + 1; status == 0 && i < BRIDGES; i++) {
        status = prepare(&bridges[i],
                         PyObject_GetAttrString(functions, names[i]));
    }
    if (status == 0) {
        namespace = PyFunction_GET_GLOBALS(bridges[BRIDGE_INIT].function);
    }
    Py_XDECREF(functions);
    return status;
}
