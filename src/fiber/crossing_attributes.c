/* Crossing what reads, sets and deletes attributes and items: see crossing.h.
 */
#include "crossing.h"

#include "distance.h"

/* ---- which function it is ---------------------------------------------- */

/* Is the inner function what a descriptor runs: this member of a property, or
 * a method of the descriptor's type? */
static int
is_run_by(const crossing *x, PyObject *descriptor, PyObject *member,
          PyObject *method)
{
    if (descriptor == NULL) {
        return 0;
    }
    if (Py_IS_TYPE(descriptor, &PyProperty_Type)) {
        return crossing_member(descriptor, member) == x->function;
    }
    return crossing_is_method_of(x, descriptor, method);
}

/* Is it run by the descriptor that is found under this name? */
static int
is_found(const crossing *x, PyObject *owner, PyObject *name)
{
    if (is_run_by(x, crossing_method_of(owner, name), crossing_names.fget,
                  crossing_names.get))
    {
        return 1;
    }
    PyObject *own = PyType_Check(owner)
                        ? _PyType_Lookup((PyTypeObject *)owner, name)
                        : NULL;
    return own != NULL && crossing_is_method_of(x, own, crossing_names.get);
}

/* Is it what reads this attribute, but for a last resort? */
static int
is_reader(const crossing *x, PyObject *owner, PyObject *name)
{
    return crossing_is_method_of(x, owner, crossing_names.getattribute)
           || is_found(x, owner, name);
}

/* The __getattr__ of its type, or of a module. Borrowed, or NULL. */
static PyObject *
last_resort(PyObject *owner)
{
    PyObject *names;

    if (PyModule_Check(owner)
        && Py_TYPE(owner)->tp_getattro == PyModule_Type.tp_getattro
        && (names = PyModule_GetDict(owner)) != NULL)
    {
        return PyDict_GetItem(names, crossing_names.getattr);
    }
    return crossing_method_of(owner, crossing_names.getattr);
}

/* Does super() find in the classes behind `type` (NULL: in all) what runs the
 * inner function when it is read? */
static int
is_inherited(const crossing *x, PyObject *type, PyObject *self, PyObject *name)
{
    PyTypeObject *kind = PyType_Check(self) ? (PyTypeObject *)self
                                            : Py_TYPE(self);
    PyObject *mro = kind->tp_mro;
    int behind = type == NULL;

    if (PyType_Check(self) && type != NULL && PyType_Check(type)
        && !PyType_IsSubtype(kind, (PyTypeObject *)type))
    {
        mro = Py_TYPE(self)->tp_mro;
    }
    for (Py_ssize_t i = 0; mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyObject *base = PyTuple_GET_ITEM(mro, i);
        PyObject *dict = behind ? interp_type_dict((PyTypeObject *)base)
                                : NULL;
        PyObject *found = dict == NULL ? NULL : PyDict_GetItem(dict, name);
        if (found != NULL
            && is_run_by(x, found, crossing_names.fget, crossing_names.get))
        {
            return 1;
        }
        if (found != NULL && type != NULL) {
            return 0;
        }
        behind |= base == type;
    }
    return 0;
}

