/* abstract: one instruction after the other, on kinds of values.  See
 * analysis.c for the method, abstract.h for the parts. */
#include "interp/abstract.h"
#include "interp/interp.h"

#include <string.h>

static const char TOO_LOW[]
    = "the stack is lower than its exception handler's";

/* ---- helpers ----------------------------------------------------------- */

int
abstract_fail(work *w, int pc, const char *what)
{
    PyErr_Format(PyExc_ValueError,
                 "cannot analyse %U (%U:%d): %s at instruction %d",
                 w->code->co_qualname, w->code->co_filename,
                 w->code->co_firstlineno, what, pc);
    return -1;
}

void *
abstract_zeros(size_t count, size_t size)
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

/* ---- states ------------------------------------------------------------ */

static void
wait_for(work *w, int pc)
{
    if (!w->states[pc]->waiting) {
        w->states[pc]->waiting = 1;
        w->waiting[w->waiting_count++] = pc;
    }
}

int
abstract_arrive(work *w, int from, int pc, int kept,
                const analysis_kinds *pushed, int pushed_count)
{
    int below = w->result->locals + kept;
    int total = below + pushed_count;
    state *s = w->states[pc];
    int grew = 0;

    if (w->recording) {
        return 0;
    }
    if (s == NULL) {
        s = abstract_zeros(1, sizeof(*s) + sizeof(*s->slots) * (size_t)total);
        if (s == NULL) {
            return -1;
        }
        s->depth = kept + pushed_count;
        w->states[pc] = s;
        grew = 1;
    }
    if (s->depth != kept + pushed_count) {
        return abstract_fail(w, from,
                             "paths meet with different stack depths");
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
        if (opcodes_rules[opcode_at(w->result, pc)].flags & QUIET) {
            return 0;
        }
        return abstract_fail(w, pc, TOO_LOW);
    }
    if (h->depth + h->lasti + 1 > w->code->co_stacksize) {
        return abstract_fail(w, pc, "stack overflow in the exception handler");
    }
    return abstract_arrive(w, pc, h->target, h->depth, pushed + !h->lasti,
                  h->lasti + 1);
}

/* Leads to where the instruction jumps.  0 or -1. */
static int
take_jump(work *w, int pc, const analysis_instruction *in, int kept,
          const analysis_kinds *pushed, int pushed_count)
{
    int target = start_of(w->result, (int)jump_target(in));

    return abstract_arrive(w, pc, target, kept, pushed, pushed_count);
}

/* ---- what effects cannot say ------------------------------------------- */

/* The local variable at `index`; NULL with an exception if there is none. */
static analysis_kinds *
local_at(work *w, int pc, int index)
{
    if (index >= w->result->locals) {
        abstract_fail(w, pc, "no such local variable");
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
        abstract_fail(w, pc, "no such stack slot");
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
        return abstract_fail(w, pc, "a variable may be unbound");
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
        return abstract_fail(w, pc, "wrong number of free variables");
    }
    for (int i = 1; i <= free_count; i++) {
        w->now[w->result->locals - i] = KIND_CELL;
    }
    return 0;
}

int
abstract_is_strings(PyObject *value)
{
    if (!PyTuple_CheckExact(value)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++) {
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(value, i))) {
            return 0;
        }
    }
    return PyTuple_GET_SIZE(value) > 0;
}

static int
is_comprehension(PyCodeObject *code)
{
    return code->co_argcount == 1
           && PyUnicode_CompareWithASCIIString(
                  PyTuple_GET_ITEM(code->co_localsplusnames, 0), ".0") == 0;
}

static int
load_const(work *w, int pc, int oparg, analysis_kinds *result)
{
    PyObject *constant;

    if (oparg >= PyTuple_GET_SIZE(w->code->co_consts)) {
        return abstract_fail(w, pc, "no such constant");
    }
    constant = PyTuple_GET_ITEM(w->code->co_consts, oparg);
    if (constant == Py_None) {
        *result = KIND_NONE;
    }
    else if (constant != NULL && PyTuple_CheckExact(constant)) {
        *result = abstract_is_strings(constant) ? KIND_STRINGS : KIND_TUPLE;
    }
    else if (constant != NULL && PyUnicode_CheckExact(constant)) {
        *result = KIND_STRING;
    }
    else if (constant != NULL && PyCode_Check(constant)
             && is_comprehension((PyCodeObject *)constant))
    {
        *result = KIND_COMPREHENSION;
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
        return abstract_fail(w, pc, "copies a NULL");
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
        abstract_fail(w, pc,
                      "puts a value into another object than it may be");
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
    analysis_kinds all = 0;

    for (int i = 0; i < count; i++) {
        all |= items[i];
    }
    return all == KIND_CELL     ? KIND_CLOSURE
           : all == KIND_STRING ? KIND_STRINGS
                                : KIND_TUPLE;
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
        return abstract_fail(w, pc, "no instruction to raise at");
    }
    return 0;
}

