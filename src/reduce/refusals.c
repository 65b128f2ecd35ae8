/* Why a task can't be saved, in words: see refusals.h. */
#include "refusals.h"

#include "errors.h"

/* ---- what stands in the way -------------------------------------------- */

/* Name of a callable for a message, such as "sorted()". New reference. */
static PyObject *
callable_name(PyObject *callable)
{
    if (PyCFunction_Check(callable)) {
        PyMethodDef *method = ((PyCFunctionObject *)callable)->m_ml;
        return PyUnicode_FromFormat("%s()", method->ml_name);
    }
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type)) {
        PyMethodDef *method = ((PyMethodDescrObject *)callable)->d_method;
        return PyUnicode_FromFormat(
            "%s.%s()", ((PyDescrObject *)callable)->d_type->tp_name,
            method->ml_name);
    }
    if (PyType_Check(callable)) {
        return PyUnicode_FromFormat("%s()",
                                    ((PyTypeObject *)callable)->tp_name);
    }
    return PyUnicode_FromFormat("a '%s' object", Py_TYPE(callable)->tp_name);
}

/* Is it a method of one of the types in this dict? 1 or 0, or -1 with an
 * exception. */
static int
types_hold(PyObject *dict, PyObject *pointer)
{
    int found = 0;
    Py_ssize_t position = 0, i;
    PyObject *type;

    while (!found && PyDict_Next(dict, &position, NULL, &type)) {
        if (!PyType_Check(type) || PyType_HasFeature((PyTypeObject *)type,
                                                     Py_TPFLAGS_HEAPTYPE))
        {
            continue;
        }
        PyObject *names = PyObject_GetAttrString(type, "__dict__");
        PyObject *methods = names == NULL ? NULL : PyMapping_Values(names);
        Py_XDECREF(names);
        if (methods == NULL) {
            return -1;
        }
        for (i = 0; !found && i < PyList_GET_SIZE(methods); i++) {
            found = PyList_GET_ITEM(methods, i) == pointer;
        }
        Py_DECREF(methods);
    }
    return found;
}

/* Does anything hold the object, if it is one, that frame f may have dropped
 * already?  Looks where callables are: in the frame, modules and types. 1 or
 * 0, or -1 with an exception. */
static int
is_held(iframe *f, PyObject *pointer)
{
    PyObject *modules = PyImport_GetModuleDict(), *module;
    Py_ssize_t position = 0;

    if (chain_variables_hold(f, pointer)
        || (f->f_locals != NULL && PyDict_CheckExact(f->f_locals)
            && chain_dict_holds(f->f_locals, pointer))
        || (PyDict_Check(f->f_builtins)
            && chain_dict_holds(f->f_builtins, pointer)))
    {
        return 1;
    }
    while (PyDict_Check(modules)
           && PyDict_Next(modules, &position, NULL, &module))
    {
        if (PyModule_Check(module)
            && chain_dict_holds(PyModule_GetDict(module), pointer))
        {
            return 1;
        }
    }
    return types_hold(PyEval_GetBuiltins(), pointer);
}

/* What the pending instruction of a frame does, for a message.  If it is
 * dropping its operands, they are not looked at. New reference, or NULL with
 * an exception. */
static PyObject *
describe(iframe *f, iframe *inner, int dropping)
{
    chain_link link = {.frame = f};
    PyObject *callable = dropping ? NULL : chain_callable(f);

    if (callable != NULL) {
        int held = is_held(f, callable);
        if (held < 0) {
            return NULL;
        }
        if (!held) {
            callable = NULL;
        }
    }
    if (inner != NULL) {
        /* What is called without a call in the source. */
        PyObject *name = iframe_code(inner)->co_name;
        if (PyUnicode_CompareWithASCIIString(name, "__enter__") == 0) {
            return PyUnicode_FromString("entered a with statement");
        }
        if (PyUnicode_CompareWithASCIIString(name, "__exit__") == 0) {
            return PyUnicode_FromString("left a with statement");
        }
        if (PyUnicode_CompareWithASCIIString(name, "__init__") == 0) {
            return PyUnicode_FromString("made an object by a call");
        }
    }

    if (callable != NULL) {
        PyObject *name = callable_name(callable), *text = NULL;
        if (name != NULL) {
            text = PyUnicode_FromFormat("called %U", name);
            Py_DECREF(name);
        }
        return text;
    }
    if (chain_locate(&link) < 0) {
        return NULL;
    }
    if (INTERP_ENTERS_WITH(link.opcode)) {
        return PyUnicode_FromString("entered a with statement");
    }
    if (INTERP_IS_SUBSCRIPT(link.opcode, link.oparg)) {
        return PyUnicode_FromString("used a subscript");
    }
    switch (link.opcode) {
    case CALL:
    case CALL_FUNCTION_EX:
        return PyUnicode_FromString("called a function");
    case FOR_ITER:
        return PyUnicode_FromString("asked an iterator for its next item");
    case SEND:
        return PyUnicode_FromString("awaited or delegated to an iterator");
    case WITH_EXCEPT_START:
        return PyUnicode_FromString("left a with statement");
    case LOAD_ATTR:
    case STORE_ATTR:
        return PyUnicode_FromString("used an attribute");
    case STORE_SUBSCR:
        return PyUnicode_FromString("used a subscript");
    case IMPORT_NAME:
        return PyUnicode_FromString("imported a module");
    default:
        return PyUnicode_FromString("used an operator or a builtin "
                                    "operation");
    }
}

