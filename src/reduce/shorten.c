/* Shorter pickles that mean the same: see shorten.h. */
#include "shorten.h"

/* Operations of pickle that are more than their length here. */
enum {
    PROTO = 0x80, MEMOIZE = 0x94, FRAME = 0x95, STACK_GLOBAL = 0x93,
    SHORT_BINUNICODE = 0x8c, BINGET = 'h', LONG_BINGET = 'j', GLOBAL = 'c'
};

/* The oldest protocol that has MEMOIZE, and how long the operations are with
 * which pickles of that protocol begin. */
enum { OLDEST = 4, PROTO_SIZE = 2, FRAME_SIZE = 9 };

/* Frames let an unpickler read a file in large pieces; smaller pickles go
 * without. */
enum { LEAST_FRAMED = 1024 };

typedef unsigned char byte;

/* ---- operations -------------------------------------------------------- */

/* What follows an operation: so many bytes, or a length of so many bytes and
 * as many bytes as it says. 0: not known. */
enum { ALONE = 0x20, SIZED = 0x10, WIDTH = 0xf };

static const byte arguments[256] = {
    ['('] = ALONE, ['.'] = ALONE, ['0'] = ALONE, ['1'] = ALONE,
    ['2'] = ALONE, ['N'] = ALONE, ['R'] = ALONE, ['Q'] = ALONE,
    ['a'] = ALONE, ['b'] = ALONE, ['d'] = ALONE, ['}'] = ALONE,
    ['e'] = ALONE, ['l'] = ALONE, [']'] = ALONE, ['o'] = ALONE,
    ['s'] = ALONE, ['t'] = ALONE, [')'] = ALONE, ['u'] = ALONE,
    [0x81] = ALONE, [0x85 ... 0x89] = ALONE, [0x8f ... 0x94] = ALONE,
    [0x97 ... 0x98] = ALONE,
    ['K'] = 1, [BINGET] = 1, [0x82] = 1,
    ['M'] = 2, [0x83] = 2,
    ['J'] = 4, [LONG_BINGET] = 4, [0x84] = 4,
    ['G'] = 8, [FRAME] = 8,
    ['C'] = SIZED | 1, [SHORT_BINUNICODE] = SIZED | 1, [0x8a] = SIZED | 1,
    ['B'] = SIZED | 4, ['X'] = SIZED | 4, [0x8b] = SIZED | 4,
    [0x8d] = SIZED | 8, [0x8e] = SIZED | 8, [0x96] = SIZED | 8,
};

static size_t
read_number(const byte *at, int size)
{
    size_t number = 0;
    for (int i = size - 1; i >= 0; i--) {
        number = number << 8 | at[i];
    }
    return number;
}

static void
write_number(byte *at, int size, size_t number)
{
    for (int i = 0; i < size; i++) {
        at[i] = (byte)(number >> 8 * i);
    }
}

/* How long the operation is, of which so many bytes are left at most; 0 if it
 * isn't known. */
static size_t
operation_size(const byte *at, size_t left)
{
    byte kind = arguments[*at];
    size_t size, width = kind & WIDTH;

    if (kind == 0 || left < 1 + width) {
        return 0;
    }
    size = kind & SIZED ? read_number(at + 1, (int)width) : 0;
    return size > left - 1 - width ? 0 : 1 + width + size;
}

/* ---- the memo ---------------------------------------------------------- */

/* Which objects are met again, and the numbers that they get. */
typedef struct {
    unsigned int *numbers;  /* owned: 0, or 1 and, later on, the new number */
    size_t count, room;
} memo;

/* Notes what the operation means for the memo. 0, or -1 if that makes no
 * sense, perhaps with an exception. */
static int
note(memo *m, const byte *at)
{
    if (*at == MEMOIZE) {
        if (m->count == m->room) {
            size_t room = m->room == 0 ? 64 : 2 * m->room;
            void *larger = PyMem_Realloc(m->numbers, room * sizeof(unsigned));
            if (larger == NULL) {
                PyErr_NoMemory();
                return -1;
            }
            m->numbers = larger;
            m->room = room;
        }
        m->numbers[m->count++] = 0;
    }
    else if (*at == BINGET || *at == LONG_BINGET) {
        size_t number = read_number(at + 1, *at == BINGET ? 1 : 4);
        if (number >= m->count) {
            return -1;
        }
        m->numbers[number] = 1;
    }
    return 0;
}

/* Notes what all operations mean. 0, or -1 if one isn't known or makes no
 * sense, perhaps with an exception. */
static int
note_all(memo *m, const byte *at, const byte *end)
{
    while (at < end) {
        size_t size = operation_size(at, (size_t)(end - at));
        if (size == 0 || note(m, at) < 0) {
            return -1;
        }
        at += size;
    }
    return 0;
}

/* ---- writing ----------------------------------------------------------- */

typedef struct {
    const memo *memo;
    size_t met;             /* objects that had a number */
    unsigned int numbered;  /* objects that get one */
    const byte *end;
    byte *out;
    byte *frame;            /* the length of the open frame, or NULL */
    const byte *frame_end;
} writer;

static void
close_frame(writer *w, const byte *at)
{
    if (w->frame != NULL && at >= w->frame_end) {
        write_number(w->frame, 8, (size_t)(w->out - w->frame - 8));
        w->frame = NULL;
    }
}

