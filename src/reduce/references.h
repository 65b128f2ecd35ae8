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
 * its source stood.  So the frame of a reference says beside its pc also where
 * that was: the kind of the instruction, its line, counted from the first one
 * of the code, and its columns.
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
    int sealed;             /* the anchor was a sealed function */
} referred;

/* Bytes of a digest, the first of which is the minor version. */
enum { REFERENCES_DIGEST = 12 };

/* Where a frame waits. */
typedef struct {
    int pc;
    int kind;               /* of the instruction */
    int line, column, end;  /* or -1: not known */
} references_place;

int references_setup(PyObject *module);

/* The reference to code that uses these globals, which may be NULL if they
 * aren't known. May run Python code. New reference, or NULL with
 * NotPicklableError or what else is wrong. */
PyObject *references_make(PyCodeObject *code, PyObject *globals);

/* The same, if there is a quick way, which runs no Python code. New reference;
 * NULL, with an exception if memory is lacking, if there is none. */
PyObject *references_quickly(PyCodeObject *code, PyObject *globals);

/* Follows a reference. May run Python code. 0, or -1 with CodeChangedError,
 * CorruptStateError or what else is wrong. */
int references_follow(PyObject *reference, referred *out);

/* The same for a reference in parts. `path` may be NULL. */
int references_follow_parts(PyObject *anchor, const unsigned char *digest,
                            PyObject *path, referred *out);

void references_clear(referred *r);

/* The place of the instruction at pc. 0, or -1 with an exception. */
int references_get_place(PyCodeObject *code, int pc, references_place *place);

/* The place in an int, as format 2 and 1 have it. 0, or -1 without an
 * exception if it is none. */
int references_old_place(PyObject *number, references_place *place);

/* The pc of a place: of the code that was saved, or, if that has moved, of the
 * instruction that stands in its place and where as many values are kept.
 * -1 without an exception if there is none, with CodeChangedError if there
 * is no such instruction, or more than one. */
int references_pc(const references_place *place, const referred *r,
                  const analysis *a, Py_ssize_t kept);

#endif
