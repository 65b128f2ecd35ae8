/* analysis: abstract interpretation of bytecode.  See analysis.h for what it
 * is for.
 *
 * The bytecode is run on kinds of values instead of values: each local and
 * each stack slot holds the set of kinds that a value there can have.
 *
 *                        locals           stack
 *      before LOAD_FAST  [OBJECT|NULL]    [ITERATOR]
 *      after             [OBJECT|NULL]    [ITERATOR, OBJECT]
 *
 * A state is kept at every instruction that something jumps to (a "leader").
 * Where paths meet, the sets are joined; a leader whose state grew is run
 * again, until nothing grows any more (run_to_rest).  Sets only grow, so this
 * ends.  An exception can be raised by any instruction of a range that the
 * exception table protects, so each of them also leads to the handler: with
 * its locals, its stack cut to the handler's depth, and the exception on top
 * (enter_handler).
 *
 * Then everything is run once more (record_all), now checking that what every
 * instruction finds is what it needs: FOR_ITER an iterator, an unchecked
 * LOAD_FAST a value, and so on.  Compilers only make code that passes.  So
 * each value that a suspended frame has by its kinds is one that its
 * instructions can cope with, however far they run, and no second analysis
 * from the instructions backwards is needed.
 *
 * What instructions do stands in the tables of opcodes_3xx.h.  The effect
 * "ono*>o" reads: pops an object, an object or NULL, and oparg objects; pushes
 * an object.  Bottom of the stack first.  The letters are in kinds_needed()
 * and kinds_pushed(); a count may follow each:
 *
 *      *  oparg        1 2 4 8  once if oparg has that bit, else not at all
 *      ^  oparg >> 8   _        oparg & 255
 *
 * "=" behind the > stands for an input that stays where it is.  Those that
 * don't stay have been popped while the instruction is pending.
 *
 * What the interpreter must allocate is bounded by what the code has already;
 * every number that the code gives is checked before it is used. */
#include "interp/analysis.h"

#include <string.h>

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

#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#  include "interp/opcodes_311.h"
#elif PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030d0000
#  include "interp/opcodes_312.h"
#elif PY_VERSION_HEX >= 0x030d0000 && PY_VERSION_HEX < 0x030e0000
#  include "interp/opcodes_313.h"
#else
#  error "pickletask supports CPython 3.11, 3.12 and 3.13"
#endif

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

/* The first parameter of a comprehension is an iterator, or an asynchronous
 * one, which is any object: which of the two shows when it is used. */
#define KIND_OUTERMOST 0x8000

#define ANY 0xffff
#define NON_NULL (ANY & ~KIND_NULL)

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

    size_t points_room;
    size_t kinds_room;
} work;

enum {
    ENTRY = 1,  /* an instruction begins here, perhaps with a prefix */
    LEADER = 2, /* its opcode is here and something jumps to it */
};

static Py_ssize_t extra_index = -1;

/* ---- helpers ----------------------------------------------------------- */

/* Always -1. */
static int
fail(work *w, int pc, const char *what)
{
    PyErr_Format(PyExc_ValueError,
                 "cannot analyse %U (%U:%d): %s at instruction %d",
                 w->code->co_qualname, w->code->co_filename,
                 w->code->co_firstlineno, what, pc);
    return -1;
}

/* A block of `count` zeros (owned by the caller), or NULL with MemoryError. */
static void *
new_zeros(size_t count, size_t size)
{
    void *block = PyMem_Calloc(count != 0 ? count : 1, size);

    if (block == NULL) {
        PyErr_NoMemory();
    }
    return block;
}

