/* Suspended frames to plain state: see state.h. */
#include "state.h"

#include "awaitables.h"
#include "codes.h"
#include "compact.h"
#include "errors.h"
#include "fiber/boundary.h"
#include "fiber/chain.h"
#include "fiber/imports.h"
#include "fiber/soften.h"
#include "loops.h"
#include "milestones.h"
#include "module.h"
#include "references.h"
#include "refusals.h"
#include "substitute.h"

static PyObject *generator_maker;   /* what pickles name. Owned */

/* ---- slots ------------------------------------------------------------- */

/* Which of the slots are empty, and how many there are. */
static void
write_nulls(compact_writer *w, const islot *slots, int count)
{
    unsigned char bits = 0;

    for (int i = 0; i <= count; i++) {
        int bit = i == count || islot_is_null(slots[i]);
        bits |= (unsigned char)(bit << i % 7);
        if (i == count || i % 7 == 6) {
            compact_byte(w, i == count ? bits : bits | 0x80);
            bits = 0;
        }
    }
}

/* A slot whose value isn't there as it is. *last is where the one before
 * begins, or -1. */
static void
write_special(compact_writer *w, Py_ssize_t *last, int slot, special_kind kind)
{
    if (*last >= 0 && !w->failed) {
        w->bytes[*last] |= 1;
    }
    *last = w->size;
    compact_number(w, (unsigned long long)slot << 3 | kind << 1);
}

/* The local variable that is this very object, or -1. */
static int
find_local(iframe *f, PyObject *value)
{
    int count = iframe_code(f)->co_nlocalsplus;

    for (int i = 0; i < count; i++) {
        if (islot_object(f->localsplus[i]) == value) {
            return i;
        }
    }
    return -1;
}

/* Does nothing refer to the object in slot number `slot` of `count` but this
 * slot? */
static int
is_sole(iframe *f, int slot, int count)
{
    PyObject *value = islot_object(f->localsplus[slot]);

    if (Py_REFCNT(value) != 1 || !islot_owns(f->localsplus[slot])) {
        return 0;
    }
    for (int i = 0; i < count; i++) {
        if (i != slot && islot_object(f->localsplus[i]) == value) {
            return 0;
        }
    }
    return 1;
}

/* A list with what is to be pickled for each item. New reference, or NULL with
 * an exception. */
