"""Suspended with cells, empty or full, shared by functions, frames and generators."""

from pickletask import schedule_remove as suspend


def share_a_variable_between_two_frames():
    count, log = 0, []

    def bump():
        nonlocal count
        count += suspend(1)
        log.append(count)
        return count

    first = bump()
    count += 10
    second = bump()
    return first, second, count, log


def share_a_variable_over_three_levels():
    a = 1

    def middle():
        b = a + suspend(1)

        def inner():
            nonlocal a, b
            a, b = a + suspend(10), b + suspend(20)
            return a, b

        result = inner()
        return result, a, b

    return middle(), a


def call_a_closure_that_was_returned():
    def make(start):
        total = start

        def add(n):
            nonlocal total
            total += suspend(n)
            return total

        def get():
            return suspend(total)

        return add, get

    add, get = make(5)
    other, _ = make(100)
    return add(1), add(2), get(), other(1), get()


def find_a_cell_that_is_not_filled_yet():
    log = []

    def look():
        try:
            return late
        except NameError as error:
            return str(error)

    log.append(look())
    suspend("empty")
    log.append(look())
    late = suspend("filled")
    log.append(look())
    del late
    suspend("emptied")
    log.append(look())
    return log


def recurse_through_a_closure():
    def fact(n):
        return suspend(1) if n == 0 else n * fact(n - 1)

    return fact(suspend(4))


def close_over_an_argument():
    def outer(x, *args, key=3, **kwargs):
        def inner():
            suspend((x, args, key))
            return x, args, key, kwargs

        suspend("between")
        return inner()

    return outer(1, 2, key=4, z=5)


def close_over_a_loop_variable():
    log = []
    for i in range(3):

        def show():
            return suspend(i)  # noqa: B023

        log.append(show())
    i = 9
    log.append(show())
    return log


def share_a_cell_between_two_generators():
    total = 0

    def up():
        nonlocal total
        for _ in range(3):
            total += 1
            yield suspend(total)

    def down():
        nonlocal total
        for _ in range(3):
            total -= 10
            yield suspend(total)

    log = []
    for a, b in _pairs(up(), down()):
        log.append((a, b, total))
    return log


def _pairs(first, second):
    for a in first:
        for b in second:
            yield a, b
            break


def keep_attributes_of_a_local_function():
    def function(a, b=[1], *, c={"k": 2}) -> "note":  # noqa: B006, F821
        """Its text."""
        return a, b, c, suspend("inside")

    function.mark = {"attribute": 1}
    suspend("made")
    return (
        function(0),
        function.__name__,
        function.__qualname__,
        function.__doc__,
        function.__annotations__,
        function.mark,
        function.__defaults__,
        function.__kwdefaults__,
        function.__module__,
    )


def ask_for_annotations_late():
    marker = "late"

    def function(a: marker, b: [marker]):
        return a

    suspend("made")
    first = function.__annotations__["a"]
    function.__annotations__["c"] = 1
    suspend("asked")
    return first, function.__annotations__


def hold_one_function_twice():
    def function():
        return suspend("called")

    again = function
    function.seen = 1
    suspend("two names")
    again.seen = 2
    return function is again, function.seen, again()


def hold_a_function_whose_cell_holds_it():
    def function(n):
        suspend(n)
        return function if n == 0 else function(n - 1)

    return function(2) is function


def capture_a_default_lambda():
    def apply(x, f=lambda v: suspend(v) + 1):
        return f(f(x))

    return apply(suspend(3))


def _make_adder(n):
    return lambda x: suspend(x) + n


_ADD_TWO = _make_adder(2)


def call_a_lambda_kept_in_a_global():
    return _ADD_TWO(suspend(1)), _ADD_TWO(x=2)


def close_over_the_class_of_a_method():
    return _Counter().count()


class _Counter:
    def __init__(self):
        self.n = 0

    def count(self):
        def step():
            self.n += suspend(1)
            return self.n

        return step() + step(), type(self) is __class__
