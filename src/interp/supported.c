/* Where pickletask works: see supported.h. */
#include "supported.h"

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
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "pickletask can't be used in a subinterpreter: "
                        "import it in the main interpreter");
        return -1;
    }
    return 0;
}
