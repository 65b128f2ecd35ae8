/* Soft to running: see landing.h. */
#include "landing.h"

#include "awaitable.h"
#include "chain.h"
#include "interp/clear.h"

/* ---- stand-ins -------------------------------------------------------- */

/* An operand that raises whatever is done with it, or gives a value when it is
 * asked for one, and takes what is stored in it.  The landing object is one
 * that has nothing to give: it raises MemoryError. */
typedef struct {
    PyObject_HEAD
    PyObject *exception;        /* owned, or NULL */
    PyObject *value;            /* owned, or NULL */
    PyObject *space;            /* the namespace that it stands for in a frame
                                 * until it is used: owned, or NULL */
} stand_in;

static PyObject *the_landing;           /* a stand-in, owned */
static PyFunctionObject *landing_function;  /* T's; owned */
static PyObject *the_end;               /* an exhausted iterator, owned */

static PyObject *
stand_in_raise(PyObject *self)
{
    PyObject *exception = ((stand_in *)self)->exception;
    if (exception == NULL) {
        return PyErr_NoMemory();
    }
    ((stand_in *)self)->exception = NULL;
    PyErr_Restore(Py_NewRef(Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
    return NULL;
}

/* A super() that has a value to give is called before it is asked. */
static PyObject *
stand_in_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return ((stand_in *)self)->value != NULL ? Py_NewRef(self)
                                             : stand_in_raise(self);
}

/* A for loop that is to fail does so in the next instruction, but for one
 * whose iterator is given. */
static PyObject *
stand_in_iter(PyObject *self)
{
    PyObject *value = ((stand_in *)self)->value;
    return Py_NewRef(value != NULL ? value : self);
}

static PyObject *
stand_in_get(PyObject *self, PyObject *name)
{
    PyObject *value = ((stand_in *)self)->value;
    return value != NULL ? Py_NewRef(value) : stand_in_raise(self);
}

static int
stand_in_store(PyObject *self, PyObject *name, PyObject *value)
{
    if (((stand_in *)self)->space != NULL) {
        /* It is the value as well, so that it stays. */
        iframe *f = interp_current(PyThreadState_Get());
        assert(f->f_locals == self && Py_REFCNT(self) > 1);
        f->f_locals = ((stand_in *)self)->space;
        ((stand_in *)self)->space = NULL;
        Py_DECREF(self);
    }
    if (((stand_in *)self)->value == NULL) {
        (void)stand_in_raise(self);
        return -1;
    }
    return 0;
}

static void
stand_in_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((stand_in *)self)->exception);
    Py_XDECREF(((stand_in *)self)->value);
    Py_XDECREF(((stand_in *)self)->space);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A stand-in that raises the exception, or gives the value; both are stolen.
 * The landing object if there's no memory for one. New reference. */
static PyObject *
stand_in_new(PyObject *exception, PyObject *value)
{
    stand_in *self = PyObject_New(stand_in, Py_TYPE(the_landing));

    if (self == NULL) {
        PyErr_Clear();
        Py_XDECREF(exception);
        Py_XDECREF(value);
        return Py_NewRef(the_landing);
    }
    self->exception = exception;
    self->value = value;
    self->space = NULL;
    return (PyObject *)self;
}

/* One that raises the exception that is set, which is cleared. */
static PyObject *
stand_in_of_error(void)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return stand_in_new(value, NULL);
}

/* ---- what the next instruction does ------------------------------------ */

/* How many operands the pending instruction of the frame has used up. */
static int
count_operands(const chain_link *link)
{
    /* The code was analysed when it was located: this can't fail. */
    const analysis *a = analysis_get(iframe_code(link->frame));
    return analysis_depth(a, link->pc) - analysis_kept(a, link->pc);
}

/* Makes the frame, suspended in `link`, repeat its pending instruction with an
 * operand that raises, or gives.  Steals it. Returns the object to deliver,
 * which becomes the last operand. */
