/* Contexts (contextvars) that a fiber has entered by Context.run().
 *
 * A context that was entered holds the one before it, and the thread the one
 * entered last.  A suspended fiber has that instead:
 *
 *      fiber --context--> entered last --prev--> ... --prev--> the fiber's own
 *
 * Loaded fibers have entered theirs without having run.  Their own one is the
 * last to come: it may be that of the thread that uses them.
 */
#ifndef PICKLETASK_CONTEXTS_H
#define PICKLETASK_CONTEXTS_H

#include "fiber/fiber.h"

/* Has this context been entered, and not left? */
int contexts_is_entered(PyObject *context);

/* Lets a fiber that is not running enter a context that nobody has entered.
 * Can't fail. */
void contexts_enter(fiber *f, PyObject *context);

/* Lets it leave the context, if that is the last one it has entered. */
void contexts_leave(fiber *f, PyObject *context);

/* Gives a fiber its own context (or NULL), if it has none yet. */
void contexts_give(fiber *f, PyObject *context);

/* The own context of a fiber that is not running. Borrowed; NULL if it has
 * none, or with an exception. */
PyObject *contexts_own(fiber *f);

/* 0, or -1 with an exception. */
int contexts_setup(PyObject *module);

#endif
