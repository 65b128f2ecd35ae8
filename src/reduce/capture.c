/* Suspended frames to plain state: see state.h. */
#include "state.h"

#include "awaitables.h"
#include "errors.h"
#include "fiber/boundary.h"
#include "fiber/chain.h"
#include "fiber/soften.h"
#include "references.h"
#include "substitute.h"

static PyObject *set_generator;     /* what pickles name */

/* ---- why not ----------------------------------------------------------- */

/* Name of a callable for a message, such as "sorted()". New reference. */
static PyObject *
callable_name(PyObject *callable)
{
    if (PyCFunction_Check(callable)) {
        PyMethodDef *method = ((PyCFunctionObject *)callable)->m_ml;
        return PyUnicode_FromFormat("%s()", method->ml_name);
    }
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type)) {
        PyMethodDef *method = ((PyMethodDescrObject *)callable)->d_method;
        return PyUnicode_FromFormat(
            "%s.%s()", ((PyDescrObject *)callable)->d_type->tp_name,
            method->ml_name);
    }
    if (PyType_Check(callable)) {
        return PyUnicode_FromFormat("%s()",
                                    ((PyTypeObject *)callable)->tp_name);
    }
    return PyUnicode_FromFormat("a '%s' object", Py_TYPE(callable)->tp_name);
}

static int
dict_holds(PyObject *dict, PyObject *pointer)
{
    Py_ssize_t position = 0;
    PyObject *value;

    while (PyDict_Next(dict, &position, NULL, &value)) {
        if (value == pointer) {
            return 1;
        }
    }
    return 0;
}

/* Is it a method of one of the types in this dict? 1 or 0, or -1 with an
 * exception. */
static int
types_hold(PyObject *dict, PyObject *pointer)
{
    int found = 0;
    Py_ssize_t position = 0, i;
    PyObject *type;

    while (!found && PyDict_Next(dict, &position, NULL, &type)) {
        if (!PyType_Check(type) || PyType_HasFeature((PyTypeObject *)type,
                                                     Py_TPFLAGS_HEAPTYPE))
        {
            continue;
        }
        PyObject *names = PyObject_GetAttrString(type, "__dict__");
        PyObject *methods = names == NULL ? NULL : PyMapping_Values(names);
        Py_XDECREF(names);
        if (methods == NULL) {
            return -1;
        }
        for (i = 0; !found && i < PyList_GET_SIZE(methods); i++) {
            found = PyList_GET_ITEM(methods, i) == pointer;
        }
        Py_DECREF(methods);
    }
    return found;
}

/* Does anything hold the object, if it is one, that frame f may have dropped
 * already?  Looks where callables are: in the frame, modules and types. 1 or
 * 0, or -1 with an exception. */
static int
is_held(iframe *f, PyObject *pointer)
{
    PyObject *modules = PyImport_GetModuleDict(), *module;
    Py_ssize_t position = 0;

    for (int i = 0; i < iframe_code(f)->co_nlocalsplus; i++) {
        PyObject *value = islot_object(f->localsplus[i]);
        if (value != NULL && PyCell_Check(value)) {
            value = PyCell_GET(value);
        }
        if (value == pointer) {
            return 1;
        }
    }
    if ((f->f_locals != NULL && PyDict_CheckExact(f->f_locals)
         && dict_holds(f->f_locals, pointer))
        || dict_holds(f->f_globals, pointer)
        || (PyDict_Check(f->f_builtins)
            && dict_holds(f->f_builtins, pointer)))
    {
        return 1;
    }
    while (PyDict_Check(modules)
           && PyDict_Next(modules, &position, NULL, &module))
    {
        if (PyModule_Check(module)
            && dict_holds(PyModule_GetDict(module), pointer))
        {
            return 1;
        }
    }
    return types_hold(PyEval_GetBuiltins(), pointer);
}

/* What the pending instruction of a frame does, for a message.  If it is
 * dropping its operands, they are not looked at. New reference, or NULL with
 * an exception. */
