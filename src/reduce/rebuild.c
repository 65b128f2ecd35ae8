/* Plain state to suspended frames: see state.h.
 *
 * Three steps: check everything, build with references of our own, publish
 * with assignments that can't fail.  A state that is not right raises
 * CorruptStateError, and nothing has changed.
 */
#include "state.h"

#include "codes.h"
#include "errors.h"
#include "fiber/awaitable.h"
#include "fiber/boundary.h"
#include "fiber/contexts.h"
#include "fiber/soften.h"
#include "functions.h"
#include "interp/analysis.h"
#include "references.h"
#include "sealed.h"

/* A frame on its way from state to memory. */
typedef struct {
    PyCodeObject *code;     /* borrowed from the function */
    PyObject *function;     /* owned */
    referred referred;      /* owned: its code, if the head is a reference */
    PyGenObject *gen;       /* borrowed: frame of a generator; else NULL */
    PyObject *extra;        /* borrowed: exception or locals, or NULL */
    int pc, opcode, oparg, next;
    int kept;
    int count;              /* slots */
    PyObject **slots;       /* owned, as each reference in it */
    const analysis_kinds *kinds;    /* of the slots; borrowed from the code */
} frame_plan;

/* ---- checking ---------------------------------------------------------- */

static int
corrupt(const frame_plan *plan, const char *what)
{
    if (plan->code == NULL) {
        PyErr_Format(CorruptStateError, "can't restore: %s", what);
    }
    else {
        PyErr_Format(CorruptStateError,
                     "can't restore: the saved frame of '%U' (file \"%U\", "
                     "line %d) %s", plan->code->co_qualname,
                     plan->code->co_filename, plan->code->co_firstlineno,
                     what);
    }
    return -1;
}

static void
plan_clear(frame_plan *plan)
{
    for (int i = 0; plan->slots != NULL && i < plan->count; i++) {
        Py_XDECREF(plan->slots[i]);
    }
    PyMem_Free(plan->slots);
    plan->slots = NULL;
    Py_CLEAR(plan->function);
    references_clear(&plan->referred);
}

/* How many slots are filled or said to be empty. */
static Py_ssize_t
count_slots(PyObject *nulls, Py_ssize_t values)
{
    unsigned long long bits;

    if (PyLong_CheckExact(nulls)) {
        bits = PyLong_AsUnsignedLongLongMask(nulls);
        values += __builtin_popcountll(bits);
    }
    else if (PyBytes_CheckExact(nulls)) {
        for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(nulls); i++) {
            bits = (unsigned char)PyBytes_AS_STRING(nulls)[i];
            values += __builtin_popcountll(bits);
        }
    }
    return values;
}

/* The pc that a frame's state says, in plan->pc. 0, or -1 with an
 * exception. */
static int
plan_pc(frame_plan *plan, const analysis *a, PyObject *state, int before)
{
    PyObject *number = PyTuple_GET_ITEM(state, before + FRAME_PC);

    if (!PyLong_CheckExact(number)) {
        return corrupt(plan, "doesn't say where it stands");
    }
    if (plan->referred.code != NULL) {
        PyObject *nulls = PyTuple_GET_ITEM(state, before + FRAME_NULLS);
        Py_ssize_t values = PyTuple_GET_SIZE(state) - before - FRAME_VALUES;
        values = count_slots(nulls, values) - plan->code->co_nlocalsplus;
        plan->pc = references_pc(number, &plan->referred, a, (int)values);
        return PyErr_Occurred() ? -1 : 0;
    }
    int overflow;
    long pc = PyLong_AsLongAndOverflow(number, &overflow);
    plan->pc = overflow || pc < 0 || pc > INT_MAX ? -1 : (int)pc;
    return 0;
}

/* 1 if slot i is said to be empty, 0 if not, -1 without an exception if that
 * isn't said. */
static int
is_null(PyObject *nulls, unsigned long long bits, int i, int count)
{
    if (count <= STATE_SMALL) {
        return bits >> i & 1;
    }
    return PyBytes_AS_STRING(nulls)[i / 8] >> i % 8 & 1;
}

