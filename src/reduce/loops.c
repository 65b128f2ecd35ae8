/* Iterators of loops over lists, tuples and ranges: see loops.h. */
#include "loops.h"

#include "interp/containers.h"

int
loops_over(PyObject *iterator, PyObject **sequence, Py_ssize_t *index)
{
    PyTypeObject *type = Py_TYPE(iterator);

    if (type != &PyListIter_Type && type != &PyTupleIter_Type) {
        return 0;
    }
    *sequence = ((sequence_iterator *)iterator)->sequence;
    *index = ((sequence_iterator *)iterator)->index;
    return *sequence != NULL;
}

int
loops_over_range(PyObject *iterator, long *start, long *step, long *left)
{
    if (Py_TYPE(iterator) != &PyRangeIter_Type) {
        return 0;
    }
    *start = range_iterator_next((range_iterator *)iterator);
    *step = ((range_iterator *)iterator)->step;
    *left = range_iterator_left((range_iterator *)iterator);
    return 1;
}

/* The number in an int; -1 without an exception if it is none, or negative. */
static Py_ssize_t
size_in(PyObject *number)
{
    int overflow;

    if (!PyLong_CheckExact(number)) {
        return -1;
    }
    long value = PyLong_AsLongAndOverflow(number, &overflow);
    return overflow || value < 0 ? -1 : value;
}

PyObject *
loops_make(PyObject *sequence, PyObject *index)
{
    PyTypeObject *type = PyList_Check(sequence)    ? &PyList_Type
                         : PyTuple_Check(sequence) ? &PyTuple_Type
                                                   : NULL;
    Py_ssize_t at = size_in(index);

    if (type == NULL || at < 0) {
        return NULL;
    }
    /* That of the type itself: a subclass may have another one. */
    PyObject *iterator = type->tp_iter(sequence);
    if (iterator != NULL) {
        ((sequence_iterator *)iterator)->index = at;
    }
    return iterator;
}

PyObject *
loops_make_range(PyObject *start, PyObject *step, PyObject *left)
{
    int far_start, far_step;
    long end;
    PyObject *iterator = NULL;
    Py_ssize_t count = size_in(left);

    if (!PyLong_CheckExact(start) || !PyLong_CheckExact(step) || count < 0) {
        return NULL;
    }
    long from = PyLong_AsLongAndOverflow(start, &far_start);
    long by = PyLong_AsLongAndOverflow(step, &far_step);
    if (far_start || far_step || by == 0
        || __builtin_mul_overflow(by, (long)count, &end)
        || __builtin_add_overflow(from, end, &end))
    {
        return NULL;
    }
    PyObject *range = PyObject_CallFunction((PyObject *)&PyRange_Type, "lll",
                                            0L, 0L, 1L);
    if (range != NULL) {
        iterator = PyRange_Type.tp_iter(range);
        Py_DECREF(range);
    }
    if (iterator != NULL) {
        range_iterator_set((range_iterator *)iterator, from, by, count);
    }
    return iterator;
}