/* What a super object keeps. Borrowed, or NULL. */
static PyObject *
super_member(PyObject *object, PyObject *name)
{
    PyObject *descriptor = _PyType_Lookup(&PySuper_Type, name), *value;
    descrgetfunc get = descriptor == NULL
                           ? NULL
                           : Py_TYPE(descriptor)->tp_descr_get;

    value = get == NULL
                ? NULL
                : get(descriptor, object, (PyObject *)&PySuper_Type);
    if (value == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(value);
    return value;
}

/* Is the inner function what sets the attribute, or deletes it? */
static int
is_writer(const crossing *x, PyObject *owner, PyObject *name, int deletes)
{
    const crossing_known_names *known = &crossing_names;
    return crossing_is_method_of(x, owner,
                                 deletes ? known->delattr : known->setattr)
           || is_run_by(x, crossing_method_of(owner, name),
                        deletes ? known->fdel : known->fset,
                        deletes ? known->delete : known->set);
}

/* ---- instructions ------------------------------------------------------ */

static PyObject *
name_of(const crossing *x, int index)
{
    return PyTuple_GET_ITEM(iframe_code(x->link->frame)->co_names, index);
}

int
crossing_attribute(crossing *x)
{
    PyObject *owner = islot_object(x->top[-1]), *self;
    PyObject *name = name_of(x, INTERP_ATTRIBUTE(x->link->oparg));

    if (!crossing_is_alive(x, x->link->opcode, owner)) {
        return 0;
    }
    if (Py_IS_TYPE(owner, &PySuper_Type)) {
        self = super_member(owner, crossing_names.self);
        return self != NULL
               && is_inherited(x, super_member(owner,
                                               crossing_names.this_class),
                               self, name);
    }
    PyObject *fallback = last_resort(owner);
    if (fallback == x->function) {
        return PyModule_Check(owner) || crossing_is_receiver(x, owner);
    }
    if (!is_reader(x, owner, name)) {
        return 0;
    }
    if (fallback != NULL && !PyModule_Check(owner)) {
        x->bridge = BRIDGE_ATTRIBUTE;
        x->values[0] = Py_NewRef(owner);
        x->values[1] = Py_NewRef(name);
    }
    return 1;
}

int
crossing_super(crossing *x)
{
    PyObject *name = name_of(x, x->link->oparg >> 2);
    int found = 0;

    if (!crossing_is_safe(x, x->link->opcode)) {
        return 0;
    }
    if (!x->link->waits) {
        return islot_object(x->top[-3]) == (PyObject *)&PySuper_Type
               && is_inherited(x, islot_object(x->top[-2]),
                               islot_object(x->top[-1]), name);
    }
    /* The super object has been made, and the operands dropped. */
    for (int i = 0; !found && i < 3; i++) {
        PyObject *self = crossing_argument(x, i);
        found = self != NULL && is_inherited(x, NULL, self, name);
    }
    x->link->held = 1;
    return found;
}

int
crossing_store(crossing *x, int deletes)
{
    PyObject *owner = islot_object(x->top[-1]);

    return crossing_is_alive(x, x->link->opcode, owner)
           && is_writer(x, owner, name_of(x, x->link->oparg), deletes);
}

int
crossing_name(crossing *x)
{
    PyObject *space = x->link->frame->f_locals;

    /* The frame keeps it. */
    return space != NULL && crossing_is_known(x, STORE_NAME)
           && crossing_is_receiver(x, space)
           && crossing_is_method_of(x, space, crossing_names.setitem);
}

/* ---- builtin functions -------------------------------------------------- */

/* getattr() and hasattr() */
static int
cross_reading(crossing *x, PyObject *owner, PyObject *name, int tests,
              PyObject *other)
{
    PyObject *fallback = last_resort(owner);
    int falls = fallback != NULL && !PyModule_Check(owner), last = 0;

    if (fallback == x->function) {
        last = PyModule_Check(owner) || crossing_is_receiver(x, owner);
    }
    if (!last && !is_reader(x, owner, name)) {
        return 0;
    }
    x->bridge = tests ? BRIDGE_FOUND : BRIDGE_FETCHED;
    x->values[0] = Py_NewRef(owner);
    x->values[1] = Py_NewRef(name);
    x->values[2] = PyBool_FromLong(falls && !last);
    if (!tests && x->writes) {
        x->values[3] = other == NULL ? PyTuple_New(0) : PyTuple_Pack(1, other);
    }
    return !tests && x->writes && x->values[3] == NULL ? -1 : 1;
}

/* object.__getattribute__(), __setattr__() and __delattr__(), or type's, as
 * what a class defines itself calls them. */
static int
cross_wrapper(crossing *x, PyObject *callable, islot *first, int count)
{
    const crossing_known_names *known = &crossing_names;
    PyObject *const methods[] = {known->getattribute, known->setattr,
                                 known->delattr};
    const int ways[] = {DISTANCE_GET, DISTANCE_SET, DISTANCE_DELETE};
    PyObject *owner, *name;
    int which = -1;

    if (!crossing_is_safe(x, DISTANCE_GET)
        && !crossing_is_safe(x, DISTANCE_SET)
        && !crossing_is_safe(x, DISTANCE_DELETE))
    {
        return 0;
    }
    if (Py_IS_TYPE(callable, &PyWrapperDescr_Type) && count > 1) {
        PyTypeObject *type = PyDescr_TYPE(callable);
        for (int i = 0; i < 3; i++) {
            if ((type == &PyBaseObject_Type || type == &PyType_Type)
                && PyUnicode_Compare(PyDescr_NAME(callable), methods[i]) == 0)
            {
                which = i;
            }
        }
        owner = islot_object(first[0]);
        name = islot_object(first[1]);
    }
    else if (count > 0) {
        which = crossing_bound_slot(x, callable, &PyBaseObject_Type, methods,
                                    3);
        if (which < 0) {
            which = crossing_bound_slot(x, callable, &PyType_Type, methods,
                                        3);
        }
        owner = which < 0 ? NULL : crossing_member(callable, known->self);
        name = islot_object(first[0]);
    }
    if (which < 0 || owner == NULL || !crossing_is_safe(x, ways[which])) {
        return 0;
    }
    if (which == 0) {
        return is_found(x, owner, name);
    }
    if (!is_run_by(x, crossing_method_of(owner, name),
                   which == 1 ? known->fset : known->fdel,
                   which == 1 ? known->set : known->delete))
    {
        return 0;
    }
    x->bridge = BRIDGE_NOTHING;
    return 1;
}

int
crossing_attribute_call(crossing *x, PyObject *callable, islot *first,
                        int count)
{
    const crossing_known_functions *known = &crossing_functions;
    const struct {
        int way;
        PyCFunction function;
    } all[] = {
        {DISTANCE_GETATTR, known->getattr},
        {DISTANCE_HASATTR, known->hasattr},
        {DISTANCE_SETATTR, known->setattr},
        {DISTANCE_DELATTR, known->delattr},
    };

    for (size_t i = 0; i < Py_ARRAY_LENGTH(all); i++) {
        int way = all[i].way;
        if (count < 2 || count > 3 || !crossing_is_safe(x, way)
            || crossing_c_function(callable) != all[i].function)
        {
            continue;
        }
        PyObject *owner = islot_object(first[0]);
        PyObject *name = islot_object(first[1]);
        if (way == DISTANCE_GETATTR || way == DISTANCE_HASATTR) {
            return cross_reading(x, owner, name, way == DISTANCE_HASATTR,
                                 count > 2 ? islot_object(first[2]) : NULL);
        }
        if (!is_writer(x, owner, name, way == DISTANCE_DELATTR)) {
            return 0;
        }
        x->bridge = BRIDGE_NOTHING;
        return 1;
    }
    return cross_wrapper(x, callable, first, count);
}
