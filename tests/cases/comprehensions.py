"""Suspended in the middle of comprehensions."""

from pickletask import schedule_remove as suspend


def build_a_list():
    return [suspend(x) for x in range(3)]


def build_a_set():
    return {suspend(x) % 2 for x in (1, 2, 3)}


def build_a_dict():
    return {suspend(k): suspend(v) for k, v in {"a": 1, "b": 2}.items()}


def filter_by_a_condition():
    return [x for x in range(4) if suspend(x) % 2 if suspend(True)]


def nest_loops():
    return [(x, y) for x in range(2) for y in suspend([x, x + 1]) if suspend(y)]


def nest_comprehensions():
    return [[suspend(x * y) for x in range(2)] for y in range(2)]


def nest_comprehensions_of_several_kinds():
    return {k: {x: [suspend(k + x)] for x in {1}} for k in (suspend(10), 20)}


def take_the_iterable_from_a_call():
    return [x for x in suspend([1, suspend(2)])]


def take_the_iterable_of_a_generator_from_a_call():
    return [x for x in (y * 2 for y in suspend([1, suspend(2)]))]


def keep_the_outer_variable_of_the_same_name():
    x = "outer"
    inner = [suspend(x) for x in (1, 2)]
    return x, inner


def leave_an_unbound_variable_of_the_same_name_unbound():
    inner = [suspend(x) for x in (1, 2)]
    try:
        x  # noqa: B018, F821
    except UnboundLocalError:
        return inner
    x = 1  # noqa: F841


def keep_an_outer_cell_of_the_same_name():
    x = "cell"

    def read():
        return x

    inner = [suspend(x) for x in (1, 2)]
    return read(), inner, x


def make_closures_over_the_variable():
    total = 0
    for f in [lambda i=i: suspend(i) for i in range(3)]:
        total = total * 10 + f()
    return total


def close_over_the_variable_late():
    return [f() for f in [(lambda: suspend(i)) for i in range(3)]]  # noqa: B023


def read_outer_variables():
    a, b = 2, 3

    def inner():
        return a

    return [suspend(a * x + b + inner()) for x in range(2)]


def bind_an_outer_variable():
    result = [last := suspend(x) for x in range(3)]
    return result, last


def call_a_function_that_suspends():
    return [_twice(x) for x in range(2)] + [_twice(y) for y in (5,)]


def _twice(x):
    return suspend(x) + suspend(x)


def raise_inside():
    log = []
    try:
        return [1 // suspend(x) for x in (1, 0)]
    except ZeroDivisionError as error:
        log.append(suspend(repr(error)))
    return log


def stand_amid_other_operands():
    return [0, *[suspend(x) for x in (1, 2)]], 5 + len([suspend(y) for y in "ab"]) * 2


def work_in_an_except_block():
    x = "outer"
    try:
        raise ValueError(1)
    except ValueError as error:
        values = [suspend((x, error.args)) for x in range(2)]
    return values, x


def use_slots_of_a_class():
    return _Holder(3).squares()


class _Holder:
    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n

    def squares(self):
        return [suspend(i * self.n) for i in range(self.n)], {suspend(self.n): __class__.__name__}


# Functions inside containers: only pickletask's own picklers take them.
make_closures_over_the_variable.own_pickler = True
close_over_the_variable_late.own_pickler = True
