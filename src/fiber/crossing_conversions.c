/* Crossing builtin functions that call a method of an argument and look at
 * what it returns, and f-strings, which do the same: see crossing.h.
 */
#include "crossing.h"

#include "distance.h"

/* What pickletask/_conversions.py has. */
typedef struct {
    PyObject *function;         /* owned */
    PyObject *name, *method;    /* of the function, of the method; owned */
    int place;                  /* of the argument */
} conversion;

static conversion *conversions;
static int count_of_conversions;

/* For the bridge: the name of the function, of the method, the arguments. */
static int
take_conversion(crossing *x, PyObject *name, PyObject *method, islot *first,
                int count)
{
    x->bridge = BRIDGE_CONVERSION;
    if (!x->writes) {
        return 1;
    }
    PyObject *args = PyTuple_New(count);
    for (int i = 0; args != NULL && i < count; i++) {
        PyTuple_SET_ITEM(args, i, Py_NewRef(islot_object(first[i])));
    }
    x->values[0] = Py_NewRef(name);
    x->values[1] = Py_NewRef(method);
    x->values[2] = args;
    return args == NULL ? -1 : 1;
}

int
crossing_conversion(crossing *x, PyObject *callable, islot *first, int count)
{
    PyObject *self = crossing_argument(x, 0);

    for (int i = 0; self != NULL && i < count_of_conversions; i++) {
        const conversion *c = &conversions[i];
        if (c->function == callable && c->place < count
            && crossing_is_receiver(x, islot_object(first[c->place]))
            && crossing_is_method_of(x, self, c->method)
            && crossing_is_safe(x, DISTANCE_CONVERSION - i))
        {
            return take_conversion(x, c->name, c->method, first, count);
        }
    }
    return 0;
}

int
crossing_format(crossing *x, int converts, int spec)
{
    const crossing_known_names *known = &crossing_names;
    PyObject *functions[] = {known->format_function, known->str_function,
                             known->repr_function, known->ascii_function};
    PyObject *formats[] = {NULL, known->format_str, known->format_repr,
                           known->format_ascii};
    PyObject *methods[] = {known->format, known->str, known->repr};
    islot *first = &x->top[-1 - spec];
    PyObject *self = islot_object(*first);

    if (!crossing_is_receiver(x, self) || converts < 0 || converts > 3
        || !crossing_is_safe(x, x->link->opcode))
    {
        return 0;
    }
    for (int i = converts == 3 ? 2 : converts > 0 ? converts : 0; i < 3; i++) {
        if (crossing_is_method_of(x, self, methods[i])) {
            return take_conversion(x, converts > 0 && spec
                                          ? formats[converts]
                                          : functions[converts],
                                   methods[i], first, 1 + spec);
        }
    }
    return 0;
}

/* ---- setup -------------------------------------------------------------- */

/* 0, or -1 with an exception. */
static int
read_line(PyObject *line, conversion *c)
{
    PyObject *others;

    if (!PyArg_ParseTuple(line, "OiU|O", &c->function, &c->place, &c->method,
                          &others))
    {
        return -1;
    }
    Py_INCREF(c->function);
    Py_INCREF(c->method);
    PyUnicode_InternInPlace(&c->method);
    c->name = PyObject_GetAttrString(c->function, "__name__");
    return c->name == NULL ? -1 : 0;
}

int
crossing_conversions_setup(void)
{
    PyObject *module = PyImport_ImportModule("pickletask._conversions");
    PyObject *table = NULL;
    int status = -1;

    if (module != NULL) {
        table = PyObject_GetAttrString(module, "TABLE");
        Py_DECREF(module);
    }
    if (table == NULL || !PyTuple_CheckExact(table)) {
        goto error;
    }
    conversions = PyMem_Calloc(PyTuple_GET_SIZE(table), sizeof(conversion));
    if (conversions == NULL) {
        PyErr_NoMemory();
        goto error;
    }
    status = 0;
    for (Py_ssize_t i = 0; status == 0 && i < PyTuple_GET_SIZE(table); i++) {
        status = read_line(PyTuple_GET_ITEM(table, i), &conversions[i]);
        count_of_conversions = (int)i + (status == 0);
    }

error:
    Py_XDECREF(table);
    return status;
}
