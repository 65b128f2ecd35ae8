/* Type parameters and type aliases as plain state: see typevars.h. */
#include "typevars.h"

#include "errors.h"
#include "interp/typevars.h"
#include "substitute.h"

/* ---- layouts ----------------------------------------------------------- */

typedef struct {
    const char *name;
    size_t offset;
    PyTypeObject *type;         /* what CPython relies on, or NULL */
} field;

typedef struct {
    const char *name;           /* in the module typing */
    size_t size;
    const field *fields;
    size_t variance;            /* offset; 0: has none */
    PyTypeObject *type;         /* owned */
} kind;

#if INTERP_TYPE_PARAMS

#define ANY(object, field) \
    {#field, offsetof(object, field), NULL}
#define TYPED(object, field, type) \
    {#field, offsetof(object, field), &(type)}
#define EVALUATE(object, field) TYPED(object, field, PyFunction_Type)

static const field typevar_fields[] = {
    ANY(typevar_object, bound),
    EVALUATE(typevar_object, evaluate_bound),
    ANY(typevar_object, constraints),
    EVALUATE(typevar_object, evaluate_constraints),
#if INTERP_TYPE_PARAM_DEFAULTS
    ANY(typevar_object, default_value),
    EVALUATE(typevar_object, evaluate_default),
#endif
    {NULL},
};

static const field paramspec_fields[] = {
    ANY(paramspec_object, bound),
#if INTERP_TYPE_PARAM_DEFAULTS
    ANY(paramspec_object, default_value),
    EVALUATE(paramspec_object, evaluate_default),
#endif
    {NULL},
};

static const field typevartuple_fields[] = {
#if INTERP_TYPEVARTUPLE_BOUND
    ANY(typevartuple_object, bound),
#endif
#if INTERP_TYPE_PARAM_DEFAULTS
    ANY(typevartuple_object, default_value),
    EVALUATE(typevartuple_object, evaluate_default),
#endif
    {NULL},
};

static const field typealias_fields[] = {
#if INTERP_TYPE_ALIAS_QUALNAME
    TYPED(typealias_object, qualname, PyUnicode_Type),
#endif
    TYPED(typealias_object, type_params, PyTuple_Type),
    EVALUATE(typealias_object, compute_value),
    ANY(typealias_object, value),
    ANY(typealias_object, module),
    {NULL},
};

#if INTERP_TYPEVARTUPLE_BOUND
#define TYPEVARTUPLE_VARIANCE offsetof(typevartuple_object, variance)
#else
#define TYPEVARTUPLE_VARIANCE 0
#endif

static kind kinds[] = {
    {"TypeVar", sizeof(typevar_object), typevar_fields,
     offsetof(typevar_object, variance)},
    {"ParamSpec", sizeof(paramspec_object), paramspec_fields,
     offsetof(paramspec_object, variance)},
    {"TypeVarTuple", sizeof(typevartuple_object), typevartuple_fields,
     TYPEVARTUPLE_VARIANCE},
    {"TypeAliasType", sizeof(typealias_object), typealias_fields, 0},
};

#define KINDS Py_ARRAY_LENGTH(kinds)

/* Such an object's kind, or NULL with an exception. */
static const kind *
kind_of(PyObject *object)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (Py_IS_TYPE(object, kinds[i].type)) {
            return &kinds[i];
        }
    }
    PyErr_Format(PyExc_TypeError,
                 "expected a type parameter or type alias, not %.200s",
                 Py_TYPE(object)->tp_name);
    return NULL;
}

static PyObject **
at(PyObject *object, const field *f)
{
    return (PyObject **)((char *)object + f->offset);
}

static variance *
variance_of(PyObject *object, const kind *k)
{
    return (variance *)((char *)object + k->variance);
}

/* Has it a dict, with its module and what others have set? */
static int
has_attributes(PyObject *object)
{
    return PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_MANAGED_DICT);
}

/* ---- reducing ---------------------------------------------------------- */

static PyObject *
core_type_param_state(PyObject *module, PyObject *object)
{
    const kind *k = kind_of(object);
    PyObject *state = k == NULL ? NULL : PyDict_New();

    if (state == NULL) {
        return NULL;
    }
    for (const field *f = k->fields; f->name != NULL; f++) {
        PyObject *value = *at(object, f);
        if (value != NULL
            && substitute_add(state, f->name, substitute_for(value)) < 0)
        {
            goto error;
        }
    }
    if (k->variance != 0) {
        variance *v = variance_of(object, k);
        PyObject *saved = Py_BuildValue("(iii)", v->covariant,
                                        v->contravariant, v->infer_variance);
        if (substitute_add(state, "variance", saved) < 0) {
            goto error;
        }
    }
    if (has_attributes(object)
        && substitute_add(state, "attributes",
                          PyObject_GenericGetDict(object, NULL)) < 0)
    {
        goto error;
    }
    return state;

error:
    Py_DECREF(state);
    return NULL;
}

