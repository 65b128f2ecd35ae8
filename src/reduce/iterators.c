/* Iterators of itertools as plain state: see iterators.h. */
#include "iterators.h"

#include "errors.h"
#include "interp/itertools.h"
#include "substitute.h"

static PyObject *nothing;           /* an empty tuple; owned */

/* ---- helpers ----------------------------------------------------------- */

/* What becomes of each part: for a pickle its substitute, for a shallow copy
 * the part itself.  To reduce runs no Python code that could meet the other
 * one. */
static PyObject *(*convert)(PyObject *) = substitute_for;

static PyObject *
itself(PyObject *part)
{
    return Py_NewRef(part);
}

/* What makes an iterator like one that is exhausted and has dropped what it
 * went over. Borrowed. */
static PyObject *
or_nothing(PyObject *it)
{
    return it != NULL ? it : nothing;
}

/* A field that may be NULL, as a tuple of it or an empty one. New reference,
 * or NULL with an exception. */
static PyObject *
optional(PyObject *field)
{
    PyObject *value = NULL, *result;

    if (field == NULL) {
        return Py_NewRef(nothing);
    }
    value = convert(field);
    result = value == NULL ? NULL : PyTuple_Pack(1, value);
    Py_XDECREF(value);
    return result;
}

/* A tuple with what is to be pickled for each item; NULL becomes an empty
 * tuple. New reference, or NULL with an exception. */
static PyObject *
pack(Py_ssize_t count, PyObject *const *items)
{
    PyObject *result = PyTuple_New(count);

    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyObject *value = convert(or_nothing(items[i]));
        if (value == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyTuple_SET_ITEM(result, i, value);
    }
    return result;
}

#define PACK(...) \
    pack(sizeof((PyObject *[]){__VA_ARGS__}) / sizeof(PyObject *), \
         (PyObject *[]){__VA_ARGS__})

static int
corrupt(PyObject *self)
{
    if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        PyErr_Format(CorruptStateError,
                     "can't restore a %.100s iterator: its saved state is "
                     "damaged", Py_TYPE(self)->tp_name);
    }
    return -1;
}

/* Puts the only item of a tuple, or NULL for an empty one, into a field. The
 * tuple was checked. */
static void
set_optional(PyObject **field, PyObject *tuple)
{
    PyObject *value = PyTuple_GET_SIZE(tuple) == 0
                          ? NULL
                          : Py_NewRef(PyTuple_GET_ITEM(tuple, 0));
    Py_XSETREF(*field, value);
}

static int
is_optional(PyObject *object)
{
    return PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) <= 1;
}

/* What a kind is reduced to: all are owned. */
typedef struct {
    PyObject *arguments;
    PyObject *keywords;     /* or NULL */
    PyObject *state;        /* or NULL */
} parts;

/* ---- those that CPython has never pickled ------------------------------ */

#if INTERP_HAS_BATCHED
static void
batched_reduce(PyObject *self, parts *p)
{
    batched_object *o = (batched_object *)self;
    /* The size is gone with the iterator. */
    p->arguments = Py_BuildValue("(Nn)", convert(or_nothing(o->it)),
                                 o->it == NULL ? (Py_ssize_t)1 : o->size);
#if INTERP_BATCHED_IS_STRICT
    p->keywords = Py_BuildValue("{s:O}", "strict",
                                o->strict ? Py_True : Py_False);
#endif
}
#endif

static void
pairwise_reduce(PyObject *self, parts *p)
{
    pairwise_object *o = (pairwise_object *)self;
    p->arguments = PACK(o->it);
    if (o->it != NULL) {
        p->state = optional(o->old);
    }
}

static int
pairwise_set(PyObject *self, PyObject *state)
{
    if (!is_optional(state)) {
        return -1;
    }
    set_optional(&((pairwise_object *)self)->old, state);
    return 0;
}

#if !INTERP_PICKLES_ITERTOOLS

/* ---- those that it pickled until 3.13 ---------------------------------- */

/* The numbers as a tuple. New reference, or NULL with an exception. */
static PyObject *
pack_numbers(const Py_ssize_t *numbers, Py_ssize_t count)
{
    PyObject *result = PyTuple_New(count);

    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyObject *number = PyLong_FromSsize_t(numbers[i]);
        if (number == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyTuple_SET_ITEM(result, i, number);
    }
    return result;
}