static PyObject *
capture_list(PyObject *list)
{
    PyObject *result = PyList_New(0);
    for (Py_ssize_t i = 0; result != NULL && i < PyList_GET_SIZE(list); i++) {
        PyObject *item = substitute_for(PyList_GET_ITEM(list, i));
        if (item == NULL || PyList_Append(result, item) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(item);
    }
    return result;
}

/* What is to be pickled for the value of a slot. New reference, or NULL with
 * an exception. */
static PyObject *
capture_value(iframe *f, int pc, int slot)
{
    PyObject *value = islot_object(f->localsplus[slot]);

    if (value == NULL) {
        return islot_value(f->localsplus[slot]);
    }
    if (slot >= iframe_code(f)->co_nlocalsplus && PyList_CheckExact(value)) {
        /* except* keeps a list that no program sees, of exceptions whose
         * relations count. */
        const analysis *a = analysis_get(iframe_code(f));
        const analysis_kinds *kinds = a == NULL ? NULL : analysis_slots(a, pc);
        if (a == NULL) {
            return NULL;
        }
        if (kinds != NULL && kinds[slot] & KIND_EXCEPTIONS) {
            return capture_list(value);
        }
    }
    return substitute_for(value);
}

/* Writes a slot of the value stack, if that is shorter than its value. */
static int
write_specially(compact_writer *w, iframe *f, int slot, int count,
                Py_ssize_t *last)
{
    PyObject *value = islot_object(f->localsplus[slot]), *sequence;
    PyTypeObject *type = Py_TYPE(value);
    Py_ssize_t index;
    long start, step, left;
    int local;

    if (type == &PyList_Type || type == &PyTuple_Type || type == &PyDict_Type)
    {
        local = find_local(f, value);
        if (local >= 0) {
            write_special(w, last, slot, SPECIAL_SAME);
            compact_number(w, (unsigned long long)local);
        }
        return local >= 0;
    }
    if (loops_over(value, &sequence, &index) && is_sole(f, slot, count)) {
        local = find_local(f, sequence);
        if (local < 0) {
            write_special(w, last, slot, SPECIAL_LOOP);
            compact_item(w, Py_NewRef(sequence));
        }
        else {
            write_special(w, last, slot, SPECIAL_LOOP_IN);
            compact_number(w, (unsigned long long)local);
        }
        compact_item(w, PyLong_FromSsize_t(index));
        return 1;
    }
    if (loops_over_range(value, &start, &step, &left)
        && is_sole(f, slot, count))
    {
        write_special(w, last, slot, SPECIAL_RANGE);
        compact_item(w, PyLong_FromLong(start));
        compact_item(w, PyLong_FromLong(step));
        compact_item(w, PyLong_FromLong(left));
        return 1;
    }
    return 0;
}

/* ---- frames ------------------------------------------------------------ */

/* What there is beside the slots. */
typedef struct {
    PyCodeObject *code;     /* borrowed */
    PyObject *head;         /* owned; a tuple: a reference. Or NULL, with an
                             * exception */
    PyObject *generator, *exception, *space;    /* borrowed, or NULL */
    int pc;
    int whole;              /* a reference is one item */
} frame_parts;

static void
write_place(compact_writer *w, PyCodeObject *code, int pc)
{
    references_place place;

    if (references_get_place(code, pc, &place) < 0) {
        w->failed = 1;
        return;
    }
    compact_number(w, (unsigned long long)(place.line + 1) << 3 | place.kind);
    compact_number(w, (unsigned long long)(place.column + 1));
    compact_number(w, (unsigned long long)(place.end + 1));
}

/* The begin of a frame, as far as the pc. Steals the head. Returns where its
 * flags are. */
static Py_ssize_t
write_parts(compact_writer *w, const frame_parts *parts)
{
    PyObject *head = parts->head;
    Py_ssize_t flags_at = w->size;
    unsigned char flags = 0;

    if (head != NULL && PyTuple_CheckExact(head)) {
        flags |= FRAME_PLACE;
        if (!parts->whole) {
            flags |= FRAME_REFERENCE;
            flags |= PyTuple_GET_SIZE(head) > 2 ? FRAME_PATH : 0;
        }
    }
    flags |= parts->generator != NULL ? FRAME_GENERATOR : 0;
    flags |= parts->exception != NULL ? FRAME_EXCEPTION : 0;
    flags |= parts->space != NULL ? FRAME_NAMESPACE : 0;
    compact_byte(w, flags);
    if (flags & FRAME_REFERENCE) {
        char *digest = PyBytes_AS_STRING(PyTuple_GET_ITEM(head, 1));
        compact_bytes(w, digest + 1, REFERENCES_DIGEST - 1);
        compact_item(w, Py_NewRef(PyTuple_GET_ITEM(head, 0)));
        if (flags & FRAME_PATH) {
            compact_item(w, Py_NewRef(PyTuple_GET_ITEM(head, 2)));
        }
        Py_DECREF(head);
    }
    else {
        compact_item(w, head);
    }
    if (parts->generator != NULL) {
        compact_item(w, Py_NewRef(parts->generator));
    }
    if (parts->exception != NULL) {
        compact_item(w, substitute_for(parts->exception));
    }
    if (parts->space != NULL) {
        compact_item(w, substitute_for(parts->space));
    }
    compact_number(w, (unsigned long long)parts->pc);
    if (flags & FRAME_PLACE) {
        write_place(w, parts->code, parts->pc);
    }
    return flags_at;
}

/* A frame, of which so much is kept of its value stack. `top` is its last
 * value, or NULL: what is there. */
static void
write_frame(compact_writer *w, const frame_parts *parts, iframe *f, int kept,
            PyObject *top)
{
    int locals = parts->code->co_nlocalsplus, count = locals + kept;
    int top_at = top == NULL ? -1 : count - 1;
    Py_ssize_t flags_at = write_parts(w, parts), last = -1;

    while (top_at >= 0 && islot_is_null(f->localsplus[top_at])) {
        top_at--;
    }
    write_nulls(w, f->localsplus, count);
    for (int i = 0; i < count && !w->failed; i++) {
        if (i == top_at) {
            compact_item(w, substitute_for(top));
        }
        else if (!islot_is_null(f->localsplus[i])
                 && (i < locals || islot_is_number(f->localsplus[i])
                     || !write_specially(w, f, i, count, &last)))
        {
            compact_item(w, capture_value(f, parts->pc, i));
        }
    }
    if (last >= 0 && !w->failed) {
        w->bytes[flags_at] |= FRAME_SPECIALS;
    }
}

/* The exception that is being handled. Borrowed, or NULL. */
static PyObject *
handled(const _PyErr_StackItem *item)
{
    return item->exc_value == Py_None ? NULL : item->exc_value;
}

/* What is found in `references`, by value if that is NULL. `i` is the number
 * of the frame. New reference, or NULL with an exception. */
static PyObject *
capture_head(PyCodeObject *code, PyObject *globals, PyObject *references,
             int i)
{
    if (references == NULL) {
        return substitute_head((PyObject *)code, globals);
    }
    PyObject *found = i < PyList_GET_SIZE(references)
                          ? PyList_GET_ITEM(references, i)
                          : NULL;
    if (found == NULL || PyTuple_GET_ITEM(found, 0) != (PyObject *)code
        || PyTuple_GET_ITEM(found, 1) != globals)
    {
        PyErr_SetString(PyExc_RuntimeError,
                        "can't save a task that runs meanwhile");
        return NULL;
    }
    return Py_NewRef(PyTuple_GET_ITEM(found, 2));
}

/* ---- a fiber ----------------------------------------------------------- */

/* May a frame be written down that waits in this instruction for the next
 * inner one (NULL: innermost)? The list of rebuild.c's check_pending(). */
static int
is_writable(const chain_link *link, const chain_link *inner)
{
    if (inner == NULL) {
        return link->opcode == CALL || link->opcode == CALL_FUNCTION_EX
               || link->opcode == INTERP_OP_CALL_KW
               || link->opcode == FOR_ITER;
    }
    if (link->how != PENDING_PUSH && link->how != PENDING_REPEAT) {
        return 1;
    }
    return boundary_takes_result(link->opcode, link->oparg,
                                 chain_code(inner));
}

/* A bridge in the place of C code. */
static void
write_bridge(compact_writer *w, const chain_link *link, PyObject *head)
{
    const bridge *b = link->bridge;
    int locals = b->code->co_nlocalsplus;
    frame_parts parts = {.code = b->code,
                         .head = head,
                         .generator = link->generator,
                         .pc = b->pc};

    assert(locals <= STATE_SMALL && b->values <= locals);
    write_parts(w, &parts);
    compact_number(w, (2ull << locals) - (1ull << b->values));
    for (int i = 0; i < b->values; i++) {
        compact_item(w, substitute_for(link->values[i]));
    }
}

/* The frame of a link; `exception` is what is handled outside of all
 * generators, if it is the outermost frame, else NULL. */
static void
write_link(compact_writer *w, const chain_link *link, PyObject *head,
           PyObject *exception)
{
    iframe *f = link->frame;

    if (link->bridge != NULL) {
        write_bridge(w, link, head);
        return;
    }
    frame_parts parts = {.code = chain_code(link),
                         .head = head,
                         .exception = exception,
                         .pc = link->pc};
    if (iframe_is_generator(f)) {
        PyGenObject *gen = iframe_generator(f);
        parts.generator = (PyObject *)gen;
        parts.exception = handled(&gen->gi_exc_state);
    }
    else {
        parts.space = f->f_locals;
    }
    write_frame(w, &parts, f, link->kept, link->top);
}

/* Walks a suspended fiber. 0, or -1 with an exception; chain_clear() is due in
 * any case. */
static int
walk(fiber *f, chain *c)
{
    assert(f->state == FIBER_PARKED || f->state == FIBER_SOFT);
    chain_result result = chain_walk(f, fiber_get_hooks(), 1, c);
    if (result == CHAIN_REFUSED) {
        refusals_chain(c);
    }
    else if (result == CHAIN_KNOWN) {
        result = imports_enter(c);
    }
    return result == CHAIN_KNOWN ? 0 : -1;
}

/* The codes of a fiber's frames and their globals: a list of tuples, which
 * keeps them alive. New reference, or NULL with an exception. */
static PyObject *
list_codes(fiber *f)
{
    PyObject *codes = NULL;
    chain c;

    if (walk(f, &c) == 0) {
        codes = PyList_New(c.count);
    }
    for (int i = 0; codes != NULL && i < c.count; i++) {
        const chain_link *link = &c.links[i];
        PyObject *item = PyTuple_Pack(3, (PyObject *)chain_code(link),
                                      chain_globals(link), Py_None);
        if (item == NULL) {
            Py_CLEAR(codes);
            break;
        }
        PyList_SET_ITEM(codes, i, item);
    }
    chain_clear(&c);
    return codes;
}

/* Puts a reference to the code into each of the tuples. Runs Python code. 0,
 * or -1 with an exception. */
static int
refer_to(PyObject *codes)
{
    enum { BACK = 8 };

    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(codes); i++) {
        PyObject *item = PyList_GET_ITEM(codes, i), *reference = NULL;
        PyObject *code = PyTuple_GET_ITEM(item, 0);
        PyObject *globals = PyTuple_GET_ITEM(item, 1);
        /* A recursive function is referred to once. */
        for (Py_ssize_t k = i - 1; k >= 0 && k >= i - BACK; k--) {
            PyObject *before = PyList_GET_ITEM(codes, k);
            if (PyTuple_GET_ITEM(before, 0) == code
                && PyTuple_GET_ITEM(before, 1) == globals)
            {
                reference = Py_NewRef(PyTuple_GET_ITEM(before, 2));
                break;
            }
        }
        if (reference == NULL) {
            reference = references_make((PyCodeObject *)code, globals);
        }
        if (reference == NULL) {
            return -1;
        }
        Py_SETREF(((PyTupleObject *)item)->ob_item[2], reference);
    }
    return 0;
}

