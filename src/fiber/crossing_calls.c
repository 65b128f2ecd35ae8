/* Crossing calls: see crossing.h. */
#include "crossing.h"

#include "awaitable.h"
#include "distance.h"

/* Is the inner frame one of code that only exec(), eval() and class statements
 * run? */
static int
has_namespace(const crossing *x)
{
    return x->inner->f_locals != NULL
           && !(iframe_code(x->inner)->co_flags & CO_OPTIMIZED);
}

/* The names that an instruction of its own gives to the last arguments of a
 * pending CALL. Borrowed, or NULL. */
static PyObject *
keyword_names(const chain_link *link)
{
    PyCodeObject *code = iframe_code(link->frame);
    const analysis *a = analysis_get(code);
    int prefixes = interp_prefixes(link->oparg);
    int unit = link->pc - prefixes - 1;
    analysis_instruction before;

    if (INTERP_OP_PRECALL >= 0) {
        unit -= 2 + prefixes;
    }
    if (INTERP_OP_KW_NAMES < 0
        || analysis_at(a, analysis_start(a, unit), &before) < 0
        || before.opcode != INTERP_OP_KW_NAMES
        || before.oparg >= PyTuple_GET_SIZE(code->co_consts))
    {
        return NULL;
    }
    PyObject *names = PyTuple_GET_ITEM(code->co_consts, before.oparg);
    return PyTuple_CheckExact(names) ? names : NULL;
}

PyObject *
crossing_call_parts(const crossing *x, islot **first, int *count,
                    PyObject **names)
{
    islot *top = x->top;

    *names = keyword_names(x->link);
    if (x->link->opcode == INTERP_OP_CALL_KW) {
        top--;
        *names = islot_object(*top);
    }
    else if (x->link->opcode != CALL) {
        return NULL;
    }
    PyObject *callable = chain_call_operands(top, x->link->oparg, first);
    *count = (int)(top - *first);
    if (*names != NULL) {
        *count -= (int)PyTuple_GET_SIZE(*names);
    }
    return callable;
}

int
crossing_pack_arguments(islot *first, int count, PyObject *names,
                        PyObject **args, PyObject **kwargs)
{
    *args = PyTuple_New(count);
    *kwargs = PyDict_New();
    int status = *args == NULL || *kwargs == NULL ? -1 : 0;

    for (int i = 0; status == 0 && i < count; i++) {
        PyTuple_SET_ITEM(*args, i, Py_NewRef(islot_object(first[i])));
    }
    for (Py_ssize_t i = 0;
         status == 0 && names != NULL && i < PyTuple_GET_SIZE(names); i++)
    {
        status = PyDict_SetItem(*kwargs, PyTuple_GET_ITEM(names, i),
                                islot_object(first[count + i]));
    }
    return status;
}

/* Arguments as a tuple and a dict for a bridge. 0, or -1 with an exception. */
static int
take_arguments(crossing *x, islot *first, int count, PyObject *names)
{
    return x->writes ? crossing_pack_arguments(first, count, names,
                                               &x->values[1], &x->values[2])
                     : 0;
}

/* A call of a class: its __new__ or __init__. */
static int
cross_type(crossing *x, PyObject *type)
{
    PyObject *self = crossing_argument(x, 0), *names;
    islot *first;
    int count;

    if (!crossing_is_known(x, DISTANCE_TYPE)) {
        return 0;
    }
    if (self != NULL && PyObject_TypeCheck(self, (PyTypeObject *)type)
        && Py_TYPE(type)->tp_call == PyType_Type.tp_call
        && crossing_is_method_of(x, self, crossing_names.init))
    {
        /* The class is alive, since the object is. */
        x->bridge = BRIDGE_INIT;
        x->values[0] = Py_NewRef(self);
        return 1;
    }
    if (!crossing_is_alive(x, DISTANCE_TYPE, type) || !PyType_Check(type)
        || Py_TYPE(type)->tp_call != PyType_Type.tp_call
        || crossing_new_of((PyTypeObject *)type) != x->function)
    {
        return 0;
    }
    if (x->link->opcode == CALL_FUNCTION_EX) {
        return crossing_new(x, type);
    }
    if (crossing_call_parts(x, &first, &count, &names) != type) {
        return 0;
    }
    x->bridge = BRIDGE_NEW;
    x->values[0] = Py_NewRef(type);
    return take_arguments(x, first, count, names) < 0 ? -1 : 1;
}

