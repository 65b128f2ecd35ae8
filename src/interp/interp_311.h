/* CPython 3.11. See interp.h for what every accessor means. */
#ifndef PICKLETASK_INTERP_311_H
#define PICKLETASK_INTERP_311_H

#include "opcode.h"
#include "internal/pycore_pystate.h"

#define INTERP_MINOR 11
/* Slots are tagged words. */
#define INTERP_TAGS_SLOTS 0
/* C code may recurse between two addresses, not up to a number of calls. */
#define INTERP_HAS_C_LIMITS 0
/* Every generator runs in an interpreter loop of its own. */
#define INTERP_INLINES_GENERATORS 0
/* The caller of the loop, not the loop, clears the frame it entered with. */
#define INTERP_CALLER_CLEARS_ENTRY 1

/* Below the arguments of a call: the method or NULL, then the callable. */
#define INTERP_CALLABLE_FIRST 0
#define INTERP_OP_PRECALL PRECALL
/* Names the keyword arguments of the next CALL. */
#define INTERP_OP_KW_NAMES KW_NAMES
#define INTERP_OP_CALL_KW (-1)
/* Operands of f(*args) above the tuple: the keywords, if there are any. */
#define INTERP_SPREAD_KEYWORDS(oparg) ((oparg) & 1)
/* A partial() of one argument writes it over the operand that it is itself. */
#define INTERP_HIDES_PARTIAL 1
/* What FOR_ITER and SEND keep on the stack. */
#define INTERP_ITERATOR_SLOTS 1
/* Is a loop over the object an index into it? */
#define INTERP_IS_INDEXED(object) 0
/* Is this the LOAD_COMMON_CONSTANT of None? */
#define INTERP_IS_COMMON_NONE(oparg) 0
/* A generator's code is its own, beside its frame's. */
#define INTERP_GENERATOR_HAS_CODE 1
/* Functions, classes and aliases have type parameters. */
#define INTERP_TYPE_PARAMS 0
/* These have defaults. */
#define INTERP_TYPE_PARAM_DEFAULTS 0
#define INTERP_TYPEVARTUPLE_BOUND 0
#define INTERP_TYPE_ALIAS_QUALNAME 0
/* Functions compute their annotations when they are asked for. */
#define INTERP_FUNCTION_ANNOTATE 0
/* Has itertools reducers of its own, but for these two? */
#define INTERP_PICKLES_ITERTOOLS 1
#define INTERP_HAS_BATCHED 0
#define INTERP_BATCHED_IS_STRICT 0
#define INTERP_PAIRWISE_HAS_RESULT 0
/* Does the iterator of a range count what it has passed? */
#define INTERP_RANGE_INDEX 1

/* Does a function's frame keep the dict that locals() has made? */
#define INTERP_KEEPS_LOCALS 1

/* Does a LOAD_ATTR push a method and its self? */
#define INTERP_LOADS_METHOD(oparg) 0

/* The index of a LOAD_ATTR's name. */
#define INTERP_ATTRIBUTE(oparg) (oparg)
/* The name that an IMPORT_NAME has. */
#define INTERP_IMPORTED(oparg) (oparg)
/* Which of Py_LT and so on a COMPARE_OP is; whether it makes a bool. */
#define INTERP_COMPARISON(oparg) (oparg)
#define INTERP_COMPARES_TO_BOOL(oparg) 0
/* From the top, where WITH_EXCEPT_START finds what it calls. */
#define INTERP_EXIT_SLOT 4
/* Code is specialised only after some calls: it has to be quickened. */
#define INTERP_QUICKENS 1
/* athrow() keeps its arguments as a tuple. */
#define INTERP_THROWS_TUPLE 1
/* A generator's close() returns what the generator returns. */
#define INTERP_CLOSE_RETURNS 0

/* Instructions that came or went. */
#define INTERP_OP_ENTER BEFORE_WITH
#define INTERP_OP_SLICE (-1)
#define INTERP_OP_FORMAT FORMAT_VALUE
#define INTERP_OP_FORMAT_SPEC (-1)
#define INTERP_OP_CONVERT (-1)
#define INTERP_OP_LOAD_METHOD LOAD_METHOD
#define INTERP_OP_SUPER (-1)
#define INTERP_OP_STORE_SLICE (-1)
#define INTERP_OP_TO_BOOL (-1)
#define INTERP_IS_POSITIVE(opcode, oparg) ((opcode) == UNARY_POSITIVE)
#define INTERP_IS_SUBSCRIPT(opcode, oparg) ((opcode) == BINARY_SUBSCR)
#define INTERP_ENTERS_WITH(opcode) \
    ((opcode) == BEFORE_WITH || (opcode) == BEFORE_ASYNC_WITH)

#include "interp/slot.h"

/* ---- iframes ---------------------------------------------------------- */

static inline PyCodeObject *
iframe_code(iframe *f)
{
    return f->f_code;
}

static inline PyObject *
iframe_function(iframe *f)
{
    return (PyObject *)f->f_func;
}

static inline void
iframe_set_executable(iframe *f, PyCodeObject *code, PyObject *function)
{
    f->f_code = code;
    f->f_func = (PyFunctionObject *)function;
}

