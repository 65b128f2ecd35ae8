/* Code objects by value, and what is remembered of each.
 *
 * A code object goes into a pickle as (tag, digest, data): the tag names the
 * implementation and its minor version, data is the marshalled code, digest a
 * hash of data.  Loading looks the digest up first, so that all tasks of a
 * program share one code object however many pickles they come from, and
 * prefers the code of the equal function of a module that is imported.
 */
#ifndef PICKLETASK_REDUCE_CODES_H
#define PICKLETASK_REDUCE_CODES_H

#include "interp/interp.h"

int codes_setup(PyObject *module);

/* (tag, digest, data) of a code object. New reference, or NULL with an
 * exception. */
PyObject *codes_pack(PyCodeObject *code);

/* The code that was packed; `home` is the dict of the module it came from, or
 * NULL. New reference, or NULL with RestoreError or what else is wrong. */
PyCodeObject *codes_load(PyObject *tag, PyObject *digest, PyObject *data,
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

/* What the dotted name means in a module's dict: new reference, or NULL, with
 * an exception if memory is lacking. Names inside functions mean nothing. */
PyObject *codes_resolve(PyObject *dict, PyObject *qualname);

#endif