/* Reads a tuple of numbers, of which number i is at least `least` and at most
 * `most` + i * `more`. 0, or -1 with or without an exception. */
static int
read_numbers(PyObject *tuple, Py_ssize_t *numbers, Py_ssize_t count,
             Py_ssize_t least, Py_ssize_t most, Py_ssize_t more)
{
    if (!PyTuple_CheckExact(tuple) || PyTuple_GET_SIZE(tuple) != count) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        if (!PyLong_CheckExact(item)) {
            return -1;
        }
        numbers[i] = PyLong_AsSsize_t(item);
        if (numbers[i] < least || numbers[i] > most + i * more) {
            return -1;
        }
    }
    return 0;
}

static void
accumulate_reduce(PyObject *self, parts *p)
{
    accumulate_object *o = (accumulate_object *)self;
    p->arguments = PACK(o->it, o->binop == NULL ? Py_None : o->binop);
    if (o->initial != NULL) {
        p->keywords = Py_BuildValue("{s:N}", "initial",
                                    convert(o->initial));
    }
    p->state = optional(o->total);
}

static int
accumulate_set(PyObject *self, PyObject *state)
{
    if (!is_optional(state)) {
        return -1;
    }
    set_optional(&((accumulate_object *)self)->total, state);
    return 0;
}

static void
chain_reduce(PyObject *self, parts *p)
{
    chain_object *o = (chain_object *)self;
    p->arguments = Py_NewRef(nothing);
    p->state = Py_BuildValue("(NN)", optional(o->source),
                             optional(o->active));
}

static int
chain_set(PyObject *self, PyObject *state)
{
    chain_object *o = (chain_object *)self;
    if (PyTuple_GET_SIZE(state) != 2) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        PyObject *part = PyTuple_GET_ITEM(state, i);
        if (!is_optional(part)
            || (PyTuple_GET_SIZE(part) == 1
                && !PyIter_Check(PyTuple_GET_ITEM(part, 0))))
        {
            return -1;
        }
    }
    set_optional(&o->source, PyTuple_GET_ITEM(state, 0));
    set_optional(&o->active, PyTuple_GET_ITEM(state, 1));
    return 0;
}

/* combinations, combinations_with_replacement */
static void
combinations_reduce(PyObject *self, parts *p)
{
    combinations_object *o = (combinations_object *)self;
    if (o->stopped) {
        p->arguments = Py_BuildValue("(On)", nothing, (Py_ssize_t)1);
        return;
    }
    p->arguments = Py_BuildValue("(On)", o->pool, o->r);
    if (o->result != NULL) {
        p->state = pack_numbers(o->indices, o->r);
    }
}

/* The items of the pool at the indices. New reference, or NULL with an
 * exception. */
static PyObject *
pick(PyObject *pool, const Py_ssize_t *indices, Py_ssize_t count)
{
    PyObject *result = PyTuple_New(count);
    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyTuple_SET_ITEM(result, i,
                         Py_NewRef(PyTuple_GET_ITEM(pool, indices[i])));
    }
    return result;
}

/* `room`: how far the first index may go; `more`: each next one goes so much
 * further. */
