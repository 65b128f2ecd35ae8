/* Plain state to suspended frames: see state.h.
 *
 * Three steps: check everything, build with references of our own, publish
 * with assignments that can't fail.  A state that is not right raises
 * CorruptStateError, and nothing has changed.
 */
#include "state.h"

#include "bridged.h"
#include "codes.h"
#include "errors.h"
#include "fiber/awaitable.h"
#include "fiber/boundary.h"
#include "fiber/bridge.h"
#include "fiber/contexts.h"
#include "fiber/soften.h"
#include "functions.h"
#include "interp/analysis.h"
#include "loops.h"
#include "references.h"
#include "saved.h"
#include "sealed.h"

/* A frame on its way from state to memory. */
typedef struct {
    saved_frame saved;
    PyCodeObject *code;     /* borrowed from the function */
    PyObject *function;     /* owned */
    referred referred;      /* owned: its code, if the head is a reference */
    int restricted;         /* a bridge of a restricted load */
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

/* ---- planning ---------------------------------------------------------- */

/* The value of a special slot. New reference, or NULL with an exception. */
static PyObject *
make_special(const frame_plan *plan, special_kind kind, int other,
             PyObject *const *values)
{
    PyObject *made = NULL, *earlier = other < 0 ? NULL : plan->slots[other];

    if (kind == SPECIAL_SAME) {
        made = Py_XNewRef(earlier);
    }
    else if (kind == SPECIAL_LOOP) {
        made = loops_make(values[0], values[1]);
    }
    else if (kind == SPECIAL_LOOP_IN) {
        made = earlier == NULL ? NULL : loops_make(earlier, values[0]);
    }
    else {
        made = loops_make_range(values[0], values[1], values[2]);
    }
    if (made == NULL && !PyErr_Occurred()) {
        corrupt(plan, "has a loop over nothing that it could be over");
    }
    return made;
}

/* References to the values, each in its slot. */
static int
plan_slots(frame_plan *plan)
{
    saved_frame *saved = &plan->saved;
    PyObject *const *value = saved->values;
    PyObject *const *end = value + saved->value_count;
    int special = -1, other = -1;
    special_kind kind = SPECIAL_SAME;

    if (!saved_check_nulls(saved, plan->count)) {
        return corrupt(plan, "doesn't say which slots are empty");
    }
    if (saved->slots != plan->count) {
        return corrupt(plan, saved->slots < plan->count
                                 ? "has too few values"
                                 : "has too many values");
    }
    plan->slots = PyMem_Calloc(plan->count + 1, sizeof(PyObject *));
    if (plan->slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    saved_next_special(&saved->specials, &special, &kind, &other);
    for (int i = 0; i < plan->count; i++) {
        int items = i == special ? saved_special_items[kind] : 1;
        if (saved_is_null(saved, i)) {
            continue;
        }
        if (end - value < items) {
            return corrupt(plan, "has too few values");
        }
        if (i != special) {
            plan->slots[i] = Py_NewRef(*value);
        }
        else {
            plan->slots[i] = make_special(plan, kind, other, value);
            if (plan->slots[i] == NULL) {
                return -1;
            }
            saved_next_special(&saved->specials, &special, &kind, &other);
        }
        value += items;
    }
    if (value != end) {
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

/* Where a frame stands, and its slots. Afterwards plan_clear() is due in any
 * case. 0, or -1 with an exception. */
static int
plan_frame(frame_plan *plan)
{
    analysis_instruction at;

    const analysis *a = analysis_get(plan->code);
    if (a == NULL) {
        return PyErr_ExceptionMatches(PyExc_MemoryError)
                   ? -1
                   : (PyErr_Clear(), corrupt(plan, "has damaged code"));
    }
    plan->pc = plan->saved.place.pc;
    if (plan->referred.code != NULL) {
        plan->pc = references_pc(&plan->saved.place, &plan->referred, a,
                                 plan->saved.slots
                                     - plan->code->co_nlocalsplus);
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    plan->kept = analysis_kept(a, plan->pc);
    if (plan->kept < 0 || analysis_at(a, plan->pc, &at) < 0
        || (plan->restricted && !bridge_may_wait(a, plan->code, plan->pc)))
    {
        return corrupt(plan, "stands where nothing can be pending");
    }
    if (interp_watch(plan->code) < 0) {
        return -1;
    }
    plan->opcode = at.opcode;
    plan->oparg = at.oparg;
    plan->next = at.next;
    plan->count = plan->code->co_nlocalsplus + plan->kept;
    return plan_slots(plan) < 0 || check_slots(plan, a) < 0 ? -1 : 0;
}

/* The namespace of a frame that is not a generator's. */
static int
plan_namespace(frame_plan *plan)
{
    int wants = !(plan->code->co_flags & CO_OPTIMIZED);

    plan->extra = plan->saved.space;
    if (wants ? plan->extra == NULL || !PyMapping_Check(plan->extra)
              : plan->extra != NULL
                    && (!PyDict_CheckExact(plan->extra)
                        || !INTERP_KEEPS_LOCALS))
    {
        return corrupt(plan, "has no proper namespace");
    }
    return 0;
}

/* Takes the function of a frame from its head, or makes one for the code that
 * the head refers to. Then may run Python code. 0, or -1 with an exception. */
static int
plan_function(frame_plan *plan)
{
    PyObject *head = sealed_open(plan->saved.head);

    plan->code = NULL;
    if (plan->saved.has_digest || PyTuple_CheckExact(head)) {
        int status = plan->saved.has_digest
                         ? references_follow_parts(plan->saved.head,
                                                   plan->saved.digest,
                                                   plan->saved.path,
                                                   &plan->referred)
                         : references_follow(head, &plan->referred);
        if (status < 0) {
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
    plan->restricted = (head != plan->saved.head || plan->referred.sealed)
                       && bridge_is_own(plan->function);
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

    if (!is_generator(object)) {
        return corrupt(&plan, "a state is set that is not a generator's");
    }
    plan.gen = (PyGenObject *)object;
    if (saved_read_generator(&plan.saved, state) < 0
        || plan_function(&plan) < 0)
    {
        goto error;
    }
    if (!is_empty_generator(plan.gen)
        || generator_code(plan.gen) != plan.code)
    {
        corrupt(&plan, "belongs to another generator");
        goto error;
    }
    int collects = PyGC_Disable();
    if (check_exception(&plan, plan.saved.exception, &plan.extra) == 0
        && plan_frame(&plan) == 0 && check_suspended(&plan) == 0)
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
    if (collects) {
        PyGC_Enable();
    }

error:
    plan_clear(&plan);
    return status;
}

/* ---- a fiber's parts --------------------------------------------------- */

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
plan_generator(frame_plan *plans, int i)
{
    frame_plan *plan = &plans[i];

    if (!is_generator(plan->saved.generator)) {
        return corrupt(plan, "is one of a generator without its generator");
    }
    plan->gen = (PyGenObject *)plan->saved.generator;
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
    return check_exception(plan, plan->saved.exception, &plan->extra);
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

/* Does the bridge inside of frame number i, of a restricted load, fit? */
static int
check_bridge(const frame_plan *plans, int i)
{
    const frame_plan *plan = i > 0 ? &plans[i - 1] : NULL;
    const frame_plan *inner = i > 1 ? &plans[i - 2] : NULL;

    if (plan == NULL || !plan->restricted) {
        return 0;
    }
    bridged_place place = {
        plan->pc, plan->slots, plans[i].code, plans[i].opcode, plans[i].oparg,
        plans[i].slots, plans[i].count,
        inner == NULL ? NULL : inner->code,
        inner == NULL || inner->gen != NULL ? NULL : inner->extra,
    };
    int ok = bridged_belongs(plan->code, &place);

    return ok ? 0 : corrupt(plan, "stands for C code that isn't there");
}

/* A plan for frame number i, whose next inner one is plans[i - 1]. */
static int
plan_link(frame_plan *plans, int i)
{
    frame_plan *plan = &plans[i];

    if (plan->saved.generator != NULL) {
        if (plan_generator(plans, i) < 0) {
            return -1;
        }
    }
    else if (is_generator_code(plan->code)) {
        return corrupt(plan, "is one of a generator without its generator");
    }
    else if (plan_namespace(plan) < 0) {
        return -1;
    }
    return plan_frame(plan) < 0
                   || check_pending(plan, i == 0 ? NULL : &plans[i - 1]) < 0
                   || check_context(plans, i) < 0
                   || check_bridge(plans, i) < 0
               ? -1
               : 0;
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
        f->repeats |= chain_is_repeated(plan->opcode, plan->oparg);
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

/* Checks all frames, of which the functions are known. No Python code runs. 0,
 * or -1 with an exception. */
static int
plan_links(frame_plan *plans, int count)
{
    for (int i = 0; i < count; i++) {
        if (plan_link(plans, i) < 0) {
            return -1;
        }
    }
    if (plans[count - 1].gen != NULL || plans[count - 1].restricted) {
        return corrupt(&plans[count - 1],
                       "begins a task, which only a function can");
    }
    return 0;
}

/* Makes new fiber f soft with frames of which all is known that the state
 * says. 0, or -1 with an exception. */
static int
rebuild_frames(fiber *f, frame_plan *plans, int count, PyObject *exception,
               int minor)
{
    fiber_image *image = NULL;
    int collects, status = -1;

    for (int i = 0; i < count; i++) {
        /* May run Python code: none does afterwards. */
        if (plan_function(&plans[i]) < 0) {
            return -1;
        }
    }
    if (saved_check_minor(minor) < 0) {
        return -1;
    }
    if (f->state != FIBER_NEW || f->stack != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "can't restore a task: it was started meanwhile");
        return -1;
    }
    collects = PyGC_Disable();
    if (plan_links(plans, count) == 0) {
        image = image_for(plans, count);
    }
    if (image != NULL) {
        publish_fiber(f, image, plans, count, exception);
        assert(fiber_check(f));
        status = 0;
    }
    if (collects) {
        PyGC_Enable();
    }
    return status;
}

/* So many plans. NULL with an exception if there's no memory. */
static frame_plan *
new_plans(Py_ssize_t count)
{
    frame_plan *plans = count > INT_MAX / 2
                            ? NULL
                            : PyMem_Calloc(count, sizeof(frame_plan));
    if (plans == NULL) {
        PyErr_NoMemory();
    }
    return plans;
}

static void
clear_plans(frame_plan *plans, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        plan_clear(&plans[i]);
    }
}

/* The exception that is handled outside of all generators comes with the
 * outermost frame. Borrowed, in *exception. 0, or -1 with an exception. */
static int
take_exception(frame_plan *plans, int count, PyObject **exception)
{
    for (int i = 0; i < count - 1; i++) {
        if (plans[i].saved.exception != NULL
            && plans[i].saved.generator == NULL)
        {
            return saved_damaged();
        }
    }
    return check_exception(&plans[count - 1], plans[count - 1].saved.exception,
                           exception);
}

int
rebuild_fiber(fiber *f, PyObject *state, int count)
{
    enum { FEW = 4 };
    frame_plan few[FEW] = {{.code = NULL}}, *plans = few;
    PyObject *exception = NULL;
    compact_reader r;
    int minor, frames = 0, room = FEW, status = -1;

    assert(f->state == FIBER_NEW && f->stack == NULL);
    if (compact_open(&r, state, 1, count) < 0) {
        return saved_damaged();
    }
    if (saved_read_format(&r, &minor) < 0) {
        return -1;
    }
    while (r.at < r.end || frames == 0) {
        if (frames == room) {
            frame_plan *larger = new_plans(4 * (Py_ssize_t)room);
            if (larger == NULL) {
                goto error;
            }
            memcpy(larger, plans, frames * sizeof(frame_plan));
            if (plans != few) {
                PyMem_Free(plans);
            }
            plans = larger;
            room *= 4;
        }
        if (saved_read_frame(&plans[frames].saved, &r, minor) < 0) {
            goto error;
        }
        frames++;
    }
    if (r.item != r.last) {
        saved_damaged();
        goto error;
    }
    if (take_exception(plans, frames, &exception) == 0) {
        status = rebuild_frames(f, plans, frames, exception, minor);
    }

error:
    clear_plans(plans, frames);
    if (plans != few) {
        PyMem_Free(plans);
    }
    return status;
}

int
rebuild_old_fiber(fiber *f, PyObject *state)
{
    frame_plan none = {.code = NULL}, *plans;
    PyObject *exception;
    int status = -1;

    assert(f->state == FIBER_NEW && f->stack == NULL);
    if (!PyTuple_CheckExact(state) || PyTuple_GET_SIZE(state) <= FIBER_FRAMES)
    {
        return saved_damaged();
    }
    if (saved_check_old_format(PyTuple_GET_ITEM(state, FIBER_FORMAT)) < 0
        || check_exception(&none, PyTuple_GET_ITEM(state, FIBER_EXCEPTION),
                           &exception) < 0)
    {
        return -1;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(state) - FIBER_FRAMES;
    plans = new_plans(count);
    if (plans == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *frame = PyTuple_GET_ITEM(state, FIBER_FRAMES + i);
        if (!PyTuple_CheckExact(frame)) {
            saved_damaged();
            goto error;
        }
        if (saved_read_old_frame(&plans[i].saved, frame, 0) < 0) {
            goto error;
        }
    }
    status = rebuild_frames(f, plans, (int)count, exception, INTERP_MINOR);

error:
    clear_plans(plans, count);
    PyMem_Free(plans);
    return status;
}
