/* Crossing what resumes generators by way of others: see crossing.h. */
#include "crossing.h"

#include "awaitable.h"
#include "distance.h"

/* ---- awaitables -------------------------------------------------------- */

int
crossing_await(crossing *x, PyObject *gen, PyObject *receiver)
{
    if (!x->link->waits && !x->passes
        && !crossing_is_known(x, DISTANCE_AWAIT))
    {
        return 0;
    }
    /* The receiver stays on the stack. */
    if (awaitable_generator(receiver) != gen) {
        return 0;
    }
    if (awaitable_converts(receiver)) {
        x->link->how = PENDING_STEP;
        x->link->held = !x->link->waits;
        return x->link->opcode == SEND;
    }
    return 1;
}

/* May an operand of a call be looked at, wherever the inner frame came from?
 */
static int
is_alive(const crossing *x, PyObject *operand)
{
    PyObject *builtins = x->link->frame->f_builtins;

    return operand != NULL
           && (crossing_is_variable(x, operand)
               || (PyDict_Check(builtins)
                   && chain_dict_holds(builtins, operand)));
}

/* One of CPython's own methods of what resumes generators, without looking at
 * the operand, which may be gone. */
static int
is_known_method(PyObject *operand)
{
    PyTypeObject *types[] = {
        &PyGen_Type, &PyCoro_Type, awaitable_known.asend,
        awaitable_known.athrow, awaitable_known.anext, awaitable_known.await,
    };
    PyObject *names[] = {crossing_names.send, crossing_names.throw,
                         crossing_names.close};

    for (size_t i = 0; i < Py_ARRAY_LENGTH(types); i++) {
        for (size_t k = 0; k < Py_ARRAY_LENGTH(names); k++) {
            if (_PyType_Lookup(types[i], names[k]) == operand) {
                return 1;
            }
        }
    }
    return 0;
}

typedef struct {
    PyObject *object;
    int found;
} search;

static int
is_other(PyObject *object, void *argument)
{
    search *s = argument;
    s->found = object == s->object;
    return !s->found;
}

/* Does the collector know of an object at this address?  That takes a while,
 * and so it is asked only of what is to be written down. */
static int
is_object(const crossing *x, PyObject *address)
{
    search s = {.object = address};

    if (x->writes) {
        interp_visit_objects(is_other, &s);
    }
    return s.found;
}

int
crossing_may_resume(const crossing *x, PyObject *callable)
{
    return callable != NULL
           && (is_known_method(callable) || is_alive(x, callable)
               || is_object(x, callable));
}

int
crossing_may_give(const crossing *x, PyObject *value)
{
    PyObject *constants = iframe_code(x->link->frame)->co_consts;

    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(constants); i++) {
        if (PyTuple_GET_ITEM(constants, i) == value) {
            return 1;
        }
    }
    return is_alive(x, value) || is_object(x, value);
}

/* What is called by a CALL, and the object whose method it is, or which is its
 * first argument; *first is set to the argument after that. 0 if one of the
 * two can't be looked at; `resumed` may if it is `known`. */
static int
call_target(const crossing *x, PyObject *known, PyCFunction *function,
            PyObject **resumed, islot **first)
{
    if (x->link->opcode != CALL) {
        return 0;
    }
    PyObject *callable = chain_call_operands(x->top, x->link->oparg, first);
    if (!crossing_may_resume(x, callable)) {
        return 0;
    }
    *function = crossing_c_function(callable);
    if (PyCFunction_Check(callable)
        && *function != crossing_functions.next)
    {
        *resumed = PyCFunction_GET_SELF(callable);
        return 1;
    }
    *resumed = *first < x->top ? islot_object(**first) : NULL;
    ++*first;
    return *function != NULL && *resumed != NULL
           && (*resumed == known || is_alive(x, *resumed));
}

int
crossing_is_await_call(const crossing *x)
{
    PyCFunction function;
    PyObject *resumed;
    islot *first;

    return crossing_is_known(x, DISTANCE_AWAIT_CALL)
           && call_target(x, NULL, &function, &resumed, &first);
}

/* Is that the method of the object's type? */
static int
is_method(PyObject *object, PyObject *name, PyCFunction function)
{
    PyObject *method = crossing_method_of(object, name);
    return method != NULL && crossing_c_function(method) == function;
}