/* May the name stand in a line? */
static int
is_line(const byte *at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (at[i] < ' ' || at[i] > '~') {
            return 0;
        }
    }
    return 1;
}

/* The string at `at` that nothing else refers to: what comes behind it, or
 * NULL. *met counts it. */
static const byte *
skip_string(const writer *w, const byte *at, size_t *met)
{
    if (w->end - at < 2 || at[0] != SHORT_BINUNICODE
        || w->end - at < 3 + at[1] || at[2 + at[1]] != MEMOIZE
        || w->memo->numbers[*met] != 0 || !is_line(at + 2, at[1]))
    {
        return NULL;
    }
    (*met)++;
    return at + 3 + at[1];
}

/* Writes a function or class that the two strings at `at` name, if they are
 * there for that only. Returns what comes behind, or NULL. */
static const byte *
write_global(writer *w, const byte *at)
{
    size_t met = w->met;
    const byte *name = skip_string(w, at, &met);
    const byte *behind = name == NULL ? NULL : skip_string(w, name, &met);

    if (behind == NULL || behind >= w->end || *behind != STACK_GLOBAL
        || (w->frame != NULL && behind >= w->frame_end))
    {
        return NULL;
    }
    *w->out++ = GLOBAL;
    memcpy(w->out, at + 2, at[1]);
    w->out += at[1];
    *w->out++ = '\n';
    memcpy(w->out, name + 2, name[1]);
    w->out += name[1];
    *w->out++ = '\n';
    w->met = met;
    return behind + 1;
}

/* Writes one operation, or what means the same as some. Returns what comes
 * behind it. */
static const byte *
write_operation(writer *w, const byte *at)
{
    size_t size = operation_size(at, (size_t)(w->end - at)), number;

    switch (*at) {
    case SHORT_BINUNICODE: {
        const byte *behind = write_global(w, at);
        if (behind != NULL) {
            return behind;
        }
        break;
    }
    case MEMOIZE:
        if (w->memo->numbers[w->met++] == 0) {
            return at + 1;
        }
        w->memo->numbers[w->met - 1] = 1 + w->numbered++;
        break;
    case BINGET:
    case LONG_BINGET:
        number = read_number(at + 1, *at == BINGET ? 1 : 4);
        number = w->memo->numbers[number] - 1;
        *w->out++ = number < 256 ? BINGET : LONG_BINGET;
        write_number(w->out, number < 256 ? 1 : 4, number);
        w->out += number < 256 ? 1 : 4;
        return at + size;
    case FRAME:
        w->frame_end = at + size + read_number(at + 1, 8);
        *w->out++ = FRAME;
        w->frame = w->out;
        w->out += 8;
        return at + size;
    default:
        break;
    }
    memcpy(w->out, at, size);
    w->out += size;
    return at + size;
}

/* A pickle without its frame, if it is small and has one only. Returns its new
 * size. */
static Py_ssize_t
drop_frame(byte *data, Py_ssize_t size)
{
    if (size < LEAST_FRAMED && size > PROTO_SIZE + FRAME_SIZE
        && data[PROTO_SIZE] == FRAME
        && read_number(data + PROTO_SIZE + 1, 8)
               == (size_t)size - PROTO_SIZE - FRAME_SIZE)
    {
        memmove(data + PROTO_SIZE, data + PROTO_SIZE + FRAME_SIZE,
                (size_t)size - PROTO_SIZE - FRAME_SIZE);
        size -= FRAME_SIZE;
    }
    return size;
}

/* The pickle in `data`, shorter; itself if that is not known. */
static PyObject *
shorten(PyObject *data, memo *m)
{
    const byte *at = (byte *)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    writer w = {.memo = m, .end = at + size};

    if (size < PROTO_SIZE || at[0] != PROTO || at[1] < OLDEST
        || note_all(m, at + PROTO_SIZE, w.end) < 0)
    {
        return PyErr_Occurred() ? NULL : Py_NewRef(data);
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (result == NULL) {
        return NULL;
    }
    w.out = (byte *)PyBytes_AS_STRING(result);
    memcpy(w.out, at, PROTO_SIZE);
    w.out += PROTO_SIZE;
    at += PROTO_SIZE;
    while (at < w.end) {
        close_frame(&w, at);
        at = write_operation(&w, at);
    }
    close_frame(&w, at);
    byte *begin = (byte *)PyBytes_AS_STRING(result);
    _PyBytes_Resize(&result, drop_frame(begin, w.out - begin));
    return result;
}

static PyObject *
core_shorten(PyObject *module, PyObject *data)
{
    memo m = {NULL};

    if (!PyBytes_CheckExact(data)) {
        PyErr_Format(PyExc_TypeError, "expected bytes, not %.200s",
                     Py_TYPE(data)->tp_name);
        return NULL;
    }
    PyObject *result = shorten(data, &m);
    PyMem_Free(m.numbers);
    return result;
}

static PyMethodDef functions[] = {
    {"_shorten", core_shorten, METH_O,
     PyDoc_STR("A pickle that means the same, and is shorter if it can be.")},
    {NULL},
};

int
shorten_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