/* Can the frames of a walked fiber be written down? 0, or -1 with an
 * exception. */
static int
check_writable(const chain *c)
{
    for (int i = 0; i < c->count; i++) {
        const chain_link *link = &c->links[i];
        const chain_link *inner = i == 0 ? NULL : link - 1;
        if (!is_writable(link, inner)) {
            int shown = inner != NULL && inner->bridge == NULL;
            refusals_frame(link->frame, shown ? inner->frame : NULL, 1);
            return -1;
        }
    }
    return 0;
}

/* How the code of frames is written. */
typedef enum { BY_VALUE, BY_REFERENCE, QUICKLY } code_way;

/* Writes the frames. With QUICKLY, fails without an exception where there is
 * no quick way to refer to the code of one. */
static void
write_frames(compact_writer *w, const chain *c, fiber *f, code_way way,
             PyObject *references)
{
    for (int i = 0; i < c->count && !w->failed; i++) {
        const chain_link *link = &c->links[i];
        PyCodeObject *code = chain_code(link);
        PyObject *globals = chain_globals(link), *head;
        head = way == QUICKLY
                   ? references_quickly(code, globals)
                   : capture_head(code, globals, references, i);
        if (head == NULL) {
            w->failed = 1;
            return;
        }
        write_link(w, link, head,
                   i == c->count - 1 ? handled(&f->exc) : NULL);
    }
}

