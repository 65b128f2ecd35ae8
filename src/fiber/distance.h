/* Distances on the C stack between an interpreter loop and the loop of a
 * generator that it resumes directly.
 *
 * That an operand is the right generator doesn't prove that the pending
 * instruction itself resumed it: a finaliser could have.  The C functions on
 * the direct way have frames of a fixed size in a given build, so the distance
 * proves it.  The distances are measured once, at import, over every way the
 * interpreter has (specialised or not, traced or not).
 */
#ifndef PICKLETASK_DISTANCE_H
#define PICKLETASK_DISTANCE_H

#include "interp/interp.h"

/* Measures. 0, or -1 with an exception. */
int distance_setup(PyObject *module);

/* Is this a distance that the instruction makes by itself? */
int distance_is_known(int opcode, Py_ssize_t distance);

#endif
