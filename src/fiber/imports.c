/* Imports under way: see imports.h. */
#include "imports.h"

#include "boundary.h"
#include "crossing.h"
#include "distance.h"
#include "interp/clear.h"

/* The code of importlib's other functions.  Owned; of those that a version
 * doesn't have NULL. */
static struct {
    PyCodeObject *execute, *find_unlocked, *find, *find_parents,
        *gcd_import, *submodules, *import;
} known;

imports_telling_codes imports_codes;

static PyTypeObject *spec_type;     /* owned */
static PyObject *spec_string, *initializing_string;     /* owned */
static PyObject *taken_type;        /* of pickletask/_bridges.py. Owned */

/* ---- frames of importlib ----------------------------------------------- */

typedef struct {
    chain *c;
    interp_loop *loop;
    int writes;
} walk;

static iframe *
next_outer(iframe *f)
{
    iframe *outer = f->previous;
    return outer != NULL && iframe_is_marker(outer) ? outer->previous : outer;
}

/* Is that the code of the frame, which is none between two loops? */
static int
runs(iframe *f, PyCodeObject *code)
{
    return f != NULL && code != NULL && !iframe_is_marker(f)
           && iframe_code(f) == code;
}

/* A local variable of a frame. Borrowed, or NULL. */
static PyObject *
variable(iframe *f, const char *name)
{
    PyCodeObject *code = iframe_code(f);

    for (int i = 0; i < code->co_nlocalsplus; i++) {
        PyObject *local = PyTuple_GET_ITEM(code->co_localsplusnames, i);
        if (PyUnicode_CompareWithASCIIString(local, name) == 0) {
            return islot_object(f->localsplus[i]);
        }
    }
    return NULL;
}

/* ---- walking ------------------------------------------------------------ */

static int
is_distance(walk *w, iframe *inner, iframe *outer, int way)
{
    distance d = distance_between(w->loop, inner, outer);
    return distance_is_known(way, &d);
}

/* The frame that has called `f`, if it has this code: in the same loop, as all
 * calls are but where each function gets a loop of its own.  NULL if there's
 * none. */
static iframe *
caller(walk *w, iframe *f, PyCodeObject *code)
{
    iframe *outer = f == NULL ? NULL : next_outer(f);

    if (!runs(outer, code)) {
        return NULL;
    }
    if (!iframe_is_entry(f)) {
        return outer;
    }
    distance d = distance_between(w->loop, f, outer);
    int known_way = distance_is_known(CALL, &d)
                    || (INTERP_OP_CALL_KW >= 0
                        && distance_is_known(INTERP_OP_CALL_KW, &d));
    return known_way ? outer : NULL;
}

/* The outermost of frames with the same code that have called each other. */
static iframe *
outermost(walk *w, iframe *f)
{
    iframe *outer = f;

    while ((outer = caller(w, outer, iframe_code(outer))) != NULL) {
        f = outer;
    }
    return f;
}

/* A bridge in the place of frames that hold what a C stack holds. NULL with an
 * exception if there's no memory. */
static chain_link *
append_bridge(walk *w, bridge_kind kind)
{
    chain_link *link = chain_append_bridge(w->c, NULL, kind);
    if (link != NULL) {
        link->held = 1;
    }
    return link;
}

/* Does `call` run the code of a module, which is inner's? */
static int
executes(walk *w, iframe *call, iframe *inner)
{
    PyObject *args = variable(call, "args");

    return iframe_is_entry(inner)
           && is_distance(w, inner, call, DISTANCE_EXEC_SPREAD)
           && inner->f_locals != NULL
           && !(iframe_code(inner)->co_flags & CO_OPTIMIZED)
           && crossing_c_function(variable(call, "f"))
                  == crossing_functions.exec
           && args != NULL && PyTuple_CheckExact(args)
           && PyTuple_GET_SIZE(args) > 0
           && PyTuple_GET_ITEM(args, 0) == (PyObject *)iframe_code(inner);
}

/* A loader of somebody else's has called that of importlib. */
static chain_result
walk_loader(walk *w, iframe *execute)
{
    iframe *outer = next_outer(execute);

    if (outer == NULL || chain_importer(outer) != outer) {
        return chain_refuse(w->c, execute);
    }
    if (append_bridge(w, BRIDGE_NOTHING) == NULL) {
        return CHAIN_FAILED;
    }
    /* Where each function gets a loop of its own, C code has called it. */
    return iframe_is_entry(execute)
               ? boundary_walk(w->c, outer, execute, w->loop, w->writes)
               : chain_append_waiting(w->c, outer, execute);
}

