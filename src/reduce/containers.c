/* Iterators of dicts and sets: see containers.h. */
#include "containers.h"

#include "errors.h"
#include "interp/containers.h"

static PyObject *new_dict_iterator, *new_set_iterator;  /* owned */

static PyObject *
corrupt(const char *what)
{
    PyErr_Format(CorruptStateError,
                 "can't restore an iterator over a %s: its saved state is "
                 "damaged", what);
    return NULL;
}

/* ---- dicts ------------------------------------------------------------- */

enum { KEYS, VALUES, ITEMS, REVERSED = 3 };

/* By the number that pickles name: what it gives, plus REVERSED. */
static PyTypeObject *const dict_types[] = {
    &PyDictIterKey_Type, &PyDictIterValue_Type, &PyDictIterItem_Type,
    &PyDictRevIterKey_Type, &PyDictRevIterValue_Type, &PyDictRevIterItem_Type,
};

/* How many entries of the dict come before the iterator's position; with
 * those at it if it goes backwards. */
static Py_ssize_t
count_before(dict_iterator *it, int reversed)
{
    Py_ssize_t count = 0, position = 0;
    Py_ssize_t end = it->position + (reversed != 0);

    while (position < end
           && PyDict_Next(it->dict, &position, NULL, NULL)
           && position <= end)
    {
        count++;
    }
    return count;
}