static PyObject *
describe(iframe *f, iframe *inner, int dropping)
{
    chain_link link = {.frame = f};
    PyObject *callable = dropping ? NULL : chain_callable(f);

    if (callable != NULL) {
        int held = is_held(f, callable);
        if (held < 0) {
            return NULL;
        }
        if (!held) {
            callable = NULL;
        }
    }
    if (inner != NULL) {
        /* What is called without a call in the source. */
        PyObject *name = iframe_code(inner)->co_name;
        if (PyUnicode_CompareWithASCIIString(name, "__enter__") == 0) {
            return PyUnicode_FromString("entered a with statement");
        }
        if (PyUnicode_CompareWithASCIIString(name, "__exit__") == 0) {
            return PyUnicode_FromString("left a with statement");
        }
        if (PyUnicode_CompareWithASCIIString(name, "__init__") == 0) {
            return PyUnicode_FromString("made an object by a call");
        }
    }

    if (callable != NULL) {
        PyObject *name = callable_name(callable), *text = NULL;
        if (name != NULL) {
            text = PyUnicode_FromFormat("called %U", name);
            Py_DECREF(name);
        }
        return text;
    }
    if (chain_locate(&link) < 0) {
        return NULL;
    }
    if (INTERP_ENTERS_WITH(link.opcode)) {
        return PyUnicode_FromString("entered a with statement");
    }
    if (INTERP_IS_SUBSCRIPT(link.opcode, link.oparg)) {
        return PyUnicode_FromString("used a subscript");
    }
    switch (link.opcode) {
    case CALL:
    case CALL_FUNCTION_EX:
        return PyUnicode_FromString("called a function");
    case FOR_ITER:
        return PyUnicode_FromString("asked an iterator for its next item");
    case SEND:
        return PyUnicode_FromString("awaited or delegated to an iterator");
    case WITH_EXCEPT_START:
        return PyUnicode_FromString("left a with statement");
    case LOAD_ATTR:
    case STORE_ATTR:
        return PyUnicode_FromString("used an attribute");
    case STORE_SUBSCR:
        return PyUnicode_FromString("used a subscript");
    case IMPORT_NAME:
        return PyUnicode_FromString("imported a module");
    default:
        return PyUnicode_FromString("used an operator or a builtin "
                                    "operation");
    }
}

/* Raises NotPicklableError that says where a frame stands. Returns NULL. */
static PyObject *
refuse_frame(iframe *f, iframe *inner, int dropping)
{
    PyCodeObject *code = iframe_code(f);
    PyObject *what = describe(f, inner, dropping), *below = NULL;
    int unit = iframe_unit(f);

    below = inner == NULL
                ? PyUnicode_FromString("")
                : PyUnicode_FromFormat(" (which has called '%U')",
                                       iframe_code(inner)->co_qualname);
    if (what != NULL && below != NULL) {
        PyErr_Format(
            NotPicklableError,
            "cannot pickle this task: function '%U' (file \"%U\", line %d) "
            "%U, which runs C code%U whose state can't be saved; suspend the "
            "task outside of it, or do the same in Python", code->co_qualname,
            code->co_filename,
            PyCode_Addr2Line(code, unit * (int)sizeof(_Py_CODEUNIT)), what,
            below);
    }
    Py_XDECREF(what);
    Py_XDECREF(below);
    return NULL;
}

static PyObject *
refuse_chain(const chain *c)
{
    if (c->where != NULL) {
        iframe *where = chain_importer(c->where);
        return refuse_frame(where, c->inner,
                            c->dropping || where != c->where);
    }
    PyErr_SetString(NotPicklableError,
                    "cannot pickle this task: it began in C code; start it "
                    "with a Python function");
    return NULL;
}

/* ---- slots ------------------------------------------------------------- */

/* Which of the slots are empty. New reference, or NULL with an exception. */
static PyObject *
capture_nulls(const islot *slots, int count)
{
    if (count <= STATE_SMALL) {
        unsigned long long bits = 0;
        for (int i = 0; i < count; i++) {
            bits |= (unsigned long long)islot_is_null(slots[i]) << i;
        }
        return PyLong_FromUnsignedLongLong(bits);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (count + 7) / 8);
    if (bytes != NULL) {
        char *map = PyBytes_AS_STRING(bytes);
        memset(map, 0, (count + 7) / 8);
        for (int i = 0; i < count; i++) {
            if (islot_is_null(slots[i])) {
                map[i / 8] |= 1 << i % 8;
            }
        }
    }
    return bytes;
}

