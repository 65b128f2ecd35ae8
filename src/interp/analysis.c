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
 * What instructions do stands in opcodes.h, running them in abstract.c.
 * Every number that the code gives is checked before it is used.
 */
#include "interp/abstract.h"
#include "interp/interp.h"

#include <string.h>

static Py_ssize_t extra_index = -1;

/* ---- the whole code ---------------------------------------------------- */

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
                return abstract_fail(w, unit, "too many EXTENDED_ARG");
            }
            prefixes++;
            unit++;
            continue;
        }
        if (opcodes_rules[opcode].effect == NULL) {
            return abstract_fail(w, unit, "unknown opcode");
        }
        if (unit + caches >= r->units) {
            return abstract_fail(w, unit, "caches are cut off");
        }
        if (prefixes == 3 && oparg_at(r, unit - 3) > 127) {
            return abstract_fail(w, unit, "the argument is too big");
        }
        for (int i = unit - prefixes; i <= unit + caches; i++) {
            r->places[i] = i == unit ? UNREACHED : PART_OF(unit);
        }
        unit += 1 + caches;
        prefixes = 0;
    }
    if (prefixes != 0) {
        return abstract_fail(w, r->units - 1, "EXTENDED_ARG at the end");
    }
    return 0;
}

/* Something goes from `pc` to `target`.  0, or -1 with an exception. */
static int
mark_leader(work *w, int pc, int64_t target)
{
    if (target < 0 || target >= w->result->units) {
        return abstract_fail(w, pc, "jumps out of the code");
    }
    if (!(w->marks[target] & ENTRY)) {
        return abstract_fail(w, pc, "jumps into an instruction");
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
        return abstract_fail(w, 0, "no code");
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
    w->handlers = abstract_zeros((size_t)(end - at) / 4, sizeof(handler));
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
            return abstract_fail(w, start, "malformed exception table");
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
        w->result->trusting |= w->now[i] & (KIND_TUPLE | KIND_DICT);
    }
    return abstract_arrive(w, 0, start_of(w->result, 0), 0, NULL, 0);
}

