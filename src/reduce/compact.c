/* Compact states: see compact.h. */
#include "compact.h"

/* ---- writing ----------------------------------------------------------- */

void
compact_begin(compact_writer *w)
{
    w->bytes = w->few_bytes;
    w->size = 0;
    w->room = COMPACT_BYTES;
    w->items = w->few_items;
    w->count = 0;
    w->items_room = COMPACT_ITEMS;
    w->failed = 0;
}

/* Memory for twice as much. The old memory is `few` or freed. NULL with an
 * exception. */
static void *
enlarge(void *old, const void *few, size_t size)
{
    void *larger;

    if (old != few) {
        larger = PyMem_Realloc(old, 2 * size);
    }
    else if ((larger = PyMem_Malloc(2 * size)) != NULL) {
        memcpy(larger, old, size);
    }
    if (larger == NULL) {
        PyErr_NoMemory();
    }
    return larger;
}

void
compact_byte(compact_writer *w, unsigned char byte)
{
    if (w->failed) {
        return;
    }
    if (w->size == w->room) {
        void *larger = enlarge(w->bytes, w->few_bytes, (size_t)w->room);
        if (larger == NULL) {
            w->failed = 1;
            return;
        }
        w->bytes = larger;
        w->room *= 2;
    }
    w->bytes[w->size++] = byte;
}

void
compact_bytes(compact_writer *w, const void *bytes, Py_ssize_t size)
{
    for (Py_ssize_t i = 0; i < size; i++) {
        compact_byte(w, ((const unsigned char *)bytes)[i]);
    }
}

void
compact_number(compact_writer *w, unsigned long long number)
{
    while (number > 0x7f) {
        compact_byte(w, (unsigned char)(number & 0x7f) | 0x80);
        number >>= 7;
    }
    compact_byte(w, (unsigned char)number);
}

void
compact_item(compact_writer *w, PyObject *item)
{
    if (item != NULL && !w->failed && w->count == w->items_room) {
        void *larger = enlarge(w->items, w->few_items,
                               (size_t)w->items_room * sizeof(PyObject *));
        if (larger == NULL) {
            Py_CLEAR(item);
        }
        else {
            w->items = larger;
            w->items_room *= 2;
        }
    }
    if (item == NULL || w->failed) {
        w->failed = 1;
        Py_XDECREF(item);
        return;
    }
    w->items[w->count++] = item;
}

/* The bytes as an object. New reference, or NULL with an exception. */
static PyObject *
finish_bytes(compact_writer *w, PyObject **cache)
{
    PyObject *known = cache == NULL ? NULL : *cache;

    if (known != NULL && PyBytes_GET_SIZE(known) == w->size
        && memcmp(PyBytes_AS_STRING(known), w->bytes, w->size) == 0)
    {
        return Py_NewRef(known);
    }
    PyObject *bytes = PyBytes_FromStringAndSize((char *)w->bytes, w->size);
    if (bytes != NULL && cache != NULL) {
        Py_XSETREF(*cache, Py_NewRef(bytes));
    }
    return bytes;
}

PyObject *
compact_finish(compact_writer *w, PyObject **cache)
{
    PyObject *state = NULL;

    if (!w->failed) {
        state = PyTuple_New(1 + w->count);
    }
    if (state != NULL) {
        PyObject *bytes = finish_bytes(w, cache);
        PyTuple_SET_ITEM(state, 0, bytes);
        if (bytes == NULL) {
            Py_CLEAR(state);
        }
    }
    for (Py_ssize_t i = 0; i < w->count; i++) {
        if (state != NULL) {
            PyTuple_SET_ITEM(state, 1 + i, w->items[i]);
        }
        else {
            Py_DECREF(w->items[i]);
        }
    }
    if (w->bytes != w->few_bytes) {
        PyMem_Free(w->bytes);
    }
    if (w->items != w->few_items) {
        PyMem_Free(w->items);
    }
    return state;
}

/* ---- reading ----------------------------------------------------------- */

int
compact_open(compact_reader *r, PyObject *state, Py_ssize_t bytes,
             Py_ssize_t items)
{
    if (!PyTuple_CheckExact(state) || PyTuple_GET_SIZE(state) < 1 + items) {
        return -1;
    }
    PyObject *first = PyTuple_GET_ITEM(state, 0);
    if (!PyBytes_CheckExact(first) || PyBytes_GET_SIZE(first) < bytes) {
        return -1;
    }
    r->at = (unsigned char *)PyBytes_AS_STRING(first) + bytes;
    r->end = r->at + PyBytes_GET_SIZE(first) - bytes;
    r->item = ((PyTupleObject *)state)->ob_item + 1 + items;
    r->last = r->item + PyTuple_GET_SIZE(state) - 1 - items;
    return 0;
}

long long
compact_read_number(compact_reader *r, long long most)
{
    unsigned long long number = 0;

    for (int shift = 0; r->at < r->end && shift < 63; shift += 7) {
        unsigned char byte = *r->at++;
        number |= (unsigned long long)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return number > (unsigned long long)most ? -1 : (long long)number;
        }
    }
    return -1;
}
