/* The iterators of the module itertools, of which CPython pickles most up to
 * 3.13 and none since.  Modules/itertoolsmodule.c keeps them to itself. */
#ifndef PICKLETASK_INTERP_ITERTOOLS_H
#define PICKLETASK_INTERP_ITERTOOLS_H

#include "interp/interp.h"

/* Fields are owned; those marked may be NULL. */

typedef struct {
    PyObject_HEAD
    PyObject *total;        /* or NULL */
    PyObject *it;
    PyObject *binop;        /* or NULL */
    PyObject *initial;      /* or NULL */
    void *state;
} accumulate_object;

typedef struct {
    PyObject_HEAD
    PyObject *it;           /* or NULL */
    Py_ssize_t size;
#if INTERP_BATCHED_IS_STRICT
    _Bool strict;
#endif
} batched_object;

typedef struct {
    PyObject_HEAD
    PyObject *source;       /* or NULL */
    PyObject *active;       /* or NULL */
} chain_object;

/* combinations, combinations_with_replacement */
typedef struct {
    PyObject_HEAD
    PyObject *pool;
    Py_ssize_t *indices;    /* r of them */
    PyObject *result;       /* or NULL */
    Py_ssize_t r;
    int stopped;
} combinations_object;

typedef struct {
    PyObject_HEAD
    PyObject *data;
    PyObject *selectors;
} compress_object;

typedef struct {
    PyObject_HEAD
    Py_ssize_t count;       /* PY_SSIZE_T_MAX: see next */
    PyObject *long_count;   /* or NULL */
    PyObject *step;         /* or NULL */
} count_object;

typedef struct {
    PyObject_HEAD
    PyObject *it;           /* or NULL */
    PyObject *saved;
    Py_ssize_t index;       /* negative: the first time round */
} cycle_object;

/* dropwhile, takewhile, filterfalse, starmap; the last two without `flag` */
typedef struct {
    PyObject_HEAD
    PyObject *function;
    PyObject *it;
    long flag;
} filter_object;

typedef struct {
    PyObject_HEAD
    PyObject *it;
    PyObject *function;
    PyObject *target_key;   /* or NULL */
    PyObject *key;          /* or NULL */
    PyObject *value;        /* or NULL */
    const void *grouper;    /* borrowed, or NULL */
    void *state;
} groupby_object;

typedef struct {
    PyObject_HEAD
    PyObject *parent;
    PyObject *target_key;
} grouper_object;

typedef struct {
    PyObject_HEAD
    PyObject *it;           /* or NULL */
    Py_ssize_t next, stop, step, count;
} islice_object;

typedef struct {
    PyObject_HEAD
    PyObject *it;           /* or NULL */
    PyObject *old;          /* or NULL */
#if INTERP_PAIRWISE_HAS_RESULT
    PyObject *result;
#endif
} pairwise_object;

typedef struct {
    PyObject_HEAD
    PyObject *pool;
    Py_ssize_t *indices;    /* as many as in the pool */
    Py_ssize_t *cycles;     /* r of them */
    PyObject *result;       /* or NULL */
    Py_ssize_t r;
    int stopped;
} permutations_object;

typedef struct {
    PyObject_HEAD
    PyObject *pools;
    Py_ssize_t *indices;    /* one a pool */
    PyObject *result;       /* or NULL */
    int stopped;
} product_object;

typedef struct {
    PyObject_HEAD
    PyObject *element;
    Py_ssize_t count;       /* negative: for ever */
} repeat_object;

#define TEE_CELLS 57

typedef struct {
    PyObject_HEAD
    PyObject *it;
    int count, running;
    PyObject *next;         /* or NULL */
    PyObject *values[TEE_CELLS];
} tee_data_object;

typedef struct {
    PyObject_HEAD
    tee_data_object *data;
    int index;
    PyObject *weakrefs;
    void *state;
} tee_object;

typedef struct {
    PyObject_HEAD
    Py_ssize_t size, active;
    PyObject *iterators;    /* a tuple, each item or NULL; or NULL */
    PyObject *result;
    PyObject *fill;         /* or NULL */
} zip_longest_object;

#endif
