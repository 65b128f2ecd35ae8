"""Channels: who waits, who goes on first, what is handed over."""

import sys
import threading
import weakref

import pytest

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


def receivers(ch, log, count=1):
    """COUNT tasklets that wait to receive, and note what they got or caught."""

    def function(n):
        try:
            log.append((n, ch.receive()))
        except Exception as error:
            log.append((n, type(error), error.args))

    tasks = [tasklet(function)(n) for n in range(count)]
    run()
    return tasks


def senders(ch, values):
    """Tasklets that wait to send VALUES."""
    tasks = [tasklet(ch.send)(value) for value in values]
    run()
    return tasks


# ---- state --------------------------------------------------------------------------------------


def test_new_channel_is_empty_and_open():
    ch = channel()
    assert ch.balance == 0
    assert ch.queue is None
    assert ch.closing is False and ch.closed is False
    assert ch.preference == -1
    assert ch.schedule_all == 0


def test_balance_counts_those_who_wait():
    ch, log = channel(), []
    tasks = receivers(ch, log, 3)
    assert ch.balance == -3
    assert ch.queue is tasks[0]
    for n in range(3):
        ch.send(n)
        assert ch.balance == n - 2
    assert ch.queue is None
    tasks = senders(ch, "abc")
    assert ch.balance == 3
    assert ch.queue is tasks[0]
    assert [ch.receive() for _ in range(3)] == list("abc")
    assert ch.balance == 0
    run()


def test_queue_links_those_who_wait():
    ch, log = channel(), []
    a, b, c = receivers(ch, log, 3)
    assert (a.next, b.next, c.next) == (b, c, None)
    assert (a.prev, b.prev, c.prev) == (None, a, b)
    assert all(task.blocked and task.scheduled and not task.paused for task in (a, b, c))
    b.kill()
    assert (a.next, c.prev) == (c, a)
    a.kill()
    assert ch.queue is c and c.next is None and c.prev is None
    c.kill()
    assert ch.queue is None and ch.balance == 0


@pytest.mark.parametrize(
    ("given", "kept"), [(-1, -1), (0, 0), (1, 1), (-7, -1), (99, 1), (1 << 80, 1), (-(1 << 80), -1)]
)
def test_preference_is_clamped(given, kept):
    ch = channel()
    ch.preference = given
    assert ch.preference == kept
    ch.schedule_all = given
    assert ch.schedule_all == abs(kept)


def test_preference_other_than_an_integer_is_refused():
    ch = channel()
    for name in "preference", "schedule_all":
        for bad in "1", None, 1.0:
            with pytest.raises(TypeError, match=f"channel.{name} must be set to an integer"):
                setattr(ch, name, bad)
        with pytest.raises(TypeError, match=f"channel.{name} must be set to an integer"):
            delattr(ch, name)
    assert ch.preference == -1


@pytest.mark.parametrize("name", ["balance", "queue", "closing", "closed"])
def test_attribute_cannot_be_set(name):
    with pytest.raises(AttributeError):
        setattr(channel(), name, 1)


def test_type_is_immutable_and_has_docstrings():
    with pytest.raises(TypeError):
        channel.x = 1
    for name in dir(channel):
        if not name.startswith("_"):
            assert getattr(channel, name).__doc__, name


def test_subclass_has_attributes_and_weak_references():
    class Named(channel):
        def __init__(self, name):
            self.name = name

    ch = Named("n")
    log = []
    receivers(ch, log)
    ch.send(ch.name)
    assert log == [(0, "n")]
    ref = weakref.ref(ch)
    del ch
    import gc

    gc.collect()
    assert ref() is None


# ---- orders -------------------------------------------------------------------------------------