/* What the bridge is to know of the module. 0, or -1 with an exception. */
static int
take_module(chain_link *link, iframe *loading, PyObject *name)
{
    PyObject *taken = link->values[0] = PyObject_CallNoArgs(taken_type);

    return taken == NULL
                   || PyObject_SetAttrString(taken, "name", name) < 0
                   || PyObject_SetAttrString(taken, "module",
                                             variable(loading, "module")) < 0
                   || PyObject_SetAttrString(taken, "spec",
                                             variable(loading, "spec")) < 0
               ? -1
               : 0;
}

/* What importlib has yet to do with the module.  *find is set to its outermost
 * frame for it. */
static chain_result
walk_loading(walk *w, iframe *loading, iframe **find)
{
    iframe *f = caller(w, caller(w, loading, known.find_unlocked), known.find);
    PyObject *module = variable(loading, "module");

    if (f == NULL || module == NULL || !PyModule_CheckExact(module)
        || variable(loading, "spec") == NULL)
    {
        return chain_refuse(w->c, loading);
    }
    PyObject *name = variable(f, "name");
    if (name == NULL || !PyUnicode_CheckExact(name)) {
        return chain_refuse(w->c, loading);
    }
    chain_link *link = append_bridge(w, BRIDGE_IMPORTING);
    if (link == NULL || (w->writes && take_module(link, loading, name) < 0)) {
        return CHAIN_FAILED;
    }
    *find = outermost(w, f);
    return CHAIN_KNOWN;
}

/* Arguments of __import__(). Borrowed. */
typedef struct {
    PyObject *name, *from, *level;
} import_parts;

/* What is imported by a pending call of __import__(). 0 if it is none. */
static int
call_parts(const crossing *x, import_parts *parts)
{
    enum { NAME, GLOBALS, LOCALS, FROM, LEVEL, PARAMETERS };
    static const char *const names[PARAMETERS] = {"name", "globals", "locals",
                                                  "fromlist", "level"};
    PyObject *keywords, *found[PARAMETERS] = {NULL};
    islot *first;
    int count;
    PyObject *callable = crossing_call_parts(x, &first, &count, &keywords);

    if (crossing_c_function(callable) != crossing_functions.import
        || count > PARAMETERS)
    {
        return 0;
    }
    for (int i = 0; i < count; i++) {
        found[i] = islot_object(first[i]);
    }
    for (Py_ssize_t k = 0;
         keywords != NULL && k < PyTuple_GET_SIZE(keywords); k++)
    {
        for (int i = 0; i < PARAMETERS; i++) {
            if (PyUnicode_CompareWithASCIIString(
                    PyTuple_GET_ITEM(keywords, k), names[i]) == 0)
            {
                found[i] = islot_object(first[count + k]);
            }
        }
    }
    *parts = (import_parts){found[NAME], found[FROM], found[LEVEL]};
    return 1;
}

/* The name that importlib looks for, and what else the C code was asked for.
 * 0, or -1 with an exception. */
static int
take_import(chain_link *link, const import_parts *parts, PyObject *name)
{
    link->values[0] = Py_NewRef(parts->name);
    link->values[1] = Py_NewRef(parts->from == NULL ? Py_None : parts->from);
    link->values[2] = parts->level == NULL ? PyLong_FromLong(0)
                                           : Py_NewRef(parts->level);
    link->values[3] = Py_NewRef(name);
    return link->values[2] == NULL ? -1 : 0;
}

/* The C code of an import has called `inner`, which importlib begins with:
 * `find` for the module that is asked for, or what sees to its submodules. */
