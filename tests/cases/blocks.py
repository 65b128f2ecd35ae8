"""Suspended inside with, try/finally and match."""

from pickletask import schedule_remove as suspend


class Manager:
    """Logs what happens to it; suppresses the exceptions of the given types."""

    def __init__(self, log, name, suppress=(), fail=None):
        self.log, self.name, self.suppress, self.fail = log, name, suppress, fail

    def __enter__(self):
        self.log.append(f"enter {self.name}")
        return self.name

    def __exit__(self, kind, value, traceback):
        self.log.append(f"exit {self.name} {kind and kind.__name__} {value!r}")
        if self.fail is not None:
            raise self.fail
        return kind is not None and issubclass(kind, tuple(self.suppress))


def suspend_in_a_with_block():
    log = []
    with Manager(log, "a") as name:
        log.append(suspend(name))
    return log


def suspend_in_nested_with_blocks():
    log = []
    with Manager(log, "a"), Manager(log, "b") as b:
        log.append(suspend(b))
        with Manager(log, suspend("c")):
            log.append(suspend("in c"))
        log.append(suspend("after c"))
    log.append(suspend("after all"))
    return log


def suppress_in_a_with_block():
    log = []
    with Manager(log, "a", [ValueError]):
        suspend(1)
        raise ValueError(suspend(2))
    log.append(suspend("suppressed"))
    return log


def suppress_in_the_outer_of_two_with_blocks():
    log = []
    with Manager(log, "outer", [KeyError]):
        with Manager(log, "inner", fail=KeyError("from exit")):
            suspend("inside")
        log.append("never")
    log.append(suspend("after"))
    return log


def raise_out_of_a_with_block():
    log = []
    try:
        with Manager(log, "a", [KeyError]):
            suspend(1)
            raise ValueError(log)
    except ValueError as error:
        log.append(suspend(repr(error.__context__)))
        return log


def return_out_of_a_with_block():
    log = []

    def inner():
        with Manager(log, "a"):
            for i in range(3):
                with Manager(log, f"b{i}"):
                    if suspend(i) == 1:
                        return suspend("value")

    log.append(inner())
    return log


def leave_a_loop_out_of_a_with_block():
    log = []
    for i in range(4):
        with Manager(log, i):
            if suspend(i) == 1:
                continue
            if i == 2:
                break
            log.append("body")
    return log


def suspend_in_a_callee_of_a_with_block():
    log = []

    def callee(x):
        with Manager(log, "callee", [ValueError]):
            raise ValueError(suspend(x))
        return suspend("after")

    with Manager(log, "caller"):
        log.append(callee(1))
    return log


def suspend_in_try_and_finally():
    log = []
    try:
        log.append(suspend("try"))
    finally:
        log.append(suspend("finally"))
    log.append(suspend("after"))
    return log


def suspend_in_finally_while_an_exception_passes():
    log = []
    try:
        try:
            suspend("try")
            raise ValueError("passing")
        finally:
            log.append(suspend("finally"))
    except ValueError as error:
        log.append(suspend(repr(error)))
    return log


def suspend_in_finally_while_returning():
    log = []

    def inner():
        try:
            return suspend("returned")
        finally:
            log.append(suspend("finally"))

    log.append(inner())
    return log


def override_a_return_in_finally():
    def inner():
        try:
            return suspend("first")
        finally:
            return suspend("second")  # noqa: B012

    return inner()


def swallow_an_exception_in_finally():
    def inner():
        for i in range(3):
            try:
                raise ValueError(i)
            finally:
                if suspend(i) < 2:
                    continue  # noqa: B012
                break  # noqa: B012
        return i

    return inner()


def nest_finally():
    log = []
    try:
        try:
            try:
                suspend(1)
            finally:
                log.append(suspend(2))
                try:
                    raise KeyError(suspend(3))
                finally:
                    log.append(suspend(4))
        finally:
            log.append(suspend(5))
    except KeyError as error:
        log.append(error.args)
    return log


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


def _match(subject):
    match subject:
        case 0 | 1:
            return "small", suspend("small")
        case [a, b] if suspend(a) == 1:
            return "pair", a, suspend(b)
        case [first, *rest]:
            return "list", suspend(first), rest
        case {"key": value, **others} if suspend("guard"):
            return "mapping", suspend(value), others
        case Point(x, y=(2 | 3) as y):
            return "point", suspend(x), y
        case str() as text:
            return text, suspend("text")
        case None:
            return suspend(None)
        case _:
            return "other", suspend("other")


def match_many_subjects():
    subjects = [0, [1, 2], [3, 4], [5], {"key": 1, "more": 2}, Point(1, 2), Point(1, 9), "s", None]
    return [_match(subject) for subject in subjects]


def match_what_a_call_returns():
    match suspend([1, suspend(2)]):
        case [x, y]:
            return suspend(x + y)
