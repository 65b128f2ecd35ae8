"""Calls from places that called objects before: from then on these serve callables of no type."""

import types

from pickletask import schedule_remove as suspend


class Callable:
    def __call__(self, *args):
        return args


def _call(function, first):
    return function(first)


def _call_two(function, first, second):
    return function(first, second)


def _call_three(function, first, second, third):
    return function(first, second, third)


for _ in range(100):
    _call(Callable(), 1)
    _call_two(Callable(), 1, 2)
    _call_three(Callable(), 1, 2, 3)


class Answering:
    @property
    def known(self):
        return suspend("known")

    @known.setter
    def known(self, value):
        self.__dict__["set"] = suspend(value)

    @known.deleter
    def known(self):
        self.__dict__["set"] = suspend("deleted")

    def __getattr__(self, name):
        if name != "unknown":
            raise AttributeError(suspend(name) if name == "missing" else name)
        return suspend(name)

    def __divmod__(self, other):
        return suspend("divmod"), other

    def __rpow__(self, other):
        return suspend("pow"), other

    def __len__(self):
        return suspend(3)

    def __round__(self, digits=None):
        return suspend("round"), digits

    def __format__(self, spec):
        return suspend(spec)

    def __next__(self):
        if suspend("next"):
            return 5
        raise StopIteration


def call_functions_of_attributes():
    a = Answering()
    log = [_call_two(getattr, a, "known"), _call_two(getattr, a, "unknown")]
    log += [_call_three(getattr, a, "missing", "default"), _call_two(hasattr, a, "missing")]
    _call_three(setattr, a, "known", 3)
    log.append(a.set)
    _call_two(delattr, a, "known")
    return [*log, a.set]


def call_functions_of_operators():
    a = Answering()
    log = [_call_two(divmod, a, 1), _call_two(pow, 2, a), _call(len, a)]
    return [*log, _call(round, a), _call_two(round, a, 1), _call_two(format, a, "spec")]


def call_functions_that_resume():
    def generator():
        try:
            yield suspend(1)
            yield suspend(2)
        except ValueError as error:
            yield suspend(repr(error))
        finally:
            suspend("ending")

    g = generator()
    log = [_call(next, g), _call(g.send, "sent"), _call(g.throw, ValueError("thrown"))]
    log += [_call_two(next, g, "default"), _call(next, Answering())]
    return [*log, _call_two(next, Answering(), "default")]


@types.coroutine
def _wait():
    return (yield)


def call_methods_of_steps():
    async def generator():
        try:
            yield suspend(1)
            await _wait()
            yield suspend(2)
        except ValueError as error:
            yield suspend(repr(error))

    def finish(function, argument):
        try:
            return "goes on", _call(function, argument)
        except (StopIteration, StopAsyncIteration) as error:
            return type(error).__name__, error.args

    g = generator()
    log = [finish(g.asend(None).send, None)]
    step = g.asend(None)
    log += [finish(next, step), finish(step.throw, ValueError("thrown"))]
    return [*log, finish(next, g.asend(None))]


class Made:
    def __new__(cls, *args):
        made = super().__new__(cls)
        made.args = args, suspend("new") if args else None
        return made

    def __init__(self, *args):
        self.more = suspend("init")


def call_classes():
    log = []
    for made in _call(Made, 1), _call_two(Made, 1, 2), _call_three(Made, 1, 2, 3):
        log.append((made.args, made.more))
    return log


def call_functions_that_execute():
    names = {"suspend": suspend}
    _call_two(exec, "x = suspend(1)", names)
    return names["x"], _call_two(eval, "suspend(2) + x", names)
