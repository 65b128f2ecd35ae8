"""What only Python 3.14 and later can compile: as text, for tools that know 3.11 only."""

import sys

from pickletask import schedule_remove as suspend

SOURCE = r"""
def _shown(template):
    parts = []
    for part in template:
        if isinstance(part, str):
            parts.append(part)
        else:
            parts.append((part.value, part.expression, part.conversion, part.format_spec))
    return parts


def build_a_template():
    return _shown(t"a{suspend(1)}b{suspend([2])!r:>{suspend(8)}}{suspend(3)}")


def nest_templates():
    outer = t"{suspend("x")}{t"in{suspend(1)}ner{suspend(2)=}"}{suspend(3):{suspend("d")}}"
    inner = outer.interpolations[1].value
    return _shown(inner), outer.strings, outer.values[::2]


def keep_a_template_in_a_variable():
    template = t"{suspend(1)}" + t"b{suspend(2)!s}"
    suspend(template.strings)
    return _shown(template + t"{suspend("c")}")


def loop_over_a_template():
    return [suspend(part) for part in t"a{1}b{2}".values + t"c{3}".strings]


def go_over_a_template():
    log = []
    for template in t"a{1}b{2}", t"{3}{4}c", t"", t"only":
        parts = iter(template)
        for part in parts:
            log.append(suspend(part if isinstance(part, str) else part.value))
            if part == "b":
                log.append(suspend([next(parts).value, *parts]))
        log.append(suspend(list(parts)))
    return log


def keep_local_functions_in_a_template():
    count = 0

    def up():
        nonlocal count
        count += 1
        return count

    template = t"{up}{(lambda: up() + 10)!s:x}"
    parts = iter(template)
    suspend(next(parts).value())
    first, second = template.values
    log = [suspend(first()), suspend(second()), suspend(next(parts).value())]
    return log, count, suspend(template.interpolations[1].expression)


def catch_several_without_parentheses():
    log = []
    for error in KeyError, ValueError, OSError:
        try:
            raise error(suspend(error.__name__))
        except KeyError, ValueError:
            log.append(suspend("caught"))
        except OSError:
            log.append(suspend("other"))
    return log


def catch_groups_without_parentheses():
    log = []
    try:
        raise ExceptionGroup("g", [KeyError(1), suspend(ValueError(2)), OSError(3)])
    except* KeyError, ValueError:
        log.append(suspend(len(sys.exception().exceptions)))
    except* OSError:
        log.append(suspend("other"))
    return log


def define_a_function_with_annotations():
    def inner(a: int, b: NotDefined = suspend(2), *, c: suspend(3) = suspend(4)) -> "text":
        d: str = suspend(a)
        return d, b, c

    return inner(suspend(1)), inner(5, c=6)


def compute_annotations():
    from annotationlib import Format

    here = suspend("here")

    def inner(a: here, b: list[here]):
        pass

    first = suspend(inner.__annotations__)
    return first, suspend(inner.__annotate__(Format.VALUE)), inner.__annotations__ == first


def hold_an_iterator_of_any():
    # any() and the like run as loops in the function, over a generator that may suspend.
    found = any(suspend(x) == 2 for x in [1, 2, 3])
    every = all(suspend(x) for x in (1, 1, 0, 1))
    return found, every, tuple(suspend(x) for x in range(3)), [suspend("end")]


def hold_operands_around_any():
    def check(values, *, log):
        log.append(suspend(len(values)))
        return [suspend("a"), any(suspend(v) > 1 and log.append(v) is None for v in values), log]

    return check([1, 2, 3], log=[]), check([0, 1], log=[])


def shadow_any():
    def any(values):
        return [suspend(v) for v in values]

    return any(x + 1 for x in [1, 2])


def nest_tuple_in_any():
    return any(tuple(suspend((x, y)) for y in range(x)) == ((2, 0), (2, 1)) for x in range(4))
"""

if sys.version_info >= (3, 14):
    exec(SOURCE)

assert suspend
