/* Bridges of restricted loads: see bridged.h. */
#include "bridged.h"

#include "fiber/bridge.h"
#include "fiber/crossing.h"

/* Is the code that of the __new__ of the class? */
static int
is_code_of_new(PyCodeObject *code, PyObject *class)
{
    PyObject *function = class != NULL && PyType_Check(class)
                             ? crossing_new_of((PyTypeObject *)class)
                             : NULL;
    return function != NULL && PyFunction_Check(function)
           && PyFunction_GET_CODE(function) == (PyObject *)code;
}

/* Does the instruction read the attribute with this name? */
static int
reads(const bridged_place *p, PyObject *name)
{
    return (p->opcode == LOAD_ATTR || p->opcode == INTERP_OP_LOAD_METHOD)
           && name != NULL && PyUnicode_CheckExact(name)
           && PyUnicode_Compare(PyTuple_GET_ITEM(p->outer->co_names,
                                                 INTERP_ATTRIBUTE(p->oparg)),
                                name) == 0;
}

/* May the outer frame call this builtin function?  Its code has the name, or
 * it has the function itself, which the pickle was allowed to name. */
static int
may_call(const bridged_place *p, const char *name, PyCFunction function)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(p->outer->co_names); i++) {
        if (PyUnicode_CompareWithASCIIString(
                PyTuple_GET_ITEM(p->outer->co_names, i), name) == 0)
        {
            return 1;
        }
    }
    for (int i = 0; i < p->count; i++) {
        if (crossing_c_function(p->values[i]) == function) {
            return 1;
        }
    }
    return 0;
}

int
bridged_belongs(PyCodeObject *code, const bridged_place *p)
{
    const bridge *b = bridge_of(code);

    if (b == NULL || p->pc != b->pc) {
        return 1;
    }
    if (b == bridge_get(BRIDGE_CLASS)
        || b == bridge_get(BRIDGE_DERIVED_CLASS))
    {
        return p->inner != NULL && !(p->inner->co_flags & CO_OPTIMIZED)
               && p->space == p->slots[2];
    }
    if (b == bridge_get(BRIDGE_NEW)) {
        return p->inner != NULL && is_code_of_new(p->inner, p->slots[0]);
    }
    if (b == bridge_get(BRIDGE_ATTRIBUTE)) {
        return reads(p, p->slots[1]);
    }
    if (b == bridge_get(BRIDGE_FETCHED)) {
        return p->slots[2] == Py_False
               || may_call(p, "getattr", crossing_functions.getattr);
    }
    if (b == bridge_get(BRIDGE_FOUND)) {
        return p->slots[2] == Py_False
               || may_call(p, "hasattr", crossing_functions.hasattr);
    }
    return 1;
}
