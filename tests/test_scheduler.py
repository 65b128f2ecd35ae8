"""The scheduler: orders, run(), errors on their way, callbacks, threads."""

import gc
import random
import sys
import threading
import weakref

import pytest

import pickletask
from pickletask import (
    TaskletExit,
    channel,
    getcurrent,
    getmain,
    getruncount,
    run,
    schedule,
    schedule_remove,
    tasklet,
)

pytestmark = pytest.mark.usefixtures("mode")


@pytest.fixture(autouse=True)
def clean_queue():
    """Each test finds, and has to leave, nothing but the main tasklet in the run queue."""
    # What another thread collects is ended here, that is, put into this run queue.
    gc.collect()
    assert getruncount() == 1
    yield
    left = []
    while getcurrent().next is not getcurrent():
        left.append(getcurrent().next)
        left[-1].kill()
    assert left == []


def nothing():
    """Do nothing."""


def in_thread(function):
    """Run FUNCTION in a thread of its own; what it returned, or raise what it raised."""
    result = []

    def target():
        try:
            result.append((function(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    value, error = result[0]
    if error is not None:
        raise error
    return value


# ---- schedule -----------------------------------------------------------------------------------


def test_schedule_goes_round_the_queue():
    log = []

    def function(name):
        for _ in range(3):
            log.append(name)
            schedule()

    for name in "abc":
        tasklet(function)(name)
    for _ in range(4):
        schedule()
        log.append("-")
    assert "".join(log) == "abc-abc-abc-" + "-"


def test_schedule_alone_returns_at_once():
    assert schedule() is getcurrent()
    assert schedule(1) == 1
    assert schedule(retval=2) == 2
    assert schedule(None) is None


def test_schedule_returns_its_argument():
    log = []

    def function(*args):
        log.append(schedule(*args))

    tasks = [tasklet(function)(*args) for args in ((), (1,), (None,))]
    schedule()
    assert tasks[0].tempval is tasks[0]
    assert tasks[1].tempval == 1
    run()
    assert log == [tasks[0], 1, None]


def test_schedule_with_bad_arguments_raises():
    for function in schedule, schedule_remove:
        with pytest.raises(TypeError, match="takes at most 1 argument"):
            function(1, 2)
        with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
            function(x=1)
        with pytest.raises(TypeError, match="multiple values for argument 'retval'"):
            function(1, retval=2)


def test_schedule_runs_no_tasklet_that_is_made_meanwhile_twice():
    log = []

    def parent():
        tasklet(log.append)("child")
        log.append("parent")

    tasklet(parent)()
    schedule()
    assert log == ["parent", "child"] or log == ["parent"]
    run()
    assert log == ["parent", "child"]


def test_schedule_remove_pauses_the_caller():
    log = []

    def function():
        log.append(schedule_remove("x"))

    task = tasklet(function)()
    run()
    assert task.paused and log == []
    assert task.tempval == "x"
    task.insert()
    run()
    assert log == ["x"]


def test_schedule_remove_of_main_comes_back_when_all_have_ended():
    log = []
    tasklet(log.append)(1)
    tasklet(log.append)(2)
    assert schedule_remove("x") == "x"
    assert log == [1, 2]
    assert getcurrent().scheduled


def test_schedule_remove_of_main_alone_is_a_deadlock():
    with pytest.raises(
        RuntimeError, match=r"^Deadlock: the last runnable tasklet cannot be blocked\."
    ):
        schedule_remove()
    assert getruncount() == 1


# ---- run ----------------------------------------------------------------------------------------


def test_run_with_nothing_to_do_returns():
    assert run() is None


def test_run_takes_no_arguments_yet():
    with pytest.raises(TypeError):
        run(1)
    with pytest.raises(TypeError):
        run(timeout=1)


def test_run_order_is_setup_order():
    log = []
    for n in range(10):
        tasklet(log.append)(n)
    run()
    assert log == list(range(10))


def test_run_takes_the_caller_out_of_the_queue():
    log = []
    main = getcurrent()
    tasklet(lambda: log.append((main.scheduled, main.paused, getruncount())))()
    run()
    assert log == [(False, True, 1)]


def test_run_returns_when_main_is_run_by_a_tasklet():
    log = []
    main = getmain()

    def function():
        log.append("before")
        main.run()
        log.append("after")

    task = tasklet(function)()
    run()
    assert log == ["before"]
    assert task.scheduled
    run()
    assert log == ["before", "after"]


def test_run_returns_when_main_is_inserted():
    log = []
    main = getmain()

    def function():
        main.insert()
        log.append(1)
        schedule()
        log.append(2)

    task = tasklet(function)()
    run()
    assert log == [1]
    assert task.scheduled
    run()
    assert log == [1, 2]


def test_run_nests_innermost_returns_first():
    log = []

    def inner(n):
        log.append(("inner", n))

    def outer():
        tasklet(inner)(1)
        log.append("run")
        run()
        log.append("back")
        tasklet(inner)(2)

    tasklet(outer)()
    tasklet(log.append)("other")
    run()
    assert log == ["run", "other", ("inner", 1), "back", ("inner", 2)]


def test_run_nested_deeper_goes_on_when_an_outer_one_returns():
    log = []
    main = getmain()

    def outer():
        tasklet(wakes_main)()
        run()
        log.append("outer back")

    def wakes_main():
        main.run()
        log.append("waker")

    tasklet(outer)()
    run()
    log.append("main back")
    run()
    assert log[0] == "main back"
    assert sorted(log[1:]) == ["outer back", "waker"]


def test_run_nested_gets_the_error_first():
    log = []

    def outer():
        tasklet(lambda: 1 / 0)()
        try:
            run()
        except ZeroDivisionError:
            log.append("outer")

    tasklet(outer)()
    run()
    assert log == ["outer"]


def test_run_killed_nested_goes_on_outside():
    log = []

    def outer():
        try:
            run()
        finally:
            log.append("outer")

    def killer():
        task.kill()
        log.append("killer")

    task = tasklet(outer)()
    tasklet(killer)()
    tasklet(log.append)("other")
    run()
    assert sorted(log) == ["killer", "other", "outer"]
    assert log.index("outer") < log.index("killer")


# ---- errors -------------------------------------------------------------------------------------


def test_error_ends_run_and_leaves_the_others():
    log = []
    tasklet(lambda: 1 / 0)()
    other = tasklet(log.append)("other")
    with pytest.raises(ZeroDivisionError):
        run()
    assert other.scheduled and log == []
    run()
    assert log == ["other"]


def test_error_reaches_main_in_schedule():
    tasklet(lambda: 1 / 0)()
    with pytest.raises(ZeroDivisionError):
        schedule()


def test_error_reaches_main_that_is_paused():
    tasklet(lambda: 1 / 0)()
    with pytest.raises(ZeroDivisionError):
        schedule_remove()


def test_error_keeps_its_traceback():
    def failing():
        schedule()
        raise KeyError("x")

    tasklet(failing)()
    with pytest.raises(KeyError) as caught:
        run()
    names, tb = [], caught.value.__traceback__
    while tb is not None:
        names.append(tb.tb_frame.f_code.co_name)
        tb = tb.tb_next
    assert names == ["test_error_keeps_its_traceback", "failing"]


def test_error_taskletexit_is_silent():
    def function():
        raise TaskletExit("x")

    class Exit(TaskletExit):
        pass

    def other():
        raise Exit

    tasklet(function)()
    tasklet(other)()
    run()
    assert issubclass(TaskletExit, SystemExit)


def test_error_systemexit_reaches_main_in_the_main_thread():
    tasklet(sys.exit)(3)
    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 3


def test_error_systemexit_is_silent_in_other_threads():
    def function():
        log = []
        tasklet(sys.exit)(3)
        tasklet(log.append)("other")
        run()
        return log

    assert in_thread(function) == ["other"]


def test_error_base_exceptions_pass():
    def function():
        raise KeyboardInterrupt

    tasklet(function)()
    with pytest.raises(KeyboardInterrupt):
        run()


@pytest.fixture
def handler():
    """Set an error handler for the test."""
    yield pickletask.set_error_handler
    pickletask.set_error_handler(None)


def test_error_handler_gets_errors(handler):
    log = []

    def handle(kind, value, tb):
        log.append((kind, str(value), tb.tb_frame.f_code.co_name, getcurrent()))

    def failing():
        raise KeyError("x")

    assert handler(handle) is None
    task = tasklet(failing)()
    silent = tasklet(getcurrent)()
    silent.kill(pending=True)
    run()
    assert log == [(KeyError, "'x'", "failing", task)]
    assert not task.alive
    assert handler(None) is handle


def test_error_handler_that_raises_reaches_main(handler):
    def handle(kind, value, tb):
        raise ValueError("from the handler")

    handler(handle)
    tasklet(lambda: 1 / 0)()
    with pytest.raises(ValueError, match="from the handler"):
        run()


def test_error_handler_may_switch(handler):
    log = []

    def handle(kind, value, tb):
        schedule()
        log.append("handled")

    handler(handle)
    tasklet(lambda: 1 / 0)()
    tasklet(log.append)("other")
    run()
    assert log == ["other", "handled"]


def test_error_handler_that_is_not_callable_is_refused(handler):
    with pytest.raises(TypeError, match="must be a callable or None, not int"):
        handler(1)


# ---- asking -------------------------------------------------------------------------------------


def test_getcurrent_is_the_running_one():
    log = []
    task = tasklet(lambda: log.append(getcurrent()))()
    run()
    assert log == [task]
    assert getcurrent() is getmain()


def test_getcurrentid_is_unique():
    ids = []
    for _ in range(3):
        tasklet(lambda: (ids.append(pickletask.getcurrentid()), schedule()))()
    run()
    assert len(set(ids)) == 3
    assert pickletask.getcurrentid() == threading.get_ident()


def test_getruncount_counts_the_running_one():
    tasks = [tasklet(nothing)() for _ in range(5)]
    assert getruncount() == 6
    tasks[0].remove()
    tasks[1].kill()
    assert getruncount() == 4
    run()
    assert getruncount() == 1


def test_set_parked_limit_returns_the_old_one():
    old = pickletask.set_parked_limit(7)
    try:
        assert pickletask.set_parked_limit(0) == 7
        for bad, error in (
            (-1, ValueError),
            (None, TypeError),
            ("1", TypeError),
            (1 << 80, OverflowError),
        ):
            with pytest.raises(error):
                pickletask.set_parked_limit(bad)
        assert pickletask.set_parked_limit(7) == 0
    finally:
        pickletask.set_parked_limit(old)


def test_module_names_are_public_and_documented():
    for name in pickletask.__all__:
        assert getattr(pickletask, name).__doc__, name
    for kind in tasklet, channel, pickletask.bomb, TaskletExit:
        assert kind.__module__ == "pickletask"


# ---- switch_trap --------------------------------------------------------------------------------


@pytest.fixture
def trap():
    """switch_trap, and no trap any more after the test."""
    yield pickletask.switch_trap
    pickletask.switch_trap(-pickletask.switch_trap())


def test_switch_trap_counts(trap):
    assert trap() == 0
    assert trap(1) == 0
    assert trap(2) == 1
    assert trap(0) == 3
    assert trap(-3) == 3
    with pytest.raises(TypeError):
        trap("x")
    with pytest.raises(OverflowError):
        trap(1 << 40)
    assert trap((1 << 31) - 1) == 0
    with pytest.raises(OverflowError):
        trap(1)
    trap(-((1 << 31) - 1))


def test_switch_trap_refuses_switches_and_undoes_all(trap):
    ch, full = channel(), channel()
    task = tasklet(schedule_remove)()
    new = tasklet(nothing, ())
    blocked = tasklet(full.receive)()
    run()
    queued = tasklet(nothing)()
    ch.preference = full.preference = -1
    trap(1)
    operations = [
        schedule,
        schedule_remove,
        run,
        ch.receive,
        lambda: ch.send(1),
        lambda: next(ch),
        lambda: full.send(1),
        task.run,
        task.switch,
        task.kill,
        lambda: task.throw(KeyError),
        new.run,
        queued.run,
        blocked.kill,
    ]
    for operation in operations:
        with pytest.raises(RuntimeError, match="^switch_trap"):
            operation()
        assert (ch.balance, full.balance, getruncount()) == (0, -1, 2)
        assert task.paused and new.paused and queued.scheduled and blocked.blocked
        assert getcurrent().next is queued
    trap(-1)
    task.kill()
    blocked.kill()
    run()
    assert not queued.alive


def test_switch_trap_allows_what_does_not_switch(trap):
    ch, log = channel(), []
    ch.preference = 1
    tasklet(lambda: log.append(ch.receive()))()
    run()
    trap(1)
    ch.send(1)
    assert log == []
    getcurrent().run()
    trap(-1)
    run()
    assert log == [1]
    trap(1)
    assert schedule("alone") == "alone"
    run()


def test_switch_trap_does_not_keep_tasklets_from_ending(trap):
    log = []

    def function():
        try:
            schedule_remove()
        finally:
            log.append("finally")

    task = tasklet(function)()
    run()
    trap(1)
    del task
    assert log == ["finally"]
    tasklet(lambda: pickletask.switch_trap(1))()
    trap(-1)
    run()
    assert trap(-1) == 1


def test_switch_trap_is_each_threads_own(trap):
    def function():
        tasklet(nothing)()
        run()
        return pickletask.switch_trap()

    trap(1)
    assert in_thread(function) == 0


# ---- schedule callback --------------------------------------------------------------------------


@pytest.fixture
def callback():
    """Set a schedule callback for the test."""
    yield pickletask.set_schedule_callback
    pickletask.set_schedule_callback(None)


def test_callback_sees_each_switch(callback):
    log = []

    def note(previous, next):
        log.append((previous, next, getcurrent() is previous))

    assert callback(note) is None
    assert pickletask.get_schedule_callback() is note
    task = tasklet(schedule)()
    run()
    schedule()
    main = getmain()
    assert log == [(main, task, True), (task, main, True)]
    task.kill()
    assert callback(None) is note
    assert pickletask.get_schedule_callback() is None
    assert len(log) == 2


def test_callback_must_not_switch(callback):
    log = []
    ch = channel()

    def switching(previous, next):
        for operation in schedule, ch.receive, next.run, run:
            try:
                operation()
            except RuntimeError as error:
                log.append(str(error))

    callback(switching)
    tasklet(nothing)()
    schedule()
    callback(None)
    assert len(log) > 4
    assert set(log) == {"Recursive scheduler call due to callbacks!"}


def test_callback_error_is_unraisable(callback, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_type))

    def fail(previous, next):
        raise KeyError

    callback(fail)
    tasklet(nothing)()
    run()
    assert seen == [KeyError, KeyError]


def test_callback_that_removes_the_target_is_survived(callback):
    log = []
    task = tasklet(log.append)("task")
    other = tasklet(log.append)("other")
    callback(lambda previous, next: next.remove() if next is task else None)
    schedule()
    callback(None)
    assert log == ["other"]
    assert task.paused and not other.alive
    task.kill()


def test_callback_that_kills_the_target_is_survived(callback):
    task = tasklet(nothing, ())

    def kill(previous, next):
        if next is task:
            task.kill()

    callback(kill)
    with pytest.raises(RuntimeError, match=r"^You cannot run an unbound\(dead\) tasklet"):
        task.run()
    task.bind(nothing, ())
    with pytest.raises(RuntimeError, match="^You cannot throw to a dead tasklet"):
        task.throw(KeyError)


def test_callback_that_is_not_callable_is_refused(callback):
    with pytest.raises(TypeError, match="must be a callable or None, not int"):
        callback(1)


# ---- threads ------------------------------------------------------------------------------------


def test_thread_has_its_own_scheduler():
    task = tasklet(nothing)()
    main = getmain()

    def function():
        assert getmain() is not main
        assert getruncount() == 1
        log = []
        tasklet(log.append)(threading.get_ident())
        mine = getcurrent().next
        assert mine.thread_id == threading.get_ident()
        run()
        assert log == [mine.thread_id]
        return True

    assert in_thread(function)
    assert task.scheduled
    run()


def test_thread_switches_while_others_do():
    def function():
        log = []

        def work(n):
            for i in range(200):
                log.append((n, i))
                schedule()

        for n in range(5):
            tasklet(work)(n)
        run()
        return log

    expected = [(n, i) for i in range(200) for n in range(5)]
    results = []
    threads = [threading.Thread(target=lambda: results.append(function())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_thread_refuses_tasklets_of_another():
    paused = tasklet(schedule_remove)()
    run()
    new = tasklet(nothing, ())
    unready = tasklet(nothing)
    queued = tasklet(nothing)()
    operations = [
        paused.run,
        paused.insert,
        paused.switch,
        paused.kill,
        lambda: paused.throw(KeyError),
        lambda: paused.raise_exception(KeyError),
        new.run,
        new.insert,
        unready,
        unready.setup,
        queued.run,
        queued.remove,
        getmain().run,
        getmain().kill,
    ]

    def function():
        for operation in operations:
            with pytest.raises(RuntimeError, match=r"^can't switch to a different thread\."):
                operation()
        return getruncount()

    assert in_thread(function) == 1
    run()
    assert not queued.alive and paused.paused and new.paused
    paused.kill()


def test_thread_may_throw_pending_at_another():
    log = []

    def function():
        try:
            schedule_remove()
        finally:
            log.append(threading.get_ident())

    task = tasklet(function)()
    run()
    in_thread(lambda: task.kill(pending=True))
    assert log == [] and task.scheduled
    run()
    assert log == [threading.get_ident()]


def test_thread_that_drops_a_tasklet_of_another_lets_it_end_there():
    log = []

    def function():
        try:
            schedule_remove()
        finally:
            log.append(threading.get_ident())

    tasks = [tasklet(function)()]
    run()
    in_thread(tasks.clear)
    assert log == []
    run()
    assert log == [threading.get_ident()]


def test_thread_end_runs_finally():
    log = []

    def suspended(how):
        try:
            how()
        finally:
            log.append(threading.get_ident())

    def function():
        for how in schedule, schedule_remove, channel().receive:
            kept.append(tasklet(suspended)(how))
        schedule()
        return threading.get_ident()

    kept = []
    ident = in_thread(function)
    assert log == [ident] * 3
    assert not any(task.alive or task.scheduled for task in kept)


def test_thread_end_leaves_new_tasklets_without_thread():
    kept = []

    def function():
        kept.append(tasklet(nothing)())
        kept.append(tasklet(nothing, ()))
        kept.append(tasklet(nothing))
        kept.append(getmain())

    in_thread(function)
    for task in kept:
        assert task.thread_id == -1
        assert not task.alive and not task.scheduled and not task.is_main
        for method in task.run, task.insert:
            with pytest.raises(RuntimeError, match="^tasklet has no thread"):
                method()
        assert task.kill() is None
    with pytest.raises(RuntimeError):
        kept[2]()


def test_thread_end_discards_tasklets_that_refuse(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)
    kept = []

    def refuse():
        while True:
            try:
                schedule_remove()
            except TaskletExit:
                pass

    def function():
        kept.append(tasklet(refuse)())
        run()

    in_thread(function)
    task = kept.pop()
    assert not task.alive and task.thread_id == -1
    with pytest.raises(RuntimeError, match="^tasklet has no thread"):
        task.throw(KeyError)
    ref = weakref.ref(task)
    del task
    gc.collect()
    assert ref() is None


def test_thread_main_is_gone_with_its_thread():
    ref = in_thread(lambda: weakref.ref(getmain()))
    gc.collect()
    assert ref() is None


def test_many_threads_come_and_go():
    def function():
        tasklet(schedule)()
        schedule()
        return True

    for _ in range(50):
        assert in_thread(function)


# ---- all at once --------------------------------------------------------------------------------


class Chaos:
    """Tasklets that do to one another whatever comes to their mind, and note it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.log = []
        self.tasks = []
        self.channels = [channel() for _ in range(3)]
        for preference, ch in enumerate(self.channels, -1):
            ch.preference = preference
        self.steps = 400

    def spawn(self):
        """Start one more tasklet."""
        number = len(self.tasks)
        self.tasks.append(tasklet(self.live)(number))
        return number

    def live(self, number):
        """What a tasklet does until it has had enough, or is killed."""
        try:
            while self.steps > 0 and self.random.random() < 0.97:
                self.steps -= 1
                self.check()
                self.act(number)
        finally:
            self.log.append((number, "ends"))

    def act(self, number):
        """Do one thing."""
        random = self.random
        action = random.choice(ACTIONS)
        other = random.randrange(len(self.tasks))
        ch = random.choice(self.channels)
        self.log.append((number, action, other))
        try:
            result = getattr(self, action)(number, self.tasks[other], ch)
            self.log.append((number, action, repr(result)[:12]))
        except (RuntimeError, ValueError, KeyError) as error:
            self.log.append((number, type(error).__name__, str(error)))

    def check(self):
        """Raise AssertionError unless queues and counters agree."""
        count, task = 1, getcurrent()
        while task.next is not getcurrent():
            assert task.next.prev is task and task.scheduled and task.alive
            task = task.next
            count += 1
        assert count == getruncount()
        for ch in self.channels:
            count, task = 0, ch.queue
            while task is not None:
                assert task.blocked and task.scheduled and task.alive
                count += 1
                task = task.next
            assert count == abs(ch.balance)

    def schedule(self, number, other, ch):
        return schedule(number)

    def spawn_one(self, number, other, ch):
        return self.spawn() if len(self.tasks) < 40 else None

    def send(self, number, other, ch):
        return ch.send(number)

    def receive(self, number, other, ch):
        return ch.receive()

    def send_error(self, number, other, ch):
        return ch.send_exception(KeyError, number)

    def kill(self, number, other, ch):
        return other.kill(pending=self.random.random() < 0.5)

    def throw(self, number, other, ch):
        return other.throw(KeyError, number, pending=self.random.random() < 0.5)

    def run_other(self, number, other, ch):
        return other.run()

    def insert(self, number, other, ch):
        return other.insert() is other

    def remove(self, number, other, ch):
        return other.remove() is other

    def pause(self, number, other, ch):
        return schedule_remove(number)

    def nested(self, number, other, ch):
        return sorted([1, 2], key=lambda x: self.schedule(number, other, ch))

    def generator(self, number, other, ch):
        return [schedule(n) for n in (m for m in range(2))]

    def run_all(self, number, other, ch):
        return run() if self.random.random() < 0.2 else None

    def drop(self, number, other, ch):
        task = tasklet(self.pausing)(number)
        task.run()

    def pausing(self, number):
        try:
            schedule_remove()
        finally:
            self.log.append((number, "dropped"))

    def lives(self):
        """Run it all; the log."""
        while self.steps > 0:
            self.spawn()
            for task in self.random.sample(self.tasks, min(3, len(self.tasks))):
                if task.paused:
                    task.insert()
            try:
                run()
            except KeyError as error:
                self.log.append(("main", str(error)))
        for task in self.tasks:
            task.kill()
        while getruncount() > 1:
            try:
                run()
            except KeyError as error:
                self.log.append(("main", str(error)))
        self.check()
        return self.log


ACTIONS = """schedule schedule schedule spawn_one send receive send receive send_error kill throw
    run_other insert remove pause nested generator run_all drop""".split()


@pytest.mark.parametrize("seed", range(40))
def test_random_operations_do_the_same_in_both_modes(seed):
    first = Chaos(seed).lives()
    run()
    old = pickletask.set_parked_limit(0 if seed % 2 else 3)
    try:
        second = Chaos(seed).lives()
        run()
    finally:
        pickletask.set_parked_limit(old)
    assert first == second
