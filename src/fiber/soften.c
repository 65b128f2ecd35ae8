/* Hard to soft: see soften.h. */
#include "soften.h"

#include "chain.h"
#include "contexts.h"
#include "interp/clear.h"

/* An image that needs more words than this gets a chunk of its own. */
#define COMPACT_LIMIT 4096

/* Room for further calls at the end of such a chunk. */
#define CHUNK_SLACK 2048

/* ---- images ----------------------------------------------------------- */

fiber_image *
image_new(int compact, int full)
{
    size_t words = (size_t)compact;
    int in_place = full > COMPACT_LIMIT;

    if (in_place) {
        words = (size_t)full + CHUNK_SLACK
                + sizeof(_PyStackChunk) / sizeof(PyObject *);
    }
    fiber_image *image = PyMem_Malloc(offsetof(fiber_image, data)
                                      + words * sizeof(PyObject *));
    if (image == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    image->top = NULL;
    image->exc_info = NULL;
    image->frames = 0;
    image->words = 0;
    image->chunk = NULL;
    if (in_place) {
        image->chunk = (_PyStackChunk *)image->data;
        image->chunk->previous = NULL;
        image->chunk->size = words * sizeof(PyObject *);
        image->chunk->top = 0;
    }
    return image;
}

iframe *
image_add(fiber_image *image, PyCodeObject *code, int used)
{
    PyObject **start = image->data;
    int words = (int)FRAME_SPECIALS_SIZE + used;

    if (image->chunk != NULL) {
        start = &image->chunk->data[1];
        words = iframe_size(code);
    }
    iframe *f = (iframe *)(start + image->words);
    image->words += words;
    return f;
}

/* ---- soften ----------------------------------------------------------- */

/* An image for the frames of chain c that are not generators'. NULL with an
 * exception if there's no memory. */
static fiber_image *
image_for(const chain *c)
{
    int compact = 0, full = 0;
    for (int i = 0; i < c->count; i++) {
        PyCodeObject *code = chain_code(&c->links[i]);
        if (!chain_is_generator(&c->links[i])) {
            compact += (int)FRAME_SPECIALS_SIZE + code->co_nlocalsplus
                       + c->links[i].kept;
            full += iframe_size(code);
        }
    }
    return image_new(compact, full);
}

/* Brings the frame into the state that CPython gives a frame which waits for
 * a Python callee. */
static void
suspend_frame(const chain_link *link)
{
    if (!link->waits) {
        iframe_set_depth(link->frame, link->kept);
        iframe_wait(link->frame, link->pc, link->next, link->oparg,
                    link->how);
    }
}

/* Moves the frames of c into the image. They are suspended. */
static void
fill_image(fiber_image *image, const chain *c)
{
    iframe *outer = NULL;

    for (int i = c->count - 1; i >= 0; i--) {
        const chain_link *link = &c->links[i];
        iframe *f = link->frame;
        if (link->bridge != NULL) {
            f = image_add(image, chain_code(link),
                          chain_code(link)->co_nlocalsplus);
            bridge_begin(link->bridge, f);
            for (int k = 0; k < link->bridge->values; k++) {
                f->localsplus[k] = islot_of(Py_NewRef(link->values[k]));
            }
        }
        else if (!iframe_is_generator(f)) {
            iframe *copy = image_add(image, iframe_code(f), iframe_used(f));
            iframe_move(copy, f);
            iframe_set_entry(copy, 0);
            f = copy;
        }
        f->previous = outer;
        outer = f;
    }
    image->top = outer;
    image->frames = c->count;
}

/* How many operands the pending instructions have used up, and entries of
 * shims. */
static int
count_used(const chain *c)
{
    int count = 0;
    for (int i = 0; i < c->count; i++) {
        const chain_link *link = &c->links[i];
        count += link->bridge != NULL ? 1 : link->depth - link->kept;
    }
    return count;
}

static void
take_used(const chain *c, islot *used)
{
    for (int i = 0; i < c->count; i++) {
        const chain_link *link = &c->links[i];
        if (link->bridge != NULL) {
            *used++ = link->frame->localsplus[0];
            continue;
        }
        islot *base = iframe_stackbase(link->frame);
        for (int k = link->kept; k < link->depth; k++) {
            *used++ = base[k];
        }
    }
}

static int
any_is_held(const chain *c)
{
    for (int i = 0; i < c->count; i++) {
        if (c->links[i].held) {
            return 1;
        }
    }
    return 0;
}

/* The fiber is soft from here on; its C stack goes. */
static void
leave_stack(fiber *f, fiber_image *image)
{
    interp_saved *saved = &f->saved->interp;
    stack *s = f->stack;

    fiber_unpark(f);
    image->exc_info = saved->exc_info;
    f->context = saved->context;
    interp_free_overflow(saved->chunk);
    PyMem_Free(f->image);
    f->image = image;
    f->saved = NULL;
    f->sp = NULL;
    f->stack = NULL;
    f->stuck = 0;
    f->landed = 1;
    f->state = FIBER_SOFT;
    stack_release(&f->thread->pool, s);
    f->thread->stacks--;
}

soften_result
soften(fiber *f, const fiber_hooks *hooks)
{
    soften_result result = SOFTEN_FAILED;
    fiber_image *image = NULL;
    islot few[16], *used = few;
    int count = 0;
    chain c;

    assert(fiber_check(f));
    if (f->stack == NULL || f->saved->call == NULL) {
        return SOFTEN_REFUSED;
    }
    chain_result walk = chain_walk(f, hooks, 0, &c);
    if (walk != CHAIN_KNOWN || any_is_held(&c)) {
        result = walk == CHAIN_FAILED ? SOFTEN_FAILED : SOFTEN_REFUSED;
        goto error;
    }
    count = count_used(&c);
    if (count > (int)Py_ARRAY_LENGTH(few)) {
        used = PyMem_Malloc(count * sizeof(islot));
        if (used == NULL) {
            PyErr_NoMemory();
            goto error;
        }
    }
    image = image_for(&c);
    if (image == NULL) {
        goto error;
    }

    take_used(&c, used);
    for (int i = 0; i < c.count; i++) {
        const chain_link *link = &c.links[i];
        if (link->how == PENDING_NEXT && !link->waits) {
            Py_INCREF(iframe_generator(c.links[i - 1].frame));
        }
        f->repeats |= link->how == PENDING_REPEAT;
        suspend_frame(link);
    }
    fill_image(image, &c);
    leave_stack(f, image);
    assert(fiber_check(f));
    result = SOFTEN_DONE;
    /* Python code may run from here on, and f may go away. */
    while (--count >= 0) {
        islot_close(used[count]);
    }

error:
    if (used != few) {
        PyMem_Free(used);
    }
    chain_clear(&c);
    return result;
}

/* ---- the end of a soft fiber ------------------------------------------ */

void
soften_discard(fiber *f)
{
    fiber_image *image = f->image;
    iframe *frame = image->top;

    assert(f->state == FIBER_SOFT);
    f->image = NULL;
    f->state = FIBER_DEAD;
    while (frame != NULL) {
        iframe *outer = frame->previous;
        if (iframe_is_generator(frame)) {
            PyGenObject *gen = iframe_generator(frame);
            int owned = outer != NULL && chain_is_next(outer, frame);
            Py_INCREF(gen);
            generator_clear(gen);
            Py_DECREF(gen);
            if (owned) {
                Py_DECREF(gen);
            }
        }
        else {
            if (iframe_code(frame) == bridge_get(BRIDGE_CONTEXT)->code
                && !islot_is_null(frame->localsplus[0]))
            {
                contexts_leave(f, islot_object(frame->localsplus[0]));
            }
            iframe_clear(frame, 0);
        }
        frame = outer;
    }
    PyMem_Free(image);
}

/* ---- traverse --------------------------------------------------------- */

/* `depth`: entries on its value stack, or -1 if that isn't known. */
static int
traverse_frame(iframe *frame, int depth, visitproc visit, void *arg)
{
    int count = iframe_code(frame)->co_nlocalsplus;

    if (!iframe_is_generator(frame)) {
        if (iframe_owns_function(frame)) {
            Py_VISIT(iframe_function(frame));
        }
        Py_VISIT(frame->f_locals);
        Py_VISIT(frame->frame_obj);
    }
    else if (iframe_depth(frame) >= 0) {
        /* Its generator traverses all of it; of one that runs, all but the
         * variables and operands. */
        return 0;
    }
    if (depth > 0) {
        count += depth;
    }
    for (int i = 0; i < count; i++) {
        if (islot_owns(frame->localsplus[i])) {
            Py_VISIT(islot_object(frame->localsplus[i]));
        }
    }
    return 0;
}

static int
traverse_soft(fiber *f, visitproc visit, void *arg)
{
    for (iframe *frame = f->image->top; frame != NULL;
         frame = frame->previous)
    {
        if (frame->previous != NULL && chain_is_next(frame->previous, frame)) {
            Py_VISIT(iframe_generator(frame));
        }
        int error = traverse_frame(frame, iframe_depth(frame), visit, arg);
        if (error) {
            return error;
        }
    }
    return 0;
}

/* Operands in use are owned by the frame, too: those of a pending call until
 * it returns. */
static int
traverse_parked(fiber *f, visitproc visit, void *arg)
{
    chain c;
    int error = 0, i = 0;
    int known = chain_known(f, fiber_get_hooks(), &c);
    iframe *frame = interp_saved_frame(&f->saved->interp);

    for (; error == 0 && frame != NULL; frame = frame->previous) {
        if (iframe_is_interpreters(frame)) {
            continue;
        }
        int depth = iframe_depth(frame);
        while (i < known
               && (c.links[i].bridge != NULL
                   || (c.links[i].passes && c.links[i].frame != frame)))
        {
            i++;
        }
        if (i < known && c.links[i].frame == frame) {
            const chain_link *link = &c.links[i++];
            int spread = i > 1 && link->held;
            if (depth < 0) {
                depth = spread ? link->kept : link->depth;
                /* What entered is gone from there but in 3.11. */
                depth -= link->opcode == INTERP_OP_ENTER;
            }
        }
        error = traverse_frame(frame, depth, visit, arg);
    }
    chain_clear(&c);
    return error;
}

int
soften_traverse(fiber *f, visitproc visit, void *arg)
{
    return f->state == FIBER_SOFT ? traverse_soft(f, visit, arg)
                                  : traverse_parked(f, visit, arg);
}
