"""Examples of the objects that ``await`` meets, whose types have no names."""

import sys

__all__ = ["examples"]


class _Given:
    """An asynchronous iterator with one awaitable."""

    def __init__(self, awaitable):
        self.awaitable = awaitable

    def __anext__(self):
        return self.awaitable


def default_of(awaitable, default):
    """What ``anext(iterator, default)`` makes of the iterator's awaitable."""
    return anext(_Given(awaitable), default)


def examples():
    """Return one object each of asend(), athrow(), anext() and __await__(); all are closed."""

    async def generate():
        yield

    async def nothing():
        pass

    # No event loop is to hear of these.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        found = generate().asend(None), generate().aclose()
    finally:
        sys.set_asyncgen_hooks(*hooks)
    coroutine = nothing()
    found += default_of(None, None), coroutine.__await__()
    for step in found[:2]:
        step.close()
    coroutine.close()
    return found
