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
