/* Crossing boundaries: see boundary.h. */
#include "boundary.h"

#include "crossing.h"

/* The inner frame is a function's. 1 if the boundary can be crossed, 0 if not,
 * -1 with an exception if there's no memory. */
static int
cross_function(crossing *x)
{
    int opcode = x->link->opcode, oparg = x->link->oparg;

    if (opcode == INTERP_OP_ENTER) {
        return crossing_enter(x);
    }
    if (INTERP_IS_SUBSCRIPT(opcode, oparg)) {
        return crossing_subscript(x);
    }
    if (opcode == INTERP_OP_SLICE) {
        return crossing_method(x, 3, crossing_names.getitem, BRIDGE_NONE, 0);
    }
    if (INTERP_IS_POSITIVE(opcode, oparg)) {
        return crossing_method(x, 1, crossing_names.pos, BRIDGE_NONE, 0);
    }
    if (opcode == INTERP_OP_TO_BOOL) {
        return crossing_method(x, 1, crossing_names.boolean, BRIDGE_TRUTH, 0);
    }
    if (opcode == INTERP_OP_CALL_KW) {
        return crossing_call(x);
    }
    if (opcode == INTERP_OP_LOAD_METHOD) {
        return crossing_attribute(x);
    }
    if (opcode == INTERP_OP_SUPER) {
        return crossing_super(x);
    }
    if (opcode == INTERP_OP_STORE_SLICE) {
        return crossing_method(x, 3, crossing_names.setitem, BRIDGE_NONE, 0);
    }
    if (opcode == INTERP_OP_FORMAT) {
        return INTERP_OP_CONVERT < 0
                   ? crossing_format(x, oparg & 3, (oparg & 4) != 0)
                   : crossing_format(x, 0, 0);
    }
    if (opcode == INTERP_OP_FORMAT_SPEC) {
        return crossing_format(x, 0, 1);
    }
    if (opcode == INTERP_OP_CONVERT) {
        return crossing_format(x, oparg, 0);
    }
    switch (opcode) {
    case CALL:
    case CALL_FUNCTION_EX:
        return crossing_call(x);
    case FOR_ITER:
        return crossing_step(x);
    case WITH_EXCEPT_START:
        return crossing_leave(x);
    case LOAD_ATTR:
        return crossing_attribute(x);
    case STORE_ATTR:
    case DELETE_ATTR:
        return crossing_store(x, opcode == DELETE_ATTR);
    case STORE_SUBSCR:
        return crossing_method(x, 2, crossing_names.setitem, BRIDGE_NONE, 0);
    case DELETE_SUBSCR:
        return crossing_method(x, 2, crossing_names.delitem, BRIDGE_NONE, 0);
    case STORE_NAME:
        return crossing_name(x);
    case BINARY_OP:
        return crossing_operation(x);
    case COMPARE_OP:
        return crossing_comparison(x);
    case CONTAINS_OP:
        return crossing_method(x, 1, crossing_names.contains,
                               BRIDGE_MEMBERSHIP, oparg);
    case UNARY_NEGATIVE:
        return crossing_method(x, 1, crossing_names.neg, BRIDGE_NONE, 0);
    case UNARY_INVERT:
        return crossing_method(x, 1, crossing_names.invert, BRIDGE_NONE, 0);
    case UNARY_NOT:
        return crossing_method(x, 1, crossing_names.boolean, BRIDGE_TRUTH, 1);
    case GET_ITER:
        return crossing_method(x, 1, crossing_names.iter, BRIDGE_ITERATOR, 0);
    default:
        return 0;
    }
}

int
boundary_takes_result(int opcode, int oparg, PyCodeObject *inner)
{
    if (opcode == INTERP_OP_TO_BOOL) {
        return inner == bridge_get(BRIDGE_TRUTH)->code;
    }
    if (opcode == INTERP_OP_FORMAT || opcode == INTERP_OP_FORMAT_SPEC
        || opcode == INTERP_OP_CONVERT)
    {
        return inner == bridge_get(BRIDGE_CONVERSION)->code;
    }
    switch (opcode) {
    case CALL:
    case CALL_FUNCTION_EX:
    case WITH_EXCEPT_START:
    case BINARY_OP:
    case UNARY_NEGATIVE:
    case UNARY_INVERT:
    case LOAD_ATTR:
    case IMPORT_NAME:
        return 1;
    case COMPARE_OP:
        return !INTERP_COMPARES_TO_BOOL(oparg)
               || inner == bridge_get(BRIDGE_CONDITION)->code;
    case CONTAINS_OP:
        return inner == bridge_get(BRIDGE_MEMBERSHIP)->code;
    case UNARY_NOT:
        return inner == bridge_get(BRIDGE_TRUTH)->code;
    case GET_ITER:
        return inner == bridge_get(BRIDGE_ITERATOR)->code;
    case SEND:
        return inner == bridge_get(BRIDGE_CLOSING)->code;
    default:
        return opcode == INTERP_OP_CALL_KW || opcode == INTERP_OP_ENTER
               || opcode == INTERP_OP_SLICE || opcode == INTERP_OP_SUPER
               || chain_is_repeated(opcode, oparg)
               || INTERP_IS_SUBSCRIPT(opcode, oparg)
               || INTERP_IS_POSITIVE(opcode, oparg);
    }
}

