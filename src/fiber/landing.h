/* Soft to running: frames without a C stack go on in a fresh interpreter loop.
 *
 * The loop is entered with a frame of our own, T, whose code is only
 *
 *      UNARY_INVERT            of the landing object, which is on T's stack
 *      RETURN_VALUE
 *
 * The landing object's __invert__ runs inside the new loop.  It links the
 * waiting frames below T, as if T were a Python function that the innermost
 * of them had called, and returns the value to deliver:
 *
 *      before:  [loop] <- T            after:  [loop] <- f0 <- f1 <- T
 *
 * RETURN_VALUE then leaves T as it leaves any callee, pushes the value onto
 * f1's stack and goes on there.  The whole chain runs in one loop, as if it
 * had never been suspended.  T has no RESUME instruction, so that tracers,
 * tracebacks and f_back do not see it.
 *
 * An exception is delivered by repeating the pending instruction with an
 * operand that raises, a `raiser`: the right frame raises it at the right
 * line.
 */
#ifndef PICKLETASK_LANDING_H
#define PICKLETASK_LANDING_H

#include "fiber/fiber.h"
#include "fiber/soften.h"

int landing_setup(PyObject *module);

/* Runs a soft fiber to its end on the C stack it has just been given, with
 * what `deliver` gives. New reference, or NULL with an exception. */
PyObject *landing(fiber_thread *t, fiber *f, interp_base *base,
                  const fiber_hooks *hooks, void (*settle)(fiber_thread *));

#endif
