/* Crossing a boundary (boundary.h), one kind of C code after the other.
 *
 * A crossing is what is known of one boundary.  Each function crossing_...()
 * that returns an int looks whether it is of a certain kind.  It returns 1 if
 * it is and can be crossed, 0 if not, -1 with an exception if there's no
 * memory; it may choose a bridge, and what takes the place of an operand.
 * None of this runs Python code.  The collector may ask, too: nothing is
 * allocated then.
 */
#ifndef PICKLETASK_CROSSING_H
#define PICKLETASK_CROSSING_H

#include "distance.h"
#include "fiber/chain.h"

typedef struct {
    chain_link *link;           /* of the outer frame */
    iframe *inner;
    PyObject *function;         /* the inner frame's; borrowed */
    islot *top;                 /* end of the outer frame's operands */
    distance distance;
    int writes;                 /* it is to be written down: parameters and
                                 * such are wanted, which need memory */
    int passes;                 /* proved: what is thrown into the inner frame
                                 * has passed through others */
    bridge_kind bridge;
    PyObject *values[BRIDGE_VALUES];    /* the bridge's parameters; owned */
    PyObject *generator;        /* which the bridge is of; owned, or NULL */
} crossing;

/* ---- kinds ------------------------------------------------------------- */

/* CALL, CALL_KW, CALL_FUNCTION_EX: of a function. */
int crossing_call(crossing *x);
/* The same, of what resumes the inner frame's generator. */
int crossing_generator_call(crossing *x, PyObject *gen);

/* The same, of Context.run(). */
int crossing_context(crossing *x);

int crossing_enter(crossing *x);        /* BEFORE_WITH */
int crossing_leave(crossing *x);        /* WITH_EXCEPT_START */
int crossing_attribute(crossing *x);    /* LOAD_ATTR */
int crossing_super(crossing *x);        /* LOAD_SUPER_ATTR */
int crossing_store(crossing *x, int deletes);   /* STORE_ATTR, DELETE_ATTR */
int crossing_name(crossing *x);         /* STORE_NAME */
int crossing_subscript(crossing *x);    /* BINARY_SUBSCR */
int crossing_step(crossing *x);         /* FOR_ITER */
/* The same: an iterator asks this one, which is the inner frame's. */
int crossing_source(crossing *x, PyObject *source);

/* FOR_ITER, SEND: to what resumes the inner frame's generator. */
int crossing_await(crossing *x, PyObject *gen, PyObject *receiver);
/* CALL: of a method of what resumes it. */
int crossing_await_call(crossing *x, PyObject *awaitable,
                        PyCFunction function);

/* Is it such a call, whose operands may be looked at? */
int crossing_is_await_call(const crossing *x);

/* May it be looked at what a CALL calls, and what it gives as a value in place
 * of another?  The distance alone doesn't prove it: a generator that is closed
 * while an operand is dropped can happen to be as far away as one that a
 * method resumes. */
int crossing_may_resume(const crossing *x, PyObject *callable);
int crossing_may_give(const crossing *x, PyObject *value);

/* throw() and close() of a generator that delegates to another reach that one
 * first, with no loop for the frames in between, which are in no chain or in
 * that of the outer frame. */
iframe *crossing_thrower(iframe *outer);
/* Appends these frames; the outermost of them takes the place of x->inner. */
int crossing_pass(crossing *x, chain *c);

/* An instruction that passes on what the method of an operand (counted from
 * the top, from 1) returns, or what the bridge makes of it. */
int crossing_method(crossing *x, int operand, PyObject *name,
                    bridge_kind bridge, int invert);

int crossing_operation(crossing *x);    /* BINARY_OP */
int crossing_comparison(crossing *x);   /* COMPARE_OP */

/* A part of an f-string. `converts`: 1 str(), 2 repr(), 3 ascii(); `spec`: how
 * it is to be formatted is on top. */
int crossing_format(crossing *x, int converts, int spec);

/* CALL of a builtin function without keywords: of getattr(), setattr() and so
 * on; of one that calls a method and converts what it returns; of divmod() or
 * pow(). */
int crossing_attribute_call(crossing *x, PyObject *callable, islot *first,
                            int count);
int crossing_conversion(crossing *x, PyObject *callable, islot *first,
                        int count);
int crossing_operation_call(crossing *x, PyObject *callable, int count);

