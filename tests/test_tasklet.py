"""Tasklets: binding, starting, stopping, and what they show of themselves."""

import collections
import contextvars
import functools
import gc
import itertools
import json
import sys
import threading
import traceback
import weakref

import pytest
from conftest import SLOWDOWN

import pickletask
from pickletask import TaskletExit, bomb, channel, getcurrent, getmain, run, schedule, tasklet

pytestmark = pytest.mark.usefixtures("mode")


@pytest.fixture(autouse=True)
def clean_queue():
    """Each test finds, and has to leave, nothing but the main tasklet in the run queue."""
    assert pickletask.getruncount() == 1
    yield
    left = []
    while getcurrent().next is not getcurrent():
        left.append(getcurrent().next)
        left[-1].kill()
    assert left == []


def nothing():
    """Do nothing."""


def pausing(log, name="task"):
    """A function that pauses twice, and notes all that happens to it."""

    def function(*args, **kwargs):
        log.append((name, "begins", args, kwargs))
        try:
            log.append((name, "got", pickletask.schedule_remove("first")))
            log.append((name, "got", pickletask.schedule_remove("second")))
        except BaseException as error:
            log.append((name, "caught", type(error), error.args))
            raise
        finally:
            log.append((name, "ends"))

    return function


def paused(log=None):
    """A tasklet that has begun and paused."""
    task = tasklet(pausing([] if log is None else log))()
    run()
    assert task.paused
    return task


def blocked():
    """A tasklet that waits at a channel, and the channel."""
    ch = channel()
    task = tasklet(ch.receive)()
    run()
    assert task.blocked
    return task, ch


# ---- making, binding ----------------------------------------------------------------------------


def test_new_tasklet_is_bound_and_not_alive():
    task = tasklet(nothing)
    assert not task.alive
    assert not task.scheduled
    assert not task.blocked
    assert not task.paused
    assert task.frame is None
    assert task.next is None and task.prev is None


def test_new_tasklet_without_function_can_be_bound_later():
    log = []
    task = tasklet()
    assert task.bind(log.append) is task
    task("x")
    run()
    assert log == ["x"]


def test_new_with_arguments_is_ready_and_paused():
    log = []
    task = tasklet(lambda *a, **k: log.append((a, k)), (1,), {"x": 2})
    assert task.alive and task.paused and not task.scheduled
    assert pickletask.getruncount() == 1
    task.insert()
    run()
    assert log == [((1,), {"x": 2})]


def test_new_takes_keyword_arguments():
    log = []
    tasklet(func=lambda *a, **k: log.append((a, k)), args=(1,), kwargs={"x": 2}).run()
    tasklet(kwargs={"y": 3}, func=lambda *a, **k: log.append((a, k))).run()
    assert log == [((1,), {"x": 2}), ((), {"y": 3})]


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((1,), {}, "tasklet func must be a callable"),
        ((nothing, [1]), {}, "tasklet args must be a tuple or None, not list"),
        ((nothing, (), []), {}, "tasklet kwargs must be a dict or None, not list"),
        ((nothing, (), {1: 2}), {}, "keywords must be strings, not int"),
        ((nothing, (), {}, 1), {}, "at most 3 arguments"),
        ((), {"nonsense": 1}, "nonsense"),
        ((nothing,), {"func": nothing}, "func"),
    ],
)
def test_new_with_bad_arguments_raises_typeerror(args, kwargs, text):
    with pytest.raises(TypeError, match=text):
        tasklet(*args, **kwargs)
    if text != "at most 3 arguments":
        subclass = type("subclass", (tasklet,), {})
        with pytest.raises(TypeError, match=text):
            subclass(*args, **kwargs)


def test_bind_with_bad_arguments_changes_nothing():
    log = []
    task = tasklet(log.append)
    for bad in ((1,), (nothing, [1]), (nothing, (), 1), (nothing, (), {1: 1})):
        with pytest.raises(TypeError):
            task.bind(*bad)
    task("still bound")
    run()
    assert log == ["still bound"]


def test_bind_does_not_schedule():
    log = []
    task = tasklet().bind(log.append, ("x",))
    assert task.alive and not task.scheduled
    run()
    assert log == []
    task.run()
    assert log == ["x"]


def test_bind_arguments_alone_uses_the_bound_function():
    log = []
    tasklet(log.append).bind(args=("x",)).run()
    assert log == ["x"]
    with pytest.raises(RuntimeError, match="^the tasklet was not bound to a function"):
        tasklet().bind(args=())


def test_bind_nothing_unbinds():
    task = tasklet(nothing, ())
    assert task.alive
    task.bind()
    assert not task.alive
    with pytest.raises(RuntimeError, match="^the tasklet was not bound to a function"):
        task()


def test_bind_dead_tasklet_revives_it():
    log = []
    task = tasklet(log.append)(1)
    run()
    assert not task.alive
    task.bind(log.append)
    task(2)
    run()
    for n in 3, 4:
        task.bind(log.append, (n,)).run()
    assert log == [1, 2, 3, 4]


def test_bind_running_scheduled_blocked_or_suspended_is_refused():
    with pytest.raises(RuntimeError, match=r"^can't \(re\)bind the current tasklet"):
        getcurrent().bind(nothing)
    task = tasklet(nothing)()
    with pytest.raises(RuntimeError, match=r"^can't \(re\)bind a runnable tasklet"):
        task.bind(nothing)
    run()
    task, ch = blocked()
    with pytest.raises(RuntimeError, match=r"^can't \(re\)bind a runnable tasklet"):
        task.bind(nothing)
    ch.send(None)
    task = paused()
    with pytest.raises(RuntimeError, match="^tasklet has C state on its stack"):
        task.bind(nothing)
    task.kill()


def test_bind_main_to_nothing_is_refused():
    main = getmain()
    seen = []

    def task():
        with pytest.raises(RuntimeError, match="^can't unbind the main tasklet"):
            main.bind()
        seen.append(1)

    tasklet(task)()
    run()
    assert seen == [1]


