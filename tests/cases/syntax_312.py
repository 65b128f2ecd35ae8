"""What only Python 3.12 and later can compile: as text, for tools that know 3.11 only."""

import sys

from pickletask import schedule_remove as suspend

SOURCE = r"""
def _first[T](items: list[T], default: T) -> T:
    return suspend(items[0]) if items else suspend(default)


def call_a_generic_function():
    return _first([3], 0), _first([], suspend(0))


class _Box[T]:
    def __init__(self, value: T):
        self.value = value

    def take[U](self, wrap: U) -> tuple[T, U]:
        return suspend(self.value), suspend(wrap)


def call_a_method_of_a_generic_class():
    return _Box(suspend(1)).take(2), _Box[int](3).take("w")


def alias_a_type():
    type Pair[T] = tuple[T, T]
    name = Pair.__name__
    del Pair
    return suspend(name)


def _told(params):
    fields = "__name__", "__bound__", "__constraints__"
    return [(repr(param), *(getattr(param, field, None) for field in fields)) for param in params]


def keep_local_generic_functions():
    def first[T: int, U: (str, bytes), *Ts, **P](x: T, *rest: *Ts) -> U:
        return suspend(x), T.__bound__

    T, *others = first.__type_params__
    seen = suspend(first.__name__), suspend(T.__bound__)
    assert first.__type_params__ == (T, *others) and first.__annotations__["x"] is T
    assert T.__module__ == "typing" and T.__infer_variance__
    return seen, first(3), _told(first.__type_params__)


def keep_local_aliases():
    type Tree[T] = dict[T, Tree[T]] | Leaf
    T, tree, Leaf = *Tree.__type_params__, Tree, int
    suspend("computed by nobody yet")
    assert tree is Tree and Tree.__value__.__args__[0].__args__[1].__origin__ is Tree
    assert Tree.__value__ is Tree.__value__ and Tree.__parameters__ == (T,)
    return suspend(repr(Tree.__value__)), repr(Tree[Leaf]), Tree.__module__


def keep_type_parameters_of_a_generator():
    def walk[T: int, **P](values: list[T]):
        type Pairs[K] = list[tuple[K, T]]
        for value in values:
            yield suspend(value), T.__name__
        yield T.__bound__, repr(Pairs.__value__), [p is T for p in walk.__type_params__]

    found = []
    for pair in walk([1, 2]):
        found.append(pair)
    return found


def suspend_in_bases_of_a_generic_class():
    class Local[T: int](suspend(_Box)[T]):
        bound = T.__bound__

    return _told(Local.__type_params__), [base.__name__ for base in Local.__bases__], Local.bound


def suspend_in_the_body_of_a_generic_class():
    def define(bound):
        class Local[T: int, *Ts, **P](dict[T, bound]):
            x = suspend(1), [suspend(T.__name__) for _ in "ab"]

            def method[U](self, u: U) -> T:
                return __class__.__name__

        return (
            _told(Local.__type_params__), [base.__name__ for base in Local.__bases__], Local.x,
            Local().method(1), [repr(base) for base in Local.__orig_bases__],
        )

    return define(int)


def suspend_in_defaults_of_a_generic_function():
    def add[T: int](x: T = suspend(1), *, y: T = suspend(2)) -> T:
        return x + suspend(y)

    return add(), add(3, y=4)


def nest_quotes_in_a_format_string():
    return f"{suspend("a")}|{f"{suspend(2)}"}|{[suspend(x) for x in "cd"]}"


def call_with_stars():
    def gather(a, *rest, k, **more):
        return suspend(a), rest, suspend(k), more

    args, kwargs = [1, 2, 3], {"k": 4, "m": 5}
    return gather(*args, **kwargs), gather(suspend(0), *args, k=suspend(6))


def call_through_a_wrapper():
    def wrap(function):
        def wrapper(*args, **kwargs):
            return [*function(*args, **kwargs), suspend("wrapped")]

        return wrapper

    @wrap
    def inner(a, b=2):
        return suspend(a), suspend(b)

    return inner(1), inner(1, b=3)
"""

if sys.version_info >= (3, 12):
    exec(SOURCE)

assert suspend
