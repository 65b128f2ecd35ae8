/* Code objects by value: see codes.h. */
#include "codes.h"

#include <marshal.h>

#include "errors.h"

#define DIGEST_SIZE 16

/* What a code object carries. */
typedef struct {
    PyObject *packed;       /* owned: (tag, digest, data), or NULL */
    PyObject *head;         /* borrowed: clears itself when it goes */
    PyObject *function;     /* owned: weak reference to a shared function */
    PyObject *digest;       /* owned: of references to the code, or NULL */
} code_entry;

static Py_ssize_t extra_index = -1;
static PyObject *the_tag;       /* str */
static PyObject *blake2b;       /* hashlib.blake2b, once it's needed */
static PyObject *interned;      /* dict: digest -> weak reference to code */

/* ---- entries ---------------------------------------------------------- */

static void
entry_free(void *pointer)
{
    code_entry *entry = pointer;
    if (entry != NULL) {
        Py_XDECREF(entry->packed);
        Py_XDECREF(entry->function);
        Py_XDECREF(entry->digest);
        PyMem_Free(entry);
    }
}

/* The code's entry, made if need be. NULL with an exception. */
static code_entry *
entry_get(PyCodeObject *code)
{
    code_entry *entry = interp_extra_get(code, extra_index);
    if (entry != NULL) {
        return entry;
    }
    entry = PyMem_Calloc(1, sizeof(*entry));
    if (entry == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (interp_extra_set(code, extra_index, entry) < 0) {
        PyMem_Free(entry);
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        return NULL;
    }
    return entry;
}

PyObject **
codes_head(PyCodeObject *code)
{
    code_entry *entry = entry_get(code);
    return entry == NULL ? NULL : &entry->head;
}

PyObject **
codes_digest(PyCodeObject *code)
{
    code_entry *entry = entry_get(code);
    return entry == NULL ? NULL : &entry->digest;
}

/* ---- packing ---------------------------------------------------------- */

/* Hash of the marshalled code. New reference, or NULL with an exception. */
static PyObject *
digest_of(PyObject *data)
{
    PyObject *hash, *digest;

    if (blake2b == NULL) {
        PyObject *hashlib = PyImport_ImportModule("hashlib");
        if (hashlib == NULL) {
            return NULL;
        }
        blake2b = PyObject_GetAttrString(hashlib, "blake2b");
        Py_DECREF(hashlib);
        if (blake2b == NULL) {
            return NULL;
        }
    }
    PyObject *args = PyTuple_Pack(1, data);
    PyObject *kwargs = Py_BuildValue("{s:i}", "digest_size", DIGEST_SIZE);
    hash = args && kwargs ? PyObject_Call(blake2b, args, kwargs) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    if (hash == NULL) {
        return NULL;
    }
    digest = PyObject_CallMethod(hash, "digest", NULL);
    Py_DECREF(hash);
    return digest;
}

/* zlib.<name>(data). New reference; NULL with an exception, which is
 * ImportError where Python was built without zlib. */
static PyObject *
call_zlib(const char *name, PyObject *data)
{
    PyObject *result, *zlib = PyImport_ImportModule("zlib");
    if (zlib == NULL) {
        return NULL;
    }
    result = PyObject_CallMethod(zlib, name, "O", data);
    Py_DECREF(zlib);
    if (result != NULL && !PyBytes_Check(result)) {
        PyErr_SetString(PyExc_TypeError, "zlib must return bytes");
        Py_CLEAR(result);
    }
    return result;
}

/* The data, compressed if that makes it smaller. Steals the data, which may be
 * NULL with an exception. */
static PyObject *
compress(PyObject *data)
{
    if (data == NULL) {
        return NULL;
    }
    PyObject *small = call_zlib("compress", data);
    if (small != NULL && PyBytes_GET_SIZE(small) < PyBytes_GET_SIZE(data)) {
        Py_DECREF(data);
        return small;
    }
    Py_XDECREF(small);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError)) {
            Py_CLEAR(data);
            return NULL;
        }
        PyErr_Clear();
    }
    return data;
}

PyObject *
codes_pack(PyCodeObject *code)
{
    code_entry *entry = entry_get(code);
    PyObject *data = NULL, *digest = NULL, *packed = NULL;

    if (entry == NULL) {
        return NULL;
    }
    if (entry->packed != NULL) {
        return Py_NewRef(entry->packed);
    }
    data = compress(PyMarshal_WriteObjectToString((PyObject *)code,
                                                  Py_MARSHAL_VERSION));
    if (data == NULL) {
        goto error;
    }
    digest = digest_of(data);
    if (digest == NULL) {
        goto error;
    }
    packed = PyTuple_Pack(3, the_tag, digest, data);
    if (packed != NULL) {
        Py_XSETREF(entry->packed, Py_NewRef(packed));
    }

error:
    Py_XDECREF(data);
    Py_XDECREF(digest);
    return packed;
}