/* A list with what is to be pickled for each item. New reference, or NULL with
 * an exception. */
static PyObject *
capture_list(PyObject *list)
{
    PyObject *result = PyList_New(0);
    for (Py_ssize_t i = 0; result != NULL && i < PyList_GET_SIZE(list); i++) {
        PyObject *item = substitute_for(PyList_GET_ITEM(list, i));
        if (item == NULL || PyList_Append(result, item) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(item);
    }
    return result;
}

/* What is to be pickled for the value of a slot. New reference, or NULL with
 * an exception. */
static PyObject *
capture_value(iframe *f, int pc, int slot)
{
    PyObject *value = islot_object(f->localsplus[slot]);

    if (value == NULL) {
        return islot_value(f->localsplus[slot]);
    }
    if (slot >= iframe_code(f)->co_nlocalsplus && PyList_CheckExact(value)) {
        /* except* keeps a list that no program sees, of exceptions whose
         * relations count. */
        const analysis *a = analysis_get(iframe_code(f));
        const analysis_kinds *kinds = a == NULL ? NULL : analysis_slots(a, pc);
        if (a == NULL) {
            return NULL;
        }
        if (kinds != NULL && kinds[slot] & KIND_EXCEPTIONS) {
            return capture_list(value);
        }
    }
    return substitute_for(value);
}

/* Where a frame with that head stands. New reference, or NULL with an
 * exception. */
static PyObject *
capture_place(PyObject *head, PyCodeObject *code, int pc)
{
    return PyTuple_CheckExact(head) ? references_place(code, pc)
                                    : PyLong_FromLong(pc);
}

/* A frame's state behind `before` items of the caller's. `head` and `extra`
 * are stolen, and may be NULL with an exception; a head that is a tuple is a
 * reference. New reference, or NULL with an exception. */
static PyObject *
capture_frame(iframe *f, int pc, int kept, PyObject *head, PyObject *extra,
              int before)
{
    int slots = iframe_code(f)->co_nlocalsplus + kept, empty = 0;
    PyObject *nulls = NULL, *number = NULL, *state = NULL;

    if (head == NULL || extra == NULL) {
        goto error;
    }
    for (int i = 0; i < slots; i++) {
        empty += islot_is_null(f->localsplus[i]);
    }
    nulls = capture_nulls(f->localsplus, slots);
    number = capture_place(head, iframe_code(f), pc);
    if (nulls == NULL || number == NULL) {
        goto error;
    }
    state = PyTuple_New(before + FRAME_VALUES + slots - empty);
    if (state == NULL) {
        goto error;
    }
    PyTuple_SET_ITEM(state, before + FRAME_HEAD, Py_NewRef(head));
    PyTuple_SET_ITEM(state, before + FRAME_PC, Py_NewRef(number));
    PyTuple_SET_ITEM(state, before + FRAME_NULLS, Py_NewRef(nulls));
    PyTuple_SET_ITEM(state, before + FRAME_EXTRA, Py_NewRef(extra));
    int at = before + FRAME_VALUES;
    for (int i = 0; i < slots; i++) {
        if (!islot_is_null(f->localsplus[i])) {
            PyObject *value = capture_value(f, pc, i);
            if (value == NULL) {
                Py_CLEAR(state);
                goto error;
            }
            PyTuple_SET_ITEM(state, at++, value);
        }
    }

error:
    Py_XDECREF(head);
    Py_XDECREF(extra);
    Py_XDECREF(nulls);
    Py_XDECREF(number);
    return state;
}

/* Stands for code with these globals while references are made and used. */
static PyObject *
reference_key(PyCodeObject *code, PyObject *globals)
{
    return Py_BuildValue("KK", (unsigned long long)(uintptr_t)code,
                         (unsigned long long)(uintptr_t)globals);
}

/* The exception that is being handled, or None. New reference. */
static PyObject *
capture_exception(const _PyErr_StackItem *item)
{
    return substitute_for(item->exc_value == NULL ? Py_None
                                                  : item->exc_value);
}

/* What is found in `references`, or by value if that is NULL. */
static PyObject *
capture_head(PyCodeObject *code, PyObject *globals, PyObject *references)
{
    PyObject *key, *found;

    if (references == NULL) {
        return substitute_head((PyObject *)code, globals);
    }
    key = reference_key(code, globals);
    if (key == NULL) {
        return NULL;
    }
    found = Py_XNewRef(PyDict_GetItemWithError(references, key));
    if (found == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "can't save a task that runs meanwhile");
    }
    Py_DECREF(key);
    return found;
}

