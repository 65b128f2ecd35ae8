/* The instructions of CPython 3.12.  opcodes.h explains the notation; the
 * tables of all versions are in alphabetical order, so that a diff of two of
 * them shows what a new minor version changed. */
#ifndef PICKLETASK_INTERP_OPCODES_312_H
#define PICKLETASK_INTERP_OPCODES_312_H

#define Py_BUILD_CORE 1
#define NEED_OPCODE_TABLES 1
/* The header defines its tables; these names keep them ours. */
#define _PyOpcode_Jump opcodes_jump
#define _PyOpcode_Caches opcodes_caches
#define _PyOpcode_Deopt opcodes_base
#include "internal/pycore_opcode.h"

/* Code objects carry data of tracing and monitoring tools. */
#define OPCODES_MONITORED(code) ((code)->_co_monitoring != NULL)
/* The opcodes from here on need them. */
#define OPCODES_INSTRUMENTED MIN_INSTRUMENTED_OPCODE

/* any(), all() and the like over a generator expression become loops over
 * what a CALL returns. */
#define OPCODES_LOOPS_OVER_CALLS 0
/* The instruction before the SET_ADD that notes an annotation as executed, in
 * a set that the namespace holds. */
#define OPCODES_MARKS_ANNOTATION(opcode) 0

const opcode_rule opcodes_rules[256] = {
    [BEFORE_ASYNC_WITH] = {"o>oo", RUNS},
    [BEFORE_WITH] = {"o>=o", RUNS},
    [BINARY_OP] = {"oo>o", RUNS},
    [BINARY_SLICE] = {"ooo>o", RUNS},
    [BINARY_SUBSCR] = {"oo>o", RUNS},
    [BUILD_CONST_KEY_MAP] = {"o*t>d", RUNS},
    [BUILD_LIST] = {"o*>l", 0, BUILDS_LIST},
    [BUILD_MAP] = {"o*o*>d", RUNS},
    [BUILD_SET] = {"o*>s", RUNS},
    [BUILD_SLICE] = {"ooo1>o"},
    [BUILD_STRING] = {"o*>o"},
    [BUILD_TUPLE] = {"o*>t", 0, BUILDS_TUPLE},
    [CALL] = {"noo*>o", RUNS},
    [CALL_FUNCTION_EX] = {"Nood1>o", RUNS},
    [CALL_INTRINSIC_1] = {"o>o", RUNS, INTRINSIC_1},
    [CALL_INTRINSIC_2] = {"oo>o", RUNS, INTRINSIC_2},
    [CHECK_EG_MATCH] = {"xo>xx", RUNS},
    [CHECK_EXC_MATCH] = {"eo>=o", RUNS},
    [CLEANUP_THROW] = {"ooe>oo"},
    [COMPARE_OP] = {"oo>o", RUNS},
    [CONTAINS_OP] = {"oo>o", RUNS},
    [COPY] = {">o", 0, COPIES},
    [COPY_FREE_VARS] = {">", 0, FREES},
    [DELETE_ATTR] = {"o>", RUNS},
    [DELETE_DEREF] = {">", 0, USES_CELL},
    [DELETE_FAST] = {">", 0, UNBINDS},
    [DELETE_GLOBAL] = {">", RUNS},
    [DELETE_NAME] = {">", RUNS},
    [DELETE_SUBSCR] = {"oo>", RUNS},
    [DICT_MERGE] = {"o>", RUNS, INTO_DICT},
    [DICT_UPDATE] = {"o>", RUNS, INTO_DICT},
    [END_ASYNC_FOR] = {"oe>"},
    [END_FOR] = {"oo>"},
    [END_SEND] = {"oo>o"},
    [FORMAT_VALUE] = {"oo4>o", RUNS},
    [FOR_ITER] = {"i>=o", RUNS | JUMPS},
    [GET_AITER] = {"o>o", RUNS},
    [GET_ANEXT] = {"o>=o", RUNS},
    [GET_AWAITABLE] = {"o>o", RUNS},
    [GET_ITER] = {"o>i", RUNS},
    [GET_LEN] = {"o>=o", RUNS},
    [GET_YIELD_FROM_ITER] = {"o>o", RUNS},
    [IMPORT_FROM] = {"o>=o", RUNS},
    [IMPORT_NAME] = {"oo>o", RUNS},
    [IS_OP] = {"oo>o"},
    [JUMP_BACKWARD] = {">", RUNS | JUMPS | BACK | ENDS},
    [JUMP_BACKWARD_NO_INTERRUPT] = {">", RUNS | JUMPS | BACK | ENDS},
    [JUMP_FORWARD] = {">", JUMPS | ENDS},
    [KW_NAMES] = {">"},
    [LIST_APPEND] = {"o>", 0, APPENDS},
    [LIST_EXTEND] = {"o>", RUNS, EXTENDS},
    [LOAD_ASSERTION_ERROR] = {">o"},
    [LOAD_ATTR] = {"o>n1o", RUNS},
    [LOAD_BUILD_CLASS] = {">o", RUNS},
    [LOAD_CLOSURE] = {">o", 0, LOADS_CHECKED},
    [LOAD_CONST] = {">o", 0, LOADS_CONST},
    [LOAD_DEREF] = {">o", 0, USES_CELL},
    [LOAD_FAST] = {">o", 0, LOADS},
    [LOAD_FAST_AND_CLEAR] = {">o", 0, TAKES},
    [LOAD_FAST_CHECK] = {">o", 0, LOADS_CHECKED},
    [LOAD_FROM_DICT_OR_DEREF] = {"o>o", RUNS, USES_CELL},
    [LOAD_FROM_DICT_OR_GLOBALS] = {"o>o", RUNS},
    [LOAD_GLOBAL] = {">N1o", RUNS},
    [LOAD_LOCALS] = {">o"},
    [LOAD_NAME] = {">o", RUNS},
    [LOAD_SUPER_ATTR] = {"ooo>n1o", RUNS},
    [MAKE_CELL] = {">", 0, MAKES_CELL},
    [MAKE_FUNCTION] = {"t1d2t4C8o>o", 0, MAKES_FUNCTION},
    [MAP_ADD] = {"oo>", RUNS, INTO_DICT},
    [MATCH_CLASS] = {"oot>m", RUNS},
    [MATCH_KEYS] = {"ot>==m", RUNS},
    [MATCH_MAPPING] = {"o>=o"},
    [MATCH_SEQUENCE] = {"o>=o"},
    [NOP] = {">"},
    [POP_EXCEPT] = {"x>"},
    [POP_JUMP_IF_FALSE] = {"o>", RUNS | JUMPS},
    [POP_JUMP_IF_NONE] = {"o>", JUMPS, IF_NONE},
    [POP_JUMP_IF_NOT_NONE] = {"o>", JUMPS, UNLESS_NONE},
    [POP_JUMP_IF_TRUE] = {"o>", RUNS | JUMPS},
    [POP_TOP] = {"o>"},
    [PUSH_EXC_INFO] = {"e>xe"},
    [PUSH_NULL] = {">N"},
    [RAISE_VARARGS] = {"o*>", RUNS | ENDS},
    [RERAISE] = {"e>", ENDS, RERAISES},
    [RESUME] = {">", RUNS},
    [RETURN_CONST] = {">", ENDS},
    [RETURN_GENERATOR] = {">o", RUNS},
    [RETURN_VALUE] = {"o>", ENDS},
    [SEND] = {"oo>=o", RUNS | JUMPS},
    [SETUP_ANNOTATIONS] = {">", RUNS},
    [SET_ADD] = {"o>", RUNS, INTO_SET},
    [SET_UPDATE] = {"o>", RUNS, INTO_SET},
    [STORE_ATTR] = {"oo>", RUNS},
    [STORE_DEREF] = {"o>", 0, USES_CELL},
    [STORE_FAST] = {"a>", 0, STORES},
    [STORE_GLOBAL] = {"o>", RUNS},
    [STORE_NAME] = {"o>", RUNS},
    [STORE_SLICE] = {"oooo>", RUNS},
    [STORE_SUBSCR] = {"ooo>", RUNS},
    [SWAP] = {">", 0, SWAPS},
    [UNARY_INVERT] = {"o>o", RUNS},
    [UNARY_NEGATIVE] = {"o>o", RUNS},
    [UNARY_NOT] = {"o>o", RUNS},
    [UNPACK_EX] = {"o>o_oo^", RUNS},
    [UNPACK_SEQUENCE] = {"o>o*", RUNS},
    [WITH_EXCEPT_START] = {"oLxe>====o", RUNS},
    [YIELD_VALUE] = {"o>o", RUNS},
};

