/* Distances on the C stack between an interpreter loop and the loop of a
 * generator that it resumes directly.
 *
 * That an operand is the right generator doesn't prove that the pending
 * instruction itself resumed it: a finaliser could have.  The C functions on
 * the direct way have frames of a fixed size in a given build, so the distance
 * proves it.  The distances are measured once, at import, over every way the
 * interpreter has (specialised or not; traced, profiled, or neither).
 */
#ifndef PICKLETASK_DISTANCE_H
#define PICKLETASK_DISTANCE_H

#include "interp/interp.h"

/* Measures. 0, or -1 with an exception. */
int distance_setup(PyObject *module);

/* What resumes a generator: the opcode of FOR_ITER or SEND, or a call of one
 * of these. */
enum { DISTANCE_NEXT = -1, DISTANCE_METHOD = -2 };

/* Calls that pass a tuple on, f(*args) and f(**kwargs), to a Python function:
 * its frame may begin a loop, too. */
enum { DISTANCE_SPREAD = -3 };

/* What must not be taken for the last: the interpreter drops the arguments of
 * such a call, after the function, and a finaliser begins the loop. */
enum { DISTANCE_FINALISER = -4 };

/* Is this a distance that such an instruction makes by itself? */
int distance_is_known(int way, Py_ssize_t distance);

/* Which of the calls resumes the generator: next(generator), or its method
 * send; 0 if neither. */
int distance_of_call(PyObject *callable, PyObject *first, int count,
                     PyObject *generator);

#endif
