"""Generators and coroutines that are pickled by themselves, wherever they wait."""

import sys
import types


def make_counter():
    for i in range(3):  # noqa: UP028
        yield i
    return "returned"


def make_loops():
    log = []
    for i, (a, b) in enumerate(zip([1, 2], "xy", strict=True)):
        for k, v in {"k": a}.items():
            log.append((yield (i, a, b, k, v)))
    n = 0
    while n < 2:
        n += 1
        log.append((yield n))
    else:
        yield "else"
    return log


def make_delegator():
    def inner(n):
        try:
            got = yield n
            yield ("inner", got)
            return n * 10
        finally:
            log.append(n)

    log = []
    total = 0
    for n in (1, 2):
        total += yield from inner(n)
    yield from "ab"
    yield (total, log)


def make_delegation_to_sequences():
    got = yield from [1, 2, 3]
    for x in (4, 5):
        yield x, got
        for y in "ab":
            yield from (x, y)
            yield from b"\1\2"


def make_five_levels():
    def level(n):
        if n:
            return 1 + (yield from level(n - 1))
        yield "bottom"
        return 0

    yield (yield from level(5))


def make_three_hundred_levels():
    def level(n):
        if n:
            return 1 + (yield from level(n - 1))
        yield "bottom"
        return 0

    yield (yield from level(300))


def make_handler():
    try:
        raise ValueError("handled")
    except ValueError as error:
        yield repr(error)
        yield repr(sys.exc_info()[1])
        try:
            raise KeyError("inner")
        except KeyError:
            yield repr(sys.exc_info()[1].__context__)
        yield repr(sys.exc_info()[1])
        try:
            raise
        except ValueError as again:
            yield again is error
    yield repr(sys.exc_info()[1])


def make_cleaner():
    log = []
    try:
        try:
            yield 1
        finally:
            log.append("inner")
            yield 2
    finally:
        log.append("outer")
        yield log
    yield "end"


class Manager:
    def __init__(self, log):
        self.log = log

    def __enter__(self):
        self.log.append("enter")
        return self

    def __exit__(self, kind, value, traceback):
        self.log.append(repr(value))
        return True


def make_guarded():
    log = []
    with Manager(log), Manager(log) as inner:
        yield log
        inner.log.append("body")
        yield 1
        raise ValueError("suppressed")
    yield log


def make_groups():
    try:
        raise ExceptionGroup("g", [ValueError(1), KeyError(2)])
    except* ValueError as group:
        yield [repr(e) for e in group.exceptions]
    except* KeyError:
        yield "key"
    yield "after"


def make_comprehension():
    yield [x + y for x in [1, (yield "before")] for y in (1, 2)]


def make_expression():
    return (x * y for x in range(3) for y in (1, 2) if x)


def make_closure():
    count = 0

    def bump():
        nonlocal count
        count += 1
        return count

    for _ in range(3):
        yield bump(), count
        count += 10


def make_unbound():
    for turn in range(2):
        try:
            yield value  # noqa: F821
        except UnboundLocalError:
            yield "unbound"
        value = turn
        yield turn
        if turn:
            del value
            yield "deleted"


def make_failure():
    yield 1
    raise KeyError("failed")


def make_operands():
    got = [1, (yield "a"), {"k": (yield "b")}, f"{(yield 'c')}|{(yield 'd')}", *[(yield "e")]]
    yield got
    yield (1 + len(got)) * len((yield got, (yield got)))


def make_receiver():
    got = None
    for _ in range(4):
        got = yield ("got", got)


class Walker:
    def __init__(self, items):
        self.items = items

    def walk(self, *args, key=1, **kwargs):
        for item in self.items:
            yield item, args, key, kwargs, type(self).__name__

    @classmethod
    def of_class(cls):
        yield cls.__name__
        yield __class__.__name__


def make_method():
    return Walker([1, 2]).walk(3, key=4, more=5)


def make_class_method():
    return Walker.of_class()


def make_lambda():
    return (lambda n: (yield n) or (yield n + 1))(5)


def make_unused():
    return
    yield


@types.coroutine
def _pause(value):
    return (yield value)


async def make_coroutine():
    first = await _pause(1)
    return first, await _pause(2), [await _pause(x) for x in (3, 4)]


async def make_deep_coroutine():
    async def level(n):
        return await _pause("bottom") if n == 0 else (await level(n - 1), n)

    return await level(5)


class AsyncManager:
    async def __aenter__(self):
        return await _pause("enter")

    async def __aexit__(self, kind, value, traceback):
        return (await _pause(repr(value))) or True


async def make_async_with():
    async with AsyncManager() as entered:
        await _pause(("body", entered))
        raise ValueError("suppressed")
    return await _pause("after")


class AsyncTicker:
    def __init__(self, n):
        self.n = n

    def __aiter__(self):
        return self

    async def __anext__(self):
        await _pause(self.n)
        if self.n == 0:
            raise StopAsyncIteration
        self.n -= 1
        return self.n


async def make_async_for():
    async for x in AsyncTicker(2):
        await _pause(("body", x))
    else:
        await _pause("else")
    return [x async for x in AsyncTicker(2) if await _pause(True) is None]


@types.coroutine
def make_generator_coroutine():
    got = yield 1
    yield ("got", got)
