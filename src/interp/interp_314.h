/* CPython 3.14. See interp.h for what every accessor means. */
#ifndef PICKLETASK_INTERP_314_H
#define PICKLETASK_INTERP_314_H

#include "opcode.h"
#include "internal/pycore_intrinsics.h"
#include "internal/pycore_genobject.h"
#include "internal/pycore_interpframe.h"
#include "internal/pycore_pythonrun.h"
#include "internal/pycore_tstate.h"

#define INTERP_MINOR 14
/* Slots are tagged words. */
#define INTERP_TAGS_SLOTS 1
/* C code may recurse between two addresses, not up to a number of calls. */
#define INTERP_HAS_C_LIMITS 1
/* A generator runs in the interpreter loop of the frame that resumes it. */
#define INTERP_INLINES_GENERATORS 1
/* The loop clears every frame it leaves. */
#define INTERP_CALLER_CLEARS_ENTRY 0

/* Below the arguments of a call: the callable, then self or NULL. */
#define INTERP_CALLABLE_FIRST 1
#define INTERP_OP_PRECALL (-1)
/* Names the keyword arguments of the next CALL. */
#define INTERP_OP_KW_NAMES (-1)
#define INTERP_OP_CALL_KW CALL_KW
/* Operands of f(*args) above the tuple: the keywords, or NULL. */
#define INTERP_SPREAD_KEYWORDS(oparg) 1
/* A partial() of one argument writes it over the operand that it is itself. */
#define INTERP_HIDES_PARTIAL 0
/* What FOR_ITER and SEND keep on the stack. */
#define INTERP_ITERATOR_SLOTS 1
/* Is a loop over the object an index into it? */
#define INTERP_IS_INDEXED(object) 0
/* Is this the LOAD_COMMON_CONSTANT of None? */
#define INTERP_IS_COMMON_NONE(oparg) 0
/* A generator's code is its frame's. */
#define INTERP_GENERATOR_HAS_CODE 0
/* Functions, classes and aliases have type parameters. */
#define INTERP_TYPE_PARAMS 1
/* These have defaults. */
#define INTERP_TYPE_PARAM_DEFAULTS 1
#define INTERP_TYPEVARTUPLE_BOUND 0
#define INTERP_TYPE_ALIAS_QUALNAME 0
/* Functions compute their annotations when they are asked for. */
#define INTERP_FUNCTION_ANNOTATE 1
/* Has itertools reducers of its own, but for these two? */
#define INTERP_PICKLES_ITERTOOLS 0
#define INTERP_HAS_BATCHED 1
#define INTERP_BATCHED_IS_STRICT 1
#define INTERP_PAIRWISE_HAS_RESULT 1
/* Does the iterator of a range count what it has passed? */
#define INTERP_RANGE_INDEX 0

/* Does a function's frame keep the dict that locals() has made? */
#define INTERP_KEEPS_LOCALS 0

/* Does a LOAD_ATTR push a method and its self? */
#define INTERP_LOADS_METHOD(oparg) ((oparg) & 1)

/* The index of a LOAD_ATTR's name. */
#define INTERP_ATTRIBUTE(oparg) ((oparg) >> 1)
/* The name that an IMPORT_NAME has. */
#define INTERP_IMPORTED(oparg) (oparg)
/* Which of Py_LT and so on a COMPARE_OP is; whether it makes a bool. */
#define INTERP_COMPARISON(oparg) ((oparg) >> 5)
#define INTERP_COMPARES_TO_BOOL(oparg) ((oparg) & 16)
/* From the top, where WITH_EXCEPT_START finds what it calls. */
#define INTERP_EXIT_SLOT 5
/* Code is specialised only after some calls: it has to be quickened. */
#define INTERP_QUICKENS 0
/* athrow() keeps its arguments as a tuple. */
#define INTERP_THROWS_TUPLE 1
/* A generator's close() returns what the generator returns. */
#define INTERP_CLOSE_RETURNS 1

/* Instructions that came or went. */
#define INTERP_OP_ENTER (-1)
#define INTERP_OP_SLICE BINARY_SLICE
#define INTERP_OP_FORMAT FORMAT_SIMPLE
#define INTERP_OP_FORMAT_SPEC FORMAT_WITH_SPEC
#define INTERP_OP_CONVERT CONVERT_VALUE
#define INTERP_OP_LOAD_METHOD (-1)
#define INTERP_OP_SUPER LOAD_SUPER_ATTR
#define INTERP_OP_STORE_SLICE STORE_SLICE
#define INTERP_OP_TO_BOOL TO_BOOL
#define INTERP_IS_POSITIVE(opcode, oparg) \
    ((opcode) == CALL_INTRINSIC_1 && (oparg) == INTRINSIC_UNARY_POSITIVE)
#define INTERP_IS_SUBSCRIPT(opcode, oparg) \
    ((opcode) == BINARY_OP && (oparg) == NB_SUBSCR)
#define INTERP_ENTERS_WITH(opcode) ((opcode) == LOAD_SPECIAL)

#include "interp/slot.h"

/* ---- iframes ---------------------------------------------------------- */