int
crossing_await_call(crossing *x, PyObject *awaitable, PyCFunction function)
{
    int closes = is_method(awaitable, crossing_names.close, function);

    if (!closes && function != crossing_functions.next
        && !is_method(awaitable, crossing_names.send, function)
        && !is_method(awaitable, crossing_names.throw, function))
    {
        return 0;
    }
    x->link->held = 1;
    if (awaitable_converts(awaitable)) {
        x->bridge = closes ? BRIDGE_CLOSE_STEP : BRIDGE_FINISH;
        x->values[0] = Py_NewRef(awaitable);
    }
    else if (closes) {
        x->bridge = BRIDGE_CLOSE;
        x->values[0] = PyBool_FromLong(INTERP_CLOSE_RETURNS);
    }
    return 1;
}

/* ---- generators that something is thrown through ----------------------- */

/* The SEND in which a generator delegates that is said to run, but stands
 * where it has yielded: something is thrown through it.  0 if it isn't so. */
static int
is_passing(PyObject *object, chain_link *link)
{
    PyGenObject *gen = (PyGenObject *)object;
    analysis_instruction at;

    if ((!PyGen_CheckExact(object) && !PyCoro_CheckExact(object)
         && !PyAsyncGen_CheckExact(object))
        || gen->gi_frame_state != FRAME_EXECUTING)
    {
        return 0;
    }
    iframe *f = generator_iframe(gen);
    int depth = iframe_depth(f);
    const analysis *a = depth < 0 ? NULL : analysis_get(iframe_code(f));
    if (a == NULL) {
        PyErr_Clear();
        return 0;
    }
    int yield = generator_pending_unit(iframe_unit(f));
    int send = analysis_start(a, yield - 1);
    if (analysis_at(a, yield, &at) < 0 || at.opcode != YIELD_VALUE
        || analysis_at(a, send, &at) < 0 || at.opcode != SEND
        || at.next != yield || analysis_kept(a, send) != depth)
    {
        return 0;
    }
    memset(link, 0, sizeof(*link));
    link->frame = f;
    link->pc = send;
    link->opcode = at.opcode;
    link->oparg = at.oparg;
    link->next = at.next;
    link->depth = link->kept = depth;
    link->waits = link->passes = link->held = 1;
    return 1;
}

iframe *
crossing_thrower(iframe *outer)
{
    chain_link link;

    while (iframe_is_generator(outer) && outer->previous != NULL
           && !iframe_is_marker(outer->previous)
           && is_passing((PyObject *)iframe_generator(outer), &link))
    {
        outer = outer->previous;
    }
    return outer;
}

/* What is thrown into a generator. */
typedef struct {
    PyObject *thrown;   /* GeneratorExit or an instance: borrowed; NULL if it
                         * is another exception */
    int closes;         /* by close(): of which nothing is passed on */
    int may_close;      /* by a throw() that closes what it passes, if
                         * GeneratorExit is thrown */
} throwing;

/* GeneratorExit, or what a throw() with this argument makes of it. Borrowed;
 * NULL if it is another exception. */
static PyObject *
exit_of(PyObject *argument)
{
    return argument != NULL
                   && PyErr_GivenExceptionMatches(argument,
                                                  PyExc_GeneratorExit)
               ? argument
               : NULL;
}

/* What an awaitable throws that has not been sent anything before. */
static PyObject *
thrown_by(PyObject *awaitable)
{
    athrow_object *a = (athrow_object *)awaitable;

    if (!Py_IS_TYPE(awaitable, awaitable_known.athrow)) {
        return NULL;
    }
    if (athrow_closes(a)) {
        return PyExc_GeneratorExit;
    }
#if INTERP_THROWS_TUPLE
    return PyTuple_GET_SIZE(a->args) == 0
               ? NULL
               : exit_of(PyTuple_GET_ITEM(a->args, 0));
#else
    return exit_of(a->type);
#endif
}

/* The generator that the pending call throws into, or closes, and what. Any
 * operand may be gone, unless it is known not to be. Borrowed, or NULL. */
