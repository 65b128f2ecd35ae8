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
 * A generator in a loop of its own (always in 3.11; sometimes later): the
 * pending instruction is FOR_ITER or SEND and its operand is the generator
 * of the inner frame, which is exactly what these call directly, and the
 * distance of the two loops on the C stack is one that this instruction is
 * known to make.  The same holds for a call of next() or send().
 *
 * A call f(*args) that isn't inlined: f is the function of the inner frame, or
 * a method made of it, and the distance is known.  Such a call only passes on
 * what the function returns.  From then on it counts as an inlined one.
 */
#ifndef PICKLETASK_CHAIN_H
#define PICKLETASK_CHAIN_H

#include "fiber/fiber.h"
#include "interp/analysis.h"

typedef struct {
    iframe *frame;
    int pc;                 /* pending instruction; -1: not asked for */
    int opcode, oparg;
    int next;               /* pc of the instruction behind it */
    int depth;              /* entries on the value stack now */
    int kept;               /* of these: stay, the pending one's are gone */
    interp_pending how;
    unsigned char waits;    /* the frame says so itself: nothing to edit */
    unsigned char held;     /* C code holds references around the call: the
                             * frame can be written down, but not cut off */
} chain_link;

#define CHAIN_SMALL 6

typedef struct {
    chain_link *links;      /* innermost first */
    int count, room;
    chain_link small[CHAIN_SMALL];
    /* Why not, when the walk is refused: */
    iframe *where;          /* the frame whose pending call is not known */
    iframe *inner;          /* what C code called, or NULL */
    int dropping;           /* it may have dropped its operands already */
} chain;

typedef enum {
    CHAIN_KNOWN,
    CHAIN_REFUSED,          /* c->where and c->why say where and why */
    CHAIN_FAILED            /* exception set: no memory */
} chain_result;

/* Walks fiber f, which is parked or soft.  `all`: finds the pending
 * instruction of frames that need no editing, too.  Runs no Python code.
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

/* Finds the pending instruction of a suspended frame. 0, or -1 with an
 * exception; can't fail for a frame whose code was analysed before. */
int chain_locate(chain_link *link);

/* Does the suspended frame `outer` wait for the generator of `inner` in a call
 * of next() or send()?  Such a generator runs in a loop of its own, and what
 * keeps it alive, the operand, is gone: the chain owns a reference to it. */
int chain_is_next(iframe *outer, iframe *inner);

/* What is called in the pending instruction of a running frame, as far as
 * it can be told. Borrowed, or NULL. */
PyObject *chain_callable(iframe *f);

#endif
