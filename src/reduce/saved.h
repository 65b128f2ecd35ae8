/* What the state of a frame says, before anything of it is believed.
 *
 * Reading checks no more than that all is there: state.h has the form, compact
 * and as tuples.  rebuild.c checks the rest against the code.
 */
#ifndef PICKLETASK_REDUCE_SAVED_H
#define PICKLETASK_REDUCE_SAVED_H

#include "compact.h"
#include "references.h"
#include "state.h"

/* What a state says of a frame. Borrowed from the state; NULL: not there. */
typedef struct {
    PyObject *head, *path, *generator, *exception, *space;
    unsigned char digest[REFERENCES_DIGEST];
    int has_digest;
    references_place place;
    const unsigned char *nulls;     /* so many bits a byte; or NULL: damaged */
    Py_ssize_t nulls_size;
    int nulls_bits;
    unsigned char few_nulls[8];
    Py_ssize_t slots;
    compact_reader specials;        /* ends at once if there are none */
    PyObject *const *values;
    Py_ssize_t value_count;
} saved_frame;

/* Raises CorruptStateError. Returns -1. */
int saved_damaged(void);

/* The format, and the minor version of Python. 0, or -1 with an exception. */
int saved_read_format(compact_reader *r, int *minor);

/* Is the state of this version of Python?  References to code have said so
 * before. 0, or -1 with an exception. */
int saved_check_minor(int minor);

/* The next frame; `saved` is zeroed. 0, or -1 with an exception. */
int saved_read_frame(saved_frame *saved, compact_reader *r, int minor);

/* Is it a format number of tuples that we read? 0, or -1 with an exception. */
int saved_check_old_format(PyObject *format);

/* A frame's parts which begin at `before` in a tuple. Of a generator's, extra
 * is the exception. 0, or -1 with an exception. */
int saved_read_old_frame(saved_frame *saved, PyObject *state, int before);

/* The frame in the state of a generator. 0, or -1 with an exception. */
int saved_read_generator(saved_frame *saved, PyObject *state);

/* Is slot i said to be empty? */
int saved_is_null(const saved_frame *saved, int i);

/* Do the marks of empty slots have the form for so many slots? */
int saved_check_nulls(const saved_frame *saved, int count);

/* The next special slot. 1, or 2 if another one follows; 0 if there are none;
 * -1 without an exception if it is damaged. */
int saved_next_special(compact_reader *r, int *slot, special_kind *kind,
                       int *other);

/* How many items each kind of them takes. */
extern const int saved_special_items[];

#endif