def test_setup_returns_the_tasklet_and_schedules_it():
    log = []
    task = tasklet(lambda *a, **k: log.append((a, k)))
    assert task.setup(1, x=2) is task
    assert task.scheduled and task.alive and not task.paused
    run()
    task = tasklet(lambda *a, **k: log.append((a, k)))
    assert task(3) is task
    run()
    assert log == [((1,), {"x": 2}), ((3,), {})]


def test_setup_alive_is_refused():
    standing = paused()
    task = tasklet(nothing)()
    for call in task, task.setup, standing, standing.setup:
        with pytest.raises(RuntimeError, match="^tasklet is alive"):
            call()
    run()


def test_setup_unbound_is_refused():
    with pytest.raises(RuntimeError, match="^the tasklet was not bound to a function"):
        tasklet()()


def test_function_with_wrong_arguments_raises_in_run():
    tasklet(nothing)(1, 2)
    with pytest.raises(TypeError, match="nothing"):
        run()


# ---- callables ----------------------------------------------------------------------------------


class Callable:
    """Several kinds of callables, each noting its arguments and switching once."""

    def __init__(self, log):
        self.log = log

    def __call__(self, *args, **kwargs):
        schedule()
        self.log.append((args, kwargs))

    def method(self, *args, **kwargs):
        return self(*args, **kwargs)

    @classmethod
    def of_class(cls, log, *args, **kwargs):
        cls(log)(*args, **kwargs)

    @staticmethod
    def static(log, *args, **kwargs):
        Callable(log)(*args, **kwargs)


class Metaclass(type):
    """A class of classes that are called by Python code."""

    def __call__(cls, log, *args, **kwargs):
        schedule()
        log.append((args, kwargs))


class StaticCall:
    """__call__ that gets no self."""

    log = None

    @staticmethod
    def __call__(*args, **kwargs):
        schedule()
        StaticCall.log.append((args, kwargs))