ORDERS = [
    (-1, 0, "rs", "r1< r2< s1< r1> s2< r2> s1> s2>"),
    (-1, 0, "sr", "s1< s2< r1< r1> r2< r2> s1> s2>"),
    (0, 0, "rs", "r1< r2< s1< s1> s2< s2> r1> r2>"),
    (0, 0, "sr", "s1< s2< r1< r1> r2< r2> s1> s2>"),
    (1, 0, "rs", "r1< r2< s1< s1> s2< s2> r1> r2>"),
    (1, 0, "sr", "s1< s2< r1< s1> r2< s2> r1> r2>"),
    (-1, 1, "rs", "r1< r2< s1< s2< r1> s1> r2> s2>"),
    (-1, 1, "sr", "s1< s2< r1< r2< s1> r1> s2> r2>"),
    (1, 1, "rs", "r1< r2< s1< s2< r1> s1> r2> s2>"),
    (0, 1, "sr", "s1< s2< r1< r2< s1> r1> s2> r2>"),
]


@pytest.mark.parametrize(("preference", "schedule_all", "first", "expected"), ORDERS)
def test_order_follows_the_preference(preference, schedule_all, first, expected):
    ch, log, got = channel(), [], []
    ch.preference = preference
    ch.schedule_all = schedule_all

    def r(n):
        log.append(f"r{n}<")
        got.append(ch.receive())
        log.append(f"r{n}>")

    def s(n):
        log.append(f"s{n}<")
        assert ch.send(n) is None
        log.append(f"s{n}>")

    for kind in first:
        for n in 1, 2:
            tasklet({"r": r, "s": s}[kind])(n)
    run()
    assert " ".join(log) == expected
    assert sorted(got) == [1, 2]
    assert ch.balance == 0


def test_order_with_schedule_all_of_two_alone():
    ch, log = channel(), []
    ch.schedule_all = 1
    receivers(ch, log)
    assert log == []
    ch.send("x")
    assert log == [(0, "x")]


def test_order_of_those_who_wait_is_first_come():
    ch, log = channel(), []
    receivers(ch, log, 5)
    for n in range(5):
        ch.send(n * 10)
    assert log == [(n, n * 10) for n in range(5)]


# ---- what is handed over ------------------------------------------------------------------------


def test_send_hands_over_the_object_itself():
    ch = channel()
    for value in object(), None, ch, getcurrent(), ValueError("a value, not raised"):
        log = []
        receivers(ch, log)
        ch.send(value)
        assert log[0][1] is value
        senders(ch, [value])
        assert ch.receive() is value
        run()


def test_send_tasklets_to_themselves():
    ch, log = channel(), []
    task = receivers(ch, log)[0]
    ch.send(task)
    assert log == [(0, task)]
    log.clear()

    def function():
        ch.send(getcurrent())

    task = tasklet(function)()
    run()
    assert ch.queue.tempval is task
    assert ch.receive() is task
    run()
    assert not task.alive


def test_send_bomb_explodes_at_the_receiver():
    ch, log = channel(), []
    receivers(ch, log)
    ch.send(bomb(KeyError, "x"))
    assert log == [(0, KeyError, ("x",))]
    senders(ch, [bomb(KeyError, "x")])
    with pytest.raises(KeyError, match="x"):
        ch.receive()
    run()


def test_send_exception_calls_the_class():
    ch, log = channel(), []
    receivers(ch, log)
    assert ch.send_exception(KeyError, 1, 2) is None
    assert log == [(0, KeyError, (1, 2))]
    tasklet(ch.send_exception)(KeyError, 3)
    run()
    assert ch.balance == 1
    with pytest.raises(KeyError, match="3"):
        ch.receive()
    run()


@pytest.mark.parametrize(
    "arguments", [(KeyError, "x"), (KeyError, ("x",)), (KeyError("x"),), (KeyError, KeyError("x"))]
)
def test_send_throw_raises_at_the_receiver(arguments):
    ch, log = channel(), []
    receivers(ch, log)
    ch.send_throw(*arguments)
    assert log == [(0, KeyError, ("x",))]


