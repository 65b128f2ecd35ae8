/* Code objects by value: see codes.h. */
#include "codes.h"

#include <marshal.h>

#include "errors.h"

/* What packed code begins with: the minor version of Python, plus COMPRESSED,
 * and a digest of the rest.  The digest finds damage that happens: whoever
 * writes a pickle can write a digest, so that a longer one would be no safer.
 * That of format 2 stands by itself. */
enum { DIGEST_SIZE = 8, HEADER_SIZE = 1 + DIGEST_SIZE, OLD_DIGEST_SIZE = 16 };
enum { COMPRESSED = 0x80 };

/* What a code object carries. */
typedef struct {
    PyObject *packed;       /* owned: bytes, or NULL */
    PyObject *head;         /* borrowed: clears itself when it goes */
    PyObject *function;     /* owned: weak reference to a shared function */
    PyObject *digest;       /* owned: of references to the code, or NULL */
    PyObject *state;        /* owned: bytes of a state, or NULL */
} code_entry;

static Py_ssize_t extra_index = -1;
static PyObject *the_tag;       /* str */
static PyObject *blake2b;       /* hashlib.blake2b, once it's needed */
/* dict: digest -> (weak reference to code, data).  The digest is an int, or
 * the bytes of format 2. */
static PyObject *interned;

/* ---- entries ---------------------------------------------------------- */