CALLABLES = {
    "function": lambda log: functools.partial(Callable.static, log).func,
    "method": lambda log: Callable(log).method,
    "classmethod": lambda log: functools.partial(Callable.of_class, log),
    "instance": Callable,
    "partial": lambda log: functools.partial(Callable(log), 1, x=0),
    "partial of partial of method": lambda log: functools.partial(
        functools.partial(functools.partial(Callable(log).method), 1), x=5
    ),
    "partial subclass": lambda log: type("P", (functools.partial,), {})(Callable(log), 1),
    "builtin": lambda log: functools.partial(map, Callable(log)),
    "class": lambda log: functools.partial(Metaclass("C", (), {}), log),
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_callable_of_each_kind_gets_its_arguments(kind):
    log = []
    function = CALLABLES[kind](log)
    args, kwargs = (2, 3), {"x": 4, "y": 5}
    if kind == "builtin":
        task = tasklet(lambda: list(function([1, 2])))()
        expected = [((1,), {}), ((2,), {})]
    else:
        if kind == "function":
            args = (log, *args)
        task = tasklet(function)(*args, **kwargs)
        first = (1,) if "partial" in kind else ()
        expected = [((*first, 2, 3), {"x": 4, "y": 5})]
    run()
    assert not task.alive
    assert log == expected


def test_callable_with_static_call_gets_no_self():
    StaticCall.log = log = []
    tasklet(StaticCall())(1, x=2)
    run()
    assert log == [((1,), {"x": 2})]


def test_callable_keywords_belong_to_the_tasklet():
    log = []
    kwargs = {"x": 1}
    task = tasklet(lambda **k: log.append(k), None, kwargs)
    kwargs["x"] = 2
    task.run()
    keywords = {"y": 1}
    function = functools.partial(lambda **k: log.append(k), **keywords)
    for n in range(2):
        tasklet(function)(z=n)
    run()
    assert log == [{"x": 1}, {"y": 1, "z": 0}, {"y": 1, "z": 1}]
    assert function.keywords == {"y": 1}


def test_arguments_live_until_the_tasklet_ends():
    class Thing:
        pass

    thing = Thing()
    alive = weakref.ref(thing)

    def function(thing):
        del thing
        schedule()
        assert alive() is not None

    task = tasklet(function)(thing)
    del thing
    run()
    assert not task.alive
    gc.collect()
    assert alive() is None


# ---- insert, remove, run, switch ----------------------------------------------------------------


def test_insert_ready_tasklet_runs_last():
    log = []
    tasks = [tasklet(log.append, (n,)) for n in range(3)]
    for task in reversed(tasks):
        assert task.insert() is task
        task.insert()
    assert pickletask.getruncount() == 4
    run()
    assert log == [2, 1, 0]


def test_insert_running_tasklet_does_nothing():
    assert getcurrent().insert() is getcurrent()
    assert pickletask.getruncount() == 1


def test_insert_and_run_blocked_are_refused():
    task, ch = blocked()
    for method in task.insert, task.run, task.switch:
        with pytest.raises(RuntimeError, match="^You cannot run a blocked tasklet"):
            method()
    ch.send(None)
    assert not task.alive


def test_insert_and_run_dead_or_unbound_are_refused():
    dead = tasklet(nothing)()
    run()
    for task in dead, tasklet(), tasklet(nothing):
        for method in task.insert, task.run, task.switch:
            with pytest.raises(RuntimeError, match=r"^You cannot run an unbound\(dead\) tasklet"):
                method()


def test_remove_scheduled_pauses_it():
    log = []
    task = tasklet(log.append)(1)
    assert task.remove() is task
    assert task.paused and task.alive and not task.scheduled
    task.remove()
    run()
    assert log == []
    task.insert()
    run()
    assert log == [1]


def test_remove_running_or_blocked_is_refused():
    with pytest.raises(RuntimeError, match=r"^The current tasklet cannot be removed\."):
        getcurrent().remove()
    task, ch = blocked()
    with pytest.raises(RuntimeError, match=r"^You cannot remove a blocked tasklet\."):
        task.remove()
    ch.send(None)


def test_remove_dead_does_nothing():
    task = tasklet(nothing)()
    run()
    assert task.remove() is task


def test_run_goes_on_behind_the_target():
    log = []
    tasks = [tasklet(log.append)(n) for n in (1, 2, 3)]
    tasks[1].run()
    log.append("main")
    assert log == [2, 3, "main"]
    run()
    assert log == [2, 3, "main", 1]


def test_run_paused_tasklet_comes_back_to_the_caller():
    log = []
    task = paused(log)
    task.run()
    assert log[-1] == ("task", "got", "first")
    assert task.paused
    task.run()
    assert log[-1] == ("task", "ends")
    assert not task.alive


def test_run_current_does_nothing():
    assert getcurrent().run() is None
    assert getcurrent().switch() is None


def test_run_takes_no_arguments():
    task = tasklet(nothing, ())
    for method in task.run, task.switch:
        with pytest.raises(TypeError, match="takes at most 0 arguments"):
            method(1)
        with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
            method(x=1)


def test_switch_pauses_the_caller():
    log = []
    main = getcurrent()

    def first():
        log.append("first")
        second.switch()
        log.append("first again")

    def second_function():
        log.append(one.paused)
        log.append(main.paused)
        log.append(pickletask.getruncount())

    one = tasklet(first)()
    second = tasklet(second_function, ())
    one.switch()
    assert log == ["first", True, True, 1]
    assert one.paused
    one.run()
    assert log[-1] == "first again"


# ---- kill ---------------------------------------------------------------------------------------


def test_kill_new_runs_nothing():
    log = []
    for task in (
        tasklet(pausing(log)),
        tasklet(pausing(log))(),
        tasklet(pausing(log), ()),
        tasklet(),
    ):
        assert task.kill() is None
        assert not task.alive
    run()
    assert log == []


def test_kill_new_releases_its_arguments():
    class Thing:
        pass

    thing = Thing()
    alive = weakref.ref(thing)
    task = tasklet(nothing)(thing)
    del thing
    task.kill()
    assert alive() is None


def test_kill_paused_runs_finally():
    log = []
    task = paused(log)
    assert task.kill() is None
    assert log[1:] == [("task", "caught", TaskletExit, ()), ("task", "ends")]
    assert not task.alive


def test_kill_scheduled_runs_finally():
    log = []
    task = paused(log)
    task.insert()
    task.kill()
    assert log[-1] == ("task", "ends")


def test_kill_blocked_leaves_the_channel():
    task, ch = blocked()
    assert ch.balance == -1
    task.kill()
    assert ch.balance == 0 and ch.queue is None
    assert not task.alive and not task.blocked


def test_kill_dead_does_nothing():
    task = tasklet(nothing)()
    run()
    for pending in False, True:
        assert task.kill(pending) is None
        assert task.kill(pending=pending) is None


def test_kill_current_raises_taskletexit():
    with pytest.raises(TaskletExit):
        getcurrent().kill()
    log = []

    def function():
        try:
            getcurrent().kill()
        finally:
            log.append("finally")
        log.append("unreachable")

    tasklet(function)()
    run()
    assert log == ["finally"]


def test_kill_pending_waits_for_its_turn():
    log = []
    task = paused(log)
    task.kill(pending=True)
    assert task.scheduled and len(log) == 1
    run()
    assert log[-1] == ("task", "ends")
    task, ch = blocked()
    task.kill(True)
    assert task.scheduled and not task.blocked and ch.balance == 0
    run()
    assert not task.alive


def test_kill_pending_new_runs_nothing():
    log = []
    task = tasklet(pausing(log))()
    task.kill(pending=True)
    run()
    assert not task.alive
    assert log == []


def test_kill_pending_current_raises_at_the_next_switch():
    for switch in (
        schedule,
        run,
        pickletask.schedule_remove,
        channel().receive,
        tasklet(nothing).kill,
    ):
        getcurrent().kill(pending=True)
        with pytest.raises(TaskletExit):
            switch()
    schedule()


def test_kill_swallowed_lets_it_live():
    log = []

    def function():
        while True:
            try:
                pickletask.schedule_remove()
            except TaskletExit:
                log.append("swallowed")
                if len(log) == 3:
                    return

    task = tasklet(function)()
    run()
    for n in 1, 2, 3:
        assert task.alive
        task.kill()
        assert len(log) == n
    assert not task.alive


def test_kill_with_bad_arguments_raises():
    task = tasklet(nothing)
    with pytest.raises(TypeError, match="kill.. takes at most 1 argument"):
        task.kill(1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
        task.kill(x=1)
    with pytest.raises(TypeError, match="multiple values for argument 'pending'"):
        task.kill(1, pending=1)

    class Odd:
        def __bool__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        task.kill(Odd())


def test_kill_main_raises_there():
    main = getmain()
    tasklet(main.kill)()
    with pytest.raises(TaskletExit):
        run()
    assert pickletask.getruncount() == 2
    run()


# ---- throw --------------------------------------------------------------------------------------

THROWS = {
    "class": ((ValueError,), ()),
    "class and value": ((ValueError, "x"), ("x",)),
    "class and arguments": ((ValueError, ("x", "y")), ("x", "y")),
    "class and instance": ((ValueError, ValueError("x")), ("x",)),
    "instance": ((ValueError("x"),), ("x",)),
}


@pytest.mark.parametrize("kind", THROWS)
@pytest.mark.parametrize("pending", [False, True])
def test_throw_raises_where_the_tasklet_stands(kind, pending):
    arguments, expected = THROWS[kind]
    log = []
    task = paused(log)
    with pytest.raises(ValueError) as caught:
        task.throw(*arguments, pending=pending)
        assert pending
        assert task.scheduled and len(log) == 1
        run()
    assert caught.value.args == expected
    assert log[1:] == [("task", "caught", ValueError, expected), ("task", "ends")]


def test_throw_keeps_the_traceback():
    try:
        raise ValueError
    except ValueError as error:
        tb = error.__traceback__
    with pytest.raises(ValueError) as caught:
        paused().throw(ValueError, None, tb)
    lines = [line for _, line in traceback.walk_tb(caught.value.__traceback__)]
    assert tb.tb_lineno in lines


def test_throw_shows_the_frames_of_the_tasklet():
    with pytest.raises(ValueError) as caught:
        paused().throw(ValueError)
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert names == ["test_throw_shows_the_frames_of_the_tasklet", "function"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1,), "exceptions must be classes or instances deriving from BaseException, not int"),
        ((int,), "exceptions must be classes or instances deriving from BaseException, not type"),
        ((ValueError(), 1), "instance exception may not have a separate value"),
        ((ValueError, 1, 2), "must be a traceback object, not int"),
        ((), "missing required argument 'exc'"),
        ((1, 2, 3, 4, 5), "at most 4 arguments"),
    ],
)
def test_throw_no_exception_raises_typeerror_in_the_caller(arguments, text):
    task = paused()
    with pytest.raises(TypeError, match=text):
        task.throw(*arguments)
    assert task.paused
    task.kill()