static PyObject *
repeat_with(const chain_link *link, PyObject *object)
{
    iframe *f = link->frame;
    int pc = link->pc - interp_prefixes(link->oparg);
    int depth = iframe_depth(f), args = link->oparg;
    islot *top = iframe_stackbase(f) + depth, *start = top;
    islot operand = islot_of(object);
    PyObject *last = NULL;

    if (link->opcode == FOR_ITER || link->opcode == SEND) {
        islot *receiver = &top[-INTERP_ITERATOR_SLOTS], dropped = *receiver;
        *receiver = operand;
        islot_close(dropped);
        last = Py_NewRef(Py_None);
        if (link->opcode == FOR_ITER) {
            /* What is delivered takes the place of the topmost slot: that of
             * the iterator, or one which FOR_ITER doesn't look at then. */
            if (INTERP_ITERATOR_SLOTS == 1) {
                Py_SETREF(last, object);
            }
            top--;
        }
    }
    else if (chain_is_repeated(link->opcode, link->oparg)) {
        for (int i = count_operands(link); i > 1; i--) {
            *top++ = islot_of(Py_NewRef(object));
        }
        last = object;
        if (link->opcode == STORE_NAME && f->f_locals != NULL) {
            ((stand_in *)object)->space = f->f_locals;
            f->f_locals = Py_NewRef(object);
        }
    }
    else if (link->opcode == CALL_FUNCTION_EX) {
        *top++ = INTERP_CALLABLE_FIRST ? operand : ISLOT_NULL;
        *top++ = INTERP_CALLABLE_FIRST ? ISLOT_NULL : operand;
        last = PyTuple_New(0);
        if (INTERP_SPREAD_KEYWORDS(link->oparg)) {
            /* An empty dict must come last, and its memory may be lacking:
             * then a tuple raises just as well, in place of the dict. */
            *top++ = islot_of(last);
            last = PyDict_New();
            if (last == NULL) {
                PyErr_Clear();
                last = Py_NewRef(islot_object(top[-1]));
            }
        }
    }
    else {
        *top++ = INTERP_CALLABLE_FIRST ? operand : ISLOT_NULL;
        *top++ = INTERP_CALLABLE_FIRST ? islot_of(Py_NewRef(Py_None))
                                       : operand;
        while (--args >= 0) {
            *top++ = islot_of(Py_NewRef(Py_None));
        }
        if (link->opcode == INTERP_OP_CALL_KW) {
            last = PyTuple_New(0);
        }
        else {
            iframe_pause_specialising(f, link->pc);
            last = islot_take(*--top);
        }
        if (INTERP_OP_PRECALL >= 0) {
            /* Its own prefixes and caches are as long as CALL's prefixes
             * and one cache. */
            pc -= 2 + interp_prefixes(link->oparg);
        }
    }
    iframe_set_depth(f, depth + (int)(top - start));
    iframe_go_to(f, pc);
    return last;
}

/* ---- landing ----------------------------------------------------------- */

/* What the landing object's __invert__ is to do; it runs at once. */
typedef struct {
    fiber_thread *thread;
    iframe *top, *bottom;       /* of the frames for one loop */
    int frames;
    int repeats;                /* may one of them repeat its instruction? */
    _PyErr_StackItem *exc_info;
    PyObject *value;            /* owned */
    void (*settle)(fiber_thread *);
} flight;

static _Thread_local flight *in_flight;

/* Where tracing is a matter of the loop, it has to be off while T returns and
 * on in the next instruction.  Between the two the loop clears T: it then
 * drops this object, which T owns, and which is never freed. */
static PyObject *the_arrival;

static void
arrival_dealloc(PyObject *self)
{
    interp_resume_tracing(PyThreadState_Get());
}

