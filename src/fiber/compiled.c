/* Compiled code on the C stack: see compiled.h. */
#include "compiled.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define RANGES 1024
#define WAYS_IN 16
#define ENTRIES 8
/* Calls that have to agree. */
#define LESSONS 3
/* Bytes of stack that compiled code may use between its entry and a call. */
#define REACH 256

/* Memory with code. */
typedef struct {
    uintptr_t start, end;
    int compiled;               /* of no file */
} range;

static range ranges[RANGES];    /* in order */
static int range_count;

/* How loops may enter compiled code: from a place of their part of the stack,
 * in bytes from the loop. */
typedef struct {
    Py_ssize_t place;
    Py_ssize_t first;           /* where the outermost call from it can be */
    int lessons;                /* that it agrees with */
    int count;
    uintptr_t entries[ENTRIES]; /* return addresses at the place */
} way_in;

static way_in ways_in[WAYS_IN];
static int way_count;
static int lessons;
static const way_in *the_way;   /* NULL: not known */

/* ---- memory with code -------------------------------------------------- */

/* Notes what a line of /proc/self/maps says: "start-end rwxp offset device
 * inode name". */
static void
take_line(const char *line)
{
    unsigned long start, end, inode;
    char access[5];
    int length = 0;

    if (sscanf(line, "%lx-%lx %4s %*x %*s %lu%n", &start, &end, access, &inode,
               &length) < 4
        || access[2] != 'x')
    {
        return;
    }
    int compiled = access[0] == 'r' && inode == 0
                   && strchr(line + length, '[') == NULL;
    range *last = range_count > 0 ? &ranges[range_count - 1] : NULL;
    if (last != NULL && last->end == start && last->compiled == compiled) {
        last->end = end;
    }
    else if (range_count < RANGES) {
        ranges[range_count++] = (range){start, end, compiled};
    }
}

void
compiled_look(void)
{
    static char text[8192];
    int error = errno, file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t kept = 0;
    ssize_t got;

    range_count = 0;
    while (file >= 0
           && (got = read(file, text + kept, sizeof(text) - 1 - kept)) > 0)
    {
        char *line = text, *end;
        text[kept + got] = '\0';
        while ((end = strchr(line, '\n')) != NULL) {
            *end = '\0';
            take_line(line);
            line = end + 1;
        }
        kept = strlen(line);
        memmove(text, line, kept);
    }
    if (file >= 0) {
        close(file);
    }
    errno = error;
}

/* The range that the address is in, or NULL. */
static const range *
range_of(uintptr_t address)
{
    int low = 0, high = range_count;

    while (low < high) {
        int middle = (low + high) / 2;
        if (address < ranges[middle].start) {
            high = middle;
        }
        else if (address >= ranges[middle].end) {
            low = middle + 1;
        }
        else {
            return &ranges[middle];
        }
    }
    return NULL;
}

static uintptr_t
word_at(const char *loop, Py_ssize_t place)
{
    return *(const uintptr_t *)(loop - place);
}

/* Does the word lead into compiled code (1) or into that of a file (0)? */
static int
leads_into(const char *loop, Py_ssize_t place, int compiled)
{
    const range *r = range_of(word_at(loop, place));
    return r != NULL && r->compiled == compiled;
}

/* ---- learning ---------------------------------------------------------- */

int
compiled_is_enabled(void)
{
    PyObject *jit = PySys_GetObject("_jit"), *result;
    int enabled;

    if (jit == NULL) {
        return 0;
    }
    result = PyObject_CallMethod(jit, "is_enabled", NULL);
    enabled = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return enabled;
}

/* Notes that loops may enter from this place, by a call there: the outermost
 * one from compiled code was at `call`. */
static void
agree(const char *loop, Py_ssize_t place, Py_ssize_t call)
{
    way_in *w = ways_in;

    while (w < ways_in + way_count && w->place != place) {
        w++;
    }
    if (w == ways_in + way_count) {
        if (way_count == WAYS_IN || lessons > 1) {
            return;
        }
        way_count++;
        *w = (way_in){.place = place, .first = call};
    }
    w->lessons += w->lessons == lessons - 1;
    w->first = Py_MIN(w->first, call);
    for (int i = 0; i < w->count; i++) {
        if (w->entries[i] == word_at(loop, place)) {
            return;
        }
    }
    if (w->count < ENTRIES) {
        w->entries[w->count++] = word_at(loop, place);
    }
}

void
compiled_learn(const char *loop, Py_ssize_t distance, const Py_ssize_t *known,
               int count)
{
    int agreeing = 0;
    Py_ssize_t call = distance - sizeof(uintptr_t);

    compiled_look();
    lessons++;
    /* The stack was cleaned: the innermost return address is the call's. */
    while (call > 0 && !leads_into(loop, call, 1)) {
        call -= sizeof(uintptr_t);
    }
    for (int i = 0; i < count && call > 0; i++) {
        Py_ssize_t place = known[i] - (distance - call);
        if (place > 0 && place < call && call - place <= REACH
            && leads_into(loop, place, 0))
        {
            agree(loop, place, call);
        }
    }
    the_way = NULL;
    for (int i = 0; i < way_count; i++) {
        if (ways_in[i].lessons == lessons) {
            the_way = &ways_in[i];
            agreeing++;
        }
    }
    if (agreeing != 1 || lessons < LESSONS) {
        the_way = NULL;
    }
}

int
compiled_is_known(void)
{
    return the_way != NULL;
}

/* ---- calls ------------------------------------------------------------- */

int
compiled_is_entered(const char *loop, Py_ssize_t distance)
{
    const way_in *w = the_way;

    if (w != NULL && distance > w->first) {
        for (int i = 0; i < w->count; i++) {
            if (w->entries[i] == word_at(loop, w->place)) {
                return 1;
            }
        }
    }
    return 0;
}

int
compiled_distances(const char *loop, Py_ssize_t distance,
                   Py_ssize_t found[COMPILED_PLACES])
{
    const way_in *w = the_way;
    int count = 0;

    for (Py_ssize_t call = w->first;
         call < Py_MIN(distance, w->first + REACH) && count < COMPILED_PLACES;
         call += sizeof(uintptr_t))
    {
        if (leads_into(loop, call, 1)) {
            found[count++] = distance - call + w->place;
        }
    }
    return count;
}
