"""Suspended in the steps of asynchronous generators, and in what else ``await`` meets of CPython.

An event loop is here what drives a coroutine with send() or throw(). It suspends as well, so that a
step is saved while it is under way inside a task, and while it waits for the event loop.
"""

import contextlib
import sys
import types

from pickletask import schedule_remove as suspend


@types.coroutine
def _give(value):
    """Give a value to the event loop, and return what that sends."""
    return (yield value)


def _run(coroutine, *events):
    """Run a coroutine as an event loop does; events are what it sends, or throws, in turn."""
    events = [None, *events]
    try:
        while True:
            event = events.pop(0) if events else None
            if isinstance(event, BaseException):
                value = coroutine.throw(event)
            else:
                value = coroutine.send(event)
            suspend(("given", value))
    except StopIteration as stop:
        return stop.value


async def _leaf(value):
    await _give("leaf")
    return suspend(value)


async def _count(n):
    for i in range(n):
        got = yield suspend(i) + await _leaf(10)
        if got is not None:
            suspend(("got", got))


def loop_over_an_async_generator():
    async def main():
        log = []
        async for x in _count(3):
            log.append(suspend(x))
        else:
            log.append("else")
        async for x in _count(3):
            if x:
                break
        return log

    return _run(main())


def comprehend_async_generators():
    async def main():
        squares = [x * x async for x in _count(2) if suspend(True)]
        table = {x: [y async for y in _count(1)] async for x in _count(2)}
        lazy = (suspend(x) async for x in _count(2))
        return squares, table, [x async for x in lazy], {x async for x in _count(2)}

    return _run(main())


def send_values_by_asend():
    async def main():
        g = _count(3)
        return [await g.asend(None), await g.asend("a"), await g.__anext__()]

    return _run(main())


def give_what_the_event_loop_sends():
    async def echo():
        got = yield await _give("first")
        while True:
            got = yield got, suspend(await _give(got))

    async def main():
        g = echo()
        return await anext(g), await g.asend(5), await g.asend(6)

    return _run(main(), "one", "two", None, "four")


async def _careful(log):
    try:
        try:
            yield suspend("first")
        except ValueError as error:
            log.append((await _leaf("caught"), repr(error)))
            yield suspend("second")
    finally:
        log.append((suspend("closing"), await _leaf("closed")))


def throw_by_athrow():
    log = []

    async def main():
        g = _careful(log)
        log.append(await g.asend(None))
        log.append(await g.athrow(ValueError(suspend(1))))
        try:
            await g.athrow(KeyError, KeyError(suspend(2)))
        except KeyError as error:
            log.append(await _leaf(repr(error)))
        try:
            await g.athrow(ValueError(3))
        except (ValueError, StopAsyncIteration) as error:
            log.append(suspend(repr(error)))

    _run(main())
    return log


def close_by_aclose():
    log = []

    async def main():
        g = _careful(log)
        await g.asend(None)
        log.append(await g.aclose())
        log.append(await g.aclose())
        log.append([x async for x in g])

    _run(main())
    return log


def refuse_to_be_closed():
    async def stubborn():
        try:
            yield
        except GeneratorExit:
            yield suspend("no")

    async def main():
        g = stubborn()
        await anext(g)
        try:
            await g.aclose()
        except RuntimeError as error:
            return suspend(str(error))

    return _run(main())


def close_at_the_end_of_a_block():
    log = []

    async def main():
        async with contextlib.aclosing(_careful(log)) as g:
            async for x in g:
                log.append(suspend(x))
                break

    _run(main())
    return log


def enter_an_async_context_manager():
    log = []

    @contextlib.asynccontextmanager
    async def manager(name):
        log.append(suspend(("enter", name)))
        try:
            yield await _leaf(name)
        except ValueError as error:
            log.append((suspend("handled"), repr(error), await _leaf(2)))
        finally:
            log.append(("exit", await _leaf(name)))

    async def main():
        async with manager("a") as a, manager("b") as b:
            log.append(await _leaf((a, b)))
            raise ValueError(suspend("raised"))
        async with contextlib.AsyncExitStack() as stack:
            log.append(await stack.enter_async_context(manager("c")))
            stack.push_async_callback(_leaf, "callback")

    _run(main())
    return log