/* ---- a fiber ----------------------------------------------------------- */

/* May a frame be written down that waits in this instruction for the next
 * inner one (NULL: innermost)? The list of rebuild.c's check_pending(). */
static int
is_writable(const chain_link *link, const chain_link *inner)
{
    if (inner == NULL) {
        return link->opcode == CALL || link->opcode == CALL_FUNCTION_EX
               || link->opcode == INTERP_OP_CALL_KW
               || link->opcode == FOR_ITER;
    }
    if (link->how != PENDING_PUSH && link->how != PENDING_REPEAT) {
        return 1;
    }
    return boundary_takes_result(link->opcode, link->oparg,
                                 chain_code(inner));
}

/* A bridge in the place of C code. */
static PyObject *
capture_bridge(const chain_link *link, PyObject *references)
{
    const bridge *b = link->bridge;
    int locals = b->code->co_nlocalsplus, values = b->values;
    unsigned long long nulls = (1ull << locals) - (1ull << values);
    PyObject *head = capture_head(b->code, chain_globals(link), references);
    PyObject *state = NULL;

    assert(locals <= STATE_SMALL);
    if (head == NULL || (state = PyTuple_New(FRAME_VALUES + values)) == NULL) {
        Py_XDECREF(head);
        return NULL;
    }
    PyTuple_SET_ITEM(state, FRAME_HEAD, head);
    PyTuple_SET_ITEM(state, FRAME_PC, capture_place(head, b->code, b->pc));
    PyTuple_SET_ITEM(state, FRAME_NULLS, PyLong_FromUnsignedLongLong(nulls));
    PyTuple_SET_ITEM(state, FRAME_EXTRA,
                     link->generator == NULL
                         ? Py_NewRef(Py_None)
                         : PyTuple_Pack(2, link->generator, Py_None));
    for (int i = 0; i < values; i++) {
        PyTuple_SET_ITEM(state, FRAME_VALUES + i,
                         substitute_for(link->values[i]));
    }
    for (int i = 0; i < FRAME_VALUES + values; i++) {
        if (PyTuple_GET_ITEM(state, i) == NULL) {
            Py_DECREF(state);
            return NULL;
        }
    }
    return state;
}

static PyObject *
capture_link(const chain_link *link, PyObject *references)
{
    iframe *f = link->frame;
    PyObject *extra;

    if (link->bridge != NULL) {
        return capture_bridge(link, references);
    }
    if (iframe_is_generator(f)) {
        PyGenObject *gen = iframe_generator(f);
        extra = Py_BuildValue("(ON)", gen,
                              capture_exception(&gen->gi_exc_state));
    }
    else if (f->f_locals != NULL) {
        extra = substitute_for(f->f_locals);
    }
    else {
        extra = Py_NewRef(Py_None);
    }
    PyObject *state = capture_frame(
        f, link->pc, link->kept,
        capture_head(chain_code(link), f->f_globals, references), extra, 0);
    if (state != NULL && link->top != NULL) {
        PyObject *top = substitute_for(link->top);
        Py_ssize_t last = PyTuple_GET_SIZE(state) - 1;
        Py_SETREF(((PyTupleObject *)state)->ob_item[last], top);
        if (top == NULL) {
            Py_CLEAR(state);
        }
    }
    return state;
}

