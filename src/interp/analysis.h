/* analysis: what the bytecode of a code object says about its frames.
 *
 * A frame of CPython 3.11 to 3.13 does not tell how many values are on its
 * stack while it runs, and no version tells what those values must be.  The
 * bytecode does.  Analysing it (analysis.c explains how) yields, once per code
 * object,
 *
 *  - where instructions start, so that any instruction pointer CPython left
 *    behind can be mapped to the instruction that is pending;
 *  - the depth of the value stack before every instruction;
 *  - for each instruction at which a frame can be suspended, which kinds of
 *    value every local variable and every stack slot can hold there.
 *
 * Places in the code are code units (two bytes), counted from 0; `pc` is the
 * unit of an instruction's opcode, never of an EXTENDED_ARG before it or of a
 * cache entry behind it.  Opcodes are those that the compiler wrote: neither
 * specialised nor instrumented.
 *
 * A state whose slots are all accepted here cannot make the interpreter
 * read a NULL or mistake a type, provided that the bytecode itself came from
 * a compiler: no analysis of types makes hostile bytecode safe to run.
 * Accepting looks at the values of that moment.  A list of exceptions
 * (KIND_EXCEPTIONS) could be changed later by whoever else has a reference to
 * it, so that a rebuilt frame must get a copy of it of its own.
 */
#ifndef PICKLETASK_INTERP_ANALYSIS_H
#define PICKLETASK_INTERP_ANALYSIS_H

#include <Python.h>
#include <stdint.h>

/* The kinds of value a slot can hold.  Several bits: it is one of them. */
enum {
    KIND_NULL = 1,          /* no value */
    KIND_OBJECT = 2,        /* any object */
    KIND_CELL = 4,          /* a cell */
    KIND_LIST = 8,          /* exactly a list */
    KIND_DICT = 16,         /* exactly a dict */
    KIND_SET = 32,          /* exactly a set */
    KIND_TUPLE = 64,        /* exactly a tuple */
    KIND_ITERATOR = 128,    /* its type has tp_iternext */
    KIND_EXCEPTION = 256,   /* an instance of BaseException */
    KIND_NONE = 512,        /* None */
    KIND_LASTI = 1024,      /* exactly an int: a code unit of this code */
    KIND_EXCEPTIONS = 2048, /* exactly a list, of exceptions and None */
    KIND_CLOSURE = 4096,    /* a tuple of cells, for a function that is being
                               made: nothing is ever suspended there, so no
                               value is accepted */
    KIND_SEQUENCE = 8192,   /* its type is iterated over by an index */
    KIND_INDEX = 16384,     /* exactly an int: such an index */
    KIND_STRING = 0x8000,   /* exactly a str */
    KIND_STRINGS = 0x10000, /* exactly a tuple, of such */
    KIND_INTERPOLATION = 0x20000, /* a part of a template string */
    KIND_COMPREHENSION = 0x40000, /* the function of a comprehension, soon to
                                     be called with an iterator: accepts any
                                     object */
};
typedef uint32_t analysis_kinds;

/* Belongs to the code object and lives as long as it does. */
typedef struct analysis analysis;

typedef struct {
    int opcode;
    int oparg; /* with its EXTENDED_ARG prefixes */
    int next;  /* the unit after the caches: what runs next if it doesn't
                  jump; may be an EXTENDED_ARG */
} analysis_instruction;

/* Asks the interpreter for a place in each code object, and adds the test
 * hooks _analysis* to the module.  0, or -1 with an exception. */
int analysis_setup(PyObject *module);

/* The analysis of `code`, from its cache or made now.  Borrowed from the code
 * object.  Runs no Python code; must not be called with an exception set.
 * NULL with MemoryError, or with ValueError for bytecode that no compiler
 * makes, whatever it is.  Nothing is kept of an analysis that failed. */
const analysis *analysis_get(PyCodeObject *code);

/* Whether the code crashes if its caller brings other arguments than those of
 * the calls that compilers make of it: 1 or 0, or -1 with MemoryError. */
int analysis_trusts_caller(PyCodeObject *code);

/* None of these fails otherwise than stated, for any number. */

/* The stack depth before the instruction at `pc`; -1 if `pc` is not the start
 * of an instruction that can be reached. */
int analysis_depth(const analysis *self, int pc);

/* The pc of the instruction that `unit` belongs to, be it its opcode, one of
 * its EXTENDED_ARG prefixes or its caches; -1 outside of the code.  3.11's
 * PRECALL gives the CALL that follows: when specialised it makes the call. */
int analysis_start(const analysis *self, int unit);

/* Fills *out; 0, or -1 if `pc` is not the start of an instruction. */
int analysis_at(const analysis *self, int pc, analysis_instruction *out);

/* How many stack values remain while the instruction at `pc` is pending, that
 * is, after it popped its inputs and before it pushes its results (an input
 * that stays in place, as FOR_ITER's iterator does, remains); -1 if no frame
 * can be suspended there. */
int analysis_kept(const analysis *self, int pc);

/* Does the instruction at `pc` do no more with the topmost value than store
 * it, drop it, return or yield it, ask whether it is true, add its items to a
 * list, or pass it as the only argument of a call?  *local is set to the
 * variable that it is stored in, or -1. */
int analysis_passes_on(const analysis *self, int pc, int *local);

/* The kinds of the co_nlocalsplus locals, then of the analysis_kept() stack
 * slots, bottom first; NULL if no frame can be suspended there. */
const analysis_kinds *analysis_slots(const analysis *self, int pc);

/* Is a value of these kinds, if there is one, a number that the interpreter
 * keeps for itself? */
static inline int
analysis_is_number(analysis_kinds kinds)
{
    return (kinds & (KIND_LASTI | KIND_INDEX)) && !(kinds & KIND_OBJECT);
}

/* Whether `value` (NULL for none; borrowed) is of one of the kinds: 1 or 0.
 * Runs no Python code. */
int analysis_accepts(analysis_kinds kinds, PyObject *value,
                     const analysis *self);


/* The same for a slot that may hold an index, and the slot below it, whose
 * kinds and value were accepted: do the two values fit together? */
int analysis_accepts_index(analysis_kinds kinds_below, PyObject *below,
                           PyObject *index);

#endif
