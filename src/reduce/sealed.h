/* Functions that pickles may refer to, but not call.
 *
 * The function of a comprehension trusts its caller to bring an iterator, and
 * that of generic parameters the defaults as a tuple: called otherwise, they
 * crash.  No program has a name for one, but a frame may have one on its stack
 * or run it, so that pickles bring them, for whatever is in a pickle to refer
 * to.  What is loaded is therefore an object that cannot be called; rebuilding
 * takes the function out where the bytecode makes the right call, and where it
 * only says which code a frame runs.
 *
 * Restricted loads have such objects also for the functions of bridges: frames
 * of these are what C code leaves behind, and nothing else is to run them.
 */
#ifndef PICKLETASK_REDUCE_SEALED_H
#define PICKLETASK_REDUCE_SEALED_H

#include "interp/interp.h"

/* Adds the type of such objects. 0, or -1 with an exception. */
int sealed_setup(PyObject *module);

/* The function, or an object that holds it if its code trusts its caller, or
 * if it is to be sealed `always`.  Steals the function; NULL is passed on. New
 * reference, or NULL with an exception. */
PyObject *sealed_new(PyObject *function, int always);

/* The function in a sealed one; any other object itself. Borrowed. */
PyObject *sealed_open(PyObject *object);

#endif
