/* Crossing the steps of for statements: see crossing.h. */
#include "crossing.h"

#include "distance.h"

/* map(), filter(), zip() and enumerate() objects over the iterators that they
 * ask in turn.  The first one may be asked when nothing has been taken from
 * the others; what was taken later on only C code has. */
typedef struct {
    bridge_kind bridge;
    int way;
    int before;     /* what comes before the iterators in its reduction */
} gatherer;

/* NULL if the object is none. */
static const gatherer *
gatherer_of(PyObject *iterator)
{
    static const gatherer map = {BRIDGE_MAPPED, DISTANCE_MAP, 1},
                          filter = {BRIDGE_FILTERED, DISTANCE_FILTER, 1},
                          zip = {BRIDGE_ZIPPED, DISTANCE_ZIP, 0},
                          counter = {BRIDGE_COUNTED, DISTANCE_ENUMERATE, 0};

    return Py_IS_TYPE(iterator, &PyMap_Type)      ? &map
           : Py_IS_TYPE(iterator, &PyFilter_Type) ? &filter
           : Py_IS_TYPE(iterator, &PyZip_Type)    ? &zip
           : Py_IS_TYPE(iterator, &PyEnum_Type)   ? &counter
                                                  : NULL;
}

/* The loop gets a generator of the bridge in the place of its iterator. */
static int
take_loop(crossing *x, bridge_kind bridge)
{
    x->bridge = bridge;
    x->link->how = PENDING_GENERATOR;
    if (!x->writes) {
        return 1;
    }
    x->generator = bridge_generator(bridge_get(bridge));
    x->link->top = Py_XNewRef(x->generator);
    return x->generator == NULL ? -1 : 1;
}

/* What the iterator is made of: its arguments. New reference, or NULL. */
static PyObject *
parts_of(PyObject *iterator, int *strict)
{
    PyObject *reduced = PyObject_CallMethod(iterator, "__reduce__", NULL);
    if (reduced == NULL) {
        PyErr_Clear();
        return NULL;
    }
    PyObject *parts = Py_NewRef(PyTuple_GET_ITEM(reduced, 1));
    *strict = PyTuple_GET_SIZE(reduced) > 2;
    Py_DECREF(reduced);
    return parts;
}

/* Gives the bridge the arguments of the iterator that asks `source`. */
static int
take_parts(crossing *x, const gatherer *g, PyObject *parts, PyObject *source,
           int strict)
{
    int before = g->before;

    if (PyTuple_GET_SIZE(parts) <= before
        || PyTuple_GET_ITEM(parts, before) != source)
    {
        return 0;
    }
    for (Py_ssize_t i = before + 1; i < PyTuple_GET_SIZE(parts); i++) {
        if (PyTuple_GET_ITEM(parts, i) == source) {
            return 0;
        }
    }
    if (g->bridge == BRIDGE_COUNTED) {
        x->values[0] = Py_NewRef(source);
        x->values[1] = Py_NewRef(PyTuple_GET_ITEM(parts, 1));
        return take_loop(x, g->bridge);
    }
    x->values[0] = before ? Py_NewRef(PyTuple_GET_ITEM(parts, 0))
                          : PyBool_FromLong(strict);
    x->values[1] = PyTuple_GetSlice(parts, before, PY_SSIZE_T_MAX);
    return x->values[1] == NULL ? -1 : take_loop(x, g->bridge);
}

/* Could anybody else use the iterator?  A comprehension has it as its first
 * argument as well, and does nothing with that but to begin the loop. */
static int
is_shared(const crossing *x, PyObject *iterator)
{
    PyCodeObject *code = iframe_code(x->link->frame);
    int argument = code->co_argcount == 1
                   && PyUnicode_CompareWithASCIIString(
                          PyTuple_GET_ITEM(code->co_localsplusnames, 0), ".0")
                          == 0
                   && islot_object(x->link->frame->localsplus[0]) == iterator;
    return Py_REFCNT(iterator) > 1 + argument;
}

/* enumerate() alone has something of its own: how many there were.  Others
 * who have it would miss that. */
int
crossing_source(crossing *x, PyObject *source)
{
    PyObject *iterator = islot_object(x->top[-INTERP_ITERATOR_SLOTS]);
    const gatherer *g = iterator == NULL ? NULL : gatherer_of(iterator);
    int strict;

    if (g == NULL || !x->writes || !crossing_is_known(x, g->way)
        || (g->bridge == BRIDGE_COUNTED && is_shared(x, iterator)))
    {
        return 0;
    }
    PyObject *parts = parts_of(iterator, &strict);
    int taken = parts == NULL ? 0 : take_parts(x, g, parts, source, strict);
    Py_XDECREF(parts);
    return taken;
}

/* The function of a map() object is running. */
static int
cross_map(crossing *x, PyObject *iterator)
{
    int strict;
    PyObject *parts = x->writes ? parts_of(iterator, &strict) : NULL;

    if (parts == NULL
        || !crossing_leads_to(PyTuple_GET_ITEM(parts, 0), x->function))
    {
        Py_XDECREF(parts);
        return 0;
    }
    x->values[0] = Py_NewRef(PyTuple_GET_ITEM(parts, 0));
    x->values[1] = PyTuple_GetSlice(parts, 1, PY_SSIZE_T_MAX);
    Py_DECREF(parts);
    return x->values[1] == NULL ? -1 : take_loop(x, BRIDGE_APPLIED);
}

int
crossing_step(crossing *x)
{
    /* The iterator stays on the stack. */
    PyObject *iterator = islot_object(x->top[-INTERP_ITERATOR_SLOTS]);
    PyObject *self = crossing_argument(x, 0);

    if (iterator == NULL) {
        return 0;
    }
    if (crossing_is_known(x, FOR_ITER)
        && crossing_is_method_of(x, iterator, crossing_names.step))
    {
        x->values[0] = Py_NewRef(iterator);
        return take_loop(x, BRIDGE_STEPS);
    }
    if (crossing_is_known(x, FOR_ITER) && Py_IS_TYPE(iterator, &PyMap_Type)) {
        int crossed = cross_map(x, iterator);
        if (crossed != 0) {
            return crossed;
        }
    }
    return self != NULL && crossing_is_method_of(x, self, crossing_names.step)
               ? crossing_source(x, self)
               : 0;
}
