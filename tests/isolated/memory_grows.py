"""Repeats one operation; memory must not grow with it. Arguments: the operation's name.

With PYTHONMALLOC=malloc Python counts nothing: then the tool that wants it so is the only judge.
"""

import copy
import gc
import pickle
import random
import sys
import traceback
import types
import weakref

import mutants

import pickletask
from pickletask import channel, run, schedule, schedule_remove, tasklet

REPEAT = 20 if sys.getallocatedblocks() else 5
ROUNDS = 5


def wait(log):
    try:
        schedule_remove()
    finally:
        log.append("finally")


def numbers(log):
    yield 1
    wait(log)
    yield 2


def delegating(log):
    yield from numbers(log)


async def awaited(log):
    wait(log)


async def awaiting(log):
    await awaited(log)


def iterate(log):
    for _ in delegating(log):
        pass


def step(log):
    steps = delegating(log)
    next(steps)
    next(steps)


def send(log):
    steps = delegating(log)
    steps.send(None)
    steps.send(None)


def send_to_coroutine(log):
    coroutine = awaiting(log)
    try:
        coroutine.send(None)
    except StopIteration:
        pass


def handle(log):
    try:
        raise ValueError("x")
    except ValueError:
        wait(log)


def nest(log, depth=5):
    if depth:
        return nest(log, depth - 1) + 1
    wait(log)
    return 0


def nest_deep(log):
    return nest(log, 600)


def enclose(log):
    count = 0

    def inner(log):
        nonlocal count
        count += 1
        wait(log)
        return lambda: count

    return inner(log)


def with_many_locals(log):
    a, b, c, d, e, f = [1], [2], [3], [4], [5], [6]
    return [a, b, wait(log), (lambda: (a, b, c, d, e, f))]


class Waits:
    """Its methods wait where C code has called them."""

    def __init__(self, log, at_once=False):
        self.log = log
        if at_once:
            wait(log)

    def __enter__(self):
        wait(self.log)

    def __exit__(self, *details):
        pass

    def __add__(self, other):
        wait(self.log)

    def __getattr__(self, name):
        if name != "missing":
            raise AttributeError(name)
        wait(self.log)


def construct(log):
    Waits(log, True)


def enter(log):
    with Waits(log):
        pass


def add(log):
    Waits(log) + 1


def look_up(log):
    return Waits(log).missing


def fail(log):
    try:
        raise KeyError(log[0])
    except IndexError:
        wait(log)


def loop_over_a_dict(log):
    for _ in {"a": 1, "b": 2}.items():
        wait(log)
        break


BELOW_C = {construct, add, look_up, enter, step, send, send_to_coroutine}
SPACE = {"wait": wait}
exec("def executed(log):\n    wait(log)", SPACE)
KINDS = {
    f.__name__: f
    for f in (
        wait, iterate, step, send, send_to_coroutine, handle, nest, nest_deep, enclose,
        with_many_locals, construct, enter, add, look_up, fail, loop_over_a_dict, SPACE["executed"],
    )
}  # fmt: skip


def start(function):
    log = []
    task = tasklet(function)(log)
    task.run()
    assert task.paused and not log, function
    return task, log


# C code holds the object whose method waits, which the collector takes for a use from outside.
HELD = {construct, enter, add, look_up}
# Kept, these wait in more than one interpreter loop; the collector doesn't see through the outer.
LOOPS = {step, send, send_to_coroutine, *([iterate] if sys.version_info < (3, 12) else [])}


def soft():
    limit = pickletask.set_parked_limit(0)
    pickletask.set_parked_limit(limit)
    return limit == 0


class Softly:
    """Tasks are softened as soon as they wait."""

    def __enter__(self):
        self.old = pickletask.set_parked_limit(0)

    def __exit__(self, *details):
        pickletask.set_parked_limit(self.old)


def finish(task, log):
    task.insert()
    run()
    assert log == ["finally"] and not task.alive


def resume(function):
    finish(*start(function))


def resume_softly(function):
    with Softly():
        finish(*start(function))


def throw(function):
    task, log = start(function)
    try:
        task.throw(KeyError)
    except KeyError:
        pass
    assert log == ["finally"], log


def throw_softly(function):
    with Softly():
        throw(function)


def kill(function):
    task, log = start(function)
    task.kill()
    assert log == ["finally"], log


def kill_softly(function):
    with Softly():
        kill(function)


def drop(function):
    task, log = start(function)
    del task
    assert log == ["finally"], log


def drop_softly(function):
    with Softly():
        drop(function)


def dump(function):
    task, log = start(function)
    pickle.dumps(task)
    finish(task, log)


def dump_softly(function):
    with Softly():
        dump(function)


SAVED = {}


def saved(function):
    if function not in SAVED:
        task, log = start(function)
        SAVED[function] = pickle.dumps((task, log))
        finish(task, log)
    return SAVED[function]


def load_and_run(function):
    finish(*pickle.loads(saved(function)))


def load_and_kill(function):
    task, log = pickle.loads(saved(function))
    task.kill()
    assert log == ["finally"], log


def load_and_drop(function):
    task, log = pickle.loads(saved(function))
    del task
    assert log == ["finally"], log


def load_and_dump(function):
    task, log = pickle.loads(saved(function))
    pickle.dumps(task)
    finish(task, log)