static PyObject *
called_generator(const crossing *x, throwing *t)
{
    PyObject *resumed, *outermost = NULL;
    PyCFunction function;
    islot *first;

    for (iframe *f = x->inner->previous; f != NULL && f != x->link->frame;
         f = f->previous)
    {
        if (!iframe_is_marker(f)) {
            outermost = (PyObject *)iframe_generator(f);
        }
    }
    if (!call_target(x, outermost, &function, &resumed, &first)) {
        return NULL;
    }
    t->closes = is_method(resumed, crossing_names.close, function);
    t->may_close = 1;
    if (t->closes) {
        t->thrown = PyExc_GeneratorExit;
    }
    else if (is_method(resumed, crossing_names.throw, function)) {
        /* The exception may be nobody else's: then only the distance tells
         * that it is there. */
        if (first >= x->top
            || (!is_alive(x, islot_object(*first))
                && !crossing_is_known(x, DISTANCE_PASS)))
        {
            return NULL;
        }
        t->thrown = exit_of(islot_object(*first));
    }
    else if (is_method(resumed, crossing_names.send, function)) {
        t->thrown = thrown_by(resumed);
        t->may_close = 0;
    }
    else {
        return NULL;
    }
    PyObject *gen = awaitable_generator(resumed);
    if (gen != NULL && t->closes) {
        /* It throws. */
        t->closes = !awaitable_converts(resumed);
    }
    return gen != NULL ? gen : resumed;
}

/* The same for the pending instruction, whatever it is. */
static PyObject *
thrown_into(const crossing *x, throwing *t)
{
    PyObject *receiver;

    if (x->link->opcode != SEND) {
        return called_generator(x, t);
    }
    receiver = chain_receiver(x->link->frame, x->link->kept);
    t->thrown = receiver == NULL ? NULL : thrown_by(receiver);
    t->may_close = t->closes = 0;
    return awaitable_generator(receiver);
}

/* What `close()` of the receiver says if it goes on. */
static PyObject *
complaint(PyObject *receiver)
{
    return PyUnicode_FromFormat("%s ignored GeneratorExit",
                                PyGen_CheckExact(receiver) ? "generator"
                                                           : "coroutine");
}

/* Appends the frame of a generator that something passes, before what stands
 * inside of it; *t becomes what is thrown there. 0, or -1 with an exception if
 * there's no memory. */
static int
append_passed(crossing *x, chain *c, const chain_link *passed, throwing *t)
{
    PyObject *receiver = chain_receiver(passed->frame, passed->kept);
    int delegates = awaitable_generator(receiver) == NULL;
    chain_link *link = chain_append(c, passed->frame);

    if (link == NULL) {
        return -1;
    }
    *link = *passed;
    if (!t->closes && (t->thrown == NULL || !t->may_close)) {
        link->how = awaitable_converts(receiver) ? PENDING_STEP
                                                 : PENDING_GENERATOR;
        t->may_close |= !delegates;
        return 0;
    }
    link->how = PENDING_PUSH;
    chain_link *between = chain_append_bridge(c, NULL, BRIDGE_CLOSING);
    if (between == NULL) {
        return -1;
    }
    between->how = PENDING_NEXT;
    if (x->writes) {
        between->values[0] = Py_NewRef(delegates ? Py_None : receiver);
        between->values[1] = Py_NewRef(t->closes ? PyExc_GeneratorExit
                                                 : t->thrown);
        between->values[2] = complaint(receiver);
        if (between->values[2] == NULL) {
            return -1;
        }
    }
    /* What is inside is closed: by its own close(), or by an awaitable that
     * throws. */
    t->closes = !awaitable_converts(receiver);
    t->thrown = PyExc_GeneratorExit;
    t->may_close = 1;
    return 0;
}

/* The generator that a passed one delegates to. Borrowed, or NULL. */
static PyObject *
inside(const chain_link *passed)
{
    PyObject *receiver = chain_receiver(passed->frame, passed->kept);
    PyObject *gen = awaitable_generator(receiver);

    return gen != NULL ? gen : receiver;
}

static void
reverse(chain *c, int first)
{
    for (int last = c->count - 1; first < last; first++, last--) {
        chain_link link = c->links[first];
        c->links[first] = c->links[last];
        c->links[last] = link;
    }
}

int
crossing_pass(crossing *x, chain *c)
{
    PyObject *gen = (PyObject *)iframe_generator(x->inner);
    throwing t = {NULL};
    chain_link passed;
    int first = c->count, left = 1 << 20;
    PyObject *top = thrown_into(x, &t), *g = top;

    if (top == NULL || top == gen || !is_passing(top, &passed)) {
        return 1;
    }
    while (g != NULL && g != gen && --left > 0) {
        g = is_passing(g, &passed) ? inside(&passed) : NULL;
    }
    if (g != gen) {
        return 0;
    }
    for (g = top; g != gen; g = inside(&passed)) {
        (void)is_passing(g, &passed);
        if (append_passed(x, c, &passed, &t) < 0) {
            return -1;
        }
    }
    reverse(c, first);
    x->inner = generator_iframe((PyGenObject *)top);
    x->passes = 1;
    return 1;
}
