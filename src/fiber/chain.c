/* Walking the frames of a suspended fiber: see chain.h for the reasoning. */
#include "chain.h"

#include "awaitable.h"
#include "boundary.h"
#include "imports.h"
#include "soften.h"

/* ---- the list --------------------------------------------------------- */

static void
chain_init(chain *c)
{
    c->links = c->small;
    c->count = 0;
    c->room = CHAIN_SMALL;
    c->where = NULL;
    c->inner = NULL;
    c->dropping = 0;
}

void
chain_clear(chain *c)
{
    for (int i = 0; i < c->count; i++) {
        for (int k = 0; k < BRIDGE_VALUES; k++) {
            Py_XDECREF(c->links[i].values[k]);
        }
        Py_XDECREF(c->links[i].generator);
        Py_XDECREF(c->links[i].top);
    }
    if (c->links != c->small) {
        PyMem_Free(c->links);
    }
    c->links = c->small;
    c->count = 0;
}

chain_link *
chain_append(chain *c, iframe *f)
{
    if (c->count == c->room) {
        size_t size = sizeof(chain_link) * c->room;
        chain_link *links = PyMem_Malloc(4 * size);
        if (links == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        memcpy(links, c->links, size);
        if (c->links != c->small) {
            PyMem_Free(c->links);
        }
        c->links = links;
        c->room *= 4;
    }
    chain_link *link = &c->links[c->count++];
    memset(link, 0, sizeof(*link));
    link->frame = f;
    link->pc = -1;
    return link;
}

chain_link *
chain_append_bridge(chain *c, iframe *shim, bridge_kind kind)
{
    chain_link *link = chain_append(c, shim);

    if (link != NULL) {
        link->bridge = bridge_get(kind);
        link->pc = link->bridge->pc;
        link->opcode = CALL;
        link->oparg = link->bridge->oparg;
        link->next = link->bridge->next;
        link->how = PENDING_PUSH;
        link->waits = 1;
    }
    return link;
}

/* Inline: a soft switch does little else for each of its frames. */
static inline chain_result
append_waiting(chain *c, iframe *outer, iframe *inner, int all)
{
    int owns_lock = imports_is_owner(iframe_code(outer));
    chain_link *link = chain_append(c, outer);

    if (link == NULL) {
        return CHAIN_FAILED;
    }
    link->waits = 1;
    link->depth = link->kept = iframe_depth(outer);
    link->how = chain_pending(outer, inner);
    link->held = owns_lock;
    if (!all) {
        return CHAIN_KNOWN;
    }
    if (chain_locate(link) < 0) {
        return CHAIN_FAILED;
    }
    if (link->how == PENDING_PUSH
        && chain_is_repeated(link->opcode, link->oparg))
    {
        link->how = PENDING_REPEAT;
    }
    return CHAIN_KNOWN;
}

chain_result
chain_append_waiting(chain *c, iframe *outer, iframe *inner)
{
    return append_waiting(c, outer, inner, 1);
}

chain_result
chain_refuse(chain *c, iframe *where)
{
    c->where = where;
    c->inner = NULL;
    for (int i = c->count - 1; i >= 0 && c->inner == NULL; i--) {
        if (c->links[i].frame != where && c->links[i].bridge == NULL) {
            c->inner = c->links[i].frame;
        }
    }
    return CHAIN_REFUSED;
}

/* ---- one frame -------------------------------------------------------- */

/* Finds the instruction in which f stands. 0, or -1 with an exception. */
static int
locate(chain_link *link, const analysis **a)
{
    iframe *f = link->frame;
    analysis_instruction at;

    *a = analysis_get(iframe_code(f));
    if (*a == NULL) {
        return -1;
    }
    link->pc = analysis_start(*a, iframe_unit(f));
    if (analysis_at(*a, link->pc, &at) < 0) {
        goto lost;
    }
    link->opcode = at.opcode;
    link->oparg = at.oparg;
    link->next = at.next;
    return 0;

lost:
    PyErr_Format(PyExc_SystemError,
                 "pickletask: %U stands at code unit %d, which is no "
                 "instruction", iframe_code(f)->co_qualname, iframe_unit(f));
    return -1;
}

int
chain_locate(chain_link *link)
{
    const analysis *a;
    return locate(link, &a);
}

int
chain_is_waiting(const chain_link *link, const analysis *a)
{
#if INTERP_TAGS_SLOTS
    int kept = analysis_kept(a, link->pc);
    return iframe_depth(link->frame) == kept
           && kept < analysis_depth(a, link->pc);
#else
    return iframe_depth(link->frame) >= 0;
#endif
}

interp_pending
chain_pending(iframe *outer, iframe *inner)
{
    if (!iframe_is_generator(inner)) {
        return PENDING_PUSH;
    }
    chain_link link = {.frame = outer};
    int depth = iframe_depth(outer);
    if (depth < 0 || chain_locate(&link) < 0) {
        return PENDING_GENERATOR;
    }
    if (link.opcode == CALL) {
        return PENDING_NEXT;
    }
    return link.opcode == SEND
                   && awaitable_converts(chain_receiver(outer, depth))
               ? PENDING_STEP
               : PENDING_GENERATOR;
}

int
chain_is_repeated(int opcode, int oparg)
{
    switch (opcode) {
    case STORE_ATTR:
    case DELETE_ATTR:
    case STORE_SUBSCR:
    case DELETE_SUBSCR:
    case STORE_NAME:
        return 1;
    case LOAD_ATTR:
        return INTERP_LOADS_METHOD(oparg);
    case GET_ITER:
        return INTERP_ITERATOR_SLOTS > 1;
    default:
        return opcode == INTERP_OP_LOAD_METHOD
               || opcode == INTERP_OP_STORE_SLICE
               || (opcode == INTERP_OP_SUPER && (oparg & 1));
    }
}

/* Is `callable` what the interpreter calls to reach the function of `call`? */
static int
is_called(PyObject *callable, const fiber_call *call)
{
    if (callable == NULL) {
        return 0;
    }
    if (PyCFunction_Check(callable)) {
        return (void (*)(void))PyCFunction_GET_FUNCTION(callable)
                   == call->function
               && PyCFunction_GET_SELF(callable) == call->self;
    }
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type)) {
        PyMethodDef *method = ((PyMethodDescrObject *)callable)->d_method;
        return (void (*)(void))method->ml_meth == call->function;
    }
    return 0;
}

