/* Crossing binary operators and comparisons: see crossing.h. */
#include "crossing.h"

#include "distance.h"

/* The arithmetic operators, as their opargs count them; in-place ones follow
 * in the same order.  Behind them, what is none. */
#define OPERATORS 13
#define DIVMOD OPERATORS
static const char *const symbols[OPERATORS + 1] = {
    "+", "&", "//", "<<", "@", "*", "%", "|", "** or pow()", ">>", "-", "/",
    "^", "divmod()",
};
static const char *const operators[OPERATORS + 1] = {
    "add", "and", "floordiv", "lshift", "matmul", "mul", "mod", "or", "pow",
    "rshift", "sub", "truediv", "xor", "divmod",
};
enum { PLAIN, REFLECTED, INPLACE };
static PyObject *operator_names[3][OPERATORS + 1];

/* The comparisons; what they are when the operands change places. */
#define COMPARISONS 6
static const char *const comparison_symbols[COMPARISONS] = {
    "<", "<=", "==", "!=", ">", ">=",
};
static const char *const comparisons[COMPARISONS] = {
    "__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__",
};
static const int swapped[COMPARISONS] = {Py_GT, Py_GE, Py_EQ, Py_NE, Py_LT,
                                         Py_LE};
static PyObject *comparison_names[COMPARISONS];

/* A way to compute an operation: a method of one operand gets the other. */
typedef struct {
    PyObject *receiver, *argument, *name;   /* borrowed */
} attempt;

/* Which of the ways is under way; -1 if none of them. */
static int
find_attempt(const crossing *x, const attempt *attempts, int count)
{
    PyObject *self = crossing_argument(x, 0);

    for (int i = 0; i < count; i++) {
        if (attempts[i].receiver == self
            && crossing_is_method_of(x, self, attempts[i].name))
        {
            return i;
        }
    }
    return -1;
}

/* These ways for a bridge. New reference, or NULL with an exception. */
static PyObject *
pack_attempts(const attempt *attempts, int count)
{
    PyObject *all = PyTuple_New(count);

    for (int i = 0; all != NULL && i < count; i++) {
        PyObject *item = PyTuple_Pack(3, attempts[i].receiver,
                                      attempts[i].argument, attempts[i].name);
        if (item == NULL) {
            Py_CLEAR(all);
            break;
        }
        PyTuple_SET_ITEM(all, i, item);
    }
    return all;
}

/* May both operands be looked at?  If one of them is the first argument, its
 * method is under way, or what ends now is the other operand, whose method
 * isn't this one. */
static int
are_alive(const crossing *x, int way)
{
    return crossing_is_known(x, way)
           && (crossing_is_safe(x, way)
               || crossing_is_receiver(x, islot_object(x->top[-2]))
               || crossing_is_receiver(x, islot_object(x->top[-1])));
}

/* Has the right operand's class a better claim to the operation? */
static int
right_is_first(PyObject *left, PyObject *right)
{
    return !Py_IS_TYPE(left, Py_TYPE(right))
           && PyType_IsSubtype(Py_TYPE(right), Py_TYPE(left));
}

/* What sequences do with + and * comes after all methods of numbers. */
static int
is_sequence(PyObject *object)
{
    PySequenceMethods *methods = Py_TYPE(object)->tp_as_sequence;
    return methods != NULL
           && (methods->sq_concat != NULL || methods->sq_repeat != NULL);
}

static int
can_add(PyObject *object)
{
    PyNumberMethods *methods = Py_TYPE(object)->tp_as_number;
    return methods != NULL && methods->nb_add != NULL;
}

/* Gives the bridge what it needs to go on with the operation. */
static int
take_operation(crossing *x, bridge_kind bridge, const char *symbol,
               const char *suffix, const attempt *attempts, int count)
{
    int under_way = find_attempt(x, attempts, count);

    if (under_way < 0) {
        return 0;
    }
    x->bridge = bridge;
    if (!x->writes) {
        return 1;
    }
    x->values[0] = Py_NewRef(islot_object(x->top[-2]));
    x->values[1] = Py_NewRef(islot_object(x->top[-1]));
    x->values[2] = PyUnicode_FromFormat("%s%s", symbol, suffix);
    x->values[3] = pack_attempts(&attempts[under_way + 1],
                                 count - under_way - 1);
    return x->values[2] == NULL || x->values[3] == NULL ? -1 : 1;
}

