/* The chain of frames of a suspended fiber, and the proof that nothing but
 * the interpreter stands between them.
 *
 * A chain may be cut off its C stack (soften) or written down (capture) only
 * if we know, for each frame, which instruction is pending there, which of
 * its operands that instruction has used up, and that no C function between
 * this frame and the next inner one wants to go on afterwards.
 *
 * Innermost frame: the function that switches was handed arguments that lie
 * on the frame's own value stack, at the place where the pending call has
 * them, and the callable beside them is that very function.  Only the
 * interpreter calls like that, and it calls nothing else in this instruction.
 *
 * Inlined calls: the interpreter has written everything into the frame.
 *
 * C code in between: boundary.h knows which instructions and C functions pass
 * on what a Python function or generator does, and proves which one it is.
 * What the C code has yet to do, a bridge does instead of it (bridge.h), which
 * makes a link of its own.
 */
#ifndef PICKLETASK_CHAIN_H
#define PICKLETASK_CHAIN_H

#include "fiber/bridge.h"
#include "fiber/fiber.h"
#include "interp/analysis.h"

typedef struct {
    iframe *frame;          /* NULL for a bridge in the place of C code */
    const bridge *bridge;   /* or NULL; with a frame: in the place of a shim */
    PyObject *values[BRIDGE_VALUES];    /* its parameters; owned */
    PyObject *generator;    /* which the bridge is to be of: owned, or NULL */
    PyObject *top;          /* what the topmost entry of the value stack is to
                             * be, if it isn't what's there: owned, or NULL */
    int pc;                 /* pending instruction; -1: not asked for */
    int opcode, oparg;
    int next;               /* pc of the instruction behind it */
    int depth;              /* entries on the value stack now */
    int kept;               /* of these: stay, the pending one's are gone */
    interp_pending how;
    unsigned char waits;    /* the frame says so itself: nothing to edit */
    unsigned char passes;   /* something is thrown through the frame, which may
                             * be in no chain */
    unsigned char held;     /* C code holds references around the call: the
                             * frame can be written down, but not cut off */
} chain_link;

#define CHAIN_SMALL 6

typedef struct {
    chain_link *links;      /* innermost first */
    int count, room;
    chain_link small[CHAIN_SMALL];
    /* Why not, when the walk is refused: */
    iframe *where;          /* the frame whose pending call is not known; NULL
                             * if what the task began with has none, or has
                             * ended: then it's dropping what it held */
    iframe *inner;          /* what C code called, or NULL */
    int dropping;           /* it may have dropped its operands already */
} chain;

typedef enum {
    CHAIN_KNOWN,
    CHAIN_REFUSED,          /* c->where says where */
    CHAIN_FAILED            /* exception set: no memory */
} chain_result;

/* Walks fiber f, which is parked or soft.  `all`: finds the pending
 * instruction of frames that need no editing, too, and what bridges need, to
 * write all of it down.  Runs no Python code.
 * chain_clear() is to be called after any result. */
chain_result chain_walk(fiber *f, const fiber_hooks *hooks, int all,
                        chain *c);
void chain_clear(chain *c);

/* Walks parked fiber f as far as its frames' operands are known for sure: how
 * many links have a depth that can be relied on, innermost first.  Of a held
 * f(*args) below it, that is what is kept.  Runs no Python code, sets no
 * exception, may be called by the collector.  chain_clear() is to be called
 * afterwards. */
int chain_known(fiber *f, const fiber_hooks *hooks, chain *c);

/* The code of a link's frame. Borrowed. */
static inline PyCodeObject *
chain_code(const chain_link *link)
{
    return link->bridge != NULL ? link->bridge->code
                                : iframe_code(link->frame);
}

/* Its globals. Borrowed. */
static inline PyObject *
chain_globals(const chain_link *link)
{
    return link->bridge != NULL
               ? PyFunction_GET_GLOBALS(link->bridge->function)
               : link->frame->f_globals;
}

static inline int
chain_is_generator(const chain_link *link)
{
    return link->bridge == NULL && iframe_is_generator(link->frame);
}

/* Room for one more link, zeroed but for the frame. NULL with an exception if
 * there's no memory. */
chain_link *chain_append(chain *c, iframe *f);

/* The same for a frame that a bridge is to have, which waits. */
chain_link *chain_append_bridge(chain *c, iframe *shim, bridge_kind kind);

/* The same for frame `outer`, which waits for `inner` in the same loop, with
 * its pending instruction. */
chain_result chain_append_waiting(chain *c, iframe *outer, iframe *inner);

/* The walk ends at this frame (NULL: outside of all). */
chain_result chain_refuse(chain *c, iframe *where);

/* Finds the pending instruction of a suspended frame. 0, or -1 with an
 * exception; can't fail for a frame whose code was analysed before. */
int chain_locate(chain_link *link);

/* How the result of `inner` reaches the suspended frame `outer`. */
interp_pending chain_pending(iframe *outer, iframe *inner);

/* Does `outer` wait for the generator of `inner` in a call, as of next()?
 * Such a generator runs in a loop of its own, and what keeps it alive, the
 * operand, is gone: the chain owns a reference to it. */
static inline int
chain_is_next(iframe *outer, iframe *inner)
{
    return chain_pending(outer, inner) == PENDING_NEXT;
}

/* What a FOR_ITER or SEND that keeps so many entries resumes. Borrowed, or
 * NULL. */
static inline PyObject *
chain_receiver(iframe *outer, int kept)
{
    return kept < INTERP_ITERATOR_SLOTS
               ? NULL
               : islot_object(
                     iframe_stackbase(outer)[kept - INTERP_ITERATOR_SLOTS]);
}

/* Does the instruction push nothing, or more than one value?  What a function
 * that it calls returns can't be pushed then: see PENDING_REPEAT.  The
 * function runs in a loop of its own. */
int chain_is_repeated(int opcode, int oparg);

/* Has the pending instruction of the frame used up its operands?  It has if
 * the frame waits for a Python function, called in the same loop or before it
 * became soft.  A frame that has called C code still has them. */
int chain_is_waiting(const chain_link *link, const analysis *a);

/* The callable of a pending CALL or CALL_KW whose operands end at `end`
 * (before the names of a CALL_KW); *first is set to its first argument,
 * which may be self. Borrowed; NULL if there is none. */
PyObject *chain_call_operands(islot *end, int oparg, islot **first);

/* The callable of a pending CALL_FUNCTION_EX whose operands end at `top`;
 * *tuple is set to the arguments. Borrowed. */
PyObject *chain_spread_operands(islot *top, int oparg, PyObject **tuple);

/* What is called in the pending instruction of a running frame, as far as
 * it can be told. Borrowed, or NULL. */
PyObject *chain_callable(iframe *f);

/* Is this one of the values of a dict?  It is not looked at, and may be gone.
 */
int chain_dict_holds(PyObject *dict, PyObject *pointer);

/* The same for the variables of a frame: local ones, and its globals. */
int chain_variables_hold(iframe *f, PyObject *pointer);

/* The frame outside of all those of an import that is under way in `f`; f
 * itself if it is none of those. */
iframe *chain_importer(iframe *f);

#endif
