"""Suspended in the middle of calls, with operands of all kinds waiting on the callers' stacks."""

from pickletask import schedule_remove as suspend


def _add(a, b):
    return a + suspend(b)


def suspend_in_the_outermost_frame():
    return suspend(1) + suspend(2)


def suspend_through_another_name():
    stop = suspend
    return stop("renamed")


def suspend_without_a_value_used():
    suspend("ignored")


def _down(depth):
    if depth:
        return depth + _down(depth - 1)
    return suspend("bottom") and 1000


def suspend_five_calls_deep():
    return _down(5)


def suspend_a_hundred_calls_deep():
    return _down(100)


def _twice(depth):
    if not depth:
        return suspend(0)
    return suspend(depth) + _twice(depth - 1) + suspend(-depth)


def suspend_on_the_way_down_and_up():
    return _twice(4)


def hold_operands_of_operators():
    a = 2
    return a * (a + suspend(3)) - suspend(4) ** (a << suspend(1)) // (1 + _add(a, 5))


def hold_a_list_a_tuple_a_set_and_a_dict_half_built():
    return (
        [1, suspend(2), _add(3, 4)],
        (1, suspend(5), _add(6, 7)),
        {suspend(8), 9, _add(1, 9)},
        {"k": suspend(10), suspend("key"): 11, **{"x": suspend(12)}},
        [*range(2), suspend(13), *[suspend(14)]],
        {*range(2), suspend(15)},
    )


def hold_a_format_string_half_built():
    width = 6
    return f"<{suspend(1)!r:>{suspend(width)}}|{_add(1, 2):03}|{'x'}{suspend('y')!s}>"


def hold_a_slice_half_built():
    letters = list("abcdefgh")
    letters[suspend(1) : suspend(3)] = [suspend("X")]
    return letters[suspend(0) : suspend(6) : suspend(2)], letters[suspend(-1)]


def _keywords(a, b=2, *rest, c, d=4, **more):
    suspend((a, b, rest, c, d, sorted(more.items())))
    return a, b, rest, c, d, more


def pass_keywords():
    return _keywords(suspend(1), c=suspend(3), e=suspend(5))


def pass_defaults():
    return _keywords(1, c=_add(1, 2)), _keywords(1, suspend(5), 6, 7, c=8, d=9)


def collect_stars():
    def gather(*args, **kwargs):
        suspend(len(args))
        return args, kwargs

    return gather(suspend(1), suspend(2), x=suspend(3)), gather()


def _default(x, y=[7]):  # noqa: B006
    y.append(suspend(x))
    return y


def keep_a_default_argument():
    # The default is the list that the function itself has: the same one in each call.
    first = _default(1, [0])
    return first, _default(2, first)


def compute_default_arguments():
    def inner(a, b=suspend(2), *, c=_add(1, 2)):  # noqa: B008
        return a, b, suspend(c)

    return inner(suspend(0)), inner.__defaults__, inner.__kwdefaults__


def call_a_lambda():
    double = lambda x: suspend(x) * 2  # noqa: E731
    return double(4) + (lambda: suspend(1))()


class Thing:
    """Methods of all kinds."""

    kind = "base"

    def __init__(self, value):
        self.value = value

    def method(self, x):
        suspend(("method", self.value))
        return self.value + x

    @classmethod
    def of_class(cls, x):
        suspend((cls.__name__, x))
        return cls.kind, x

    @staticmethod
    def of_nothing(x):
        return suspend(x) + 1

    def overridden(self, x):
        suspend("base")
        return ["base", x]


class Derived(Thing):
    kind = "derived"

    def overridden(self, x):
        suspend("before")
        result = super().overridden(suspend(x))
        suspend("after")
        return ["derived", *result]

    def look_above(self):
        above = super().overridden
        suspend("found")
        return above(1)

    def with_class_cell(self):
        return suspend(__class__.__name__)


def call_a_method():
    thing = Thing(10)
    return thing.method(suspend(1)), thing.value


def call_a_bound_method():
    bound = Thing(10).method
    return bound(1) + bound(x=suspend(2))


def call_a_method_of_the_class():
    return Thing.of_class(1), Derived.of_class(2), Derived(3).of_class(suspend(4))


def call_a_static_method():
    return Thing.of_nothing(1), Thing(2).of_nothing(suspend(3))


def hold_a_method_that_super_found():
    return Derived(1).look_above()


def call_super():
    return Derived(1).overridden(5)


def use_the_class_cell():
    return Derived(1).with_class_cell()


def call_a_function_kept_in_an_instance():
    thing = Thing(1)
    thing.action = _add
    return thing.action(suspend(1), 2)


def _decorate(function):
    suspend("decorating")
    return function


def decorate_a_function():
    @_decorate
    def inner(x):
        return suspend(x)

    return inner(3)


def evaluate_bases_of_a_class():
    class Local(suspend(Thing)):
        kind = "local"

    return Local(1).of_nothing(1) if False else Local.kind


def compare_in_a_chain():
    return (
        suspend(1) < suspend(2) < suspend(3),
        suspend(1) < suspend(0) < suspend(3),
        suspend(1) in [suspend(1)],
    )


def choose_by_and_or_and_if():
    a = suspend(0) or suspend("") or suspend("third")
    b = suspend(1) and suspend(None) and suspend("never")
    return a, b, "yes" if suspend(True) else "no", not suspend(0)


