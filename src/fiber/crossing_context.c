/* Crossing Context.run(): see crossing.h. */
#include "crossing.h"

#include "contexts.h"
#include "distance.h"

/* The context, and what is run in it, of a pending call whose operands are
 * alive if it is one of Context.run(). Borrowed; NULL if it isn't.  Of
 * f(*args) the arguments may be gone: the interpreter has made a tuple of
 * them. */
static PyObject *
call_operands(const crossing *x, PyObject **function)
{
    PyObject *callable, *tuple, *names;
    islot *first;
    int count;

    if (x->link->opcode == CALL_FUNCTION_EX) {
        callable = chain_spread_operands(x->top, x->link->oparg, &tuple);
        *function = x->function;
        return crossing_c_function(callable) == crossing_functions.run
                       && PyCFunction_Check(callable)
                   ? PyCFunction_GET_SELF(callable)
                   : NULL;
    }
    callable = crossing_call_parts(x, &first, &count, &names);
    if (crossing_c_function(callable) != crossing_functions.run) {
        return NULL;
    }
    if (PyCFunction_Check(callable)) {
        *function = count > 0 ? islot_object(first[0]) : NULL;
        return PyCFunction_GET_SELF(callable);
    }
    *function = count > 1 ? islot_object(first[1]) : NULL;
    return count > 1 ? islot_object(first[0]) : NULL;
}

int
crossing_context(crossing *x)
{
    PyObject *function;

    if (!crossing_is_safe(x, DISTANCE_CONTEXT)) {
        return 0;
    }
    PyObject *context = call_operands(x, &function);
    if (context == NULL || !PyContext_CheckExact(context)
        || !contexts_is_entered(context) || function == NULL
        || !crossing_leads_to(function, x->function))
    {
        return 0;
    }
    x->bridge = BRIDGE_CONTEXT;
    x->values[0] = Py_NewRef(context);
    return 1;
}