/* PRECALL must be followed by its CALL. */
static int
check_precall(work *w, int pc, const analysis_instruction *in)
{
    analysis_instruction call;

    if (in->next >= w->result->units) {
        return abstract_fail(w, pc, "PRECALL without CALL");
    }
    read_instruction(w->result, start_of(w->result, in->next), &call);
    if (call.opcode != CALL || call.oparg != in->oparg) {
        return abstract_fail(w, pc, "PRECALL without CALL");
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

    switch (opcodes_rules[in->opcode].special) {
    case LOADS:
        return load_local(w, pc, oparg, 0, pushed);
    case LOADS_CHECKED:
        return load_local(w, pc, oparg, 1, pushed);
    case LOADS_TWO:
        return load_local(w, pc, oparg >> 4, 0, pushed) < 0
                   ? -1
                   : load_local(w, pc, oparg & 15, 0, pushed + 1);
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
                   : load_local(w, pc, oparg & 15, 0, pushed);
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
            return abstract_fail(w, pc, "a variable may not be a cell");
        }
        return 0;
    case FREES:
        return set_free_variables(w, pc, oparg);
    case LOADS_CONST:
        return load_const(w, pc, oparg, pushed);
    case LOADS_COMMON:
        pushed[0] = INTERP_IS_COMMON_NONE(oparg) ? KIND_NONE : KIND_OBJECT;
        return 0;
    case GETS_ITERATOR:
        if (oparg != 0) { /* of what is delegated to: a coroutine, too */
            pushed[0] = KIND_OBJECT;
        }
        return 0;
    case COPIES:
        return copy_slot(w, pc, oparg, pushed);
    case SWAPS:
        return swap_slots(w, pc, oparg);
    case MAKES_FUNCTION:
        if (w->now[w->result->locals + w->depth - 1] == KIND_COMPREHENSION) {
            pushed[0] = KIND_COMPREHENSION;
        }
        return 0;
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
        if (opcodes_marks_annotation(w->previous)) {
            return 0;
        }
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
        effect = opcodes_letter(effect, oparg, &letter, &count);
        analysis_kinds needed = opcodes_needed(letter);
        for (; count > 0; count--, inputs++) {
            if (*inputs & ~needed) {
                return abstract_fail(w, pc,
                                     "an operand may be of a wrong kind");
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
        return abstract_fail(w, pc, TOO_LOW);
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
        /* One more: a point without slots has a place for them too. */
        if (grow((void **)&r->kinds, &w->kinds_room, start + size + 1,
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
        outputs = opcodes_letter(outputs, oparg, &letter, &count);
        for (; count > 0; count--, index++) {
            if (letter == '=') {
                w->depth++;
            }
            else if (index < 2 && pushed[index] != 0) {
                stack[w->depth++] = pushed[index];
            }
            else {
                stack[w->depth++] = opcodes_pushed(letter);
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

/* Does a loop over what this CALL returns follow? */
static int
calls_for_loop(work *w, const analysis_instruction *in)
{
    const analysis *r = w->result;

    return in->next + 1 < r->units
           && opcodes_calls_for_loop(in->opcode, opcode_at(r, in->next),
                                     opcode_at(r, in->next + 1));
}

/* Runs the instruction on the state.  0, or -1 with an exception. */
static int
execute(work *w, int pc, const analysis_instruction *in)
{
    const opcode_rule *rule = &opcodes_rules[in->opcode];
    const char *effect = opcodes_effect(in);
    analysis_kinds pushed[2] = {0, 0};
    int64_t base, end;
    int kept;

    if (effect == NULL) {
        return abstract_fail(w, pc, "impossible argument");
    }
    base = w->depth - opcodes_count(effect, '>', in->oparg);
    if (base < 0) {
        return abstract_fail(w, pc, "stack underflow");
    }
    end = base + opcodes_count(opcodes_outputs(effect), '\0', in->oparg);
    if (end > w->code->co_stacksize) {
        return abstract_fail(w, pc, "stack overflow");
    }
    kept = (int)base + opcodes_staying(effect);
    if (w->recording) {
        w->result->places[pc] = w->depth;
        if (check_inputs(w, pc, effect, in->oparg,
                         w->now + w->result->locals + base) < 0) {
            return -1;
        }
        if ((rule->flags & RUNS) && !calls_for_loop(w, in)
            && record_point(w, pc, kept) < 0)
        {
            return -1;
        }
    }
    if (rule->jump != NULL) {
        const char *outputs = opcodes_outputs(rule->jump);
        int staying = opcodes_staying(rule->jump);
        analysis_kinds result = opcodes_pushed(outputs[staying]);
        if (take_jump(w, pc, in, (int)base + staying, &result,
                      (int)strlen(outputs) - staying) < 0) {
            return -1;
        }
    }
    if (do_special(w, pc, in, (int)base, w->now + w->result->locals + base,
                   pushed) < 0) {
        return -1;
    }
    if (calls_for_loop(w, in)) {
        pushed[0] = KIND_ITERATOR;
    }
    push_outputs(w, opcodes_outputs(effect), in->oparg, (int)base, pushed);
    if ((rule->flags & JUMPS) && rule->jump == NULL
        && jump_after(w, pc, in) < 0) {
        return -1;
    }
    w->copied = rule->special == COPIES && in->oparg == 1;
    w->previous = in->opcode;
    return 0;
}

int
abstract_run(work *w, int pc)
{
    const analysis *r = w->result;
    const state *s = w->states[pc];
    analysis_instruction in;

    w->depth = s->depth;
    w->copied = 0;
    w->previous = -1;
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
            return abstract_fail(w, pc, "the code has no end");
        }
        if (w->marks[start_of(r, in.next)] & LEADER) {
            return abstract_arrive(w, pc, start_of(r, in.next), w->depth, NULL,
                                   0);
        }
        pc = start_of(r, in.next);
    }
}