/* The frame that an interpreter loop keeps on the C stack. */
static inline int
iframe_is_marker(iframe *f)
{
    return 0;
}

/* A frame without a function of its own between a class call and its
 * __init__. */
static inline int
iframe_is_shim(iframe *f)
{
    return 0;
}

/* Did an interpreter loop begin with this frame? */
static inline int
iframe_is_entry(iframe *f)
{
    return f->is_entry;
}

static inline void
iframe_set_entry(iframe *f, int entry)
{
    f->is_entry = entry != 0;
}

/* Instruction pointer as a unit. */
static inline int
iframe_unit(iframe *f)
{
    return (int)(f->prev_instr - _PyCode_CODE(f->f_code));
}

static inline void
iframe_set_unit(iframe *f, int unit)
{
    f->prev_instr = _PyCode_CODE(f->f_code) + unit;
}

/* Makes the frame wait in the instruction at pc, which ends before `next`. */
static inline void
iframe_wait(iframe *f, int pc, int next, int oparg, interp_pending how)
{
    f->prev_instr = _PyCode_CODE(f->f_code) + next - 1;
}

/* Makes a frame that is returned to go on with the instruction at pc. */
static inline void
iframe_go_to(iframe *f, int pc)
{
    f->prev_instr = _PyCode_CODE(f->f_code) + pc - 1;
}

static inline int
iframe_size(PyCodeObject *code)
{
    return code->co_nlocalsplus + code->co_stacksize
           + (int)FRAME_SPECIALS_SIZE;
}

/* ---- thread state ----------------------------------------------------- */

typedef struct {
    _PyCFrame *cframe;
    _PyStackChunk *chunk;
    PyObject **top, **limit;
    _PyErr_StackItem *exc_info;
    PyObject *context;  /* owned */
    int depth;
    int trash;
    int headroom;       /* is a RecursionError being made? The collector
                         * may run code, and switch, just then. */
    int tracing, event;
} interp_saved;

/* What an interpreter loop finds below itself on a fresh C stack. */
typedef _PyCFrame interp_base;

/* Does the calling thread, which has used ts, use it now? */
static inline int
interp_is_active(PyThreadState *ts)
{
    return _PyRuntimeState_GetThreadState(&_PyRuntime) == ts;
}

static inline iframe *
interp_current(PyThreadState *ts)
{
    return ts->cframe->current_frame;
}

static inline void
interp_set_current(PyThreadState *ts, iframe *f)
{
    ts->cframe->current_frame = f;
}

static inline uint8_t
interp_use_tracing(PyThreadState *ts)
{
    return (ts->c_tracefunc || ts->c_profilefunc) && ts->tracing == 0 ? 255
                                                                      : 0;
}

/* What is left at this depth.  Below zero, because the limit was lowered while
 * a deep fiber waited, CPython would end the process: the next call raises
 * RecursionError instead. */
static inline int
interp_remaining(PyThreadState *ts, int depth)
{
    int remaining = ts->recursion_limit - depth;
    return remaining < 0 ? 0 : remaining;
}

static inline void
interp_save(PyThreadState *ts, interp_saved *s)
{
    s->cframe = ts->cframe;
    s->chunk = ts->datastack_chunk;
    s->top = ts->datastack_top;
    s->limit = ts->datastack_limit;
    s->exc_info = ts->exc_info;
    s->context = ts->context;
    s->depth = ts->recursion_limit - ts->recursion_remaining;
    s->trash = ts->trash_delete_nesting;
    s->headroom = ts->recursion_headroom;
    s->tracing = ts->tracing;
    s->event = ts->tracing_what;
}

static inline void
interp_load(PyThreadState *ts, const interp_saved *s)
{
    ts->cframe = s->cframe;
    ts->datastack_chunk = s->chunk;
    ts->datastack_top = s->top;
    ts->datastack_limit = s->limit;
    ts->exc_info = s->exc_info;
    ts->context = s->context;
    ts->context_ver++;
    ts->recursion_remaining = interp_remaining(ts, s->depth);
    ts->trash_delete_nesting = s->trash;
    ts->recursion_headroom = s->headroom;
    ts->tracing = s->tracing;
    ts->tracing_what = s->event;
    ts->cframe->use_tracing = interp_use_tracing(ts);
}

static inline void
interp_fresh(PyThreadState *ts, interp_base *base, _PyErr_StackItem *root,
             PyObject *context, char *low, char *top)
{
    ts->recursion_headroom = 0;
    ts->tracing = 0;
    ts->tracing_what = 0;
    base->current_frame = NULL;
    base->previous = &ts->root_cframe;
    base->use_tracing = interp_use_tracing(ts);
    ts->cframe = base;
    ts->exc_info = root;
    ts->context = context;
    ts->context_ver++;
    ts->recursion_remaining = ts->recursion_limit;
    ts->trash_delete_nesting = 0;
}

/* The frame that runs, was running, in a saved thread state. Borrowed. */
static inline iframe *
interp_saved_frame(const interp_saved *s)
{
    return s->cframe->current_frame;
}