def load_damaged(function):
    data = saved(function)
    for at in range(0, len(data), max(1, len(data) // 23)):
        try:
            pickle.loads(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        except Exception:
            pass


def load_damaged_state(function):
    for number in range(12):
        r = random.Random(number)
        # A text that names a module: CPython 3.11 keeps something of each that it doesn't find.
        mutator = mutants.Mutator(saved(function), r, [None, 0, -1, "math", (), function])
        mutator.targets = [r.randrange(1, 9)]
        try:
            task, _ = mutator.load()
            task.kill()
        except Exception:
            pass


def load_by_reference(function):
    if function.__module__ == "__main__":
        task, log = start(function)
        data = pickletask.dumps((task, log), code="reference")
        finish(*pickletask.loads(data))
        try:
            finish(*pickletask.loads(data, allow=["__main__.*"]))
        except pickletask.NotAllowedError:
            # What the task waits in below C code.
            assert function in BELOW_C, function
        finish(task, log)


def load_sealed(function):
    task, log = start(function)
    data = pickletask.dumps((task, log), key=b"k" * 32)
    try:
        pickletask.loads(data[:-1], key=b"k" * 32)
    except pickletask.SealError:
        pass
    finish(*pickletask.loads(data, key=b"k" * 32))
    finish(task, log)


def look_inside(function):
    str(pickletask.inspect(saved(function)))


def talk(function):
    where, log = channel(), []

    def receive():
        function(where.receive())

    task = tasklet(receive)()
    task.run()
    where.send(log)
    finish(task, log)


def receive_from(where):
    where.receive()


def end_channel(function):
    where = channel()
    tasks = [tasklet(receive_from)(where) for _ in range(2)]
    run()
    assert where.balance == -2
    for task in pickle.loads(pickle.dumps([tasks, where]))[0] + tasks:
        task.kill()


def switch(function):
    tasks = [tasklet(schedule)() for _ in range(2)]
    schedule()
    run()
    del tasks
    with Softly():
        tasklet(schedule)()
        run()
    finish(*start(function))


def rest():
    try:
        yield 1
    finally:
        yield 2


@types.coroutine
def pause():
    yield 1


async def work():
    async for value in asynchronous():
        return value


async def asynchronous():
    yield await pause()


def copy_generators(function):
    for make in rest, work:
        resting = make()
        resting.send(None)
        for copied in (pickle.loads(pickle.dumps(make())), copy.deepcopy(make())):
            copied.close()
        if make is rest:
            assert list(pickle.loads(pickle.dumps(resting))) == [2]
            assert list(copy.deepcopy(resting)) == [2]
            resting.throw(KeyError)
        resting.close()
    pickle.loads(pickle.dumps(asynchronous()))


def copy_deeply(function):
    task, log = start(function)
    again, other = copy.deepcopy((task, log))
    finish(again, other)
    finish(task, log)


def never_loaded(function):
    """The tuple a reducer returns is dropped."""
    task, log = start(function)
    task.__reduce_ex__(4)
    finish(task, log)


def lost(function):
    """A cycle through a task's own frame."""
    if function in HELD or (not soft() and function in LOOPS):
        return
    ended = []

    class Log(list):
        def append(self, value):
            ended.append(value)

    log = Log()
    task = tasklet(function)(log)
    task.run()
    log.task = task
    gone = weakref.ref(log)
    del task, log
    gc.collect()
    assert ended == ["finally"], ended
    gc.collect()
    assert gone() is None


def lost_softly(function):
    with Softly():
        lost(function)


def refused(function):
    task, log = None, []
    task = tasklet(lambda: [*map(wait, [log])])()
    task.run()
    try:
        pickle.dumps(task)
    except pickletask.NotPicklableError:
        pass
    finish(task, log)


OPERATIONS = {
    f.__name__: f
    for f in (
        resume, resume_softly, throw, throw_softly, kill, kill_softly, drop, drop_softly, dump,
        dump_softly, load_and_run, load_and_kill, load_and_drop, load_and_dump, load_damaged,
        copy_deeply, never_loaded, lost, lost_softly, refused, load_damaged_state,
        load_by_reference, load_sealed, look_inside, talk, end_channel, switch, copy_generators,
    )
}  # fmt: skip


COUNTERS = {
    "blocks": sys.getallocatedblocks,
    "references": getattr(sys, "gettotalrefcount", None),  # of debug builds
}
# Where attributes were found: thousands of names, kept by their addresses.
clear_caches = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


def measure(operation, function, counter):
    for _ in range(REPEAT):
        operation(function)
    gc.collect()
    clear_caches()
    return COUNTERS[counter]()


def check(name, kind, counter):
    operation, function = OPERATIONS[name], KINDS[kind]
    counts = [measure(operation, function, counter) for _ in range(ROUNDS)]
    # What leaks does so in each round. A block is that of the count; the JIT has some, too.
    growth = min(after - before for before, after in zip(counts, counts[1:], strict=False))
    if growth >= REPEAT:
        return f"{name} {kind}: {growth / REPEAT:.2f} {counter} each time"
    return None


def main(name, counter="blocks"):
    sys.setrecursionlimit(5000)
    failures = []
    for kind in KINDS:
        try:
            failure = check(name, kind, counter)
        except Exception as error:
            traceback.print_exc()
            failure = f"{name} {kind}: {error!r}"
        if failure:
            failures.append(failure)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main(*sys.argv[1:])
