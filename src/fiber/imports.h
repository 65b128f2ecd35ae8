/* Imports under way: module code that importlib runs for an import.
 *
 * CPython imports in C, and in frozen Python code of its own:
 *
 *      outer (import m) <- [C code] <- frames of importlib <- [exec()] <- m
 *
 * These frames hold locks and other things of the process.  So the chain does
 * without them: bridges do what they have left to do (bridge.h), and so they
 * do for the C code outside of them:
 *
 *      outer (import m) <- imported() <- importing() <- m
 *
 * Which frames they are is told by their code, that nothing but importlib has,
 * and by the order in which they stand; the C code in between by its distance
 * (distance.h).
 *
 * What is loaded has not imported anything yet in its process.  When it goes
 * on for the first time, its modules have to come to sys.modules, and their
 * locks to its thread.  This is what entering() does, a bridge that stands
 * innermost, in the place of the function that suspended.
 */
#ifndef PICKLETASK_IMPORTS_H
#define PICKLETASK_IMPORTS_H

#include "fiber/chain.h"

/* The code by which frames of imports are told from others: asked of every
 * frame that is walked. */
typedef struct {
    PyCodeObject *call, *load;  /* importlib's; owned */
    PyCodeObject *importing;    /* the bridge's; borrowed */
} imports_telling_codes;

extern imports_telling_codes imports_codes;

/* Has a frame of this code run the code of a module that is imported, or of
 * the loader that does so? */
static inline int
imports_is_outer(PyCodeObject *code)
{
    return code == imports_codes.call || code == imports_codes.load;
}

/* Does a frame of this code own the lock of an import, which is the thread's?
 */
static inline int
imports_is_owner(PyCodeObject *code)
{
    return code == imports_codes.importing;
}

/* Appends what stands outside of `inner`, whose next outer frame is such a
 * one: bridges, and the frame that waits for the import.  Parameters and
 * result are those of boundary_walk(). */
chain_result imports_walk(chain *c, iframe *outer, iframe *inner,
                          interp_loop *loop, int writes);

/* If imports are under way in a chain that is to be written down, puts a
 * bridge before its innermost frame, as described above. */
chain_result imports_enter(chain *c);

/* Says importlib of the module with this dict that it is initialising itself?
 */
int imports_is_under_way(PyObject *dict);

/* Is the module initialising itself in a task that is suspended?  Then what is
 * in it can't be found by its name where that task is loaded. */
int imports_is_suspended(PyObject *module);

/* Measures distances: a function that importlib calls for imports that are
 * made in different ways has called.  0, or -1 with an exception. */
int imports_probe(void);

/* 0, or -1 with an exception. */
int imports_setup(PyObject *module);

#endif
