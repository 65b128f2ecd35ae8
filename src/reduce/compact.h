/* Compact states: a tuple of bytes with all numbers, and the objects.
 *
 * The numbers say what the objects mean; state.h says which come in which
 * order.  A number takes seven bits a byte, the lowest first; all bytes of one
 * but the last have their highest bit set.
 *
 * A writer remembers that something went wrong, and ignores what comes after:
 * only compact_finish() has to be checked.  A reader trusts nothing.
 */
#ifndef PICKLETASK_REDUCE_COMPACT_H
#define PICKLETASK_REDUCE_COMPACT_H

#include "interp/interp.h"

enum { COMPACT_BYTES = 96, COMPACT_ITEMS = 24 };

typedef struct {
    unsigned char *bytes;
    Py_ssize_t size, room;
    PyObject **items;       /* owned, as each reference in it */
    Py_ssize_t count, items_room;
    int failed;             /* with an exception */
    unsigned char few_bytes[COMPACT_BYTES];
    PyObject *few_items[COMPACT_ITEMS];
} compact_writer;

void compact_begin(compact_writer *w);
void compact_byte(compact_writer *w, unsigned char byte);
void compact_bytes(compact_writer *w, const void *bytes, Py_ssize_t size);
void compact_number(compact_writer *w, unsigned long long number);

/* Steals the item; NULL, with an exception, is remembered. */
void compact_item(compact_writer *w, PyObject *item);

/* The state, and the end of the writer.  `cache` holds the bytes of a state,
 * owned, or NULL, and may be NULL itself: equal bytes are the same object, so
 * that a pickler saves them once. New reference, or NULL with an exception. */
PyObject *compact_finish(compact_writer *w, PyObject **cache);

/* All is borrowed from a state. */
typedef struct {
    const unsigned char *at, *end;
    PyObject *const *item, *const *last;    /* last: behind the items */
} compact_reader;

/* Behind the first `bytes` bytes and `items` items. 0, or -1 without an
 * exception if that is no state, or has less. */
int compact_open(compact_reader *r, PyObject *state, Py_ssize_t bytes,
                 Py_ssize_t items);

/* The next byte, or -1 at the end. */
static inline int
compact_read_byte(compact_reader *r)
{
    return r->at < r->end ? *r->at++ : -1;
}

/* The next number, of at most `most`; -1 if there is none. */
long long compact_read_number(compact_reader *r, long long most);

/* The next item. Borrowed, or NULL without an exception. */
static inline PyObject *
compact_read_item(compact_reader *r)
{
    return r->item < r->last ? *r->item++ : NULL;
}

#endif