/* Walks a suspended fiber. 0, or -1 with an exception; chain_clear() is due in
 * any case. */
static int
walk(fiber *f, chain *c)
{
    assert(f->state == FIBER_PARKED || f->state == FIBER_SOFT);
    chain_result result = chain_walk(f, fiber_get_hooks(), 1, c);
    if (result == CHAIN_REFUSED) {
        refuse_chain(c);
    }
    return result == CHAIN_KNOWN ? 0 : -1;
}

/* The codes of a fiber's frames and their globals: a list of pairs, which
 * keeps them alive. New reference, or NULL with an exception. */
static PyObject *
list_codes(fiber *f)
{
    PyObject *codes = NULL;
    chain c;

    if (walk(f, &c) == 0) {
        codes = PyList_New(c.count);
    }
    for (int i = 0; codes != NULL && i < c.count; i++) {
        const chain_link *link = &c.links[i];
        PyObject *pair = PyTuple_Pack(2, (PyObject *)chain_code(link),
                                      chain_globals(link));
        if (pair == NULL) {
            Py_CLEAR(codes);
            break;
        }
        PyList_SET_ITEM(codes, i, pair);
    }
    chain_clear(&c);
    return codes;
}

/* A dict of references to such codes. Runs Python code. New reference, or NULL
 * with an exception. */
static PyObject *
refer_to(PyObject *codes)
{
    PyObject *references = PyDict_New();

    for (Py_ssize_t i = 0;
         references != NULL && i < PyList_GET_SIZE(codes); i++)
    {
        PyObject *pair = PyList_GET_ITEM(codes, i), *reference = NULL;
        PyCodeObject *code = (PyCodeObject *)PyTuple_GET_ITEM(pair, 0);
        PyObject *globals = PyTuple_GET_ITEM(pair, 1);
        PyObject *key = reference_key(code, globals);
        int known = key == NULL ? -1 : PyDict_Contains(references, key);
        if (known == 0) {
            reference = references_make(code, globals);
        }
        if (known < 0
            || (known == 0
                && (reference == NULL
                    || PyDict_SetItem(references, key, reference) < 0)))
        {
            Py_CLEAR(references);
        }
        Py_XDECREF(key);
        Py_XDECREF(reference);
    }
    return references;
}

static PyObject *
write_fiber(fiber *f, PyObject *references)
{
    PyObject *state = NULL, *format = NULL;
    chain c;

    if (walk(f, &c) < 0) {
        goto error;
    }
    for (int i = 0; i < c.count; i++) {
        const chain_link *link = &c.links[i];
        const chain_link *inner = i == 0 ? NULL : link - 1;
        if (!is_writable(link, inner)) {
            int shown = inner != NULL && inner->bridge == NULL;
            refuse_frame(link->frame, shown ? inner->frame : NULL, 1);
            goto error;
        }
    }
    format = PyLong_FromLong(STATE_FORMAT);
    state = PyTuple_New(FIBER_FRAMES + c.count);
    if (format == NULL || state == NULL) {
        Py_CLEAR(state);
        goto error;
    }
    PyTuple_SET_ITEM(state, FIBER_FORMAT, Py_NewRef(format));
    PyTuple_SET_ITEM(state, FIBER_EXCEPTION, capture_exception(&f->exc));
    for (int i = 0; i < c.count; i++) {
        PyObject *frame = capture_link(&c.links[i], references);
        if (frame == NULL) {
            Py_CLEAR(state);
            goto error;
        }
        PyTuple_SET_ITEM(state, FIBER_FRAMES + i, frame);
    }

error:
    Py_XDECREF(format);
    chain_clear(&c);
    return state;
}