static chain_result
walk_statement(walk *w, iframe *outer, iframe *inner)
{
    int finds = runs(inner, known.find);
    chain_link link = {.frame = outer, .how = PENDING_PUSH, .held = 1};
    crossing x = {.link = &link, .inner = inner, .writes = w->writes};
    import_parts parts = {NULL, NULL, NULL};
    const analysis *a;
    int way, ok;

    if (outer == NULL || iframe_is_interpreters(outer)) {
        return chain_refuse(w->c, inner);
    }
    if (chain_locate(&link) < 0
        || (a = analysis_get(iframe_code(outer))) == NULL)
    {
        return CHAIN_FAILED;
    }
    link.depth = analysis_depth(a, link.pc);
    link.kept = analysis_kept(a, link.pc);
    if (link.kept < 0 || link.depth < link.kept || chain_is_waiting(&link, a))
    {
        return chain_refuse(w->c, inner);
    }
    x.top = iframe_stackbase(outer) + link.depth;
    if (link.opcode == IMPORT_NAME) {
        way = finds ? DISTANCE_IMPORT : DISTANCE_FROM;
        ok = is_distance(w, inner, outer, way);
        parts.name = PyTuple_GET_ITEM(iframe_code(outer)->co_names,
                                      INTERP_IMPORTED(link.oparg));
        parts.from = islot_object(x.top[-1]);
        parts.level = islot_object(x.top[-2]);
    }
    else {
        way = finds ? DISTANCE_IMPORT_CALL : DISTANCE_FROM_CALL;
        ok = is_distance(w, inner, outer, way) && call_parts(&x, &parts);
    }
    ok = ok && parts.name != NULL && PyUnicode_CheckExact(parts.name)
         && (parts.level == NULL || PyLong_CheckExact(parts.level));
    if (!ok) {
        return chain_refuse(w->c, inner);
    }
    if (finds) {
        chain_link *bridge = append_bridge(w, BRIDGE_IMPORTED);
        if (bridge == NULL
            || (w->writes
                && take_import(bridge, &parts, variable(inner, "name")) < 0))
        {
            return CHAIN_FAILED;
        }
    }
    chain_link *place = chain_append(w->c, outer);
    if (place == NULL) {
        return CHAIN_FAILED;
    }
    *place = link;
    return CHAIN_KNOWN;
}

/* `inner` was called by C code, or in the same loop by a frame that is none of
 * importlib's, or by one that has an ordinary place in the chain. */
static chain_result
walk_caller(walk *w, iframe *inner)
{
    iframe *outer = next_outer(inner);

    if (!iframe_is_entry(inner)) {
        return chain_append_waiting(w->c, outer, inner);
    }
    return runs(outer, known.import)
               ? boundary_walk(w->c, outer, inner, w->loop, w->writes)
               : walk_statement(w, outer, inner);
}

/* importlib has called what imports another module, by way of `call`: the
 * package of a module, or one of those after "from package import".  *find is
 * set to the frame for the module of this package, or to NULL if the walk is
 * done. */
static chain_result
walk_nested(walk *w, iframe *call, iframe **find)
{
    iframe *f = caller(w, call, known.submodules);
    chain_link *link;

    *find = NULL;
    if (f != NULL) {
        PyObject *name = variable(f, "from_name");
        f = outermost(w, f);
        link = append_bridge(w, BRIDGE_SUBMODULES);
        if (link == NULL) {
            return CHAIN_FAILED;
        }
        if (name == NULL || variable(f, "module") == NULL
            || variable(f, "fromlist") == NULL)
        {
            return chain_refuse(w->c, f);
        }
        if (w->writes) {
            link->values[0] = Py_NewRef(variable(f, "module"));
            link->values[1] = Py_NewRef(variable(f, "fromlist"));
            link->values[2] = Py_NewRef(name);
        }
        return walk_caller(w, f);
    }
    f = caller(w, call, known.find_unlocked);
    if (f == NULL) {
        f = caller(w, call, known.find_parents);
    }
    f = caller(w, f, known.find);
    if (f == NULL || variable(f, "name") == NULL) {
        return chain_refuse(w->c, call);
    }
    link = append_bridge(w, BRIDGE_INSIDE);
    if (link == NULL) {
        return CHAIN_FAILED;
    }
    if (w->writes) {
        link->values[0] = Py_NewRef(variable(f, "name"));
    }
    *find = outermost(w, f);
    return CHAIN_KNOWN;
}

/* Outside of the frame that finds a module and loads it.  *find as above. */
static chain_result
walk_finding(walk *w, iframe **find)
{
    iframe *f = *find, *outer = next_outer(f);
    iframe *gcd_import = caller(w, f, known.gcd_import);

    *find = NULL;
    if (gcd_import == NULL && iframe_is_entry(f)) {
        if (!runs(outer, imports_codes.call)) {
            return walk_statement(w, outer, f);
        }
        if (!is_distance(w, f, outer, DISTANCE_IMPORT_SPREAD)
            || crossing_c_function(variable(outer, "f"))
                   != crossing_functions.import)
        {
            return chain_refuse(w->c, outer);
        }
        return walk_nested(w, outer, find);
    }
    if (gcd_import == NULL) {
        return walk_caller(w, f);
    }
    f = gcd_import;
    outer = next_outer(f);
    if (runs(outer, imports_codes.call)) {
        if (iframe_is_entry(f) && !is_distance(w, f, outer, DISTANCE_SPREAD)) {
            return chain_refuse(w->c, outer);
        }
        return walk_nested(w, outer, find);
    }
    return iframe_is_entry(f)
               ? boundary_walk(w->c, outer, f, w->loop, w->writes)
               : walk_caller(w, f);
}

