/* What the state of a frame says: see saved.h. */
#include "saved.h"

#include "errors.h"

/* ---- reading ----------------------------------------------------------- */

int
saved_damaged(void)
{
    PyErr_SetString(CorruptStateError,
                    "can't restore: a task or generator has a damaged state");
    return -1;
}

/* How many slots are said to be empty. */
static Py_ssize_t
count_nulls(const saved_frame *saved)
{
    Py_ssize_t count = 0;
    unsigned int mask = (1u << saved->nulls_bits) - 1;

    for (Py_ssize_t i = 0; i < saved->nulls_size; i++) {
        count += __builtin_popcount(saved->nulls[i] & mask);
    }
    return count;
}

int
saved_is_null(const saved_frame *saved, int i)
{
    int at = i / saved->nulls_bits;
    return at < saved->nulls_size
           && saved->nulls[at] >> i % saved->nulls_bits & 1;
}

int
saved_check_nulls(const saved_frame *saved, int count)
{
    if (saved->nulls == NULL) {
        return 0;
    }
    if (saved->nulls_bits == 7) {
        return 1;
    }
    return count <= STATE_SMALL ? saved->nulls == saved->few_nulls
                                : saved->nulls != saved->few_nulls
                                      && saved->nulls_size == (count + 7) / 8;
}

/* Which slots are empty, how many there are, and how many values. 0, or -1
 * without an exception. */
static int
read_nulls(saved_frame *saved, compact_reader *r)
{
    int byte;

    saved->nulls = r->at;
    saved->nulls_bits = 7;
    do {
        byte = compact_read_byte(r);
    } while (byte > 0x7f);
    saved->nulls_size = r->at - saved->nulls;
    if (byte <= 0 || saved->nulls_size > INT_MAX / 8) {
        return -1;
    }
    int highest = 31 - __builtin_clz((unsigned int)byte);
    saved->slots = 7 * (saved->nulls_size - 1) + highest;
    saved->value_count = saved->slots - (count_nulls(saved) - 1);
    return 0;
}

int
saved_next_special(compact_reader *r, int *slot, special_kind *kind,
                   int *other)
{
    if (r->at == r->end) {
        return 0;
    }
    long long number = compact_read_number(r, INT_MAX);
    if (number < 0) {
        return -1;
    }
    *slot = (int)(number >> 3);
    *kind = number >> 1 & 3;
    *other = -1;
    if (*kind == SPECIAL_SAME || *kind == SPECIAL_LOOP_IN) {
        *other = (int)compact_read_number(r, INT_MAX);
        if (*other < 0) {
            return -1;
        }
    }
    return 1 + (int)(number & 1);
}

const int saved_special_items[] = {
    [SPECIAL_SAME] = 0, [SPECIAL_LOOP] = 2, [SPECIAL_LOOP_IN] = 1,
    [SPECIAL_RANGE] = 3
};

/* The special slots, each of which may change the number of values. 0, or -1
 * without an exception. */
static int
read_specials(saved_frame *saved, compact_reader *r)
{
    int slot, other, before = -1, more;
    special_kind kind;

    saved->specials.at = r->at;
    do {
        more = saved_next_special(r, &slot, &kind, &other);
        if (more <= 0 || slot <= before || slot >= saved->slots
            || saved_is_null(saved, slot) || other >= slot)
        {
            return -1;
        }
        saved->value_count += saved_special_items[kind] - 1;
        before = slot;
    } while (more > 1);
    saved->specials.end = r->at;
    return 0;
}

int
saved_read_frame(saved_frame *saved, compact_reader *r, int minor)
{
    static const struct {
        int flag;
        size_t offset;
    } optional[] = {
        {FRAME_PATH, offsetof(saved_frame, path)},
        {FRAME_GENERATOR, offsetof(saved_frame, generator)},
        {FRAME_EXCEPTION, offsetof(saved_frame, exception)},
        {FRAME_NAMESPACE, offsetof(saved_frame, space)},
    };
    int flags = compact_read_byte(r);
    long long kind = 0, column = 0, end = 0;

    saved->head = compact_read_item(r);
    if (flags < 0 || flags > 0x7f || saved->head == NULL) {
        return saved_damaged();
    }
    saved->has_digest = (flags & FRAME_REFERENCE) != 0;
    if (saved->has_digest) {
        if (r->end - r->at < REFERENCES_DIGEST - 1) {
            return saved_damaged();
        }
        saved->digest[0] = (unsigned char)minor;
        memcpy(saved->digest + 1, r->at, REFERENCES_DIGEST - 1);
        r->at += REFERENCES_DIGEST - 1;
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(optional); i++) {
        if (flags & optional[i].flag) {
            PyObject *item = compact_read_item(r);
            if (item == NULL) {
                return saved_damaged();
            }
            *(PyObject **)((char *)saved + optional[i].offset) = item;
        }
    }
    saved->place.pc = (int)compact_read_number(r, INT_MAX);
    if (flags & FRAME_PLACE) {
        kind = compact_read_number(r, INT_MAX);
        column = compact_read_number(r, INT_MAX);
        end = compact_read_number(r, INT_MAX);
    }
    saved->place.kind = (int)(kind & 7);
    saved->place.line = (int)(kind >> 3) - 1;
    saved->place.column = (int)column - 1;
    saved->place.end = (int)end - 1;
    if (saved->place.pc < 0 || kind < 0 || column < 0 || end < 0
        || read_nulls(saved, r) < 0
        || (flags & FRAME_SPECIALS && read_specials(saved, r) < 0)
        || r->last - r->item < saved->value_count)
    {
        return saved_damaged();
    }
    saved->values = r->item;
    r->item += saved->value_count;
    return 0;
}

