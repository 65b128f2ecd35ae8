/* Why a task can't be saved, in words. */
#ifndef PICKLETASK_REDUCE_REFUSALS_H
#define PICKLETASK_REDUCE_REFUSALS_H

#include "fiber/chain.h"

/* Raises NotPicklableError that says where frame f stands.  `inner` is what C
 * code called below it, or NULL; if the pending instruction is dropping its
 * operands, they are not looked at. */
void refusals_frame(iframe *f, iframe *inner, int dropping);

/* The same for a walk that was refused. */
void refusals_chain(const chain *c);

#endif
