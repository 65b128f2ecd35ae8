/* abstract: running bytecode on kinds of values.
 *
 * This is the machine that analysis.c drives: a state of kinds, what one
 * instruction makes of it, and where it goes from there.  Only analysis.c and
 * abstract.c know what is inside.
 */
#ifndef PICKLETASK_INTERP_ABSTRACT_H
#define PICKLETASK_INTERP_ABSTRACT_H

#include "interp/opcodes.h"

/* Where a frame can be suspended. */
typedef struct {
    int32_t pc;
    int32_t kept;
    size_t slots; /* in analysis.kinds */
} point;

struct analysis {
    PyObject *bytes; /* owned: co_code */
    int units;       /* of the code */
    int locals;      /* co_nlocalsplus */
    int trusting;    /* does it need parameters of a certain kind? */
    int32_t *places; /* owned, one a unit: >= 0 the depth before the
                        instruction that starts here, UNREACHED, or PART_OF
                        the instruction that has its opcode elsewhere */
    point *points;   /* owned, by pc */
    size_t point_count;
    analysis_kinds *kinds; /* owned: the slots of all points */
    size_t kind_count;
};

#define UNREACHED (-1)
#define PART_OF(pc) (-2 - (pc))

/* An entry of the exception table. */
typedef struct {
    int target;
    int depth;
    int lasti; /* is it pushed? */
} handler;

typedef struct {
    int depth;
    int waiting; /* to be run (again)? */
    analysis_kinds slots[]; /* locals, stack */
} state;

typedef struct {
    PyCodeObject *code; /* borrowed */
    analysis *result;   /* owned */
    int recording;      /* is this the last run? */
    int outermost_iterates;

    handler *handlers;     /* owned */
    int32_t *protections;  /* owned, one a unit: index of handlers, or -1 */
    uint8_t *marks;        /* owned, one a unit: ENTRY, LEADER */
    state **states;        /* owned, one a unit, NULL if not a leader */
    int32_t *waiting;      /* owned, as many as units: leaders to run */
    int waiting_count;

    analysis_kinds *now;   /* owned: the state; co_stacksize is its end */
    int depth;
    int copied; /* is the top a copy of what is below it? */
    int previous; /* opcode of the instruction before this one, or -1 */

    size_t points_room;
    size_t kinds_room;
} work;

enum {
    ENTRY = 1,  /* an instruction begins here, perhaps with a prefix */
    LEADER = 2, /* its opcode is here and something jumps to it */
};

/* ---- reading instructions ---------------------------------------------- */

/* The opcode's unit, for the first unit of an instruction too. */
static inline int
start_of(const analysis *self, int unit)
{
    int32_t place = self->places[unit];

    return place <= PART_OF(0) ? PART_OF(place) : unit;
}

static inline int
opcode_at(const analysis *self, int unit)
{
    return (uint8_t)PyBytes_AS_STRING(self->bytes)[2 * unit];
}

static inline int
oparg_at(const analysis *self, int unit)
{
    return (uint8_t)PyBytes_AS_STRING(self->bytes)[2 * unit + 1];
}

/* `pc` is the start of an instruction. */
static inline void
read_instruction(const analysis *self, int pc, analysis_instruction *out)
{
    int prefix;
    uint32_t oparg = 0;

    for (prefix = pc; prefix > 0 && self->places[prefix - 1] == PART_OF(pc);) {
        prefix--;
    }
    for (; prefix <= pc; prefix++) {
        oparg = oparg << 8 | (uint32_t)oparg_at(self, prefix);
    }
    out->opcode = opcode_at(self, pc);
    out->oparg = (int)oparg;
    out->next = pc + 1 + opcodes_caches[out->opcode];
}

/* Where the instruction jumps; may be anywhere. */
static inline int64_t
jump_target(const analysis_instruction *in)
{
    int64_t oparg = in->oparg;

    return opcodes_rules[in->opcode].flags & BACK ? in->next - oparg
                                                  : in->next + oparg;
}

/* ---- running ----------------------------------------------------------- */

/* Sets the ValueError that says what is wrong in the instruction at `pc`.
 * Always -1. */
int abstract_fail(work *w, int pc, const char *what);

/* Is it a tuple of strings, one at least? A template has one more than it has
 * interpolations, and relies on it. */
int abstract_is_strings(PyObject *value);

/* A block of `count` zeros (owned by the caller), or NULL with MemoryError. */
void *abstract_zeros(size_t count, size_t size);

/* Joins the locals, the lowest `kept` stack slots and then `pushed` into the
 * state of the leader at `pc`, which is to be run if that grew.  Does nothing
 * when recording.  0, or -1 with an exception. */
int abstract_arrive(work *w, int from, int pc, int kept,
                    const analysis_kinds *pushed, int pushed_count);

/* Runs from the leader at `pc` to where its path ends or reaches the next
 * leader.  0, or -1 with an exception. */
int abstract_run(work *w, int pc);

#endif