/* References to the values, each in its slot. The values end the tuple. */
static int
plan_slots(frame_plan *plan, PyObject *nulls, PyObject *state, int at)
{
    unsigned long long bits = 0;
    int count = plan->count;

    if (count <= STATE_SMALL) {
        if (!PyLong_CheckExact(nulls)) {
            return corrupt(plan, "doesn't say which slots are empty");
        }
        bits = PyLong_AsUnsignedLongLong(nulls);
        if (bits == (unsigned long long)-1 && PyErr_Occurred()) {
            PyErr_Clear();
            return corrupt(plan, "doesn't say which slots are empty");
        }
    }
    else if (!PyBytes_CheckExact(nulls)
             || PyBytes_GET_SIZE(nulls) != (count + 7) / 8)
    {
        return corrupt(plan, "doesn't say which slots are empty");
    }
    plan->slots = PyMem_Calloc(count + 1, sizeof(PyObject *));
    if (plan->slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if (is_null(nulls, bits, i, count)) {
            continue;
        }
        if (at >= PyTuple_GET_SIZE(state)) {
            return corrupt(plan, "has too few values");
        }
        plan->slots[i] = Py_NewRef(PyTuple_GET_ITEM(state, at++));
    }
    if (at != PyTuple_GET_SIZE(state)) {
        return corrupt(plan, "has too many values");
    }
    return 0;
}

/* Does each value fit where the bytecode will use it? */
static int
check_slots(frame_plan *plan, const analysis *a)
{
    const analysis_kinds *kinds = plan->kinds = analysis_slots(a, plan->pc);

    for (int i = 0; i < plan->count; i++) {
        if (!analysis_accepts(kinds[i], plan->slots[i], a)) {
            return corrupt(plan, i < plan->code->co_nlocalsplus
                                     ? "has a local variable of a wrong kind"
                                     : "has a stack entry of a wrong kind");
        }
        if (kinds[i] & KIND_INDEX && i > 0
            && !analysis_accepts_index(kinds[i - 1], plan->slots[i - 1],
                                       plan->slots[i]))
        {
            return corrupt(plan, "has a place in a loop of a wrong kind");
        }
        if (kinds[i] == KIND_COMPREHENSION) {
            PyObject *function = Py_NewRef(sealed_open(plan->slots[i]));
            Py_SETREF(plan->slots[i], function);
        }
        if (kinds[i] & KIND_EXCEPTIONS && plan->slots[i] != NULL
            && PyList_CheckExact(plan->slots[i]))
        {
            /* Nobody else may change this list afterwards. */
            PyObject *copy = PyList_GetSlice(plan->slots[i], 0,
                                             PY_SSIZE_T_MAX);
            if (copy == NULL) {
                return -1;
            }
            Py_SETREF(plan->slots[i], copy);
        }
    }
    return 0;
}

/* The handled exception of a fiber or generator: NULL for none; borrowed. */
static int
check_exception(const frame_plan *plan, PyObject *value, PyObject **exception)
{
    *exception = value == Py_None ? NULL : value;
    if (*exception != NULL && !PyExceptionInstance_Check(*exception)) {
        return corrupt(plan, "handles an exception that is none");
    }
    return 0;
}

/* Reads the parts of a frame's state which begin at `before`. Afterwards
 * plan_clear() is due in any case. 0, or -1 with an exception. */
static int
plan_frame(frame_plan *plan, PyObject *state, int before)
{
    analysis_instruction at;

    const analysis *a = analysis_get(plan->code);
    if (a == NULL) {
        return PyErr_ExceptionMatches(PyExc_MemoryError)
                   ? -1
                   : (PyErr_Clear(), corrupt(plan, "has damaged code"));
    }
    if (plan_pc(plan, a, state, before) < 0) {
        return -1;
    }
    plan->kept = analysis_kept(a, plan->pc);
    if (plan->kept < 0 || analysis_at(a, plan->pc, &at) < 0) {
        return corrupt(plan, "stands where nothing can be pending");
    }
    if (interp_watch(plan->code) < 0) {
        return -1;
    }
    plan->opcode = at.opcode;
    plan->oparg = at.oparg;
    plan->next = at.next;
    plan->count = plan->code->co_nlocalsplus + plan->kept;
    if (plan_slots(plan, PyTuple_GET_ITEM(state, before + FRAME_NULLS), state,
                   before + FRAME_VALUES) < 0
        || check_slots(plan, a) < 0)
    {
        return -1;
    }
    return 0;
}

/* The namespace of a frame that is not a generator's. */
static int
plan_namespace(frame_plan *plan, PyObject *extra)
{
    int wants = !(plan->code->co_flags & CO_OPTIMIZED);

    plan->extra = extra == Py_None ? NULL : extra;
    if (wants ? plan->extra == NULL || !PyMapping_Check(extra)
              : plan->extra != NULL
                    && (!PyDict_CheckExact(extra) || !INTERP_KEEPS_LOCALS))
    {
        return corrupt(plan, "has no proper namespace");
    }
    return 0;
}