PyObject *
capture_fiber(fiber *f, int by_reference)
{
    PyObject *codes = NULL, *references = NULL, *state = NULL;
    int collects = 0;

    if (by_reference) {
        /* To refer runs Python code: before anything is read. */
        codes = list_codes(f);
        references = codes == NULL ? NULL : refer_to(codes);
        if (references == NULL) {
            goto error;
        }
        if (f->state != FIBER_PARKED && f->state != FIBER_SOFT) {
            PyErr_SetString(PyExc_RuntimeError,
                            "can't save a task that runs meanwhile");
            goto error;
        }
    }
    /* The frames are read in place: no finaliser may resume the fiber. */
    collects = PyGC_Disable();
    state = write_fiber(f, references);
    if (collects) {
        PyGC_Enable();
    }

error:
    Py_XDECREF(references);
    Py_XDECREF(codes);
    return state;
}

/* ---- a generator ------------------------------------------------------- */

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

/* Of a long chain of delegating generators every 16th, innermost first.  The
 * pickler recurses from each to the next; what it has met before ends that.
 * New reference to a tuple, or NULL with an exception. */
static PyObject *
milestones(PyGenObject *gen)
{
    enum { STRIDE = 16 };
    Py_ssize_t length = 0, limit = 1 << 20, count;

    for (PyGenObject *g = delegate_of(gen); g != NULL && length < limit;
         g = delegate_of(g))
    {
        length++;
    }
    count = length / STRIDE;
    PyObject *result = PyTuple_New(count);
    PyGenObject *g = gen;
    for (Py_ssize_t left = length; result != NULL && left > 0; left--) {
        g = delegate_of(g);
        if (left % STRIDE == 0) {
            PyTuple_SET_ITEM(result, left / STRIDE - 1, Py_NewRef(g));
        }
    }
    return result;
}

/* What _new_generator needs: (head[, name, qualname[, milestones]]). Steals
 * the head; `named` says whether that tells the generator's names. */
static PyObject *
generator_arguments(PyGenObject *gen, PyObject *head, int named)
{
    PyCodeObject *code = generator_code(gen);
    PyObject *stones, *result;

    if (head == NULL) {
        return NULL;
    }
    stones = milestones(gen);
    if (stones == NULL) {
        Py_DECREF(head);
        return NULL;
    }
    if (PyTuple_GET_SIZE(stones) > 0) {
        return Py_BuildValue("(NOON)", head, gen->gi_name, gen->gi_qualname,
                             stones);
    }
    if (named && gen->gi_name == code->co_name
        && gen->gi_qualname == code->co_qualname)
    {
        result = Py_BuildValue("(N)", head);
    }
    else {
        result = Py_BuildValue("(NOO)", head, gen->gi_name, gen->gi_qualname);
    }
    Py_DECREF(stones);
    return result;
}

/* A generator that is suspended on its own. */
static PyObject *
capture_suspended(PyGenObject *gen, PyObject *reference)
{
    PyObject *arguments = NULL, *state = NULL, *format = NULL, *result = NULL;
    iframe *f = generator_iframe(gen);
    chain_link link = {.frame = f};

    const analysis *a = analysis_get(generator_code(gen));
    if (a == NULL) {
        return NULL;
    }
    link.pc = analysis_start(a, generator_pending_unit(iframe_unit(f)));
    link.kept = analysis_kept(a, link.pc);
    if (link.kept < 0 || link.kept != iframe_depth(f)) {
        PyErr_Format(NotPicklableError, "cannot pickle generator '%U': it "
                     "stands where no generator can be suspended",
                     gen->gi_qualname);
        return NULL;
    }
    PyObject *head = reference != NULL ? Py_NewRef(reference)
                                       : capture_head(iframe_code(f),
                                                      f->f_globals, NULL);
    arguments = generator_arguments(gen, Py_XNewRef(head), 1);
    state = capture_frame(f, link.pc, link.kept, head,
                          capture_exception(&gen->gi_exc_state),
                          GENERATOR_FRAME);
    format = PyLong_FromLong(STATE_FORMAT);
    if (arguments != NULL && state != NULL && format != NULL) {
        PyTuple_SET_ITEM(state, GENERATOR_FORMAT, Py_NewRef(format));
        result = Py_BuildValue("NOOOOO", awaitables_maker(gen), arguments,
                               state, Py_None, Py_None, set_generator);
    }
    Py_XDECREF(arguments);
    Py_XDECREF(state);
    Py_XDECREF(format);
    return result;
}