def test_send_throw_keeps_the_traceback():
    ch = channel()
    try:
        raise KeyError
    except KeyError as error:
        tasklet(ch.send_throw)(error, tb=error.__traceback__)
        line = error.__traceback__.tb_lineno
    with pytest.raises(KeyError) as caught:
        ch.receive()
    lines, tb = [], caught.value.__traceback__
    while tb is not None:
        lines.append(tb.tb_lineno)
        tb = tb.tb_next
    assert line in lines
    run()


def test_send_exception_with_bad_arguments_raises_in_the_sender():
    ch, log = channel(), []
    receivers(ch, log)
    for bad in ((1,), (int,), (KeyError(),)):
        with pytest.raises(TypeError, match="needs an exception class as first parameter"):
            ch.send_exception(*bad)
    for bad in ((1,), (int,), (KeyError(), 1), (KeyError, 1, 2)):
        with pytest.raises(TypeError):
            ch.send_throw(*bad)
    for method in ch.send_exception, ch.send_throw, ch.send:
        with pytest.raises(TypeError):
            method()
    with pytest.raises(TypeError, match="no keyword arguments"):
        ch.send_exception(KeyError, x=1)
    for call in (lambda: ch.send(1, 2), lambda: ch.receive(1), lambda: ch.receive(x=1)):
        with pytest.raises(TypeError):
            call()
    assert ch.balance == -1 and log == []
    ch.send(None)


def test_send_sequence_counts():
    ch, log = channel(), []

    def function():
        log.append(ch.send_sequence(iter("abc")))
        log.append(ch.send_sequence([]))

    tasklet(function)()
    assert [ch.receive() for _ in range(3)] == list("abc")
    run()
    assert log == [3, 0]


def test_send_sequence_passes_on_errors_of_the_iterable():
    ch = channel()

    def values():
        yield 1
        raise KeyError("x")

    tasklet(ch.send_sequence)(values())
    assert ch.receive() == 1
    with pytest.raises(KeyError, match="x"):
        run()
    with pytest.raises(TypeError):
        ch.send_sequence(1)


def test_send_sequence_is_not_in_c():
    ch = channel()
    task = tasklet(ch.send_sequence)("ab")
    run()
    assert task.blocked and task.restorable
    assert task.frame.f_code.co_name == "send_sequence"
    assert [ch.receive(), ch.receive()] == ["a", "b"]
    run()


def test_tempval_of_a_sender_can_be_replaced():
    ch = channel()
    task = senders(ch, [1])[0]
    assert task.tempval == 1
    task.tempval = 2
    assert ch.receive() == 2
    task = senders(ch, [1])[0]
    task.tempval = bomb(KeyError)
    with pytest.raises(KeyError):
        ch.receive()
    run()


def test_iteration_receives_until_closed():
    ch, log = channel(), []

    def function():
        for value in ch:
            log.append(value)
        log.append("end")

    tasklet(function)()
    run()
    for n in range(3):
        ch.send(n)
    assert log == [0, 1, 2]
    assert ch.balance == -1
    ch.close()
    ch.send(3)
    run()
    assert log == [0, 1, 2, 3, "end"]
    assert iter(ch) is ch


def test_iteration_takes_what_waits_in_a_closed_channel():
    ch = channel()
    senders(ch, "abc")
    ch.close()
    assert not ch.closed and ch.closing
    assert list(ch) == ["a", "b", "c"]
    assert ch.closed
    with pytest.raises(StopIteration):
        next(ch)
    run()


def test_iteration_raises_what_is_sent():
    ch = channel()
    tasklet(ch.send_exception)(KeyError, "x")
    with pytest.raises(KeyError, match="x"):
        for _ in ch:
            raise AssertionError
    run()


# ---- closing, trapping, deadlock ----------------------------------------------------------------


