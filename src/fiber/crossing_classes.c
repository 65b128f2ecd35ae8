/* Crossing calls that make classes, and calls of classes through others: see
 * crossing.h.
 */
#include "crossing.h"

#include "distance.h"

/* ---- operands ----------------------------------------------------------- */

/* Are these the arguments of f(*args)?  If they were no tuple, the interpreter
 * has made one, and what is on the stack may be gone. */
static int
is_tuple(const crossing *x, PyObject *tuple)
{
    return tuple != NULL
           && (INTERP_TAGS_SLOTS || crossing_is_variable(x, tuple))
           && PyTuple_CheckExact(tuple);
}

/* The arguments of a call, of whatever form, without the first `skip`.  For a
 * bridge: *args and *kwargs are new references, or NULL if nothing is to be
 * written.  1, or 0 if they are not known, or -1 with an exception. */
static int
take_call(const crossing *x, int skip, PyObject **args, PyObject **kwargs)
{
    PyObject *names, *tuple, *dict = NULL;
    islot *first;
    int count;

    if (x->link->opcode == CALL_FUNCTION_EX) {
        (void)chain_spread_operands(x->top, x->link->oparg, &tuple);
        if (INTERP_SPREAD_KEYWORDS(x->link->oparg)) {
            dict = islot_object(x->top[-1]);
        }
        if (!is_tuple(x, tuple) || PyTuple_GET_SIZE(tuple) < skip
            || (dict != NULL && !PyDict_CheckExact(dict)))
        {
            return 0;
        }
        if (x->writes) {
            *args = PyTuple_GetSlice(tuple, skip, PY_SSIZE_T_MAX);
            *kwargs = dict == NULL ? PyDict_New() : PyDict_Copy(dict);
        }
    }
    else {
        (void)crossing_call_parts(x, &first, &count, &names);
        if (count < skip) {
            return 0;
        }
        if (x->writes
            && crossing_pack_arguments(first + skip, count - skip, names, args,
                                       kwargs) < 0)
        {
            return -1;
        }
    }
    return x->writes && (*args == NULL || *kwargs == NULL) ? -1 : 1;
}

/* What type.__call__(), which is called by the pending instruction, is to
 * call: its first argument, or what it is bound to.  *skip is set to how many
 * arguments come before those that are passed on. NULL if it is no such call.
 * Borrowed. */
static PyObject *
called_by_type(const crossing *x, PyObject *callable, int *skip)
{
    const crossing_known_names *known = &crossing_names;
    PyObject *names, *tuple;
    islot *first;
    int count;

    *skip = 0;
    if (crossing_bound_slot(x, callable, &PyType_Type, &known->call, 1) == 0) {
        return crossing_member(callable, known->self);
    }
    if (!Py_IS_TYPE(callable, &PyWrapperDescr_Type)
        || PyDescr_TYPE(callable) != &PyType_Type
        || PyUnicode_Compare(PyDescr_NAME(callable), known->call) != 0)
    {
        return NULL;
    }
    *skip = 1;
    if (x->link->opcode == CALL_FUNCTION_EX) {
        (void)chain_spread_operands(x->top, x->link->oparg, &tuple);
        return is_tuple(x, tuple) && PyTuple_GET_SIZE(tuple) > 0
                   ? PyTuple_GET_ITEM(tuple, 0)
                   : NULL;
    }
    (void)crossing_call_parts(x, &first, &count, &names);
    return count > 0 ? islot_object(first[0]) : NULL;
}

/* ---- what runs ---------------------------------------------------------- */

/* Is the inner function the type's __new__? */
static int
is_new(const crossing *x, PyObject *type)
{
    return crossing_new_of((PyTypeObject *)type) == x->function;
}

static int
is_metaclass(PyObject *object)
{
    return PyType_Check(object)
           && PyType_IsSubtype((PyTypeObject *)object, &PyType_Type);
}

/* Does nothing of Python follow when a class of this metaclass is made? */
static int
has_no_init(PyObject *meta)
{
    return ((PyTypeObject *)meta)->tp_init == PyType_Type.tp_init;
}