static PyObject *
core_reduce_dict_iterator(PyObject *module, PyObject *object)
{
    dict_iterator *it = (dict_iterator *)object;
    int kind = 0;

    while (kind < (int)Py_ARRAY_LENGTH(dict_types)
           && !Py_IS_TYPE(object, dict_types[kind]))
    {
        kind++;
    }
    if (kind == (int)Py_ARRAY_LENGTH(dict_types)) {
        PyErr_Format(PyExc_TypeError, "expected an iterator of a dict, not "
                     "%.200s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (it->dict == NULL) {
        return Py_BuildValue("O(i)", new_dict_iterator, kind);
    }
    if (it->used != PyDict_GET_SIZE(it->dict)) {
        /* It will say that, and nothing else. */
        return Py_BuildValue("O(iOn)", new_dict_iterator, kind, it->dict,
                             it->used);
    }
    return Py_BuildValue("O(iOnnn)", new_dict_iterator, kind, it->dict,
                         it->used, it->left,
                         count_before(it, kind >= REVERSED));
}

/* A new iterator at the beginning, or at the end if it goes backwards. New
 * reference, or NULL with an exception. */
static PyObject *
begin_dict_iterator(int kind, PyObject *dict)
{
    static const char *const names[] = {"keys", "values", "items"};

    PyObject *view = PyObject_CallMethod((PyObject *)&PyDict_Type,
                                         names[kind % REVERSED], "O", dict);
    if (view == NULL) {
        return NULL;
    }
    PyObject *it = kind < REVERSED
                       ? PyObject_GetIter(view)
                       : PyObject_CallMethod(view, "__reversed__", NULL);
    Py_DECREF(view);
    if (it != NULL && !Py_IS_TYPE(it, dict_types[kind])) {
        Py_CLEAR(it);
        corrupt("dict");
    }
    return it;
}

/* Where the entry after the first `before` of a dict is. */
static Py_ssize_t
find_position(PyObject *dict, Py_ssize_t before)
{
    Py_ssize_t position = 0;

    while (before > 0 && PyDict_Next(dict, &position, NULL, NULL)) {
        before--;
    }
    return position;
}

/* Nothing is trusted: an iterator reads its dict only if that has the size
 * that the iterator expects, and then at a position that is less than that
 * size, or was found in the dict. */
static PyObject *
core_new_dict_iterator(PyObject *module, PyObject *args)
{
    int kind;
    PyObject *dict = NULL;
    Py_ssize_t used = 0, left = 0, before = 0;

    if (!PyArg_ParseTuple(args, "i|O!nnn", &kind, &PyDict_Type, &dict, &used,
                          &left, &before))
    {
        return NULL;
    }
    if (kind < 0 || kind >= (int)Py_ARRAY_LENGTH(dict_types) || used < -1
        || left < 0 || before < 0
        || left > (used < 0 ? 0 : used) || before > (used < 0 ? 0 : used))
    {
        return corrupt("dict");
    }
    PyObject *over = dict == NULL ? PyDict_New() : Py_NewRef(dict);
    PyObject *object = over == NULL ? NULL : begin_dict_iterator(kind, over);
    Py_XDECREF(over);
    if (object == NULL) {
        return NULL;
    }
    dict_iterator *it = (dict_iterator *)object;
    if (dict == NULL) {
        Py_CLEAR(it->dict);
        return object;
    }
    it->position = PyDict_GET_SIZE(dict) == used ? find_position(dict, before)
                                                 : before;
    if (kind >= REVERSED) {
        it->position--;
    }
    it->used = used;
    it->left = left;
    return object;
}

/* ---- sets -------------------------------------------------------------- */

/* Takes the place of a set's iterator. */
typedef struct {
    PyObject_HEAD
    PyObject *set;          /* owned, or NULL: exhausted */
    PyObject *rest;         /* owned: a tuple; or NULL */
    Py_ssize_t used, index;
} loaded_iterator;

static PyTypeObject *loaded_type;   /* owned */

/* Steals the list. */
static PyObject *
pack_set_iterator(PyObject *set, Py_ssize_t used, PyObject *list)
{
    if (list == NULL) {
        return NULL;
    }
    if (set == NULL) {
        return Py_BuildValue("O(OnN)", new_set_iterator, Py_None, used, list);
    }
    return Py_BuildValue("O(OnN)", new_set_iterator, set, used, list);
}

static PyObject *
core_reduce_set_iterator(PyObject *module, PyObject *object)
{
    set_iterator *it = (set_iterator *)object;

    if (!Py_IS_TYPE(object, &PySetIter_Type)) {
        PyErr_Format(PyExc_TypeError, "expected an iterator of a set, not "
                     "%.200s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (it->set == NULL || it->used != PySet_GET_SIZE(it->set)) {
        return pack_set_iterator(it->set, it->used, PyList_New(0));
    }
    /* (iter, (list of what is left,)) */
    PyObject *reduced = PyObject_CallMethod(object, "__reduce__", NULL);
    if (reduced == NULL) {
        return NULL;
    }
    PyObject *list = NULL;
    if (PyArg_ParseTuple(reduced, "O(O!)", &list, &PyList_Type, &list)) {
        list = pack_set_iterator(it->set, it->used, Py_NewRef(list));
    }
    else {
        list = NULL;
    }
    Py_DECREF(reduced);
    return list;
}

static PyObject *
core_new_set_iterator(PyObject *module, PyObject *args)
{
    PyObject *set, *list;
    Py_ssize_t used;

    if (!PyArg_ParseTuple(args, "OnO!", &set, &used, &PyList_Type, &list)) {
        return NULL;
    }
    if (used < -1 || (set != Py_None && !PyAnySet_Check(set))) {
        return corrupt("set");
    }
    PyObject *rest = PyList_AsTuple(list);
    if (rest == NULL) {
        return NULL;
    }
    loaded_iterator *self = PyObject_GC_New(loaded_iterator, loaded_type);
    if (self == NULL) {
        Py_DECREF(rest);
        return NULL;
    }
    self->set = set == Py_None ? NULL : Py_NewRef(set);
    self->rest = rest;
    self->used = used;
    self->index = 0;
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

static int
loaded_clear(loaded_iterator *self)
{
    Py_CLEAR(self->set);
    Py_CLEAR(self->rest);
    return 0;
}

static PyObject *
loaded_next(loaded_iterator *self)
{
    if (self->set == NULL) {
        return NULL;
    }
    if (self->used != PySet_GET_SIZE(self->set)) {
        self->used = -1;
        PyErr_SetString(PyExc_RuntimeError,
                        "Set changed size during iteration");
        return NULL;
    }
    if (self->index < PyTuple_GET_SIZE(self->rest)) {
        return Py_NewRef(PyTuple_GET_ITEM(self->rest, self->index++));
    }
    loaded_clear(self);
    return NULL;
}

/* How many are left. */
static Py_ssize_t
loaded_left(loaded_iterator *self)
{
    if (self->set == NULL || self->used != PySet_GET_SIZE(self->set)) {
        return 0;
    }
    return PyTuple_GET_SIZE(self->rest) - self->index;
}

static PyObject *
loaded_length_hint(loaded_iterator *self, PyObject *noargs)
{
    return PyLong_FromSsize_t(loaded_left(self));
}

static PyObject *
loaded_reduce(loaded_iterator *self, PyObject *noargs)
{
    Py_ssize_t left = loaded_left(self);
    PyObject *list = PyList_New(left);

    for (Py_ssize_t i = 0; list != NULL && i < left; i++) {
        PyObject *item = PyTuple_GET_ITEM(self->rest, self->index + i);
        PyList_SET_ITEM(list, i, Py_NewRef(item));
    }
    return pack_set_iterator(self->set, self->used, list);
}

static int
loaded_traverse(loaded_iterator *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->set);
    Py_VISIT(self->rest);
    return 0;
}

static void
loaded_dealloc(loaded_iterator *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    loaded_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef loaded_methods[] = {
    {"__length_hint__", (PyCFunction)loaded_length_hint, METH_NOARGS, NULL},
    {"__reduce__", (PyCFunction)loaded_reduce, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot loaded_slots[] = {
    {Py_tp_doc, "Iterator of a set that was loaded."},
    {Py_tp_dealloc, loaded_dealloc},
    {Py_tp_traverse, loaded_traverse},
    {Py_tp_clear, loaded_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, loaded_next},
    {Py_tp_methods, loaded_methods},
    {0, NULL},
};

static PyType_Spec loaded_spec = {
    .name = "pickletask._core._set_iterator",
    .basicsize = sizeof(loaded_iterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = loaded_slots,
};

/* ---- setup ------------------------------------------------------------- */

/* Are the fields where the header says? 0, or -1 with an exception. */
static int
check_layouts(void)
{
    int right = PySetIter_Type.tp_basicsize == sizeof(set_iterator);

    for (size_t i = 0; i < Py_ARRAY_LENGTH(dict_types); i++) {
        right = right && dict_types[i]->tp_basicsize == sizeof(dict_iterator);
    }
    if (!right) {
        PyErr_SetString(PyExc_ImportError, "pickletask does not know the "
                        "layout of this Python's iterators over dicts and "
                        "sets");
        return -1;
    }
    return 0;
}

static PyMethodDef functions[] = {
    {"_reduce_dict_iterator", core_reduce_dict_iterator, METH_O,
     PyDoc_STR("Reducer of the iterators of dicts.")},
    {"_new_dict_iterator", core_new_dict_iterator, METH_VARARGS,
     PyDoc_STR("Iterator of a dict in a saved state.")},
    {"_reduce_set_iterator", core_reduce_set_iterator, METH_O,
     PyDoc_STR("Reducer of the iterators of sets.")},
    {"_new_set_iterator", core_new_set_iterator, METH_VARARGS,
     PyDoc_STR("What takes the place of the iterator of a set.")},
    {NULL},
};

int
containers_setup(PyObject *module)
{
    int status = -1;
    PyObject *types = PyTuple_New(Py_ARRAY_LENGTH(dict_types));

    if (types == NULL || check_layouts() < 0) {
        goto error;
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(dict_types); i++) {
        PyTuple_SET_ITEM(types, i, Py_NewRef(dict_types[i]));
    }
    loaded_type = (PyTypeObject *)PyType_FromModuleAndSpec(module,
                                                           &loaded_spec, NULL);
    if (loaded_type == NULL || PyModule_AddFunctions(module, functions) < 0
        || PyModule_AddObjectRef(module, "_DICT_ITERATORS", types) < 0)
    {
        goto error;
    }
    new_dict_iterator = PyObject_GetAttrString(module, "_new_dict_iterator");
    new_set_iterator = PyObject_GetAttrString(module, "_new_set_iterator");
    status = new_dict_iterator == NULL || new_set_iterator == NULL ? -1 : 0;

error:
    Py_XDECREF(types);
    return status;
}
