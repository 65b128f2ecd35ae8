/* Hard to soft and back.
 *
 * A parked fiber's C stack is a cache of what its frames already say, as long
 * as the interpreter alone stands on it.  soften() checks that, moves the
 * frames into an image and frees the stack; landing does the reverse on any
 * free C stack.
 */
#ifndef PICKLETASK_SOFTEN_H
#define PICKLETASK_SOFTEN_H

#include "fiber/fiber.h"

/* Frames without a C stack, outermost first, each as long as its used part:
 *
 *   data -> | frame 0 | locals | stack | frame 1 | locals | stack | ...
 *
 * Frames of generators stay in their generators.  `previous` links all,
 * innermost to outermost, from `top`.
 *
 * What would not fit on the data stack of a C stack is kept as a data stack
 * chunk instead: frames have their full size and run in place. */
typedef struct fiber_image {
    iframe *top;                    /* innermost */
    _PyErr_StackItem *exc_info;     /* innermost handled exception */
    int frames;                     /* all, generators' too */
    int words;                      /* of data that are used */
    _PyStackChunk *chunk;           /* NULL, or the chunk in data */
    PyObject *data[1];
} fiber_image;

typedef enum {
    SOFTEN_DONE,        /* f is soft */
    SOFTEN_REFUSED,     /* C code stands on its stack; nothing changed */
    SOFTEN_FAILED       /* exception set (no memory); nothing changed */
} soften_result;

/* Makes a parked fiber soft.  Runs Python code only after f is soft. */
soften_result soften(fiber *f, const fiber_hooks *hooks);

/* A new image with room for frames of `compact` words in all, `full` words if
 * each has the size that its code asks for.  Owned by the caller, freed with
 * PyMem_Free. NULL with an exception if there's no memory. */
fiber_image *image_new(int compact, int full);

/* Where the next frame of the image goes; moves image->words behind it.
 * `used`: locals and stack entries. */
iframe *image_add(fiber_image *image, PyCodeObject *code, int used);

/* Clears the frames of a soft fiber without running them. */
void soften_discard(fiber *f);

int soften_traverse(fiber *f, visitproc visit, void *arg);

#endif