static int
set_indices(PyObject *self, PyObject *state, Py_ssize_t room, Py_ssize_t more)
{
    combinations_object *o = (combinations_object *)self;
    Py_ssize_t count = PyTuple_GET_SIZE(state);
    int status = -1;

    Py_ssize_t *indices = PyMem_New(Py_ssize_t, count + 1);
    if (indices == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (count == o->r
        && read_numbers(state, indices, count, 0, room, more) == 0)
    {
        PyObject *result = pick(o->pool, indices, count);
        if (result != NULL) {
            memcpy(o->indices, indices, count * sizeof(*indices));
            Py_XSETREF(o->result, result);
            o->stopped = 0;
            status = 0;
        }
    }
    PyMem_Free(indices);
    return status;
}

static int
combinations_set(PyObject *self, PyObject *state)
{
    combinations_object *o = (combinations_object *)self;
    return set_indices(self, state, PyTuple_GET_SIZE(o->pool) - o->r, 1);
}

static int
replacement_set(PyObject *self, PyObject *state)
{
    combinations_object *o = (combinations_object *)self;
    return set_indices(self, state, PyTuple_GET_SIZE(o->pool) - 1, 0);
}

static void
compress_reduce(PyObject *self, parts *p)
{
    compress_object *o = (compress_object *)self;
    p->arguments = PACK(o->data, o->selectors);
}

static void
count_reduce(PyObject *self, parts *p)
{
    count_object *o = (count_object *)self;
    PyObject *step = o->step == NULL ? PyLong_FromLong(1)
                                     : Py_NewRef(o->step);
    if (o->count == PY_SSIZE_T_MAX && o->long_count != NULL) {
        p->arguments = Py_BuildValue("(ON)", o->long_count, step);
    }
    else {
        p->arguments = Py_BuildValue("(nN)", o->count, step);
    }
}

static void
cycle_reduce(PyObject *self, parts *p)
{
    cycle_object *o = (cycle_object *)self;
    p->arguments = PyTuple_Pack(1, nothing);
    p->state = Py_BuildValue("(NOn)", optional(o->it), o->saved, o->index);
}

static int
cycle_set(PyObject *self, PyObject *state)
{
    cycle_object *o = (cycle_object *)self;
    PyObject *it, *saved, *copy;
    Py_ssize_t index;

    if (!PyArg_ParseTuple(state, "O!O!n", &PyTuple_Type, &it, &PyList_Type,
                          &saved, &index))
    {
        PyErr_Clear();
        return -1;
    }
    if (!is_optional(it) || index < -1
        || (index > 0 && index >= PyList_GET_SIZE(saved))
        || (PyTuple_GET_SIZE(it) == 0
                ? index < 0
                : !PyIter_Check(PyTuple_GET_ITEM(it, 0))))
    {
        return -1;
    }
    copy = PyList_GetSlice(saved, 0, PY_SSIZE_T_MAX);
    if (copy == NULL) {
        return -1;
    }
    set_optional(&o->it, it);
    Py_XSETREF(o->saved, copy);
    o->index = index;
    return 0;
}

/* dropwhile, takewhile */
static void
while_reduce(PyObject *self, parts *p)
{
    filter_object *o = (filter_object *)self;
    p->arguments = PACK(o->function, o->it);
    p->state = Py_BuildValue("(l)", o->flag);
}

static int
while_set(PyObject *self, PyObject *state)
{
    Py_ssize_t flag;
    if (read_numbers(state, &flag, 1, 0, 1, 0) < 0) {
        return -1;
    }
    ((filter_object *)self)->flag = (long)flag;
    return 0;
}

/* filterfalse, starmap */
static void
filter_reduce(PyObject *self, parts *p)
{
    filter_object *o = (filter_object *)self;
    p->arguments = PACK(o->function, o->it);
}

static void
groupby_reduce(PyObject *self, parts *p)
{
    groupby_object *o = (groupby_object *)self;
    p->arguments = PACK(o->it, o->function);
    p->state = Py_BuildValue("(NNN)", optional(o->target_key),
                             optional(o->key), optional(o->value));
}

static int
groupby_set(PyObject *self, PyObject *state)
{
    groupby_object *o = (groupby_object *)self;
    PyObject *target, *key, *value;

    if (PyTuple_GET_SIZE(state) != 3) {
        return -1;
    }
    target = PyTuple_GET_ITEM(state, 0);
    key = PyTuple_GET_ITEM(state, 1);
    value = PyTuple_GET_ITEM(state, 2);
    if (!is_optional(target) || !is_optional(key) || !is_optional(value)
        || (PyTuple_GET_SIZE(key) == 0 && PyTuple_GET_SIZE(value) > 0))
    {
        return -1;
    }
    set_optional(&o->target_key, target);
    set_optional(&o->key, key);
    set_optional(&o->value, value);
    return 0;
}

static void
grouper_reduce(PyObject *self, parts *p)
{
    grouper_object *o = (grouper_object *)self;
    p->arguments = PACK(o->parent, o->target_key);
    /* Otherwise groupby has gone on to another group. */
    int current = ((groupby_object *)o->parent)->grouper == self;
    p->state = Py_BuildValue("(i)", current);
}

static int
grouper_set(PyObject *self, PyObject *state)
{
    groupby_object *parent =
        (groupby_object *)((grouper_object *)self)->parent;
    Py_ssize_t current;

    if (read_numbers(state, &current, 1, 0, 1, 0) < 0) {
        return -1;
    }
    if (!current) {
        parent->grouper = NULL;
    }
    return 0;
}

static void
islice_reduce(PyObject *self, parts *p)
{
    islice_object *o = (islice_object *)self;
    if (o->it == NULL) {
        p->arguments = Py_BuildValue("(Oi)", nothing, 0);
        return;
    }
    PyObject *stop = o->stop == -1 ? Py_NewRef(Py_None)
                                   : PyLong_FromSsize_t(o->stop - o->count);
    p->arguments = Py_BuildValue("(NnNn)", convert(o->it),
                                 o->next - o->count, stop, o->step);
}

static void
permutations_reduce(PyObject *self, parts *p)
{
    permutations_object *o = (permutations_object *)self;
    if (o->stopped) {
        p->arguments = Py_BuildValue("(On)", nothing, (Py_ssize_t)1);
        return;
    }
    p->arguments = Py_BuildValue("(On)", o->pool, o->r);
    if (o->result != NULL) {
        p->state = Py_BuildValue(
            "(NN)", pack_numbers(o->indices, PyTuple_GET_SIZE(o->pool)),
            pack_numbers(o->cycles, o->r));
    }
}

static int
permutations_set(PyObject *self, PyObject *state)
{
    permutations_object *o = (permutations_object *)self;
    Py_ssize_t n = PyTuple_GET_SIZE(o->pool);
    int status = -1;

    if (PyTuple_GET_SIZE(state) != 2 || o->r > n) {
        return -1;
    }
    Py_ssize_t *indices = PyMem_New(Py_ssize_t, n + o->r + 1);
    if (indices == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (read_numbers(PyTuple_GET_ITEM(state, 0), indices, n, 0, n - 1, 0) == 0
        && read_numbers(PyTuple_GET_ITEM(state, 1), indices + n, o->r, 1, n,
                        -1) == 0)
    {
        PyObject *result = pick(o->pool, indices, o->r);
        if (result != NULL) {
            memcpy(o->indices, indices, n * sizeof(*indices));
            memcpy(o->cycles, indices + n, o->r * sizeof(*indices));
            Py_XSETREF(o->result, result);
            o->stopped = 0;
            status = 0;
        }
    }
    PyMem_Free(indices);
    return status;
}

static void
product_reduce(PyObject *self, parts *p)
{
    product_object *o = (product_object *)self;
    if (o->stopped) {
        p->arguments = PyTuple_Pack(1, nothing);
        return;
    }
    p->arguments = Py_NewRef(o->pools);
    if (o->result != NULL) {
        p->state = pack_numbers(o->indices, PyTuple_GET_SIZE(o->pools));
    }
}

static int
product_set(PyObject *self, PyObject *state)
{
    product_object *o = (product_object *)self;
    Py_ssize_t count = PyTuple_GET_SIZE(o->pools);
    PyObject *result;

    if (PyTuple_GET_SIZE(state) != count) {
        return -1;
    }
    result = PyTuple_New(count);
    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyObject *pool = PyTuple_GET_ITEM(o->pools, i);
        PyObject *item = PyTuple_GET_ITEM(state, i);
        Py_ssize_t index = PyLong_CheckExact(item) ? PyLong_AsSsize_t(item)
                                                   : -1;
        if (index < 0 || index >= PyTuple_GET_SIZE(pool)) {
            Py_CLEAR(result);
            return -1;
        }
        PyTuple_SET_ITEM(result, i, Py_NewRef(PyTuple_GET_ITEM(pool, index)));
    }
    if (result == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        o->indices[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(state, i));
    }
    Py_XSETREF(o->result, result);
    o->stopped = 0;
    return 0;
}

static void
repeat_reduce(PyObject *self, parts *p)
{
    repeat_object *o = (repeat_object *)self;
    PyObject *element = convert(o->element);
    p->arguments = o->count < 0
                       ? Py_BuildValue("(N)", element)
                       : Py_BuildValue("(Nn)", element, o->count);
}

static void
tee_data_reduce(PyObject *self, parts *p)
{
    tee_data_object *o = (tee_data_object *)self;
    PyObject *values = PyList_New(o->count);

    for (int i = 0; values != NULL && i < o->count; i++) {
        PyObject *value = convert(o->values[i]);
        if (value == NULL) {
            Py_CLEAR(values);
            break;
        }
        PyList_SET_ITEM(values, i, value);
    }
    p->arguments = Py_BuildValue("(NNO)", convert(o->it), values,
                                 o->next == NULL ? Py_None : o->next);
}

static void
tee_reduce(PyObject *self, parts *p)
{
    tee_object *o = (tee_object *)self;
    p->arguments = PyTuple_Pack(1, nothing);
    p->state = Py_BuildValue("(Oi)", o->data, o->index);
}

static int
tee_set(PyObject *self, PyObject *state)
{
    tee_object *o = (tee_object *)self;
    PyObject *data;
    Py_ssize_t index;

    if (!PyArg_ParseTuple(state, "On", &data, &index)) {
        PyErr_Clear();
        return -1;
    }
    if (!Py_IS_TYPE(data, Py_TYPE(o->data)) || index < 0
        || index > ((tee_data_object *)data)->count)
    {
        return -1;
    }
    Py_SETREF(o->data, (tee_data_object *)Py_NewRef(data));
    o->index = (int)index;
    return 0;
}

static void
zip_longest_reduce(PyObject *self, parts *p)
{
    zip_longest_object *o = (zip_longest_object *)self;
    if (o->active == 0 || o->iterators == NULL) {
        p->arguments = Py_NewRef(nothing);
    }
    else {
        p->arguments = pack(PyTuple_GET_SIZE(o->iterators),
                            ((PyTupleObject *)o->iterators)->ob_item);
    }
    if (o->fill != NULL) {
        p->keywords = Py_BuildValue("{s:N}", "fillvalue",
                                    convert(o->fill));
    }
}

#endif  /* !INTERP_PICKLES_ITERTOOLS */

/* ---- the table --------------------------------------------------------- */

typedef struct {
    const char *name;
    size_t size;
    void (*reduce)(PyObject *self, parts *p);
    /* 0, or -1 with or without an exception, and nothing changed. */
    int (*set)(PyObject *self, PyObject *state);
    PyTypeObject *type;     /* owned */
} kind;

static kind kinds[] = {
#if INTERP_HAS_BATCHED
    {"batched", sizeof(batched_object), batched_reduce, NULL},
#endif
    {"pairwise", sizeof(pairwise_object), pairwise_reduce, pairwise_set},
#if !INTERP_PICKLES_ITERTOOLS
    {"accumulate", sizeof(accumulate_object), accumulate_reduce,
     accumulate_set},
    {"chain", sizeof(chain_object), chain_reduce, chain_set},
    {"combinations", sizeof(combinations_object), combinations_reduce,
     combinations_set},
    {"combinations_with_replacement", sizeof(combinations_object),
     combinations_reduce, replacement_set},
    {"compress", sizeof(compress_object), compress_reduce, NULL},
    {"count", sizeof(count_object), count_reduce, NULL},
    {"cycle", sizeof(cycle_object), cycle_reduce, cycle_set},
    {"dropwhile", sizeof(filter_object), while_reduce, while_set},
    {"filterfalse", offsetof(filter_object, flag), filter_reduce, NULL},
    {"groupby", sizeof(groupby_object), groupby_reduce, groupby_set},
    {"_grouper", sizeof(grouper_object), grouper_reduce, grouper_set},
    {"islice", sizeof(islice_object), islice_reduce, NULL},
    {"permutations", sizeof(permutations_object), permutations_reduce,
     permutations_set},
    {"product", sizeof(product_object), product_reduce, product_set},
    {"repeat", sizeof(repeat_object), repeat_reduce, NULL},
    {"starmap", offsetof(filter_object, flag), filter_reduce, NULL},
    {"takewhile", sizeof(filter_object), while_reduce, while_set},
    {"_tee", sizeof(tee_object), tee_reduce, tee_set},
    {"_tee_dataobject", sizeof(tee_data_object), tee_data_reduce, NULL},
    {"zip_longest", sizeof(zip_longest_object), zip_longest_reduce, NULL},
#endif
};

/* NULL with an exception if the type isn't one of them. */
static const kind *
kind_of(PyObject *type)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(kinds); i++) {
        if ((PyObject *)kinds[i].type == type) {
            return &kinds[i];
        }
    }
    PyErr_Format(PyExc_TypeError, "expected an iterator of itertools, or its "
                 "type, not %.200R", type);
    return NULL;
}