/* ---- loading ----------------------------------------------------------- */

/* Is the state one that CPython can live with? It takes names for granted, and
 * that there is a way to an alias's value. 1, or 0, perhaps with an
 * exception. */
static int
is_sound(PyObject *object, const kind *k, PyObject *state, int flags[3])
{
    Py_ssize_t known = 0;

    if (has_attributes(object)) {
        PyObject *attributes = PyDict_GetItemString(state, "attributes");
        if (attributes == NULL || !PyDict_CheckExact(attributes)) {
            return 0;
        }
        known++;
    }
    for (const field *f = k->fields; f->name != NULL; f++) {
        PyObject *value = PyDict_GetItemString(state, f->name);
        if (value == NULL) {
            if (f->type == &PyUnicode_Type) {
                return 0;
            }
            continue;
        }
        if (f->type != NULL && !Py_IS_TYPE(value, f->type)) {
            return 0;
        }
        known++;
    }
    if (k->variance != 0) {
        PyObject *saved = PyDict_GetItemString(state, "variance");
        if (saved == NULL || !PyTuple_CheckExact(saved)
            || !PyArg_ParseTuple(saved, "ppp", &flags[0], &flags[1],
                                 &flags[2]))
        {
            return 0;
        }
        known++;
    }
    if (k->fields == typealias_fields
        && PyDict_GetItemString(state, "value") == NULL
        && PyDict_GetItemString(state, "compute_value") == NULL)
    {
        return 0;
    }
    return known == PyDict_GET_SIZE(state);
}

static PyObject *
core_set_type_param(PyObject *module, PyObject *args)
{
    PyObject *object, *state;
    int flags[3] = {0};

    if (!PyArg_ParseTuple(args, "OO!", &object, &PyDict_Type, &state)) {
        return NULL;
    }
    const kind *k = kind_of(object);
    if (k == NULL) {
        return NULL;
    }
    if (!is_sound(object, k, state, flags)) {
        PyErr_Clear();
        PyErr_Format(CorruptStateError,
                     "can't restore a %s: its saved state is damaged",
                     k->name);
        return NULL;
    }
    for (const field *f = k->fields; f->name != NULL; f++) {
        PyObject *value = PyDict_GetItemString(state, f->name);
        Py_XSETREF(*at(object, f), Py_XNewRef(value));
    }
    if (k->variance != 0) {
        *variance_of(object, k) = (variance){flags[0], flags[1], flags[2]};
    }
    if (has_attributes(object)) {
        /* The constructor has set a module: that of its caller. */
        PyObject *dict = PyObject_GenericGetDict(object, NULL);
        if (dict == NULL) {
            return NULL;
        }
        PyDict_Clear(dict);
        int status = PyDict_Update(
            dict, PyDict_GetItemString(state, "attributes"));
        Py_DECREF(dict);
        if (status < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

/* ---- setup ------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"_type_param_state", core_type_param_state, METH_O,
     PyDoc_STR("The state of a type parameter or type alias.")},
    {"_set_type_param", core_set_type_param, METH_VARARGS,
     PyDoc_STR("Sets the saved state of a new one.")},
    {NULL},
};

/* Finds the types. A tuple of them: new reference, or NULL with an
 * exception. */
static PyObject *
find_types(PyObject *module)
{
    /* The module typing has them, too, but is slow to import. */
    PyObject *typing = PyImport_ImportModule("_typing");
    PyObject *types = typing == NULL ? NULL : PyTuple_New(KINDS);

    for (size_t i = 0; types != NULL && i < KINDS; i++) {
        kind *k = &kinds[i];
        PyObject *type = PyObject_GetAttrString(typing, k->name);
        if (type == NULL) {
            Py_CLEAR(types);
            break;
        }
        PyTuple_SET_ITEM(types, i, type);
        if (!PyType_Check(type)
            || ((PyTypeObject *)type)->tp_basicsize != (Py_ssize_t)k->size)
        {
            PyErr_Format(PyExc_ImportError,
                         "pickletask does not know the layout of this "
                         "Python's typing.%s", k->name);
            Py_CLEAR(types);
            break;
        }
        Py_XSETREF(k->type, (PyTypeObject *)Py_NewRef(type));
    }
    Py_XDECREF(typing);
    if (types != NULL && PyModule_AddFunctions(module, functions) < 0) {
        Py_CLEAR(types);
    }
    return types;
}

#else

static PyObject *
find_types(PyObject *module)
{
    return PyTuple_New(0);
}

#endif

int
typevars_setup(PyObject *module)
{
    PyObject *types = find_types(module);
    int status = types == NULL
                     ? -1
                     : PyModule_AddObjectRef(module, "_TYPE_PARAMS", types);
    Py_XDECREF(types);
    return status;
}
