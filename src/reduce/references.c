/* Code by reference: see references.h. */
#include "references.h"

#include "codes.h"
#include "errors.h"
#include "functions.h"

/* pickletask.references: its functions, once it has been imported. Owned. */
static PyObject *compute_digest, *make_reference, *follow_reference;

/* ---- references -------------------------------------------------------- */

/* Finds the functions. 0, or -1 with an exception. */
static int
find_functions(void)
{
    if (follow_reference != NULL) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("pickletask.references");
    if (module == NULL) {
        return -1;
    }
    Py_XSETREF(compute_digest, PyObject_GetAttrString(module, "digest"));
    Py_XSETREF(make_reference, PyObject_GetAttrString(module, "make"));
    if (compute_digest != NULL && make_reference != NULL) {
        follow_reference = PyObject_GetAttrString(module, "follow");
    }
    Py_DECREF(module);
    return follow_reference == NULL ? -1 : 0;
}

/* The digest of a code object, computed once. Borrowed from the code, or NULL
 * with an exception. */
static PyObject *
digest_of(PyCodeObject *code)
{
    PyObject **known = codes_digest(code);

    if (known != NULL && *known == NULL && find_functions() == 0) {
        PyObject *digest = PyObject_CallOneArg(compute_digest,
                                               (PyObject *)code);
        if (digest != NULL) {
            Py_XSETREF(*known, digest);
        }
    }
    return known == NULL ? NULL : *known;
}

/* (function, digest) if a name finds a function with this code. New reference,
 * or NULL, with an exception if one is set. */
static PyObject *
make_quickly(PyCodeObject *code, PyObject *globals)
{
    PyObject *result = NULL, *digest;
    PyObject *function = codes_resolve(globals, code->co_qualname);

    if (function != NULL && PyFunction_Check(function)
        && PyFunction_GET_CODE(function) == (PyObject *)code
        && PyFunction_GET_GLOBALS(function) == globals
        && functions_importable(function) > 0)
    {
        digest = digest_of(code);
        result = digest == NULL ? NULL : PyTuple_Pack(2, function, digest);
    }
    Py_XDECREF(function);
    return result;
}

PyObject *
references_make(PyCodeObject *code, PyObject *globals)
{
    PyObject *reference = NULL;

    if (globals != NULL) {
        reference = make_quickly(code, globals);
    }
    if (reference != NULL || PyErr_Occurred() || find_functions() < 0) {
        return reference;
    }
    return PyObject_CallFunctionObjArgs(make_reference, (PyObject *)code,
                                        globals == NULL ? Py_None : globals,
                                        NULL);
}

/* Is it a function whose code has the digest of the reference? 1 or 0, or -1
 * with an exception. */
static int
follow_quickly(PyObject *reference, referred *out)
{
    PyObject *function = PyTuple_GET_ITEM(reference, 0);
    PyObject *digest = PyTuple_GET_ITEM(reference, 1);

    if (!PyFunction_Check(function) || !PyBytes_CheckExact(digest)) {
        return 0;
    }
    PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
    PyObject *now = digest_of(code);
    if (now == NULL) {
        return -1;
    }
    int same = PyObject_RichCompareBool(now, digest, Py_EQ);
    if (same > 0) {
        out->code = (PyCodeObject *)Py_NewRef(code);
        out->globals = Py_NewRef(PyFunction_GET_GLOBALS(function));
    }
    return same;
}

int
references_follow(PyObject *reference, referred *out)
{
    PyObject *found, *code, *globals;

    if (PyTuple_CheckExact(reference) && PyTuple_GET_SIZE(reference) == 2) {
        int same = follow_quickly(reference, out);
        if (same != 0) {
            return same < 0 ? -1 : 0;
        }
    }
    if (find_functions() < 0) {
        return -1;
    }
    found = PyObject_CallOneArg(follow_reference, reference);
    if (found == NULL) {
        return -1;
    }
    if (!PyArg_ParseTuple(found, "O!O!p;what a reference led to",
                          &PyCode_Type, &code, &PyDict_Type, &globals,
                          &out->moved))
    {
        Py_DECREF(found);
        return -1;
    }
    out->code = (PyCodeObject *)Py_NewRef(code);
    out->globals = Py_NewRef(globals);
    Py_DECREF(found);
    return 0;
}

void
references_clear(referred *r)
{
    Py_CLEAR(r->code);
    Py_CLEAR(r->globals);
}

/* ---- places ------------------------------------------------------------ */

/* Kinds of instructions in which frames wait; those that are rare share one.
 * Saved: numbers are never given to another kind. */
enum {
    WAITS_OTHER, WAITS_CALL, WAITS_CALL_EX, WAITS_CALL_KW, WAITS_FOR,
    WAITS_SEND, WAITS_YIELD, WAITS_START
};

typedef struct {
    long pc, kind, line, column, end;
} place;

enum { FIELDS = 5 };

/* Bits of the fields, in their order, in a small and in a large place.  The
 * lowest bit of the int tells which: a small one fits into 31 bits. */
static const int small_bits[FIELDS] = {9, 3, 6, 6, 6};
static const int large_bits[FIELDS] = {20, 3, 20, 10, 10};

static int
kind_of(int opcode)
{
    switch (opcode) {
    case CALL:
        return WAITS_CALL;
    case CALL_FUNCTION_EX:
        return WAITS_CALL_EX;
    case FOR_ITER:
        return WAITS_FOR;
    case SEND:
        return WAITS_SEND;
    case YIELD_VALUE:
        return WAITS_YIELD;
    case RETURN_GENERATOR:
        return WAITS_START;
    default:
        return opcode == INTERP_OP_CALL_KW ? WAITS_CALL_KW : WAITS_OTHER;
    }
}

