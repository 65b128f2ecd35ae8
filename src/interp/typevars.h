/* Type parameters and type aliases.  Objects/typevarobject.c keeps them to
 * itself; the compiler makes those with fields that are evaluated when
 * somebody asks. */
#ifndef PICKLETASK_INTERP_TYPEVARS_H
#define PICKLETASK_INTERP_TYPEVARS_H

#include "interp/interp.h"

#if INTERP_TYPE_PARAMS

/* Fields are owned, and may be NULL but for the names. */

typedef struct {
    _Bool covariant;
    _Bool contravariant;
    _Bool infer_variance;
} variance;

typedef struct {
    PyObject_HEAD
    PyObject *name;
    PyObject *bound;
    PyObject *evaluate_bound;
    PyObject *constraints;
    PyObject *evaluate_constraints;
#if INTERP_TYPE_PARAM_DEFAULTS
    PyObject *default_value;
    PyObject *evaluate_default;
#endif
    variance variance;
} typevar_object;

typedef struct {
    PyObject_HEAD
    PyObject *name;
    PyObject *bound;
#if INTERP_TYPE_PARAM_DEFAULTS
    PyObject *default_value;
    PyObject *evaluate_default;
#endif
    variance variance;
} paramspec_object;

typedef struct {
    PyObject_HEAD
    PyObject *name;
#if INTERP_TYPEVARTUPLE_BOUND
    PyObject *bound;
#endif
#if INTERP_TYPE_PARAM_DEFAULTS
    PyObject *default_value;
    PyObject *evaluate_default;
#endif
#if INTERP_TYPEVARTUPLE_BOUND
    variance variance;
#endif
} typevartuple_object;

typedef struct {
    PyObject_HEAD
    PyObject *name;
#if INTERP_TYPE_ALIAS_QUALNAME
    PyObject *qualname;
#endif
    PyObject *type_params;
    PyObject *compute_value;    /* or NULL: there is a value, then */
    PyObject *value;
    PyObject *module;
} typealias_object;

#endif

#endif
