/* opcodes: the tables of this version of CPython, and reading them.  See
 * opcodes.h. */
#include "interp/opcodes.h"

#include <string.h>

#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#  include "interp/opcodes_311.h"
#elif PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030d0000
#  include "interp/opcodes_312.h"
#elif PY_VERSION_HEX >= 0x030d0000 && PY_VERSION_HEX < 0x030e0000
#  include "interp/opcodes_313.h"
#elif PY_VERSION_HEX >= 0x030e0000 && PY_VERSION_HEX < 0x030f0000
#  include "interp/opcodes_314.h"
#elif PY_VERSION_HEX >= 0x030f0000 && PY_VERSION_HEX < 0x03100000
#  include "interp/opcodes_315.h"
#else
#  error "pickletask supports CPython 3.11 to 3.15"
#endif

/* ---- effects ----------------------------------------------------------- */

analysis_kinds
opcodes_needed(char letter)
{
    switch (letter) {
    case 'N':
        return KIND_NULL;
    case 'o':
        return NON_NULL;
    case 'l':
        return KIND_LIST | KIND_EXCEPTIONS;
    case 'd':
        return KIND_DICT;
    case 's':
        return KIND_SET;
    case 't':
        return KIND_TUPLE | KIND_CLOSURE | KIND_STRINGS;
    case 'i':
        return KIND_ITERATOR | KIND_OUTERMOST;
    case 'j':
        return KIND_ITERATOR | KIND_OUTERMOST | KIND_SEQUENCE;
    case 'J':
        return KIND_INDEX | KIND_NULL;
    case 'k':
        return KIND_DICT | KIND_NULL;
    case 'B':
        return KIND_STRINGS;
    case 'e':
        return KIND_EXCEPTION;
    case 'x':
        return KIND_EXCEPTION | KIND_NONE;
    case 'p':
        return KIND_EXCEPTIONS;
    case 'L':
        return KIND_LASTI;
    case 'C':
        return KIND_CLOSURE;
    default: /* a n */
        return ANY;
    }
}

analysis_kinds
opcodes_pushed(char letter)
{
    switch (letter) {
    case 'N':
        return KIND_NULL;
    case 'n':
        return KIND_NULL | KIND_OBJECT;
    case 'l':
        return KIND_LIST;
    case 'd':
        return KIND_DICT;
    case 's':
        return KIND_SET;
    case 't':
        return KIND_TUPLE;
    case 'm':
        return KIND_TUPLE | KIND_NONE;
    case 'i':
        return KIND_ITERATOR;
    case 'j':
        return KIND_ITERATOR | KIND_SEQUENCE;
    case 'J':
        return KIND_INDEX | KIND_NULL;
    case 'I':
        return KIND_INTERPOLATION;
    case 'e':
        return KIND_EXCEPTION;
    case 'x':
        return KIND_EXCEPTION | KIND_NONE;
    default: /* o */
        return KIND_OBJECT;
    }
}

const char *
opcodes_letter(const char *effect, int oparg, char *letter, int *count)
{
    *letter = *effect++;
    switch (*effect) {
    case '*':
        *count = oparg;
        break;
    case '_':
        *count = oparg & 255;
        break;
    case '^':
        *count = oparg >> 8;
        break;
    case '1':
    case '2':
    case '4':
    case '8':
        *count = (oparg & (*effect - '0')) != 0;
        break;
    case '6':
        *count = (oparg & 16) != 0;
        break;
    default:
        *count = 1;
        return effect;
    }
    return effect + 1;
}

int64_t
opcodes_count(const char *effect, char end, int oparg)
{
    int64_t sum = 0;
    char letter;
    int count;

    while (*effect != end) {
        effect = opcodes_letter(effect, oparg, &letter, &count);
        sum += count;
    }
    return sum;
}

const char *
opcodes_outputs(const char *effect)
{
    return strchr(effect, '>') + 1;
}

int
opcodes_staying(const char *effect)
{
    return (int)strspn(opcodes_outputs(effect), "=");
}

const char *
opcodes_effect(const analysis_instruction *in)
{
    const opcode_rule *rule = &opcodes_rules[in->opcode];

#if OPCODES_CALL_INTRINSIC
    size_t oparg = (size_t)in->oparg;
    if (rule->special == INTRINSIC_1) {
        return oparg < Py_ARRAY_LENGTH(opcodes_intrinsics_1)
                   ? opcodes_intrinsics_1[oparg]
                   : NULL;
    }
    if (rule->special == INTRINSIC_2) {
        return oparg < Py_ARRAY_LENGTH(opcodes_intrinsics_2)
                   ? opcodes_intrinsics_2[oparg]
                   : NULL;
    }
#endif
    return rule->effect;
}

int
opcodes_calls_for_loop(int opcode, int next, int after_next)
{
    return OPCODES_LOOPS_OVER_CALLS && opcode == CALL
           && (next == FOR_ITER
               || (next == PUSH_NULL && after_next == FOR_ITER));
}

int
opcodes_marks_annotation(int previous)
{
    return OPCODES_MARKS_ANNOTATION(previous);
}

/* ---- code objects ------------------------------------------------------ */

const char *
opcodes_unreadable(PyCodeObject *code, int *unit)
{
    const uint8_t *raw = (const uint8_t *)code->co_code_adaptive;
    int units = (int)Py_SIZE(code);
    int base;

    if (OPCODES_MONITORED(code)) {
        return NULL;
    }
    for (*unit = 0; *unit < units; *unit += 1 + opcodes_caches[base]) {
        int opcode = raw[2 * *unit];
        base = opcodes_base[opcode];
        if (opcode >= OPCODES_INSTRUMENTED
            || (opcodes_rules[base].effect == NULL && base != EXTENDED_ARG)) {
            return "unknown opcode";
        }
        if (*unit + opcodes_caches[base] >= units) {
            return "caches are cut off";
        }
    }
    return NULL;
}