def test_throw_class_that_fails_raises_in_the_caller():
    class Odd(Exception):
        def __init__(self):
            raise ZeroDivisionError

    class Odder(Exception):
        def __new__(cls):
            return 1

    task = paused()
    with pytest.raises(ZeroDivisionError):
        task.throw(Odd)
    with pytest.raises(TypeError, match="should have returned an instance of BaseException"):
        task.throw(Odder)
    with pytest.raises(TypeError, match="should have returned an instance of BaseException"):
        task.raise_exception(Odder)
    assert task.paused
    task.kill()


def test_throw_new_raises_without_running_it():
    log = []
    for pending in False, True:
        task = tasklet(pausing(log))()
        with pytest.raises(ValueError):
            task.throw(ValueError, pending=pending)
            run()
        assert not task.alive
    assert log == []


def test_throw_blocked_leaves_the_channel():
    task, ch = blocked()
    with pytest.raises(ValueError):
        task.throw(ValueError)
    assert ch.balance == 0


def test_throw_dead_is_refused():
    dead = tasklet(nothing)()
    run()
    for task in dead, tasklet(), tasklet(nothing):
        for pending in False, True:
            with pytest.raises(RuntimeError, match="^You cannot throw to a dead tasklet"):
                task.throw(ValueError, pending=pending)
            assert task.throw(TaskletExit, pending=pending) is None
        with pytest.raises(RuntimeError, match="^You cannot throw to a dead tasklet"):
            task.raise_exception(ValueError)


def test_throw_current_raises():
    with pytest.raises(ValueError, match="x"):
        getcurrent().throw(ValueError, "x")
    with pytest.raises(ValueError, match="x"):
        getcurrent().raise_exception(ValueError, "x")


def test_throw_to_running_main_from_a_tasklet():
    tasklet(getmain().throw)(ValueError, "x")
    with pytest.raises(ValueError, match="x"):
        run()
    run()


def test_raise_exception_calls_the_class():
    log = []
    task = paused(log)
    with pytest.raises(KeyError) as caught:
        task.raise_exception(KeyError, 1, 2)
    assert caught.value.args == (1, 2)
    assert log[-2] == ("task", "caught", KeyError, (1, 2))


def test_raise_exception_with_bad_arguments_raises():
    task = paused()
    for bad in ((1,), (int,), (ValueError(),)):
        with pytest.raises(TypeError, match="needs an exception class as first parameter"):
            task.raise_exception(*bad)
    with pytest.raises(TypeError, match="takes at least 1 argument"):
        task.raise_exception()
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        task.raise_exception(ValueError, x=1)
    task.kill()


# ---- attributes ---------------------------------------------------------------------------------


def test_attributes_of_main():
    main = getmain()
    assert main is getcurrent()
    assert main.is_main and main.is_current and main.alive and main.scheduled
    assert not main.paused and not main.blocked
    assert main.thread_id == threading.get_ident()
    assert main.next is main and main.prev is main
    assert main.frame is sys._getframe()


def test_attributes_of_running_tasklet():
    seen = []

    def function():
        task = getcurrent()
        seen.append((task.is_current, task.is_main, task.alive, task.scheduled, task.paused))
        seen.append(task.frame is sys._getframe())
        seen.append(getmain().frame.f_code.co_name)

    task = tasklet(function)()
    assert not task.is_current
    run()
    assert not task.is_current
    assert seen == [(True, False, True, True, False), True, "test_attributes_of_running_tasklet"]


def test_frame_shows_where_a_tasklet_stands():
    def inner():
        schedule()

    def outer():
        inner()

    task = tasklet(outer)()
    assert task.frame is None
    schedule()
    frame = task.frame
    assert frame.f_code is inner.__code__
    assert frame.f_back.f_code is outer.__code__
    assert frame.f_back.f_back is None
    assert frame.f_lineno == inner.__code__.co_firstlineno + 1
    run()
    assert task.frame is None


def test_next_and_prev_follow_the_queue():
    a, b = tasklet(nothing)(), tasklet(nothing)()
    main = getcurrent()
    assert (main.next, a.next, b.next) == (a, b, main)
    assert (main.prev, a.prev, b.prev) == (b, main, a)
    run()
    assert a.next is None


def test_tempval_is_what_the_tasklet_gets():
    log = []
    task = paused(log)
    assert task.tempval == "first"
    task.tempval = "other"
    assert task.tempval == "other"
    task.run()
    assert log[-1] == ("task", "got", "other")
    task.tempval = bomb(ValueError, "x")
    explosive = task.tempval
    assert type(explosive) is bomb
    assert explosive.type is ValueError
    with pytest.raises(ValueError, match="x"):
        task.run()
    assert task.tempval is None


def test_tempval_deleted_is_none():
    log = []
    task = paused(log)
    del task.tempval
    task.run()
    assert log[-1] == ("task", "got", None)
    task.kill()


def test_tempval_of_itself_is_no_cycle():
    task = tasklet(lambda: pickletask.schedule_remove())()
    run()
    assert task.tempval is task
    alive = weakref.ref(task)
    gc.disable()
    try:
        del task
        assert alive() is None
    finally:
        gc.enable()


