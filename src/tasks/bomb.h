/* Exceptions on their way from one tasklet to another.
 *
 * What waits for a suspended tasklet is a value, or an exception that is
 * raised where the tasklet goes on.  Inside, it is an exception instance with
 * a mark beside it; a `bomb` is the Python object that stands for both, for
 * those who look at tempval, or put a bomb there.
 */
#ifndef PICKLETASK_BOMB_H
#define PICKLETASK_BOMB_H

#include <Python.h>

/* TaskletExit, a subclass of SystemExit. Borrowed; set by bomb_setup(). */
extern PyObject *bomb_exit;

/* Adds TaskletExit and bomb to the module. 0, or -1 with an exception. */
int bomb_setup(PyObject *module);

/* Is it a bomb? */
int bomb_check(PyObject *object);

/* The exception instance in a bomb. Borrowed. */
PyObject *bomb_exception(PyObject *bomb);

/* New bomb around an exception instance, or NULL with an exception. */
PyObject *bomb_new(PyObject *exception);

/* The exception instance that generator.throw() would raise for the same
 * arguments; value and traceback may be NULL or None.  New reference, or NULL
 * with an exception: TypeError, or what the class raised.  May run Python
 * code. */
PyObject *bomb_make(PyObject *type, PyObject *value, PyObject *traceback);

/* type(*args), which must be an exception.  New reference, or NULL with an
 * exception.  `function` is named in messages.  May run Python code. */
PyObject *bomb_call(const char *function, PyObject *const *args,
                    Py_ssize_t nargs);

/* The exception that is set, with its traceback; it is cleared.  New
 * reference, never NULL. */
PyObject *bomb_defuse(void);

/* Raises the exception instance, which it steals.  Always NULL. */
PyObject *bomb_explode(PyObject *exception);

#endif