PyObject *
chain_call_operands(islot *end, int oparg, islot **first)
{
    islot *args = end - oparg;
    PyObject *below = islot_object(args[-2]), *above = islot_object(args[-1]);
    *first = args;
#if INTERP_CALLABLE_FIRST
    if (above != NULL) {
        *first = args - 1;
    }
    return below;
#else
    if (below != NULL) {
        *first = args - 1;
        return below;
    }
    return above;
#endif
}

PyObject *
chain_spread_operands(islot *top, int oparg, PyObject **tuple)
{
    top -= INTERP_SPREAD_KEYWORDS(oparg);
    *tuple = islot_object(top[-1]);
    return islot_object(INTERP_CALLABLE_FIRST ? top[-3] : top[-2]);
}

/* Was the call that suspends made by the pending instruction itself? */
static int
call_is_direct(const chain_link *link, const fiber_call *call, islot *base)
{
    islot *first, *top = base + link->depth;
    Py_ssize_t count = call->nargs;

    if (call->kwnames != NULL) {
        count += PyTuple_GET_SIZE(call->kwnames);
    }
    if (link->opcode == FOR_ITER) {
        return call->args == NULL && call->function == NULL
               && islot_object(top[-INTERP_ITERATOR_SLOTS]) == call->self;
    }
    if (call->args == NULL) {
        return 0;
    }
    if (link->opcode == INTERP_OP_CALL_KW) {
        top--;
    }
    else if (link->opcode == CALL_FUNCTION_EX) {
        PyObject *tuple;
        PyObject *callable = chain_spread_operands(top, link->oparg, &tuple);
        /* If its items were not passed, this is not the tuple, but what the
         * interpreter made a tuple of and dropped. */
        PyObject **items = ((PyTupleObject *)tuple)->ob_item;
        if (call->args != items && call->args != items + 1) {
            return 0;
        }
        return call->args + count == items + PyTuple_GET_SIZE(tuple)
               && call->kwnames == NULL && is_called(callable, call);
    }
    else if (link->opcode != CALL) {
        return 0;
    }
    PyObject *callable = chain_call_operands(top, link->oparg, &first);
    islot *passed = top - count;
    return is_called(callable, call)
           && (passed == first || passed == first + 1)
           && islots_are_passed(passed, call->args, count);
}

