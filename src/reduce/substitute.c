/* Stand-ins that pickle as what they stand for: see substitute.h. */
#include "substitute.h"

#include "codes.h"
#include "errors.h"
#include "functions.h"

typedef enum {
    FUNCTION, METHOD, CELL, CODE, NAMESPACE, EXCEPTION, BARE, TRACEBACK, HEAD
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
static PyObject *new_method, *set_exception, *same;

/* Functions of pickletask/postmortem.py. Owned, or NULL. */
static PyObject *describe_traceback, *rebuild_traceback;

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

PyObject *
substitute_module_name(PyObject *dict)
{
    PyObject *name = substitute_name_in(dict);
    PyObject *module = substitute_imported(name);
    int same = module != NULL && PyModule_GetDict(module) == dict;
    Py_XDECREF(module);
    return same ? name : NULL;
}

/* Is it the dict of a module, or of globals made with exec()? 1 or 0, or -1
 * with an exception. */
static int
is_namespace(PyObject *dict)
{
    int found = PyDict_Contains(dict, builtins_string);
    if (found == 0) {
        found = substitute_module_name(dict) != NULL;
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

/* Has the exception anything that pickle forgets?  A group has exceptions in
 * it that may. */
static int
exception_has_more(PyObject *value)
{
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)value;

    return e->cause != NULL || e->context != NULL || e->traceback != NULL
           || e->suppress_context
           || PyObject_TypeCheck(
               value, (PyTypeObject *)PyExc_BaseExceptionGroup);
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
        && exception_has_more(value))
    {
        return substitute_new(EXCEPTION, value, NULL);
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

/* The exceptions of a group, or an empty tuple. New reference, or NULL with
 * an exception. */
static PyObject *
exception_members(PyObject *value)
{
    PyObject *members = NULL, *result = NULL;

    if (PyObject_TypeCheck(value, (PyTypeObject *)PyExc_BaseExceptionGroup)) {
        members = ((PyBaseExceptionGroupObject *)value)->excs;
    }
    if (members == NULL || !PyTuple_CheckExact(members)) {
        return PyTuple_New(0);
    }
    result = PyTuple_New(PyTuple_GET_SIZE(members));
    for (Py_ssize_t i = 0; result != NULL && i < PyTuple_GET_SIZE(members);
         i++)
    {
        PyObject *item = substitute_for(PyTuple_GET_ITEM(members, i));
        if (item == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyTuple_SET_ITEM(result, i, item);
    }
    return result;
}

/* What pickle forgets of an exception: (traceback, cause, context, suppress,
 * members).  The members are there for what pickle forgets of them. New
 * reference, or NULL with an exception. */
static PyObject *
exception_state(PyObject *value)
{
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)value;
    PyObject *parts[] = {e->traceback, e->cause, e->context};
    PyObject *state = PyTuple_New(5);

    for (int i = 0; state != NULL && i < 5; i++) {
        PyObject *part;
        if (i < 3) {
            part = substitute_for(parts[i] == NULL ? Py_None : parts[i]);
        }
        else {
            part = i == 3 ? PyBool_FromLong(e->suppress_context)
                          : exception_members(value);
        }
        if (part == NULL) {
            Py_CLEAR(state);
            break;
        }
        PyTuple_SET_ITEM(state, i, part);
    }
    return state;
}

/* The exception, pickled by itself, and what pickle forgets of it. */
static PyObject *
reduce_exception(PyObject *value)
{
    PyObject *state = exception_state(value);
    if (state == NULL) {
        return NULL;
    }
    return Py_BuildValue("O(O)NOOO", same, value, state, Py_None, Py_None,
                         set_exception);
}

/* 0, or -1 with an exception. */
static int
find_postmortem(void)
{
    if (describe_traceback != NULL) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("pickletask.postmortem");
    if (module == NULL) {
        return -1;
    }
    rebuild_traceback = PyObject_GetAttrString(module, "rebuild");
    describe_traceback = rebuild_traceback == NULL
                             ? NULL
                             : PyObject_GetAttrString(module, "describe");
    Py_DECREF(module);
    return describe_traceback == NULL ? -1 : 0;
}

static PyObject *
reduce_traceback(PyObject *traceback)
{
    if (find_postmortem() < 0) {
        return NULL;
    }
    PyObject *entries = PyObject_CallOneArg(describe_traceback, traceback);
    if (entries == NULL) {
        return NULL;
    }
    return Py_BuildValue("ON", rebuild_traceback, entries);
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
    PyObject *args;

    switch (self->kind) {
    case FUNCTION:
        return functions_reduce(self->object);
    case METHOD:
        return reduce_method(self->object);
    case EXCEPTION:
        return reduce_exception(self->object);
    case BARE:
        return Py_NewRef(self->globals);
    case TRACEBACK:
        return reduce_traceback(self->object);
    case CELL:
        return reduce_cell(self->object);
    case CODE:
        args = codes_pack((PyCodeObject *)self->object);
        return args == NULL ? NULL : Py_BuildValue("ON", load_code, args);
    case NAMESPACE:
        return reduce_namespace(self->object);
    case HEAD:
        return functions_reduce_head(self->object, self->globals);
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
        result = deepcopy(item, memo);
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
        contents = substitute_deepcopy(contents, memo);
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

/* A copy of the cause or context of an exception. New reference, or NULL with
 * an exception. */
static PyObject *
copy_related(PyObject *value, PyObject *memo)
{
    PyObject *copy = substitute_deepcopy(value, memo);

    if (copy != NULL && !PyExceptionInstance_Check(copy)) {
        PyErr_Format(PyExc_TypeError, "a copy of %.200s is %.200s, which is "
                     "no exception", Py_TYPE(value)->tp_name,
                     Py_TYPE(copy)->tp_name);
        Py_CLEAR(copy);
    }
    return copy;
}

/* Gives the copies of a group's members their relations. 0, or -1 with an
 * exception. */
static int
copy_members(PyObject *value, PyObject *memo)
{
    PyObject *copies = NULL, *members = exception_members(value);

    if (members != NULL) {
        copies = deepcopy(members, memo);
        Py_DECREF(members);
    }
    Py_XDECREF(copies);
    return copies == NULL ? -1 : 0;
}

/* A copy of an exception that has the same relations. Tracebacks are shared:
 * nobody changes them. */
static PyObject *
copy_exception(substitute *self, PyObject *memo)
{
    PyObject *value = self->object, *cause, *context;
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)value;
    PyObject *result = deepcopy(value, memo);

    if (result == NULL || !PyExceptionInstance_Check(result)) {
        return result;
    }
    /* Relations may lead back here. */
    if (substitute_enter_copy(memo, (PyObject *)self, result) < 0) {
        goto error;
    }
    if (e->cause != NULL) {
        cause = copy_related(e->cause, memo);
        if (cause == NULL) {
            goto error;
        }
        PyException_SetCause(result, cause);
    }
    if (e->context != NULL) {
        context = copy_related(e->context, memo);
        if (context == NULL) {
            goto error;
        }
        PyException_SetContext(result, context);
    }
    if (copy_members(value, memo) < 0) {
        goto error;
    }
    if (e->traceback != NULL
        && PyException_SetTraceback(result, e->traceback) < 0)
    {
        goto error;
    }
    ((PyBaseExceptionObject *)result)->suppress_context = e->suppress_context;
    return result;

error:
    Py_DECREF(result);
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
        return copy_exception(self, memo);
    }
    PyObject *copy = copied(memo, self->object);
    if (copy != NULL || PyErr_Occurred()) {
        return copy;
    }
    if (self->kind == CELL) {
        return copy_cell(self->object, memo);
    }
    if (self->kind == METHOD) {
        return deepcopy(self->object, memo);
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

/* What the substitute stands for if a pickler can reduce that itself. */
static PyObject *
substitute_object(PyObject *object, void *closure)
{
    substitute *self = (substitute *)object;
    if (self->kind == HEAD || self->kind == NAMESPACE
        || self->kind == METHOD || self->kind == TRACEBACK
        || self->kind == BARE)
    {
        return Py_NewRef(Py_NotImplemented);
    }
    return Py_NewRef(self->object);
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

static PyMethodDef substitute_methods[] = {
    {"__reduce_ex__", substitute_reduce, METH_O, NULL},
    {"__deepcopy__", copy_original, METH_O, NULL},
    {NULL},
};

static PyGetSetDef substitute_getset[] = {
    {"object", substitute_object, NULL, NULL, NULL},
    {"head", substitute_code, NULL, NULL, NULL},
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

/* An exception, or None. */
static int
is_related(PyObject *object)
{
    return object == Py_None || PyExceptionInstance_Check(object);
}

static PyObject *
core_set_exception(PyObject *module, PyObject *args)
{
    PyObject *value, *state, *traceback, *cause, *context, *suppress;

    if (!PyArg_ParseTuple(args, "OO", &value, &state)) {
        return NULL;
    }
    if (!PyExceptionInstance_Check(value) || !PyTuple_CheckExact(state)
        || PyTuple_GET_SIZE(state) != 5)
    {
        goto corrupt;
    }
    traceback = PyTuple_GET_ITEM(state, 0);
    cause = PyTuple_GET_ITEM(state, 1);
    context = PyTuple_GET_ITEM(state, 2);
    suppress = PyTuple_GET_ITEM(state, 3);
    if ((traceback != Py_None && !PyTraceBack_Check(traceback))
        || !is_related(cause) || !is_related(context)
        || !PyBool_Check(suppress))
    {
        goto corrupt;
    }
    if (PyException_SetTraceback(value, traceback) < 0) {
        return NULL;
    }
    PyException_SetCause(value, cause == Py_None ? NULL : Py_NewRef(cause));
    PyException_SetContext(value,
                           context == Py_None ? NULL : Py_NewRef(context));
    ((PyBaseExceptionObject *)value)->suppress_context = suppress == Py_True;
    Py_RETURN_NONE;

corrupt:
    PyErr_SetString(CorruptStateError,
                    "can't restore an exception: its saved state is damaged");
    return NULL;
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
    PyObject *args = codes_pack((PyCodeObject *)code);
    return args == NULL ? NULL : Py_BuildValue("ON", load_code, args);
}

static PyObject *
core_exception_state(PyObject *module, PyObject *value)
{
    if (!PyExceptionInstance_Check(value)) {
        PyErr_Format(PyExc_TypeError, "expected an exception, not %.200s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    if (!exception_has_more(value)) {
        Py_RETURN_NONE;
    }
    return exception_state(value);
}

/* The dict of an exception, or None: asking for __dict__ would make one. */
static PyObject *
core_exception_attributes(PyObject *module, PyObject *value)
{
    if (!PyExceptionInstance_Check(value)) {
        PyErr_Format(PyExc_TypeError, "expected an exception, not %.200s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    PyObject *dict = ((PyBaseExceptionObject *)value)->dict;
    return Py_NewRef(dict == NULL ? Py_None : dict);
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
     PyDoc_STR("Code object from (tag, digest, data).")},
    {"_load_module_dict", core_load_module_dict, METH_O,
     PyDoc_STR("The namespace of an importable module.")},
    {"_new_cell", core_new_cell, METH_NOARGS, PyDoc_STR("Empty cell.")},
    {"_new_method", core_new_method, METH_VARARGS,
     PyDoc_STR("Bound method of a function and an object.")},
    {"_set_exception", core_set_exception, METH_VARARGS,
     PyDoc_STR("Gives an exception its traceback, cause and context.")},
    {"_new_namespace", core_new_namespace, METH_NOARGS,
     PyDoc_STR("Empty namespace with builtins.")},
    {"_reduce_cell", core_reduce_cell, METH_O,
     PyDoc_STR("Reducer of cells.")},
    {"_reduce_code", core_reduce_code, METH_O,
     PyDoc_STR("Reducer of code objects: by value.")},
    {"_exception_state", core_exception_state, METH_O,
     PyDoc_STR("What pickle forgets of an exception, or None.")},
    {"_exception_attributes", core_exception_attributes, METH_O,
     PyDoc_STR("The dict of an exception, or None.")},
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
        || take(module, &set_exception, "_set_exception") < 0
        || take(module, &same, "_same") < 0
        || take(module, &new_namespace, "_new_namespace") < 0)
    {
        return -1;
    }
    return 0;
}