/* ---- functions of the module ------------------------------------------- */

static PyObject *new_iterator;      /* what pickles name; owned */

static PyObject *
core_reduce_iterator(PyObject *module, PyObject *self)
{
    const kind *k = kind_of((PyObject *)Py_TYPE(self));
    parts p = {NULL};
    PyObject *result = NULL;

    if (k == NULL) {
        return NULL;
    }
    k->reduce(self, &p);
    if (p.arguments != NULL && !PyErr_Occurred()) {
        if (p.keywords != NULL) {
            result = Py_BuildValue("O(OOOO)", new_iterator, k->type,
                                   p.arguments,
                                   p.state == NULL ? Py_None : p.state,
                                   p.keywords);
        }
        else if (p.state != NULL) {
            result = Py_BuildValue("O(OOO)", new_iterator, k->type,
                                   p.arguments, p.state);
        }
        else {
            result = Py_BuildValue("O(OO)", new_iterator, k->type,
                                   p.arguments);
        }
    }
    Py_XDECREF(p.arguments);
    Py_XDECREF(p.keywords);
    Py_XDECREF(p.state);
    return result;
}

static PyObject *
core_copy_iterator(PyObject *module, PyObject *self)
{
    convert = itself;
    PyObject *result = core_reduce_iterator(module, self);
    convert = substitute_for;
    return result;
}

