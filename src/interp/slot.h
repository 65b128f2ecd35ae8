/* Slots: what the local variables and the value stack of a frame consist of.
 *
 * Up to CPython 3.13 a slot is a pointer to an object, or NULL.  Since 3.14
 * it is a tagged word:
 *
 *      object 00      a reference that the slot owns
 *      object 01      a borrowed one: somebody else keeps the object alive
 *                     as long as the frame is linked where it is (or it is
 *                     immortal); with no object: no value
 *      number 11      an int without an object
 *
 * Only the interpreter's own bookkeeping makes such numbers: the place of an
 * exception, the index of a loop over a sequence.  A program never sees one.
 */
#ifndef PICKLETASK_INTERP_SLOT_H
#define PICKLETASK_INTERP_SLOT_H

#if INTERP_TAGS_SLOTS

#include "internal/pycore_stackref.h"

typedef _PyStackRef islot;

/* No value. */
#define ISLOT_NULL PyStackRef_NULL

static inline int
islot_is_null(islot s)
{
    return PyStackRef_IsNull(s);
}

static inline int
islot_is_number(islot s)
{
    return PyStackRef_IsTaggedInt(s);
}

/* The object. Borrowed; NULL if there is no value, or a bare number. */
static inline PyObject *
islot_object(islot s)
{
    return islot_is_null(s) || islot_is_number(s)
               ? NULL
               : PyStackRef_AsPyObjectBorrow(s);
}

/* The value, a number as an int. New reference. NULL without an exception if
 * there is none, with one if there's no memory. */
static inline PyObject *
islot_value(islot s)
{
    return islot_is_number(s) ? PyLong_FromSsize_t(PyStackRef_UntagInt(s))
                              : Py_XNewRef(islot_object(s));
}

/* The object in a slot that is given up: steals what the slot owned. New
 * reference. */
static inline PyObject *
islot_take(islot s)
{
    return PyStackRef_AsPyObjectSteal(s);
}

/* Steals the object; NULL: no value. */
static inline islot
islot_of(PyObject *object)
{
    return object == NULL ? PyStackRef_NULL
                          : PyStackRef_FromPyObjectSteal(object);
}

/* The slot for an int that belongs to the interpreter's bookkeeping, and
 * fits. Steals it. */
static inline islot
islot_of_number(PyObject *number)
{
    islot s = PyStackRef_TagInt(PyLong_AsSsize_t(number));
    Py_DECREF(number);
    return s;
}

/* Drops the value, if there is one. May run Python code. */
static inline void
islot_close(islot s)
{
    PyStackRef_XCLOSE(s);
}

/* The same value, owned. For where a borrowed one could outlive its owner. */
static inline islot
islot_keep(islot s)
{
    return PyStackRef_MakeHeapSafe(s);
}

/* Does the slot own a reference to an object? */
static inline int
islot_owns(islot s)
{
    return islot_object(s) != NULL && PyStackRef_RefcountOnObject(s);
}

/* Did the interpreter pass these slots as arguments to a C function?  It
 * copies the objects for the call, and empties the slots before it drops what
 * was in them. */
static inline int
islots_are_passed(const islot *slots, PyObject *const *args, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (islot_object(slots[i]) != args[i]) {
            return 0;
        }
    }
    return 1;
}

#else

typedef PyObject *islot;

#define ISLOT_NULL NULL

static inline int
islot_is_null(islot s)
{
    return s == NULL;
}

static inline int
islot_is_number(islot s)
{
    return 0;
}

static inline PyObject *
islot_object(islot s)
{
    return s;
}

static inline PyObject *
islot_value(islot s)
{
    return Py_XNewRef(s);
}

static inline PyObject *
islot_take(islot s)
{
    return s;
}

static inline islot
islot_of(PyObject *object)
{
    return object;
}

static inline islot
islot_of_number(PyObject *number)
{
    return number;
}

static inline void
islot_close(islot s)
{
    Py_XDECREF(s);
}

static inline islot
islot_keep(islot s)
{
    return s;
}

static inline int
islot_owns(islot s)
{
    return s != NULL;
}

/* Here it passes the slots themselves. */
static inline int
islots_are_passed(const islot *slots, PyObject *const *args, Py_ssize_t count)
{
    return args == slots;
}

#endif

#endif