def ask_by_anext():
    async def main():
        g = _count(1)
        log = [await anext(g), await anext(g, suspend("none"))]
        try:
            await anext(g)
        except StopAsyncIteration as error:
            log.append(suspend(repr(error)))
        return log, await anext(_Ticker(2), "default"), await anext(_Ticker(0), "default")

    return _run(main())


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


class _Awaitable:
    """As many libraries have them."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        return _leaf(self.value).__await__()


def await_what_awaits_a_coroutine():
    async def main():
        return await _Awaitable(1), [await _Awaitable(x) for x in range(2)]

    return _run(main())


def loop_over_what_awaits_a_coroutine():
    log = []
    for x in _leaf("looped").__await__():
        log.append(suspend(x))
    return log


def raise_out_of_an_async_generator():
    async def failing():
        yield 1
        raise KeyError(suspend("failing"))

    async def stopping():
        yield 1
        raise StopAsyncIteration(suspend("stopping"))

    async def main():
        log = []
        try:
            async for x in failing():
                log.append(x)
        except KeyError as error:
            log.append(await _leaf(repr(error)))
        try:
            async for x in stopping():
                log.append(x)
        except RuntimeError as error:
            log.append((await _leaf(repr(error)), repr(error.__cause__)))
        return log

    return _run(main())


def nest_async_generators():
    async def outer(n):
        async for x in _count(n):
            async for y in _count(x % 10 + 1):
                yield suspend(x), y

    async def main():
        return [x async for x in outer(2)]

    return _run(main())


def handle_an_exception_around_a_step():
    async def main():
        log = []
        try:
            raise ValueError(1)
        except ValueError:
            async for x in _handling():
                log.append((x, repr(sys.exception())) if sys.version_info >= (3, 11) else x)
        return log

    return _run(main())


async def _handling():
    try:
        raise KeyError(suspend(2))
    except KeyError:
        yield repr(sys.exc_info()[1])
        suspend(3)
        yield repr(sys.exc_info()[1])
    yield repr(sys.exc_info()[1])


def hold_steps_in_every_state():
    async def main():
        g = _count(3)
        first, second, default = g.asend(None), g.asend("second"), anext(g, "default")
        suspend("not awaited yet")
        log = [await first]
        suspend("one is closed")
        log += [await second, await default]
        try:
            await first
        except RuntimeError as error:
            log.append(suspend(str(error)[:19]))
        ending, throwing = g.aclose(), g.athrow(ValueError, suspend(7))
        suspend("not awaited yet")
        await ending
        try:
            log.append(await throwing)
        except StopAsyncIteration as error:
            log.append(suspend(repr(error)))
        return log

    return _run(main())


def tell_that_a_step_is_under_way():
    async def generator():
        yield suspend("running")

    async def main():
        g = generator()
        seen = [g.ag_running]
        step = g.asend(None)
        seen += [await step, g.ag_running]
        return seen, [x async for x in g], g.ag_frame

    return _run(main())


def refuse_a_second_step_meanwhile():
    async def main():
        g = _count(1)
        step = g.asend(None)
        log = [step.send(None)]
        suspend("under way")
        try:
            g.asend(None).send(None)
        except RuntimeError as error:
            log.append(suspend(str(error)))
        try:
            step.send(None)
        except StopIteration as stop:
            log.append(suspend(stop.value))
        return log

    return _run(main())


# ---- thrown through, and closed ----


def throw_through_delegating_generators():
    log = []

    def inner():
        try:
            yield 1
        except ValueError as error:
            log.append((suspend("caught"), repr(error)))
            yield suspend(2)
        finally:
            log.append(suspend("inner"))

    def outer():
        try:
            log.append((yield from inner()))
        finally:
            log.append(suspend("outer"))

    def outermost():
        yield from outer()

    for how in 0, 1, 2:
        g = outermost()
        log.append(next(g))
        if how == 0:
            error = ValueError(suspend(0))
            log.append(g.throw(error))
            log.append(_list_of(g))
        elif how == 1:
            log.append(g.close())
        else:
            try:
                g.throw(GeneratorExit)
            except GeneratorExit as error:
                log.append(suspend(repr(error)))
    return log


def _list_of(generator):
    return [x for x in generator]


def throw_temporary_exceptions():
    def inner():
        try:
            yield 1
        except ValueError as error:
            yield suspend(repr(error))

    def outer():
        yield from inner()

    g = outer()
    next(g)
    return g.throw(ValueError(suspend(0)))


def throw_from_the_event_loop():
    log = []

    async def generator():
        for i in range(3):
            try:
                yield await _give(i)
            except ValueError as error:
                log.append((suspend(repr(error)), await _leaf(i)))
                yield "caught"

    async def main():
        async for x in generator():
            log.append(suspend(x))

    _run(main(), "one", ValueError(1), "two", "three", ValueError(2))
    return log


def cancel_from_the_event_loop():
    log = []

    async def generator():
        try:
            yield await _give(1)
        finally:
            log.append((suspend("cleaning"), await _leaf("clean")))

    async def inner():
        try:
            async for x in generator():
                log.append(x)
        except KeyError as error:
            log.append(await _leaf(repr(error)))
            raise

    async def main():
        await inner()

    try:
        _run(main(), KeyError("cancelled"))
    except KeyError as error:
        log.append(suspend(repr(error)))
    return log


def close_coroutines_from_outside():
    log = []

    async def innermost():
        try:
            await _give(1)
        except GeneratorExit:
            log.append(suspend("innermost"))
            raise
        finally:
            log.append(suspend("closed"))

    async def inner():
        try:
            await innermost()
        finally:
            log.append(suspend("inner"))

    async def main():
        try:
            await inner()
        finally:
            log.append(suspend("main"))

    coroutine = main()
    log.append(coroutine.send(None))
    log.append(coroutine.close())
    return log


if sys.version_info >= (3, 13):
    # Before, close() of a step doesn't reach the generator.
    def close_steps_from_outside():
        log = []

        async def generator():
            try:
                yield await _give(1)
            finally:
                log.append(suspend("generator"))

        async def main():
            try:
                await anext(generator(), None)
            finally:
                log.append(suspend("main"))

        coroutine = main()
        log.append(coroutine.send(None))
        log.append(coroutine.close())
        return log

    def close_steps_by_hand():
        log = []
        g = _delegating(log)
        step = anext(g, "default")
        try:
            next(step)
        except StopIteration as stop:
            log.append(suspend(stop.value))
        step = g.asend(None)
        log.append(step.send(None))
        log.append(step.close())
        step = g.aclose()
        try:
            next(step)
        except (StopIteration, RuntimeError) as stop:
            log.append(suspend(repr(stop)))
        return log


def throw_while_athrow_is_under_way():
    log = []

    async def main():
        g = _careful(log)
        await g.asend(None)
        try:
            await g.athrow(ValueError, ValueError(suspend(1)))
        except KeyError as error:
            log.append((repr(error), repr(error.__context__)))

    _run(main(), KeyError("interrupted"))
    return log


async def _delegating(log):
    try:
        yield 1
        await _patient(log)
        yield 2
    finally:
        log.append(suspend("delegating"))


async def _patient(log):
    try:
        await _give("patient")
    except GeneratorExit:
        log.append(suspend("exit"))
        raise
    except ValueError as error:
        log.append(await _leaf(repr(error)))


# ---- steps by hand ----


def drive_steps_by_hand():
    log = []
    g = _careful(log)
    first = g.asend(None)
    try:
        first.send(None)
    except StopIteration as stop:
        log.append(suspend(stop.value))
    step = g.athrow(ValueError)
    log.append(step.send(None))
    suspend("under way")
    try:
        next(step)
    except StopIteration as stop:
        log.append(suspend(stop.value))
    step = g.aclose()
    log.append(next(step))
    try:
        step.send("sent")
    except StopIteration as stop:
        log.append(suspend(stop.value))
    return log


def throw_into_steps_by_hand():
    log = []
    g = _delegating(log)
    try:
        g.asend(None).send(None)
    except StopIteration as stop:
        log.append(suspend(stop.value))
    step = anext(g, "default")
    log.append(step.send(None))
    error = ValueError(1)
    log.append(step.throw(error))
    try:
        next(step)
    except StopIteration as stop:
        log.append(suspend(stop.value))
    step = g.asend(None)
    try:
        step.send(None)
    except StopAsyncIteration as stop:
        log.append(suspend(repr(stop)))
    return log


def call_methods_of_what_awaits():
    log = []
    wrapper = _patient(log).__await__()
    log.append(next(wrapper))
    error = ValueError(1)
    log.append(wrapper.throw(error))
    try:
        wrapper.send(None)
    except StopIteration as stop:
        log.append(suspend(stop.value))
    wrapper = _patient(log).__await__()
    next(wrapper)
    log.append(wrapper.close())
    return log