static void
entry_free(void *pointer)
{
    code_entry *entry = pointer;
    if (entry != NULL) {
        Py_XDECREF(entry->packed);
        Py_XDECREF(entry->function);
        Py_XDECREF(entry->digest);
        Py_XDECREF(entry->state);
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

PyObject **
codes_state(PyCodeObject *code)
{
    code_entry *entry = entry_get(code);
    return entry == NULL ? NULL : &entry->state;
}

/* ---- packing ---------------------------------------------------------- */

/* Hash of marshalled code. New reference to bytes, or NULL with an
 * exception. */
static PyObject *
digest_of(PyObject *data, int size)
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
    PyObject *kwargs = Py_BuildValue("{s:i}", "digest_size", size);
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

/* Arguments of zlib: the window of a stream without a header and a checksum,
 * and the level. */
enum { RAW_DEFLATE = -15, BEST = 9 };

/* What compressed code may refer back to: names that are common in tasks, and
 * how marshalled code begins and what else is common in it.  Part of the
 * format: it never changes. */
static const char common[] =
    "\xda\x05value\xda\x06result\xda\x04item\xda\x05items\xda\x04name"
    "\xda\x04self\xda\x05range\xda\x06" "append\xda\x08schedule"
    "\xda\x0fschedule_remove\xda\x07receive\xda\x04send\xda\npickletask"
    "\xda\x08<lambda>\xda\x04<locals>.site-packages/.py\xda"
    "\x00)\x00\x00\x00\x00\xa9\x00\x00N)\x01N\xe9\x01\x00\x00\x00)\x02N"
    "\xe9\x00\x00\x00\x00\xf3\xe3\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x03\x00\x00\x00\x03\x00\x00\x00\xf3";

static PyObject *dictionary;    /* bytes with that. Owned */
static PyObject *memory_error;  /* what messages of zlib.error have. Owned */

/* Calls a method, with data unless that is NULL. An object that is NULL, with
 * an exception, is passed on. New reference to bytes, or NULL with an
 * exception. */
static PyObject *
call_for_bytes(PyObject *object, const char *name, PyObject *data)
{
    PyObject *result = NULL;

    if (object != NULL) {
        result = PyObject_CallMethod(object, name, data == NULL ? NULL : "O",
                                     data);
    }
    if (result != NULL && !PyBytes_Check(result)) {
        PyErr_SetString(PyExc_TypeError, "zlib must return bytes");
        Py_CLEAR(result);
    }
    return result;
}

/* The data deflated. New reference; NULL with an exception, which is
 * ImportError where Python was built without zlib. */
static PyObject *
deflate(PyObject *data)
{
    PyObject *compressor, *body, *zlib = PyImport_ImportModule("zlib");

    if (zlib == NULL) {
        return NULL;
    }
    /* Level, method, window, memory, strategy. */
    compressor = PyObject_CallMethod(zlib, "compressobj", "iiiiiO", BEST, 8,
                                     RAW_DEFLATE, BEST, 0, dictionary);
    Py_DECREF(zlib);
    body = call_for_bytes(compressor, "compress", data);
    if (body != NULL) {
        PyObject *rest = call_for_bytes(compressor, "flush", NULL);
        if (rest == NULL) {
            Py_CLEAR(body);
        }
        else {
            PyBytes_ConcatAndDel(&body, rest);
        }
    }
    Py_XDECREF(compressor);
    return body;
}

/* Raises MemoryError in place of zlib's own error if that stands for it: its
 * objects tell by the number of zlib's Z_MEM_ERROR only. */
static void
tell_memory(void)
{
    PyObject *type, *value, *traceback, *text;

    PyErr_Fetch(&type, &value, &traceback);
    text = value == NULL ? NULL : PyObject_Str(value);
    PyErr_Clear();
    if (text == NULL
        || PyUnicode_Find(text, memory_error, 0, PY_SSIZE_T_MAX, 1) >= 0)
    {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        PyErr_NoMemory();
    }
    else {
        PyErr_Restore(type, value, traceback);
    }
    Py_XDECREF(text);
}

/* What was deflated; or, of format 2, compressed. New reference, or NULL with
 * an exception. */
static PyObject *
inflate(PyObject *data, int old)
{
    PyObject *decompressor, *plain, *zlib = PyImport_ImportModule("zlib");

    if (zlib == NULL) {
        return NULL;
    }
    decompressor = old ? PyObject_CallMethod(zlib, "decompressobj", NULL)
                       : PyObject_CallMethod(zlib, "decompressobj", "iO",
                                             RAW_DEFLATE, dictionary);
    Py_DECREF(zlib);
    plain = call_for_bytes(decompressor, "decompress", data);
    if (plain == NULL) {
        tell_memory();
    }
    Py_XDECREF(decompressor);
    return plain;
}

/* The data, compressed if that makes it smaller. Steals the data, which may be
 * NULL with an exception. */
static PyObject *
compress(PyObject *data, int *compressed)
{
    if (data == NULL) {
        return NULL;
    }
    PyObject *small = deflate(data);
    if (small != NULL && PyBytes_GET_SIZE(small) < PyBytes_GET_SIZE(data)) {
        *compressed = 1;
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
    int compressed = 0;

    if (entry == NULL) {
        return NULL;
    }
    if (entry->packed != NULL) {
        return Py_NewRef(entry->packed);
    }
    data = compress(PyMarshal_WriteObjectToString((PyObject *)code,
                                                  Py_MARSHAL_VERSION),
                    &compressed);
    if (data == NULL) {
        goto error;
    }
    digest = digest_of(data, DIGEST_SIZE);
    if (digest == NULL) {
        goto error;
    }
    packed = PyBytes_FromFormat("%c", INTERP_MINOR
                                          | (compressed ? COMPRESSED : 0));
    PyBytes_Concat(&packed, digest);
    PyBytes_Concat(&packed, data);
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

/* The object that is marshalled in data, which may be compressed. New
 * reference, or NULL with an exception. */
static PyObject *
read_data(PyObject *data, int compressed, int old)
{
    PyObject *plain, *object;

    plain = compressed ? inflate(data, old) : Py_NewRef(data);
    if (plain == NULL) {
        return NULL;
    }
    object = PyMarshal_ReadObjectFromString(PyBytes_AS_STRING(plain),
                                            PyBytes_GET_SIZE(plain));
    Py_DECREF(plain);
    return object;
}

/* The code that was read, or the equal one of a function in `home`. Steals the
 * code, which may be NULL with an exception. */
static PyCodeObject *
at_home(PyObject *code, PyObject *home)
{
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

static void
refuse_code(void)
{
    PyErr_SetString(CorruptStateError,
                    "can't restore a task: its code is not one that "
                    "pickletask has saved");
}

/* Raises VersionMismatchError. Steals the tag, which may be NULL with an
 * exception. */
static void
refuse_tag(PyObject *tag)
{
    if (tag != NULL) {
        PyErr_Format(VersionMismatchError,
                     "can't restore a task here: it was saved by %U, and "
                     "this is %U; frames of one minor version of Python mean "
                     "nothing to another", tag, the_tag);
        Py_DECREF(tag);
    }
}

/* 1 if the digest is that of the data; else 0 with an exception. */
static int
check_digest(const char *digest, PyObject *data, int size)
{
    PyObject *now = digest_of(data, size);
    if (now == NULL) {
        return 0;
    }
    int same = memcmp(PyBytes_AS_STRING(now), digest, size) == 0;
    Py_DECREF(now);
    if (!same) {
        PyErr_SetString(CorruptStateError,
                        "can't restore a task: its code and the digest of "
                        "its code don't match");
    }
    return same;
}

/* Steals the code, which may be NULL with an exception. */
static PyCodeObject *
interned_as(PyCodeObject *code, PyObject *key, PyObject *data)
{
    if (code != NULL && intern(key, data, code) < 0) {
        Py_CLEAR(code);
    }
    return code;
}

/* New code. `key` is that of the interned. */
static PyCodeObject *
load_new(PyObject *packed, PyObject *key, PyObject *home)
{
    PyCodeObject *code = NULL;
    const char *bytes = PyBytes_AS_STRING(packed);
    PyObject *data = PyBytes_FromStringAndSize(
        bytes + HEADER_SIZE, PyBytes_GET_SIZE(packed) - HEADER_SIZE);

    if (data != NULL && check_digest(bytes + 1, data, DIGEST_SIZE)) {
        code = at_home(read_data(data, (bytes[0] & COMPRESSED) != 0, 0),
                       home);
    }
    Py_XDECREF(data);
    return interned_as(code, key, packed);
}

PyCodeObject *
codes_load(PyObject *packed, PyObject *home)
{
    unsigned long long digest;

    if (!PyBytes_CheckExact(packed) || PyBytes_GET_SIZE(packed) <= HEADER_SIZE)
    {
        refuse_code();
        return NULL;
    }
    int minor = (unsigned char)PyBytes_AS_STRING(packed)[0] & ~COMPRESSED;
    if (minor != INTERP_MINOR) {
        refuse_tag(PyUnicode_FromFormat("cpython-3%d", minor));
        return NULL;
    }
    memcpy(&digest, PyBytes_AS_STRING(packed) + 1, DIGEST_SIZE);
    PyObject *key = PyLong_FromUnsignedLongLong(digest);
    if (key == NULL) {
        return NULL;
    }
    PyCodeObject *code = find_interned(key, packed);
    if (code == NULL && !PyErr_Occurred()) {
        code = load_new(packed, key, home);
    }
    Py_DECREF(key);
    return code;
}

PyCodeObject *
codes_load_old(PyObject *tag, PyObject *digest, PyObject *data, PyObject *home)
{
    if (!PyUnicode_Check(tag) || !PyBytes_CheckExact(digest)
        || PyBytes_GET_SIZE(digest) != OLD_DIGEST_SIZE
        || !PyBytes_CheckExact(data))
    {
        refuse_code();
        return NULL;
    }
    if (PyUnicode_Compare(tag, the_tag) != 0) {
        refuse_tag(Py_NewRef(tag));
        return NULL;
    }
    PyCodeObject *code = find_interned(digest, data);
    if (code != NULL || PyErr_Occurred()
        || !check_digest(PyBytes_AS_STRING(digest), data, OLD_DIGEST_SIZE))
    {
        return code;
    }
    /* How zlib's streams begin, and no marshalled code does. */
    int compressed = PyBytes_AS_STRING(data)[0] == 0x78;
    code = at_home(read_data(data, compressed, 1), home);
    return interned_as(code, digest, data);
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
    dictionary = PyBytes_FromStringAndSize(common, sizeof(common) - 1);
    memory_error = PyUnicode_FromString("Error -4 ");
    extra_index = interp_extra_index(entry_free);
    if (the_tag == NULL || interned == NULL || dictionary == NULL
        || memory_error == NULL
        || PyModule_AddObjectRef(module, "_DICTIONARY", dictionary) < 0)
    {
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