/* Takes the function of a frame from its head, or makes one for the code that
 * the head refers to. Then may run Python code. 0, or -1 with an exception. */
static int
plan_function(frame_plan *plan, PyObject *head)
{
    plan->code = NULL;
    head = sealed_open(head);
    if (PyTuple_CheckExact(head)) {
        if (references_follow(head, &plan->referred) < 0) {
            return -1;
        }
        plan->function = functions_of(plan->referred.code,
                                      plan->referred.globals);
        if (plan->function == NULL) {
            return -1;
        }
    }
    else if (PyFunction_Check(head)) {
        plan->function = Py_NewRef(head);
    }
    else {
        return corrupt(plan, "a frame has no function");
    }
    plan->code = (PyCodeObject *)PyFunction_GET_CODE(plan->function);
    return 0;
}

static int
is_generator(PyObject *object)
{
    return PyGen_CheckExact(object) || PyCoro_CheckExact(object)
           || PyAsyncGen_CheckExact(object);
}

static int
is_empty_generator(PyGenObject *gen)
{
    return gen->gi_frame_state == FRAME_CLEARED
           && gen->gi_exc_state.previous_item == NULL;
}

/* Only code of a generator can be run in one. */
static int
is_generator_code(PyCodeObject *code)
{
    return (code->co_flags
            & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
}

/* ---- a generator's parts ----------------------------------------------- */

/* Moves the plan's references into the slots of a frame. */
static void
publish_slots(frame_plan *plan, iframe *f)
{
    for (int i = 0; i < plan->count; i++) {
        PyObject *value = plan->slots[i];
        f->localsplus[i] = value != NULL && analysis_is_number(plan->kinds[i])
                               ? islot_of_number(value)
                               : islot_of(value);
    }
    iframe_set_depth(f, plan->kept);
    PyMem_Free(plan->slots);
    plan->slots = NULL;
}

/* Puts the plan's contents into the frame of its generator, which then owns
 * them. Can't fail. */
static void
publish_generator(frame_plan *plan)
{
    PyGenObject *gen = plan->gen;
    iframe *f = generator_iframe(gen);

    iframe_begin(f, plan->code, Py_NewRef(plan->function),
                 FRAME_OWNED_BY_GENERATOR);
#if INTERP_GENERATOR_HAS_CODE
    Py_INCREF(plan->code);
#endif
    publish_slots(plan, f);
    iframe_set_entry(f, 1);
    gen->gi_exc_state.exc_value = Py_XNewRef(plan->extra);
    gen->gi_exc_state.previous_item = NULL;
}

PyObject *
rebuild_new_generator(PyObject *head, PyObject *name, PyObject *qualname,
                      int state)
{
    PyTypeObject *type = &PyGen_Type;
    PyCodeObject *code = NULL;
    PyGenObject *gen = NULL;
    referred r = {NULL};

    head = sealed_open(head);
    if (PyTuple_CheckExact(head)) {
        if (references_follow(head, &r) < 0) {
            return NULL;
        }
        code = r.code;
    }
    else if (PyFunction_Check(head)) {
        code = (PyCodeObject *)PyFunction_GET_CODE(head);
    }
    else if (PyCode_Check(head)) {
        code = (PyCodeObject *)head;
    }
    if (code == NULL || !is_generator_code(code)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a generator: its function is not one "
                        "of a generator");
        goto error;
    }
    if (code->co_flags & CO_ASYNC_GENERATOR) {
        type = &PyAsyncGen_Type;
    }
    else if (code->co_flags & CO_COROUTINE) {
        type = &PyCoro_Type;
    }
    Py_ssize_t words = generator_frame_words(code);
    gen = (PyGenObject *)_PyObject_GC_NewVar(type, words);
    if (gen == NULL) {
        goto error;
    }
    /* Generators have no ob_size, though they are allocated as if. */
    memset((char *)gen + sizeof(PyObject), 0,
           _PyObject_VAR_SIZE(type, words) - sizeof(PyObject));
    generator_set_code(gen, (PyCodeObject *)Py_NewRef(code));
    gen->gi_name = Py_NewRef(name == NULL ? code->co_name : name);
    gen->gi_qualname = Py_NewRef(qualname == NULL ? code->co_qualname
                                                  : qualname);
    gen->gi_frame_state = FRAME_CLEARED;
    if (type == &PyAsyncGen_Type) {
        PyAsyncGenObject *a = (PyAsyncGenObject *)gen;
        a->ag_closed = (state & REBUILD_CLOSED) != 0;
        a->ag_running_async = (state & REBUILD_STEPPED) != 0;
    }
    PyObject_GC_Track(gen);

error:
    references_clear(&r);
    return (PyObject *)gen;
}

