"""Suspended below ``await``: coroutines that are run by a loop over a generator."""

import types

from pickletask import schedule_remove as suspend


@types.coroutine
def _bridge(coroutine):
    return (yield from coroutine)


@types.coroutine
def _give(value):
    return (yield value)


def _run(coroutine):
    """Run a coroutine as an event loop does, but by calls that suspended frames can cross."""

    def whole():
        result.append((yield from _bridge(coroutine)))

    result = []
    for value in whole():
        suspend(("given", value))
    return result[0]


async def _leaf(x):
    return suspend(x)


def run_a_coroutine():
    return _run(_leaf(1))


async def _deep(n):
    return suspend(0) if n == 0 else await _deep(n - 1) + suspend(n)


def await_five_deep():
    return _run(_deep(5))


def give_values_to_the_loop():
    async def main():
        first = await _give(1)
        second = await _leaf(2)
        return first, second, await _give(suspend(3))

    return _run(main())


def hold_operands_around_await():
    async def main():
        return [await _leaf(1), 10 + await _leaf(2), {await _leaf("k"): await _leaf(3)}]

    return _run(main())


class _Manager:
    def __init__(self, log, suppress):
        self.log, self.suppress = log, suppress

    async def __aenter__(self):
        self.log.append(await _leaf("enter"))
        return "entered"

    async def __aexit__(self, kind, value, traceback):
        self.log.append((await _leaf("exit"), repr(value)))
        return self.suppress


def suspend_in_async_with():
    log = []

    async def main():
        async with _Manager(log, False) as name:
            log.append(await _leaf(name))
        async with _Manager(log, True):
            raise ValueError(await _leaf("raised"))
        log.append(suspend("after"))

    _run(main())
    return log


def raise_out_of_async_with():
    log = []

    async def main():
        async with _Manager(log, False):
            raise ValueError(suspend("raised"))

    try:
        _run(main())
    except ValueError as error:
        log.append(suspend(repr(error)))
    return log


class _Ticker:
    def __init__(self, n):
        self.n = n

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.n -= 1
        if await _leaf(self.n) < 0:
            raise StopAsyncIteration
        return suspend(self.n)


def suspend_in_async_for():
    log = []

    async def main():
        async for x in _Ticker(3):
            if x == 1:
                continue
            log.append(await _leaf(x))
        else:
            log.append(suspend("else"))
        async for x in _Ticker(3):
            if suspend(x) == 1:
                break

    _run(main())
    return log


def suspend_in_async_comprehensions():
    async def main():
        a = [x async for x in _Ticker(2)]
        b = {suspend(x): await _leaf(x) for x in range(2)}
        c = [[y async for y in _Ticker(x)] for x in range(2)]
        return a, b, c

    return _run(main())


def pass_exceptions_through_await():
    log = []

    async def fail():
        try:
            await _leaf(1)
            raise KeyError(suspend(2))
        finally:
            log.append(await _leaf("finally"))

    async def main():
        try:
            await fail()
        except KeyError as error:
            log.append(await _leaf(repr(error)))
            raise ValueError("new") from error

    try:
        _run(main())
    except ValueError as error:
        log.append((repr(error.__cause__), suspend(repr(error))))
    return log


class _Awaitable:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        suspend("awaiting")
        got = yield self.value
        return got, suspend(self.value)


def await_an_object():
    async def main():
        return await _Awaitable(7)

    return _run(main())


def hold_a_coroutine_at_rest():
    async def main():
        coroutine = _leaf("late")
        suspend("not awaited yet")
        return await coroutine

    return _run(main())


def send_what_is_waited_for_to_a_coroutine():
    async def work():
        return await _give(1), suspend(2)

    c = work()
    first = c.send(None)
    try:
        c.send(suspend(3))
    except StopIteration as stop:
        return first, stop.value