/* Walks the interpreter loops on a C stack. */
typedef _PyCFrame *interp_loop;

static inline interp_loop
interp_saved_loop(const interp_saved *s)
{
    return s->cframe;
}

static inline interp_loop
interp_current_loop(PyThreadState *ts)
{
    return ts->cframe;
}

/* Where on the C stack the loop is that began with `inner`. */
static inline const char *
interp_loop_place(interp_loop loop, iframe *inner)
{
    return (const char *)loop;
}

/* Bytes of C stack between the loop that began with `inner` and the next
 * outer one, which runs `outer`.  Moves *loop outwards. */
static inline Py_ssize_t
interp_loop_distance(interp_loop *loop, iframe *inner, iframe *outer)
{
    interp_loop from = *loop;
    *loop = from->previous;
    return (char *)from->previous - (char *)from;
}

/* Has the loop that began with an inner frame of `outer` no other one below
 * itself on its C stack?  Then `outer` became soft. */
static inline int
interp_loop_is_outermost(interp_loop loop, iframe *outer)
{
    if (loop == NULL) {
        return 1;   /* the fiber is soft */
    }
    /* Below it: that of interp_fresh(), and the thread's own. */
    _PyCFrame *base = loop->previous;
    return base->previous != NULL && base->previous->previous == NULL;
}

/* Did the interpreter report calls of C functions when it was left? Then it
 * holds references of its own around them. */
static inline int
interp_saved_traced(const interp_saved *s)
{
    return s->cframe->use_tracing;
}

/* Keeps the running interpreter loop from reporting that its frame returns.
 * Returns 1 if that needs interp_resume_tracing() afterwards. */
static inline int
interp_pause_tracing(PyThreadState *ts)
{
    int traced = ts->cframe->use_tracing != 0;
    ts->cframe->use_tracing = 0;
    return traced;
}

static inline void
interp_resume_tracing(PyThreadState *ts)
{
    ts->cframe->use_tracing = interp_use_tracing(ts);
}

/* Sets the frame that an interpreter loop which begins on top of `base`
 * finds below itself. */
static inline void
interp_base_set_frame(PyThreadState *ts, interp_base *base, iframe *f)
{
    base->current_frame = f;
}

/* How deep Python code may recurse. */
static inline int
interp_recursion_limit(PyThreadState *ts)
{
    return ts->recursion_limit;
}

/* Python-to-Python calls that the thread is deep in from now on. */
static inline void
interp_set_depth(PyThreadState *ts, int depth)
{
    /* The innermost may be the landing frame, which returns at once: it must
     * not leave room for a call more than there was. */
    ts->recursion_remaining = interp_remaining(ts, depth - 1) - 1;
}

/* ---- what code objects carry for us ------------------------------------ */

/* A new kind of extra data; -1 if there are no more. */
static inline Py_ssize_t
interp_extra_index(freefunc free)
{
    return _PyEval_RequestCodeExtraIndex(free);
}

/* The data, or NULL. */
static inline void *
interp_extra_get(PyCodeObject *code, Py_ssize_t index)
{
    void *extra = NULL;
    (void)_PyCode_GetExtra((PyObject *)code, index, &extra);
    return extra;
}

/* 0, or -1 with an exception. */
static inline int
interp_extra_set(PyCodeObject *code, Py_ssize_t index, void *extra)
{
    return _PyCode_SetExtra((PyObject *)code, index, extra);
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
    struct _gc_runtime_state *gc = &PyInterpreterState_Get()->gc;

    for (int i = 0; i <= NUM_GENERATIONS; i++) {
        PyGC_Head *head = i < NUM_GENERATIONS ? &gc->generations[i].head
                                              : &gc->permanent_generation.head;
        for (PyGC_Head *g = _PyGCHead_NEXT(head); g != head;
             g = _PyGCHead_NEXT(g))
        {
            if (!visit((PyObject *)(g + 1), argument)) {
                return;
            }
        }
    }
}

/* What a weak reference refers to. New reference; NULL if it's gone. */
static inline PyObject *
interp_weakref_get(PyObject *reference)
{
    PyObject *object = PyWeakref_GetObject(reference);
    return object == Py_None ? NULL : Py_XNewRef(object);
}

/* ---- generators -------------------------------------------------------- */

/* The code of a generator, finished or not. Borrowed. */
static inline PyCodeObject *
generator_code(PyGenObject *gen)
{
    return gen->gi_code;
}

/* Gives a generator that was allocated without one its code. Steals. */
static inline void
generator_set_code(PyGenObject *gen, PyCodeObject *code)
{
    gen->gi_code = code;
}

/* Where a suspended generator's pending instruction begins: from the unit
 * that its instruction pointer gives. */
static inline int
generator_pending_unit(int unit)
{
    return unit;
}

/* Makes a generator's frame wait in the yield, or the start, at pc. */
static inline void
generator_wait(iframe *f, int pc)
{
    f->prev_instr = _PyCode_CODE(f->f_code) + pc;
}

/* The state of a generator that waits in YIELD_VALUE with this argument. */
static inline int
generator_suspended_state(int oparg)
{
    return FRAME_SUSPENDED;
}

#endif