def bind_in_an_expression():
    if (n := suspend(3)) > 2 and (m := _add(n, 1)):
        return n, m


def assign_to_many_targets():
    a, (b, *c), d = suspend(1), (suspend(2), *[suspend(3)] * 2), suspend(4)
    first = second = suspend([5])
    first.append(6)
    return a, b, c, d, second, first is second


def augment_items_and_attributes():
    thing, items = Thing(1), {"a": [1, 2]}
    thing.value += suspend(2)
    items["a"][suspend(0)] += suspend(5)
    items["a"] += [suspend(7)]
    return thing.value, items


def assert_with_a_message():
    assert suspend(1)
    try:
        assert suspend(0), suspend("message")
    except AssertionError as error:
        return error.args


def delete_locals_and_items():
    a, items = 1, [1, 2, 3]
    del a
    suspend("deleted")
    del items[suspend(0)]
    try:
        a  # noqa: B018, F821
    except UnboundLocalError as error:
        return items, str(error)


def find_a_local_that_is_not_bound_yet():
    log = []
    for turn in range(2):
        suspend(turn)
        try:
            log.append(late)  # noqa: F821
        except UnboundLocalError:
            log.append("unbound")
        late = turn  # noqa: F841
    return log


def hold_one_object_twice():
    a = [1]
    b = a
    pair = (a, suspend(a), b)
    a.append(2)
    return pair, a is b, pair[0] is pair[1] is pair[2]


def hold_an_object_that_contains_itself():
    loop = [1]
    loop.append(loop)
    suspend("looped")
    return loop[1] is loop, loop[1][1][0]


def hold_objects_of_many_types():
    import decimal
    import fractions
    import math

    things = [
        None, True, 2**100, -1.5, 1j, "text \u20ac \ud800", b"bytes", bytearray(b"x"), ...,
        NotImplemented, frozenset([1]), range(3), slice(1, 2), int, ValueError("v"), Thing, len,
        math.pi, decimal.Decimal("1.5"), fractions.Fraction(1, 3), _add,
    ]  # fmt: skip
    a, b, c = math, decimal, things
    suspend("many")
    texts = [repr(x) for x in things[:14]]
    return texts, a.floor(1.5), b.Decimal(2) ** 2, c is things, things[-1](1, 2)


def look_at_the_own_locals():
    a = 1
    names = sorted(locals())
    b = suspend(names)
    return a, b, sorted(locals())


def import_in_the_middle():
    import json as j
    from os import path

    suspend("imported")
    return j.dumps([1]), path.join("a", suspend("b"))


COUNT = 0


def change_a_global():
    global COUNT
    COUNT = suspend(5)
    COUNT += suspend(1)
    return COUNT


def unbind_a_global():
    global COUNT, NEW
    NEW = 1
    suspend(NEW)
    del NEW
    suspend("deleted")
    return "NEW" in globals()


def replace_a_builtin_by_a_global():
    global len
    result = [len("abc")]  # noqa: F821
    len = _length
    try:
        suspend("replaced")
        result.append(len("abc"))
    finally:
        del len
    suspend("back")
    result.append(len("abc"))  # noqa: F821
    return result


def _length(x):
    return suspend("length") and 42


_MANY = 300


def _wide_source():
    names = [f"v{i}" for i in range(_MANY)]
    lines = ["def wide():"]
    lines += [f"    {name} = {i}" for i, name in enumerate(names)]
    lines += ["    total = 0", "    for step in range(3):", "        total += suspend(step) + v299"]
    lines += [f"    v{i} = suspend('v{i}')" for i in (0, 255, 256, 299)]
    lines += ["    return total, [" + ", ".join(names) + "]"]
    return "\n".join(lines)


exec(_wide_source())  # a function with so many locals that arguments need EXTENDED_ARG


def use_three_hundred_locals():
    return wide()  # noqa: F821


def jump_over_a_long_body():
    # More than 255 instructions: the jumps need EXTENDED_ARG.
    x, log = 0, []
    for i in range(2):
        if suspend(i):
            x = x + 1 * 2 + 3 * x
            x = x + 1 * 2 + 3 * x
            x = x + 1 * 2 + 3 * x  # noqa: E702
            x = x + 1 * 2 + 3 * x
            x = x + 1 * 2 + 3 * x
            x = x + 1 * 2 + 3 * x  # noqa: E702
            x = x + 1 * 2 + 3 * x
            x = x + 1 * 2 + 3 * x
            x = x + 1 * 2 + 3 * x  # noqa: E702
            log.append([x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, x + 8, x + 9])
            log.append([x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, x + 8, x + 9])
            log.append([x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, x + 8, x + 9])
            log.append([x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, x + 8, x + 9])
        else:
            log.append(suspend("else"))
    return log


def tail_a_recursion_between_two_functions():
    return _even(6, [])


def _even(n, log):
    log.append(("even", n))
    return log if n == 0 else _odd(n - 1, suspend(log))


def _odd(n, log):
    log.append(("odd", n))
    return _even(n - 1, suspend(log))


# A fresh process imports the module anew: what they did to its globals isn't there.
unbind_a_global.stays_in_its_process = True
replace_a_builtin_by_a_global.stays_in_its_process = True
