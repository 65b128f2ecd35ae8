"""What could crash a process that switches: one scene an argument. Prints OK at the end."""

import gc
import json
import os
import pickle
import signal
import sys
import weakref

import pickletask
from pickletask import run, schedule, schedule_remove, tasklet

SLOWDOWN = int(os.environ.get("PICKLETASK_TEST_SLOWDOWN", 1))


def started(function, *args):
    task = tasklet(function)(*args)
    task.run()
    return task


def wait():
    schedule_remove()


def wait_below_c():
    [*map(lambda _: schedule_remove(), [1])]


def outermost_locals(task):
    frame = task.frame
    while frame.f_back:
        frame = frame.f_back
    return frame.f_locals


def reloaded(task):
    """The task, killed, as its own pickle has it."""
    again = pickle.loads(pickle.dumps(task))
    task.kill()
    return again


# ---- recursion --------------------------------------------------------------------------------


def in_python(n=0):
    return in_python(n + 1)


def in_sorted(n=0):
    return sorted([1, 2], key=in_sorted)


def in_map(n=0):
    return list(map(in_map, [n]))


class Attributes:
    def __getattr__(self, name):
        return getattr(self, name + "x")


def in_getattr():
    return Attributes().a


def nested():
    items = []
    for _ in range(100_000):
        items = [items]
    return items


def in_repr():
    repr(nested())


def in_json():
    json.dumps(nested())


def in_pickle():
    pickle.dumps(nested())


def in_parser():
    eval("-" * 100_000 + "1")


DEEP = [in_python, in_sorted, in_map, in_getattr, in_repr, in_json, in_pickle, in_parser]


def recursion(how):
    def body(function, log):
        schedule_remove()
        try:
            function()
        except (RecursionError, MemoryError) as error:
            log.append(type(error))
        schedule_remove()
        log.append("end")

    for function in DEEP:
        task = started(body, function, [])
        if how == "loaded":
            task = reloaded(task)
        log = outermost_locals(task)["log"]
        task.run()
        task.run()
        assert not task.alive and len(log) == 2, (function, log)


def deep(n, log):
    if n:
        deep(n - 1, log)
        return
    schedule_remove()
    try:
        in_python()
    except RecursionError:
        log.append("raised")
    schedule_remove()
    log.append("end")


def deep_generators(n, log):
    if n:
        yield from deep_generators(n - 1, log)
    else:
        deep(0, log)
        yield


def drive(n, log):
    for _ in deep_generators(n, log):
        pass


def lowered_limit(how):
    for function, depth in (deep, 100), (deep, 900), (deep, 2500), (drive, 150):
        for limit in 200, 100, 5000:
            sys.setrecursionlimit(4000)
            task = started(function, depth, [])
            if how == "loaded":
                task = reloaded(task)
            log = outermost_locals(task)["log"]
            sys.setrecursionlimit(limit)
            try:
                task.run()
                task.run()
            except RecursionError:
                pass
            else:
                assert log == ["raised", "end"], log
            sys.setrecursionlimit(4000)
            if task.alive:
                task.kill()


class Garbage:
    """A cycle that waits, once, if it is collected beyond the recursion limit."""

    waited = False

    def __init__(self):
        self.cycle = self

    def __del__(self):
        frame, depth = sys._getframe(), 0
        while frame is not None:
            frame, depth = frame.f_back, depth + 1
        if depth >= sys.getrecursionlimit() and not Garbage.waited:
            Garbage.waited = True
            schedule_remove()


def endless():
    Garbage()
    kept = []
    return endless(), kept


def exceed_limit():
    for threshold in range(1, 400):
        gc.set_threshold(threshold)
        try:
            endless()
        except RecursionError:
            pass
        if Garbage.waited:
            break


def collected_beyond_the_limit(how):
    """3.11 collects garbage while it makes a RecursionError, when a second one is fatal."""
    task = started(exceed_limit)
    gc.set_threshold(700)
    assert task.paused or sys.version_info >= (3, 12)
    for _ in range(3):
        try:
            endless()
        except RecursionError:
            continue
        raise AssertionError("no RecursionError")
    if task.paused:
        task.run()
    assert not task.alive


# ---- numbers ----------------------------------------------------------------------------------


def many(how):
    tasks = [started(wait) for _ in range(20_000)]
    for limit, part in (10, slice(0, 1)), (5000, slice(1, 6000)), (0, slice(6000, 6001)):
        pickletask.set_parked_limit(limit)
        for task in tasks[part]:
            task.run()
    for task in tasks[8000:]:
        task.kill()
    assert sum(task.alive for task in tasks) == 1999
    del task, tasks
    gc.collect()


