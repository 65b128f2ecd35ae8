/* The iterators of dicts and sets, which CPython pickles as iterators over
 * lists.  Objects/dictobject.c and Objects/setobject.c keep them to
 * themselves. */
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

#endif
