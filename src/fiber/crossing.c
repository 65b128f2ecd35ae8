/* What crossings look at: see crossing.h. */
#include "crossing.h"

#include "distance.h"

crossing_known_names crossing_names;
crossing_known_functions crossing_functions;
crossing_known_types crossing_types;

int
crossing_is_known(const crossing *x, int way)
{
    return distance_is_known(way, &x->distance);
}

PyObject *
crossing_method_of(PyObject *object, PyObject *name)
{
    return _PyType_Lookup(Py_TYPE(object), name);
}

int
crossing_is_method_of(const crossing *x, PyObject *object, PyObject *name)
{
    return crossing_method_of(object, name) == x->function;
}

PyObject *
crossing_member(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(value);
    return value;
}

PyObject *
crossing_wrapped(PyObject *method, PyTypeObject *type)
{
    return method != NULL && Py_IS_TYPE(method, type)
               ? crossing_member(method, crossing_names.static_function)
               : NULL;
}

PyObject *
crossing_new_of(PyTypeObject *class)
{
    return crossing_wrapped(_PyType_Lookup(class, crossing_names.new),
                            &PyStaticMethod_Type);
}

int
crossing_bound_slot(const crossing *x, PyObject *callable,
                    PyTypeObject *type, PyObject *const *names, int count)
{
    int found = -1;

    if (!x->writes
        || !Py_IS_TYPE(callable, crossing_types.bound_wrapper)
        || crossing_member(callable, crossing_names.object_class)
               != (PyObject *)type)
    {
        return -1;
    }
    /* It is made anew each time. */
    PyObject *name = PyObject_GetAttr(callable, crossing_names.name);
    if (name == NULL) {
        PyErr_Clear();
        return -1;
    }
    for (int i = 0; i < count && PyUnicode_Check(name); i++) {
        if (PyUnicode_Compare(name, names[i]) == 0) {
            found = i;
        }
    }
    Py_DECREF(name);
    return found;
}

PyCFunction
crossing_c_function(PyObject *callable)
{
    if (callable != NULL && PyCFunction_Check(callable)) {
        return PyCFunction_GET_FUNCTION(callable);
    }
    if (callable != NULL && Py_IS_TYPE(callable, &PyMethodDescr_Type)) {
        return ((PyMethodDescrObject *)callable)->d_method->ml_meth;
    }
    return NULL;
}

PyObject *
crossing_argument(const crossing *x, int number)
{
    iframe *f = x->inner;
    PyCodeObject *code = iframe_code(f);
    int slot = number, packed = number - code->co_argcount;

    if (packed >= 0) {
        if (!(code->co_flags & CO_VARARGS)) {
            return NULL;
        }
        slot = code->co_argcount + code->co_kwonlyargcount;
    }
    PyObject *value = islot_object(f->localsplus[slot]);
    if (value != NULL && PyCell_Check(value) && interp_is_cell(code, slot)) {
        value = PyCell_GET(value);
    }
    if (packed >= 0 && value != NULL) {
        value = PyTuple_CheckExact(value) && PyTuple_GET_SIZE(value) > packed
                    ? PyTuple_GET_ITEM(value, packed)
                    : NULL;
    }
    return value;
}

/* Is the inner function told something: by the collector, which says "start"
 * or "stop", a signal or a trace function, which both come with a frame?  That
 * is done between instructions as well, when operands are gone. */
static int
may_be_told(const crossing *x)
{
    for (int i = 0; i < 3; i++) {
        PyObject *value = crossing_argument(x, i);
        if (value == NULL) {
            continue;
        }
        if (PyFrame_Check(value)) {
            return 1;
        }
        if (PyUnicode_CheckExact(value)
            && (PyUnicode_CompareWithASCIIString(value, "start") == 0
                || PyUnicode_CompareWithASCIIString(value, "stop") == 0))
        {
            PyObject *details = crossing_argument(x, i + 1);
            return details != NULL && PyDict_CheckExact(details);
        }
    }
    return 0;
}

/* Could the inner frame be one of a finaliser or of a callback of a weak
 * reference?  They get the object, or the reference, and nothing else. */
static int
may_be_finaliser(const crossing *x)
{
    PyCodeObject *code = iframe_code(x->inner);
    PyObject *first = crossing_argument(x, 0);

    if (code->co_argcount == 0 && !(code->co_flags & CO_VARARGS)) {
        return 0;
    }
    return first == NULL || PyWeakref_Check(first)
           || crossing_is_method_of(x, first, crossing_names.del)
           || PyUnicode_Compare(code->co_name, crossing_names.del) == 0;
}

int
crossing_is_safe(const crossing *x, int way)
{
    /* The distance alone doesn't say it: there are more ways to drop an
     * operand than can be measured. */
    return crossing_is_known(x, way) && !may_be_finaliser(x)
           && !may_be_told(x);
}

int
crossing_is_receiver(const crossing *x, PyObject *operand)
{
    return operand != NULL && operand == crossing_argument(x, 0);
}

int
crossing_is_variable(const crossing *x, PyObject *operand)
{
    return chain_variables_hold(x->link->frame, operand);
}

int
crossing_is_alive(const crossing *x, int way, PyObject *operand)
{
    return operand != NULL && crossing_is_known(x, way)
           && (crossing_is_safe(x, way) || crossing_is_receiver(x, operand)
               || crossing_is_variable(x, operand));
}