def test_close_refuses_to_wait():
    ch = channel()
    ch.close()
    assert ch.closed and ch.closing
    for operation in (ch.receive, lambda: ch.send(1), lambda: ch.send_exception(KeyError)):
        with pytest.raises(ValueError, match="^Send/receive operation on a closed channel"):
            operation()
    with pytest.raises(ValueError, match="^Send/receive operation on a closed channel"):
        ch.send_sequence("ab")
    ch.open()
    assert not ch.closed and not ch.closing
    log = []
    receivers(ch, log)
    ch.send(1)
    assert log == [(0, 1)]


def test_close_lets_those_who_wait_be_met():
    ch, log = channel(), []
    receivers(ch, log, 2)
    ch.close()
    assert ch.closing and not ch.closed
    ch.send(1)
    ch.send(2)
    assert log == [(0, 1), (1, 2)]
    assert ch.closed


def test_block_trap_refuses_to_wait():
    ch, log = channel(), []
    getcurrent().block_trap = True
    try:
        tasklet(nothing)()
        for operation in ch.receive, lambda: ch.send(1):
            with pytest.raises(RuntimeError, match=r"^this tasklet does not like to be blocked\."):
                operation()
        assert ch.balance == 0
        receivers(ch, log)
        ch.send(1)
        assert log == [(0, 1)]
    finally:
        getcurrent().block_trap = False


def test_deadlock_of_main_alone_raises_there():
    ch = channel()
    for operation in (ch.receive, lambda: ch.send(1), lambda: next(ch)):
        with pytest.raises(
            RuntimeError, match=r"^Deadlock: the last runnable tasklet cannot be blocked\."
        ):
            operation()
        assert ch.balance == 0
        assert getcurrent().scheduled and pickletask.getruncount() == 1


def test_deadlock_of_the_last_tasklet_goes_to_main_that_waits():
    ch, other = channel(), channel()
    task = tasklet(other.receive)()
    with pytest.raises(
        RuntimeError, match=r"^Deadlock: the last runnable tasklet cannot be blocked\."
    ):
        ch.receive()
    assert ch.balance == 0
    assert task.blocked and other.balance == -1
    task.kill()


@pytest.mark.parametrize("direction", ["receiving", "sending"])
def test_deadlock_when_the_last_tasklet_ends_goes_to_main_that_waits(direction):
    ch = channel()
    task = tasklet(nothing)()
    text = {
        "receiving": r"^the main tasklet is receiving without a sender available\.",
        "sending": r"^the main tasklet is sending without a receiver available\.",
    }[direction]
    with pytest.raises(RuntimeError, match=text):
        if direction == "receiving":
            ch.receive()
        else:
            ch.send(1)
    assert ch.balance == 0
    assert not task.alive


def test_deadlock_of_tasklets_ends_run_quietly():
    ch = channel()
    tasks = [tasklet(ch.receive)() for _ in range(3)]
    assert run() is None
    assert ch.balance == -3
    for task in tasks:
        task.kill()


def test_error_of_a_tasklet_reaches_main_that_waits():
    ch = channel()
    tasklet(lambda: 1 / 0)()
    with pytest.raises(ZeroDivisionError):
        ch.receive()
    assert ch.balance == 0


def test_blocked_main_is_met():
    ch = channel()
    tasklet(ch.send)(1)
    assert ch.receive() == 1
    log = []
    tasklet(lambda: log.append(ch.receive()))()
    ch.send(2)
    run()
    assert log == [2]


def test_blocked_current_is_not_the_last_reference():
    ch = channel()
    dead = []

    def function():
        ch.receive()
        raise AssertionError

    task = tasklet(function)()
    ref = weakref.ref(task, dead.append)
    del task
    run()
    assert ref() is not None and ch.queue is ref()
    ch.queue.kill()
    assert dead == [ref]


# ---- callback -----------------------------------------------------------------------------------


@pytest.fixture
def callback():
    """Set a channel callback for the test."""
    yield pickletask.set_channel_callback
    pickletask.set_channel_callback(None)


