"""Suspended inside generators that loops and ``yield from`` run, and beside others at rest."""

from pickletask import schedule_remove as suspend


def _count(n):
    for i in range(n):
        yield suspend(i)
    return suspend("returned")


def loop_over_a_generator():
    log = []
    for x in _count(3):
        log.append(x)
    return log


def suspend_in_the_loop_and_in_the_generator():
    log = []
    for x in _count(2):
        log.append(suspend(("body", x)))
    else:
        log.append(suspend("else"))
    return log


def loop_over_generators_in_generators():
    def outer():
        for x in _count(2):
            for y in _count(2):
                yield suspend((x, y))

    log = []
    for pair in outer():
        log.append(pair)
    return log


def yield_from_a_generator():
    def outer():
        result = yield from _count(2)
        yield ("result", result)

    log = []
    for x in outer():
        log.append(suspend(x))
    return log


def _nested(depth):
    if depth:
        return (yield from _nested(depth - 1)) + 1
    yield suspend("bottom")
    return suspend(0)


def _drain(generator):
    result = yield from generator
    yield ("result", result)


def yield_from_five_deep():
    log = []
    for x in _drain(_nested(5)):
        log.append(suspend(x))
    return log


def yield_from_three_hundred_deep():
    log = []
    for x in _drain(_nested(300)):
        log.append(x)
    return log


def yield_from_lists_and_iterators():
    def outer():
        yield from [suspend(1), 2]
        yield from "ab"
        yield from range(suspend(2))
        yield from {1: 2}.items()

    log = []
    for x in outer():
        log.append(suspend(x))
    return log


def loop_over_a_generator_expression():
    log = []
    for x in (suspend(i) * 2 for i in range(3) if suspend(True)):
        log.append(x)
    return log


def loop_over_nested_generator_expressions():
    log = []
    for x in ((suspend(y) for y in range(z)) for z in range(3)):
        for w in x:
            log.append(w)
    return log


def leave_a_generator_before_its_end():
    log = []

    def generator():
        try:
            for i in range(5):
                yield suspend(i)
        finally:
            log.append("closed")

    for x in generator():
        if x == 1:
            break
    log.append(suspend("after"))
    return log


def resume_a_generator_in_a_second_loop():
    g, log = _count(5), []
    for x in g:
        log.append(x)
        if x == 1:
            break
    suspend("between")
    for x in g:
        log.append(suspend(x))
    return log


def hold_the_generator_of_a_loop_in_a_local_too():
    g, log = _count(3), []
    for x in g:
        log.append((suspend(x), g.gi_running, g.gi_frame is not None))
    log.append((g.gi_frame is None, list(g)))
    return log


def refer_to_itself_from_a_generator():
    def generator():
        yield suspend(me is not None)
        yield suspend(me.gi_running)

    me = generator()
    return [x for x in me]


def _quiet(n):
    for i in range(n):
        received = yield i
        if received:
            yield ("received", received)


def hold_two_references_to_a_generator():
    g = _quiet(5)
    h = g
    next(g)
    suspend("held")
    return next(g), next(h), g is h


def step_where_anything_is_called():
    # CPython specialises this place for callables of any kind.
    def call(function, argument):
        return function(argument)

    for i in range(50):
        call((1).__add__, i)
    g = _count(4)
    return call(next, g), call(g.send, None), call(next, g)


def hold_generators_in_all_states():
    unstarted, started, exhausted, closed = _quiet(3), _quiet(3), _quiet(1), _quiet(3)
    next(started)
    list(exhausted)
    next(closed)
    closed.close()
    suspend("all states")
    return list(unstarted), started.send("s"), list(started), list(exhausted), list(closed)


def hold_a_generator_that_handles_an_exception():
    def generator():
        try:
            raise ValueError("inside")
        except ValueError as error:
            yield 1
            yield repr(error)
            try:
                raise
            except ValueError as again:
                yield again is error

    g = generator()
    next(g)
    suspend("handling")
    return list(g)


def throw_into_a_generator_at_rest():
    def generator():
        try:
            yield 1
        except ValueError as error:
            yield ("caught", repr(error))

    g = generator()
    next(g)
    suspend("at rest")
    return g.throw(ValueError("thrown")), list(g)


def pass_an_exception_through_generators():
    log = []

    def inner():
        try:
            yield suspend(1)
            raise ValueError(suspend("raise"))
        finally:
            log.append(suspend("inner finally"))

    def outer():
        try:
            yield from inner()
        except KeyError:
            log.append("never")

    try:
        for x in outer():
            log.append(suspend(x))
    except ValueError as error:
        log.append(suspend(repr(error)))
    return log


class _Holder:
    def __init__(self, generator):
        self.send = generator.send


def resume_by_methods_that_no_variable_holds():
    log = []

    def generator():
        log.append(suspend((yield 1)))
        log.append(suspend((yield 2)))
        yield suspend(3)

    g = generator()
    next(g)
    senders = [g.send]
    log.append(senders[0]("in a list"))
    holder = _Holder(g)
    log.append(holder.send("in an object"))
    return log


def ask_with_a_default_that_no_variable_holds():
    def generator():
        suspend(1)
        return
        yield

    return next(generator(), [suspend(2)])


def loop_over_generators_while_handling():
    log = []

    def generator():
        import sys

        yield suspend(repr(sys.exc_info()[1]))
        try:
            raise KeyError("inner")
        except KeyError:
            yield suspend(repr(sys.exc_info()[1]))
        yield suspend(repr(sys.exc_info()[1]))

    try:
        raise ValueError("outer")
    except ValueError:
        for x in generator():
            log.append((x, suspend("loop")))
    return log


def return_out_of_a_loop_over_a_generator():
    def find():
        for x in _count(4):
            if suspend(x) == 2:
                return x

    return find()


def unwind_a_loop_over_a_generator():
    log = []
    try:
        for x in _count(3):
            if x == 1:
                raise KeyError(suspend(x))
            log.append(x)
    except KeyError as error:
        log.append(suspend(error.args))
    return log


def take_a_method_of_a_class_as_generator():
    return [suspend(x) for x in _Tree(_Tree(None, 1, None), 2, _Tree(None, 3, None))]


class _Tree:
    def __init__(self, left, value, right):
        self.left, self.value, self.right = left, value, right

    def __iter__(self):
        if self.left:
            yield from self.left
        yield suspend(self.value)
        if self.right:
            yield from self.right


def keep_attributes_of_generators():
    g = _quiet(3)
    g.__name__ = "renamed"
    next(g)
    suspend("held")
    return g.__name__, g.__qualname__, g.gi_code.co_name, g.gi_frame.f_locals, list(g)


def receive_none_in_a_generator_run_by_a_loop():
    log = []

    def generator():
        got = yield suspend(1)
        log.append(suspend(got))

    for x in generator():
        log.append(x)
    return log


def recurse_through_generators():
    def walk(n):
        yield suspend(n)
        for i in range(n):
            yield from walk(i)

    log = []
    for x in walk(3):
        log.append(x)
    return log


def send_what_is_waited_for():
    def echo():
        value = yield
        while True:
            value = yield suspend(value)

    g = echo()
    next(g)
    return g.send(suspend(1)), [g.send(suspend(2)), g.send([suspend(3)])]