/* A loop has left its outermost frame, or a shim its __init__, and something
 * that frame held runs code as it goes. */
static chain_result
refuse_ended(chain *c, iframe *outer, int is_python)
{
    while (outer != NULL && iframe_is_interpreters(outer)) {
        outer = outer->previous;
    }
    c->dropping = outer != NULL || is_python;
    return chain_refuse(c, outer);
}

/* The innermost frame of a parked fiber. */
static chain_result
walk_innermost(chain *c, iframe *f, const fiber_saved *saved)
{
    chain_link *link = chain_append(c, f);
    const analysis *a;
    islot *base = iframe_stackbase(f);

    if (link == NULL || locate(link, &a) < 0) {
        return CHAIN_FAILED;
    }
    link->depth = analysis_depth(a, link->pc);
    link->kept = analysis_kept(a, link->pc);
    c->dropping = saved->call == NULL;
    if (saved->call == NULL || link->depth < 0 || link->kept < 0
        || !call_is_direct(link, saved->call, base))
    {
        return chain_refuse(c, f);
    }
    link->how = PENDING_PUSH;
    link->held = interp_saved_traced(&saved->interp);
    return CHAIN_KNOWN;
}

/* Does the frame look like one that a dying object has called? */
static int
is_finaliser(iframe *f)
{
    PyObject *name = iframe_code(f)->co_name;
    return PyUnicode_CompareWithASCIIString(name, "__del__") == 0;
}

/* ---- the whole chain -------------------------------------------------- */

/* Appends what stands outside the frame appended last. */
static chain_result
walk_outer(chain *c, fiber *f, const fiber_hooks *hooks, int all,
           interp_loop loop)
{
    /* Stale operands are compared only, never used, until they are known. */
    for (;;) {
        iframe *inner = c->links[c->count - 1].frame;
        iframe *outer = inner->previous;
        int entry = iframe_is_entry(inner);

        if (entry && outer != NULL && iframe_is_marker(outer)) {
            outer = outer->previous;
        }
        if (outer != NULL && (iframe_is_marker(outer)
                              || (entry && iframe_is_shim(outer))))
        {
            return refuse_ended(c, outer, hooks->function(f) != NULL);
        }
        if (outer == NULL) {
            if (!f->landed && iframe_function(inner) != hooks->function(f)) {
                c->dropping = hooks->function(f) != NULL;
                return chain_refuse(c, NULL);
            }
            return CHAIN_KNOWN;
        }
        if (iframe_is_shim(outer)) {
            chain_link *link = chain_append_bridge(c, outer, BRIDGE_INIT);
            if (link == NULL) {
                return CHAIN_FAILED;
            }
            PyObject *self = islot_object(outer->localsplus[0]);
            link->values[0] = Py_NewRef(self);
            continue;
        }
        if (imports_is_outer(iframe_code(outer))) {
            chain_result result = imports_walk(c, outer, inner, &loop, all);
            if (result != CHAIN_KNOWN) {
                return result;
            }
            continue;
        }
        if (entry) {
            c->dropping = is_finaliser(inner);
            chain_result result = boundary_walk(c, outer, inner, &loop,
                                                all);
            if (result != CHAIN_KNOWN) {
                return result;
            }
            continue;
        }
        if (append_waiting(c, outer, inner, all) != CHAIN_KNOWN) {
            return CHAIN_FAILED;
        }
    }
}

