"""Fails the n-th allocation, for every n, of one operation; what is left must be in order.

Arguments: the operation's name, and "once" (only the n-th allocation fails) or "onwards" (all
from the n-th on). The operation may raise MemoryError or succeed. Whichever it does, the tasks must
go on from where they were, and nothing is lost: ``check`` says so.
"""

import contextvars
import copy
import gc
import pickle
import sys
import types
import zlib  # noqa: F401  (see below)
from _testcapi import remove_mem_hooks, set_nomemory

import pickletask

# These are imported when they are needed. CPython's import crashes if it lacks memory.
import pickletask.allowing
import pickletask.imports
import pickletask.postmortem
import pickletask.whereabouts
from pickletask import _core, channel, run, schedule, schedule_remove, tasklet

#: An operation that has succeeded so often has no more allocations that could fail.
ENOUGH = 40
#: No operation here makes so many allocations.
LIMIT = 5000


def inner(log):
    try:
        log.append(schedule_remove("value"))
    except KeyError:
        log.append("KeyError")
    finally:
        log.append("finally")


def flat(log):
    inner(log)


def nested(log, depth=8):
    if depth:
        with Manager(log):
            return nested(log, depth - 1) + 1
    inner(log)
    return 0


class Manager:
    def __init__(self, log):
        self.log = log

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.log.append(details[0])


def numbers(log):
    yield 1
    inner(log)
    yield 2


def delegating(log):
    yield from numbers(log)


def generating(log):
    log.append([n for n in delegating(log)])


def stepping(log):
    steps = delegating(log)
    log.append([next(steps), next(steps), next(steps, None)])


def enclosing(log):
    count = 0

    def closure():
        nonlocal count
        count += 1
        inner(log)
        return lambda: count

    log.append(closure()())


EXECUTED = {"inner": inner}
exec("def executed(log):\n    inner(log)\n    log.append(__name__)\n__name__ = 'made'", EXECUTED)


def handling(log):
    try:
        raise KeyError("handled")
    except KeyError as error:
        inner(log)
        log.append(str(error))
        log.append(type(sys.exc_info()[1]).__name__)


class Waits:
    """Its methods wait where C code has called them."""

    def __init__(self, log, method):
        self.log, self.method = log, method
        self.wait("__init__")

    def wait(self, method):
        if method == self.method:
            inner(self.log)

    def __enter__(self):
        self.wait("__enter__")

    def __exit__(self, *details):
        self.wait("__exit__")

    def __add__(self, other):
        self.wait("__add__")
        return NotImplemented


class Other(Waits):
    def __add__(self, other):
        return 0

    def __radd__(self, other):
        inner(self.log)
        return 1


def constructing(log):
    log.append(Waits(log, "__init__").method)


def entering(log):
    with Waits(log, "__enter__"):
        log.append(1)


def leaving(log):
    with Waits(log, "__exit__"):
        pass


def adding(log):
    log.append(Waits(log, None) + Other(log, None))


def keeping(log):
    try:
        fails(2)
    except ZeroDivisionError as error:
        try:
            raise LookupError from error
        except LookupError as second:
            inner(log)
            log.append([type(second.__cause__).__name__, second.__cause__.__traceback__ is None])


def fails(depth):
    return fails(depth - 1) if depth else 1 // depth


def looping(log):
    table = {"a": 1, "b": 2}
    resting = iter(table)
    # CPython 3.11 crashes without memory for items().
    for entry in table.values() if sys.version_info < (3, 12) else table.items():
        if entry in (1, ("a", 1)):
            inner(log)
        log.append((entry, next(resting)))


KINDS = {
    "flat": flat,
    "nested": nested,
    "generating": generating,
    "stepping": stepping,
    "enclosing": enclosing,
    "executed": EXECUTED["executed"],
    "handling": handling,
    "constructing": constructing,
    "entering": entering,
    "leaving": leaving,
    "adding": adding,
    "keeping": keeping,
    "looping": looping,
}


def suspended(kind, soft=False):
    """A task of this kind that waits in inner(), and its log."""
    log = []
    task = tasklet(KINDS[kind])(log)
    old = pickletask.set_parked_limit(0) if soft else None
    task.run()
    if soft:
        pickletask.set_parked_limit(old)
    assert task.paused and log == []
    return task, log


def finish(task, log):
    """Run a task that waits to its end; its log."""
    task.insert()
    run()
    assert not task.alive
    return log


def expected(kind):
    return finish(*suspended(kind))