def test_callback_sees_each_operation(callback):
    ch, log = channel(), []

    def note(*args):
        log.append((*args, args[1].tempval))

    assert callback(note) is None
    assert pickletask.get_channel_callback() is note
    task = tasklet(ch.receive)()
    run()
    ch.send("x")
    main = getmain()
    assert log == [(ch, task, False, True, None), (ch, main, True, False, "x")]
    assert callback(None) is note
    assert pickletask.get_channel_callback() is None


def test_callback_may_replace_what_is_sent(callback):
    ch, log = channel(), []

    def double(ch, task, sending, willblock):
        if sending:
            task.tempval = task.tempval * 2

    callback(double)
    receivers(ch, log)
    ch.send(21)
    senders(ch, "x")
    assert ch.receive() == "xx"
    run()
    assert log == [(0, 42)]


def test_callback_must_not_use_channels(callback):
    ch, log = channel(), []

    def recursive(*args):
        try:
            channel().send(1)
        except RuntimeError as error:
            log.append(str(error))

    tasklet(ch.receive)()
    run()
    callback(recursive)
    ch.send(1)
    assert len(log) == 1
    assert log[0].startswith("Recursive channel call due to callbacks!")


def test_callback_error_is_unraisable(callback, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_type))

    def fail(*args):
        raise KeyError

    ch, log = channel(), []
    callback(fail)
    receivers(ch, log)
    ch.send(1)
    assert log == [(0, 1)]
    assert seen == [KeyError, KeyError]


def test_callback_that_changes_the_channel_is_survived(callback):
    ch, log = channel(), []
    tasks = receivers(ch, log, 2)
    callback(lambda *args: tasks[0].kill(pending=True) if tasks[0].blocked else None)
    ch.send("x")
    callback(None)
    assert log == [(1, "x")]
    run()


def test_callback_that_is_not_callable_is_refused(callback):
    with pytest.raises(TypeError, match="must be a callable or None, not int"):
        callback(1)


# ---- threads ------------------------------------------------------------------------------------


def test_thread_makes_a_partner_of_another_thread_runnable():
    ch, log = channel(), []
    task = receivers(ch, log)[0]

    def other():
        ch.send("x")
        log.append("sent")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert log == ["sent"]
    assert task.scheduled and not task.blocked
    run()
    assert log == ["sent", (0, "x")]
    tasks = senders(ch, ["y"])
    thread = threading.Thread(target=lambda: log.append(ch.receive()))
    thread.start()
    thread.join()
    assert log[2:] == ["y"]
    run()
    assert not tasks[0].alive


def test_thread_end_clears_its_tasklets_from_channels():
    ch, log = channel(), []

    def function():
        try:
            ch.receive()
        finally:
            log.append("finally")

    def other():
        tasklet(function)()
        run()
        log.append(ch.balance)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert log == [-1, "finally"]
    assert ch.balance == 0 and ch.queue is None


# ---- many ---------------------------------------------------------------------------------------


def test_pipeline_of_many_tasklets():
    def stage(source, target):
        for value in source:
            target.send(value + 1)

    length, count = 200, 20
    channels = [channel() for _ in range(length + 1)]
    stages = [tasklet(stage)(channels[n], channels[n + 1]) for n in range(length)]
    tasklet(channels[0].send_sequence)(range(count))
    assert [channels[-1].receive() for _ in range(count)] == [length + n for n in range(count)]
    run()
    for task in stages:
        task.kill()


def test_many_wait_at_one_channel():
    ch, count = channel(), 10_000
    got = []
    for _ in range(count):
        tasklet(lambda: got.append(ch.receive()))()
    run()
    assert ch.balance == -count
    for n in range(count):
        ch.send(n)
    assert got == list(range(count))


def test_killed_sender_is_forgotten():
    ch = channel()
    a, b = senders(ch, "ab")
    a.kill()
    assert ch.balance == 1
    assert ch.receive() == "b"
    run()


def test_taskletexit_sent_ends_the_receiver():
    ch = channel()
    task = tasklet(ch.receive)()
    run()
    ch.send_exception(TaskletExit)
    assert not task.alive
    schedule()