chain_result
chain_walk(fiber *f, const fiber_hooks *hooks, int all, chain *c)
{
    interp_loop loop = NULL;

    chain_init(c);
    if (f->state == FIBER_SOFT) {
        chain_link *link = chain_append(c, f->image->top);
        if (link == NULL) {
            return CHAIN_FAILED;
        }
        link->waits = 1;
        link->depth = link->kept = iframe_depth(link->frame);
        if (all && chain_locate(link) < 0) {
            return CHAIN_FAILED;
        }
    }
    else {
        assert(f->state == FIBER_PARKED);
        iframe *top = interp_saved_frame(&f->saved->interp);
        if (f->ended) {
            return chain_refuse(c, NULL);
        }
        if (top == NULL || iframe_is_interpreters(top)) {
            return refuse_ended(c, top, hooks->function(f) != NULL);
        }
        chain_result result = walk_innermost(c, top, f->saved);
        if (result != CHAIN_KNOWN) {
            return result;
        }
        loop = interp_saved_loop(&f->saved->interp);
    }
    return walk_outer(c, f, hooks, all, loop);
}

int
chain_known(fiber *f, const fiber_hooks *hooks, chain *c)
{
    iframe *top = interp_saved_frame(&f->saved->interp);
    PyObject *type, *value, *traceback;

    if (top == NULL || iframe_is_interpreters(top)) {
        chain_init(c);
        return 0;
    }
    PyErr_Fetch(&type, &value, &traceback);
    chain_result result = chain_walk(f, hooks, 0, c);
    PyErr_Restore(type, value, traceback);
    if (result == CHAIN_KNOWN
        || (result == CHAIN_REFUSED && c->count > 0
            && c->links[c->count - 1].frame != c->where))
    {
        return c->count;
    }
    return c->count > 0 ? c->count - 1 : 0;
}

/* ---- for messages ----------------------------------------------------- */

PyObject *
chain_callable(iframe *f)
{
    chain_link link = {.frame = f};
    const analysis *a;
    PyObject *tuple;
    islot *first, *top;

    if (locate(&link, &a) < 0) {
        PyErr_Clear();
        return NULL;
    }
    int depth = analysis_depth(a, link.pc);
    top = iframe_stackbase(f) + depth;
    if (depth < 0 || chain_is_waiting(&link, a)) {
        return NULL;
    }
    if (link.opcode == CALL) {
        return chain_call_operands(top, link.oparg, &first);
    }
    if (link.opcode == INTERP_OP_CALL_KW) {
        return chain_call_operands(top - 1, link.oparg, &first);
    }
    if (link.opcode == CALL_FUNCTION_EX) {
        return chain_spread_operands(top, link.oparg, &tuple);
    }
    return NULL;
}

int
chain_dict_holds(PyObject *dict, PyObject *pointer)
{
    Py_ssize_t position = 0;
    PyObject *value;

    while (PyDict_Next(dict, &position, NULL, &value)) {
        if (value == pointer) {
            return 1;
        }
    }
    return 0;
}

int
chain_variables_hold(iframe *f, PyObject *pointer)
{
    for (int i = 0; i < iframe_code(f)->co_nlocalsplus; i++) {
        PyObject *value = islot_object(f->localsplus[i]);
        if (value != NULL && PyCell_Check(value)) {
            value = PyCell_GET(value);
        }
        if (value != NULL && value == pointer) {
            return 1;
        }
    }
    return chain_dict_holds(f->f_globals, pointer);
}

/* Does the frame run CPython's own code for imports? */
static int
is_importing(iframe *f)
{
    static const char start[] = "<frozen importlib";
    const char *file = PyUnicode_AsUTF8(iframe_code(f)->co_filename);

    if (file == NULL) {
        PyErr_Clear();
        return 0;
    }
    return strncmp(file, start, sizeof(start) - 1) == 0;
}

iframe *
chain_importer(iframe *f)
{
    iframe *outer = f;

    while (outer != NULL
           && (iframe_is_interpreters(outer) || is_importing(outer)))
    {
        outer = outer->previous;
    }
    return outer == NULL ? f : outer;
}