/* ---- saying so --------------------------------------------------------- */

void
refusals_frame(iframe *f, iframe *inner, int dropping)
{
    PyCodeObject *code = iframe_code(f);
    PyObject *what = describe(f, inner, dropping), *below = NULL;
    int unit = iframe_unit(f);

    below = inner == NULL
                ? PyUnicode_FromString("")
                : PyUnicode_FromFormat(" (which has called '%U')",
                                       iframe_code(inner)->co_qualname);
    if (what != NULL && below != NULL) {
        PyErr_Format(
            NotPicklableError,
            "cannot pickle this task: function '%U' (file \"%U\", line %d) "
            "%U, which runs C code%U whose state can't be saved; suspend the "
            "task outside of it, or do the same in Python", code->co_qualname,
            code->co_filename,
            PyCode_Addr2Line(code, unit * (int)sizeof(_Py_CODEUNIT)), what,
            below);
    }
    Py_XDECREF(what);
    Py_XDECREF(below);
}

/* The name of the module whose code the frame runs. Borrowed, or NULL. */
static PyObject *
module_of(iframe *f)
{
    PyObject *name = iframe_code(f)->co_flags & CO_OPTIMIZED
                         ? NULL
                         : PyDict_GetItemString(f->f_globals, "__name__");
    return name != NULL && PyUnicode_Check(name) ? name : NULL;
}

/* The frame has imported the module, whose code is still running. */
static void
refuse_import(iframe *f, iframe *inner, PyObject *module)
{
    PyCodeObject *code = iframe_code(f), *imported = iframe_code(inner);
    int unit = iframe_unit(f), at = iframe_unit(inner);

    PyErr_Format(
        NotPicklableError,
        "cannot pickle this task: function '%U' (file \"%U\", line %d) "
        "imported module '%U', whose own code (file \"%U\", line %d) is "
        "waiting, in a way that can't be saved; put what suspends into a "
        "function of the module, and call it when the import is done",
        code->co_qualname, code->co_filename,
        PyCode_Addr2Line(code, unit * (int)sizeof(_Py_CODEUNIT)), module,
        imported->co_filename,
        PyCode_Addr2Line(imported, at * (int)sizeof(_Py_CODEUNIT)));
}

/* The task's function has ended, and something that it held is going: that has
 * called the frame, or there is none. */
static void
refuse_ended(iframe *inner)
{
    PyObject *what = PyUnicode_FromString("C code");

    if (inner != NULL) {
        PyCodeObject *code = iframe_code(inner);
        int unit = iframe_unit(inner);
        Py_XSETREF(what, PyUnicode_FromFormat(
            "'%U' (file \"%U\", line %d)", code->co_qualname,
            code->co_filename,
            PyCode_Addr2Line(code, unit * (int)sizeof(_Py_CODEUNIT))));
    }
    if (what != NULL) {
        PyErr_Format(NotPicklableError,
                     "cannot pickle this task: its function has ended, and %U "
                     "runs as something that it held goes; suspend the task "
                     "outside of that", what);
        Py_DECREF(what);
    }
}

void
refusals_chain(const chain *c)
{
    if (c->where != NULL) {
        iframe *where = chain_importer(c->where);
        PyObject *module = where == c->where || c->inner == NULL
                               ? NULL
                               : module_of(c->inner);
        if (module != NULL) {
            refuse_import(where, c->inner, module);
            return;
        }
        refusals_frame(where, c->inner, c->dropping || where != c->where);
        return;
    }
    if (c->dropping) {
        refuse_ended(c->inner);
        return;
    }
    PyErr_SetString(NotPicklableError,
                    "cannot pickle this task: it began in C code; start it "
                    "with a Python function");
}