/* What a base that is no class has as __mro_entries__. Borrowed, or NULL. */
static PyObject *
entries_of(PyObject *base)
{
    if (PyFunction_Check(base)) {
        PyObject *dict = ((PyFunctionObject *)base)->func_dict;
        return dict == NULL ? NULL
                            : PyDict_GetItem(dict, crossing_names.mro_entries);
    }
    return _PyType_Lookup(Py_TYPE(base), crossing_names.mro_entries);
}

/* Does it tell what to derive from by code of CPython's, which may run again?
 * Generic[T], list[int], NamedTuple. */
static int
has_known_entries(PyObject *base)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *typing = PyDict_CheckExact(modules)
                           ? PyDict_GetItem(modules, crossing_names.typing)
                           : NULL;
    PyObject *entries = entries_of(base);

    return Py_IS_TYPE(base, &Py_GenericAliasType)
           || (entries != NULL && PyFunction_Check(entries) && typing != NULL
               && PyModule_Check(typing)
               && PyFunction_GET_GLOBALS(entries) == PyModule_GetDict(typing));
}

/* The body of a class statement: __build_class__(function, name, *bases). */
static int
cross_class(crossing *x)
{
    PyObject *names, *space = x->inner->f_locals, *bases, *keywords;
    islot *first;
    int count, derived = 0;

    if (!crossing_is_known(x, DISTANCE_CLASS)) {
        return 0;
    }
    PyObject *callable = crossing_call_parts(x, &first, &count, &names);
    if (crossing_c_function(callable) != crossing_functions.build_class
        || count < 2 || islot_object(first[0]) != x->function)
    {
        return 0;
    }
    for (int i = 2; i < count; i++) {
        PyObject *base = islot_object(first[i]);
        if (!PyType_Check(base)) {
            if (!has_known_entries(base)) {
                return 0;
            }
            derived = 1;
        }
    }
    if (take_arguments(x, first + 2, count - 2, names) < 0) {
        return -1;
    }
    bases = x->values[1];
    keywords = x->values[2];
    x->bridge = derived ? BRIDGE_DERIVED_CLASS : BRIDGE_CLASS;
    x->values[0] = Py_NewRef(islot_object(first[1]));
    x->values[1] = bases;
    x->values[2] = Py_NewRef(space);
    x->values[3] = keywords;
    return 1;
}

/* exec() or eval() of a string, or of the inner frame's code. */
static int
cross_exec(crossing *x)
{
    PyObject *names;
    islot *first;
    int count;

    if (!crossing_is_known(x, DISTANCE_EXEC)) {
        return 0;
    }
    PyCFunction function = crossing_c_function(
        crossing_call_parts(x, &first, &count, &names));
    if (function == NULL || count < 1
        || (function != crossing_functions.exec
            && function != crossing_functions.eval))
    {
        return 0;
    }
    PyObject *source = islot_object(first[0]);
    PyObject *globals = count > 1 && !Py_IsNone(islot_object(first[1]))
                            ? islot_object(first[1])
                            : x->link->frame->f_globals;
    return source == (PyObject *)iframe_code(x->inner)
           || (PyUnicode_Check(source) && x->inner->f_globals == globals);
}

/* next(iterator[, default]) */
static int
cross_next(crossing *x, PyObject *callable, islot *first, int count)
{
    if (!crossing_is_safe(x, DISTANCE_NEXT)
        || crossing_c_function(callable) != crossing_functions.next
        || count < 1 || count > 2
        || !crossing_is_step_of(x, islot_object(*first)))
    {
        return 0;
    }
    if (count == 2) {
        x->bridge = BRIDGE_DEFAULT;
        x->values[0] = Py_NewRef(islot_object(first[1]));
    }
    return 1;
}

/* A builtin function of those that do more than to call one. */
static int
cross_builtin(crossing *x)
{
    PyObject *names;
    islot *first;
    int count;
    PyObject *callable = crossing_call_parts(x, &first, &count, &names);

    if (names != NULL || x->link->opcode != CALL) {
        return 0;
    }
    int crossed = crossing_conversion(x, callable, first, count);
    if (crossed == 0) {
        crossed = cross_next(x, callable, first, count);
    }
    if (crossed == 0) {
        crossed = crossing_operation_call(x, callable, count);
    }
    return crossed != 0 ? crossed
                        : crossing_attribute_call(x, callable, first, count);
}