#define OPCODES_CALL_INTRINSIC 1
#include "internal/pycore_intrinsics.h"

static const char *const opcodes_intrinsics_1[] = {
    [INTRINSIC_PRINT] = "o>o",
    [INTRINSIC_IMPORT_STAR] = "o>o",
    [INTRINSIC_STOPITERATION_ERROR] = "e>e",
    [INTRINSIC_ASYNC_GEN_WRAP] = "o>o",
    [INTRINSIC_UNARY_POSITIVE] = "o>o",
    [INTRINSIC_LIST_TO_TUPLE] = "l>t",
    [INTRINSIC_TYPEVAR] = "o>o",
    [INTRINSIC_PARAMSPEC] = "o>o",
    [INTRINSIC_TYPEVARTUPLE] = "o>o",
    [INTRINSIC_SUBSCRIPT_GENERIC] = "o>o",
    [INTRINSIC_TYPEALIAS] = "t>o",
};

static const char *const opcodes_intrinsics_2[] = {
    [INTRINSIC_PREP_RERAISE_STAR] = "ep>x",
    [INTRINSIC_TYPEVAR_WITH_BOUND] = "oo>o",
    [INTRINSIC_TYPEVAR_WITH_CONSTRAINTS] = "oo>o",
    [INTRINSIC_SET_FUNCTION_TYPE_PARAMS] = "ot>o",
};

#endif
