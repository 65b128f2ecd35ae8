/* Stand-ins that pickle as what they stand for: see substitute.h. */
#include "substitute.h"

#include "codes.h"
#include "errors.h"

typedef enum { FUNCTION, CELL, CODE, NAMESPACE, HEAD } substitute_kind;

typedef struct {
    PyObject_HEAD
    substitute_kind kind;
    PyObject *object;       /* owned; HEAD: the code */
    PyObject *globals;      /* owned; HEAD only */
} substitute;

static PyTypeObject *substitute_type;
static PyObject *living;    /* dict: address of object -> of substitute */

/* Functions of the module that pickles name. Owned. */
static PyObject *load_function, *load_code, *load_module_dict;
static PyObject *new_function, *new_cell, *new_namespace, *set_function;

/* ---- identity --------------------------------------------------------- */

/* The substitute that lives for this object: new reference, or NULL, with an
 * exception if one is set. */
static PyObject *
find_living(PyObject *object)
{
    PyObject *key = PyLong_FromVoidPtr(object);
    if (key == NULL) {
        return NULL;
    }
    PyObject *address = PyDict_GetItemWithError(living, key);
    Py_DECREF(key);
    return address == NULL ? NULL : Py_NewRef(PyLong_AsVoidPtr(address));
}

/* 0, or -1 with an exception. */
static int
enter_living(substitute *self)
{
    int status = -1;
    PyObject *key = PyLong_FromVoidPtr(self->object);
    PyObject *address = PyLong_FromVoidPtr(self);
    if (key != NULL && address != NULL) {
        status = PyDict_SetItem(living, key, address);
    }
    Py_XDECREF(key);
    Py_XDECREF(address);
    return status;
}

