/* The instructions of CPython 3.11.  opcodes.h explains the notation; the
 * tables of all versions are in alphabetical order, so that a diff of two of
 * them shows what a new minor version changed. */
#ifndef PICKLETASK_INTERP_OPCODES_311_H
#define PICKLETASK_INTERP_OPCODES_311_H

#define Py_BUILD_CORE 1
#define NEED_OPCODE_TABLES 1
/* The header defines its tables; these names keep them ours. */
#define _PyOpcode_Jump opcodes_jump
#define _PyOpcode_Caches opcodes_caches
#define _PyOpcode_Deopt opcodes_base
#include "internal/pycore_opcode.h"

/* Code objects carry no data of tracing and monitoring tools. */
#define OPCODES_MONITORED(code) 0
/* The opcodes from here on do. */
#define OPCODES_INSTRUMENTED 256

/* any(), all() and the like over a generator expression become loops over
 * what a CALL returns. */
#define OPCODES_LOOPS_OVER_CALLS 0
/* The instruction before the SET_ADD that notes an annotation as executed, in
 * a set that the namespace holds. */
#define OPCODES_MARKS_ANNOTATION(opcode) 0

const opcode_rule opcodes_rules[256] = {
    [ASYNC_GEN_WRAP] = {"o>o"},
    [BEFORE_ASYNC_WITH] = {"o>oo", RUNS},
    [BEFORE_WITH] = {"o>=o", RUNS},
    [BINARY_OP] = {"oo>o", RUNS},
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
    [CHECK_EG_MATCH] = {"xo>xx", RUNS},
    [CHECK_EXC_MATCH] = {"eo>=o", RUNS},
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
    [FORMAT_VALUE] = {"oo4>o", RUNS},
    [FOR_ITER] = {"i>=o", RUNS | JUMPS, 0, "i>"},
    [GET_AITER] = {"o>o", RUNS},
    [GET_ANEXT] = {"o>=o", RUNS},
    [GET_AWAITABLE] = {"o>o", RUNS},
    [GET_ITER] = {"o>i", RUNS},
    [GET_LEN] = {"o>=o", RUNS},
    [GET_YIELD_FROM_ITER] = {"o>o", RUNS},
    [IMPORT_FROM] = {"o>=o", RUNS},
    [IMPORT_NAME] = {"oo>o", RUNS},
    [IMPORT_STAR] = {"o>", RUNS},
    [IS_OP] = {"oo>o"},
    [JUMP_BACKWARD] = {">", RUNS | JUMPS | BACK | ENDS},
    [JUMP_BACKWARD_NO_INTERRUPT] = {">", RUNS | JUMPS | BACK | ENDS},
    [JUMP_FORWARD] = {">", JUMPS | ENDS},
    [JUMP_IF_FALSE_OR_POP] = {"o>", RUNS | JUMPS, 0, "o>="},
    [JUMP_IF_TRUE_OR_POP] = {"o>", RUNS | JUMPS, 0, "o>="},
    [KW_NAMES] = {">"},
    [LIST_APPEND] = {"o>", 0, APPENDS},
    [LIST_EXTEND] = {"o>", RUNS, EXTENDS},
    [LIST_TO_TUPLE] = {"l>t"},
    [LOAD_ASSERTION_ERROR] = {">o"},
    [LOAD_ATTR] = {"o>o", RUNS},
    [LOAD_BUILD_CLASS] = {">o", RUNS},
    [LOAD_CLASSDEREF] = {">o", RUNS, USES_CELL},
    [LOAD_CLOSURE] = {">o", 0, LOADS_CHECKED},
    [LOAD_CONST] = {">o", 0, LOADS_CONST},
    [LOAD_DEREF] = {">o", 0, USES_CELL},
    [LOAD_FAST] = {">o", 0, LOADS_CHECKED},
    [LOAD_GLOBAL] = {">N1o", RUNS},
    [LOAD_METHOD] = {"o>no", RUNS},
    [LOAD_NAME] = {">o", RUNS},
    [MAKE_CELL] = {">", 0, MAKES_CELL},
    [MAKE_FUNCTION] = {"t1d2t4C8o>o", 0, MAKES_FUNCTION},
    [MAP_ADD] = {"oo>", RUNS, INTO_DICT},
    [MATCH_CLASS] = {"oot>m", RUNS},
    [MATCH_KEYS] = {"ot>==m", RUNS},
    [MATCH_MAPPING] = {"o>=o"},
    [MATCH_SEQUENCE] = {"o>=o"},
    [NOP] = {">"},
    [POP_EXCEPT] = {"x>"},
    [POP_JUMP_BACKWARD_IF_FALSE] = {"o>", RUNS | JUMPS | BACK},
    [POP_JUMP_BACKWARD_IF_NONE] = {"o>", JUMPS | BACK, IF_NONE},
    [POP_JUMP_BACKWARD_IF_NOT_NONE] = {"o>", JUMPS | BACK, UNLESS_NONE},
    [POP_JUMP_BACKWARD_IF_TRUE] = {"o>", RUNS | JUMPS | BACK},
    [POP_JUMP_FORWARD_IF_FALSE] = {"o>", RUNS | JUMPS},
    [POP_JUMP_FORWARD_IF_NONE] = {"o>", JUMPS, IF_NONE},
    [POP_JUMP_FORWARD_IF_NOT_NONE] = {"o>", JUMPS, UNLESS_NONE},
    [POP_JUMP_FORWARD_IF_TRUE] = {"o>", RUNS | JUMPS},
    [POP_TOP] = {"o>"},
    [PRECALL] = {">", 0, PRECALLS},
    [PREP_RERAISE_STAR] = {"ep>x", RUNS},
    [PRINT_EXPR] = {"o>", RUNS},
    [PUSH_EXC_INFO] = {"e>xe"},
    [PUSH_NULL] = {">N"},
    [RAISE_VARARGS] = {"o*>", RUNS | ENDS},
    [RERAISE] = {"e>", ENDS, RERAISES},
    [RESUME] = {">", RUNS},
    [RETURN_GENERATOR] = {">o", RUNS},
    [RETURN_VALUE] = {"o>", ENDS},
    [SEND] = {"oo>=o", RUNS | JUMPS, 0, "oo>o"},
    [SETUP_ANNOTATIONS] = {">", RUNS},
    [SET_ADD] = {"o>", RUNS, INTO_SET},
    [SET_UPDATE] = {"o>", RUNS, INTO_SET},
    [STORE_ATTR] = {"oo>", RUNS},
    [STORE_DEREF] = {"o>", 0, USES_CELL},
    [STORE_FAST] = {"a>", 0, STORES},
    [STORE_GLOBAL] = {"o>", RUNS},
    [STORE_NAME] = {"o>", RUNS},
    [STORE_SUBSCR] = {"ooo>", RUNS},
    [SWAP] = {">", 0, SWAPS},
    [UNARY_INVERT] = {"o>o", RUNS},
    [UNARY_NEGATIVE] = {"o>o", RUNS},
    [UNARY_NOT] = {"o>o", RUNS},
    [UNARY_POSITIVE] = {"o>o", RUNS},
    [UNPACK_EX] = {"o>o_oo^", RUNS},
    [UNPACK_SEQUENCE] = {"o>o*", RUNS},
    [WITH_EXCEPT_START] = {"oLxe>====o", RUNS},
    [YIELD_VALUE] = {"o>o", RUNS},
};

/* 3.11 has no intrinsics. */
#define OPCODES_CALL_INTRINSIC 0

#endif