int
saved_read_format(compact_reader *r, int *minor)
{
    int byte = compact_read_byte(r);

    if (byte < 0) {
        return saved_damaged();
    }
    *minor = byte % STATE_MINORS;
    if (byte / STATE_MINORS != STATE_FORMAT) {
        PyErr_Format(VersionMismatchError,
                     "can't restore: the state has format %d, and this "
                     "pickletask reads formats up to %d", byte / STATE_MINORS,
                     STATE_FORMAT);
        return -1;
    }
    return 0;
}

/* ---- reading tuples ---------------------------------------------------- */

static void
read_old_nulls(saved_frame *saved, PyObject *nulls)
{
    saved->nulls_bits = 8;
    if (PyBytes_CheckExact(nulls)) {
        saved->nulls = (unsigned char *)PyBytes_AS_STRING(nulls);
        saved->nulls_size = PyBytes_GET_SIZE(nulls);
    }
    else if (PyLong_CheckExact(nulls)) {
        unsigned long long bits = PyLong_AsUnsignedLongLong(nulls);
        if (bits == (unsigned long long)-1 && PyErr_Occurred()) {
            PyErr_Clear();
            return;
        }
        saved->nulls = saved->few_nulls;
        saved->nulls_size = 8;
        for (int i = 0; i < 8; i++) {
            saved->few_nulls[i] = (unsigned char)(bits >> 8 * i);
        }
    }
}

int
saved_read_old_frame(saved_frame *saved, PyObject *state, int before)
{
    PyObject **parts = ((PyTupleObject *)state)->ob_item + before;
    PyObject *number, *extra;

    if (PyTuple_GET_SIZE(state) - before < OLD_VALUES) {
        return saved_damaged();
    }
    number = parts[OLD_PC];
    extra = parts[OLD_EXTRA];
    saved->head = parts[OLD_HEAD];
    saved->place = (references_place){-1, 0, -1, -1, -1};
    if (PyLong_CheckExact(number)) {
        if (PyTuple_CheckExact(saved->head)) {
            if (references_old_place(number, &saved->place) < 0) {
                saved->place.pc = -1;
            }
        }
        else {
            int overflow;
            long pc = PyLong_AsLongAndOverflow(number, &overflow);
            saved->place.pc = overflow || pc < 0 || pc > INT_MAX ? -1
                                                                 : (int)pc;
        }
    }
    read_old_nulls(saved, parts[OLD_NULLS]);
    saved->values = parts + OLD_VALUES;
    saved->value_count = PyTuple_GET_SIZE(state) - before - OLD_VALUES;
    saved->slots = saved->value_count
                   + (saved->nulls == NULL ? 0 : count_nulls(saved));
    if (before != 0) {
        saved->exception = extra;
    }
    else if (!PyTuple_CheckExact(extra)) {
        saved->space = extra == Py_None ? NULL : extra;
    }
    else if (PyTuple_GET_SIZE(extra) == 2) {
        saved->generator = PyTuple_GET_ITEM(extra, 0);
        saved->exception = PyTuple_GET_ITEM(extra, 1);
    }
    else {
        return saved_damaged();
    }
    return 0;
}

int
saved_check_old_format(PyObject *format)
{
    if (!PyLong_CheckExact(format)) {
        PyErr_SetString(CorruptStateError,
                        "can't restore: the state has no format number");
        return -1;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(format, &overflow);
    if (number < STATE_OLDEST || number > STATE_TUPLES) {
        PyErr_Format(VersionMismatchError,
                     "can't restore: the state has format %S, and this "
                     "pickletask reads formats up to %d", format,
                     STATE_FORMAT);
        return -1;
    }
    return 0;
}

int
saved_check_minor(int minor)
{
    if (minor == INTERP_MINOR) {
        return 0;
    }
    PyErr_Format(VersionMismatchError,
                 "can't restore: the state was saved by cpython-3%d, and this "
                 "is cpython-3%d", minor, INTERP_MINOR);
    return -1;
}

int
saved_read_generator(saved_frame *saved, PyObject *state)
{
    compact_reader r;
    int minor;

    if (compact_open(&r, state, 0, 0) < 0) {
        if (!PyTuple_CheckExact(state) || PyTuple_GET_SIZE(state) == 0) {
            return saved_damaged();
        }
        PyObject *format = PyTuple_GET_ITEM(state, GENERATOR_FORMAT);
        return saved_check_old_format(format) < 0
                   ? -1
                   : saved_read_old_frame(saved, state, GENERATOR_FRAME);
    }
    if (saved_read_format(&r, &minor) < 0
        || saved_read_frame(saved, &r, minor) < 0)
    {
        return -1;
    }
    if (r.at != r.end || r.item != r.last || saved->generator != NULL
        || saved->space != NULL)
    {
        return saved_damaged();
    }
    return saved_check_minor(minor);
}