def log_of(task):
    """The log that a loaded or copied task has: that of its outermost frame."""
    frame = task.frame
    while frame.f_back is not None:
        frame = frame.f_back
    return frame.f_locals["log"]


def reconstruct(x, memo, function, args, state=None, items=None, *rest, deepcopy=None):
    """copy._reconstruct() for what a task holds, without a generator expression.

    CPython 3.12 crashes where it makes the function of one and memory is lacking.
    """
    deepcopy = deepcopy or copy.deepcopy
    made = memo[id(x)] = function(*args)
    if state is not None:
        state = deepcopy(state, memo)
        made.__setstate__(state) if hasattr(made, "__setstate__") else vars(made).update(state)
    for item in items or ():
        made.append(deepcopy(item, memo))
    return made


# ---- operations: prepare() -> state; act(state); check(state, result or None) ----------------


class Switch:
    """Two tasks and main take turns."""

    limit = 1000

    def prepare(self):
        log = []

        def turn(n):
            for _ in range(3):
                schedule()
            log.append(n)

        tasks = [tasklet(turn)(n) for n in range(3)]
        schedule()
        return tasks, log

    def act(self, state):
        old = pickletask.set_parked_limit(self.limit)
        try:
            schedule()
            schedule()
        finally:
            pickletask.set_parked_limit(old)

    def check(self, state, result):
        tasks, log = state
        run()
        assert log == [0, 1, 2], log
        assert not any(task.alive for task in tasks)


class SwitchSoftly(Switch):
    limit = 0


class Create:
    """A new task runs to its end."""

    def prepare(self):
        return []

    def act(self, log):
        task = tasklet(log.append)(1)
        task.run()
        return task

    def check(self, log, task):
        run()
        assert task is None or (not task.alive and log == [1])


class CreateBlocked(Create):
    """A new task waits, without a stack to take over, and is lost."""

    def act(self, log):
        task = tasklet(flat)(log)
        task.run()
        return task

    def check(self, log, task):
        if task is not None:
            assert task.paused
            assert finish(task, log) == ["value", "finally"], log
        gc.collect()


class Throw:
    soft = False
    kind = "flat"

    def prepare(self):
        return suspended(self.kind, self.soft)

    def act(self, state):
        state[0].throw(KeyError)

    def check(self, state, result):
        task, log = state
        if task.alive:
            assert log == [], log
            # What was not thrown: now it is.
            task.throw(KeyError)
        run()
        assert not task.alive
        # The task itself ran out of memory, or not.
        assert "finally" in log or log == [], log


class ThrowSoftly(Throw):
    soft = True


class ThrowNested(Throw):
    soft = True
    kind = "nested"


class ThrowGenerating(Throw):
    soft = True
    kind = "generating"


class ThrowStepping(Throw):
    soft = True
    kind = "stepping"


class Kill(Throw):
    def act(self, state):
        state[0].kill()


class KillSoftly(Kill):
    soft = True


class KillGenerating(Kill):
    soft = True
    kind = "generating"


class Drop:
    """The last reference to a suspended task goes: its `finally` runs."""

    soft = False

    def prepare(self):
        return list(suspended("flat", self.soft))

    def act(self, state):
        del state[0]

    def check(self, state, result):
        gc.collect()
        run()


class DropSoftly(Drop):
    soft = True


class Channel:
    def prepare(self):
        log = []
        ch = channel()

        def receiver():
            log.append(ch.receive())

        def sender():
            ch.send("value")
            log.append("sent")

        return ch, log, tasklet(receiver)(), tasklet(sender)()

    def act(self, state):
        run()

    def check(self, state, result):
        ch, log, receiver, sender = state
        try:
            run()
        except MemoryError:
            pass
        if receiver.alive or sender.alive:
            assert ch.balance == receiver.blocked * -1 + sender.blocked, ch.balance
        for task in receiver, sender:
            if task.alive:
                task.kill()
        assert ch.balance == 0 and ch.queue is None


class ChannelSoftly(Channel):
    def act(self, state):
        old = pickletask.set_parked_limit(0)
        try:
            run()
        finally:
            pickletask.set_parked_limit(old)


class Dumps:
    soft = False

    def __init__(self, kind):
        self.kind = kind
        self.expected = expected(kind)

    def prepare(self):
        return suspended(self.kind, self.soft)

    def act(self, state):
        return pickle.dumps(state[0])

    def act_onwards(self, state):
        # Not the pickler: CPython's import, which it calls, hangs without memory.
        state[0].__reduce_ex__(4)

    def check(self, state, data):
        task, log = state
        assert finish(task, log) == self.expected, log
        if data is not None:
            copied = pickle.loads(data)
            assert finish(copied, log_of(copied)) == self.expected