static PyObject *
landing_invert(PyObject *self)
{
    flight *l = in_flight;
    in_flight = NULL;
    if (l == NULL) {
        PyErr_SetString(PyExc_SystemError,
                        "pickletask: nothing is about to land");
        return NULL;
    }
    PyThreadState *ts = l->thread->tstate;
    iframe *t = interp_current(ts);
#if INTERP_CALLER_CLEARS_ENTRY
    iframe_set_entry(t, 0);
    iframe_set_entry(l->bottom, 1);
#else
    l->bottom->previous = t->previous;
#endif
    t->previous = l->top;
    ts->exc_info = l->exc_info;
    /* T itself counts until it returns. */
    interp_set_depth(ts, l->frames + 1);
    PyObject *value = l->value;
    if (l->settle != NULL) {
        l->settle(l->thread);
    }
    if (interp_pause_tracing(ts)) {
        assert(Py_REFCNT(the_arrival) == 0);
        t->f_locals = Py_NewRef(the_arrival);
    }
    return value;
}

/* Pushes a frame of function's onto the data stack, which has room. */
static iframe *
push_frame(PyThreadState *ts, PyFunctionObject *function)
{
    PyCodeObject *code = (PyCodeObject *)function->func_code;
    iframe *f = (iframe *)ts->datastack_top;

    ts->datastack_top += iframe_size(code);
    assert(ts->datastack_top <= ts->datastack_limit);
    iframe_begin(f, (PyCodeObject *)Py_NewRef(code), Py_NewRef(function),
                 FRAME_OWNED_BY_THREAD);
    iframe_go_to(f, 0);
    return f;
}

/* Evaluates the frames that end with l->top up to the first that has a loop
 * of its own. New reference, or NULL with an exception. */
static PyObject *
evaluate(PyThreadState *ts, flight *l)
{
    iframe *t = push_frame(ts, landing_function);
    /* Deep frames must not keep T from being entered. */
    interp_set_depth(ts, 0);
    t->localsplus[0] = islot_of(Py_NewRef(the_landing));
    iframe_set_depth(t, 1);
    in_flight = l;
    return _PyEval_EvalFrameDefault(ts, t, 0);
}

/* Brings the image onto the data stack of this C stack. */
static iframe *
place(PyThreadState *ts, fiber_image *image)
{
    if (image->chunk != NULL) {
        _PyStackChunk *chunk = image->chunk;
        ts->datastack_chunk = chunk;
        ts->datastack_top = &chunk->data[1] + image->words;
        ts->datastack_limit = (PyObject **)((char *)chunk + chunk->size);
        return image->top;
    }
    /* Each frame leaves its new address in `previous` of its old place. */
    for (int at = 0; at < image->words;) {
        iframe *f = (iframe *)(image->data + at);
        iframe *copy = (iframe *)ts->datastack_top;
        ts->datastack_top += iframe_size(iframe_code(f));
        iframe_move(copy, f);
        at += (int)FRAME_SPECIALS_SIZE + iframe_used(f);
        f->previous = copy;
    }
    PyObject **end = image->data + image->words;
    iframe **link = &image->top;
    while (*link != NULL) {
        PyObject **old = (PyObject **)*link;
        if (old >= image->data && old < end) {
            iframe *f = *link;
            *link = f->previous;
        }
        link = &(*link)->previous;
    }
    return image->top;
}

/* ---- generators in loops of their own ----------------------------------- */

/* Does the caller of a generator's loop have to do: takes the generator out
 * of the thread state and, unless it has yielded, ends it. `result` is what
 * the loop returned. */
