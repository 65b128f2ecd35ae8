/* Iterators of builtin containers: what they consist of, which CPython keeps
 * to itself.  It pickles those of dicts and sets as iterators over lists. */
#ifndef PICKLETASK_INTERP_CONTAINERS_H
#define PICKLETASK_INTERP_CONTAINERS_H

#include "interp/interp.h"

/* Fields are owned; those marked may be NULL. */

typedef struct {
    PyObject_HEAD
    PyObject *dict;         /* or NULL: exhausted */
    Py_ssize_t used;        /* the dict's size; -1: it was seen to change */
    Py_ssize_t position;    /* of the next entry, as PyDict_Next() counts */
    PyObject *result;       /* or NULL */
    Py_ssize_t left;
} dict_iterator;

typedef struct {
    PyObject_HEAD
    PyObject *set;          /* or NULL: exhausted */
    Py_ssize_t used;        /* the set's size; -1: it was seen to change */
    Py_ssize_t position;
    Py_ssize_t left;
} set_iterator;

/* Of a list or a tuple. */
typedef struct {
    PyObject_HEAD
    Py_ssize_t index;
    PyObject *sequence;     /* or NULL: exhausted */
} sequence_iterator;

/* Of a range with small numbers. */
typedef struct {
    PyObject_HEAD
#if INTERP_RANGE_INDEX
    long index;             /* the next item is start + index * step */
#endif
    long start, step;
    long length;            /* with an index: from the beginning on */
} range_iterator;

static inline long
range_iterator_next(const range_iterator *it)
{
#if INTERP_RANGE_INDEX
    return (long)((unsigned long)it->start
                  + (unsigned long)it->index * (unsigned long)it->step);
#else
    return it->start;
#endif
}

static inline long
range_iterator_left(const range_iterator *it)
{
#if INTERP_RANGE_INDEX
    return it->length - it->index;
#else
    return it->length;
#endif
}

static inline void
range_iterator_set(range_iterator *it, long next, long step, long left)
{
#if INTERP_RANGE_INDEX
    it->index = 0;
#endif
    it->start = next;
    it->step = step;
    it->length = left;
}

#endif
