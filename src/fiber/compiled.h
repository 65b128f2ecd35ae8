/* Machine code that CPython has compiled from bytecode (its JIT), on the C
 * stack between two interpreter loops.
 *
 * A loop enters it by a call, always from the same place of its part of the
 * stack, as it calls C functions.  Compiled code calls these from further
 * inside, by what it needs of the stack itself; the return address shows from
 * where.  So each distance (distance.h) can be told that the same call would
 * have if the loop had made it.
 */
#ifndef PICKLETASK_COMPILED_H
#define PICKLETASK_COMPILED_H

#include "interp/interp.h"

#define COMPILED_PLACES 8

/* Does this process compile? -1 with an exception. */
int compiled_is_enabled(void);

/* A call from compiled code, `distance` away from the loop at `loop`; from the
 * loop itself it would be one of known[].  Calls before it have left nothing
 * on the stack. Learns from several of them how loops enter compiled code. */
void compiled_learn(const char *loop, Py_ssize_t distance,
                    const Py_ssize_t *known, int count);

/* Did they agree? Without that, nothing of it is known. */
int compiled_is_known(void);

/* Has the loop entered compiled code, which has made the call that is this far
 * away? */
int compiled_is_entered(const char *loop, Py_ssize_t distance);

/* The distances that the call would have if the loop itself had made it: one
 * for each return address that leads into compiled code, from the outermost
 * one.  Calls that are over may have left some.  Returns how many. */
int compiled_distances(const char *loop, Py_ssize_t distance,
                       Py_ssize_t found[COMPILED_PLACES]);

/* Looks again where compiled code is. Neither allocates nor raises. */
void compiled_look(void);

#endif
