/* Crossing what calls methods: see crossing.h. */
#include "crossing.h"

/* ---- with statements --------------------------------------------------- */

int
crossing_leave(crossing *x)
{
    /* What is called stays on the stack. */
    return crossing_is_known(x, WITH_EXCEPT_START)
           && crossing_leads_to(islot_object(x->top[-INTERP_EXIT_SLOT]),
                                x->function);
}

/* CPython is about to push the bound __exit__, and then what __enter__
 * returns.  The first of the two takes the place of the operand. */
int
crossing_enter(crossing *x)
{
    PyObject *self = crossing_argument(x, 0), *exit;
    PyObject *operand = islot_object(x->top[-1]);

    if (!crossing_is_known(x, x->link->opcode) || self == NULL
        || !crossing_is_method_of(x, self, crossing_names.enter))
    {
        return 0;
    }
    exit = crossing_method_of(self, crossing_names.exit);
    if (exit == NULL || !PyFunction_Check(exit)
        || (operand != self
            && (!PyMethod_Check(operand)
                || PyMethod_GET_SELF(operand) != self
                || PyMethod_GET_FUNCTION(operand) != exit)))
    {
        return 0;
    }
    if (x->writes) {
        x->link->top = PyMethod_New(exit, self);
    }
    return x->writes && x->link->top == NULL ? -1 : 1;
}

/* ---- operators and items ----------------------------------------------- */

int
crossing_method(crossing *x, int operand, PyObject *name, bridge_kind bridge,
                int invert)
{
    if (!crossing_is_alive(x, x->link->opcode, islot_object(x->top[-operand]))
        || !crossing_is_method_of(x, islot_object(x->top[-operand]), name))
    {
        return 0;
    }
    x->bridge = bridge;
    if (bridge == BRIDGE_MEMBERSHIP) {
        x->values[0] = PyBool_FromLong(invert);
    }
    if (bridge == BRIDGE_TRUTH) {
        x->values[0] = Py_NewRef(islot_object(x->top[-operand]));
        x->values[1] = PyBool_FromLong(invert);
    }
    return 1;
}

int
crossing_subscript(crossing *x)
{
    PyObject *container = islot_object(x->top[-2]), *found;

    if (!crossing_is_alive(x, x->link->opcode, container)) {
        return 0;
    }
    if (crossing_is_method_of(x, container, crossing_names.getitem)
        || (PyDict_Check(container)
            && crossing_is_method_of(x, container, crossing_names.missing)))
    {
        return 1;
    }
    if (!PyType_Check(container)) {
        return 0;
    }
    found = _PyType_Lookup((PyTypeObject *)container,
                           crossing_names.class_getitem);
    return crossing_wrapped(found, &PyClassMethod_Type) == x->function;
}

/* ---- iterators --------------------------------------------------------- */

int
crossing_is_step_of(const crossing *x, PyObject *iterator)
{
    int found = crossing_is_method_of(x, iterator, crossing_names.step);

    if (!found && x->writes && Py_IS_TYPE(iterator, &PyMap_Type)) {
        /* (map, (function, iterator, ...)) */
        PyObject *parts = PyObject_CallMethod(iterator, "__reduce__", NULL);
        if (parts == NULL) {
            PyErr_Clear();
            return 0;
        }
        PyObject *arguments = PyTuple_GET_ITEM(parts, 1);
        found = crossing_leads_to(PyTuple_GET_ITEM(arguments, 0), x->function);
        Py_DECREF(parts);
    }
    return found;
}