/* The state of a fiber. New reference, or NULL, with QUICKLY perhaps without
 * an exception. */
static PyObject *
write_fiber(fiber *f, code_way way, PyObject *references, unsigned char first,
            PyObject *const *own, int count)
{
    PyObject *state = NULL, **cache = NULL;
    compact_writer w;
    chain c;

    compact_begin(&w);
    compact_byte(&w, first);
    compact_byte(&w, STATE_FORMAT * STATE_MINORS + INTERP_MINOR);
    for (int i = 0; i < count; i++) {
        compact_item(&w, Py_NewRef(own[i]));
    }
    if (walk(f, &c) < 0 || check_writable(&c) < 0) {
        w.failed = 1;
    }
    if (!w.failed) {
        write_frames(&w, &c, f, way, references);
    }
    if (!w.failed) {
        cache = codes_state(chain_code(&c.links[0]));
        w.failed = cache == NULL;
    }
    state = compact_finish(&w, cache);
    chain_clear(&c);
    return state;
}

/* The same while the collector waits: the frames are read in place, and no
 * finaliser may resume the fiber. */
static PyObject *
write_undisturbed(fiber *f, code_way way, PyObject *references,
                  unsigned char first, PyObject *const *own, int count)
{
    int collects = PyGC_Disable();
    PyObject *state = write_fiber(f, way, references, first, own, count);
    if (collects) {
        PyGC_Enable();
    }
    return state;
}