int
crossing_leads_to(PyObject *callable, PyObject *function)
{
    for (int i = 0; callable != NULL && i < 8; i++) {
        if (callable == function) {
            return 1;
        }
        if (PyMethod_Check(callable)) {
            callable = PyMethod_GET_FUNCTION(callable);
        }
        else if (Py_IS_TYPE(callable, crossing_types.partial)) {
            callable = crossing_member(callable, crossing_names.func);
        }
        else if (Py_IS_TYPE(callable, crossing_types.cache)) {
            callable = crossing_member(callable, crossing_names.wrapped);
        }
        else if (PyFunction_Check(callable) || PyType_Check(callable)) {
            return 0;
        }
        else {
            callable = crossing_method_of(callable, crossing_names.call);
        }
    }
    return 0;
}

/* ---- setup ------------------------------------------------------------- */

/* The C function of an attribute of `object`. NULL with an exception. */
static PyCFunction
find_function(PyObject *object, const char *name)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    PyCFunction function = crossing_c_function(value);

    if (value != NULL && function == NULL) {
        PyErr_Format(PyExc_ImportError, "pickletask must be imported before "
                     "the builtin %s() is replaced", name);
    }
    Py_XDECREF(value);
    return function;
}

/* 0, or -1 with an exception. */
static int
find_functions(void)
{
    crossing_known_functions *known = &crossing_functions;
    PyObject *builtins = PyImport_ImportModule("builtins");
    PyObject *generator = (PyObject *)&PyGen_Type;
    int found = 0;

    if (builtins != NULL) {
        known->next = find_function(builtins, "next");
        known->exec = find_function(builtins, "exec");
        known->eval = find_function(builtins, "eval");
        known->import = find_function(builtins, "__import__");
        known->build_class = find_function(builtins, "__build_class__");
        known->getattr = find_function(builtins, "getattr");
        known->hasattr = find_function(builtins, "hasattr");
        known->setattr = find_function(builtins, "setattr");
        known->delattr = find_function(builtins, "delattr");
        known->divmod = find_function(builtins, "divmod");
        known->power = find_function(builtins, "pow");
        known->new_type = find_function((PyObject *)&PyType_Type, "__new__");
        known->send = find_function(generator, "send");
        known->throw = find_function(generator, "throw");
        known->close = find_function(generator, "close");
        known->run = find_function((PyObject *)&PyContext_Type, "run");
        found = !PyErr_Occurred();
        Py_DECREF(builtins);
    }
    return found ? 0 : -1;
}

/* functools.partial, the type that lru_cache() makes, and that of bound
 * methods which are slots of types. 0, or -1 with an exception. */
static int
find_types(void)
{
    PyObject *functools = PyImport_ImportModule("functools");
    PyObject *partial = NULL, *cache = NULL;
    PyObject *bound = PyObject_GetAttrString(Py_None, "__str__");

    if (functools != NULL) {
        partial = PyObject_GetAttrString(functools, "partial");
        cache = PyObject_GetAttrString(functools, "_lru_cache_wrapper");
        Py_DECREF(functools);
    }
    crossing_types.partial = (PyTypeObject *)partial;
    crossing_types.cache = (PyTypeObject *)cache;
    if (bound != NULL) {
        crossing_types.bound_wrapper = Py_TYPE(bound);
        Py_DECREF(bound);
    }
    return partial == NULL || cache == NULL || bound == NULL ? -1 : 0;
}

/* 0, or -1 with an exception. */
static int
make_names(void)
{
    crossing_known_names *known = &crossing_names;
    const struct {
        PyObject **place;
        const char *text;
    } names[] = {
        {&known->init, "__init__"},
        {&known->new, "__new__"},
        {&known->call, "__call__"},
        {&known->enter, "__enter__"},
        {&known->exit, "__exit__"},
        {&known->wrapped, "__wrapped__"},
        {&known->static_function, "__func__"},
        {&known->func, "func"},
        {&known->fget, "fget"},
        {&known->get, "__get__"},
        {&known->getattr, "__getattr__"},
        {&known->getattribute, "__getattribute__"},
        {&known->getitem, "__getitem__"},
        {&known->contains, "__contains__"},
        {&known->boolean, "__bool__"},
        {&known->iter, "__iter__"},
        {&known->neg, "__neg__"},
        {&known->invert, "__invert__"},
        {&known->pos, "__pos__"},
        {&known->del, "__del__"},
        {&known->step, "__next__"},
        {&known->send, "send"},
        {&known->throw, "throw"},
        {&known->close, "close"},
        {&known->missing, "__missing__"},
        {&known->setitem, "__setitem__"},
        {&known->delitem, "__delitem__"},
        {&known->setattr, "__setattr__"},
        {&known->delattr, "__delattr__"},
        {&known->fset, "fset"},
        {&known->fdel, "fdel"},
        {&known->set, "__set__"},
        {&known->delete, "__delete__"},
        {&known->self, "__self__"},
        {&known->this_class, "__thisclass__"},
        {&known->object_class, "__objclass__"},
        {&known->name, "__name__"},
        {&known->init_subclass, "__init_subclass__"},
        {&known->class_cell, "__classcell__"},
        {&known->mro_entries, "__mro_entries__"},
        {&known->typing, "typing"},
        {&known->class_getitem, "__class_getitem__"},
        {&known->format, "__format__"},
        {&known->str, "__str__"},
        {&known->repr, "__repr__"},
        {&known->format_function, "format"},
        {&known->str_function, "str"},
        {&known->repr_function, "repr"},
        {&known->ascii_function, "ascii"},
        {&known->format_str, "!s"},
        {&known->format_repr, "!r"},
        {&known->format_ascii, "!a"},
    };
    int failed = 0;

    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].text);
        failed |= *names[i].place == NULL;
    }
    return failed ? -1 : 0;
}

int
crossing_setup(void)
{
    return find_functions() < 0 || find_types() < 0 || make_names() < 0
                   || crossing_operators_setup() < 0
                   || crossing_conversions_setup() < 0
               ? -1
               : 0;
}
