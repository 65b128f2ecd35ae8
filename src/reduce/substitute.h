/* Stand-ins that pickle as what they stand for.
 *
 * pickle never asks copyreg about functions, and cloudpickle, dill and
 * multiprocessing have reducers of their own for cells, code and modules'
 * dicts.  So capture does not put such objects into its plain state, but a
 * substitute for each, whose __reduce_ex__ says how to make the object anew.
 * While a substitute lives, there is no second one for the same object, and
 * so a pickler's memo keeps the object's identity.
 *
 * What is loaded is the object itself: substitutes never reach a pickle.
 */
#ifndef PICKLETASK_REDUCE_SUBSTITUTE_H
#define PICKLETASK_REDUCE_SUBSTITUTE_H

#include "interp/interp.h"

int substitute_setup(PyObject *module);

/* The value, or its substitute if it needs one. New reference, or NULL with
 * an exception. */
PyObject *substitute_for(PyObject *value);

/* Adds an entry to a state. Steals the value; NULL is passed on. 0, or -1 with
 * an exception. */
int substitute_add(PyObject *state, const char *name, PyObject *value);

/* A substitute for the function of a frame: all that counts of it are its
 * code and globals. New reference, or NULL with an exception. */
PyObject *substitute_head(PyObject *code, PyObject *globals);

/* A substitute for a dict of globals. New reference, or NULL with an
 * exception. */
PyObject *substitute_namespace(PyObject *dict);

/* Is it a substitute? */
int substitute_check(PyObject *object);

/* What a pickler's reducer_override returns for a substitute: the object it
 * stands for, if pickle can ask about that. New reference, or NULL with an
 * exception. */
PyObject *substitute_override(PyObject *object, int by_reference);

/* copy.deepcopy() of a value that may need a substitute. New reference, or
 * NULL with an exception. */
PyObject *substitute_deepcopy(PyObject *value, PyObject *memo);

/* copy.deepcopy(value, memo), of the value itself. New reference, or NULL with
 * an exception. */
PyObject *substitute_deepcopy_itself(PyObject *value, PyObject *memo);

/* Tells deepcopy's memo about a copy. 0, or -1 with an exception. */
int substitute_enter_copy(PyObject *memo, PyObject *object, PyObject *copy);

/* ---- modules ----------------------------------------------------------- */

/* The module called `name`, if it is imported: new reference, or NULL, with
 * an exception if one is set. */
PyObject *substitute_imported(PyObject *name);

/* What `__name__` is in a dict: borrowed, or NULL, with an exception if one is
 * set. */
PyObject *substitute_name_in(PyObject *dict);

/* Name of the imported module whose dict this is: borrowed, or NULL, with an
 * exception if one is set. */
PyObject *substitute_module_name(PyObject *dict);

/* The dict of an importable module. New reference, or NULL with an
 * exception. */
PyObject *substitute_import_dict(PyObject *name);

#endif