def test_bomb_shows_its_exception():
    error = ValueError("x")
    for explosive in bomb(ValueError, "x"), bomb(error), bomb(type=ValueError, value=error):
        assert explosive.type is ValueError
        assert str(explosive.value) == "x"
        assert explosive.traceback is None
        assert repr(explosive) == "bomb(ValueError('x'))"
    with pytest.raises(TypeError):
        bomb()
    with pytest.raises(TypeError):
        bomb(1)


def test_flags_can_be_set():
    task = tasklet(nothing)
    assert task.atomic is False and task.ignore_nesting is False and task.block_trap is False
    assert task.set_atomic(True) is False
    assert task.set_atomic(0) is True
    assert task.atomic is False
    assert task.set_ignore_nesting(1) is False
    assert task.ignore_nesting is True
    task.block_trap = True
    assert task.block_trap is True


@pytest.mark.parametrize(
    "name",
    """alive blocked scheduled paused is_main is_current frame next prev thread_id nesting_level
    restorable atomic ignore_nesting""".split(),
)
def test_attribute_cannot_be_set(name):
    with pytest.raises(AttributeError):
        setattr(tasklet(nothing), name, True)


def test_nesting_level_tells_c_calls():
    def plain():
        pickletask.schedule_remove()

    def nested():
        sorted([1], key=lambda x: pickletask.schedule_remove())

    one, other = tasklet(plain)(), tasklet(nested)()
    assert one.nesting_level == 0 and one.restorable
    run()
    assert one.nesting_level == 0 and one.restorable
    assert other.nesting_level > 0 and not other.restorable
    one.kill()
    other.kill()


def test_subclass_takes_its_own_arguments_and_attributes():
    class Task(tasklet):
        def __init__(self, name, *, x=0):
            super().__init__(self.work)
            self.name = name
            self.x = x

        def work(self, log):
            schedule()
            log.append((self.name, self.x, getcurrent() is self))

    log = []
    task = Task("n", x=1)
    task(log)
    run()
    assert log == [("n", 1, True)]
    with pytest.raises(AttributeError):
        tasklet().name = 1


def test_type_is_immutable_and_has_docstrings():
    with pytest.raises(TypeError):
        tasklet.x = 1
    for name in dir(tasklet):
        if not name.startswith("_"):
            assert getattr(tasklet, name).__doc__, name


def test_weak_reference_dies_with_the_tasklet():
    task = tasklet(nothing)()
    dead = []
    ref = weakref.ref(task, dead.append)
    run()
    assert ref() is task
    del task
    assert ref() is None and dead == [ref]


# ---- the end of a suspended tasklet -------------------------------------------------------------


def test_del_paused_runs_finally_at_once():
    log = []
    task = paused(log)
    other = tasklet(log.append)("other")
    del task
    assert log[1:] == [("task", "caught", TaskletExit, ()), ("task", "ends")]
    run()
    assert log[-1] == "other"
    assert not other.alive


def test_del_paused_runs_with_blocks():
    log = []

    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, kind, *rest):
            log.append(kind)

    def function():
        with Manager():
            pickletask.schedule_remove()

    task = tasklet(function)()
    run()
    del task
    assert log == [TaskletExit]


def test_del_keeps_the_exception_that_is_handled():
    log = []
    task = paused(log)
    try:
        raise KeyError("mine")
    except KeyError as error:
        del task
        assert sys.exc_info()[1] is error
    assert log[-1] == ("task", "ends")


def test_del_in_a_tasklet_goes_on_there():
    log = []

    def function():
        task = tasklet(pausing(log))()
        schedule()
        tasklet(log.append)("later")
        del task
        log.append("next")

    tasklet(function)()
    run()
    assert log[-4:] == [("task", "caught", TaskletExit, ()), ("task", "ends"), "next", "later"]


def test_del_of_one_that_swallows_taskletexit_ends():
    log = []

    def function():
        while True:
            try:
                pickletask.schedule_remove()
            except TaskletExit:
                log.append(1)

    task = tasklet(function)()
    run()
    alive = weakref.ref(task)
    del task
    assert alive() is None
    assert len(log) == 10


def test_del_of_one_that_schedules_in_finally_lets_it_end():
    log = []

    def function():
        try:
            pickletask.schedule_remove()
        finally:
            schedule()
            log.append("finally")

    task = tasklet(function)()
    run()
    del task
    assert log == []
    assert pickletask.getruncount() == 2
    run()
    assert log == ["finally"]


def test_del_error_is_unraisable(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_type))

    def function():
        try:
            pickletask.schedule_remove()
        finally:
            raise ValueError

    task = tasklet(function)()
    run()
    del task
    assert seen == [ValueError]


def test_del_many_nested_ends_all():
    depth = 3000
    log = []

    def function(inner, n):
        try:
            pickletask.schedule_remove()
        finally:
            log.append(n)

    task = None
    for n in range(depth):
        task = tasklet(function)(task, n)
        schedule()
    del task
    assert sorted(log) == list(range(depth))


