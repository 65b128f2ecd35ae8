/* Clearing frames that will never run again. */
#ifndef PICKLETASK_INTERP_CLEAR_H
#define PICKLETASK_INTERP_CLEAR_H

#include "interp/interp.h"

/* Drops all that a suspended frame holds, as the interpreter does when it
 * leaves one; a frame object that outlives it takes its contents over.  The
 * memory stays the caller's.  `keep_code`: not the reference to the code. */
void iframe_clear(iframe *f, int keep_code);

/* Ends a generator whose frame is suspended inside a chain, without running
 * it: from now on it is exhausted. */
void generator_clear(PyGenObject *gen);

#endif
