/* Code by reference: what an import finds, and a digest of it.
 *
 * A reference is (anchor, digest[, path]).  The anchor is a function or class
 * that pickle saves by name; path leads from there to code that has no name of
 * its own.  pickletask/references.py makes references and follows them: it
 * knows what counts as a change, and whom to ask when there is one.  Here is
 * the short way for functions that are found by their names, and what the
 * rest of this layer asks for.
 *
 * Where changed code takes the place of what was saved, a frame goes on where
 * its source stood.  So the frame of a reference says in its pc also where
 * that was: a place is an int that has the pc, the kind of the instruction,
 * its line, counted from the first one of the code, and its columns.
 */
#ifndef PICKLETASK_REDUCE_REFERENCES_H
#define PICKLETASK_REDUCE_REFERENCES_H

#include "interp/analysis.h"
#include "interp/interp.h"

/* Code that a reference led to. Zeroed at first. */
typedef struct {
    PyCodeObject *code;     /* owned */
    PyObject *globals;      /* owned */
    int moved;              /* its instructions are not those that were saved:
                             * a pc means nothing, only the place does */
} referred;

int references_setup(PyObject *module);

/* The reference to code that uses these globals, which may be NULL if they
 * aren't known. May run Python code. New reference, or NULL with
 * NotPicklableError or what else is wrong. */
PyObject *references_make(PyCodeObject *code, PyObject *globals);

/* Follows a reference. May run Python code. 0, or -1 with CodeChangedError,
 * CorruptStateError or what else is wrong. */
int references_follow(PyObject *reference, referred *out);

void references_clear(referred *r);

/* The place of the instruction at pc. New reference, or NULL with an
 * exception. */
PyObject *references_place(PyCodeObject *code, int pc);

/* The pc in a place: of the code that was saved, or, if that has moved, of the
 * instruction that stands in its place and where as many values are kept.
 * -1 without an exception if it is no place, with CodeChangedError if there
 * is no such instruction, or more than one. */
int references_pc(PyObject *place, const referred *r, const analysis *a,
                  int kept);

#endif