static PyObject *
core_new_iterator(PyObject *module, PyObject *args)
{
    PyObject *type, *arguments, *state = Py_None, *keywords = NULL;

    if (!PyArg_ParseTuple(args, "OO!|OO!", &type, &PyTuple_Type, &arguments,
                          &state, &PyDict_Type, &keywords))
    {
        return NULL;
    }
    const kind *k = kind_of(type);
    if (k == NULL) {
        return NULL;
    }
    PyObject *self = PyObject_Call(type, arguments, keywords);
    /* tee() returns another one's copy as it is. */
    if (self != NULL && !Py_IS_TYPE(self, k->type)) {
        Py_CLEAR(self);
        PyErr_SetString(CorruptStateError, "can't restore an iterator: it is "
                        "of another type");
    }
    if (self != NULL && state != Py_None
        && (k->set == NULL || !PyTuple_CheckExact(state)
            || k->set(self, state) < 0))
    {
        corrupt(self);
        Py_CLEAR(self);
    }
    return self;
}

static PyMethodDef functions[] = {
    {"_reduce_iterator", core_reduce_iterator, METH_O,
     PyDoc_STR("Reducer of the iterators of itertools.")},
    {"_copy_iterator", core_copy_iterator, METH_O,
     PyDoc_STR("The same for shallow copies.")},
    {"_new_iterator", core_new_iterator, METH_VARARGS,
     PyDoc_STR("Iterator of itertools in a saved state.")},
    {NULL},
};