int
boundary_finishes(PyCodeObject *code)
{
    return code == bridge_get(BRIDGE_FINISH)->code
           || code == bridge_get(BRIDGE_CLOSE_STEP)->code
           || code == bridge_get(BRIDGE_CLOSING)->code;
}

/* The inner frame is a generator's. As cross_function(). */
static int
cross_generator(crossing *x)
{
    chain_link *link = x->link;
    PyObject *gen = (PyObject *)iframe_generator(x->inner);

    if (link->opcode == CALL) {
        link->how = PENDING_NEXT;
        return link->waits || crossing_generator_call(x, gen);
    }
    PyObject *receiver = chain_receiver(link->frame, link->kept);
    link->how = PENDING_GENERATOR;
    if (link->opcode != FOR_ITER && link->opcode != SEND) {
        return 0;
    }
    if (receiver == gen) {
        return link->waits || crossing_is_known(x, link->opcode);
    }
    int crossed = crossing_await(x, gen, receiver);
    return crossed == 0 && link->opcode == FOR_ITER && !link->waits
               ? crossing_source(x, gen)
               : crossed;
}

chain_result
boundary_walk(chain *c, iframe *outer, iframe *inner, interp_loop *loop,
              int writes)
{
    chain_link link = {.frame = outer, .how = PENDING_PUSH};
    crossing x = {.link = &link, .inner = inner,
                  .function = iframe_function(inner), .writes = writes};
    const analysis *a;
    chain_result result = CHAIN_FAILED;

    if (iframe_is_generator(inner)) {
        outer = link.frame = crossing_thrower(outer);
    }
    if (chain_locate(&link) < 0
        || (a = analysis_get(iframe_code(outer))) == NULL)
    {
        return CHAIN_FAILED;
    }
    link.waits = chain_is_waiting(&link, a);
    link.depth = link.waits ? iframe_depth(outer)
                            : analysis_depth(a, link.pc);
    link.kept = analysis_kept(a, link.pc);
    /* If no interpreter loop is under way in the frame, or outside of it, it
     * was landed, and does wait for the next inner one; else an instruction
     * may have dropped its operands, and something that one of these held
     * runs. */
    int landed = link.waits && interp_loop_is_outermost(*loop, outer);
    if (link.kept < 0 || link.depth < link.kept
        || (link.waits && !landed && link.opcode != INTERP_OP_SUPER))
    {
        return chain_refuse(c, outer);
    }
    if (!landed) {
        x.distance = distance_between(loop, inner, outer);
        x.top = iframe_stackbase(outer) + link.depth;
    }
    int crossed = !link.waits && iframe_is_generator(inner)
                      ? crossing_pass(&x, c)
                      : 1;
    inner = x.inner;
    int repeated = !iframe_is_generator(inner)
                   && chain_is_repeated(link.opcode, link.oparg);
    if (crossed > 0) {
        crossed = iframe_is_generator(inner)       ? cross_generator(&x)
                  : !link.waits                    ? cross_function(&x)
                  : landed                         ? repeated
                                                   : crossing_super(&x);
    }
    if (crossed < 0) {
        goto error;
    }
    if (crossed == 0) {
        if (iframe_is_generator(inner) && link.opcode == CALL) {
            /* It may have been closed by the end of the call's operand. */
            c->dropping |= Py_REFCNT(iframe_generator(inner)) == 1;
        }
        result = chain_refuse(c, outer);
        goto error;
    }
    if (repeated) {
        link.how = PENDING_REPEAT;
    }
    /* What CPython holds for next() and send(), and for an instruction that
     * resumes a generator itself, are operands. */
    link.held |= !link.waits
                 && (x.bridge != BRIDGE_NONE || !iframe_is_generator(inner));
    if (x.bridge != BRIDGE_NONE) {
        chain_link *between = chain_append_bridge(c, NULL, x.bridge);
        if (between == NULL) {
            goto error;
        }
        if (iframe_is_generator(inner)) {
            /* The bridge asks for the next value in a call. */
            between->how = PENDING_NEXT;
            link.how = x.generator == NULL ? PENDING_PUSH : PENDING_GENERATOR;
        }
        memcpy(between->values, x.values, sizeof(x.values));
        memset(x.values, 0, sizeof(x.values));
        between->generator = x.generator;
        x.generator = NULL;
    }
    chain_link *place = chain_append(c, outer);
    if (place != NULL) {
        *place = link;
        link.top = NULL;
        result = CHAIN_KNOWN;
    }

error:
    for (int i = 0; i < BRIDGE_VALUES; i++) {
        Py_XDECREF(x.values[i]);
    }
    Py_XDECREF(x.generator);
    Py_XDECREF(link.top);
    return result;
}