/* Where the instruction at pc stands. */
static place
place_of(PyCodeObject *code, const analysis *a, int pc)
{
    place p = {.pc = pc, .kind = WAITS_OTHER};
    int line = -1, column = -1, end_line, end = -1;
    analysis_instruction at;

    if (analysis_at(a, pc, &at) == 0) {
        p.kind = kind_of(at.opcode);
    }
    if (p.kind == WAITS_START) {
        /* There is one in a code object. */
        return p;
    }
    PyCode_Addr2Location(code, pc * (int)sizeof(_Py_CODEUNIT), &line, &column,
                         &end_line, &end);
    p.line = line < 0 ? -1 : line - code->co_firstlineno;
    p.column = column;
    p.end = end;
    return p;
}

/* The fields as one number, or 0 if they don't fit. */
static unsigned long long
pack(const long *fields, const int *bits)
{
    unsigned long long number = 0;

    for (int i = FIELDS - 1; i >= 0; i--) {
        if (fields[i] < 0 || fields[i] >> bits[i] != 0) {
            return 0;
        }
        number = number << bits[i] | (unsigned long long)fields[i];
    }
    return number << 1 | (bits == large_bits);
}

PyObject *
references_place(PyCodeObject *code, int pc)
{
    const analysis *a = analysis_get(code);
    if (a == NULL) {
        return NULL;
    }
    place p = place_of(code, a, pc);
    long fields[FIELDS] = {p.pc, p.kind, p.line, p.column, p.end};
    unsigned long long number = pack(fields, small_bits);
    if (number == 0) {
        number = pack(fields, large_bits);
    }
    if (number == 0) {
        /* Too far away, or without a line: only the pc counts. */
        return PyLong_FromLong(-1L - pc);
    }
    return PyLong_FromUnsignedLongLong(number);
}

/* The place in an int; -1 if it is none. */
static int
unpack(PyObject *number, place *p)
{
    int overflow;

    if (!PyLong_CheckExact(number)) {
        return -1;
    }
    long pc = PyLong_AsLongAndOverflow(number, &overflow);
    if (overflow == 0 && pc < 0) {
        *p = (place){.pc = -1L - pc, .line = -1};
        return 0;
    }
    unsigned long long packed = PyLong_AsUnsignedLongLong(number);
    if (packed == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return -1;
    }
    const int *bits = packed & 1 ? large_bits : small_bits;
    long fields[FIELDS];
    packed >>= 1;
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = (long)(packed & ((1ULL << bits[i]) - 1));
        packed >>= bits[i];
    }
    *p = (place){fields[0], fields[1], fields[2], fields[3], fields[4]};
    return packed == 0 ? 0 : -1;
}

int
references_pc(PyObject *number, const referred *r, const analysis *a, int kept)
{
    int found = -1, count = 0;
    place p;

    if (unpack(number, &p) < 0) {
        return -1;
    }
    if (!r->moved) {
        return p.pc > INT_MAX ? -1 : (int)p.pc;
    }
    for (int pc = 0; p.line >= 0 && pc < (int)Py_SIZE(r->code); pc++) {
        if (analysis_kept(a, pc) != kept) {
            continue;
        }
        place now = place_of(r->code, a, pc);
        if (now.kind == p.kind && now.line == p.line
            && now.column == p.column && now.end == p.end)
        {
            found = pc;
            count++;
        }
    }
    if (count != 1) {
        PyErr_Format(CodeChangedError,
                     "can't restore a task: in the code that took the place "
                     "of what it was running, function '%U' (file \"%U\", "
                     "line %d), nothing of the same shape stands on line %ld "
                     "where it waited", r->code->co_qualname,
                     r->code->co_filename, r->code->co_firstlineno,
                     r->code->co_firstlineno + p.line);
        return -1;
    }
    return found;
}

/* ---- functions of the module ------------------------------------------- */

static PyObject *
core_load_referred_code(PyObject *module, PyObject *args)
{
    referred r = {NULL};

    if (references_follow(args, &r) < 0) {
        return NULL;
    }
    PyObject *code = Py_NewRef(r.code);
    references_clear(&r);
    return code;
}

static PyObject *
core_make_reference(PyObject *module, PyObject *args)
{
    PyObject *code, *globals = NULL;

    if (!PyArg_ParseTuple(args, "O!|O!", &PyCode_Type, &code, &PyDict_Type,
                          &globals))
    {
        return NULL;
    }
    return references_make((PyCodeObject *)code, globals);
}

static PyObject *
core_digest(PyObject *module, PyObject *code)
{
    if (!PyCode_Check(code)) {
        PyErr_Format(PyExc_TypeError, "expected a code object, not %.200s",
                     Py_TYPE(code)->tp_name);
        return NULL;
    }
    return Py_XNewRef(digest_of((PyCodeObject *)code));
}

static PyMethodDef functions[] = {
    {"_digest", core_digest, METH_O,
     PyDoc_STR("Digest of a code object, by pickletask.references.digest.")},
    {"_load_referred_code", core_load_referred_code, METH_VARARGS,
     PyDoc_STR("Code object that a reference leads to.")},
    {"_make_reference", core_make_reference, METH_VARARGS,
     PyDoc_STR("Reference to a code object that uses these globals.")},
    {NULL},
};

int
references_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
