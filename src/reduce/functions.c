/* Functions by value: see functions.h. */
#include "functions.h"

#include "codes.h"
#include "errors.h"
#include "fiber/bridge.h"
#include "fiber/imports.h"
#include "module.h"
#include "references.h"
#include "sealed.h"
#include "substitute.h"

/* Functions of the module that pickles name. Owned. */
static PyObject *function_maker, *new_function, *set_function;
static PyObject *load_referred_function, *new_referred_function;

/* ---- by name ----------------------------------------------------------- */

int
functions_importable(PyObject *function)
{
    int same = 0;
    PyFunctionObject *f = (PyFunctionObject *)function;
    PyObject *module = substitute_imported(f->func_module);
    if (module != NULL) {
        PyObject *found = codes_resolve(PyModule_GetDict(module),
                                        f->func_qualname);
        same = found == function && !imports_is_suspended(module);
        Py_XDECREF(found);
        Py_DECREF(module);
    }
    return PyErr_Occurred() ? -1 : same;
}

/* ---- reducing ---------------------------------------------------------- */

/* A tuple's items, each substituted if need be. */
static PyObject *
substitute_items(PyObject *tuple)
{
    Py_ssize_t size = PyTuple_GET_SIZE(tuple);
    PyObject *result = PyTuple_New(size);

    for (Py_ssize_t i = 0; result != NULL && i < size; i++) {
        PyObject *item = substitute_for(PyTuple_GET_ITEM(tuple, i));
        if (item == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyTuple_SET_ITEM(result, i, item);
    }
    return result;
}

/* A dict with a dict's items, each value substituted if need be. */
static PyObject *
substitute_values(PyObject *dict)
{
    Py_ssize_t position = 0;
    PyObject *key, *value, *result = PyDict_New();

    while (result != NULL && PyDict_Next(dict, &position, &key, &value)) {
        PyObject *item = substitute_for(value);
        if (item == NULL || PyDict_SetItem(result, key, item) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(item);
    }
    return result;
}

/* (packed code, home) of code that uses these globals. */
static PyObject *
reduce_code_in(PyObject *code, PyObject *globals)
{
    PyObject *packed = codes_pack((PyCodeObject *)code);
    PyObject *home;

    if (packed == NULL) {
        return NULL;
    }
    home = Py_XNewRef(substitute_module_name(globals));
    if (home == NULL && !PyErr_Occurred()) {
        home = substitute_namespace(globals);
    }
    if (home == NULL) {
        Py_DECREF(packed);
        return NULL;
    }
    return Py_BuildValue("(NN)", packed, home);
}

/* The attributes of a function that its code doesn't say. */
static PyObject *
function_state(PyFunctionObject *f)
{
    PyCodeObject *code = (PyCodeObject *)f->func_code;
    PyObject *state = PyDict_New();
    PyObject *doc = Py_None;

    if (state == NULL) {
        return NULL;
    }
    if (f->func_closure != NULL
        && substitute_add(state, "__closure__",
                          substitute_items(f->func_closure)) < 0)
    {
        goto error;
    }
    if (f->func_defaults != NULL
        && substitute_add(state, "__defaults__",
                          substitute_items(f->func_defaults)) < 0)
    {
        goto error;
    }
    if (f->func_kwdefaults != NULL && PyDict_CheckExact(f->func_kwdefaults)
        && substitute_add(state, "__kwdefaults__",
                          substitute_values(f->func_kwdefaults)) < 0)
    {
        goto error;
    }
    if (f->func_dict != NULL && PyDict_GET_SIZE(f->func_dict) > 0
        && substitute_add(state, "__dict__",
                          substitute_values(f->func_dict)) < 0)
    {
        goto error;
    }
    if (f->func_annotations != NULL) {
        PyObject *annotations = PyFunction_GetAnnotations((PyObject *)f);
        if (annotations == NULL
            || PyDict_SetItemString(state, "__annotations__", annotations)
                   < 0)
        {
            goto error;
        }
    }
#if INTERP_FUNCTION_ANNOTATE
    /* After the annotations: each of the two takes the other's place. */
    /* functools.wraps() may have set it to None. */
    if (f->func_annotate != NULL && !Py_IsNone(f->func_annotate)
        && substitute_add(state, "__annotate__",
                          substitute_for(f->func_annotate)) < 0)
    {
        goto error;
    }
#endif
    if (f->func_name != code->co_name
        && PyDict_SetItemString(state, "__name__", f->func_name) < 0)
    {
        goto error;
    }
    if (f->func_qualname != code->co_qualname
        && PyDict_SetItemString(state, "__qualname__", f->func_qualname) < 0)
    {
        goto error;
    }
    if (f->func_module != NULL
        && f->func_module != substitute_name_in(f->func_globals)
        && PyDict_SetItemString(state, "__module__", f->func_module) < 0)
    {
        goto error;
    }
    if (PyTuple_GET_SIZE(code->co_consts) > 0
        && PyUnicode_Check(PyTuple_GET_ITEM(code->co_consts, 0)))
    {
        doc = PyTuple_GET_ITEM(code->co_consts, 0);
    }
    if (f->func_doc != NULL && f->func_doc != doc
        && PyDict_SetItemString(state, "__doc__", f->func_doc) < 0)
    {
        goto error;
    }
#if INTERP_TYPE_PARAMS
    if (f->func_typeparams != NULL
        && PyDict_SetItemString(state, "__type_params__", f->func_typeparams)
               < 0)
    {
        goto error;
    }
#endif
    return state;

error:
    Py_DECREF(state);
    return NULL;
}

/* Steals args, which may be NULL with an exception. */
static PyObject *
reduce_to(PyObject *constructor, PyObject *args, PyFunctionObject *f)
{
    PyObject *result = NULL;
    PyObject *state = args == NULL ? NULL : function_state(f);

    if (state != NULL) {
        result = PyTuple_Pack(6, constructor, args, state, Py_None, Py_None,
                              set_function);
    }
    Py_XDECREF(args);
    Py_XDECREF(state);
    return result;
}

PyObject *
functions_reduce(PyObject *function)
{
    PyFunctionObject *f = (PyFunctionObject *)function;
    return reduce_to(new_function,
                     reduce_code_in(f->func_code, f->func_globals), f);
}

PyObject *
functions_refer(PyObject *function)
{
    PyFunctionObject *f = (PyFunctionObject *)function;
    PyCodeObject *code = (PyCodeObject *)f->func_code;
    return reduce_to(new_referred_function,
                     references_make(code, f->func_globals), f);
}

PyObject *
functions_override(PyObject *function, int by_reference)
{
    int importable = functions_importable(function);

    if (importable != 0) {
        return importable < 0
                   ? NULL
                   : Py_NewRef(((PyFunctionObject *)function)->func_qualname);
    }
    return by_reference ? functions_refer(function)
                        : functions_reduce(function);
}

PyObject *
functions_reduce_head(PyObject *code, PyObject *globals)
{
    PyObject *args = reduce_code_in(code, globals);
    return args == NULL ? NULL : Py_BuildValue("ON", function_maker, args);
}

PyObject *
functions_refer_head(PyObject *code, PyObject *globals)
{
    PyObject *args = references_make((PyCodeObject *)code, globals);
    return args == NULL ? NULL
                        : Py_BuildValue("ON", load_referred_function, args);
}

/* ---- copying ----------------------------------------------------------- */

PyObject *
functions_copy(PyObject *function, PyObject *memo)
{
    PyFunctionObject *f = (PyFunctionObject *)function;
    PyObject *state = NULL, *copied = NULL, *done = NULL, *result;

    result = PyFunction_NewWithQualName(f->func_code, f->func_globals,
                                        f->func_qualname);
    if (result == NULL || substitute_enter_copy(memo, function, result) < 0) {
        goto error;
    }
    state = function_state(f);
    copied = state == NULL ? NULL : substitute_deepcopy(state, memo);
    if (copied != NULL) {
        done = PyObject_CallFunctionObjArgs(set_function, result, copied,
                                            NULL);
    }

error:
    if (done == NULL) {
        Py_CLEAR(result);
    }
    Py_XDECREF(done);
    Py_XDECREF(state);
    Py_XDECREF(copied);
    return result;
}

/* ---- loading ----------------------------------------------------------- */

/* Code and globals from (packed code, home), or (tag, digest, data, home) as
 * format 2 has it: both new references. 0, or -1 with an exception. */
static int
load_code_in(PyObject *args, PyCodeObject **code, PyObject **globals)
{
    Py_ssize_t size = PyTuple_GET_SIZE(args);
    PyObject *home = size == 0 ? NULL : PyTuple_GET_ITEM(args, size - 1);
    PyObject *dict = NULL;

    *globals = NULL;
    if (size != 2 && size != 4) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: its code has no home");
        return -1;
    }
    if (PyUnicode_Check(home)) {
        dict = substitute_import_dict(home);
        if (dict == NULL) {
            return -1;
        }
    }
    else if (!PyDict_CheckExact(home)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: its globals must be a dict");
        return -1;
    }
    *code = size == 2 ? codes_load(PyTuple_GET_ITEM(args, 0), dict)
                      : codes_load_old(PyTuple_GET_ITEM(args, 0),
                                       PyTuple_GET_ITEM(args, 1),
                                       PyTuple_GET_ITEM(args, 2), dict);
    if (*code == NULL) {
        Py_XDECREF(dict);
        return -1;
    }
    *globals = dict != NULL ? dict : Py_NewRef(home);
    return 0;
}

/* Gives a function with free variables empty cells, so that it can be called
 * without harm. 0, or -1 with an exception. */
static int
give_cells(PyObject *function)
{
    int count = ((PyCodeObject *)PyFunction_GET_CODE(function))->co_nfreevars;
    int status = -1;

    if (count == 0 || PyFunction_GET_CLOSURE(function) != NULL) {
        return 0;
    }
    PyObject *cells = PyTuple_New(count);
    for (int i = 0; cells != NULL && i < count; i++) {
        PyObject *cell = PyCell_New(NULL);
        if (cell == NULL) {
            Py_CLEAR(cells);
            break;
        }
        PyTuple_SET_ITEM(cells, i, cell);
    }
    if (cells != NULL) {
        status = PyFunction_SetClosure(function, cells);
        Py_DECREF(cells);
    }
    return status;
}

/* Steals the function, which may be NULL with an exception. */
static PyObject *
with_cells(PyObject *function)
{
    if (function != NULL && give_cells(function) < 0) {
        Py_CLEAR(function);
    }
    return function;
}

PyObject *
functions_of(PyCodeObject *code, PyObject *globals)
{
    return with_cells(codes_function(code, globals));
}

static PyObject *
make_function(PyObject *args, int shared)
{
    PyCodeObject *code;
    PyObject *globals, *function;

    if (load_code_in(args, &code, &globals) < 0) {
        return NULL;
    }
    function = shared ? functions_of(code, globals)
                      : with_cells(PyFunction_New((PyObject *)code, globals));
    Py_DECREF(code);
    Py_DECREF(globals);
    return sealed_new(function, 0);
}

static PyObject *
make_referred(PyObject *reference, int shared)
{
    referred r = {NULL};
    PyObject *function;

    if (references_follow(reference, &r) < 0) {
        return NULL;
    }
    function = shared ? functions_of(r.code, r.globals)
                      : with_cells(PyFunction_New((PyObject *)r.code,
                                                  r.globals));
    references_clear(&r);
    return sealed_new(function, r.sealed);
}

static PyObject *
core_load_referred_function(PyObject *module, PyObject *args)
{
    return make_referred(args, 1);
}

static PyObject *
core_new_referred_function(PyObject *module, PyObject *args)
{
    return make_referred(args, 0);
}

/* The function of a frame, for pickles to name. */
static PyObject *
make_head(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return make_function(args, 1);
}

/* What format 2 and 1 name. */
static PyObject *
core_load_function(PyObject *module, PyObject *args)
{
    return make_function(args, 1);
}

static PyObject *
core_new_function(PyObject *module, PyObject *args)
{
    return make_function(args, 0);
}

/* 0, or -1 with an exception. */
static int
set_closure(PyObject *function, PyObject *closure)
{
    int count = ((PyCodeObject *)PyFunction_GET_CODE(function))->co_nfreevars;

    if (!PyTuple_CheckExact(closure) || PyTuple_GET_SIZE(closure) != count) {
        goto error;
    }
    for (int i = 0; i < count; i++) {
        if (!PyCell_Check(PyTuple_GET_ITEM(closure, i))) {
            goto error;
        }
    }
    return count == 0 ? 0 : PyFunction_SetClosure(function, closure);

error:
    PyErr_Format(CorruptStateError,
                 "can't restore function %U: it needs %d cells for its free "
                 "variables", ((PyFunctionObject *)function)->func_qualname,
                 count);
    return -1;
}

/* 0, or -1 with an exception. */
static int
set_annotate(PyObject *function, PyObject *annotate)
{
#if INTERP_FUNCTION_ANNOTATE
    if (PyCallable_Check(annotate)) {
        /* The attribute's setter would drop the annotations. */
        Py_XSETREF(((PyFunctionObject *)function)->func_annotate,
                   Py_NewRef(annotate));
        return 0;
    }
#endif
    PyErr_Format(CorruptStateError,
                 "can't restore function %U: its __annotate__ is no function",
                 ((PyFunctionObject *)function)->func_qualname);
    return -1;
}

static PyObject *
core_set_function(PyObject *module, PyObject *args)
{
    static const char *const settable[] = {
        "__defaults__", "__kwdefaults__", "__dict__", "__annotations__",
        "__name__", "__qualname__", "__module__", "__doc__",
        "__type_params__",
    };
    PyObject *object, *state, *key, *value;
    Py_ssize_t position = 0;

    if (!PyArg_ParseTuple(args, "OO!", &object, &PyDict_Type, &state)) {
        return NULL;
    }
    PyObject *function = sealed_open(object);
    if (!PyFunction_Check(function)) {
        PyErr_Format(PyExc_TypeError, "expected a function, not %.200s",
                     Py_TYPE(function)->tp_name);
        return NULL;
    }
    if (bridge_is_own(function)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore: a state is set that is one of "
                        "pickletask's own functions'");
        return NULL;
    }
    while (PyDict_Next(state, &position, &key, &value)) {
        size_t i = 0;
        if (!PyUnicode_Check(key)) {
            goto error;
        }
        if (PyUnicode_CompareWithASCIIString(key, "__closure__") == 0) {
            if (set_closure(function, value) < 0) {
                return NULL;
            }
            continue;
        }
        if (PyUnicode_CompareWithASCIIString(key, "__annotate__") == 0) {
            if (set_annotate(function, value) < 0) {
                return NULL;
            }
            continue;
        }
        while (i < Py_ARRAY_LENGTH(settable)
               && PyUnicode_CompareWithASCIIString(key, settable[i]) != 0)
        {
            i++;
        }
        if (i == Py_ARRAY_LENGTH(settable)) {
            goto error;
        }
        if (PyObject_SetAttr(function, key, value) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;

error:
    PyErr_Format(CorruptStateError,
                 "can't restore function %U: %R is no attribute that was "
                 "saved", ((PyFunctionObject *)function)->func_qualname, key);
    return NULL;
}

static PyObject *
core_reduce_function(PyObject *module, PyObject *function)
{
    if (!PyFunction_Check(function)) {
        PyErr_Format(PyExc_TypeError, "expected a function, not %.200s",
                     Py_TYPE(function)->tp_name);
        return NULL;
    }
    return functions_override(function, 0);
}

static PyObject *
core_pack_function(PyObject *module, PyObject *function)
{
    if (!PyFunction_Check(function)) {
        PyErr_Format(PyExc_TypeError, "expected a function, not %.200s",
                     Py_TYPE(function)->tp_name);
        return NULL;
    }
    return functions_reduce(function);
}

/* ---- setup ------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"_load_function", core_load_function, METH_VARARGS,
     PyDoc_STR("Function of a frame, from its code and globals.")},
    {"_new_function", core_new_function, METH_VARARGS,
     PyDoc_STR("New function from its code and globals.")},
    {"_set_function", core_set_function, METH_VARARGS,
     PyDoc_STR("Sets the saved attributes of a new function.")},
    {"_reduce_function", core_reduce_function, METH_O,
     PyDoc_STR("Reducer of functions: by name if that finds it.")},
    {"_load_referred_function", core_load_referred_function, METH_VARARGS,
     PyDoc_STR("Function of a frame, from a reference to its code.")},
    {"_new_referred_function", core_new_referred_function, METH_VARARGS,
     PyDoc_STR("New function from a reference to its code.")},
    {"_pack_function", core_pack_function, METH_O,
     PyDoc_STR("Reducer of functions: always by value.")},
    {NULL},
};

int
functions_setup(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    function_maker = module_add_maker(module, "pickletask._f", make_head);
    new_function = PyObject_GetAttrString(module, "_new_function");
    set_function = PyObject_GetAttrString(module, "_set_function");
    load_referred_function = PyObject_GetAttrString(module,
                                                    "_load_referred_function");
    new_referred_function = PyObject_GetAttrString(module,
                                                   "_new_referred_function");
    return function_maker == NULL || new_function == NULL
                   || set_function == NULL || load_referred_function == NULL
                   || new_referred_function == NULL
               ? -1
               : 0;
}
