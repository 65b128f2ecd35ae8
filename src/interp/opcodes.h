/* opcodes: what each instruction of the bytecode does to a frame.
 *
 * The tables of opcodes_3xx.h hold a rule for each instruction that a compiler
 * makes.  Its effect "ono*>o" reads: pops an object, an object or NULL, and
 * oparg objects; pushes an object.  Bottom of the stack first.  The letters
 * are in opcodes_needed() and opcodes_pushed(); a count may follow each:
 *
 *      *  oparg        1 2 4 8  once if oparg has that bit, else not at all
 *      ^  oparg >> 8   6        the same for bit 16
 *      _  oparg & 255
 *
 * "=" behind the > stands for an input that stays where it is.  Those that
 * don't stay have been popped while the instruction is pending.
 */
#ifndef PICKLETASK_INTERP_OPCODES_H
#define PICKLETASK_INTERP_OPCODES_H

#include "interp/analysis.h"

#include <opcode.h>

#if PY_VERSION_HEX < 0x030c0000
/* The names these functions got in 3.12. */
#  define PyUnstable_Eval_RequestCodeExtraIndex _PyEval_RequestCodeExtraIndex
#  define PyUnstable_Code_GetExtra _PyCode_GetExtra
#  define PyUnstable_Code_SetExtra _PyCode_SetExtra
#endif

typedef struct {
    const char *effect; /* NULL: compilers don't make this opcode */
    uint8_t flags;      /* RUNS... */
    uint8_t special;    /* what the effect cannot say: LOADS... */
    const char *jump;   /* the effect when it jumps, if another */
} opcode_rule;

enum {
    RUNS = 1,  /* can run Python code: a frame can be suspended in it */
    JUMPS = 2, /* can go to the next instruction + oparg */
    BACK = 4,  /* - oparg */
    ENDS = 8,  /* never goes on to the next instruction */
    QUIET = 16, /* never raises, and may stand where the stack is lower than
                 * its exception handler expects */
};

enum {
    LOADS = 1,
    LOADS_CHECKED,
    LOADS_TWO,
    TAKES, /* LOAD_FAST_AND_CLEAR */
    STORES,
    STORES_LOADS,
    STORES_TWO,
    UNBINDS,
    MAKES_CELL,
    USES_CELL,
    FREES, /* COPY_FREE_VARS */
    LOADS_CONST,
    LOADS_COMMON,
    GETS_ITERATOR,
    MAKES_FUNCTION, /* of the code, or from the function, on top */
    COPIES,
    SWAPS,
    BUILDS_TUPLE,
    BUILDS_LIST,
    APPENDS,
    EXTENDS,
    INTO_DICT,
    INTO_SET,
    INTRINSIC_1,
    INTRINSIC_2,
    RERAISES,
    PRECALLS,
    IF_NONE, /* jumps: */
    UNLESS_NONE,
};

/* By opcode, neither specialised nor instrumented. */
extern const opcode_rule opcodes_rules[256];
/* By the same: how many units of cache follow. */
extern const uint8_t opcodes_caches[256];

/* The first parameter of a comprehension is an iterator, or an asynchronous
 * one, which is any object: which of the two shows when it is used. */
#define KIND_OUTERMOST 0x80000

#define ANY 0xfffff
#define NON_NULL (ANY & ~KIND_NULL)

/* The kinds that an input of that letter may be of. */
analysis_kinds opcodes_needed(char letter);

/* The kinds that an output of that letter is of. */
analysis_kinds opcodes_pushed(char letter);

/* Reads a letter and its count from the effect.  Where the next one is. */
const char *opcodes_letter(const char *effect, int oparg, char *letter,
                           int *count);

/* How many values the part of an effect up to `end` stands for. */
int64_t opcodes_count(const char *effect, char end, int oparg);

/* The effect behind the >. */
const char *opcodes_outputs(const char *effect);

/* How many inputs stay where they are. */
int opcodes_staying(const char *effect);

/* The effect of an instruction; NULL if its oparg is impossible. */
const char *opcodes_effect(const analysis_instruction *in);

/* Is what a CALL returns the generator of a loop that follows?  Its value is
 * not checked when it comes back. */
int opcodes_calls_for_loop(int opcode, int next, int after_next);

/* Does the code note here that it has come to an annotation? */
int opcodes_marks_annotation(int previous);

/* Can PyCode_GetCode read the code?  It trusts every opcode and the caches it
 * expects behind them, and overruns a code that was cut.  Code that is traced
 * or monitored, which cannot be told from here, has passed the same reading
 * when that began.  NULL, or what is wrong at *unit. */
const char *opcodes_unreadable(PyCodeObject *code, int *unit);

#endif
