"""Suspended below Context.run(), and with contexts and context variables in the hand.

Contexts are saved on request only, by pickletask's own picklers.
"""

import contextvars
import functools

from pickletask import schedule_remove as suspend

_VARIABLE = contextvars.ContextVar("VARIABLE", default="nothing")


class _Holder:
    variable = contextvars.ContextVar("variable")


def _change(*values, **more):
    """Change the variable in the context of now."""
    for value in values:
        _VARIABLE.set((_VARIABLE.get(), suspend(value)))
    return _VARIABLE.get(), sorted(more)


def run_in_a_context():
    context = contextvars.Context()
    first = context.run(_change, 1)
    second = context.run(_change, suspend(2), 3, k=4)
    return first, second, _VARIABLE.get(), context[_VARIABLE]


def run_by_a_bound_method():
    context = contextvars.Context()
    run, many = context.run, (_change, 1, 2)
    log = [run(_change, 1), run(*many), run(*[_change, 3]), run(_change, *many[1:], **{"k": 1})]
    return log, dict(context.items())[_VARIABLE]


def run_in_nested_contexts():
    log = []

    def outer(value):
        _VARIABLE.set(suspend(value))
        inner = contextvars.copy_context()
        log.append(inner.run(_change, "inner"))
        log.append((_VARIABLE.get(), inner[_VARIABLE], suspend("between")))
        try:
            inner.run(outer, value - 1) if value else contextvars.copy_context().run(_change)
        except RuntimeError as error:
            log.append(repr(error))

    context = contextvars.copy_context()
    context.run(outer, 1)
    log.append((_VARIABLE.get("unset"), context[_VARIABLE]))
    return log


def leave_a_context_by_an_exception():
    def fail():
        _VARIABLE.set(suspend("failing"))
        raise ValueError(suspend(_VARIABLE.get()))

    context = contextvars.Context()
    try:
        context.run(fail)
    except ValueError as error:
        log = [suspend(repr(error)), _VARIABLE.get("unset")]
    return log + [context[_VARIABLE], context.run(_change, "again")]


@functools.lru_cache(0)
def _cached(x):
    return _change(x)


class _Callable:
    def method(self, x):
        return _change(x)


def run_what_is_no_plain_function():
    context = contextvars.Context()
    log = [context.run(_Callable().method, 1), context.run(functools.partial(_change, 2))]
    return log, context.run(functools.partial(_change, 3), 4, k=5), context.run(_cached, 6)


def run_a_generator_in_a_context():
    def generate():
        for i in range(3):
            _VARIABLE.set(suspend(i))
            yield _VARIABLE.get()

    context, g = contextvars.Context(), generate()

    def step():
        return next(g)

    return [context.run(step) for _ in range(3)], context[_VARIABLE]


def keep_the_own_context():
    _VARIABLE.set("own")
    _Holder.variable.set(suspend("held"))
    log = [_VARIABLE.get(), _Holder.variable.get()]
    _VARIABLE.set(suspend("changed"))
    copied = contextvars.copy_context()
    suspend("copied")
    return log, _VARIABLE.get(), copied[_VARIABLE], _Holder.variable in copied


def refuse_to_enter_twice():
    context = contextvars.Context()

    def again():
        suspend("inside")
        try:
            context.run(_change, 1)
        except RuntimeError as error:
            return str(error)[:20]

    return context.run(again), context.run(_change, 2)


def hold_a_variable():
    variable, inner = _VARIABLE, _Holder.variable
    suspend("held")
    return variable is _VARIABLE, inner is _Holder.variable