static inline PyCodeObject *
iframe_code(iframe *f)
{
    return (PyCodeObject *)islot_object(f->f_executable);
}

static inline PyObject *
iframe_function(iframe *f)
{
    return islot_object(f->f_funcobj);
}

static inline void
iframe_set_executable(iframe *f, PyCodeObject *code, PyObject *function)
{
    f->f_executable = islot_of((PyObject *)code);
    f->f_funcobj = islot_of(function);
}

/* The frame that an interpreter loop keeps on the C stack. */
static inline int
iframe_is_marker(iframe *f)
{
    return f->owner == FRAME_OWNED_BY_INTERPRETER;
}

/* A frame without a function of its own between a class call and its
 * __init__. */
static inline int
iframe_is_shim(iframe *f)
{
    PyObject *function = islot_object(f->f_funcobj);
    return function == NULL || !PyFunction_Check(function);
}

/* Did an interpreter loop begin with this frame? */
static inline int
iframe_is_entry(iframe *f)
{
    return f->previous != NULL && iframe_is_marker(f->previous);
}

static inline void
iframe_set_entry(iframe *f, int entry)
{
}

/* Instruction pointer as a unit. */
static inline int
iframe_unit(iframe *f)
{
    return (int)(f->instr_ptr - _PyCode_CODE(iframe_code(f)));
}

static inline void
iframe_set_unit(iframe *f, int unit)
{
    f->instr_ptr = _PyCode_CODE(iframe_code(f)) + unit;
}

/* Makes the frame wait in the instruction at pc, which ends before `next`. */
static inline void
iframe_wait(iframe *f, int pc, int next, int oparg, interp_pending how)
{
    if (how == PENDING_GENERATOR) {
        next += oparg;
    }
    f->instr_ptr = _PyCode_CODE(iframe_code(f)) + pc;
    f->return_offset = (uint16_t)(next - pc);
}

/* Makes a frame that is returned to go on with the instruction at pc. */
static inline void
iframe_go_to(iframe *f, int pc)
{
    f->instr_ptr = _PyCode_CODE(iframe_code(f)) + pc;
    f->return_offset = 0;
}

static inline int
iframe_size(PyCodeObject *code)
{
    return code->co_framesize;
}

/* ---- thread state ----------------------------------------------------- */

/* Between which addresses C code may recurse. */
typedef struct {
    uintptr_t top, soft, hard;
} interp_c_limits;

typedef struct {
    iframe *frame;
    _PyStackChunk *chunk;
    PyObject **top, **limit;
    _PyErr_StackItem *exc_info;
    PyObject *context;  /* owned */
    int depth;
    int tracing, event;
    interp_c_limits c_limits;
    PyObject *executor;
} interp_saved;

/* What an interpreter loop finds below itself on a fresh C stack. */
typedef struct {
    char unused;
} interp_base;

/* Where the limits are: micro releases differ. */
extern Py_ssize_t interp_c_limits_offset;

static inline interp_c_limits *
interp_c_limits_of(PyThreadState *ts)
{
    return (interp_c_limits *)((char *)ts + interp_c_limits_offset);
}

/* Does the calling thread, which has used ts, use it now? */
static inline int
interp_is_active(PyThreadState *ts)
{
    return ts->_status.active;
}

static inline iframe *
interp_current(PyThreadState *ts)
{
    return ts->current_frame;
}

static inline void
interp_set_current(PyThreadState *ts, iframe *f)
{
    ts->current_frame = f;
}

static inline void
interp_save(PyThreadState *ts, interp_saved *s)
{
    s->frame = ts->current_frame;
    s->chunk = ts->datastack_chunk;
    s->top = ts->datastack_top;
    s->limit = ts->datastack_limit;
    s->exc_info = ts->exc_info;
    s->context = ts->context;
    s->depth = ts->py_recursion_limit - ts->py_recursion_remaining;
    s->tracing = ts->tracing;
    s->event = ts->what_event;
    s->c_limits = *interp_c_limits_of(ts);
    s->executor = ts->current_executor;
}

static inline void
interp_load(PyThreadState *ts, const interp_saved *s)
{
    ts->current_frame = s->frame;
    ts->datastack_chunk = s->chunk;
    ts->datastack_top = s->top;
    ts->datastack_limit = s->limit;
    ts->exc_info = s->exc_info;
    ts->context = s->context;
    ts->context_ver++;
    ts->py_recursion_remaining = ts->py_recursion_limit - s->depth;
    ts->tracing = s->tracing;
    ts->what_event = s->event;
    *interp_c_limits_of(ts) = s->c_limits;
    ts->current_executor = s->executor;
}

static inline void
interp_fresh(PyThreadState *ts, interp_base *base, _PyErr_StackItem *root,
             PyObject *context, char *low, char *top)
{
    ts->tracing = 0;
    ts->what_event = -1;
    ts->current_frame = NULL;
    ts->exc_info = root;
    ts->context = context;
    ts->context_ver++;
    ts->py_recursion_remaining = ts->py_recursion_limit;
    *interp_c_limits_of(ts) = (interp_c_limits){
        .top = (uintptr_t)top,
        .soft = (uintptr_t)low + 2 * _PyOS_STACK_MARGIN_BYTES,
        .hard = (uintptr_t)low + _PyOS_STACK_MARGIN_BYTES,
    };
    ts->current_executor = NULL;
}