/* Where is a generator that is suspended on its own? */
static int
check_suspended(const frame_plan *plan)
{
    if (plan->opcode != YIELD_VALUE && plan->opcode != RETURN_GENERATOR) {
        return corrupt(plan, "stands where no generator can be suspended");
    }
    return 0;
}

int
rebuild_generator(PyObject *object, PyObject *state)
{
    frame_plan plan = {.code = NULL};
    int status = -1;

    if (!is_generator(object) || !PyTuple_CheckExact(state)
        || PyTuple_GET_SIZE(state) < GENERATOR_FRAME + FRAME_VALUES)
    {
        return corrupt(&plan, "this is no state of a generator");
    }
    plan.gen = (PyGenObject *)object;
    PyObject *format = PyTuple_GET_ITEM(state, GENERATOR_FORMAT);
    PyObject *head = PyTuple_GET_ITEM(state, GENERATOR_FRAME + FRAME_HEAD);
    if (rebuild_check_format(format) < 0 || plan_function(&plan, head) < 0) {
        goto error;
    }
    if (!is_empty_generator(plan.gen)
        || generator_code(plan.gen) != plan.code)
    {
        corrupt(&plan, "belongs to another generator");
        goto error;
    }
    PyObject *extra = PyTuple_GET_ITEM(state, GENERATOR_FRAME + FRAME_EXTRA);
    if (check_exception(&plan, extra, &plan.extra) == 0
        && plan_frame(&plan, state, GENERATOR_FRAME) == 0
        && check_suspended(&plan) == 0)
    {
        /* Analysing and checking ran no Python code: it is empty still. */
        publish_generator(&plan);
        generator_wait(generator_iframe(plan.gen), plan.pc);
        plan.gen->gi_frame_state =
            plan.opcode == YIELD_VALUE
                ? generator_suspended_state(plan.oparg)
                : FRAME_CREATED;
        status = 0;
    }

error:
    plan_clear(&plan);
    return status;
}

/* ---- a fiber's parts --------------------------------------------------- */

