/* Clearing frames: what CPython does when it leaves a frame and doesn't
 * export. */
#include "clear.h"

/* The frame object goes on living alone: it gets a copy of the frame.  Its
 * f_back stays empty, because the callers are cleared too. */
static void
give_to_object(PyFrameObject *object, iframe *f)
{
    iframe *copy = (iframe *)object->_f_frame_data;

    assert(f->owner != FRAME_OWNED_BY_FRAME_OBJECT);
    iframe_keep(f);
    iframe_move(copy, f);
    copy->owner = FRAME_OWNED_BY_FRAME_OBJECT;
    copy->previous = NULL;
    object->f_frame = copy;
    if (!PyObject_GC_IsTracked((PyObject *)object)) {
        PyObject_GC_Track(object);
    }
}

void
iframe_clear(iframe *f, int keep_code)
{
    PyFrameObject *object = f->frame_obj;

    assert(iframe_used(f) >= 0);
    f->frame_obj = NULL;
    if (object != NULL && Py_REFCNT(object) > 1) {
        give_to_object(object, f);
        if (keep_code) {
            Py_INCREF(iframe_code(f));
        }
        Py_DECREF(object);
        return;
    }
    PyObject *locals = f->f_locals;
    int count = iframe_used(f);
    f->f_locals = NULL;
    iframe_set_used(f, 0);
    Py_XDECREF(object);
    while (--count >= 0) {
        islot s = f->localsplus[count];
        f->localsplus[count] = ISLOT_NULL;
        islot_close(s);
    }
    Py_XDECREF(locals);
    iframe_drop_executable(f, keep_code);
}

void
generator_clear(PyGenObject *gen)
{
    PyObject *exception = gen->gi_exc_state.exc_value;
    iframe *f = generator_iframe(gen);

    gen->gi_exc_state.exc_value = NULL;
    gen->gi_exc_state.previous_item = NULL;
    gen->gi_frame_state = FRAME_CLEARED;
    f->previous = NULL;
    iframe_clear(f, !INTERP_GENERATOR_HAS_CODE);
    Py_XDECREF(exception);
}