chain_result
imports_walk(chain *c, iframe *outer, iframe *inner, interp_loop *loop,
             int writes)
{
    walk w = {c, loop, writes};
    iframe *find = NULL, *loading, *execute;

    if (runs(outer, imports_codes.load)) {
        loading = caller(&w, inner, imports_codes.load);
    }
    else {
        execute = executes(&w, outer, inner)
                      ? caller(&w, outer, known.execute)
                      : NULL;
        loading = caller(&w, execute, imports_codes.load);
        if (loading == NULL && execute != NULL) {
            return walk_loader(&w, execute);
        }
    }
    if (loading == NULL) {
        return chain_refuse(c, outer);
    }
    chain_result result = walk_loading(&w, loading, &find);
    while (result == CHAIN_KNOWN && find != NULL) {
        result = walk_finding(&w, &find);
    }
    return result;
}

/* ---- arriving ----------------------------------------------------------- */

/* What the link's bridge imports. Borrowed, or NULL. */
static PyObject *
imported_by(const chain_link *link)
{
    if (!imports_is_owner(chain_code(link))) {
        return NULL;
    }
    return link->bridge != NULL ? link->values[0]
                                : islot_object(link->frame->localsplus[0]);
}

chain_result
imports_enter(chain *c)
{
    PyObject *modules = NULL;
    int count = 0;

    for (int i = 0; i < c->count; i++) {
        count += imported_by(&c->links[i]) != NULL;
    }
    if (count == 0
        || chain_code(&c->links[0]) == bridge_get(BRIDGE_ENTERING)->code)
    {
        return CHAIN_KNOWN;
    }
    modules = PyTuple_New(count);
    chain_link *last = modules == NULL ? NULL
                                       : chain_append_bridge(c, NULL,
                                                             BRIDGE_ENTERING);
    if (last == NULL) {
        Py_XDECREF(modules);
        return CHAIN_FAILED;
    }
    /* The outermost import began first. */
    for (int i = 0; i < c->count; i++) {
        PyObject *module = imported_by(&c->links[i]);
        if (module != NULL) {
            PyTuple_SET_ITEM(modules, --count, Py_NewRef(module));
        }
    }
    chain_link first = *last;
    memmove(c->links + 1, c->links, (c->count - 1) * sizeof(chain_link));
    first.values[0] = modules;
    c->links[0] = first;
    return CHAIN_KNOWN;
}

/* ---- modules in flight -------------------------------------------------- */

/* Does one of these frames, the innermost of which is f, run the code of the
 * module with this dict? */
static int
frames_run(iframe *f, PyObject *dict)
{
    for (; f != NULL; f = f->previous) {
        if (!iframe_is_interpreters(f)
            && f->f_globals == dict && f->f_locals == dict)
        {
            return 1;
        }
    }
    return 0;
}

/* Does code of the module run that can't be saved: in a running task of any
 * thread, or in the main one of this? */
static int
is_running(PyObject *dict)
{
    PyThreadState *ts = PyThreadState_Get();
    fiber_thread *t = fiber_thread_get();

    if (t == NULL) {
        PyErr_Clear();
    }
    else if (t->main.state == FIBER_PARKED
             && frames_run(interp_saved_frame(&t->main.saved->interp), dict))
    {
        return 1;
    }
    for (ts = PyInterpreterState_ThreadHead(ts->interp); ts != NULL;
         ts = PyThreadState_Next(ts))
    {
        if (frames_run(interp_current(ts), dict)) {
            return 1;
        }
    }
    return 0;
}

