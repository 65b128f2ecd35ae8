/* All knowledge of CPython's interpreter that the layers above use.
 *
 * A minor version of CPython is treated like an ABI: each interp_3xx.h holds
 * the same short accessors in the same order, and what is equal in every
 * version stands here, once.  `diff interp_313.h interp_314.h` is the porting
 * note.  A new minor is one new file.
 *
 * Words used everywhere:
 *   iframe    the interpreter's own frame (not the frame object);
 *   unit      index of a code unit (2 bytes) in the code object;
 *   pc        the unit of an instruction's opcode (not of its EXTENDED_ARG);
 *   pending   the instruction a frame stands in while its callee runs;
 *   depth     number of entries on a frame's value stack;
 *   slot      a local variable or an entry of the value stack (slot.h).
 *
 * An iframe that waits for a Python callee is "suspended": callee and
 * arguments are popped, the depth is stored, and the instruction pointer
 * stands where CPython itself leaves it for a caller.
 */
#ifndef PICKLETASK_INTERP_H
#define PICKLETASK_INTERP_H

#ifndef Py_BUILD_CORE_MODULE
#  define Py_BUILD_CORE_MODULE 1
#endif
#ifndef Py_BUILD_CORE
#  define Py_BUILD_CORE 1
#endif
#ifndef PY_SSIZE_T_CLEAN
#  define PY_SSIZE_T_CLEAN 1
#endif
#include <Python.h>
#include <frameobject.h>
#include <stdint.h>
#include "internal/pycore_frame.h"
#include "internal/pycore_code.h"

typedef struct _PyInterpreterFrame iframe;

/* How the result of what a suspended frame waits for reaches it. */
typedef enum {
    PENDING_PUSH,       /* the result is pushed; next instruction */
    PENDING_GENERATOR,  /* FOR_ITER or SEND to a generator that runs: what it
                         * yields is pushed, its return jumps ahead */
    PENDING_NEXT,       /* a call of next() or send(): what the generator
                         * yields is pushed, its return is StopIteration */
    PENDING_STEP,       /* SEND to what makes something else of what the
                         * generator yields, returns or raises */
    PENDING_REPEAT,     /* the instruction pushes nothing, or more than the
                         * result: it is repeated, with operands that give
                         * the result, or take what is stored */
} interp_pending;

#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#  include "interp_311.h"
#elif PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030d0000
#  include "interp_312.h"
#elif PY_VERSION_HEX >= 0x030d0000 && PY_VERSION_HEX < 0x030e0000
#  include "interp_313.h"
#elif PY_VERSION_HEX >= 0x030e0000 && PY_VERSION_HEX < 0x030f0000
#  include "interp_314.h"
#elif PY_VERSION_HEX >= 0x030f0000 && PY_VERSION_HEX < 0x03100000
#  include "interp_315.h"
#else
#  error "pickletask supports CPython 3.11 to 3.15"
#endif

/* ---- iframes ---------------------------------------------------------- */

/* Is it a frame of the interpreter's own?  A marker has no more than that: the
 * rest of it is never set. */
static inline int
iframe_is_interpreters(iframe *f)
{
    return iframe_is_marker(f) || iframe_is_shim(f);
}

/* First entry of the frame's value stack. */
static inline islot *
iframe_stackbase(iframe *f)
{
    return f->localsplus + iframe_code(f)->co_nlocalsplus;
}

/* Slots that are in use: local variables and the value stack. Negative if
 * the frame doesn't tell. */
static inline int
iframe_used(iframe *f)
{
#if INTERP_TAGS_SLOTS
    return f->stackpointer == NULL ? -1
                                   : (int)(f->stackpointer - f->localsplus);
#else
    return f->stacktop;
#endif
}

static inline void
iframe_set_used(iframe *f, int used)
{
#if INTERP_TAGS_SLOTS
    f->stackpointer = f->localsplus + used;
#else
    f->stacktop = used;
#endif
}

/* The depth, operands of a pending call of a C function included; -1 if the
 * frame doesn't tell, as none does before 3.14 unless it is suspended. */
static inline int
iframe_depth(iframe *f)
{
    int used = iframe_used(f);
    return used < 0 ? -1 : used - iframe_code(f)->co_nlocalsplus;
}

static inline void
iframe_set_depth(iframe *f, int depth)
{
    iframe_set_used(f, iframe_code(f)->co_nlocalsplus + depth);
}

/* Keeps the instruction, which has a cache, from being specialised when it
 * runs next. CALL can be for good, for callables of no certain type. */
static inline void
iframe_pause_specialising(iframe *f, int pc)
{
#if INTERP_MINOR >= 13
    _Py_CODEUNIT *cache = _PyCode_CODE(iframe_code(f)) + pc + 1;
    cache->counter = pause_backoff_counter(cache->counter);
#endif
}

/* Makes an empty frame of a function, with no slots in use. Steals the
 * references to both. */