/* Makes room for `needed` entries in *block.  0, or -1 with MemoryError. */
static int
grow(void **block, size_t *room, size_t needed, size_t size)
{
    size_t wanted = needed + needed / 2 + 8;
    void *bigger;

    if (needed <= *room) {
        return 0;
    }
    bigger = PyMem_Realloc(*block, wanted * size);
    if (bigger == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *block = bigger;
    *room = wanted;
    return 0;
}

static void
shrink(void **block, size_t used, size_t size)
{
    void *smaller = PyMem_Realloc(*block, used * size + (used == 0));

    if (smaller != NULL) {
        *block = smaller;
    }
}

/* The opcode's unit, for the first unit of an instruction too. */
static int
start_of(const analysis *self, int unit)
{
    int32_t place = self->places[unit];

    return place <= PART_OF(0) ? PART_OF(place) : unit;
}

static int
opcode_at(const analysis *self, int unit)
{
    return (uint8_t)PyBytes_AS_STRING(self->bytes)[2 * unit];
}

static int
oparg_at(const analysis *self, int unit)
{
    return (uint8_t)PyBytes_AS_STRING(self->bytes)[2 * unit + 1];
}

/* `pc` is the start of an instruction. */
static void
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
static int64_t
jump_target(const analysis_instruction *in)
{
    int64_t oparg = in->oparg;

    return opcodes_rules[in->opcode].flags & BACK ? in->next - oparg
                                                  : in->next + oparg;
}

/* ---- effects ----------------------------------------------------------- */

static analysis_kinds
kinds_needed(char letter)
{
    switch (letter) {
    case 'N':
        return KIND_NULL;
    case 'o':
        return NON_NULL;
    case 'l':
        return KIND_LIST | KIND_EXCEPTIONS;
    case 'd':
        return KIND_DICT;
    case 's':
        return KIND_SET;
    case 't':
        return KIND_TUPLE | KIND_CLOSURE;
    case 'i':
        return KIND_ITERATOR | KIND_OUTERMOST;
    case 'e':
        return KIND_EXCEPTION;
    case 'x':
        return KIND_EXCEPTION | KIND_NONE;
    case 'p':
        return KIND_EXCEPTIONS;
    case 'L':
        return KIND_LASTI;
    case 'C':
        return KIND_CLOSURE;
    default: /* a n */
        return ANY;
    }
}

static analysis_kinds
kinds_pushed(char letter)
{
    switch (letter) {
    case 'N':
        return KIND_NULL;
    case 'n':
        return KIND_NULL | KIND_OBJECT;
    case 'l':
        return KIND_LIST;
    case 'd':
        return KIND_DICT;
    case 's':
        return KIND_SET;
    case 't':
        return KIND_TUPLE;
    case 'm':
        return KIND_TUPLE | KIND_NONE;
    case 'i':
        return KIND_ITERATOR;
    case 'e':
        return KIND_EXCEPTION;
    case 'x':
        return KIND_EXCEPTION | KIND_NONE;
    default: /* o */
        return KIND_OBJECT;
    }
}

/* Reads a letter and its count from the effect.  Where the next one is. */
static const char *
read_letter(const char *effect, int oparg, char *letter, int *count)
{
    *letter = *effect++;
    switch (*effect) {
    case '*':
        *count = oparg;
        break;
    case '_':
        *count = oparg & 255;
        break;
    case '^':
        *count = oparg >> 8;
        break;
    case '1':
    case '2':
    case '4':
    case '8':
        *count = (oparg & (*effect - '0')) != 0;
        break;
    default:
        *count = 1;
        return effect;
    }
    return effect + 1;
}

/* How many values the part of an effect up to `end` stands for. */
static int64_t
count_values(const char *effect, char end, int oparg)
{
    int64_t sum = 0;
    char letter;
    int count;

    while (*effect != end) {
        effect = read_letter(effect, oparg, &letter, &count);
        sum += count;
    }
    return sum;
}

static const char *
outputs_of(const char *effect)
{
    return strchr(effect, '>') + 1;
}

/* How many inputs stay where they are. */
static int
count_staying(const char *effect)
{
    return (int)strspn(outputs_of(effect), "=");
}

/* The effect of an instruction; NULL if its oparg is impossible. */
static const char *
effect_of(const analysis_instruction *in)
{
    const opcode_rule *rule = &opcodes_rules[in->opcode];

#if OPCODES_CALL_INTRINSIC
    size_t oparg = (size_t)in->oparg;
    if (rule->special == INTRINSIC_1) {
        return oparg < Py_ARRAY_LENGTH(opcodes_intrinsics_1)
                   ? opcodes_intrinsics_1[oparg]
                   : NULL;
    }
    if (rule->special == INTRINSIC_2) {
        return oparg < Py_ARRAY_LENGTH(opcodes_intrinsics_2)
                   ? opcodes_intrinsics_2[oparg]
                   : NULL;
    }
#endif
    return rule->effect;
}

/* ---- states ------------------------------------------------------------ */

static void
wait_for(work *w, int pc)
{
    if (!w->states[pc]->waiting) {
        w->states[pc]->waiting = 1;
        w->waiting[w->waiting_count++] = pc;
    }
}

/* Joins the locals, the lowest `kept` stack slots and then `pushed` into the
 * state of the leader at `pc`.  0, or -1 with an exception. */
static int
arrive(work *w, int from, int pc, int kept, const analysis_kinds *pushed,
       int pushed_count)
{
    int below = w->result->locals + kept;
    int total = below + pushed_count;
    state *s = w->states[pc];
    int grew = 0;

    if (w->recording) {
        return 0;
    }
    if (s == NULL) {
        s = new_zeros(1, sizeof(*s) + sizeof(*s->slots) * (size_t)total);
        if (s == NULL) {
            return -1;
        }
        s->depth = kept + pushed_count;
        w->states[pc] = s;
        grew = 1;
    }
    if (s->depth != kept + pushed_count) {
        return fail(w, from, "paths meet with different stack depths");
    }
    for (int i = 0; i < total; i++) {
        analysis_kinds more = i < below ? w->now[i] : pushed[i - below];
        if (more & ~s->slots[i]) {
            s->slots[i] |= more;
            grew = 1;
        }
    }
    if (grew) {
        wait_for(w, pc);
    }
    return 0;
}

/* Leads from `pc`, which is protected, to its handler.  0 or -1. */
static int
enter_handler(work *w, int pc)
{
    const handler *h = &w->handlers[w->protections[pc]];
    analysis_kinds pushed[2] = {KIND_LASTI, KIND_EXCEPTION};

    if (h->depth > w->depth) {
        return fail(w, pc, "the stack is lower than its exception handler's");
    }
    if (h->depth + h->lasti + 1 > w->code->co_stacksize) {
        return fail(w, pc, "stack overflow in the exception handler");
    }
    return arrive(w, pc, h->target, h->depth, pushed + !h->lasti,
                  h->lasti + 1);
}

/* Leads to where the instruction jumps.  0 or -1. */
static int
take_jump(work *w, int pc, const analysis_instruction *in, int kept,
          const analysis_kinds *pushed, int pushed_count)
{
    int target = start_of(w->result, (int)jump_target(in));

    return arrive(w, pc, target, kept, pushed, pushed_count);
}

/* ---- what effects cannot say ------------------------------------------- */

/* The local variable at `index`; NULL with an exception if there is none. */
static analysis_kinds *
local_at(work *w, int pc, int index)
{
    if (index >= w->result->locals) {
        fail(w, pc, "no such local variable");
        return NULL;
    }
    return &w->now[index];
}

/* The stack slot `down` below the top, counted from 1, where `base` values
 * are; NULL with an exception if there is none. */
static analysis_kinds *
slot_at(work *w, int pc, int base, int64_t down)
{
    if (down < 1 || down > base) {
        fail(w, pc, "no such stack slot");
        return NULL;
    }
    return &w->now[w->result->locals + base - down];
}

/* What loading the local gives: 0, or -1 with an exception. */
static int
load_local(work *w, int pc, int index, int checked, analysis_kinds *result)
{
    analysis_kinds *local = local_at(w, pc, index);

    if (local == NULL) {
        return -1;
    }
    if (!checked && w->recording && (*local & KIND_NULL)) {
        return fail(w, pc, "a variable may be unbound");
    }
    *local &= NON_NULL; /* otherwise it has raised */
    if (*local == 0) {
        *local = KIND_OBJECT; /* always raises: any kind is right */
    }
    *result = *local;
    return 0;
}

/* Variables take any object in the hands of a debugger, so that the kind of
 * what the code stores tells no more than this. */
static int
store_local(work *w, int pc, int index, analysis_kinds value)
{
    analysis_kinds *local = local_at(w, pc, index);

    if (local == NULL) {
        return -1;
    }
    *local = value & (KIND_NULL | KIND_CELL);
    if (value & ~(KIND_NULL | KIND_CELL)) {
        *local |= KIND_OBJECT;
    }
    return 0;
}

static int
set_local(work *w, int pc, int index, analysis_kinds kinds)
{
    analysis_kinds *local = local_at(w, pc, index);

    if (local == NULL) {
        return -1;
    }
    *local = kinds;
    return 0;
}

/* COPY_FREE_VARS: the last variables become the cells of the closure. */
static int
set_free_variables(work *w, int pc, int oparg)
{
    int free_count = w->code->co_nfreevars;

    if (oparg != free_count || free_count > w->result->locals) {
        return fail(w, pc, "wrong number of free variables");
    }
    for (int i = 1; i <= free_count; i++) {
        w->now[w->result->locals - i] = KIND_CELL;
    }
    return 0;
}

static int
load_const(work *w, int pc, int oparg, analysis_kinds *result)
{
    PyObject *constant;

    if (oparg >= PyTuple_GET_SIZE(w->code->co_consts)) {
        return fail(w, pc, "no such constant");
    }
    constant = PyTuple_GET_ITEM(w->code->co_consts, oparg);
    if (constant == Py_None) {
        *result = KIND_NONE;
    }
    else if (constant != NULL && PyTuple_CheckExact(constant)) {
        *result = KIND_TUPLE;
    }
    else {
        *result = KIND_OBJECT;
    }
    return 0;
}

static int
copy_slot(work *w, int pc, int oparg, analysis_kinds *result)
{
    analysis_kinds *slot = slot_at(w, pc, w->depth, oparg);

    if (slot == NULL) {
        return -1;
    }
    if (w->recording && (*slot & KIND_NULL)) {
        return fail(w, pc, "copies a NULL");
    }
    *result = *slot;
    return 0;
}

static int
swap_slots(work *w, int pc, int oparg)
{
    analysis_kinds *top = slot_at(w, pc, w->depth, 1);
    analysis_kinds *slot = slot_at(w, pc, w->depth, oparg);
    analysis_kinds kept;

    if (top == NULL || slot == NULL) {
        return -1;
    }
    kept = *top;
    *top = *slot;
    *slot = kept;
    return 0;
}

/* A value is put into the container in the slot `oparg` below `base`; returns
 * the slot, or NULL with an exception. */
static analysis_kinds *
container_at(work *w, int pc, int base, int oparg, analysis_kinds needed)
{
    analysis_kinds *slot = slot_at(w, pc, base, oparg);

    if (slot != NULL && w->recording && (*slot & ~needed)) {
        fail(w, pc, "puts a value into another object than it may be");
        return NULL;
    }
    return slot;
}

/* A list remains one of exceptions as long as only those are put in. */
static int
put_into_list(work *w, int pc, int base, int oparg, analysis_kinds value)
{
    analysis_kinds *slot
        = container_at(w, pc, base, oparg, KIND_LIST | KIND_EXCEPTIONS);

    if (slot == NULL) {
        return -1;
    }
    if ((value & ~(KIND_EXCEPTION | KIND_NONE)) && (*slot & KIND_EXCEPTIONS)) {
        *slot = KIND_LIST;
    }
    return 0;
}

static analysis_kinds
tuple_of(const analysis_kinds *items, int count)
{
    for (int i = 0; i < count; i++) {
        if (items[i] != KIND_CELL) {
            return KIND_TUPLE;
        }
    }
    return count > 0 ? KIND_CLOSURE : KIND_TUPLE;
}

static int
check_reraise(work *w, int pc, int base, int oparg)
{
    analysis_kinds *slot;

    if (oparg == 0) {
        return 0;
    }
    slot = slot_at(w, pc, base, oparg);
    if (slot == NULL) {
        return -1;
    }
    if (w->recording && *slot != KIND_LASTI) {
        return fail(w, pc, "no instruction to raise at");
    }
    return 0;
}

/* PRECALL must be followed by its CALL. */
static int
check_precall(work *w, int pc, const analysis_instruction *in)
{
    analysis_instruction call;

    if (in->next >= w->result->units) {
        return fail(w, pc, "PRECALL without CALL");
    }
    read_instruction(w->result, start_of(w->result, in->next), &call);
    if (call.opcode != CALL || call.oparg != in->oparg) {
        return fail(w, pc, "PRECALL without CALL");
    }
    return 0;
}

/* `inputs` lie on the stack above `base` values.  May set what is pushed in
 * place of what the effect says.  0, or -1 with an exception. */
static int
do_special(work *w, int pc, const analysis_instruction *in, int base,
           const analysis_kinds *inputs, analysis_kinds pushed[2])
{
    int oparg = in->oparg;
    int checked = OPCODES_LOADS_CHECKED;

    switch (opcodes_rules[in->opcode].special) {
    case LOADS:
        return load_local(w, pc, oparg, checked, pushed);
    case LOADS_CHECKED:
        return load_local(w, pc, oparg, 1, pushed);
    case LOADS_TWO:
        return load_local(w, pc, oparg >> 4, checked, pushed) < 0
                   ? -1
                   : load_local(w, pc, oparg & 15, checked, pushed + 1);
    case TAKES:
        if (local_at(w, pc, oparg) == NULL) {
            return -1;
        }
        pushed[0] = w->now[oparg];
        return set_local(w, pc, oparg, KIND_NULL);
    case STORES:
        return store_local(w, pc, oparg, inputs[0]);
    case STORES_LOADS:
        return store_local(w, pc, oparg >> 4, inputs[0]) < 0
                   ? -1
                   : load_local(w, pc, oparg & 15, checked, pushed);
    case STORES_TWO:
        return store_local(w, pc, oparg >> 4, inputs[1]) < 0
                   ? -1
                   : store_local(w, pc, oparg & 15, inputs[0]);
    case UNBINDS:
        return set_local(w, pc, oparg, KIND_NULL);
    case MAKES_CELL:
        return set_local(w, pc, oparg, KIND_CELL);
    case USES_CELL:
        if (local_at(w, pc, oparg) == NULL) {
            return -1;
        }
        if (w->recording && w->now[oparg] != KIND_CELL) {
            return fail(w, pc, "a variable may not be a cell");
        }
        return 0;
    case FREES:
        return set_free_variables(w, pc, oparg);
    case LOADS_CONST:
        return load_const(w, pc, oparg, pushed);
    case COPIES:
        return copy_slot(w, pc, oparg, pushed);
    case SWAPS:
        return swap_slots(w, pc, oparg);
    case BUILDS_TUPLE:
        pushed[0] = tuple_of(inputs, oparg);
        return 0;
    case BUILDS_LIST:
        pushed[0] = oparg == 0 ? KIND_EXCEPTIONS : KIND_LIST;
        return 0;
    case APPENDS:
        return put_into_list(w, pc, base, oparg, inputs[0]);
    case EXTENDS:
        return put_into_list(w, pc, base, oparg, KIND_OBJECT);
    case INTO_DICT:
        return container_at(w, pc, base, oparg, KIND_DICT) ? 0 : -1;
    case INTO_SET:
        return container_at(w, pc, base, oparg, KIND_SET) ? 0 : -1;
    case RERAISES:
        return check_reraise(w, pc, base, oparg);
    case PRECALLS:
        return check_precall(w, pc, in);
    default:
        return 0;
    }
}

/* ---- one instruction --------------------------------------------------- */

/* Are the inputs what the instruction needs?  0, or -1 with an exception. */
static int
check_inputs(work *w, int pc, const char *effect, int oparg,
             const analysis_kinds *inputs)
{
    char letter;
    int count;

    while (*effect != '>') {
        effect = read_letter(effect, oparg, &letter, &count);
        analysis_kinds needed = kinds_needed(letter);
        for (; count > 0; count--, inputs++) {
            if (*inputs & ~needed) {
                return fail(w, pc, "an operand may be of a wrong kind");
            }
            if (letter == 'i' && (*inputs & KIND_OUTERMOST)) {
                w->outermost_iterates = 1;
            }
        }
    }
    return 0;
}

/* Remembers the state while the instruction is pending.  0 or -1. */
static int
record_point(work *w, int pc, int kept)
{
    analysis *r = w->result;
    size_t size = (size_t)r->locals + (size_t)kept;
    size_t start = r->kind_count;
    point *last;

    /* Throwing into a generator pushes None first. */
    if (w->protections[pc] >= 0 && opcode_at(r, pc) != YIELD_VALUE
        && w->handlers[w->protections[pc]].depth > kept) {
        return fail(w, pc, "the stack is lower than its exception handler's");
    }
    if (grow((void **)&r->points, &w->points_room, r->point_count + 1,
             sizeof(point)) < 0) {
        return -1;
    }
    last = r->point_count > 0 ? &r->points[r->point_count - 1] : NULL;
    if (last != NULL && kept <= last->kept
        && memcmp(&r->kinds[last->slots], w->now, size * sizeof(*w->now))
               == 0) {
        start = last->slots;
    }
    else {
        if (grow((void **)&r->kinds, &w->kinds_room, start + size,
                 sizeof(*r->kinds)) < 0) {
            return -1;
        }
        memcpy(&r->kinds[start], w->now, size * sizeof(*w->now));
        r->kind_count += size;
    }
    r->points[r->point_count++]
        = (point){.pc = pc, .kept = kept, .slots = start};
    return 0;
}

static void
push_outputs(work *w, const char *outputs, int oparg, int base,
             const analysis_kinds pushed[2])
{
    analysis_kinds *stack = w->now + w->result->locals;
    int index = 0;
    char letter;
    int count;

    w->depth = base;
    while (*outputs != '\0') {
        outputs = read_letter(outputs, oparg, &letter, &count);
        for (; count > 0; count--, index++) {
            if (letter == '=') {
                w->depth++;
            }
            else if (index < 2 && pushed[index] != 0) {
                stack[w->depth++] = pushed[index];
            }
            else {
                stack[w->depth++] = kinds_pushed(letter);
            }
        }
    }
}

/* Jumps with the state after the instruction.  A jump that depends on whether
 * a copy is None tells it of the original too: `except*` raises the result of
 * its bookkeeping again unless it is None.  0, or -1 with an exception. */
static int
jump_after(work *w, int pc, const analysis_instruction *in)
{
    analysis_kinds *top = w->now + w->result->locals + w->depth - 1;
    int special = opcodes_rules[in->opcode].special;
    int narrows = w->copied && w->depth > 0
                  && (special == IF_NONE || special == UNLESS_NONE)
                  && *top != KIND_NONE;
    analysis_kinds whole = narrows ? *top : 0;

    if (narrows && special == UNLESS_NONE) {
        *top &= (analysis_kinds)~KIND_NONE;
    }
    if (take_jump(w, pc, in, w->depth, NULL, 0) < 0) {
        return -1;
    }
    if (narrows) {
        *top = special == UNLESS_NONE ? whole : whole & ~KIND_NONE;
    }
    return 0;
}

/* Runs the instruction on the state.  0, or -1 with an exception. */
static int
execute(work *w, int pc, const analysis_instruction *in)
{
    const opcode_rule *rule = &opcodes_rules[in->opcode];
    const char *effect = effect_of(in);
    analysis_kinds pushed[2] = {0, 0};
    int64_t base, end;
    int kept;

    if (effect == NULL) {
        return fail(w, pc, "impossible argument");
    }
    base = w->depth - count_values(effect, '>', in->oparg);
    if (base < 0) {
        return fail(w, pc, "stack underflow");
    }
    end = base + count_values(outputs_of(effect), '\0', in->oparg);
    if (end > w->code->co_stacksize) {
        return fail(w, pc, "stack overflow");
    }
    kept = (int)base + count_staying(effect);
    if (w->recording) {
        w->result->places[pc] = w->depth;
        if (check_inputs(w, pc, effect, in->oparg,
                         w->now + w->result->locals + base) < 0) {
            return -1;
        }
        if ((rule->flags & RUNS) && record_point(w, pc, kept) < 0) {
            return -1;
        }
    }
    if (rule->jump != NULL) {
        const char *outputs = outputs_of(rule->jump);
        int staying = count_staying(rule->jump);
        analysis_kinds result = kinds_pushed(outputs[staying]);
        if (take_jump(w, pc, in, (int)base + staying, &result,
                      (int)strlen(outputs) - staying) < 0) {
            return -1;
        }
    }
    if (do_special(w, pc, in, (int)base, w->now + w->result->locals + base,
                   pushed) < 0) {
        return -1;
    }
    push_outputs(w, outputs_of(effect), in->oparg, (int)base, pushed);
    if ((rule->flags & JUMPS) && rule->jump == NULL
        && jump_after(w, pc, in) < 0) {
        return -1;
    }
    w->copied = rule->special == COPIES && in->oparg == 1;
    return 0;
}

/* Runs from the leader at `pc` to where its path ends or reaches the next
 * leader.  0, or -1 with an exception. */
static int
run_from(work *w, int pc)
{
    const analysis *r = w->result;
    const state *s = w->states[pc];
    analysis_instruction in;

    w->depth = s->depth;
    w->copied = 0;
    memcpy(w->now, s->slots,
           sizeof(*w->now) * ((size_t)r->locals + (size_t)s->depth));
    for (;;) {
        read_instruction(r, pc, &in);
        if (w->protections[pc] >= 0 && enter_handler(w, pc) < 0) {
            return -1;
        }
        if (execute(w, pc, &in) < 0) {
            return -1;
        }
        if (opcodes_rules[in.opcode].flags & ENDS) {
            return 0;
        }
        if (in.next >= r->units) {
            return fail(w, pc, "the code has no end");
        }
        if (w->marks[start_of(r, in.next)] & LEADER) {
            return arrive(w, pc, start_of(r, in.next), w->depth, NULL, 0);
        }
        pc = start_of(r, in.next);
    }
}

/* ---- the whole code ---------------------------------------------------- */

/* Can PyCode_GetCode read the code?  It trusts every opcode and the caches it
 * expects behind them, and overruns a code that was cut.  Code that is traced
 * or monitored, which cannot be told from here, has passed the same reading
 * when that began.  0, or -1 with an exception. */
static int
check_readable(work *w)
{
    const uint8_t *raw = (const uint8_t *)w->code->co_code_adaptive;
    int units = (int)Py_SIZE(w->code);
    int unit, base;

    if (OPCODES_MONITORED(w->code)) {
        return 0;
    }
    for (unit = 0; unit < units; unit += 1 + opcodes_caches[base]) {
        int opcode = raw[2 * unit];
        base = opcodes_base[opcode];
        if (opcode >= OPCODES_INSTRUMENTED
            || (opcodes_rules[base].effect == NULL && base != EXTENDED_ARG)) {
            return fail(w, unit, "unknown opcode");
        }
        if (unit + opcodes_caches[base] >= units) {
            return fail(w, unit, "caches are cut off");
        }
    }
    return 0;
}

/* Finds the instructions.  0, or -1 with an exception. */
static int
find_starts(work *w)
{
    analysis *r = w->result;
    int prefixes = 0;

    for (int unit = 0; unit < r->units;) {
        int opcode = opcode_at(r, unit);
        int caches = opcodes_caches[opcode];
        if (prefixes == 0) {
            w->marks[unit] = ENTRY;
        }
        if (opcode == EXTENDED_ARG) {
            if (prefixes == 3) {
                return fail(w, unit, "too many EXTENDED_ARG");
            }
            prefixes++;
            unit++;
            continue;
        }
        if (opcodes_rules[opcode].effect == NULL) {
            return fail(w, unit, "unknown opcode");
        }
        if (unit + caches >= r->units) {
            return fail(w, unit, "caches are cut off");
        }
        if (prefixes == 3 && oparg_at(r, unit - 3) > 127) {
            return fail(w, unit, "the argument is too big");
        }
        for (int i = unit - prefixes; i <= unit + caches; i++) {
            r->places[i] = i == unit ? UNREACHED : PART_OF(unit);
        }
        unit += 1 + caches;
        prefixes = 0;
    }
    if (prefixes != 0) {
        return fail(w, r->units - 1, "EXTENDED_ARG at the end");
    }
    return 0;
}

/* Something goes from `pc` to `target`.  0, or -1 with an exception. */
static int
mark_leader(work *w, int pc, int64_t target)
{
    if (target < 0 || target >= w->result->units) {
        return fail(w, pc, "jumps out of the code");
    }
    if (!(w->marks[target] & ENTRY)) {
        return fail(w, pc, "jumps into an instruction");
    }
    w->marks[start_of(w->result, (int)target)] |= LEADER;
    return 0;
}

static int
find_leaders(work *w)
{
    const analysis *r = w->result;
    analysis_instruction in;

    if (r->units == 0) {
        return fail(w, 0, "no code");
    }
    w->marks[start_of(r, 0)] |= LEADER;
    for (int pc = 0; pc < r->units; pc++) {
        if (r->places[pc] != UNREACHED) {
            continue;
        }
        read_instruction(r, pc, &in);
        if ((opcodes_rules[in.opcode].flags & JUMPS)
            && mark_leader(w, pc, jump_target(&in)) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Reads a number of the exception table, of at most 30 bits; the first of an
 * entry is marked.  -1 if it is malformed. */
static int
read_number(const uint8_t **at, const uint8_t *end, int first)
{
    int number = 0;

    for (int bytes = 0; bytes < 5 && *at < end; bytes++) {
        uint8_t byte = *(*at)++;
        if (((byte & 128) != 0) != (first && bytes == 0)) {
            return -1;
        }
        number = number << 6 | (byte & 63);
        if (!(byte & 64)) {
            return number;
        }
    }
    return -1;
}

/* Reads the exception table.  0, or -1 with an exception. */
static int
read_handlers(work *w)
{
    PyObject *table = w->code->co_exceptiontable;
    const uint8_t *at = (const uint8_t *)PyBytes_AS_STRING(table);
    const uint8_t *end = at + PyBytes_GET_SIZE(table);
    int units = w->result->units;
    int count = 0, previous_end = 0;

    /* An entry has four numbers of at least a byte. */
    w->handlers = new_zeros((size_t)(end - at) / 4, sizeof(handler));
    if (w->handlers == NULL) {
        return -1;
    }
    for (; at < end; count++) {
        int start = read_number(&at, end, 1);
        int length = read_number(&at, end, 0);
        int target = read_number(&at, end, 0);
        int depth = read_number(&at, end, 0);
        if (start < previous_end || length < 0 || length > units - start
            || depth < 0) {
            return fail(w, start, "malformed exception table");
        }
        if (mark_leader(w, start, target) < 0) {
            return -1;
        }
        w->handlers[count]
            = (handler){.target = start_of(w->result, target),
                        .depth = depth >> 1,
                        .lasti = depth & 1};
        previous_end = start + length;
        for (int unit = start; unit < previous_end; unit++) {
            w->protections[unit] = count;
        }
    }
    return 0;
}

/* A parameter that no programmer can name. */
static analysis_kinds
parameter_kind(PyObject *name)
{
    if (PyUnicode_CompareWithASCIIString(name, ".0") == 0) {
        return KIND_OUTERMOST;
    }
    if (PyUnicode_CompareWithASCIIString(name, ".defaults") == 0) {
        return KIND_TUPLE;
    }
    if (PyUnicode_CompareWithASCIIString(name, ".kwdefaults") == 0) {
        return KIND_DICT;
    }
    return KIND_OBJECT;
}

/* The state in which the code begins: parameters are bound.  0 or -1. */
static int
begin(work *w)
{
    PyCodeObject *code = w->code;
    int parameters = code->co_argcount + code->co_kwonlyargcount
                     + ((code->co_flags & CO_VARARGS) != 0)
                     + ((code->co_flags & CO_VARKEYWORDS) != 0);

    for (int i = 0; i < w->result->locals; i++) {
        w->now[i] = i < parameters
                        ? parameter_kind(PyTuple_GET_ITEM(
                            code->co_localsplusnames, i))
                        : KIND_NULL;
    }
    return arrive(w, 0, start_of(w->result, 0), 0, NULL, 0);
}

static int
run_to_rest(work *w)
{
    while (w->waiting_count > 0) {
        int pc = w->waiting[--w->waiting_count];
        w->states[pc]->waiting = 0;
        if (run_from(w, pc) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The last run: fills places, points and kinds.  0 or -1. */
static int
record_all(work *w)
{
    analysis *r = w->result;
    analysis_kinds outermost;

    w->recording = 1;
    for (int unit = 0; unit < r->units; unit++) {
        if (w->states[unit] != NULL && run_from(w, unit) < 0) {
            return -1;
        }
    }
    outermost = w->outermost_iterates ? KIND_ITERATOR : KIND_OBJECT;
    for (size_t i = 0; i < r->kind_count; i++) {
        if (r->kinds[i] & KIND_OUTERMOST) {
            r->kinds[i] &= (analysis_kinds)~KIND_OUTERMOST;
            r->kinds[i] |= outermost;
        }
    }
    shrink((void **)&r->points, r->point_count, sizeof(*r->points));
    shrink((void **)&r->kinds, r->kind_count, sizeof(*r->kinds));
    return 0;
}

/* ---- lifecycle --------------------------------------------------------- */

/* Takes ownership; also what the interpreter calls for a dying code. */
static void
analysis_free(void *pointer)
{
    analysis *self = pointer;

    if (self != NULL) {
        Py_XDECREF(self->bytes);
        PyMem_Free(self->places);
        PyMem_Free(self->points);
        PyMem_Free(self->kinds);
        PyMem_Free(self);
    }
}

/* Fills what needs to be allocated.  0, or -1 with an exception. */
static int
work_begin(work *w, PyCodeObject *code)
{
    analysis *r = new_zeros(1, sizeof(*r));
    size_t units = (size_t)Py_SIZE(code);
    size_t slots = (size_t)code->co_nlocalsplus + (size_t)code->co_stacksize;

    w->code = code;
    w->result = r;
    if (r == NULL || check_readable(w) < 0) {
        return -1;
    }
    r->bytes = PyCode_GetCode(code);
    if (r->bytes == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        return -1;
    }
    r->units = (int)units;
    r->locals = code->co_nlocalsplus;
    if ((r->places = new_zeros(units, sizeof(*r->places))) == NULL
        || (w->protections = new_zeros(units, sizeof(int32_t))) == NULL
        || (w->marks = new_zeros(units, sizeof(*w->marks))) == NULL
        || (w->states = new_zeros(units, sizeof(*w->states))) == NULL
        || (w->waiting = new_zeros(units, sizeof(*w->waiting))) == NULL
        || (w->now = new_zeros(slots, sizeof(*w->now))) == NULL) {
        return -1;
    }
    memset(w->protections, -1, units * sizeof(int32_t));
    return 0;
}

static void
work_end(work *w)
{
    if (w->states != NULL) {
        for (Py_ssize_t unit = 0; unit < Py_SIZE(w->code); unit++) {
            PyMem_Free(w->states[unit]);
        }
    }
    analysis_free(w->result);
    PyMem_Free(w->handlers);
    PyMem_Free(w->protections);
    PyMem_Free(w->marks);
    PyMem_Free(w->states);
    PyMem_Free(w->waiting);
    PyMem_Free(w->now);
}

/* Owned by the caller; NULL with an exception. */
static analysis *
analyse(PyCodeObject *code)
{
    work w = {0};
    analysis *result = NULL;

    if (work_begin(&w, code) == 0 && find_starts(&w) == 0
        && find_leaders(&w) == 0 && read_handlers(&w) == 0 && begin(&w) == 0
        && run_to_rest(&w) == 0 && record_all(&w) == 0) {
        result = w.result;
        w.result = NULL;
    }
    work_end(&w);
    return result;
}

const analysis *
analysis_get(PyCodeObject *code)
{
    void *found = NULL;
    analysis *made;

    if (PyUnstable_Code_GetExtra((PyObject *)code, extra_index, &found) < 0) {
        return NULL;
    }
    if (found != NULL) {
        return found;
    }
    made = analyse(code);
    if (made == NULL) {
        return NULL;
    }
    if (PyUnstable_Code_SetExtra((PyObject *)code, extra_index, made) < 0) {
        analysis_free(made);
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        return NULL;
    }
    return made;
}

/* ---- questions --------------------------------------------------------- */

static int
is_start(const analysis *self, int pc)
{
    return pc >= 0 && pc < self->units && self->places[pc] >= UNREACHED;
}

int
analysis_depth(const analysis *self, int pc)
{
    return is_start(self, pc) ? self->places[pc] : -1;
}

int
analysis_start(const analysis *self, int unit)
{
    analysis_instruction in;
    int pc;

    if (unit < 0 || unit >= self->units) {
        return -1;
    }
    pc = start_of(self, unit);
    read_instruction(self, pc, &in);
    if (opcodes_rules[in.opcode].special == PRECALLS
        && in.next < self->units) {
        return start_of(self, in.next);
    }
    return pc;
}

int
analysis_at(const analysis *self, int pc, analysis_instruction *out)
{
    if (!is_start(self, pc)) {
        return -1;
    }
    read_instruction(self, pc, out);
    return 0;
}

static const point *
find_point(const analysis *self, int pc)
{
    size_t low = 0, high = self->point_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->points[middle].pc < pc) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low < self->point_count && self->points[low].pc == pc
               ? &self->points[low]
               : NULL;
}

int
analysis_kept(const analysis *self, int pc)
{
    const point *p = find_point(self, pc);

    return p != NULL ? p->kept : -1;
}

const analysis_kinds *
analysis_slots(const analysis *self, int pc)
{
    const point *p = find_point(self, pc);

    return p != NULL ? self->kinds + p->slots : NULL;
}

static int
is_unit(const analysis *self, PyObject *value)
{
    int overflow;
    long number;

    if (!PyLong_CheckExact(value)) {
        return 0;
    }
    number = PyLong_AsLongAndOverflow(value, &overflow);
    return overflow == 0 && number >= 0 && number < self->units;
}

static int
is_exceptions(PyObject *value)
{
    if (!PyList_CheckExact(value)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(value); i++) {
        PyObject *item = PyList_GET_ITEM(value, i);
        if (item == NULL
            || (item != Py_None && !PyExceptionInstance_Check(item))) {
            return 0;
        }
    }
    return 1;
}

int
analysis_accepts(analysis_kinds kinds, PyObject *value, const analysis *self)
{
    if (value == NULL) {
        return (kinds & KIND_NULL) != 0;
    }
    return (kinds & KIND_OBJECT)
           || ((kinds & KIND_CELL) && PyCell_Check(value))
           || ((kinds & KIND_LIST) && PyList_CheckExact(value))
           || ((kinds & KIND_DICT) && PyDict_CheckExact(value))
           || ((kinds & KIND_SET) && Py_IS_TYPE(value, &PySet_Type))
           || ((kinds & KIND_TUPLE) && PyTuple_CheckExact(value))
           || ((kinds & KIND_ITERATOR) && PyIter_Check(value))
           || ((kinds & KIND_EXCEPTION) && PyExceptionInstance_Check(value))
           || ((kinds & KIND_NONE) && value == Py_None)
           || ((kinds & KIND_LASTI) && is_unit(self, value))
           || ((kinds & KIND_EXCEPTIONS) && is_exceptions(value));
}

/* ---- test hooks -------------------------------------------------------- */

/* The kinds at `pc` as a tuple, or None.  New reference. */
static PyObject *
kinds_tuple(const analysis *self, int pc)
{
    const analysis_kinds *slots = analysis_slots(self, pc);
    Py_ssize_t count;
    PyObject *tuple;

    if (slots == NULL) {
        Py_RETURN_NONE;
    }
    count = self->locals + analysis_kept(self, pc);
    tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *kinds = PyLong_FromLong(slots[i]);
        if (kinds == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, kinds);
    }
    return tuple;
}

/* One row of what _analysis returns.  0, or -1 with an exception. */
static int
add_row(PyObject *rows, const analysis *self, int pc)
{
    analysis_instruction in;
    PyObject *key = PyLong_FromLong(pc);
    PyObject *kinds = kinds_tuple(self, pc);
    PyObject *row = NULL;
    int kept = analysis_kept(self, pc);
    int done = -1;

    if (key == NULL || kinds == NULL || analysis_at(self, pc, &in) < 0) {
        goto end;
    }
    row = kept < 0 ? Py_BuildValue("(iiiOO)", in.opcode, in.oparg,
                                   analysis_depth(self, pc), Py_None, kinds)
                   : Py_BuildValue("(iiiiO)", in.opcode, in.oparg,
                                   analysis_depth(self, pc), kept, kinds);
    if (row != NULL) {
        done = PyDict_SetItem(rows, key, row);
    }
end:
    Py_XDECREF(key);
    Py_XDECREF(kinds);
    Py_XDECREF(row);
    return done;
}

/* Borrowed; NULL with an exception. */
static const analysis *
analysis_of_argument(PyObject *code)
{
    if (!PyCode_Check(code)) {
        PyErr_Format(PyExc_TypeError, "expected a code object, not %s",
                     Py_TYPE(code)->tp_name);
        return NULL;
    }
    return analysis_get((PyCodeObject *)code);
}

PyDoc_STRVAR(hook_analysis_doc,
"_analysis(code, /)\n--\n\n"
"For tests: {pc: (opcode, oparg, depth, kept or None, kinds or None)} of\n"
"all instructions that can be reached.");

static PyObject *
hook_analysis(PyObject *module, PyObject *code)
{
    const analysis *self = analysis_of_argument(code);
    PyObject *rows;

    if (self == NULL) {
        return NULL;
    }
    rows = PyDict_New();
    for (int pc = 0; rows != NULL && pc < self->units; pc++) {
        if (analysis_depth(self, pc) >= 0 && add_row(rows, self, pc) < 0) {
            Py_CLEAR(rows);
        }
    }
    return rows;
}

PyDoc_STRVAR(hook_start_doc,
"_analysis_start(code, unit, /)\n--\n\n"
"For tests: the pc of the instruction that the unit belongs to, or -1.");

static PyObject *
hook_start(PyObject *module, PyObject *args)
{
    PyObject *code;
    const analysis *self;
    int unit;

    if (!PyArg_ParseTuple(args, "Oi:_analysis_start", &code, &unit)) {
        return NULL;
    }
    self = analysis_of_argument(code);
    return self != NULL ? PyLong_FromLong(analysis_start(self, unit)) : NULL;
}

PyDoc_STRVAR(hook_accepts_doc,
"_analysis_accepts(code, kinds[, value], /)\n--\n\n"
"For tests: is the value, or none, of one of the kinds?");

static PyObject *
hook_accepts(PyObject *module, PyObject *args)
{
    PyObject *code, *value = NULL;
    const analysis *self;
    unsigned short kinds;

    if (!PyArg_ParseTuple(args, "OH|O:_analysis_accepts", &code, &kinds,
                          &value)) {
        return NULL;
    }
    self = analysis_of_argument(code);
    return self != NULL
               ? PyBool_FromLong(analysis_accepts(kinds, value, self))
               : NULL;
}

static PyMethodDef hooks[] = {
    {"_analysis", hook_analysis, METH_O, hook_analysis_doc},
    {"_analysis_start", hook_start, METH_VARARGS, hook_start_doc},
    {"_analysis_accepts", hook_accepts, METH_VARARGS, hook_accepts_doc},
    {NULL, NULL, 0, NULL},
};

int
analysis_setup(PyObject *module)
{
    if (extra_index < 0) {
        extra_index = PyUnstable_Eval_RequestCodeExtraIndex(analysis_free);
    }
    if (extra_index < 0) {
        PyErr_SetString(PyExc_ImportError,
                        "pickletask: other extension modules took all places "
                        "for data in code objects");
        return -1;
    }
    return PyModule_AddFunctions(module, hooks);
}