static void
leave_living(substitute *self)
{
    PyObject *type, *value, *traceback;

    if (self->object == NULL) {
        return;
    }
    if (self->kind == HEAD) {
        PyObject **head = codes_head((PyCodeObject *)self->object);
        if (head != NULL && *head == (PyObject *)self) {
            *head = NULL;
        }
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *key = PyLong_FromVoidPtr(self->object);
    if (key == NULL || PyDict_DelItem(living, key) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(key);
    PyErr_Restore(type, value, traceback);
}

/* Steals nothing. New reference, or NULL with an exception. */
static PyObject *
substitute_new(substitute_kind kind, PyObject *object, PyObject *globals)
{
    substitute *self;

    if (kind != HEAD) {
        PyObject *old = find_living(object);
        if (old != NULL || PyErr_Occurred()) {
            return old;
        }
    }
    self = PyObject_GC_New(substitute, substitute_type);
    if (self == NULL) {
        return NULL;
    }
    self->kind = kind;
    self->object = NULL;
    self->globals = Py_XNewRef(globals);
    if (kind != HEAD) {
        self->object = Py_NewRef(object);
        if (enter_living(self) < 0) {
            Py_CLEAR(self->object);
            Py_DECREF(self);
            return NULL;
        }
    }
    else {
        self->object = Py_NewRef(object);
    }
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

/* ---- who needs one ---------------------------------------------------- */

/* The module called `name`, if it is imported: new reference, or NULL without
 * an exception. */
static PyObject *
imported(PyObject *name)
{
    PyObject *module = NULL;
    if (name != NULL && PyUnicode_Check(name)) {
        module = PyImport_GetModule(name);
        if (module != NULL && !PyModule_Check(module)) {
            Py_CLEAR(module);
        }
    }
    PyErr_Clear();
    return module;
}

/* Name of the imported module whose dict this is: borrowed, or NULL. */
static PyObject *
module_name(PyObject *dict)
{
    PyObject *name = PyDict_GetItemString(dict, "__name__");
    PyObject *module = imported(name);
    int same = module != NULL && PyModule_GetDict(module) == dict;
    Py_XDECREF(module);
    return same ? name : NULL;
}

static int
is_importable(PyObject *function)
{
    int same = 0;
    PyFunctionObject *f = (PyFunctionObject *)function;
    PyObject *module = imported(f->func_module);
    if (module != NULL) {
        PyObject *found = codes_resolve(PyModule_GetDict(module),
                                        f->func_qualname);
        same = found == function;
        Py_XDECREF(found);
        Py_DECREF(module);
    }
    return same;
}

PyObject *
substitute_for(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);

    if (type == &PyFunction_Type) {
        return is_importable(value) ? Py_NewRef(value)
                                    : substitute_new(FUNCTION, value, NULL);
    }
    if (type == &PyCell_Type) {
        return substitute_new(CELL, value, NULL);
    }
    if (type == &PyCode_Type) {
        return substitute_new(CODE, value, NULL);
    }
    if (type == &PyDict_Type
        && (PyDict_GetItemString(value, "__builtins__") != NULL
            || module_name(value) != NULL))
    {
        return substitute_new(NAMESPACE, value, NULL);
    }
    return Py_NewRef(value);
}

PyObject *
substitute_head(PyObject *code, PyObject *globals)
{
    PyObject **head = codes_head((PyCodeObject *)code);

    if (head == NULL) {
        return NULL;
    }
    if (*head != NULL && ((substitute *)*head)->globals == globals) {
        return Py_NewRef(*head);
    }
    PyObject *self = substitute_new(HEAD, code, globals);
    if (self != NULL && *head == NULL) {
        *head = self;
    }
    return self;
}

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

/* ---- reducing --------------------------------------------------------- */

/* (tag, digest, data, home) of code that uses these globals. */
static PyObject *
reduce_code_in(PyObject *code, PyObject *globals)
{
    PyObject *packed = codes_pack((PyCodeObject *)code);
    PyObject *home = NULL, *result = NULL;

    if (packed == NULL) {
        return NULL;
    }
    home = Py_XNewRef(module_name(globals));
    if (home == NULL) {
        home = substitute_new(NAMESPACE, globals, NULL);
    }
    if (home != NULL) {
        result = PyTuple_Pack(4, PyTuple_GET_ITEM(packed, 0),
                              PyTuple_GET_ITEM(packed, 1),
                              PyTuple_GET_ITEM(packed, 2), home);
    }
    Py_DECREF(packed);
    Py_XDECREF(home);
    return result;
}

/* Adds what makes a function differ from a new one. Steals the value; NULL
 * is passed on. 0, or -1 with an exception. */
static int
add_attribute(PyObject *state, const char *name, PyObject *value)
{
    int status = value == NULL ? -1 : PyDict_SetItemString(state, name, value);
    Py_XDECREF(value);
    return status;
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
        && add_attribute(state, "__closure__",
                         substitute_items(f->func_closure)) < 0)
    {
        goto error;
    }
    if (f->func_defaults != NULL
        && add_attribute(state, "__defaults__",
                         substitute_items(f->func_defaults)) < 0)
    {
        goto error;
    }
    if (f->func_kwdefaults != NULL && PyDict_CheckExact(f->func_kwdefaults)
        && add_attribute(state, "__kwdefaults__",
                         substitute_values(f->func_kwdefaults)) < 0)
    {
        goto error;
    }
    if (f->func_dict != NULL && PyDict_GET_SIZE(f->func_dict) > 0
        && add_attribute(state, "__dict__",
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
        && f->func_module != PyDict_GetItemString(f->func_globals, "__name__")
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
#if INTERP_FUNCTION_TYPE_PARAMS
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

static PyObject *
reduce_function(PyFunctionObject *f)
{
    PyObject *result = NULL;
    PyObject *args = reduce_code_in(f->func_code, f->func_globals);
    PyObject *state = args == NULL ? NULL : function_state(f);

    if (state != NULL) {
        result = PyTuple_Pack(6, new_function, args, state, Py_None, Py_None,
                              set_function);
    }
    Py_XDECREF(args);
    Py_XDECREF(state);
    return result;
}

static PyObject *
reduce_cell(PyObject *cell)
{
    PyObject *contents = PyCell_GET(cell);

    if (contents == NULL) {
        return Py_BuildValue("O()", new_cell);
    }
    contents = substitute_for(contents);
    if (contents == NULL) {
        return NULL;
    }
    return Py_BuildValue("O()(O{s:N})", new_cell, Py_None, "cell_contents",
                         contents);
}

/* All names but the builtins, which are added again on loading. */
static PyObject *
reduce_namespace(PyObject *dict)
{
    PyObject *name = module_name(dict), *key, *value;
    Py_ssize_t position = 0;

    if (name != NULL) {
        return Py_BuildValue("O(O)", load_module_dict, name);
    }
    PyObject *items = PyList_New(0);
    while (items != NULL && PyDict_Next(dict, &position, &key, &value)) {
        if (PyUnicode_Check(key)
            && PyUnicode_CompareWithASCIIString(key, "__builtins__") == 0)
        {
            continue;
        }
        PyObject *item = substitute_for(value);
        PyObject *pair = item == NULL ? NULL : PyTuple_Pack(2, key, item);
        Py_XDECREF(item);
        if (pair == NULL || PyList_Append(items, pair) < 0) {
            Py_CLEAR(items);
        }
        Py_XDECREF(pair);
    }
    PyObject *iterator = items == NULL ? NULL : PyObject_GetIter(items);
    Py_XDECREF(items);
    if (iterator == NULL) {
        return NULL;
    }
    return Py_BuildValue("O()OON", new_namespace, Py_None, Py_None, iterator);
}

static PyObject *
substitute_reduce(PyObject *object, PyObject *protocol)
{
    substitute *self = (substitute *)object;
    PyObject *args;

    switch (self->kind) {
    case FUNCTION:
        return reduce_function((PyFunctionObject *)self->object);
    case CELL:
        return reduce_cell(self->object);
    case CODE:
        args = codes_pack((PyCodeObject *)self->object);
        return args == NULL ? NULL : Py_BuildValue("ON", load_code, args);
    case NAMESPACE:
        return reduce_namespace(self->object);
    case HEAD:
        args = reduce_code_in(self->object, self->globals);
        return args == NULL ? NULL : Py_BuildValue("ON", load_function, args);
    }
    Py_UNREACHABLE();
}

/* ---- copying ---------------------------------------------------------- */

/* copy.deepcopy(value, memo). New reference, or NULL with an exception. */
static PyObject *
deepcopy(PyObject *value, PyObject *memo)
{
    PyObject *copy = PyImport_ImportModule("copy"), *result;
    if (copy == NULL) {
        return NULL;
    }
    result = PyObject_CallMethod(copy, "deepcopy", "OO", value, memo);
    Py_DECREF(copy);
    return result;
}

/* The copy that memo has of an object: new reference, or NULL, with an
 * exception if one is set. */
static PyObject *
copied(PyObject *memo, PyObject *object)
{
    PyObject *key = PyLong_FromVoidPtr(object), *found;
    if (key == NULL) {
        return NULL;
    }
    found = Py_XNewRef(PyDict_GetItemWithError(memo, key));
    Py_DECREF(key);
    return found;
}

static int
enter_copy(PyObject *memo, PyObject *object, PyObject *copy)
{
    PyObject *key = PyLong_FromVoidPtr(object);
    int status = key == NULL ? -1 : PyDict_SetItem(memo, key, copy);
    Py_XDECREF(key);
    return status;
}

/* Contents that may need a substitute, copied. */
static PyObject *
copy_contents(PyObject *contents, PyObject *memo)
{
    PyObject *result = NULL, *item = substitute_for(contents);
    if (item != NULL) {
        result = deepcopy(item, memo);
        Py_DECREF(item);
    }
    return result;
}

static PyObject *
copy_cell(PyObject *cell, PyObject *memo)
{
    PyObject *contents = PyCell_GET(cell), *result = PyCell_New(NULL);

    if (result == NULL || enter_copy(memo, cell, result) < 0) {
        goto error;
    }
    if (contents != NULL) {
        contents = copy_contents(contents, memo);
        if (contents == NULL) {
            goto error;
        }
        PyCell_SET(result, contents);
    }
    return result;

error:
    Py_XDECREF(result);
    return NULL;
}

/* A function that shares no cells with the original's frames. */
static PyObject *
copy_function(PyFunctionObject *f, PyObject *memo)
{
    PyObject *state = NULL, *closure = NULL, *done = NULL, *result;

    result = PyFunction_NewWithQualName(f->func_code, f->func_globals,
                                        f->func_qualname);
    if (result == NULL || enter_copy(memo, (PyObject *)f, result) < 0) {
        goto error;
    }
    closure = copy_contents(f->func_closure, memo);
    state = function_state(f);
    if (closure == NULL || state == NULL
        || PyDict_SetItemString(state, "__closure__", closure) < 0)
    {
        goto error;
    }
    done = PyObject_CallFunctionObjArgs(set_function, result, state, NULL);

error:
    if (done == NULL) {
        Py_CLEAR(result);
    }
    Py_XDECREF(done);
    Py_XDECREF(state);
    Py_XDECREF(closure);
    return result;
}

/* As copy.deepcopy() does, all is shared but cells, and functions that use
 * cells: a copied task has variables of its own. */
static PyObject *
substitute_deepcopy(PyObject *object, PyObject *memo)
{
    substitute *self = (substitute *)object;

    if (!PyDict_Check(memo)) {
        PyErr_SetString(PyExc_TypeError, "the memo must be a dict");
        return NULL;
    }
    if (self->kind == HEAD) {
        return codes_function((PyCodeObject *)self->object, self->globals);
    }
    PyObject *copy = copied(memo, self->object);
    if (copy != NULL || PyErr_Occurred()) {
        return copy;
    }
    if (self->kind == CELL) {
        return copy_cell(self->object, memo);
    }
    PyFunctionObject *f = (PyFunctionObject *)self->object;
    if (self->kind == FUNCTION && f->func_closure != NULL) {
        return copy_function(f, memo);
    }
    return Py_NewRef(self->object);
}

/* ---- the type --------------------------------------------------------- */

static int
substitute_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((substitute *)self)->object);
    Py_VISIT(((substitute *)self)->globals);
    return 0;
}

static void
substitute_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    leave_living((substitute *)self);
    Py_CLEAR(((substitute *)self)->object);
    Py_CLEAR(((substitute *)self)->globals);
    type->tp_free(self);
    Py_DECREF(type);
}

/* What the substitute stands for if a pickler can reduce that itself. */
static PyObject *
substitute_object(PyObject *object, void *closure)
{
    substitute *self = (substitute *)object;
    if (self->kind == HEAD || self->kind == NAMESPACE) {
        return Py_NewRef(Py_NotImplemented);
    }
    return Py_NewRef(self->object);
}

static PyMethodDef substitute_methods[] = {
    {"__reduce_ex__", substitute_reduce, METH_O, NULL},
    {"__deepcopy__", substitute_deepcopy, METH_O, NULL},
    {NULL},
};

static PyGetSetDef substitute_getset[] = {
    {"object", substitute_object, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot substitute_slots[] = {
    {Py_tp_dealloc, substitute_dealloc},
    {Py_tp_traverse, substitute_traverse},
    {Py_tp_methods, substitute_methods},
    {Py_tp_getset, substitute_getset},
    {0, NULL},
};

static PyType_Spec substitute_spec = {
    .name = "pickletask._core._Substitute",
    .basicsize = sizeof(substitute),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = substitute_slots,
};

/* ---- loading ---------------------------------------------------------- */

/* The dict of an importable module. New reference, or NULL with an
 * exception. */
static PyObject *
import_dict(PyObject *name)
{
    PyObject *module = PyImport_Import(name), *real, *dict = NULL;
    if (module == NULL) {
        return NULL;
    }
    /* PyImport_Import() returns the outermost package or the module. */
    real = PyImport_GetModule(name);
    if (real != NULL && PyModule_Check(real)) {
        dict = Py_NewRef(PyModule_GetDict(real));
    }
    else if (!PyErr_Occurred()) {
        PyErr_Format(RestoreError, "can't restore a task: there is no module "
                     "%R here", name);
    }
    Py_DECREF(module);
    Py_XDECREF(real);
    return dict;
}

static PyObject *
core_load_module_dict(PyObject *module, PyObject *name)
{
    if (!PyUnicode_Check(name)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: a module's name must be a "
                        "string");
        return NULL;
    }
    return import_dict(name);
}

/* Code and globals from (tag, digest, data, home): both new references. 0, or
 * -1 with an exception. */
static int
load_code_in(PyObject *args, PyCodeObject **code, PyObject **globals)
{
    PyObject *tag, *digest, *data, *home, *dict = NULL;

    *globals = NULL;
    if (!PyArg_ParseTuple(args, "OOOO", &tag, &digest, &data, &home)) {
        return -1;
    }
    if (PyUnicode_Check(home)) {
        dict = import_dict(home);
        if (dict == NULL) {
            return -1;
        }
    }
    else if (!PyDict_CheckExact(home)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: its globals must be a dict");
        return -1;
    }
    *code = codes_load(tag, digest, data, dict);
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

static PyObject *
make_function(PyObject *args, int shared)
{
    PyCodeObject *code;
    PyObject *globals, *function;

    if (load_code_in(args, &code, &globals) < 0) {
        return NULL;
    }
    function = shared ? codes_function(code, globals)
                      : PyFunction_New((PyObject *)code, globals);
    Py_DECREF(code);
    Py_DECREF(globals);
    if (function != NULL && give_cells(function) < 0) {
        Py_CLEAR(function);
    }
    return function;
}

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

static PyObject *
core_set_function(PyObject *module, PyObject *args)
{
    static const char *const settable[] = {
        "__defaults__", "__kwdefaults__", "__dict__", "__annotations__",
        "__name__", "__qualname__", "__module__", "__doc__",
        "__type_params__",
    };
    PyObject *function, *state, *key, *value;
    Py_ssize_t position = 0;

    if (!PyArg_ParseTuple(args, "O!O!", &PyFunction_Type, &function,
                          &PyDict_Type, &state))
    {
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
core_load_code(PyObject *module, PyObject *args)
{
    PyObject *tag, *digest, *data;
    if (!PyArg_ParseTuple(args, "OOO", &tag, &digest, &data)) {
        return NULL;
    }
    return (PyObject *)codes_load(tag, digest, data, NULL);
}

static PyObject *
core_new_cell(PyObject *module, PyObject *noargs)
{
    return PyCell_New(NULL);
}

static PyObject *
core_new_namespace(PyObject *module, PyObject *noargs)
{
    PyObject *dict = PyDict_New();
    if (dict != NULL
        && PyDict_SetItemString(dict, "__builtins__", PyEval_GetBuiltins())
               < 0)
    {
        Py_CLEAR(dict);
    }
    return dict;
}

/* ---- reducers for copyreg and for our own pickler ---------------------- */

static PyObject *
core_reduce_function(PyObject *module, PyObject *function)
{
    if (!PyFunction_Check(function)) {
        PyErr_Format(PyExc_TypeError, "expected a function, not %.200s",
                     Py_TYPE(function)->tp_name);
        return NULL;
    }
    if (is_importable(function)) {
        return Py_NewRef(((PyFunctionObject *)function)->func_qualname);
    }
    return reduce_function((PyFunctionObject *)function);
}

static PyObject *
core_reduce_cell(PyObject *module, PyObject *cell)
{
    if (!PyCell_Check(cell)) {
        PyErr_Format(PyExc_TypeError, "expected a cell, not %.200s",
                     Py_TYPE(cell)->tp_name);
        return NULL;
    }
    return reduce_cell(cell);
}

static PyObject *
core_reduce_code(PyObject *module, PyObject *code)
{
    if (!PyCode_Check(code)) {
        PyErr_Format(PyExc_TypeError, "expected a code object, not %.200s",
                     Py_TYPE(code)->tp_name);
        return NULL;
    }
    PyObject *args = codes_pack((PyCodeObject *)code);
    return args == NULL ? NULL : Py_BuildValue("ON", load_code, args);
}

static PyObject *
core_same(PyObject *module, PyObject *object)
{
    return Py_NewRef(object);
}

static PyMethodDef functions[] = {
    {"_load_function", core_load_function, METH_VARARGS,
     PyDoc_STR("Function of a frame, from its code and globals.")},
    {"_load_code", core_load_code, METH_VARARGS,
     PyDoc_STR("Code object from (tag, digest, data).")},
    {"_load_module_dict", core_load_module_dict, METH_O,
     PyDoc_STR("The namespace of an importable module.")},
    {"_new_function", core_new_function, METH_VARARGS,
     PyDoc_STR("New function from its code and globals.")},
    {"_set_function", core_set_function, METH_VARARGS,
     PyDoc_STR("Sets the saved attributes of a new function.")},
    {"_new_cell", core_new_cell, METH_NOARGS, PyDoc_STR("Empty cell.")},
    {"_new_namespace", core_new_namespace, METH_NOARGS,
     PyDoc_STR("Empty namespace with builtins.")},
    {"_reduce_function", core_reduce_function, METH_O,
     PyDoc_STR("Reducer of functions: by name if that finds it.")},
    {"_reduce_cell", core_reduce_cell, METH_O,
     PyDoc_STR("Reducer of cells.")},
    {"_reduce_code", core_reduce_code, METH_O,
     PyDoc_STR("Reducer of code objects: by value.")},
    {"_same", core_same, METH_O, PyDoc_STR("Its argument.")},
    {NULL},
};

/* One of the module's functions, for pickles to name. */
static int
take(PyObject *module, PyObject **where, const char *name)
{
    *where = PyObject_GetAttrString(module, name);
    return *where == NULL ? -1 : 0;
}

int
substitute_setup(PyObject *module)
{
    living = PyDict_New();
    substitute_type = (PyTypeObject *)PyType_FromSpec(&substitute_spec);
    if (living == NULL || substitute_type == NULL
        || PyModule_AddFunctions(module, functions) < 0
        || PyModule_AddObjectRef(module, "_Substitute",
                                 (PyObject *)substitute_type) < 0
        || take(module, &load_function, "_load_function") < 0
        || take(module, &load_code, "_load_code") < 0
        || take(module, &load_module_dict, "_load_module_dict") < 0
        || take(module, &new_function, "_new_function") < 0
        || take(module, &set_function, "_set_function") < 0
        || take(module, &new_cell, "_new_cell") < 0
        || take(module, &new_namespace, "_new_namespace") < 0)
    {
        return -1;
    }
    return 0;
}