static PyObject *
write_generator(PyObject *object, PyObject *reference)
{
    PyGenObject *gen = (PyGenObject *)object;
    PyObject *head;
    int named = 1;

    if (gen->gi_frame_state < FRAME_EXECUTING) {
        return capture_suspended(gen, reference);
    }
    if (reference != NULL) {
        /* One that has ended has the reference to another's code. */
        head = Py_NewRef(reference);
        named = gen->gi_frame_state == FRAME_EXECUTING;
    }
    else if (gen->gi_frame_state == FRAME_EXECUTING) {
        iframe *f = generator_iframe(gen);
        head = capture_head(iframe_code(f), f->f_globals, NULL);
    }
    else {
        head = substitute_for((PyObject *)generator_code(gen));
    }
    PyObject *arguments = generator_arguments(gen, head, named);
    if (arguments == NULL) {
        return NULL;
    }
    return Py_BuildValue("NN", awaitables_maker(gen), arguments);
}

/* A reference to the code of a generator. Runs Python code. New reference, or
 * NULL with an exception. */
static PyObject *
refer_generator(PyGenObject *gen)
{
    PyObject *code = Py_NewRef(generator_code(gen)), *globals = NULL;
    const bridge *b = bridge_of((PyCodeObject *)code);

    if (gen->gi_frame_state <= FRAME_EXECUTING) {
        globals = Py_NewRef(generator_iframe(gen)->f_globals);
    }
    else if (b != NULL) {
        /* It is empty, but a fiber will fill it. */
        globals = Py_NewRef(PyFunction_GET_GLOBALS(b->function));
    }
    PyObject *reference = references_make((PyCodeObject *)code, globals);
    Py_DECREF(code);
    Py_XDECREF(globals);
    return reference;
}

PyObject *
capture_generator(PyObject *object, int by_reference)
{
    PyObject *reference = NULL, *result;
    int collects;

    if (by_reference) {
        reference = refer_generator((PyGenObject *)object);
        if (reference == NULL) {
            return NULL;
        }
    }
    /* As in capture_fiber(). */
    collects = PyGC_Disable();
    result = write_generator(object, reference);
    if (collects) {
        PyGC_Enable();
    }
    Py_XDECREF(reference);
    return result;
}

/* ---- functions of the module ------------------------------------------- */

static PyObject *
reduce_generator(PyObject *gen, int by_reference)
{
    if (!PyGen_CheckExact(gen) && !PyCoro_CheckExact(gen)
        && !PyAsyncGen_CheckExact(gen))
    {
        PyErr_Format(PyExc_TypeError, "expected a generator, not %.200s",
                     Py_TYPE(gen)->tp_name);
        return NULL;
    }
    return capture_generator(gen, by_reference);
}

static PyObject *
core_reduce_generator(PyObject *module, PyObject *gen)
{
    return reduce_generator(gen, 0);
}

static PyObject *
core_refer_generator(PyObject *module, PyObject *gen)
{
    return reduce_generator(gen, 1);
}

static PyObject *
core_set_generator(PyObject *module, PyObject *args)
{
    PyObject *gen, *state;
    if (!PyArg_ParseTuple(args, "OO", &gen, &state)
        || rebuild_generator(gen, state) < 0)
    {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"_reduce_generator", core_reduce_generator, METH_O,
     PyDoc_STR("Reducer of generators and coroutines.")},
    {"_refer_generator", core_refer_generator, METH_O,
     PyDoc_STR("The same with their code by reference.")},
    {"_set_generator", core_set_generator, METH_VARARGS,
     PyDoc_STR("Suspends an empty generator in a saved state.")},
    {NULL},
};

static const fiber_pickling pickling = {
    .capture = capture_fiber,
    .rebuild = rebuild_fiber,
    .substitute = substitute_for,
};

int
state_setup(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    set_generator = PyObject_GetAttrString(module, "_set_generator");
    fiber_set_pickling(&pickling);
    return set_generator == NULL ? -1 : 0;
}