/* A call of any kind: of a metaclass, or what calls one. */
int crossing_class(crossing *x, PyObject *callable);
/* type(*args): its __new__ */
int crossing_new(crossing *x, PyObject *type);

/* What is called by the pending CALL or CALL_KW, whose operands are alive;
 * *first and *count are set to its positional arguments, self included. *names
 * is set to the names of keyword arguments behind them. Borrowed, or NULL. */
PyObject *crossing_call_parts(const crossing *x, islot **first, int *count,
                              PyObject **names);

/* These arguments as a tuple and a dict: *args and *kwargs are new references,
 * or NULL. 0, or -1 with an exception. */
int crossing_pack_arguments(islot *first, int count, PyObject *names,
                            PyObject **args, PyObject **kwargs);

/* ---- what they look at ------------------------------------------------- */

/* Does the way (distance.h) make this distance? */
int crossing_is_known(const crossing *x, int way);

/* Is it also known that the instruction isn't dropping its operands? */
int crossing_is_safe(const crossing *x, int way);

/* Is this operand, which may be gone, a first argument, and so alive? */
int crossing_is_receiver(const crossing *x, PyObject *operand);

/* Is this operand, which may be gone, what a variable of the outer frame holds
 * as well? */
int crossing_is_variable(const crossing *x, PyObject *operand);

/* May this operand be looked at, if the instruction takes that way? */
int crossing_is_alive(const crossing *x, int way, PyObject *operand);

/* A positional argument that the inner function was given, if its frame has
 * not bound the name anew. Borrowed, or NULL. */
PyObject *crossing_argument(const crossing *x, int number);

/* What the object's type has for a special method. Borrowed, or NULL. */
PyObject *crossing_method_of(PyObject *object, PyObject *name);

/* Is that the inner function? */
int crossing_is_method_of(const crossing *x, PyObject *object,
                          PyObject *name);

/* An attribute of an object of a type of CPython's own, which keeps it.
 * Borrowed, or NULL. */
PyObject *crossing_member(PyObject *object, PyObject *name);

/* What a staticmethod or a classmethod, of which `type` says one, wraps. NULL
 * if `method`, which may be NULL, is none. Borrowed. */
PyObject *crossing_wrapped(PyObject *method, PyTypeObject *type);

/* What the class has wrapped as its __new__. Borrowed, or NULL. */
PyObject *crossing_new_of(PyTypeObject *class);

/* Is it a bound method that is a slot of this type of CPython's own, such as
 * object().__str__?  The name is to be one of names[]: which, or -1. */
int crossing_bound_slot(const crossing *x, PyObject *callable,
                        PyTypeObject *type, PyObject *const *names, int count);

/* The C function behind a callable. NULL if there's none. */
PyCFunction crossing_c_function(PyObject *callable);

/* Does a call of `callable` do nothing but call the function, and pass on
 * what it returns? */
int crossing_leads_to(PyObject *callable, PyObject *function);

/* Is the inner function the next step of this iterator, which passes on what
 * it returns? */
int crossing_is_step_of(const crossing *x, PyObject *iterator);

/* ---- what is the same in all of them ----------------------------------- */

/* Interned. */
typedef struct {
    PyObject *init, *new, *call, *enter, *exit, *wrapped, *static_function,
        *func, *fget, *get, *getattr, *getattribute, *getitem, *contains,
        *boolean, *iter, *neg, *invert, *pos, *del, *step, *send, *throw,
        *close, *missing, *setitem, *delitem, *setattr, *delattr, *fset, *fdel,
        *set, *delete, *self, *this_class, *class_getitem, *object_class,
        *name, *init_subclass, *class_cell, *mro_entries, *typing;
    PyObject *format, *str, *repr, *format_function, *str_function,
        *repr_function, *ascii_function, *format_str, *format_repr,
        *format_ascii;
} crossing_known_names;

/* CPython's own. */
typedef struct {
    PyCFunction next, send, throw, close, build_class, exec, eval, run,
        getattr, hasattr, setattr, delattr, divmod, power, new_type, import;
} crossing_known_functions;

typedef struct {
    PyTypeObject *partial, *cache, *bound_wrapper;
} crossing_known_types;

extern crossing_known_names crossing_names;
extern crossing_known_functions crossing_functions;
extern crossing_known_types crossing_types;

/* 0, or -1 with an exception. */
int crossing_setup(void);
int crossing_operators_setup(void);
int crossing_conversions_setup(void);

#endif