PyObject *
capture_fiber(fiber *f, int by_reference, unsigned char first,
              PyObject *const *own, int count)
{
    PyObject *codes, *state = NULL;

    if (!by_reference) {
        return write_undisturbed(f, BY_VALUE, NULL, first, own, count);
    }
    state = write_undisturbed(f, QUICKLY, NULL, first, own, count);
    if (state != NULL || PyErr_Occurred()) {
        return state;
    }
    /* To refer runs Python code: before anything is read. */
    codes = list_codes(f);
    if (codes == NULL || refer_to(codes) < 0) {
        goto error;
    }
    if (f->state != FIBER_PARKED && f->state != FIBER_SOFT) {
        PyErr_SetString(PyExc_RuntimeError,
                        "can't save a task that runs meanwhile");
        goto error;
    }
    state = write_undisturbed(f, BY_REFERENCE, codes, first, own, count);

error:
    Py_XDECREF(codes);
    return state;
}

/* ---- a generator ------------------------------------------------------- */

/* What makes the empty generator: (head[, name, qualname]). Steals the head;
 * `named` says whether that tells the generator's names. */
static PyObject *
generator_arguments(PyGenObject *gen, PyObject *head, int named)
{
    PyCodeObject *code = generator_code(gen);

    if (head == NULL) {
        return NULL;
    }
    if (named && gen->gi_name == code->co_name
        && gen->gi_qualname == code->co_qualname)
    {
        return Py_BuildValue("(N)", head);
    }
    return Py_BuildValue("(NOO)", head, gen->gi_name, gen->gi_qualname);
}

/* What makes an empty generator like this one. Borrowed. */
static PyObject *
maker_of(PyGenObject *gen)
{
    PyObject *maker = awaitables_maker(gen);
    return maker == NULL ? generator_maker : maker;
}

/* A generator that is suspended on its own. */
static PyObject *
capture_suspended(PyGenObject *gen, PyObject *reference)
{
    PyObject *arguments, *state, **cache, *result = NULL;
    PyCodeObject *code = generator_code(gen);
    iframe *f = generator_iframe(gen);
    compact_writer w;

    const analysis *a = analysis_get(code);
    if (a == NULL) {
        return NULL;
    }
    int pc = analysis_start(a, generator_pending_unit(iframe_unit(f)));
    int kept = analysis_kept(a, pc);
    if (kept < 0 || kept != iframe_depth(f)) {
        PyErr_Format(NotPicklableError, "cannot pickle generator '%U': it "
                     "stands where no generator can be suspended",
                     gen->gi_qualname);
        return NULL;
    }
    PyObject *head = reference != NULL
                         ? Py_NewRef(reference)
                         : capture_head(code, f->f_globals, NULL, 0);
    frame_parts parts = {.code = code,
                         .head = Py_XNewRef(head),
                         .exception = handled(&gen->gi_exc_state),
                         .pc = pc,
                         .whole = 1};
    compact_begin(&w);
    compact_byte(&w, STATE_FORMAT * STATE_MINORS + INTERP_MINOR);
    write_frame(&w, &parts, f, kept, NULL);
    cache = w.failed ? NULL : codes_state(code);
    w.failed |= cache == NULL;
    state = compact_finish(&w, cache);
    if (state != NULL) {
        state = milestones_add(state, gen);
    }
    if (state == NULL) {
        Py_XDECREF(head);
        return NULL;
    }
    arguments = generator_arguments(gen, head, 1);
    if (arguments != NULL) {
        result = PyTuple_Pack(6, maker_of(gen), arguments, state, Py_None,
                              Py_None, generator_maker);
        Py_DECREF(arguments);
    }
    Py_DECREF(state);
    return result;
}