/* ---- interning -------------------------------------------------------- */

/* Called with the weak reference when an interned code object goes; self is
 * its digest. */
static PyObject *
forget(PyObject *digest, PyObject *reference)
{
    PyObject *now = PyDict_GetItemWithError(interned, digest);
    if (now != NULL && PyTuple_GET_ITEM(now, 0) == reference
        && PyDict_DelItem(interned, digest) < 0)
    {
        return NULL;
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef forget_method = {"forget", forget, METH_O, NULL};

/* 0, or -1 with an exception. */
static int
intern(PyObject *digest, PyObject *data, PyCodeObject *code)
{
    int status = -1;
    PyObject *reference = NULL, *item = NULL;
    PyObject *callback = PyCFunction_New(&forget_method, digest);

    if (callback == NULL) {
        return -1;
    }
    reference = PyWeakref_NewRef((PyObject *)code, callback);
    if (reference != NULL) {
        item = PyTuple_Pack(2, reference, data);
    }
    if (item != NULL) {
        status = PyDict_SetItem(interned, digest, item);
    }
    Py_DECREF(callback);
    Py_XDECREF(reference);
    Py_XDECREF(item);
    return status;
}

/* New reference to the interned code with this digest and data, or NULL,
 * with an exception if one is set.  A digest alone is a claim: the data must
 * be the same, too. */
static PyCodeObject *
find_interned(PyObject *digest, PyObject *data)
{
    PyObject *item = PyDict_GetItemWithError(interned, digest);
    if (item == NULL
        || PyObject_RichCompareBool(PyTuple_GET_ITEM(item, 1), data, Py_EQ)
               != 1)
    {
        return NULL;
    }
    return (PyCodeObject *)interp_weakref_get(PyTuple_GET_ITEM(item, 0));
}

/* ---- loading ---------------------------------------------------------- */

/* Drops the exception that is set, if one is, unless memory is lacking. */
static void
clear_unless_memory(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
    }
}

PyObject *
codes_resolve(PyObject *dict, PyObject *qualname)
{
    const char *name = PyUnicode_AsUTF8(qualname);
    PyObject *found = NULL;

    if (name != NULL && *name != '<' && strchr(name, '.') == NULL) {
        found = Py_XNewRef(PyDict_GetItemWithError(dict, qualname));
        name = NULL;
    }
    while (name != NULL && *name != '\0') {
        const char *dot = strchr(name, '.');
        size_t length = dot ? (size_t)(dot - name) : strlen(name);
        PyObject *part = PyUnicode_FromStringAndSize(name, length);
        if (part == NULL || *name == '<') {
            Py_CLEAR(found);
            Py_XDECREF(part);
            break;
        }
        PyObject *next = NULL;
        if (found == NULL) {
            next = Py_XNewRef(PyDict_GetItemWithError(dict, part));
        }
        else if (PyType_Check(found)) {
            /* Only what stands in the class itself: no descriptor runs. */
            PyObject *space = ((PyTypeObject *)found)->tp_dict;
            if (space != NULL) {
                next = Py_XNewRef(PyDict_GetItemWithError(space, part));
            }
        }
        Py_DECREF(part);
        Py_XSETREF(found, next);
        if (found == NULL) {
            break;
        }
        name += length + (dot != NULL);
    }
    clear_unless_memory();
    return found;
}

/* The plain function behind a static or class method. Steals, returns a new
 * reference, or NULL, with an exception if memory is lacking. */
static PyObject *
plain_function(PyObject *found)
{
    if (found != NULL && !PyFunction_Check(found)) {
        PyObject *function = NULL;
        if (Py_IS_TYPE(found, &PyStaticMethod_Type)
            || Py_IS_TYPE(found, &PyClassMethod_Type))
        {
            function = PyObject_GetAttrString(found, "__func__");
            if (function == NULL) {
                clear_unless_memory();
            }
        }
        Py_SETREF(found, function);
        if (found != NULL && !PyFunction_Check(found)) {
            Py_CLEAR(found);
        }
    }
    return found;
}

/* The object that is marshalled in data. New reference, or NULL with an
 * exception. */
static PyObject *
read_data(PyObject *data)
{
    PyObject *plain, *object;

    /* How zlib's streams begin, and no marshalled code does. */
    plain = PyBytes_AS_STRING(data)[0] == 0x78 ? call_zlib("decompress", data)
                                               : Py_NewRef(data);
    if (plain == NULL) {
        return NULL;
    }
    object = PyMarshal_ReadObjectFromString(PyBytes_AS_STRING(plain),
                                            PyBytes_GET_SIZE(plain));
    Py_DECREF(plain);
    return object;
}

/* The code in data, or the equal one of a function in `home`. */
static PyCodeObject *
unmarshal(PyObject *data, PyObject *home)
{
    PyObject *code = read_data(data);
    if (code == NULL && (PyErr_ExceptionMatches(PyExc_ImportError)
                         || PyErr_ExceptionMatches(PyExc_MemoryError)))
    {
        return NULL;
    }
    if (code == NULL || !PyCode_Check(code)) {
        Py_XDECREF(code);
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: its code is damaged");
        return NULL;
    }
    PyObject *function = NULL;
    if (home != NULL) {
        function = plain_function(
            codes_resolve(home, ((PyCodeObject *)code)->co_qualname));
    }
    if (function == NULL && PyErr_Occurred()) {
        Py_CLEAR(code);
    }
    if (function != NULL) {
        PyObject *own = PyFunction_GET_CODE(function);
        if (PyObject_RichCompareBool(code, own, Py_EQ) == 1) {
            Py_SETREF(code, Py_NewRef(own));
        }
        PyErr_Clear();
        Py_DECREF(function);
    }
    return (PyCodeObject *)code;
}

PyCodeObject *
codes_load(PyObject *tag, PyObject *digest, PyObject *data, PyObject *home)
{
    if (!PyUnicode_Check(tag) || !PyBytes_Check(digest)
        || !PyBytes_Check(data))
    {
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: its code is not one that "
                        "pickletask has saved");
        return NULL;
    }
    if (PyUnicode_Compare(tag, the_tag) != 0) {
        PyErr_Format(VersionMismatchError,
                     "can't restore a task here: it was saved by %U, and "
                     "this is %U; frames of one minor version of Python mean "
                     "nothing to another", tag, the_tag);
        return NULL;
    }
    PyCodeObject *code = find_interned(digest, data);
    if (code != NULL || PyErr_Occurred()) {
        return code;
    }
    PyObject *true_digest = digest_of(data);
    if (true_digest == NULL) {
        return NULL;
    }
    int same = PyObject_RichCompareBool(digest, true_digest, Py_EQ);
    Py_DECREF(true_digest);
    if (same <= 0) {
        if (same == 0) {
            PyErr_SetString(CorruptStateError,
                            "can't restore a task: its code and the digest "
                            "of its code don't match");
        }
        return NULL;
    }
    code = unmarshal(data, home);
    if (code != NULL && intern(digest, data, code) < 0) {
        Py_CLEAR(code);
    }
    return code;
}