class DumpsSoftly(Dumps):
    soft = True


def importing(log):
    import waiting

    log.append(waiting.value)


class DumpsImport(Dumps):
    """The task is in the middle of an import."""

    def __init__(self):
        self.expected = ["value"]
        with open("waiting.py", "w") as file:
            file.write("import __main__\nvalue = __main__.schedule_remove('value')\n")
        sys.path.insert(0, "")

    def prepare(self):
        sys.modules.pop("waiting", None)
        log = []
        task = tasklet(importing)(log)
        task.run()
        return task, log

    def check(self, state, data):
        assert finish(*state) == self.expected
        assert sys.modules.pop("waiting").__spec__._initializing is False
        if data is not None:
            copied = pickle.loads(data)
            assert finish(copied, log_of(copied)) == self.expected


class DumpsByReference(Dumps):
    act_onwards = None
    options = {"code": "reference"}
    key = {}

    def act(self, state):
        return pickletask.dumps(state[0], **self.options, **self.key)

    def check(self, state, data):
        task, log = state
        assert finish(task, log) == self.expected, log
        if data is not None:
            copied = pickletask.loads(data, **self.key)
            assert finish(copied, log_of(copied)) == self.expected


class DumpsSealed(DumpsByReference):
    options = {}
    key = {"key": b"k" * 32}


class Loads(Dumps):
    act_onwards = None

    def prepare(self):
        if not hasattr(self, "data"):
            task, log = suspended(self.kind)
            self.data = pickle.dumps(task)
            finish(task, log)
        return None

    def act(self, state):
        return pickle.loads(self.data)

    def check(self, state, task):
        if task is not None:
            assert finish(task, log_of(task)) == self.expected


class LoadsImport(DumpsImport):
    act_onwards = None

    def prepare(self):
        if not hasattr(self, "data"):
            state = super().prepare()
            self.data = pickle.dumps(state[0])
            finish(*state)
        sys.modules.pop("waiting", None)

    def act(self, state):
        return pickle.loads(self.data)

    def check(self, state, task):
        assert "waiting" not in sys.modules
        if task is not None:
            assert finish(task, log_of(task)) == self.expected


class LoadsByReference(Loads):
    options = {"code": "reference"}
    how = {}

    def prepare(self):
        if not hasattr(self, "data"):
            task, log = suspended(self.kind)
            self.data = pickletask.dumps(task, **self.options)
            finish(task, log)

    def act(self, state):
        return pickletask.loads(self.data, **self.how)


class LoadsRestricted(LoadsByReference):
    how = {"allow": ["__main__.*", "builtins.getattr"]}


class LoadsSealed(LoadsByReference):
    options = how = {"key": b"k" * 32}


class LoadsAndRun(Loads):
    """The first switch to a loaded task."""

    def prepare(self):
        super().prepare()
        task = pickle.loads(self.data)
        return task, log_of(task)

    def act(self, state):
        state[0].run()

    def check(self, state, result):
        task, log = state
        if task.alive:
            assert finish(task, log) == self.expected
        run()


class Deepcopy(Dumps):
    act_onwards = None

    def act(self, state):
        return copy.deepcopy(state[0])

    def check(self, state, task):
        original, log = state
        assert finish(original, log) == self.expected
        if task is not None:
            assert finish(task, log_of(task)) == self.expected


def counting(items):
    # Without an iterator: CPython crashes if copy.deepcopy() of one runs out of memory.
    total = n = 0
    while n < len(items):
        try:
            total += items[n]
            yield total
        finally:
            total += 1
            n += 1


class Generator:
    def prepare(self):
        generator = counting([1, 2, 3])
        next(generator)
        return generator

    def act(self, generator):
        return pickle.dumps(generator)

    def act_onwards(self, generator):
        _core._reduce_generator(generator)

    def check(self, generator, data):
        assert list(generator) == [4, 8]
        if data is not None:
            assert list(pickle.loads(data)) == [4, 8]


def delegating_to(generator):
    yield from generator


class ChainOfGenerators(Generator):
    """So many that some of them lead the pickler."""

    def prepare(self):
        generator = counting([1, 2, 3])
        for _ in range(32):
            generator = delegating_to(generator)
        next(generator)
        return generator

    def act(self, generator):
        # CPython has too much to do with all of them.
        _core._reduce_generator(generator)

    act_onwards = act

    def check(self, generator, nothing):
        assert list(pickle.loads(pickle.dumps(generator))) == [4, 8]
        assert list(generator) == [4, 8]