static int
run_to_rest(work *w)
{
    while (w->waiting_count > 0) {
        int pc = w->waiting[--w->waiting_count];
        w->states[pc]->waiting = 0;
        if (abstract_run(w, pc) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Gives back what is not used of *block, if that can be done. */
static void
shrink(void **block, size_t used, size_t size)
{
    void *smaller = PyMem_Realloc(*block, used * size);

    if (smaller != NULL) {
        *block = smaller;
    }
}

/* The last run: fills places, points and kinds.  0 or -1. */
static int
record_all(work *w)
{
    analysis *r = w->result;
    analysis_kinds outermost;

    w->recording = 1;
    for (int unit = 0; unit < r->units; unit++) {
        if (w->states[unit] != NULL && abstract_run(w, unit) < 0) {
            return -1;
        }
    }
    r->trusting |= w->outermost_iterates;
    outermost = w->outermost_iterates ? KIND_ITERATOR : KIND_OBJECT;
    for (size_t i = 0; i < r->kind_count; i++) {
        if (r->kinds[i] & KIND_OUTERMOST) {
            r->kinds[i] &= (analysis_kinds)~KIND_OUTERMOST;
            r->kinds[i] |= outermost;
        }
    }
    shrink((void **)&r->points, r->point_count + 1, sizeof(*r->points));
    shrink((void **)&r->kinds, r->kind_count + 1, sizeof(*r->kinds));
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
    analysis *r = abstract_zeros(1, sizeof(*r));
    size_t units = (size_t)Py_SIZE(code);
    size_t slots = (size_t)code->co_nlocalsplus + (size_t)code->co_stacksize;
    const char *wrong;
    int unit;

    w->code = code;
    w->result = r;
    if (r == NULL) {
        return -1;
    }
    wrong = opcodes_unreadable(code, &unit);
    if (wrong != NULL) {
        return abstract_fail(w, unit, wrong);
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
    if ((r->places = abstract_zeros(units, sizeof(*r->places))) == NULL
        || (w->protections = abstract_zeros(units, sizeof(int32_t))) == NULL
        || (w->marks = abstract_zeros(units, sizeof(*w->marks))) == NULL
        || (w->states = abstract_zeros(units, sizeof(*w->states))) == NULL
        || (w->waiting = abstract_zeros(units, sizeof(*w->waiting))) == NULL
        || (w->now = abstract_zeros(slots, sizeof(*w->now))) == NULL) {
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

int
analysis_trusts_caller(PyCodeObject *code)
{
    int parameters = code->co_argcount + code->co_kwonlyargcount;

    for (int i = 0; i < parameters; i++) {
        PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
        if (parameter_kind(name) != KIND_OBJECT) {
            const analysis *a = analysis_get(code);
            if (a != NULL) {
                return a->trusting != 0;
            }
            if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
                return -1;
            }
            PyErr_Clear();
            return 1;
        }
    }
    return 0;
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

int
analysis_passes_on(const analysis *self, int pc, int *local)
{
    analysis_instruction in = {.opcode = NOP, .next = pc};

    *local = -1;
    while (in.opcode == NOP) {
        if (analysis_at(self, in.next, &in) < 0) {
            return 0;
        }
    }
    const opcode_rule *rule = &opcodes_rules[in.opcode];
    switch (rule->special) {
    case STORES:
        *local = in.oparg;
        return 1;
    case STORES_LOADS:
    case STORES_TWO:
        *local = in.oparg >> 4;
        return 1;
    case EXTENDS:
        return 1;
    case PRECALLS:
        return in.oparg == 1;
    default:
        return in.opcode == POP_TOP || in.opcode == RETURN_VALUE
               || in.opcode == YIELD_VALUE || in.opcode == INTERP_OP_TO_BOOL
               || (in.opcode == CALL && in.oparg == 1)
               || (rule->flags & JUMPS && strcmp(rule->effect, "o>") == 0);
    }
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

static int
is_index(PyObject *value)
{
    int overflow;

    return PyLong_CheckExact(value)
           && PyLong_AsLongAndOverflow(value, &overflow) >= 0 && overflow == 0
           && PyLong_AsLong(value) <= PY_SSIZE_T_MAX / 4;
}

/* The type is static, which no program can make. */
static int
is_interpolation(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);

    return !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)
           && strcmp(type->tp_name, "string.templatelib.Interpolation") == 0;
}

int
analysis_accepts_index(analysis_kinds kinds_below, PyObject *below,
                       PyObject *index)
{
    if (index != NULL) {
        return below != NULL && INTERP_IS_INDEXED(below);
    }
    return (kinds_below & KIND_OBJECT) || !(kinds_below & KIND_ITERATOR)
           || (below != NULL && PyIter_Check(below));
}

int
analysis_accepts(analysis_kinds kinds, PyObject *value, const analysis *self)
{
    if (value == NULL) {
        return (kinds & KIND_NULL) != 0;
    }
    return (kinds & (KIND_OBJECT | KIND_COMPREHENSION))
           || ((kinds & KIND_CELL) && PyCell_Check(value))
           || ((kinds & KIND_LIST) && PyList_CheckExact(value))
           || ((kinds & KIND_DICT) && PyDict_CheckExact(value))
           || ((kinds & KIND_SET) && Py_IS_TYPE(value, &PySet_Type))
           || ((kinds & KIND_TUPLE) && PyTuple_CheckExact(value))
           || ((kinds & KIND_ITERATOR) && PyIter_Check(value))
           || ((kinds & KIND_EXCEPTION) && PyExceptionInstance_Check(value))
           || ((kinds & KIND_NONE) && value == Py_None)
           || ((kinds & KIND_LASTI) && is_unit(self, value))
           || ((kinds & KIND_EXCEPTIONS) && is_exceptions(value))
           || ((kinds & KIND_SEQUENCE) && INTERP_IS_INDEXED(value))
           || ((kinds & KIND_INDEX) && is_index(value))
           || ((kinds & KIND_STRING) && PyUnicode_CheckExact(value))
           || ((kinds & KIND_STRINGS) && abstract_is_strings(value))
           || ((kinds & KIND_INTERPOLATION) && is_interpolation(value));
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
        PyObject *kinds = PyLong_FromUnsignedLong(slots[i]);
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
    unsigned int kinds;

    if (!PyArg_ParseTuple(args, "OI|O:_analysis_accepts", &code, &kinds,
                          &value)) {
        return NULL;
    }
    self = analysis_of_argument(code);
    return self != NULL
               ? PyBool_FromLong(analysis_accepts(kinds, value, self))
               : NULL;
}

PyDoc_STRVAR(hook_accepts_index_doc,
"_analysis_accepts_index(kinds_below, below[, index], /)\n--\n\n"
"For tests: do the index, or none, and the value in the slot below it fit\n"
"together?");

static PyObject *
hook_accepts_index(PyObject *module, PyObject *args)
{
    PyObject *below, *index = NULL;
    unsigned int kinds_below;

    if (!PyArg_ParseTuple(args, "IO|O:_analysis_accepts_index", &kinds_below,
                          &below, &index)) {
        return NULL;
    }
    return PyBool_FromLong(analysis_accepts_index(kinds_below, below, index));
}

PyDoc_STRVAR(hook_effect_doc,
"_analysis_effect(opcode, oparg, /)\n--\n\n"
"For tests: how many values an instruction pops and pushes, as a tuple, or\n"
"None if compilers don't make it.");

static PyObject *
hook_effect(PyObject *module, PyObject *args)
{
    analysis_instruction in = {0};
    const char *effect;

    if (!PyArg_ParseTuple(args, "ii:_analysis_effect", &in.opcode,
                          &in.oparg)) {
        return NULL;
    }
    effect = in.opcode >= 0 && in.opcode < 256 ? opcodes_effect(&in) : NULL;
    if (effect == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue(
        "(LL)", (long long)opcodes_count(effect, '>', in.oparg),
        (long long)opcodes_count(opcodes_outputs(effect), '\0', in.oparg));
}

static PyMethodDef hooks[] = {
    {"_analysis", hook_analysis, METH_O, hook_analysis_doc},
    {"_analysis_start", hook_start, METH_VARARGS, hook_start_doc},
    {"_analysis_accepts", hook_accepts, METH_VARARGS, hook_accepts_doc},
    {"_analysis_accepts_index", hook_accepts_index, METH_VARARGS,
     hook_accepts_index_doc},
    {"_analysis_effect", hook_effect, METH_VARARGS, hook_effect_doc},
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
