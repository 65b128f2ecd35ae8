/* Code by reference: see references.h. */
#include "references.h"

#include "codes.h"
#include "errors.h"
#include "functions.h"
#include "sealed.h"

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

/* (function, digest) if a name finds a function with this code, and if there
 * is a digest. */
PyObject *
references_quickly(PyCodeObject *code, PyObject *globals)
{
    PyObject *result = NULL, **digest = codes_digest(code);
    PyObject *function = digest == NULL || *digest == NULL
                             ? NULL
                             : codes_resolve(globals, code->co_qualname);

    if (function != NULL && PyFunction_Check(function)
        && PyFunction_GET_CODE(function) == (PyObject *)code
        && PyFunction_GET_GLOBALS(function) == globals
        && functions_importable(function) > 0)
    {
        result = PyTuple_Pack(2, function, *digest);
    }
    Py_XDECREF(function);
    return result;
}

PyObject *
references_make(PyCodeObject *code, PyObject *globals)
{
    PyObject *reference = NULL;

    if (globals != NULL && digest_of(code) != NULL) {
        reference = references_quickly(code, globals);
    }
    if (reference != NULL || PyErr_Occurred() || find_functions() < 0) {
        return reference;
    }
    return PyObject_CallFunctionObjArgs(make_reference, (PyObject *)code,
                                        globals == NULL ? Py_None : globals,
                                        NULL);
}

/* Is it a function whose code has this digest? 1 or 0, or -1 with an
 * exception. */
static int
follow_quickly(PyObject *function, const unsigned char *digest, referred *out)
{
    if (!PyFunction_Check(function)) {
        return 0;
    }
    PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
    PyObject *now = digest_of(code);
    if (now == NULL) {
        return -1;
    }
    if (memcmp(PyBytes_AS_STRING(now), digest, REFERENCES_DIGEST) != 0) {
        return 0;
    }
    out->code = (PyCodeObject *)Py_NewRef(code);
    out->globals = Py_NewRef(PyFunction_GET_GLOBALS(function));
    return 1;
}

/* The thorough way, after a quick one has failed. */
static int
follow_thoroughly(PyObject *reference, referred *out)
{
    PyObject *found, *code, *globals;

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

static int
follow(PyObject *reference, referred *out)
{
    int same = 0;

    if (PyTuple_CheckExact(reference) && PyTuple_GET_SIZE(reference) == 2
        && PyBytes_CheckExact(PyTuple_GET_ITEM(reference, 1)))
    {
        PyObject *digest = PyTuple_GET_ITEM(reference, 1);
        if (PyBytes_GET_SIZE(digest) >= REFERENCES_DIGEST) {
            same = follow_quickly(PyTuple_GET_ITEM(reference, 0),
                                  (unsigned char *)PyBytes_AS_STRING(digest),
                                  out);
        }
    }
    return same == 0 ? follow_thoroughly(reference, out) : same < 0 ? -1 : 0;
}

int
references_follow(PyObject *reference, referred *out)
{
    PyObject *anchor = NULL, *opened = NULL;

    if (PyTuple_CheckExact(reference) && PyTuple_GET_SIZE(reference) > 0) {
        anchor = PyTuple_GET_ITEM(reference, 0);
        opened = sealed_open(anchor);
    }
    if (opened == anchor) {
        return follow(reference, out);
    }
    out->sealed = 1;
    PyObject *copy = PyTuple_New(PyTuple_GET_SIZE(reference));
    for (Py_ssize_t i = 0; copy != NULL && i < PyTuple_GET_SIZE(copy); i++) {
        PyObject *item = i == 0 ? opened : PyTuple_GET_ITEM(reference, i);
        PyTuple_SET_ITEM(copy, i, Py_NewRef(item));
    }
    int status = copy == NULL ? -1 : follow(copy, out);
    Py_XDECREF(copy);
    return status;
}

int
references_follow_parts(PyObject *anchor, const unsigned char *digest,
                        PyObject *path, referred *out)
{
    PyObject *bytes, *reference = NULL, *opened = sealed_open(anchor);

    out->sealed = opened != anchor;
    anchor = opened;
    int same = path == NULL ? follow_quickly(anchor, digest, out) : 0;
    if (same != 0) {
        return same < 0 ? -1 : 0;
    }
    bytes = PyBytes_FromStringAndSize((const char *)digest, REFERENCES_DIGEST);
    if (bytes != NULL) {
        /* Without a path, two items. */
        reference = PyTuple_Pack(path == NULL ? 2 : 3, anchor, bytes, path);
        Py_DECREF(bytes);
    }
    if (reference == NULL) {
        return -1;
    }
    int status = follow_thoroughly(reference, out);
    Py_DECREF(reference);
    return status;
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

enum { FIELDS = 5 };

/* Bits of the fields, in their order, in a small and in a large place of
 * format 2.  The lowest bit of the int tells which. */
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
static references_place
place_of(PyCodeObject *code, const analysis *a, int pc)
{
    references_place p = {pc, WAITS_OTHER, 0, 0, 0};
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
    p.line = line < code->co_firstlineno ? -1 : line - code->co_firstlineno;
    p.column = column < 0 ? -1 : column;
    p.end = end < 0 ? -1 : end;
    return p;
}

int
references_get_place(PyCodeObject *code, int pc, references_place *place)
{
    const analysis *a = analysis_get(code);
    if (a == NULL) {
        return -1;
    }
    *place = place_of(code, a, pc);
    return 0;
}

int
references_old_place(PyObject *number, references_place *place)
{
    int overflow;

    long pc = PyLong_AsLongAndOverflow(number, &overflow);
    if (overflow == 0 && pc < 0) {
        *place = (references_place){pc < -INT_MAX ? -1 : (int)(-1L - pc), 0,
                                    -1, -1, -1};
        return 0;
    }
    unsigned long long packed = PyLong_AsUnsignedLongLong(number);
    if (packed == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return -1;
    }
    const int *bits = packed & 1 ? large_bits : small_bits;
    int fields[FIELDS];
    packed >>= 1;
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = (int)(packed & ((1ULL << bits[i]) - 1));
        packed >>= bits[i];
    }
    *place = (references_place){fields[0], fields[1], fields[2], fields[3],
                                fields[4]};
    return packed == 0 ? 0 : -1;
}

int
references_pc(const references_place *p, const referred *r, const analysis *a,
              Py_ssize_t kept)
{
    int found = -1, count = 0;

    if (!r->moved) {
        return p->pc;
    }
    for (int pc = 0; p->line >= 0 && pc < (int)Py_SIZE(r->code); pc++) {
        if (analysis_kept(a, pc) != kept) {
            continue;
        }
        references_place now = place_of(r->code, a, pc);
        if (now.kind == p->kind && now.line == p->line
            && now.column == p->column && now.end == p->end)
        {
            found = pc;
            count++;
        }
    }
    if (count != 1) {
        PyErr_Format(CodeChangedError,
                     "can't restore a task: in the code that took the place "
                     "of what it was running, function '%U' (file \"%U\", "
                     "line %d), nothing of the same shape stands on line %d "
                     "where it waited", r->code->co_qualname,
                     r->code->co_filename, r->code->co_firstlineno,
                     r->code->co_firstlineno + p->line);
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