int
imports_is_under_way(PyObject *dict)
{
    PyObject *spec = PyDict_GetItem(dict, spec_string);
    if (spec == NULL || !Py_IS_TYPE(spec, spec_type)) {
        return 0;
    }
    PyObject *value = PyObject_GetAttr(spec, initializing_string);
    if (value == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_DECREF(value);
    return value == Py_True;
}

int
imports_is_suspended(PyObject *module)
{
    return PyModule_CheckExact(module)
           && imports_is_under_way(PyModule_GetDict(module))
           && !is_running(PyModule_GetDict(module));
}

static PyObject *
core_is_being_imported(PyObject *module, PyObject *other)
{
    return PyBool_FromLong(imports_is_suspended(other));
}

static PyMethodDef functions[] = {
    {"_is_being_imported", core_is_being_imported, METH_O,
     PyDoc_STR("Is a suspended task in the middle of importing the module?")},
    {NULL},
};

/* ---- measuring ---------------------------------------------------------- */

int
imports_probe(void)
{
    PyThreadState *ts = PyThreadState_Get();
    interp_loop loop = interp_current_loop(ts);
    chain_link link;

    for (iframe *f = interp_current(ts), *outer = next_outer(f);
         outer != NULL && !iframe_is_marker(outer);
         f = outer, outer = next_outer(f))
    {
        if (!iframe_is_entry(f)) {
            continue;
        }
        distance d = distance_between(&loop, f, outer);
        int finds = runs(f, known.find);
        int nested = runs(outer, imports_codes.call);
        if (!finds && !runs(f, known.submodules)) {
            continue;
        }
        link = (chain_link){.frame = outer};
        if (chain_locate(&link) < 0) {
            return -1;
        }
        int statement = link.opcode == IMPORT_NAME;
        distance_note(nested      ? DISTANCE_IMPORT_SPREAD
                      : finds     ? statement ? DISTANCE_IMPORT
                                              : DISTANCE_IMPORT_CALL
                      : statement ? DISTANCE_FROM
                                  : DISTANCE_FROM_CALL,
                      &d);
        if (!nested) {
            break;
        }
    }
    return 0;
}

/* ---- setup -------------------------------------------------------------- */

/* The code of a function of importlib, in *code; it may lack. 0, or -1 with an
 * exception. */
static int
take_code(PyObject *owner, const char *name, PyCodeObject **code)
{
    PyObject *function = PyObject_GetAttrString(owner, name);
    if (function == NULL) {
        return -1;
    }
    if (PyFunction_Check(function)) {
        *code = (PyCodeObject *)Py_NewRef(PyFunction_GET_CODE(function));
    }
    Py_DECREF(function);
    return 0;
}

int
imports_setup(PyObject *module)
{
    PyObject *bootstrap = PyImport_ImportModule("_frozen_importlib");
    PyObject *external = PyImport_ImportModule("_frozen_importlib_external");
    PyObject *bridges = PyImport_ImportModule("pickletask._bridges");
    PyObject *basics = NULL, *type = NULL;
    int status = -1;

    spec_string = PyUnicode_InternFromString("__spec__");
    initializing_string = PyUnicode_InternFromString("_initializing");
    if (bootstrap == NULL || external == NULL || bridges == NULL
        || spec_string == NULL || initializing_string == NULL
        || PyModule_AddFunctions(module, functions) < 0)
    {
        goto error;
    }
    type = PyObject_GetAttrString(bootstrap, "ModuleSpec");
    basics = PyObject_GetAttrString(external, "_LoaderBasics");
    taken_type = PyObject_GetAttrString(bridges, "TakenImport");
    if (type == NULL || basics == NULL || taken_type == NULL
        || take_code(bootstrap, "_call_with_frames_removed",
                     &imports_codes.call) < 0
        || take_code(bootstrap, "_load_unlocked", &imports_codes.load) < 0
        || take_code(bootstrap, "_find_and_load_unlocked",
                     &known.find_unlocked) < 0
        || take_code(bootstrap, "_find_and_load", &known.find) < 0
        || take_code(bootstrap, "_gcd_import", &known.gcd_import) < 0
        || take_code(bootstrap, "_handle_fromlist", &known.submodules) < 0
        || take_code(bootstrap, "__import__", &known.import) < 0
        || take_code(basics, "exec_module", &known.execute) < 0)
    {
        goto error;
    }
    spec_type = (PyTypeObject *)Py_NewRef(type);
    if (take_code(bootstrap, "_resolve_parents", &known.find_parents) < 0) {
        PyErr_Clear();
    }
    imports_codes.importing = bridge_get(BRIDGE_IMPORTING)->code;
    status = 0;

error:
    Py_XDECREF(bootstrap);
    Py_XDECREF(external);
    Py_XDECREF(bridges);
    Py_XDECREF(basics);
    Py_XDECREF(type);
    return status;
}