/* Finds the types. A tuple of them: new reference, or NULL with an
 * exception. */
static PyObject *
find_types(PyObject *module)
{
    PyObject *itertools = PyImport_ImportModule("itertools");
    PyObject *types = itertools == NULL ? NULL : PyList_New(0), *result = NULL;

    for (size_t i = 0; types != NULL && i < Py_ARRAY_LENGTH(kinds); i++) {
        kind *k = &kinds[i];
        PyObject *type = PyObject_GetAttrString(itertools, k->name);
        if (type == NULL) {
            goto error;
        }
        Py_XSETREF(k->type, (PyTypeObject *)type);
        if (!PyType_Check(type)
            || k->type->tp_basicsize != (Py_ssize_t)k->size)
        {
            PyErr_Format(PyExc_ImportError,
                         "pickletask does not know the layout of this "
                         "Python's itertools.%s", k->name);
            goto error;
        }
        if (PyList_Append(types, type) < 0) {
            goto error;
        }
    }
    if (types != NULL && PyModule_AddFunctions(module, functions) == 0) {
        new_iterator = PyObject_GetAttrString(module, "_new_iterator");
        result = new_iterator == NULL ? NULL : PyList_AsTuple(types);
    }

error:
    Py_XDECREF(itertools);
    Py_XDECREF(types);
    return result;
}

int
iterators_setup(PyObject *module)
{
    nothing = PyTuple_New(0);
    if (nothing == NULL) {
        return -1;
    }
    PyObject *types = find_types(module);
    int status = types == NULL
                     ? -1
                     : PyModule_AddObjectRef(module, "_ITERATORS", types);
    Py_XDECREF(types);
    return status;
}