int
rebuild_check_format(PyObject *format)
{
    if (!PyLong_CheckExact(format)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore: the state has no format number");
        return -1;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(format, &overflow);
    if (number < STATE_OLDEST || number > STATE_FORMAT) {
        PyErr_Format(VersionMismatchError,
                     "can't restore: the state has format %S, and this "
                     "pickletask reads formats up to %d", format,
                     STATE_FORMAT);
        return -1;
    }
    return 0;
}

/* What a frame that waits in FOR_ITER or SEND resumes. Borrowed, or NULL. */
static PyObject *
receiver_of(const frame_plan *plan)
{
    return plan->kept < INTERP_ITERATOR_SLOTS
               ? NULL
               : plan->slots[plan->count - INTERP_ITERATOR_SLOTS];
}

/* Does a FOR_ITER or SEND to `receiver` resume the generator? */
static int
resumes(const frame_plan *plan, PyObject *receiver, PyObject *gen)
{
    if (plan->opcode != FOR_ITER && plan->opcode != SEND) {
        return 0;
    }
    if (receiver == gen) {
        return plan->opcode == FOR_ITER ? PyGen_CheckExact(gen)
                                        : !PyAsyncGen_CheckExact(gen);
    }
    return awaitable_generator(receiver) == gen
           && (plan->opcode == SEND || !awaitable_converts(receiver));
}

/* Can a frame wait in this instruction for the next inner one, which is that
 * of a generator or not; or, innermost, for the value that resumes it? */
static int
check_pending(const frame_plan *plan, const frame_plan *inner)
{
    int ok = 0;

    if (inner != NULL && inner->gen != NULL) {
        PyObject *operand = receiver_of(plan);
        if (plan->opcode == CALL) {
            ok = !PyAsyncGen_CheckExact(inner->gen)
                 || (boundary_finishes(plan->code)
                     && awaitable_generator(plan->slots[0])
                            == (PyObject *)inner->gen);
        }
        else {
            ok = resumes(plan, operand, (PyObject *)inner->gen);
        }
    }
    else if (inner != NULL) {
        ok = boundary_takes_result(plan->opcode, plan->oparg, inner->code);
    }
    else {
        ok = plan->opcode == CALL || plan->opcode == CALL_FUNCTION_EX
             || plan->opcode == INTERP_OP_CALL_KW || plan->opcode == FOR_ITER;
    }
    return ok ? 0 : corrupt(plan, "doesn't wait for what it called");
}

/* The generator of frame number i, and the exception that it handles. */
static int
plan_generator(frame_plan *plans, int i, PyObject *pair)
{
    frame_plan *plan = &plans[i];

    if (PyTuple_GET_SIZE(pair) != 2
        || !is_generator(PyTuple_GET_ITEM(pair, 0)))
    {
        return corrupt(plan, "is one of a generator without its generator");
    }
    plan->gen = (PyGenObject *)PyTuple_GET_ITEM(pair, 0);
    if (!is_empty_generator(plan->gen)
        || generator_code(plan->gen) != plan->code)
    {
        return corrupt(plan, "belongs to another generator");
    }
    for (int k = 0; k < i; k++) {
        if (plans[k].gen == plan->gen) {
            return corrupt(plan, "runs twice in the task");
        }
    }
    return check_exception(plan, PyTuple_GET_ITEM(pair, 1), &plan->extra);
}

/* The functions of all frames: afterwards no Python code runs. */
static int
plan_functions(frame_plan *plans, int count, PyObject *state)
{
    for (int i = 0; i < count; i++) {
        PyObject *frame = PyTuple_GET_ITEM(state, FIBER_FRAMES + i);
        if (!PyTuple_CheckExact(frame)
            || PyTuple_GET_SIZE(frame) < FRAME_VALUES)
        {
            return corrupt(&plans[i], "a frame has no state");
        }
        if (plan_function(&plans[i], PyTuple_GET_ITEM(frame, FRAME_HEAD)) < 0)
        {
            return -1;
        }
    }
    return 0;
}

/* The context that a frame has entered, as Context.run() does. Borrowed, or
 * NULL. */
static PyObject *
context_of(const frame_plan *plan)
{
    return plan->code == bridge_get(BRIDGE_CONTEXT)->code ? plan->slots[0]
                                                          : NULL;
}

/* Can a context be entered by frame number i, and none of the inner ones? */
static int
check_context(const frame_plan *plans, int i)
{
    PyObject *context = context_of(&plans[i]);

    if (context == NULL) {
        return 0;
    }
    if (!PyContext_CheckExact(context)) {
        return corrupt(&plans[i], "has entered what is no context");
    }
    if (contexts_is_entered(context)) {
        return corrupt(&plans[i], "has entered a context that is in use");
    }
    for (int k = 0; k < i; k++) {
        if (context_of(&plans[k]) == context) {
            return corrupt(&plans[i], "has entered a context twice");
        }
    }
    return 0;
}

/* A plan for frame number i, whose next inner one is plans[i - 1]. */
static int
plan_link(frame_plan *plans, int i, PyObject *state)
{
    frame_plan *plan = &plans[i];
    PyObject *extra = PyTuple_GET_ITEM(state, FRAME_EXTRA);
    if (PyTuple_CheckExact(extra)) {
        if (plan_generator(plans, i, extra) < 0) {
            return -1;
        }
    }
    else if (is_generator_code(plan->code)) {
        return corrupt(plan, "is one of a generator without its generator");
    }
    else if (plan_namespace(plan, extra) < 0) {
        return -1;
    }
    if (plan_frame(plan, state, 0) < 0
        || check_pending(plan, i == 0 ? NULL : &plans[i - 1]) < 0
        || check_context(plans, i) < 0)
    {
        return -1;
    }
    return 0;
}

static void
publish_frame(frame_plan *plan, iframe *f)
{
    iframe_begin(f, (PyCodeObject *)Py_NewRef(plan->code),
                 Py_NewRef(plan->function), FRAME_OWNED_BY_THREAD);
    f->f_locals = Py_XNewRef(plan->extra);
    publish_slots(plan, f);
    iframe_set_entry(f, 0);
}

/* How the result of the next inner frame, which is that of a generator or not,
 * reaches the frame.  If it is owned by nothing else, the fiber owns it: see
 * chain_is_next(). */
static interp_pending
pending(const frame_plan *plan, PyGenObject *inner)
{
    if (inner == NULL) {
        return PENDING_PUSH;
    }
    if (plan->opcode == CALL) {
        Py_INCREF(inner);
        return PENDING_NEXT;
    }
    return plan->opcode == SEND && awaitable_converts(receiver_of(plan))
               ? PENDING_STEP
               : PENDING_GENERATOR;
}

/* Links the frames of the plans, outermost first. Can't fail. */
static void
publish_fiber(fiber *f, fiber_image *image, frame_plan *plans, int count,
              PyObject *exception)
{
    _PyErr_StackItem *exc_info = &f->exc;
    iframe *outer = NULL;

    for (int i = count - 1; i >= 0; i--) {
        frame_plan *plan = &plans[i];
        interp_pending how = pending(plan, i == 0 ? NULL : plans[i - 1].gen);
        if (context_of(plan) != NULL) {
            contexts_enter(f, context_of(plan));
        }
        iframe *frame;
        if (plan->gen != NULL) {
            publish_generator(plan);
            frame = generator_iframe(plan->gen);
            plan->gen->gi_frame_state = FRAME_EXECUTING;
            plan->gen->gi_exc_state.previous_item = exc_info;
            if (PyAsyncGen_CheckExact(plan->gen)) {
                ((PyAsyncGenObject *)plan->gen)->ag_running_async = 1;
            }
            exc_info = &plan->gen->gi_exc_state;
        }
        else {
            frame = image_add(image, plan->code, plan->count);
            publish_frame(plan, frame);
        }
        iframe_wait(frame, plan->pc, plan->next, plan->oparg, how);
        frame->previous = outer;
        outer = frame;
    }
    image->top = outer;
    image->exc_info = exc_info;
    image->frames = count;
    f->image = image;
    f->exc.exc_value = Py_XNewRef(exception);
    f->landed = 1;
    f->state = FIBER_SOFT;
}

/* The image for the plans. NULL with an exception if there's no memory. */
static fiber_image *
image_for(const frame_plan *plans, int count)
{
    Py_ssize_t compact = 0, full = 0;
    for (int i = 0; i < count; i++) {
        if (plans[i].gen == NULL) {
            compact += (int)FRAME_SPECIALS_SIZE + plans[i].count;
            full += iframe_size(plans[i].code);
        }
    }
    if (full > INT_MAX / 2) {
        PyErr_NoMemory();
        return NULL;
    }
    return image_new((int)compact, (int)full);
}

int
rebuild_fiber(fiber *f, PyObject *state)
{
    frame_plan none = {.code = NULL}, *plans = NULL;
    fiber_image *image = NULL;
    PyObject *exception;
    int status = -1, count = 0;

    assert(f->state == FIBER_NEW && f->stack == NULL);
    if (!PyTuple_CheckExact(state) || PyTuple_GET_SIZE(state) <= FIBER_FRAMES
        || PyTuple_GET_SIZE(state) > INT_MAX / 2)
    {
        return corrupt(&none, "this is no state of a task");
    }
    if (rebuild_check_format(PyTuple_GET_ITEM(state, FIBER_FORMAT)) < 0
        || check_exception(&none, PyTuple_GET_ITEM(state, FIBER_EXCEPTION),
                           &exception) < 0)
    {
        return -1;
    }
    count = (int)PyTuple_GET_SIZE(state) - FIBER_FRAMES;
    plans = PyMem_Calloc(count, sizeof(frame_plan));
    if (plans == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (plan_functions(plans, count, state) < 0) {
        goto error;
    }
    if (f->state != FIBER_NEW || f->stack != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "can't restore a task: it was started meanwhile");
        goto error;
    }
    for (int i = 0; i < count; i++) {
        if (plan_link(plans, i, PyTuple_GET_ITEM(state, FIBER_FRAMES + i))
            < 0)
        {
            goto error;
        }
    }
    if (plans[count - 1].gen != NULL) {
        corrupt(&plans[count - 1], "begins a task, which a generator can't");
        goto error;
    }
    image = image_for(plans, count);
    if (image == NULL) {
        goto error;
    }
    publish_fiber(f, image, plans, count, exception);
    assert(fiber_check(f));
    status = 0;

error:
    for (int i = 0; i < count; i++) {
        plan_clear(&plans[i]);
    }
    PyMem_Free(plans);
    return status;
}
