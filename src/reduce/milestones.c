#include "milestones.h"

/* The suspended generator that a suspended one would resume first, as far as
 * its stack tells. Borrowed, or NULL. */
static PyGenObject *
delegate_of(PyGenObject *gen)
{
    iframe *f = generator_iframe(gen);
    int depth;

    if (gen->gi_frame_state >= FRAME_EXECUTING) {
        return NULL;
    }
    depth = iframe_depth(f);
    PyObject *top = NULL;
    if (depth >= INTERP_ITERATOR_SLOTS) {
        top = islot_object(
            iframe_stackbase(f)[depth - INTERP_ITERATOR_SLOTS]);
    }
    if (top == NULL || (!PyGen_CheckExact(top) && !PyCoro_CheckExact(top))
        || ((PyGenObject *)top)->gi_frame_state >= FRAME_EXECUTING)
    {
        return NULL;
    }
    return (PyGenObject *)top;
}

/* How many generators one of a chain comes before in which each resumes the
 * next: all, or those before a circle.  To stand on the stack is enough to be
 * in the chain, so it may come back on itself. */
static Py_ssize_t
count_delegates(PyGenObject *gen)
{
    PyGenObject *g = gen, *seen = gen, *ahead = gen;
    Py_ssize_t count = 0, circle = 1;

    /* Brent's algorithm: one of ever longer stretches is compared with. */
    for (Py_ssize_t stretch = 1; (g = delegate_of(g)) != seen; circle++) {
        if (g == NULL) {
            return count;
        }
        count++;
        if (circle == stretch) {
            seen = g;
            stretch *= 2;
            circle = 0;
        }
    }
    while (circle-- > 0) {
        ahead = delegate_of(ahead);
    }
    for (count = 0; gen != ahead; count++) {
        gen = delegate_of(gen);
        ahead = delegate_of(ahead);
    }
    return count;
}

enum { STRIDE = 16, LEVELS = 15 };

/* Which of its delegates are the milestones of one: numbers counted from the
 * last, ascending.  Only one whose own number is a multiple of 16 has any:
 * those since the last multiple of 16 * 16, and that, which in turn has those
 * since the last of 16 * 16 * 16.  So one has a few, however long the chain,
 * and if it's where a pickler begins, these lead to all others. */
static int
choose_milestones(Py_ssize_t number, Py_ssize_t *chosen)
{
    Py_ssize_t step = STRIDE, from;
    int count = 0;

    if (number == 0 || number % STRIDE != 0) {
        return 0;
    }
    while (number % (step * STRIDE) == 0) {
        step *= STRIDE;
    }
    from = number - number % (step * STRIDE);
    if (from > 0) {
        chosen[count++] = from;
    }
    for (; step >= STRIDE; step /= STRIDE) {
        for (from += step; from < number; from += step) {
            chosen[count++] = from;
        }
        from -= step;
    }
    return count;
}

PyObject *
milestones_add(PyObject *state, PyGenObject *gen)
{
    Py_ssize_t number = count_delegates(gen), chosen[STRIDE * LEVELS];
    int count = choose_milestones(number, chosen);

    if (count == 0) {
        return state;
    }
    PyObject *stones = PyTuple_New(count);
    if (stones == NULL) {
        Py_DECREF(state);
        return NULL;
    }
    while (count > 0) {
        gen = delegate_of(gen);
        number--;
        if (number == chosen[count - 1]) {
            PyTuple_SET_ITEM(stones, --count, Py_NewRef(gen));
        }
    }
    return Py_BuildValue("(NN)", stones, state);
}

PyObject *
milestones_skip(PyObject *state)
{
    if (PyTuple_CheckExact(state) && PyTuple_GET_SIZE(state) == 2
        && PyTuple_CheckExact(PyTuple_GET_ITEM(state, 0)))
    {
        return PyTuple_GET_ITEM(state, 1);
    }
    return state;
}
