/* Where pickletask works: see supported.h. */
#include "supported.h"

/* ---- where things are --------------------------------------------------- */

static int
refuse_layout(const char *what)
{
    PyErr_Format(PyExc_ImportError,
                 "this pickletask was compiled with the headers of CPython "
                 "%d.%d.%d, and %s is elsewhere in %.50s: compile it again "
                 "for this Python", PY_MAJOR_VERSION, PY_MINOR_VERSION,
                 PY_MICRO_VERSION, what, Py_GetVersion());
    return -1;
}

#if INTERP_HAS_C_LIMITS
Py_ssize_t interp_c_limits_offset;

/* Finds the limits of the C stack near where the headers have them: micro
 * releases differ.  They are the only three words there that describe the
 * stack on which this function runs. */
static int
find_c_limits(PyThreadState *ts)
{
    const Py_ssize_t expected = offsetof(_PyThreadStateImpl, c_stack_top);
    const uintptr_t here = (uintptr_t)&expected;
    int found = 0;

    for (Py_ssize_t shift = -128; shift <= 128; shift += sizeof(uintptr_t)) {
        interp_c_limits l;
        memcpy(&l, (char *)ts + expected + shift, sizeof(l));
        if (l.hard < l.soft && l.soft < here && here < l.top
            && l.soft - l.hard == _PyOS_STACK_MARGIN_BYTES)
        {
            interp_c_limits_offset = expected + shift;
            found++;
        }
    }
    return found == 1 ? 0 : refuse_layout("the limit of the C stack");
}
#else
static int
find_c_limits(PyThreadState *ts)
{
    return 0;
}
#endif

/* Are the parts of the thread state that we use where the headers say?
 * Compared is what CPython's functions tell. */
static int
check_thread_state(PyThreadState *ts)
{
    PyObject *dict = PyThreadState_GetDict();
    PyFrameObject *frame = PyEval_GetFrame();
    iframe *f = interp_current(ts);
    _PyStackChunk *chunk = ts->datastack_chunk;

    if (ts->interp != PyInterpreterState_Get()
        || ts->id != PyThreadState_GetID(ts)
        || ts->dict != dict
        || interp_recursion_limit(ts) != Py_GetRecursionLimit())
    {
        return refuse_layout("the state of a thread");
    }
    if (frame == NULL) {
        return 0;   /* no Python code has run in this thread */
    }
    if (chunk == NULL || ts->datastack_top < chunk->data
        || ts->datastack_top > ts->datastack_limit
        || (char *)ts->datastack_limit != (char *)chunk + chunk->size)
    {
        return refuse_layout("the stack of frames");
    }
    while (f != NULL && f->frame_obj != frame) {
        f = f->previous;
    }
    PyCodeObject *code = PyFrame_GetCode(frame);
    Py_DECREF(code);
    if (f == NULL || f != frame->f_frame || iframe_code(f) != code
        || iframe_unit(f) * (int)sizeof(_Py_CODEUNIT)
               != PyFrame_GetLasti(frame))
    {
        return refuse_layout("a frame");
    }
    return 0;
}

/* The same for objects, whose sizes are known. */
static int
check_objects(void)
{
    if (PyGen_Type.tp_basicsize
            != (Py_ssize_t)(offsetof(PyGenObject, gi_iframe)
                            + offsetof(iframe, localsplus))
        || PyFrame_Type.tp_basicsize
               != (Py_ssize_t)(offsetof(PyFrameObject, _f_frame_data)
                               + offsetof(iframe, localsplus))
        || PyFunction_Type.tp_basicsize != sizeof(PyFunctionObject)
        || PyCode_Type.tp_basicsize
               != (Py_ssize_t)offsetof(PyCodeObject, co_code_adaptive))
    {
        return refuse_layout("a part of an object");
    }
    return 0;
}

/* ---- the interpreter ---------------------------------------------------- */

int
interp_is_main(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
        return 0;
    }
    PyErr_SetString(PyExc_ImportError,
                    "pickletask can't be used in a subinterpreter: import it "
                    "in the main interpreter");
    return -1;
}

int
interp_supported(void)
{
    int minor = (int)(Py_Version >> 16 & 0xff);

    if (minor != INTERP_MINOR) {
        PyErr_Format(PyExc_ImportError,
                     "this pickletask was built for CPython 3.%d and can't be "
                     "used in 3.%d: install it again for this Python",
                     INTERP_MINOR, minor);
        return -1;
    }
#ifdef Py_GIL_DISABLED
    PyErr_SetString(PyExc_ImportError,
                    "pickletask does not support free-threaded builds of "
                    "CPython: use a build with the GIL");
    return -1;
#endif
    if (interp_is_main() < 0) {
        return -1;
    }
    PyThreadState *ts = PyThreadState_Get();
    if (check_objects() < 0 || check_thread_state(ts) < 0
        || find_c_limits(ts) < 0)
    {
        return -1;
    }
    return 0;
}