static inline void
iframe_begin(iframe *f, PyCodeObject *code, PyObject *function, char owner)
{
    memset(f, 0, offsetof(iframe, localsplus));
    iframe_set_executable(f, code, function);
    f->f_globals = PyFunction_GET_GLOBALS(function);
    f->f_builtins = ((PyFunctionObject *)function)->func_builtins;
    f->owner = owner;
    iframe_set_used(f, 0);
}

/* Does the frame own its reference to the function? */
static inline int
iframe_owns_function(iframe *f)
{
#if INTERP_TAGS_SLOTS
    return islot_owns(f->f_funcobj);
#else
    return iframe_function(f) != NULL;
#endif
}

/* Makes the frame own what it has borrowed from its callers. */
static inline void
iframe_keep(iframe *f)
{
#if INTERP_TAGS_SLOTS
    f->f_funcobj = islot_keep(f->f_funcobj);
    f->f_executable = islot_keep(f->f_executable);
    for (int i = iframe_used(f) - 1; i >= 0; i--) {
        f->localsplus[i] = islot_keep(f->localsplus[i]);
    }
#endif
}

/* Drops the references to the function and, unless it is to be kept, to the
 * code. May run Python code. */
static inline void
iframe_drop_executable(iframe *f, int keep_code)
{
#if INTERP_TAGS_SLOTS
    islot function = f->f_funcobj, code = f->f_executable;
    f->f_funcobj = ISLOT_NULL;
    islot_close(function);
    if (!keep_code) {
        islot_close(code);
    }
#else
    PyCodeObject *code = iframe_code(f);
    Py_XDECREF(iframe_function(f));
    if (!keep_code) {
        Py_DECREF(code);
    }
#endif
}

/* Moves a suspended frame, with its references, to another place. */
static inline void
iframe_move(iframe *to, iframe *from)
{
    int used = iframe_used(from);

    memcpy(to, from, (char *)&from->localsplus[used] - (char *)from);
    iframe_set_used(to, used);
    if (to->frame_obj != NULL) {
        to->frame_obj->f_frame = to;
    }
}

static inline int
iframe_is_generator(iframe *f)
{
    return f->owner == FRAME_OWNED_BY_GENERATOR;
}

/* The generator, coroutine or asynchronous generator around the frame.
 * Borrowed. */
static inline PyGenObject *
iframe_generator(iframe *f)
{
    return (PyGenObject *)((char *)f - offsetof(PyGenObject, gi_iframe));
}

static inline iframe *
generator_iframe(PyGenObject *gen)
{
    return (iframe *)((char *)gen + offsetof(PyGenObject, gi_iframe));
}

/* Words of a generator's frame behind the fixed part of its type. */
static inline Py_ssize_t
generator_frame_words(PyCodeObject *code)
{
    return code->co_nlocalsplus + code->co_stacksize;
}

/* Is the local variable in this slot kept in a cell? */
static inline int
interp_is_cell(PyCodeObject *code, int slot)
{
    return (_PyLocals_GetKind(code->co_localspluskinds, slot) & CO_FAST_CELL)
           != 0;
}

/* How many code units of EXTENDED_ARG stand before an instruction. */
static inline int
interp_prefixes(int oparg)
{
    unsigned int arg = (unsigned int)oparg;
    return (arg > 0xff) + (arg > 0xffff) + (arg > 0xffffff);
}

#if INTERP_MINOR > 11
/* Has the loop that began with an inner frame of `outer` no other one below
 * itself on its C stack?  Then `outer` became soft. */
static inline int
interp_loop_is_outermost(interp_loop loop, iframe *outer)
{
    while (outer != NULL && !iframe_is_marker(outer)) {
        outer = outer->previous;
    }
    return outer == NULL;
}
#endif

/* ---- types ------------------------------------------------------------ */

/* The names that a type itself has. Borrowed, or NULL. */
static inline PyObject *
interp_type_dict(PyTypeObject *type)
{
#if INTERP_MINOR > 11
    PyObject *dict = PyType_GetDict(type);
    Py_XDECREF(dict);
    return dict;
#else
    return type->tp_dict;
#endif
}

/* ---- data stack chunks ------------------------------------------------ */

/* Turns `size` bytes at `memory` into a chunk that CPython pushes frames
 * onto but never frees: its first frame starts at data[1], and CPython frees
 * a chunk only when it pops data[0]. */
static inline void
interp_use_chunk(PyThreadState *ts, void *memory, size_t size)
{
    _PyStackChunk *chunk = memory;
    chunk->previous = NULL;
    chunk->size = size;
    chunk->top = 0;
    ts->datastack_chunk = chunk;
    ts->datastack_top = &chunk->data[1];
    ts->datastack_limit = (PyObject **)((char *)memory + size);
}

/* Frees the chunks that CPython added on top of the first one. */
static inline void
interp_free_overflow(_PyStackChunk *chunk)
{
    PyObjectArenaAllocator arena;

    if (chunk == NULL || chunk->previous == NULL) {
        return;
    }
    PyObject_GetArenaAllocator(&arena);
    while (chunk != NULL && chunk->previous != NULL) {
        _PyStackChunk *previous = chunk->previous;
        arena.free(arena.ctx, chunk, chunk->size);
        chunk = previous;
    }
}

#endif