/* The frame that runs, was running, in a saved thread state. Borrowed. */
static inline iframe *
interp_saved_frame(const interp_saved *s)
{
    return s->frame;
}

/* Walks the interpreter loops on a C stack; here the frames do. */
typedef iframe *interp_loop;

static inline interp_loop
interp_saved_loop(const interp_saved *s)
{
    return NULL;
}

static inline interp_loop
interp_current_loop(PyThreadState *ts)
{
    return NULL;
}

/* Where on the C stack the loop is that began with `inner`. */
static inline const char *
interp_loop_place(interp_loop loop, iframe *inner)
{
    return (const char *)inner->previous;
}

/* Bytes of C stack between the loop that began with `inner` and the next
 * outer one, which runs `outer`.  Moves *loop outwards. */
static inline Py_ssize_t
interp_loop_distance(interp_loop *loop, iframe *inner, iframe *outer)
{
    while (!iframe_is_marker(outer)) {
        outer = outer->previous;
    }
    return (char *)outer - (char *)inner->previous;
}

/* Did the interpreter report calls of C functions when it was left? Then it
 * holds references of its own around them. */
static inline int
interp_saved_traced(const interp_saved *s)
{
    return 0;
}

/* Keeps the running interpreter loop from reporting that its frame returns.
 * Returns 1 if that needs interp_resume_tracing() afterwards.  Here the
 * frame's code says so itself. */
static inline int
interp_pause_tracing(PyThreadState *ts)
{
    return 0;
}

static inline void
interp_resume_tracing(PyThreadState *ts)
{
}

/* Sets the frame that an interpreter loop which begins on top of `base`
 * finds below itself. */
static inline void
interp_base_set_frame(PyThreadState *ts, interp_base *base, iframe *f)
{
    ts->current_frame = f;
}

/* How deep Python code may recurse. */
static inline int
interp_recursion_limit(PyThreadState *ts)
{
    return ts->py_recursion_limit;
}

/* Python-to-Python calls that the thread is deep in from now on. */
static inline void
interp_set_depth(PyThreadState *ts, int depth)
{
    ts->py_recursion_remaining = ts->py_recursion_limit - depth;
}

/* ---- what code objects carry for us ------------------------------------ */

/* A new kind of extra data; -1 if there are no more. */
static inline Py_ssize_t
interp_extra_index(freefunc free)
{
    return PyUnstable_Eval_RequestCodeExtraIndex(free);
}

/* The data, or NULL. */
static inline void *
interp_extra_get(PyCodeObject *code, Py_ssize_t index)
{
    void *extra = NULL;
    (void)PyUnstable_Code_GetExtra((PyObject *)code, index, &extra);
    return extra;
}

/* 0, or -1 with an exception. */
static inline int
interp_extra_set(PyCodeObject *code, Py_ssize_t index, void *extra)
{
    return PyUnstable_Code_SetExtra((PyObject *)code, index, extra);
}

/* Prepares code whose frame will go on without having begun here for tracing
 * and monitoring tools. 0, or -1 with an exception. */
static inline int
interp_watch(PyCodeObject *code)
{
    return 0;
}

/* Calls visit() with each object that the collector knows, until it returns
 * 0. */
static inline void
interp_visit_objects(int (*visit)(PyObject *, void *), void *argument)
{
    PyUnstable_GC_VisitObjects(visit, argument);
}

/* What a weak reference refers to. New reference; NULL if it's gone. */
static inline PyObject *
interp_weakref_get(PyObject *reference)
{
    PyObject *object = NULL;
    (void)PyWeakref_GetRef(reference, &object);
    return object;
}

/* ---- generators -------------------------------------------------------- */

/* The code of a generator, finished or not. Borrowed. */
static inline PyCodeObject *
generator_code(PyGenObject *gen)
{
    return iframe_code(&gen->gi_iframe);
}

/* Gives a generator that was allocated without one its code. Steals. */
static inline void
generator_set_code(PyGenObject *gen, PyCodeObject *code)
{
    iframe_set_executable(&gen->gi_iframe, code, NULL);
}

/* Where a suspended generator's pending instruction begins: from the unit
 * that its instruction pointer gives. */
static inline int
generator_pending_unit(int unit)
{
    return unit - 1;
}

/* Makes a generator's frame wait in the yield, or the start, at pc. */
static inline void
generator_wait(iframe *f, int pc)
{
    f->instr_ptr = _PyCode_CODE(iframe_code(f)) + pc + 1;
    f->return_offset = 0;
}

/* The state of a generator that waits in YIELD_VALUE with this argument. */
static inline int
generator_suspended_state(int oparg)
{
    return oparg & 1 ? FRAME_SUSPENDED_YIELD_FROM : FRAME_SUSPENDED;
}

#endif