int
crossing_call(crossing *x)
{
    PyObject *callable, *tuple;
    islot *first;

    if (x->link->opcode == CALL_FUNCTION_EX) {
        callable = chain_spread_operands(x->top, x->link->oparg, &tuple);
    }
    else {
        islot *end = x->top - (x->link->opcode == INTERP_OP_CALL_KW);
        callable = chain_call_operands(end, x->link->oparg, &first);
    }
    if (callable == NULL) {
        return 0;
    }
    if (has_namespace(x)) {
        int crossed = cross_class(x);
        return crossed != 0 ? crossed : cross_exec(x);
    }
    int crossed = cross_builtin(x);
    if (crossed == 0) {
        crossed = cross_type(x, callable);
    }
    if (crossed == 0) {
        crossed = crossing_class(x, callable);
    }
    if (crossed == 0) {
        crossed = crossing_context(x);
    }
    if (crossed != 0) {
        return crossed;
    }
    if (crossing_is_known(x, DISTANCE_OBJECT)
        && crossing_is_receiver(x, callable)
        && crossing_is_method_of(x, callable, crossing_names.call))
    {
        return 1;
    }
    if (crossing_is_known(x, CALL) && crossing_is_receiver(x, callable)
        && crossing_is_method_of(x, callable, crossing_names.exit))
    {
        /* A bound method: CPython has written self, without a reference, into
         * the callable's own operand. */
        return 1;
    }
    return (crossing_is_alive(x, DISTANCE_SPREAD, callable)
            && x->link->opcode == CALL_FUNCTION_EX
            && (PyFunction_Check(callable) || PyMethod_Check(callable))
            && crossing_leads_to(callable, x->function))
           || (crossing_is_alive(x, DISTANCE_PARTIAL, callable)
               && Py_IS_TYPE(callable, crossing_types.partial)
               && crossing_leads_to(callable, x->function))
           || (INTERP_HIDES_PARTIAL && crossing_is_safe(x, DISTANCE_PARTIAL)
               /* A partial of one argument has written that, without a
                * reference, into its own operand. */
               && (crossing_is_receiver(x, callable)
                   || callable == crossing_argument(x, 1)))
           || (crossing_is_alive(x, DISTANCE_CACHED, callable)
               && Py_IS_TYPE(callable, crossing_types.cache)
               && crossing_leads_to(callable, x->function))
           || (crossing_is_alive(x, x->link->opcode, callable)
               && (PyFunction_Check(callable) || PyMethod_Check(callable))
               && crossing_leads_to(callable, x->function));
}

int
crossing_generator_call(crossing *x, PyObject *gen)
{
    PyObject *names, *resumed = NULL;
    islot *first;
    int count, bound = 1;

    if (!x->passes && !crossing_is_known(x, DISTANCE_NEXT)
        && !crossing_is_known(x, DISTANCE_METHOD)
        && !crossing_is_known(x, DISTANCE_THROW)
        && !crossing_is_known(x, DISTANCE_CLOSE)
        && !crossing_is_await_call(x))
    {
        return 0;
    }
    PyObject *callable = crossing_call_parts(x, &first, &count, &names);
    if (names != NULL || !crossing_may_resume(x, callable)) {
        return 0;
    }
    PyCFunction function = crossing_c_function(callable);
    if (function == NULL) {
        return 0;
    }
    if (PyCFunction_Check(callable) && function != crossing_functions.next) {
        resumed = PyCFunction_GET_SELF(callable);
        bound = 0;
    }
    else if (count > 0) {
        resumed = islot_object(first[0]);
    }
    if (resumed != gen) {
        int defaults = function == crossing_functions.next && count > 1;
        return !defaults && (x->passes || crossing_is_await_call(x))
                       && awaitable_generator(resumed) == gen
                   ? crossing_await_call(x, resumed, function)
                   : 0;
    }
    count -= bound;
    if (function == crossing_functions.next) {
        if (!crossing_is_known(x, DISTANCE_NEXT) || count > 1) {
            return 0;
        }
        if (count == 1) {
            PyObject *value = islot_object(first[1]);
            /* A generator that is dropped belongs to nobody else. */
            if (Py_REFCNT(gen) == 1 && !crossing_may_give(x, value)) {
                return 0;
            }
            x->bridge = BRIDGE_DEFAULT;
            x->values[0] = Py_NewRef(value);
        }
        return 1;
    }
    if (function == crossing_functions.send) {
        return crossing_is_known(x, DISTANCE_METHOD) && count == 1;
    }
    if (function == crossing_functions.throw) {
        x->link->held = 1;
        return x->passes || crossing_is_known(x, DISTANCE_THROW);
    }
    if (function == crossing_functions.close) {
        x->bridge = BRIDGE_CLOSE;
        x->values[0] = PyBool_FromLong(INTERP_CLOSE_RETURNS);
        return x->passes || crossing_is_known(x, DISTANCE_CLOSE);
    }
    return 0;
}