class LoadGenerator(Generator):
    act_onwards = None

    def act(self, generator):
        return pickle.loads(self.data)

    def prepare(self):
        if not hasattr(self, "data"):
            self.data = pickle.dumps(super().prepare())

    def check(self, nothing, generator):
        if generator is not None:
            assert list(generator) == [4, 8]


class CopyGenerator(Generator):
    act_onwards = None

    def act(self, generator):
        return copy.deepcopy(generator)

    def check(self, generator, copied):
        assert list(generator) == [4, 8]
        assert copied is None or list(copied) == [4, 8]


@types.coroutine
def pause(value):
    return (yield value)


async def working():
    return [await pause(1), await pause(2)]


async def asynchronous():
    yield await pause(1)
    yield await pause(2)


class Coroutine(Generator):
    """Pickled where it waits; and what ``await`` makes of it."""

    def prepare(self):
        coroutine = working()
        coroutine.send(None)
        return coroutine

    def act_onwards(self, coroutine):
        _core._reduce_generator(coroutine)

    def check(self, coroutine, data):
        for each in [coroutine] if data is None else [coroutine, pickle.loads(data)]:
            assert each.send("a") == 2
            try:
                each.send("b")
            except StopIteration as stop:
                assert stop.value == ["a", "b"]


class AsyncGenerator(Coroutine):
    def prepare(self):
        generator = asynchronous()
        step = generator.asend(None)
        step.send(None)
        try:
            step.send("a")
        except StopIteration as stop:
            assert stop.value == "a"
        return generator

    def check(self, generator, data):
        for each in [generator] if data is None else [generator, pickle.loads(data)]:
            step = each.asend(None)
            assert step.send(None) == 2
            try:
                step.send("b")
            except StopIteration as stop:
                assert stop.value == "b"


class LoadCoroutine(Coroutine):
    act_onwards = None

    def prepare(self):
        if not hasattr(self, "data"):
            self.data = pickle.dumps(super().prepare())

    def act(self, state):
        return pickle.loads(self.data)

    def check(self, state, loaded):
        if loaded is not None:
            super().check(loaded, None)


class LoadAsyncGenerator(LoadCoroutine, AsyncGenerator):
    pass


class RefuseDump:
    """A task that can't be pickled says so, or that memory is lacking."""

    def prepare(self):
        log = []
        task = tasklet(lambda: log.extend(map(schedule_remove, [1])))()
        task.run()
        return task, log

    def act(self, state):
        try:
            pickle.dumps(state[0])
        except pickletask.NotPicklableError:
            return True
        raise AssertionError("was pickled")

    def check(self, state, result):
        task, log = state
        assert finish(task, log) == [1]


OPERATIONS = {
    name: cls
    for name, cls in dict(globals()).items()
    if isinstance(cls, type) and hasattr(cls, "act")
}


def test(operation, once):
    good = n = 0
    act = operation.act
    if not once:
        act = getattr(operation, "act_onwards", None) or act
    while good < ENOUGH:
        n += 1
        assert n < LIMIT, "the operation never succeeds"
        state = operation.prepare()
        gc.collect()
        result = None
        raised = None
        set_nomemory(n, n + 1 if once else 0)
        try:
            result = act(state)
        except MemoryError:
            raised = True
        except BaseException as error:
            remove_mem_hooks()
            if not has_cause(error):
                print("n =", n, file=sys.stderr)
                raise
            raised = True
        finally:
            remove_mem_hooks()
        good = 0 if raised else good + 1
        try:
            operation.check(state, result)
        except BaseException:
            print("n =", n, "raised:", raised, file=sys.stderr)
            raise
        del state, result
    return n


def has_cause(error):
    """Does an error say that memory was lacking? CPython itself hides it in some places."""
    hidden = "error return without exception set", "can't allocate lock", "unmarshallable object"
    if any(text in str(error) for text in hidden):
        return True
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, pickle.PicklingError) and "import of module" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def main(name, how, *kind):
    sys.unraisablehook = lambda details: None
    copy._reconstruct = reconstruct
    # CPython 3.11 crashes where it makes the thread's first context and memory is lacking.
    contextvars.copy_context()
    n = test(OPERATIONS[name](*kind), how == "once")
    gc.collect()
    assert pickletask.getruncount() == 1
    print("allocations:", n - ENOUGH)


if __name__ == "__main__":
    main(*sys.argv[1:])