def many_below_c(how):
    tasks = [started(wait_below_c) for _ in range(3000 // SLOWDOWN)]
    for task in tasks[::2]:
        task.run()
    assert sum(task.alive for task in tasks) == len(tasks) // 2


def never_ending(how):
    """Tasks that can't be ended are given up, with or without a C stack."""

    def swallow(frames):
        frames.append(sys._getframe())
        while True:
            try:
                schedule_remove()
            except BaseException:
                pass

    def swallow_below_c(frames):
        [*map(swallow, [frames])]

    for function in swallow, swallow_below_c:
        frames = []
        others = [started(wait) for _ in range(3)]
        task = started(function, frames)
        del task
        gc.collect()
        assert frames[0].f_locals and frames[0].f_lineno
        for other in others:
            other.run()
            assert not other.alive


# ---- code that runs at bad moments ------------------------------------------------------------


class Switching:
    """Switches when it goes."""

    count = 0

    def __del__(self):
        Switching.count += 1
        schedule()
        started(lambda: None)


def hold_local():
    value = Switching()  # noqa: F841
    for _ in range(3):
        schedule_remove(Switching())


def hold_operand():
    schedule_remove(Switching())
    schedule_remove(Switching())


def finalisers(how):
    for turn in range(30):
        tasks = [started(function) for function in (hold_local, hold_operand, hold_local)]
        for _ in range(5):
            for task in tasks:
                if task.alive:
                    task.run()
            if turn % 3 == 0:
                gc.collect()
        for task in tasks:
            if task.alive:
                task.kill()
    run()
    assert Switching.count == 30 * 10


def churn(n):
    items = []
    for i in range(n):
        items.append([i])
        schedule()
    assert len(items) == n


def collector(how):
    def switch(phase, info):
        schedule()

    gc.callbacks.append(switch)
    gc.set_threshold(10)
    for _ in range(5):
        tasklet(churn)(200)
    run()
    for _ in range(100):
        task = started(wait)
        pickle.loads(pickle.dumps(task)).run()
        task.run()


def collector_interferes(how):
    """A finaliser resumes, ends or softens the very task that is being pickled."""
    current = None
    turn = 0

    def interfere(phase, info):
        nonlocal current, turn
        task, current = current, None
        if phase != "stop" or task is None:
            return
        turn += 1
        if turn % 3 == 0:
            task.run()
        elif turn % 3 == 1:
            task.kill()
        else:
            old = pickletask.set_parked_limit(0)
            started(wait)
            pickletask.set_parked_limit(old)

    def nest(n, *values):
        items, names = [n], {n: n}
        if n:
            return nest(n - 1, items, names)
        return schedule_remove()

    gc.callbacks.append(interfere)
    for n in range(60):
        task = current = None
        task = started(nest, 30)
        gc.set_threshold(n % 17 + 1)
        current = task
        try:
            pickle.dumps(task)
        except (TypeError, ValueError, RuntimeError):
            pass
        gc.set_threshold(0)


class Referent:
    pass


def weak_references(how):
    references = []

    def body():
        for _ in range(5):
            value = Referent()
            value.itself = value
            references.append(weakref.ref(value, lambda reference: schedule()))
            del value
            schedule_remove(Referent())

    gc.set_threshold(10)
    for _ in range(20):
        tasks = [started(body) for _ in range(3)]
        for _ in range(7):
            for task in tasks:
                if task.alive:
                    task.run()
    run()


def dropped_callable(how):
    """A task waits in what a dropped operand runs; the callable of the call is gone already."""

    def make():
        value = Referent()
        references.append(weakref.ref(value, lambda reference: schedule_remove()))
        return value

    def body():
        getattr([], "count")(make())  # noqa: B009

    references = []
    task = started(body)
    assert task.paused
    try:
        pickle.dumps(task)
    except pickletask.NotPicklableError:
        pass
    task.run()
    assert not task.alive


def signals(how):
    signal.signal(signal.SIGALRM, lambda *details: schedule())
    signal.setitimer(signal.ITIMER_REAL, 0.0005 * SLOWDOWN, 0.0005 * SLOWDOWN)
    for _ in range(5):
        tasklet(churn)(2000)
    run()
    signal.setitimer(signal.ITIMER_REAL, 0)
    run()


def collected_when_landed(how):
    """The collector looks at tasks that were soft and wait with a stack again."""

    def body():
        itself = pickletask.getcurrent()
        for _ in range(3):
            schedule_remove()
        return itself

    for _ in range(3):
        pickletask.set_parked_limit(0)
        tasks = [started(body) for _ in range(3)]
        pickletask.set_parked_limit(1000)
        for task in tasks:
            task.run()
            gc.collect()
        tasks[0].run()
        del task, tasks
        gc.collect()


SCENES = {
    function.__name__: function
    for function in (
        recursion,
        lowered_limit,
        collected_beyond_the_limit,
        many,
        many_below_c,
        never_ending,
        finalisers,
        collector,
        collector_interferes,
        weak_references,
        dropped_callable,
        signals,
        collected_when_landed,
    )
}


if __name__ == "__main__":
    pickletask.set_parked_limit(1000 if sys.argv[2] == "kept" else 0)
    SCENES[sys.argv[1]](sys.argv[2])
    print("OK")