/* An operation of the two topmost operands, which are alive. */
static int
cross_operation(crossing *x, int op, int in_place)
{
    PyObject *left = islot_object(x->top[-2]);
    PyObject *right = islot_object(x->top[-1]);
    const char *symbol = symbols[op];
    int count = 0;
    attempt all[3];

    int joins = op == NB_ADD && is_sequence(left);
    if ((joins && (in_place || can_add(left)))
        || (op == NB_MULTIPLY && (is_sequence(left) || is_sequence(right))))
    {
        return 0;
    }
    if (in_place) {
        all[count++] = (attempt){left, right, operator_names[INPLACE][op]};
        symbol = op == NB_POWER ? "**" : symbol;
    }
    PyObject *plain = operator_names[PLAIN][op];
    PyObject *reflected = operator_names[REFLECTED][op];
    int first = !joins && right_is_first(left, right)
                && crossing_method_of(right, reflected)
                       != crossing_method_of(left, reflected);
    if (first) {
        all[count++] = (attempt){right, left, reflected};
    }
    if (!joins) {
        all[count++] = (attempt){left, right, plain};
    }
    if (!first && !Py_IS_TYPE(left, Py_TYPE(right))) {
        all[count++] = (attempt){right, left, reflected};
    }
    if (joins) {
        all[count++] = (attempt){left, right, plain};
    }
    return take_operation(x, BRIDGE_OPERATION, symbol, in_place ? "=" : "",
                          all, count);
}

int
crossing_operation(crossing *x)
{
    int oparg = x->link->oparg;

    return oparg < 2 * OPERATORS && are_alive(x, x->link->opcode)
               ? cross_operation(x, oparg % OPERATORS, oparg >= OPERATORS)
               : 0;
}

int
crossing_operation_call(crossing *x, PyObject *callable, int count)
{
    const crossing_known_functions *known = &crossing_functions;

    if (count != 2) {
        return 0;
    }
    if (crossing_is_safe(x, DISTANCE_DIVMOD)
        && crossing_c_function(callable) == known->divmod)
    {
        return cross_operation(x, DIVMOD, 0);
    }
    return crossing_is_safe(x, DISTANCE_POWER)
                   && crossing_c_function(callable) == known->power
               ? cross_operation(x, NB_POWER, 0)
               : 0;
}

int
crossing_comparison(crossing *x)
{
    PyObject *left = islot_object(x->top[-2]);
    PyObject *right = islot_object(x->top[-1]);
    int op = INTERP_COMPARISON(x->link->oparg);

    if (op >= COMPARISONS || !are_alive(x, x->link->opcode)) {
        return 0;
    }
    int first = right_is_first(left, right);
    attempt all[2];
    all[first] = (attempt){left, right, comparison_names[op]};
    all[!first] = (attempt){right, left, comparison_names[swapped[op]]};
    return take_operation(x,
                          INTERP_COMPARES_TO_BOOL(x->link->oparg)
                              ? BRIDGE_CONDITION
                              : BRIDGE_COMPARISON,
                          comparison_symbols[op], "", all, 2);
}


int
crossing_operators_setup(void)
{
    static const char *const prefixes[] = {"", "r", "i"};
    int failed = 0;

    for (int i = 0; i < 3 * (OPERATORS + 1); i++) {
        int prefix = i / (OPERATORS + 1), op = i % (OPERATORS + 1);
        PyObject **place = &operator_names[prefix][op];
        *place = PyUnicode_FromFormat("__%s%s__", prefixes[prefix],
                                      operators[op]);
        if (*place != NULL) {
            PyUnicode_InternInPlace(place);
        }
        failed |= *place == NULL;
    }
    for (int i = 0; i < COMPARISONS; i++) {
        comparison_names[i] = PyUnicode_InternFromString(comparisons[i]);
        failed |= comparison_names[i] == NULL;
    }
    return failed ? -1 : 0;
}
