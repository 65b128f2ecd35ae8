/* Clearing frames: what CPython does when it leaves a frame and doesn't
 * export. */
#include "clear.h"

/* The frame object goes on living alone: it gets a copy of the frame.  Its
 * f_back stays empty, because the callers are cleared too. */
static void
give_to_object(PyFrameObject *object, iframe *f)
{
    iframe *copy = (iframe *)object->_f_frame_data;
    size_t size = (char *)&f->localsplus[f->stacktop] - (char *)f;

    assert(f->owner != FRAME_OWNED_BY_FRAME_OBJECT);
    memcpy(copy, f, size);
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
    PyCodeObject *code = iframe_code(f);

    assert(f->stacktop >= 0);
    f->frame_obj = NULL;
    if (object != NULL && Py_REFCNT(object) > 1) {
        give_to_object(object, f);
        if (keep_code) {
            Py_INCREF(code);
        }
        Py_DECREF(object);
        return;
    }
    PyObject *function = iframe_function(f);
    PyObject *locals = f->f_locals;
    int count = f->stacktop;
    f->f_locals = NULL;
    f->stacktop = 0;
    Py_XDECREF(object);
    while (--count >= 0) {
        Py_CLEAR(f->localsplus[count]);
    }
    Py_XDECREF(locals);
    Py_XDECREF(function);
    if (!keep_code) {
        Py_DECREF(code);
    }
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
