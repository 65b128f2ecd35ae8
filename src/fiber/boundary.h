/* Boundaries: C code between two Python frames that the chain can do without.
 *
 * An instruction may call C code which calls a Python function or resumes a
 * generator: next(g), a class with __init__, an operator.  Such a boundary can
 * be crossed if three things are proved:
 *
 *  - The distance of the two loops on the C stack is one that this way is
 *    known to make (distance.h).
 *  - The operands are alive: the C code uses them.  A finaliser that runs when
 *    the instruction drops them may be just as far away.  So either no
 *    finaliser is, or the inner frame can't be one's, or it has the operand
 *    that is looked at as its first argument, or a variable has it.
 *  - What the inner frame runs is what this C code runs, given these operands:
 *    the generator among them, or the function that their types have for it.
 *  - What the C code does afterwards is known: nothing but to pass on the
 *    result, or what a bridge does in its place (bridge.h).
 *
 * C code may hold references of its own around the call.  Then the chain can
 * be written down, which only reads, but can't be cut off its C stack: the
 * links are `held`.  In what is loaded there are neither C code nor such
 * references.
 */
#ifndef PICKLETASK_BOUNDARY_H
#define PICKLETASK_BOUNDARY_H

#include "fiber/chain.h"

/* Appends what stands outside of `inner`, with which a loop has begun: a
 * bridge, if one is needed, and the frame `outer`, which waits for it through
 * C code.  `loop` is moved outwards.  `writes`: what bridges need is
 * collected, which takes memory; without it nothing is allocated but links. */
chain_result boundary_walk(chain *c, iframe *outer, iframe *inner,
                           interp_loop *loop, int writes);

/* Can a frame that waits in this instruction for a frame of `inner`, which is
 * no generator's, go on with what it returns on its stack?  Where the
 * interpreter relies on the kind of the result, it must come from a bridge. */
int boundary_takes_result(int opcode, int oparg, PyCodeObject *inner);

/* Is it the code of a bridge that knows what to make of what an asynchronous
 * generator yields?  Its first parameter is the awaitable that resumes it. */
int boundary_finishes(PyCodeObject *code);

#endif
