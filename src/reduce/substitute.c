/* Stand-ins that pickle as what they stand for: see substitute.h. */
#include "substitute.h"

#include "codes.h"
#include "errors.h"
#include "exceptions.h"
#include "fiber/imports.h"
#include "functions.h"

typedef enum {
    FUNCTION, METHOD, CELL, CODE, NAMESPACE, EXCEPTION, BARE, TRACEBACK, VIEW,
    MODULE, HEAD
} substitute_kind;

typedef struct {
    PyObject_HEAD
    substitute_kind kind;
    PyObject *object;       /* owned; HEAD: the code */
    PyObject *globals;      /* owned; HEAD: its globals, BARE: as reduced */
    PyObject *key;          /* owned: in `living`, or NULL */
} substitute;

static PyTypeObject *substitute_type;
static PyObject *living;    /* dict: address of object -> of substitute */

static PyObject *name_string, *builtins_string;     /* owned */

/* Functions of the module that pickles name. Owned. */
static PyObject *load_code, *load_module_dict, *new_cell, *new_namespace;
static PyObject *new_method, *same, *dict_of_module;

/* Function of pickletask/builtin_types.py. Owned, or NULL. */
static PyObject *reduce_builtin;

/* ---- identity --------------------------------------------------------- */

/* An exception may have two substitutes: with and without its relations. New
 * reference, or NULL with an exception. */
static PyObject *
living_key(substitute_kind kind, PyObject *object)
{
    return PyLong_FromVoidPtr((char *)object + (kind == BARE));
}

/* The substitute that lives for this object: new reference, or NULL, with an
 * exception if one is set. */
static PyObject *
find_living(substitute_kind kind, PyObject *object)
{
    PyObject *key = living_key(kind, object);
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
    PyObject *key = living_key(self->kind, self->object);
    PyObject *address = PyLong_FromVoidPtr(self);
    if (key != NULL && address != NULL) {
        status = PyDict_SetItem(living, key, address);
    }
    if (status == 0) {
        self->key = Py_NewRef(key);
    }
    Py_XDECREF(key);
    Py_XDECREF(address);
    return status;
}

/* Needs no memory: nobody may find a substitute that has gone. */
static void
leave_living(substitute *self)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (self->kind == HEAD) {
        PyObject **head = codes_head((PyCodeObject *)self->object);
        if (head != NULL && *head == (PyObject *)self) {
            *head = NULL;
        }
    }
    else if (self->key != NULL && PyDict_DelItem(living, self->key) < 0) {
        PyErr_Clear();
    }
    PyErr_Restore(type, value, traceback);
}