def test_del_many_nested_new_ones_does_not_overflow():
    task = None
    for _ in range(100_000 // SLOWDOWN):
        task = tasklet((lambda inner: lambda: inner)(task), ())
    del task


def test_gc_of_a_cycle_runs_finally():
    log = []

    def function():
        task = getcurrent()
        try:
            pickletask.schedule_remove()
        finally:
            log.append(task.alive)

    task = tasklet(function)()
    run()
    alive = weakref.ref(task)
    del task
    assert log == []
    gc.collect()
    assert log == [True]
    gc.collect()
    assert alive() is None


def leaf():
    pickletask.schedule_remove()


def numbers(held=None):
    task = getcurrent()  # noqa: F841
    leaf()
    yield 1


def numbers_above():
    pickletask.schedule_remove()
    yield 1


def in_generator():
    for _ in numbers():
        pass


def in_innermost_generator():
    for _ in numbers_above():
        return [getcurrent(), *numbers_above()]


def in_iterator():
    for _ in iter([getcurrent()]):
        del _
        for _ in numbers_above():
            pass


def below_call():
    return [getcurrent(), leaf()]


def below_next():
    return [getcurrent(), next(numbers_above())]


def below_send():
    return [getcurrent(), numbers(getcurrent()).send(None)]


def below_spread():
    return [getcurrent(), leaf(*())]


def below_delegation():
    def delegate():
        yield [getcurrent(), (yield from numbers_above())]

    return [getcurrent(), *map(len, delegate())]


def below_coroutine():
    async def wait():
        return [getcurrent(), pickletask.schedule_remove()]

    async def outer():
        return [getcurrent(), await wait()]

    return [getcurrent(), outer().send(None)]


def below_an_error():
    try:
        return [getcurrent(), [].pop()]
    except IndexError:
        return [getcurrent(), leaf()]


HOLDERS = [
    in_generator, in_innermost_generator, in_iterator, below_call, below_next, below_send,
    below_spread, below_delegation, below_coroutine, below_an_error,
]  # fmt: skip


@pytest.mark.parametrize("holder", HOLDERS)
def test_gc_finds_cycles_through_frames(holder):
    task = tasklet(holder)()
    task.run()
    assert task.paused
    task.tempval = None
    alive = weakref.ref(task)
    del task
    gc.collect()
    assert (alive() is None) == (holder is not below_delegation)
    if alive() is not None:
        # What map() called is not known to be all that is between its frame and the next.
        alive().kill()


@pytest.mark.parametrize("holder", HOLDERS)
def test_gc_visits_no_reference_twice(holder):
    task = tasklet(holder)()
    task.run()
    seen = collections.Counter()
    for thing in gc.get_objects():
        seen.update(map(id, gc.get_referents(thing)))
    thing = None
    for thing in gc.get_referents(task):
        if gc.is_tracked(thing):
            assert seen[id(thing)] <= sys.getrefcount(thing), thing
    task.kill()


def test_gc_of_a_lost_channel_ends_those_who_wait():
    log = []

    def function(ch):
        try:
            ch.receive()
        finally:
            log.append("finally")

    ch = channel()
    for _ in range(3):
        tasklet(function)(ch)
    run()
    alive = weakref.ref(ch)
    del ch
    gc.collect()
    assert log == ["finally"] * 3
    gc.collect()
    assert alive() is None


def test_gc_of_a_lost_channel_ends_those_who_swallow_taskletexit():
    count = []

    def function(ch):
        while True:
            try:
                ch.receive()
            except TaskletExit:
                count.append(1)

    ch = channel()
    task = tasklet(function)(ch)
    run()
    alive = weakref.ref(task)
    del ch, task
    for _ in range(4):
        gc.collect()
    assert alive() is None
    assert 0 < len(count) <= 10


def test_gc_spares_what_the_run_queue_holds():
    log = []

    def function():
        task = getcurrent()
        schedule()
        log.append(task)

    tasklet(function)()
    schedule()
    gc.collect()
    run()
    assert len(log) == 1
    log.clear()


def test_switch_in_del_of_any_object():
    log = []

    class Thing:
        def __del__(self):
            log.append("del")
            schedule()
            log.append("deleted")

    def function():
        thing = Thing()
        del thing
        log.append("after")

    tasklet(function)()
    tasklet(log.append)("other")
    run()
    assert log == ["del", "other", "deleted", "after"]


def test_switch_in_del_at_the_end_of_a_tasklet():
    log = []

    class Thing:
        def __del__(self):
            log.append("del")
            schedule()
            log.append("deleted")

    for function in (lambda thing: None, lambda thing: thing):
        tasklet(function)(Thing())
        tasklet(log.append)("other")
        run()
        assert log == ["del", "other", "deleted"]
        log.clear()


def test_kill_in_del_of_a_killed_one():
    log = []
    inner = paused(log)

    class Thing:
        def __del__(self):
            inner.kill()

    def function(thing):
        pickletask.schedule_remove()

    task = tasklet(function)(Thing())
    run()
    task.kill()
    assert log[-1] == ("task", "ends")
    assert not inner.alive


# ---- what each tasklet has for itself -----------------------------------------------------------


def test_exception_state_is_each_tasklets_own():
    log = []

    def function(n):
        try:
            raise ValueError(n)
        except ValueError:
            schedule()
            log.append(sys.exc_info()[1].args)
            schedule()
            try:
                raise
            except ValueError as error:
                log.append(error.args)
        log.append(sys.exc_info())

    for n in range(3):
        tasklet(function)(n)
    run()
    assert log[:3] == [(0,), (1,), (2,)]
    assert log[3:] == [(0,), (None,) * 3, (1,), (None,) * 3, (2,), (None,) * 3]


def test_exception_context_is_the_handled_one():
    def function():
        try:
            raise KeyError
        except KeyError:
            pickletask.schedule_remove()

    task = tasklet(function)()
    run()
    with pytest.raises(ValueError) as caught:
        task.throw(ValueError)
    assert type(caught.value.__context__) is KeyError

    def other():
        schedule()
        raise ValueError

    try:
        raise KeyError
    except KeyError:
        tasklet(other)()
        schedule()
    with pytest.raises(ValueError) as caught:
        run()
    assert caught.value.__context__ is None


def test_context_is_shared_with_the_maker():
    var = contextvars.ContextVar("var", default=0)
    log = []

    def function():
        log.append(var.get())
        var.set(2)
        schedule()
        log.append(var.get())

    def test():
        var.set(1)
        tasklet(function)()
        schedule()
        log.append(var.get())
        var.set(3)
        run()

    contextvars.copy_context().run(test)
    assert log == [1, 2, 3]
    assert var.get() == 0


def test_context_run_in_a_tasklet_stays_there():
    var = contextvars.ContextVar("var", default=0)
    log = []

    def inner(n):
        var.set(n)
        schedule()
        log.append(var.get())

    def function(n):
        contextvars.copy_context().run(inner, n)
        log.append(var.get())

    for n in 1, 2:
        tasklet(function)(n)
    run()
    assert log == [1, 0, 2, 0]


def test_recursion_depth_is_each_tasklets_own():
    def depth():
        try:
            return depth() + 1
        except RecursionError:
            return 0

    log = []

    def function():
        schedule()
        log.append(depth())

    tasklet(function)()
    tasklet(function)()

    def deep(n):
        if n:
            return deep(n - 1)
        run()

    deep(200)
    assert log[0] == log[1] > sys.getrecursionlimit() - 50


@pytest.mark.parametrize("room", [10, 1000])
def test_recursion_that_switches_is_limited(room):
    outcomes = []

    def descend(depth):
        schedule()
        return depth if depth > 2 * room else descend(depth + 1)

    def function():
        try:
            outcomes.append(descend(0))
        except RecursionError:
            outcomes.append("limited")

    # A tasklet isn't deep: it may set a limit that is too low for the main tasklet.
    with_limit(room, function, function)
    assert outcomes == ["limited", "limited"]


def with_limit(limit, *functions):
    """Run the functions in tasklets of their own, under a recursion limit once all have begun."""

    def change():
        old = sys.getrecursionlimit()
        sys.setrecursionlimit(limit)
        while any(task.alive for task in tasks):
            schedule()
        sys.setrecursionlimit(old)

    tasks = [tasklet(function)() for function in functions]
    tasklet(change)()
    run()


def test_limit_that_is_too_low_for_waiting_frames_lets_them_return():
    log = []

    def descend(depth):
        if depth:
            return descend(depth - 1) + 1
        schedule()
        return 0

    with_limit(20, lambda: log.append(descend(40)), lambda: log.append(descend(5)))
    assert log == [40, 5]


RECURSIONS = {
    "python": lambda f: f(),
    "sorted": lambda f: sorted([0], key=lambda x: f()),
    "map": lambda f: list(map(lambda x: f(), [0])),
    "partial": lambda f: functools.partial(f)(),
    "getattr": lambda f: type("A", (), {"__getattr__": lambda s, n: f()})().x,
}


@pytest.mark.parametrize("kind", RECURSIONS)
def test_recursion_too_deep_raises_recursionerror(kind):
    step = RECURSIONS[kind]
    log = []

    def recurse():
        return step(recurse)

    def function():
        schedule()
        try:
            recurse()
        except RecursionError:
            log.append("caught")
        schedule()

    for _ in range(2):
        tasklet(function)()
    run()
    assert log == ["caught"] * 2


def test_recursion_of_c_code_raises_recursionerror():
    log = []

    def nested(n):
        result = []
        for _ in range(n):
            result = [result]
        return result

    def function():
        deep = nested(100_000)
        for action in repr, json.dumps:
            try:
                action(deep)
            except RecursionError:
                log.append(action)
            schedule()

    tasklet(function)()
    run()
    assert log == [repr, json.dumps]


def test_recursion_deep_survives_switches():
    def deep(n):
        if n == 0:
            schedule()
            return 0
        result = deep(n - 1) + 1
        if n % 100 == 0:
            schedule()
        return result

    log = []
    for _ in range(3):
        tasklet(lambda: log.append(deep(800)))()
    run()
    assert log == [800] * 3


def test_many_tasklets_are_alive_at_once():
    count = 100_000 // SLOWDOWN
    done = []

    def function(n):
        schedule()
        done.append(n)

    for n in range(count):
        tasklet(function)(n)
    assert pickletask.getruncount() == count + 1
    schedule()
    assert pickletask.getruncount() == count + 1
    run()
    assert done == list(range(count))


# ---- other machinery ----------------------------------------------------------------------------


def test_generator_is_resumed_by_several_tasklets():
    def numbers():
        for n in itertools.count():
            schedule()
            yield n

    generator = numbers()
    log = []

    def function():
        try:
            log.append(next(generator))
        except ValueError as error:
            log.append(str(error))

    tasklet(function)()
    tasklet(function)()
    run()
    assert log == ["generator already executing", 0]
    assert next(generator) == 1


def test_generator_delegation_and_for_loops_survive():
    def inner():
        for n in range(3):
            schedule()
            yield n

    def outer():
        yield from inner()
        return "returned"

    async def coroutine():
        schedule()
        return "awaited"

    async def awaiting():
        return await coroutine()

    log = []

    def function():
        generator = outer()
        for value in generator:
            log.append(value)
        log.append([n for n in inner()])
        try:
            awaiting().send(None)
        except StopIteration as stop:
            log.append(stop.value)

    tasklet(function)()
    tasklet(function)()
    run()
    assert sorted(map(repr, log)) == sorted(map(repr, 2 * [0, 1, 2, [0, 1, 2], "awaited"]))


def test_trace_function_sees_all_lines():
    def function(log):
        log.append(1)
        schedule()
        log.append(2)

    events = []

    def trace(frame, event, arg):
        if frame.f_code is not function.__code__:
            return None
        events.append((event, frame.f_lineno - function.__code__.co_firstlineno))
        return trace

    def plain():
        events.clear()
        old = sys.gettrace()
        sys.settrace(trace)
        try:
            tasklet(function)([])
            run()
        finally:
            sys.settrace(old)
        return list(events)

    assert plain() == [("call", 0), ("line", 1), ("line", 2), ("line", 3), ("return", 3)]


def test_trace_function_that_switches():
    log = []

    def function():
        x = 1
        return x

    def trace(frame, event, arg):
        if frame.f_code is function.__code__:
            log.append(event)
            schedule()
            return trace
        return None

    def other():
        for _ in range(3):
            log.append("other")
            schedule()

    old = sys.gettrace()
    tasklet(function)()
    tasklet(other)()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(old)
    assert log == ["call", "other", "line", "other", "line", "other", "return"]


def test_profile_function_that_switches():
    log = []

    def function():
        return 1

    def profile(frame, event, arg):
        if frame.f_code is function.__code__ and event in ("call", "return"):
            log.append(event)
            schedule()

    tasklet(function)()
    tasklet(log.append)("other")
    old = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(old)
    assert log == ["call", "other", "return"]


def test_import_in_a_tasklet_switches(tmp_path, monkeypatch):
    (tmp_path / "switching_module.py").write_text(
        "import pickletask\npickletask.schedule()\nx = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    log = []

    def function():
        import switching_module

        log.append(switching_module.x)

    tasklet(function)()
    tasklet(log.append)("other")
    run()
    sys.modules.pop("switching_module", None)
    assert log == ["other", 1]


# ---- what might crash ---------------------------------------------------------------------------


def test_signal_handler_switches(run_isolated, mode):
    result = run_isolated(
        """
import signal, time
import pickletask

log = []
signal.signal(signal.SIGALRM, lambda *args: (log.append("signal"), pickletask.schedule()))

def spin():
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while "other" not in log:
        pass
    log.append("spun")

pickletask.tasklet(spin)()
pickletask.tasklet(log.append)("other")
pickletask.run()
print(log)
""",
        mode=mode,
    )
    assert result.stdout == "['signal', 'other', 'spun']\n"


@pytest.mark.parametrize("kind", ["paused", "queued", "blocked", "new", "nested"])
def test_exit_with_suspended_tasklets_runs_finally(run_isolated, mode, kind):
    result = run_isolated(
        """
import sys
import pickletask
kind = sys.argv[1]
ch = pickletask.channel()

def function():
    try:
        if kind == "paused":
            pickletask.schedule_remove()
        elif kind == "queued":
            pickletask.schedule()
        elif kind == "blocked":
            ch.receive()
        else:
            sorted([1], key=lambda x: pickletask.schedule())
    finally:
        print("finally", sys is not None)

task = pickletask.tasklet(function)()
if kind == "queued" or kind == "nested":
    pickletask.schedule()
    del task
elif kind != "new":
    pickletask.run()
print("end")
""",
        kind,
        mode=mode,
    )
    assert result.stdout == "end\n" + ("" if kind == "new" else "finally True\n")
    assert result.stderr == ""


def test_exit_survives_tasklets_that_refuse(run_isolated, mode):
    result = run_isolated(
        """
import atexit
import pickletask

@atexit.register
def last():
    pickletask.tasklet(refuse)()
    pickletask.schedule()
    print("last")

def refuse():
    while True:
        try:
            pickletask.schedule_remove()
        except BaseException:
            pickletask.tasklet(refuse)()
            pickletask.schedule()

class Late:
    def __del__(self):
        pickletask.tasklet(refuse)()
        pickletask.schedule()

def error():
    try:
        pickletask.schedule_remove()
    finally:
        raise ValueError("late")

tasks = [pickletask.tasklet(f)() for f in (refuse, refuse, error)]
pickletask.run()
late = Late()
late.cycle = late
print("end")
""",
        mode=mode,
    )
    assert result.stdout == "end\nlast\n"
    assert "ValueError: late" in result.stderr


def test_exit_by_systemexit_in_a_tasklet(run_isolated, mode):
    result = run_isolated(
        """
import sys
import pickletask
pickletask.tasklet(sys.exit)(3)
try:
    pickletask.run()
finally:
    print("finally")
""",
        mode=mode,
        expect=3,
    )
    assert result.stdout == "finally\n"


def test_fork_keeps_suspended_tasklets(run_isolated, mode):
    result = run_isolated(
        """
import os, sys, threading
import pickletask

def function(n):
    total = 0
    for i in range(3):
        pickletask.schedule()
        total += i
    print(n, total, flush=True)

def forking():
    pickletask.schedule()
    if os.fork() == 0:
        pickletask.schedule()
        print("child", flush=True)
    else:
        os.wait()
        print("parent", flush=True)

def in_thread():
    # The fork finds this thread in a tasklet that isn't its main one.
    def wait():
        ready.set()
        done.wait()
    pickletask.tasklet(wait)()
    pickletask.tasklet(function)("thread")
    pickletask.schedule()

ready, done = threading.Event(), threading.Event()
thread = threading.Thread(target=in_thread)
thread.start()
ready.wait()
pickletask.tasklet(function)("a")
pickletask.tasklet(forking)()
pickletask.run()
done.set()
""",
        mode=mode,
    )
    assert sorted(result.stdout.split("\n")) == sorted(["a 3", "child", "a 3", "parent", ""])


def test_memory_failure_at_any_place_changes_nothing(run_isolated, mode):
    pytest.importorskip("_testcapi")
    result = run_isolated(
        """
import sys
import _testcapi
import pickletask
from pickletask import channel, schedule, tasklet

def function(ch, log):
    try:
        schedule()
        log.append(ch.receive())
        schedule()
        ch.send(1)
    except (MemoryError, ZeroDivisionError):
        pass

def job():
    ch, log = channel(), []
    task = tasklet(function)(ch, log)
    other = tasklet(function, (ch,), {"log": log})
    other.insert()
    schedule()
    schedule()
    ch.send(2)
    task.remove()
    task.raise_exception(ZeroDivisionError)
    other.throw(ZeroDivisionError, pending=True)
    other.kill()
    third = tasklet(function)(ch, log)
    schedule()
    third.remove()
    del third
    pickletask.run()

def settle():
    main = pickletask.getcurrent()
    for _ in range(100):
        if main.next is main:
            return
        main.next.kill()
    raise AssertionError("the queue does not get empty")

# Once without failures: imports, caches.
job()
settle()
unraisable = []
sys.unraisablehook = lambda args: unraisable.append(args.exc_type)
failures = n = quiet = 0
while quiet < 20:
    failed = False
    _testcapi.set_nomemory(n, n + 1)
    try:
        job()
    except (MemoryError, RuntimeError):
        failed = True
    finally:
        _testcapi.remove_mem_hooks()
    settle()
    n += 1
    failures += failed
    quiet = 0 if failed else quiet + 1
assert failures > 5, failures
assert set(unraisable) <= {MemoryError}, unraisable
assert pickletask.getruncount() == 1
job()
print("survived")
""",
        mode=mode,
    )
    assert result.stdout == "survived\n"