PyObject *
codes_function(PyCodeObject *code, PyObject *globals)
{
    code_entry *entry = entry_get(code);
    PyObject *function = NULL;

    if (entry == NULL) {
        return NULL;
    }
    if (entry->function != NULL) {
        function = interp_weakref_get(entry->function);
        if (function != NULL && PyFunction_GET_GLOBALS(function) == globals
            && PyFunction_GET_CODE(function) == (PyObject *)code)
        {
            return function;
        }
        Py_XDECREF(function);
    }
    function = plain_function(codes_resolve(globals, code->co_qualname));
    if (function == NULL && PyErr_Occurred()) {
        return NULL;
    }
    if (function == NULL || PyFunction_GET_CODE(function) != (PyObject *)code
        || PyFunction_GET_GLOBALS(function) != globals)
    {
        Py_XSETREF(function, PyFunction_New((PyObject *)code, globals));
        if (function == NULL) {
            return NULL;
        }
    }
    PyObject *reference = PyWeakref_NewRef(function, NULL);
    if (reference == NULL) {
        Py_DECREF(function);
        return NULL;
    }
    Py_XSETREF(entry->function, reference);
    return function;
}

/* ---- setup ------------------------------------------------------------ */

int
codes_setup(PyObject *module)
{
    PyObject *implementation = PySys_GetObject("implementation");

    if (implementation == NULL) {
        PyErr_SetString(PyExc_ImportError,
                        "pickletask: sys.implementation is missing");
        return -1;
    }
    the_tag = PyObject_GetAttrString(implementation, "cache_tag");
    interned = PyDict_New();
    extra_index = interp_extra_index(entry_free);
    if (the_tag == NULL || interned == NULL) {
        return -1;
    }
    if (!PyUnicode_Check(the_tag)) {
        Py_SETREF(the_tag, PyUnicode_FromFormat("cpython-3%d",
                                                INTERP_MINOR));
    }
    if (extra_index < 0) {
        PyErr_SetString(PyExc_ImportError,
                        "pickletask: code objects have no room for extra "
                        "data");
        return -1;
    }
    return the_tag == NULL ? -1 : 0;
}