/* Steals nothing. New reference, or NULL with an exception. */
static PyObject *
substitute_new(substitute_kind kind, PyObject *object, PyObject *globals)
{
    substitute *self;

    if (kind != HEAD) {
        PyObject *old = find_living(kind, object);
        if (old != NULL || PyErr_Occurred()) {
            return old;
        }
    }
    self = PyObject_GC_New(substitute, substitute_type);
    if (self == NULL) {
        return NULL;
    }
    self->kind = kind;
    self->object = Py_NewRef(object);
    self->globals = Py_XNewRef(globals);
    self->key = NULL;
    if (kind != HEAD && enter_living(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

/* ---- who needs one ---------------------------------------------------- */

PyObject *
substitute_imported(PyObject *name)
{
    PyObject *module = NULL;
    if (name != NULL && PyUnicode_Check(name)) {
        module = PyImport_GetModule(name);
        if (module != NULL && !PyModule_Check(module)) {
            Py_CLEAR(module);
        }
    }
    return module;
}

PyObject *
substitute_name_in(PyObject *dict)
{
    return PyDict_GetItemWithError(dict, name_string);
}

/* Calls a function of one of pickletask's modules of Python with an object.
 * New reference, or NULL with an exception. */
static PyObject *
call_python(const char *module_name, const char *function, PyObject *object)
{
    PyObject *module = PyImport_ImportModule(module_name), *result;
    if (module == NULL) {
        return NULL;
    }
    result = PyObject_CallMethod(module, function, "O", object);
    Py_DECREF(module);
    return result;
}

/* The imported module whose dict this is: new reference, or NULL, with an
 * exception if one is set. */
static PyObject *
module_with(PyObject *dict)
{
    PyObject *module = substitute_imported(substitute_name_in(dict));
    if (module != NULL && PyModule_GetDict(module) != dict) {
        Py_CLEAR(module);
    }
    return module;
}

/* The same of one that is being imported, which may have been loaded and not
 * be in sys.modules yet.  Runs Python code. */
static PyObject *
unfinished_module(PyObject *dict)
{
    PyObject *module = module_with(dict);

    if (module != NULL || PyErr_Occurred() || !imports_is_under_way(dict)) {
        return module;
    }
    module = call_python("pickletask.imports", "loaded_with", dict);
    if (module == Py_None) {
        Py_CLEAR(module);
    }
    return module;
}

PyObject *
substitute_module_name(PyObject *dict)
{
    PyObject *module = module_with(dict);
    int found = module != NULL && !imports_is_suspended(module);
    Py_XDECREF(module);
    return found ? substitute_name_in(dict) : NULL;
}

/* Is it the dict of a module, or of globals made with exec()? 1 or 0, or -1
 * with an exception. */
static int
is_namespace(PyObject *dict)
{
    int found = PyDict_Contains(dict, builtins_string);
    if (found == 0) {
        PyObject *module = module_with(dict);
        found = module != NULL;
        Py_XDECREF(module);
    }
    return PyErr_Occurred() ? -1 : found;
}

/* Would asking the object for its method by name, as pickle does, find this
 * one?  Not if super() or an attribute of the object was involved. */
static int
method_is_found(PyObject *method)
{
    PyObject *self = PyMethod_GET_SELF(method);
    PyObject *function = PyMethod_GET_FUNCTION(method);

    return PyFunction_Check(function) && !PyType_Check(self)
           && _PyType_Lookup(Py_TYPE(self),
                             ((PyFunctionObject *)function)->func_name)
                  == function;
}

/* Is it a view of a dict or a proxy of a mapping? */
static int
is_view(PyTypeObject *type)
{
    return type == &PyDictKeys_Type || type == &PyDictValues_Type
           || type == &PyDictItems_Type || type == &PyODictKeys_Type
           || type == &PyODictValues_Type || type == &PyODictItems_Type
           || type == &PyDictProxy_Type;
}

PyObject *
substitute_for(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    int found;

    if (type == &PyFunction_Type) {
        found = functions_importable(value);
        return found < 0   ? NULL
               : found > 0 ? Py_NewRef(value)
                           : substitute_new(FUNCTION, value, NULL);
    }
    if (type == &PyMethod_Type) {
        return method_is_found(value) ? Py_NewRef(value)
                                      : substitute_new(METHOD, value, NULL);
    }
    if (PyType_FastSubclass(type, Py_TPFLAGS_BASE_EXC_SUBCLASS)
        && exceptions_have_more(value))
    {
        return substitute_new(EXCEPTION, value, NULL);
    }
    if (is_view(type)) {
        return substitute_new(VIEW, value, NULL);
    }
    if (type == &PyTraceBack_Type) {
        return substitute_new(TRACEBACK, value, NULL);
    }
    if (type == &PyCell_Type) {
        return substitute_new(CELL, value, NULL);
    }
    if (type == &PyCode_Type) {
        return substitute_new(CODE, value, NULL);
    }
    if (type == &PyModule_Type && imports_is_suspended(value)) {
        return substitute_new(MODULE, value, NULL);
    }
    if (type == &PyDict_Type) {
        found = is_namespace(value);
        if (found != 0) {
            return found < 0 ? NULL : substitute_new(NAMESPACE, value, NULL);
        }
    }
    return Py_NewRef(value);
}

PyObject *
substitute_namespace(PyObject *dict)
{
    return substitute_new(NAMESPACE, dict, NULL);
}

int
substitute_add(PyObject *state, const char *name, PyObject *value)
{
    int status = value == NULL ? -1 : PyDict_SetItemString(state, name, value);
    Py_XDECREF(value);
    return status;
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

/* ---- reducing --------------------------------------------------------- */

/* What is pickled, or copied, as the contents of a cell. The dict of a class,
 * to which annotations and bounds refer in its methods, is that of the class.
 * New reference, or NULL with an exception. */
static PyObject *
cell_value(PyObject *contents)
{
    if (!PyDict_CheckExact(contents)
        || PyDict_GetItemString(contents, "__module__") == NULL)
    {
        return substitute_for(contents);
    }
    return call_python("pickletask.builtin_types", "stand_in_for_dict",
                       contents);
}

static PyObject *
reduce_cell(PyObject *cell)
{
    PyObject *contents = PyCell_GET(cell);

    if (contents == NULL) {
        return Py_BuildValue("O()", new_cell);
    }
    contents = cell_value(contents);
    if (contents == NULL) {
        return NULL;
    }
    return Py_BuildValue("O()(O{s:N})", new_cell, Py_None, "cell_contents",
                         contents);
}

static PyObject *
reduce_method(PyObject *method)
{
    PyObject *function = substitute_for(PyMethod_GET_FUNCTION(method));
    if (function == NULL) {
        return NULL;
    }
    return Py_BuildValue("O(NO)", new_method, function,
                         PyMethod_GET_SELF(method));
}

static PyObject *
reduce_view(PyObject *view)
{
    if (reduce_builtin == NULL) {
        PyObject *module = PyImport_ImportModule("pickletask.builtin_types");
        if (module == NULL) {
            return NULL;
        }
        reduce_builtin = PyObject_GetAttrString(module, "reduce_builtin");
        Py_DECREF(module);
    }
    return reduce_builtin == NULL ? NULL
                                  : PyObject_CallOneArg(reduce_builtin, view);
}

/* All names but the builtins, which are added again on loading. */
static PyObject *
reduce_namespace(PyObject *dict)
{
    PyObject *name = substitute_module_name(dict), *key, *value;
    Py_ssize_t position = 0;

    if (name != NULL) {
        return Py_BuildValue("O(O)", load_module_dict, name);
    }
    PyObject *module = PyErr_Occurred() ? NULL : unfinished_module(dict);
    if (module != NULL) {
        /* It is being imported, and goes by value. */
        PyObject *whole = substitute_for(module);
        Py_DECREF(module);
        return whole == NULL ? NULL
                             : Py_BuildValue("O(N)", dict_of_module, whole);
    }
    if (PyErr_Occurred()) {
        return NULL;
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
    PyObject *packed;

    switch (self->kind) {
    case FUNCTION:
        return functions_reduce(self->object);
    case METHOD:
        return reduce_method(self->object);
    case EXCEPTION:
        return exceptions_reduce(self->object);
    case BARE:
        return Py_NewRef(self->globals);
    case TRACEBACK:
        return exceptions_reduce_traceback(self->object);
    case VIEW:
        return reduce_view(self->object);
    case CELL:
        return reduce_cell(self->object);
    case CODE:
        packed = codes_pack((PyCodeObject *)self->object);
        return packed == NULL ? NULL
                              : Py_BuildValue("O(N)", load_code, packed);
    case NAMESPACE:
        return reduce_namespace(self->object);
    case MODULE:
        return call_python("pickletask.imports", "reduce_module",
                           self->object);
    case HEAD:
        return functions_reduce_head(self->object, self->globals);
    }
    Py_UNREACHABLE();
}

int
substitute_check(PyObject *object)
{
    return Py_IS_TYPE(object, substitute_type);
}

PyObject *
substitute_override(PyObject *object, int by_reference)
{
    substitute *self = (substitute *)object;

    if (self->kind == HEAD && by_reference) {
        return functions_refer_head(self->object, self->globals);
    }
    if (self->kind == FUNCTION || self->kind == CELL || self->kind == CODE
        || self->kind == EXCEPTION || self->kind == VIEW)
    {
        return Py_BuildValue("O(O)", same, self->object);
    }
    return substitute_reduce(object, NULL);
}

/* ---- copying ---------------------------------------------------------- */

PyObject *
substitute_deepcopy_itself(PyObject *value, PyObject *memo)
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

int
substitute_enter_copy(PyObject *memo, PyObject *object, PyObject *copy)
{
    PyObject *key = PyLong_FromVoidPtr(object);
    int status = key == NULL ? -1 : PyDict_SetItem(memo, key, copy);
    Py_XDECREF(key);
    return status;
}

PyObject *
substitute_deepcopy(PyObject *contents, PyObject *memo)
{
    PyObject *result = NULL, *item = substitute_for(contents);
    if (item != NULL) {
        result = substitute_deepcopy_itself(item, memo);
        Py_DECREF(item);
    }
    return result;
}

static PyObject *
copy_cell(PyObject *cell, PyObject *memo)
{
    PyObject *contents = PyCell_GET(cell), *result = PyCell_New(NULL);

    if (result == NULL || substitute_enter_copy(memo, cell, result) < 0) {
        goto error;
    }
    if (contents != NULL) {
        PyObject *value = cell_value(contents);
        contents = value == NULL ? NULL
                                 : substitute_deepcopy_itself(value, memo);
        Py_XDECREF(value);
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

/* As copy.deepcopy() does, all is shared but cells, and functions that use
 * cells: a copied task has variables of its own. */
static PyObject *
copy_original(PyObject *object, PyObject *memo)
{
    substitute *self = (substitute *)object;

    if (!PyDict_Check(memo)) {
        PyErr_SetString(PyExc_TypeError, "the memo must be a dict");
        return NULL;
    }
    if (self->kind == HEAD) {
        return codes_function((PyCodeObject *)self->object, self->globals);
    }
    if (self->kind == EXCEPTION) {
        return exceptions_copy(self->object, object, memo);
    }
    PyObject *copy = copied(memo, self->object);
    if (copy != NULL || PyErr_Occurred()) {
        return copy;
    }
    if (self->kind == CELL) {
        return copy_cell(self->object, memo);
    }
    if (self->kind == METHOD || self->kind == VIEW) {
        return substitute_deepcopy_itself(self->object, memo);
    }
    if (self->kind == FUNCTION
        && PyFunction_GET_CLOSURE(self->object) != NULL)
    {
        return functions_copy(self->object, memo);
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
    Py_CLEAR(((substitute *)self)->key);
    type->tp_free(self);
    Py_DECREF(type);
}

/* (code, globals) of the function of a frame, else None. */
static PyObject *
substitute_code(PyObject *object, void *closure)
{
    substitute *self = (substitute *)object;
    if (self->kind != HEAD) {
        Py_RETURN_NONE;
    }
    return PyTuple_Pack(2, self->object, self->globals);
}

/* The module that is being imported, else None. */
static PyObject *
substitute_module(PyObject *object, void *closure)
{
    substitute *self = (substitute *)object;
    return Py_NewRef(self->kind == MODULE ? self->object : Py_None);
}

static PyMethodDef substitute_methods[] = {
    {"__reduce_ex__", substitute_reduce, METH_O, NULL},
    {"__deepcopy__", copy_original, METH_O, NULL},
    {NULL},
};

static PyGetSetDef substitute_getset[] = {
    {"head", substitute_code, NULL, NULL, NULL},
    {"module", substitute_module, NULL, NULL, NULL},
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

PyObject *
substitute_import_dict(PyObject *name)
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
    return substitute_import_dict(name);
}

static PyObject *
core_dict_of_module(PyObject *module, PyObject *other)
{
    if (!PyModule_Check(other)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: its globals must be those of a "
                        "module");
        return NULL;
    }
    return Py_NewRef(PyModule_GetDict(other));
}

static PyObject *
core_load_code(PyObject *module, PyObject *args)
{
    PyObject *first, *digest = NULL, *data = NULL;
    if (!PyArg_ParseTuple(args, "O|OO", &first, &digest, &data)) {
        return NULL;
    }
    return (PyObject *)(data == NULL
                            ? codes_load(first, NULL)
                            : codes_load_old(first, digest, data, NULL));
}

static PyObject *
core_new_cell(PyObject *module, PyObject *noargs)
{
    return PyCell_New(NULL);
}

static PyObject *
core_new_method(PyObject *module, PyObject *args)
{
    PyObject *function, *self;
    if (!PyArg_ParseTuple(args, "OO", &function, &self)) {
        return NULL;
    }
    if (!PyCallable_Check(function) || self == Py_None) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a method: its function can't be "
                        "called, or it has no object");
        return NULL;
    }
    return PyMethod_New(function, self);
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
    PyObject *packed = codes_pack((PyCodeObject *)code);
    return packed == NULL ? NULL : Py_BuildValue("O(N)", load_code, packed);
}

static PyObject *
core_bare_exception(PyObject *module, PyObject *args)
{
    PyObject *value, *reduced;

    if (!PyArg_ParseTuple(args, "OO!", &value, &PyTuple_Type, &reduced)) {
        return NULL;
    }
    return substitute_new(BARE, value, reduced);
}

static PyObject *
core_substitute_for(PyObject *module, PyObject *value)
{
    return substitute_for(value);
}

static PyObject *
core_same(PyObject *module, PyObject *object)
{
    return Py_NewRef(object);
}

static PyMethodDef functions[] = {
    {"_load_code", core_load_code, METH_VARARGS,
     PyDoc_STR("Code object that was packed.")},
    {"_load_module_dict", core_load_module_dict, METH_O,
     PyDoc_STR("The namespace of an importable module.")},
    {"_dict_of_module", core_dict_of_module, METH_O,
     PyDoc_STR("The namespace of a module.")},
    {"_new_cell", core_new_cell, METH_NOARGS, PyDoc_STR("Empty cell.")},
    {"_new_method", core_new_method, METH_VARARGS,
     PyDoc_STR("Bound method of a function and an object.")},
    {"_new_namespace", core_new_namespace, METH_NOARGS,
     PyDoc_STR("Empty namespace with builtins.")},
    {"_reduce_cell", core_reduce_cell, METH_O,
     PyDoc_STR("Reducer of cells.")},
    {"_reduce_code", core_reduce_code, METH_O,
     PyDoc_STR("Reducer of code objects: by value.")},
    {"_bare_exception", core_bare_exception, METH_VARARGS,
     PyDoc_STR("What pickles as an exception without its relations: as "
               "reduced.")},
    {"_substitute_for", core_substitute_for, METH_O,
     PyDoc_STR("What a pickle gets in place of a value.")},
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
    name_string = PyUnicode_InternFromString("__name__");
    builtins_string = PyUnicode_InternFromString("__builtins__");
    substitute_type = (PyTypeObject *)PyType_FromSpec(&substitute_spec);
    if (living == NULL || name_string == NULL || builtins_string == NULL
        || substitute_type == NULL
        || PyModule_AddFunctions(module, functions) < 0
        || PyModule_AddObjectRef(module, "_Substitute",
                                 (PyObject *)substitute_type) < 0
        || take(module, &load_code, "_load_code") < 0
        || take(module, &load_module_dict, "_load_module_dict") < 0
        || take(module, &new_cell, "_new_cell") < 0
        || take(module, &new_method, "_new_method") < 0
        || take(module, &new_namespace, "_new_namespace") < 0
        || take(module, &same, "_same") < 0
        || take(module, &dict_of_module, "_dict_of_module") < 0)
    {
        return -1;
    }
    return 0;
}