static PyObject *
write_generator(PyObject *object, PyObject *reference)
{
    PyGenObject *gen = (PyGenObject *)object;
    PyObject *head;
    int named = 1;

    if (gen->gi_frame_state < FRAME_EXECUTING) {
        return capture_suspended(gen, reference);
    }
    if (reference != NULL) {
        /* One that has ended has the reference to another's code. */
        head = Py_NewRef(reference);
        named = gen->gi_frame_state == FRAME_EXECUTING;
    }
    else if (gen->gi_frame_state == FRAME_EXECUTING) {
        iframe *f = generator_iframe(gen);
        head = capture_head(iframe_code(f), f->f_globals, NULL, 0);
    }
    else {
        head = substitute_for((PyObject *)generator_code(gen));
    }
    PyObject *arguments = generator_arguments(gen, head, named);
    if (arguments == NULL) {
        return NULL;
    }
    return Py_BuildValue("ON", maker_of(gen), arguments);
}

/* A reference to the code of a generator. Runs Python code. New reference, or
 * NULL with an exception. */
static PyObject *
refer_generator(PyGenObject *gen)
{
    PyObject *code = Py_NewRef(generator_code(gen)), *globals = NULL;
    const bridge *b = bridge_of((PyCodeObject *)code);

    if (gen->gi_frame_state <= FRAME_EXECUTING) {
        globals = Py_NewRef(generator_iframe(gen)->f_globals);
    }
    else if (b != NULL) {
        /* It is empty, but a fiber will fill it. */
        globals = Py_NewRef(PyFunction_GET_GLOBALS(b->function));
    }
    PyObject *reference = references_make((PyCodeObject *)code, globals);
    Py_DECREF(code);
    Py_XDECREF(globals);
    return reference;
}

PyObject *
capture_generator(PyObject *object, int by_reference)
{
    PyObject *reference = NULL, *result;
    int collects;

    if (by_reference) {
        reference = refer_generator((PyGenObject *)object);
        if (reference == NULL) {
            return NULL;
        }
    }
    /* As in capture_fiber(). */
    collects = PyGC_Disable();
    result = write_generator(object, reference);
    if (collects) {
        PyGC_Enable();
    }
    Py_XDECREF(reference);
    return result;
}

/* ---- functions of the module ------------------------------------------- */

static PyObject *
reduce_generator(PyObject *gen, int by_reference)
{
    if (!PyGen_CheckExact(gen) && !PyCoro_CheckExact(gen)
        && !PyAsyncGen_CheckExact(gen))
    {
        PyErr_Format(PyExc_TypeError, "expected a generator, not %.200s",
                     Py_TYPE(gen)->tp_name);
        return NULL;
    }
    return capture_generator(gen, by_reference);
}

static PyObject *
core_reduce_generator(PyObject *module, PyObject *gen)
{
    return reduce_generator(gen, 0);
}

static PyObject *
core_refer_generator(PyObject *module, PyObject *gen)
{
    return reduce_generator(gen, 1);
}

/* Makes an empty generator of (head[, name, qualname]), or suspends one in a
 * state: (generator, state). */
static PyObject *
make_generator(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) == 2) {
        PyObject *state = milestones_skip(PyTuple_GET_ITEM(args, 1));
        if (rebuild_generator(PyTuple_GET_ITEM(args, 0), state) < 0) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    return awaitables_make_generator(args, REBUILD_PLAIN);
}

/* What format 2 and 1 name. */
static PyObject *
core_make_generator(PyObject *module, PyObject *args)
{
    return make_generator(NULL, args, NULL);
}

static PyMethodDef functions[] = {
    {"_reduce_generator", core_reduce_generator, METH_O,
     PyDoc_STR("Reducer of generators and coroutines.")},
    {"_refer_generator", core_refer_generator, METH_O,
     PyDoc_STR("The same with their code by reference.")},
    {"_set_generator", core_make_generator, METH_VARARGS,
     PyDoc_STR("Suspends an empty generator in a saved state.")},
    {NULL},
};

static const fiber_pickling pickling = {
    .capture = capture_fiber,
    .rebuild = rebuild_fiber,
    .rebuild_old = rebuild_old_fiber,
    .substitute = substitute_for,
};

int
state_setup(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    generator_maker = module_add_maker(module, "pickletask._g",
                                       make_generator);
    fiber_set_pickling(&pickling);
    return generator_maker == NULL ? -1 : 0;
}
