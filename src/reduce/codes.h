/* Code objects by value, and what is remembered of each.
 *
 * A code object goes into a pickle as bytes: the minor version of Python, a
 * digest, and the marshalled code, compressed if that makes it smaller.
 * Loading looks the digest up first, so that all tasks of a
 * program share one code object however many pickles they come from, and
 * prefers the code of the equal function of a module that is imported.
 */
#ifndef PICKLETASK_REDUCE_CODES_H
#define PICKLETASK_REDUCE_CODES_H

#include "interp/interp.h"

int codes_setup(PyObject *module);

/* The bytes of a code object, the same ones every time. New reference, or NULL
 * with an exception. */
PyObject *codes_pack(PyCodeObject *code);

/* The code that was packed; `home` is the dict of the module it came from, or
 * NULL. New reference, or NULL with RestoreError or what else is wrong. */
PyCodeObject *codes_load(PyObject *packed, PyObject *home);

/* The same for what format 2 and 1 have: the tag of the implementation, a
 * digest, and the data. */
PyCodeObject *codes_load_old(PyObject *tag, PyObject *digest, PyObject *data,
                             PyObject *home);

/* A function with this code and these globals: that of the module itself if
 * it has one, else one of ours, which is shared. New reference, or NULL with
 * an exception. */
PyObject *codes_function(PyCodeObject *code, PyObject *globals);

/* The place where capture keeps the substitute of a frame's function; the
 * pointer is borrowed by the code object. NULL with an exception if there's
 * no memory. */
PyObject **codes_head(PyCodeObject *code);

/* The place where the digest of a reference to the code is kept; owned by the
 * code object. NULL with an exception if there's no memory. */
PyObject **codes_digest(PyCodeObject *code);

/* The place where the bytes of the last state are kept that began with a frame
 * of the code; owned by the code object. NULL with an exception if there's no
 * memory. */
PyObject **codes_state(PyCodeObject *code);

/* What the dotted name means in a module's dict: new reference, or NULL, with
 * an exception if memory is lacking. Names inside functions mean nothing. */
PyObject *codes_resolve(PyObject *dict, PyObject *qualname);

#endif