/* Is the inner function what a class inherits as its __init_subclass__? */
static int
is_subclass_hook(const crossing *x, PyObject *class)
{
    PyObject *mro = PyType_Check(class) ? ((PyTypeObject *)class)->tp_mro
                                        : NULL;

    for (Py_ssize_t i = 1; mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        PyObject *dict = interp_type_dict(base);
        PyObject *found = dict == NULL
                              ? NULL
                              : PyDict_GetItem(dict,
                                               crossing_names.init_subclass);
        if (found != NULL) {
            return crossing_wrapped(found, &PyClassMethod_Type)
                   == x->function;
        }
    }
    return 0;
}

/* Is the inner function one of those that make the object, or the class? */
static int
is_made(const crossing *x, PyObject *self)
{
    return crossing_is_method_of(x, self, crossing_names.init)
           || (PyType_Check(self)
               && (is_new(x, self) || is_subclass_hook(x, self)));
}

/* ---- kinds -------------------------------------------------------------- */

static int
take_new(crossing *x, PyObject *type, int skip)
{
    PyObject *args = NULL, *kwargs = NULL;
    int taken = take_call(x, skip, &args, &kwargs);

    if (taken == 0) {
        return 0;
    }
    x->bridge = BRIDGE_NEW;
    x->values[0] = Py_NewRef(type);
    x->values[1] = args;
    x->values[2] = kwargs;
    return taken;
}

int
crossing_new(crossing *x, PyObject *type)
{
    return crossing_is_safe(x, DISTANCE_TYPE) ? take_new(x, type, 0) : 0;
}

/* The class or object that is there already is the result. */
static int
take_instead(crossing *x, bridge_kind bridge, PyObject *made)
{
    x->bridge = bridge;
    x->values[0] = Py_NewRef(made);
    return 1;
}

/* type.__call__(): as a call of the class. */
static int
cross_type_call(crossing *x, PyObject *callable, PyObject *self)
{
    int skip;
    PyObject *type = called_by_type(x, callable, &skip);

    if (type == NULL || !PyType_Check(type)) {
        return 0;
    }
    if (PyObject_TypeCheck(self, (PyTypeObject *)type)
        && crossing_is_method_of(x, self, crossing_names.init))
    {
        return take_instead(x, BRIDGE_INIT, self);
    }
    return self == type && is_new(x, type) ? take_new(x, type, skip) : 0;
}

/* A class statement that has come to its metaclass. */
static int
cross_statement(crossing *x, PyObject *self)
{
    PyObject *names, *space = crossing_argument(x, 3), *cell = NULL;
    islot *first;
    int count;

    if (is_metaclass(self) && is_new(x, self) && has_no_init(self)) {
        (void)crossing_call_parts(x, &first, &count, &names);
        if (space != NULL && PyDict_Check(space)) {
            cell = PyDict_GetItem(space, crossing_names.class_cell);
        }
        x->bridge = BRIDGE_METACLASS;
        x->values[0] = Py_NewRef(islot_object(first[1]));
        x->values[1] = Py_NewRef(cell == NULL ? Py_None : cell);
        return 1;
    }
    return PyType_Check(self)
                   && crossing_is_method_of(x, self, crossing_names.init)
               ? take_instead(x, BRIDGE_INIT, self)
               : 0;
}

int
crossing_class(crossing *x, PyObject *callable)
{
    PyObject *self = crossing_argument(x, 0);

    /* Only then are the operands looked at. */
    if (self == NULL || !is_made(x, self)) {
        return 0;
    }
    if (crossing_is_safe(x, DISTANCE_METACALL)) {
        int crossed = cross_type_call(x, callable, self);
        if (crossed != 0) {
            return crossed;
        }
    }
    if (crossing_is_safe(x, DISTANCE_METACLASS)
        && crossing_c_function(callable) == crossing_functions.build_class)
    {
        return cross_statement(x, self);
    }
    if (!is_subclass_hook(x, self)
        || !has_no_init((PyObject *)Py_TYPE(self)))
    {
        return 0;
    }
    /* type.__new__() calls it last of all. */
    if ((crossing_is_safe(x, DISTANCE_SUBCLASS)
         && crossing_c_function(callable) == crossing_functions.build_class)
        || (crossing_is_safe(x, DISTANCE_NEW_CLASS)
            && (is_metaclass(callable)
                || (crossing_c_function(callable)
                        == crossing_functions.new_type
                    && PyCFunction_GET_SELF(callable)
                           == (PyObject *)&PyType_Type))))
    {
        return take_instead(x, BRIDGE_INSTEAD, self);
    }
    return 0;
}