#if INTERP_INLINES_GENERATORS
#  define leave_generator(ts, gen, result)
#else
static void
leave_generator(PyThreadState *ts, PyGenObject *gen, PyObject *result)
{
    ts->exc_info = gen->gi_exc_state.previous_item;
    gen->gi_exc_state.previous_item = NULL;
    generator_iframe(gen)->previous = NULL;
    if (result != NULL && gen->gi_frame_state == FRAME_SUSPENDED) {
        return;
    }
    const char *kind = PyCoro_CheckExact(gen)       ? "coroutine"
                       : PyAsyncGen_CheckExact(gen) ? "async generator"
                                                    : "generator";
    if (result == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
        _PyErr_FormatFromCause(PyExc_RuntimeError, "%s raised StopIteration",
                               kind);
    }
    else if (result == NULL && PyAsyncGen_CheckExact(gen)
             && PyErr_ExceptionMatches(PyExc_StopAsyncIteration))
    {
        _PyErr_FormatFromCause(PyExc_RuntimeError,
                               "%s raised StopAsyncIteration", kind);
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    generator_clear(gen);
    PyErr_Restore(type, value, traceback);
}
#endif

/* Makes `outer` go on with the result of the generator it waits for: steals
 * it (NULL: an exception is set). Returns the object to deliver. */
static PyObject *
resume_outer(PyThreadState *ts, iframe *outer, PyGenObject *gen,
             PyObject *result)
{
    chain_link link = {.frame = outer};
    int depth = iframe_depth(outer);

    leave_generator(ts, gen, result);
    /* It was located when the fiber became soft: this can't fail now. */
    (void)chain_locate(&link);
    awaitable_outcome outcome =
        result == NULL                              ? AWAITABLE_RAISES
        : gen->gi_frame_state < FRAME_EXECUTING ? AWAITABLE_YIELDS
                                                    : AWAITABLE_RETURNS;
    if (link.opcode == SEND) {
        outcome = awaitable_finish(chain_receiver(outer, depth), outcome,
                                   &result);
    }
    if (outcome == AWAITABLE_YIELDS) {
        return result;
    }
    if (result != NULL && link.opcode == CALL) {
        if (_PyGen_SetStopIterationValue(result) < 0) {
            assert(PyErr_Occurred());
        }
        Py_CLEAR(result);
    }
    if (result == NULL) {
        return repeat_with(&link, stand_in_of_error());
    }
    if (link.opcode == SEND && INTERP_INLINES_GENERATORS) {
        iframe_go_to(outer, link.next + link.oparg);
        return result;
    }
    PyObject *operand = islot_object(iframe_stackbase(outer)[depth - 1]);
    iframe_set_depth(outer, depth - 1);
    if (link.opcode == SEND) {
        Py_DECREF(operand);
        iframe_go_to(outer, link.next + link.oparg);
        return result;
    }
    /* FOR_ITER is repeated, with an iterator that has ended. */
    Py_DECREF(result);
    iframe_go_to(outer, link.pc - interp_prefixes(link.oparg));
    if (operand != (PyObject *)gen) {
        Py_SETREF(operand, Py_NewRef(the_end));
    }
    return operand;
}

/* ---- functions in loops of their own ------------------------------------ */

/* Does `outer` wait for the function of `inner` in an instruction that must be
 * repeated? */
static int
is_repeated(const flight *l, iframe *outer, iframe *inner)
{
    chain_link link = {.frame = outer};

    return l->repeats && !iframe_is_generator(inner)
           && iframe_depth(outer) >= 0 && chain_locate(&link) == 0
           && chain_is_repeated(link.opcode, link.oparg);
}

/* Is f the outermost frame of one loop, or of all? */
static int
is_bottom(const flight *l, iframe *f)
{
    iframe *outer = f->previous;
    return outer == NULL || is_repeated(l, outer, f)
           || (INTERP_INLINES_GENERATORS
                   ? chain_pending(outer, f) >= PENDING_NEXT
                   : iframe_is_entry(f));
}

/* Does what the caller of a loop has to do for the frame that the loop began
 * with: clears it. May run Python code. */
static void
leave_function(iframe *bottom)
{
#if INTERP_CALLER_CLEARS_ENTRY
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    iframe_clear(bottom, 0);
    PyErr_Restore(type, value, traceback);
#endif
}

/* The same for the outermost frame of all. The frames of what runs are not the
 * fiber's: it can't become soft any more. */
static void
leave_bottom(PyThreadState *ts, fiber *f, iframe *bottom)
{
#if INTERP_CALLER_CLEARS_ENTRY
    f->landed = 0;
    interp_set_depth(ts, 0);
    leave_function(bottom);
#endif
}

/* What runs while it is left isn't what the frame waits for. */
static void
set_busy(iframe *f, int operands)
{
#if INTERP_CALLER_CLEARS_ENTRY
    islot *top = iframe_stackbase(f) + iframe_depth(f);

    for (int i = 0; i < operands; i++) {
        top[i] = ISLOT_NULL;
    }
    iframe_set_used(f, -1);
#endif
}

/* Makes `outer` go on with the result of the function it waits for: steals it
 * (NULL: an exception is set). Returns the object to deliver. */
static PyObject *
repeat_outer(iframe *outer, iframe *bottom, PyObject *result)
{
    chain_link link = {.frame = outer};
    int depth = iframe_depth(outer);
    PyObject *operand;

    (void)chain_locate(&link);
    set_busy(outer, count_operands(&link));
    leave_function(bottom);
    operand = result == NULL ? stand_in_of_error()
                             : stand_in_new(NULL, result);
    iframe_set_depth(outer, depth);
    return repeat_with(&link, operand);
}

/* ---- all loops ---------------------------------------------------------- */

/* Evaluates the frames that end with l->top, loop by loop. New reference, or
 * NULL with an exception. */
static PyObject *
evaluate_all(PyThreadState *ts, flight *l, interp_base *base)
{
    for (;;) {
        iframe *bottom = l->top;
        while (!is_bottom(l, bottom)) {
            bottom = bottom->previous;
        }
        iframe *outer = bottom->previous;
        int owned = outer != NULL && chain_is_next(outer, bottom);
        int repeated = outer != NULL && is_repeated(l, outer, bottom);
        l->bottom = bottom;
        interp_base_set_frame(ts, base, outer);
        PyObject *result = evaluate(ts, l);
        if (outer == NULL) {
            leave_bottom(ts, l->thread->current, bottom);
            return result;
        }
        PyGenObject *gen = repeated ? NULL : iframe_generator(bottom);
        l->value = repeated ? repeat_outer(outer, bottom, result)
                            : resume_outer(ts, outer, gen, result);
        l->top = outer;
        l->exc_info = ts->exc_info;
        l->settle = NULL;
        l->frames = 1;
        while (outer->previous != NULL) {
            outer = outer->previous;
            l->frames++;
        }
        if (owned) {
            /* The operand of next() or send(), which CPython drops here. */
            Py_DECREF(gen);
        }
    }
}

/* ---- a fiber ------------------------------------------------------------ */

PyObject *
landing(fiber_thread *t, fiber *f, interp_base *base,
        const fiber_hooks *hooks, void (*settle)(fiber_thread *))
{
    PyThreadState *ts = t->tstate;
    fiber_image *image = f->image;
    flight l = {.thread = t, .frames = image->frames, .repeats = f->repeats,
                .exc_info = image->exc_info, .settle = settle};

    l.top = place(ts, image);
    if (image->chunk == NULL) {
        f->image = NULL;
        PyMem_Free(image);
    }
    l.value = hooks->deliver(f);
    if (l.value == NULL) {
        chain_link link = {.frame = l.top};
        PyObject *operand = stand_in_of_error();
        /* Located when it became soft: can't fail now. */
        (void)chain_locate(&link);
        l.value = repeat_with(&link, operand);
    }
    return evaluate_all(ts, &l, base);
}

/* ---- setup -------------------------------------------------------------- */

/* A function whose code is `size` bytes of `bytes`, with no RESUME. New
 * reference, or NULL with an exception. */
static PyFunctionObject *
make_function(const char *bytes, Py_ssize_t size)
{
    PyObject *result = NULL, *template, *replace = NULL, *kwargs = NULL;
    PyObject *code = NULL, *globals = PyDict_New(), *none = PyTuple_New(0);

    template = Py_CompileString("", "<pickletask>", Py_file_input);
    if (template == NULL || globals == NULL || none == NULL
        || PyDict_SetItemString(globals, "__builtins__",
                                PyEval_GetBuiltins()) < 0)
    {
        goto error;
    }
    replace = PyObject_GetAttrString(template, "replace");
    kwargs = Py_BuildValue("{s:y#,s:i,s:i,s:y,s:y}", "co_code", bytes, size,
                           "co_stacksize", 1, "co_flags",
                           CO_OPTIMIZED | CO_NEWLOCALS, "co_linetable", "",
                           "co_exceptiontable", "");
    if (replace == NULL || kwargs == NULL) {
        goto error;
    }
    code = PyObject_Call(replace, none, kwargs);
    if (code != NULL) {
        result = PyFunction_New(code, globals);
    }

error:
    Py_XDECREF(template);
    Py_XDECREF(globals);
    Py_XDECREF(none);
    Py_XDECREF(replace);
    Py_XDECREF(kwargs);
    Py_XDECREF(code);
    return (PyFunctionObject *)result;
}

static PyType_Slot stand_in_slots[] = {
    {Py_tp_dealloc, stand_in_dealloc},
    {Py_tp_call, stand_in_call},
    {Py_tp_iter, stand_in_iter},
    {Py_tp_iternext, stand_in_raise},
    {Py_tp_getattro, stand_in_get},
    {Py_tp_setattro, stand_in_store},
    {Py_mp_ass_subscript, stand_in_store},
    {Py_nb_invert, landing_invert},
    {0, NULL},
};

static PyType_Spec stand_in_spec = {
    .name = "pickletask._core._stand_in",
    .basicsize = sizeof(stand_in),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stand_in_slots,
};

static PyType_Slot arrival_slots[] = {
    {Py_tp_dealloc, arrival_dealloc},
    {0, NULL},
};

static PyType_Spec arrival_spec = {
    .name = "pickletask._core._arrival",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = arrival_slots,
};

/* Makes the_arrival, without a reference to it. 0, or -1. */
static int
make_arrival(void)
{
    PyObject *type = PyType_FromSpec(&arrival_spec);
    if (type == NULL) {
        return -1;
    }
    the_arrival = PyObject_New(PyObject, (PyTypeObject *)type);
    Py_DECREF(type);
    if (the_arrival == NULL) {
        return -1;
    }
    Py_SET_REFCNT(the_arrival, 0);
    return 0;
}

/* Makes the_end. 0, or -1. */
static int
make_end(void)
{
    PyObject *nothing = PyTuple_New(0);
    the_end = nothing == NULL ? NULL : PyObject_GetIter(nothing);
    Py_XDECREF(nothing);
    return the_end == NULL ? -1 : 0;
}

int
landing_setup(PyObject *module)
{
    static const char land[] = {(char)UNARY_INVERT, 0, (char)RETURN_VALUE, 0};
    PyObject *type = PyType_FromSpec(&stand_in_spec);

    if (type == NULL || make_arrival() < 0 || make_end() < 0) {
        Py_XDECREF(type);
        return -1;
    }
    the_landing = (PyObject *)PyObject_New(stand_in, (PyTypeObject *)type);
    Py_DECREF(type);
    if (the_landing == NULL) {
        return -1;
    }
    ((stand_in *)the_landing)->exception = NULL;
    ((stand_in *)the_landing)->value = NULL;
    ((stand_in *)the_landing)->space = NULL;
    landing_function = make_function(land, sizeof(land));
    return landing_function == NULL ? -1 : 0;
}
