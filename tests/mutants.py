"""Damaged pickles: what they are made from, how they are damaged, and how they are tried.

Mutants are numbered: the same number makes the same mutant in every process, so that one that
crashed its process can be made again to be looked at.

The programs here do without ``x.append()``: where a mutant makes x a class, CPython 3.13.0 crashes
by itself in code that has been specialised for lists.
"""

import _compat_pickle
import collections
import contextvars
import gc
import io
import os
import pickle
import random
import signal
import sys
import types
from pathlib import Path

import golden_tasks
import programs

import pickletask
from pickletask import channel, schedule_remove, tasklet

#: How many times slower everything runs, because a tool watches.
SLOWDOWN = int(os.environ.get("PICKLETASK_TEST_SLOWDOWN", 1))
#: One mutant in so many is tried; with ``make fuzz``, each.
SHARE = max(SLOWDOWN, 1 if "PICKLETASK_FUZZ" in os.environ else 4)


def is_tried(number):
    """Is the mutant of that number one of them?  They are spread over all kinds and places."""
    return number * 0x9E3779B1 % 2**32 * SHARE < 2**32


# ---- what is damaged ------------------------------------------------------


def walk(items, log):
    for item in items:
        log += [schedule_remove(item)]
    return log


def descend(depth, log):
    if depth == 0:
        return schedule_remove("bottom")
    with Guard(log) as guard:
        for i, c in enumerate("ab"):
            result = {i: [c, descend(depth - 1, log)], "guard": guard}
            log += [result]
    return result


class Guard:
    def __init__(self, log):
        self.log = log

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.log += [repr(error[1])]
        return True


def generate(n):
    try:
        for i in range(n):
            yield schedule_remove(i)
            yield (i, schedule_remove("between"))
    finally:
        n = None


def delegate(n):
    result = yield from generate(n)
    yield from [result, n]


def loop_over_generators(log):
    resting = (x for x in [1, 2, 3])
    for x in resting:  # noqa: B007
        break
    for y in delegate(3):
        log += [x, y]
    for x in resting:
        log += [schedule_remove(x)]


def close_over(log):
    total, unset = 0, None
    del unset

    def add(n):
        nonlocal total
        total += schedule_remove(n)
        return total

    def outer():
        return [add(k) for k in (1, 2)], (lambda v: v + total)(3)

    log += [outer(), total]
    return log, unset  # noqa: F821


def handle(log):
    try:
        raise ValueError("first")
    except ValueError as error:
        try:
            raise KeyError(schedule_remove("first"))
        except KeyError:
            log += [schedule_remove(repr(error))]
            try:
                log += [sys.exc_info()[1]]
            finally:
                log += [schedule_remove("finally")]
            raise
        finally:
            schedule_remove("outer")


def talk(c, log):
    while True:
        log += [c.receive()]


def rest(items):
    for a, b in zip(items, enumerate(items), strict=True):
        try:
            got = yield a, b
            raise LookupError(got)
        except LookupError as error:
            yield [error, *(yield error)]


def loop_over_sequences(log):
    resting = delegate_to_sequences()
    log += [next(resting)]
    for a in [1, 2]:
        for b in (3, 4):
            for c in "xy":
                log += [schedule_remove((a, b, c))]
        log += [next(resting)]


def delegate_to_sequences():
    yield from [1, 2]
    for c in "xy":
        yield from (c, c)


async def work(items):
    return [await pause(item) for item in items]


@types.coroutine
def pause(item):
    return (yield item)


def blocked_tasks():
    c, log = channel(), []
    for _ in range(3):
        tasklet(talk)(c, log)
    pickletask.schedule()
    return [c.queue, c, log]


def advanced(function, steps, *args):
    task = programs.begin(function, *args)
    for _ in range(steps):
        task.run()
    return [task, args]


def executed():
    namespace = {"__name__": "nowhere_to_be_found", "schedule_remove": schedule_remove}
    exec(
        "BASE = [1]\n"
        "def helper(x):\n  return BASE + [schedule_remove(x)]\n"
        "def main(a, *rest, k=1, **more):\n"
        "  return [helper(x) for x in (a, *rest, k, *more)]\n",
        namespace,
    )
    return [programs.begin(namespace["main"], 1, 2, k=3, z=4)]


class Crossed:
    """Everything that CPython calls through C code suspends."""

    def __init__(self, n):
        self.n = schedule_remove(n)

    def __enter__(self):
        return schedule_remove("enter")

    def __exit__(self, *error):
        return schedule_remove(error[1] is not None)

    def __add__(self, other):
        return schedule_remove(NotImplemented)

    def __lt__(self, other):
        return schedule_remove(NotImplemented)

    def __gt__(self, other):
        return schedule_remove([other])

    def __contains__(self, item):
        return schedule_remove([item])

    def __bool__(self):
        return schedule_remove(False)

    def __iter__(self):
        return iter([schedule_remove(1)])

    def __call__(self, x):
        return schedule_remove(x)

    @property
    def prop(self):
        return schedule_remove(self.n)


class Reflected(Crossed):
    def __radd__(self, other):
        return schedule_remove(other)


def cross(log):
    crossed = Crossed(1)
    with crossed as entered:
        log += [entered, crossed.prop, crossed(2)]
        raise ValueError
    with crossed:
        log += [crossed + Reflected(2)]
    if crossed < Crossed(3) and 5 in crossed:
        log += [1]
    log += [0 if crossed else 1]
    for x in crossed:
        log += [x]
    g = generate(1)
    log += [next(g, None), g.close()]
    return log


def crossings():
    found = []
    for steps in (1, 4, 9, 12, 15):
        found += advanced(cross, steps, [])
    return found


@types.coroutine
def give(item):
    return (yield schedule_remove(item))


async def count(log):
    try:
        for i in range(2):
            yield await give(i)
            log += [schedule_remove(i)]
    except ValueError:
        yield await give("caught")
    finally:
        log += [await pause("closing")]


async def use_steps(log):
    steps = count(log)
    log += [await anext(steps), await steps.asend(1), await anext(steps, None)]
    steps = count(log)
    log += [await anext(steps), await steps.athrow(ValueError), await steps.aclose()]
    async for x in count(log):
        log += [x]


def run_steps(log):
    coroutine = use_steps(log)
    step = count(log).asend(None)
    log += [step.send(None)]
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass
    coroutine = close_inside(log)
    coroutine.send(None)
    return coroutine.close()


async def close_inside(log, depth=2):
    try:
        await (close_inside(log, depth - 1) if depth else pause(1))
    finally:
        log += [schedule_remove(depth)]


def steps():
    found = [item for number in (0, 2, 6, 9) for item in advanced(run_steps, number, [])]
    last = advanced(run_steps, 12, [])
    assert last[0].frame.f_code is close_inside.__code__
    return found + last


class Stored:
    """Suspends where what comes back is not pushed, or not alone, or converted."""

    def __setattr__(self, name, value):
        schedule_remove(value)

    def __delitem__(self, key):
        schedule_remove(key)

    def __setitem__(self, key, value):
        self.key = value

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return schedule_remove(len)

    def __len__(self):
        return schedule_remove(2)

    def __str__(self):
        return schedule_remove("text")

    def __iter__(self):
        return schedule_remove(iter([]))


class Space(dict):
    def __setitem__(self, name, value):
        schedule_remove(name)
        dict.__setitem__(self, name, value)

    def __reduce__(self):
        return fill_space, (list(self.items()),)


def fill_space(items):
    space = Space()
    dict.update(space, items)
    return space


class StoredType(type):
    @classmethod
    def __prepare__(meta, name, bases):
        return Space()

    def __new__(meta, name, bases, names):
        return schedule_remove(name)


def store(log, stored):
    stored.x = 1
    for stored.y in [1, 2]:
        stored[1] = 2
    del stored[1]
    log += [stored.method(log), getattr(stored, "x", 0), len(stored), str(stored)]
    log += [f"{stored}{stored!s:>9}"]
    for _ in stored:
        pass

    class Made(metaclass=StoredType):
        x = 1

    return log


def stores():
    found = []
    for steps in (1, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15):
        found += advanced(store, steps, [], Stored())
    return found


def generators():
    first, second, third = rest([1, 2]), rest("ab"), rest([])
    next(first)
    first.send(5)
    next(second)
    coroutine = work([1, 2])
    coroutine.send(None)
    fourth = delegate_to_sequences()
    next(fourth)
    return [first, second, third, fourth, coroutine]


def fail(depth):
    return 1 // depth if depth < 1 else fail(depth - 1)


def keep_tracebacks(log):
    try:
        fail(2)
    except ZeroDivisionError as error:
        log += [schedule_remove(repr(error))]
        try:
            raise LookupError(schedule_remove("second")) from error
        except LookupError as second:
            log += [schedule_remove(second.__cause__)]
            try:
                raise ExceptionGroup("both", [error, second])
            except* LookupError as part:
                log += [schedule_remove(len(part.exceptions))]


def loop_over_containers(log):
    table = {1: "a", 2: "b", 3: "c"}
    views = [table.keys(), table.items()]
    resting = [iter(table), reversed(table), iter(table.values()), iter({4})]
    for steps in resting:
        next(steps)
    for key, value in table.items():
        for element in {5}:
            log += [schedule_remove((key, value, element, *views))]
        log += [next(steps, None) for steps in resting]


async def step(items):
    try:
        for item in items:
            yield item
    finally:
        items = await pause(None)


async def collect(items):
    async with Async() as entered:
        return [entered, [await pause(item) async for item in step(items)]]


class Async:
    async def __aenter__(self):
        return await pause("enter")

    async def __aexit__(self, *error):
        await pause("exit")


def coroutines():
    started, fresh, wrapped = collect([1, 2]), collect([3]), work([4])
    started.send(None)
    iterator = wrapped.__await__()
    next(iterator)
    unstarted, resting = step([5]), step([6])
    try:
        resting.__anext__().send(None)
    except StopIteration:
        pass
    return [started, fresh, iterator, unstarted, resting]


VARIABLE = contextvars.ContextVar("VARIABLE", default=0)


def change(log, *values):
    for value in values:
        VARIABLE.set([VARIABLE.get(), schedule_remove(value)])
        log += [VARIABLE.get()]
    return VARIABLE


def enter_contexts(log):
    outer, inner = contextvars.Context(), contextvars.Context()
    run = inner.run
    log += [outer.run(change, log, 1), outer.run(lambda: run(change, log, 2)), outer[VARIABLE]]
    log += [run(change, log, *schedule_remove([3])), dict(inner.items())]
    return log


def contexts():
    own = contextvars.Context()
    found = [task for steps in (1, 2, 3, 4) for task in advanced(enter_contexts, steps, [])]
    return [own.run(advanced, change, 2, [], 1, 2, 3), own, *found]


GENERIC = """
def generic(log):
    def first[T: int, U: (str, bytes), *Ts, **P](x: T, *rest: *Ts) -> U:
        type Pair[K: T] = dict[K, tuple[U, K]]
        yield schedule_remove(Pair), T, U
        yield Pair.__value__, Pair[int]

    for values in first(1):
        log += [schedule_remove(values), first.__type_params__]
    log += [T.__bound__ for T in first.__type_params__[:1]]
"""


def generics():
    return [each for steps in (1, 2, 3) for each in advanced(generic, steps, [])]  # noqa: F821


ORIGINALS = {
    "one deep": lambda: advanced(walk, 1, [1, 2, 3], []),
    "five deep": lambda: advanced(descend, 1, 4, []),
    "generators in flight": lambda: advanced(loop_over_generators, 2, []),
    "loops over sequences": lambda: advanced(loop_over_sequences, 1, []),
    "closures": lambda: advanced(close_over, 1, []),
    "handling an exception": lambda: advanced(handle, 1, []),
    "blocked on a channel": blocked_tasks,
    "through C code": crossings,
    "exceptions with tracebacks": lambda: advanced(keep_tracebacks, 2, []),
    "iterators of containers": lambda: advanced(loop_over_containers, 1, []),
    "coroutines at rest": coroutines,
    "through what stores": stores,
    "by value": executed,
    "generators at rest": generators,
    "steps of asynchronous generators": steps,
    "not started": lambda: [tasklet(walk).bind(None, ([1], []))],
    "dead": lambda: [tasklet(walk), channel()],
    "contexts": contexts,
}
if sys.version_info >= (3, 12):
    exec(GENERIC)
    ORIGINALS["type parameters"] = generics

#: What only another pickler than the stock one saves.
OPTIONS = {"contexts": {"contexts": "value"}}

#: Formats that are read, not written: the golden pickles of each.
OLD = {f"format {number}": f"format{number}-*-value.pickle" for number in (1, 2)}
GOLDEN = Path(__file__).resolve().parent / "golden" / "{}.{}".format(*sys.version_info)

#: All that is damaged.
NAMES = [*ORIGINALS, *OLD]


def original(name):
    """The object that is damaged."""
    return ORIGINALS[name]()


def pickles(name, protocols=(4, 2)):
    """Its pickles: one for each protocol, or those that are there."""
    if name in OLD:
        return [path.read_bytes() for path in sorted(GOLDEN.glob(OLD[name]))]
    if name in OPTIONS:
        return [pickletask.dumps(original(name), each, **OPTIONS[name]) for each in protocols]
    return [pickle.dumps(original(name), each) for each in protocols]


KEY = b"k" * 32


def allowed(module, name):
    """What a restricted load takes: nothing that's here does harm."""
    return module in ("mutants", "programs") or name.split(".")[0] in HARMLESS.get(module, ())


def load_stock(data):
    return GuardedUnpickler(io.BytesIO(data)).load()


def load_stock_python(data):
    return GuardedPythonUnpickler(io.BytesIO(data)).load()


#: Other ways to write and read bytes than the stock pickler's: dumps(object), loads(data).
WAYS = {
    "by reference": (lambda obj: pickletask.dumps(obj, code="reference"), load_stock),
    "restricted": (
        lambda obj: pickletask.dumps(obj, code="reference"),
        lambda data: pickletask.loads(data, allow=allowed),
    ),
    "sealed": (
        lambda obj: pickletask.dumps(obj, key=KEY),
        lambda data: pickletask.loads(data, key=KEY),
    ),
}
#: What is written in all of them.
WRITTEN = ["five deep", "generators in flight", "through C code", "blocked on a channel"]


# ---- damaged bytes --------------------------------------------------------

PATTERNS = [0x01, 0x02, 0x10, 0x80, 0xFF]
SPLICES = 3  # random ones, for each byte


def count_byte_mutants(data):
    return len(data) * (len(PATTERNS) + 1 + SPLICES)


def byte_mutant(data, other, number):
    """The mutant of that number; OTHER is a pickle whose pieces are mixed in.

    Those beyond count_byte_mutants() are further random ones.
    """
    kind, place = divmod(number, len(data))
    if kind < len(PATTERNS):
        return data[:place] + bytes([data[place] ^ PATTERNS[kind]]) + data[place + 1 :]
    if kind == len(PATTERNS):
        return data[:place]
    r = random.Random(number)
    size = r.choice([1, 1, 2, 3, 8, 30])
    source = r.choice([data, data, other])
    start = r.randrange(len(source))
    piece = source[start : start + size]
    return [
        data[:place] + data[place + size :],
        data[:place] + piece + data[place:],
        data[:place] + piece + data[place + len(piece) :],
        data[:place] + bytes([r.randrange(256)]) + data[place + 1 :],
    ][r.randrange(4)]


# Where a damaged name may lead: nothing that's here does harm.
HARMLESS = {
    "builtins": {
        "ValueError", "KeyError", "LookupError", "ZeroDivisionError", "GeneratorExit",
        "ExceptionGroup", "enumerate", "zip", "range", "iter", "list",
        "tuple", "dict", "set", "frozenset", "int", "str", "bytes", "bytearray", "complex",
        "slice", "object", "reversed", "map", "filter", "len", "repr", "abs", "getattr",
    },
    "_codecs": {"encode"},
    "_contextvars": {"ContextVar"},
    "_operator": {"getitem"},
    "copyreg": {"_reconstructor", "__newobj__", "__newobj_ex__"},
    "types": {"GenericAlias"},
    "typing": {"Unpack"},
}  # fmt: skip


def find_harmless(module, name):
    """find_class() of unpicklers that read damaged bytes."""
    # Protocol 2 writes the names of Python 2.
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
    module = _compat_pickle.IMPORT_MAPPING.get(module, module)
    if module.startswith("pickletask") or module in ("mutants", golden_tasks.__name__):
        found = sys.modules.get(module)
    elif name.split(".")[0] in HARMLESS.get(module, ()):
        found = sys.modules[module]
    else:
        found = None
    if found is None:
        raise pickle.UnpicklingError(f"{module}.{name} is not for mutants")
    for part in name.split("."):
        found = getattr(found, part)
    return found


class GuardedUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        return find_harmless(module, name)


class GuardedPythonUnpickler(pickle._Unpickler):
    def find_class(self, module, name):
        return find_harmless(module, name)


# ---- damaged state --------------------------------------------------------


def fresh_values():
    """Values of all kinds to put in wrong places."""
    resting, ended, unstarted = rest([1, 2]), rest([]), rest([3])
    next(resting)
    next(ended, None)
    cell = types.CellType()
    cell.cell_contents = cell
    return [
        None, True, 0, 1, -1, 2, 5, 8, 36, 255, 256, 2**31, -(2**31), 2**63, -(2**63), 2**64,
        10**30, 0.5, "", "x", "\ud800", b"", b"\0" * 60, b"\xff" * 9, (), (1,), (None, None),
        [], [1], {}, {1: 2}, {"a": 1}, set(), ValueError("pool"), KeyboardInterrupt("pool"),
        ValueError,
        ExceptionGroup("g", [ValueError(1)]), int, object(), NotImplemented, ..., sys, len,
        types.CellType(), types.CellType(1), cell, iter([1]), iter(range(3)), iter({1: 2}),
        resting, ended, unstarted, work([1]), walk, close_over, rest, work, lambda: 1,
        walk.__code__, rest.__code__, close_over.__code__, tasklet(), tasklet(walk), channel(),
        tasklet, channel, sys._getframe(), schedule_remove, Guard, Guard([]), Guard([]).__exit__,
        collections.ChainMap(), types.MappingProxyType({}), memoryview(b"x"),
    ]  # fmt: skip


class Mutator(pickle._Unpickler):
    """Loads a pickle, but damages what pickletask's own functions are given.

    Without a random.Random it only collects that.
    """

    def __init__(self, data, r=None, seen=()):
        super().__init__(io.BytesIO(data))
        self.random = r
        self.seen = seen
        self.values = []
        self.calls = 0
        self.targets = ()
        self.done = []

    def is_ours(self, function):
        return (getattr(function, "__module__", None) or "").startswith("pickletask")

    def consider(self, function, arguments):
        """The arguments that a function is to get."""
        if not self.is_ours(function):
            return arguments
        self.calls += 1
        if self.random is None:
            self.values += [value for _, value in places(arguments)]
            return arguments
        if self.calls in self.targets:
            damaged = damage(arguments, self.random, self.seen)
            self.done.append((getattr(function, "__name__", function), arguments, damaged))
            return damaged
        return arguments

    def load_reduce(self):
        arguments = self.stack.pop()
        function = self.stack[-1]
        arguments = self.consider(function, arguments)
        self.stack[-1] = function(*arguments) if type(arguments) is tuple else function(arguments)

    def load_build(self):
        instance = self.stack[-2]
        self.stack[-1] = self.consider(type(instance), self.stack[-1])
        super().load_build()

    dispatch = dict(pickle._Unpickler.dispatch)
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build


def places(value, path=(), depth=6):
    """All places inside nested tuples, as (path, value)."""
    yield path, value
    if type(value) is tuple and depth:
        for i, item in enumerate(value):
            yield from places(item, (*path, i), depth - 1)


def replace(value, path, new):
    if not path:
        return new
    items = list(value)
    items[path[0]] = replace(items[path[0]], path[1:], new)
    return tuple(items)


def damage(arguments, r, seen):
    """Change some of what is nested in ARGUMENTS."""
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        path, value = r.choice(list(places(arguments)))
        arguments = replace(arguments, path, changed(value, r, seen))
    return arguments


def changed(value, r, seen):
    """Something else in place of a value, often something alike."""
    kind = r.randrange(6)
    if kind == 0:
        return r.choice(seen)
    if kind == 1:
        return r.choice([each for each in seen if type(each) is type(value)] or seen)
    if type(value) is int and kind <= 4:
        small = [value + 1, value - 1, value ^ (1 << r.randrange(8)), -value, value * 2, 0]
        return r.choice(small)
    if type(value) is tuple and kind <= 4:
        items = list(value)
        spot = r.randrange(len(items) + 1)
        what = r.randrange(4)
        if what == 0 or not items:
            items.insert(spot, r.choice(seen))
        elif what == 1:
            del items[r.randrange(len(items))]
        elif what == 2:
            items.insert(spot, r.choice(items))
        else:
            a, b = r.randrange(len(items)), r.randrange(len(items))
            items[a], items[b] = items[b], items[a]
        return tuple(items)
    if type(value) in (bytes, str) and value and kind <= 4:
        spot = r.randrange(len(value))
        return value[:spot] + value[spot + r.randrange(2) :]
    return r.choice(fresh_values())


def gather(pickles):
    """What our functions are given when undamaged pickles are loaded, and how many calls each."""
    seen, calls = [], []
    for data in pickles:
        mutator = Mutator(data)
        mutator.load()
        seen += mutator.values
        calls.append(mutator.calls)
    return seen, calls


# ---- trying them ----------------------------------------------------------


class TooSlow(BaseException):
    """The alarm: a mutant took more of the processor's time than it may.

    A damaged size may be that of gigabytes, and a debug build fills all memory that it allocates:
    on a busy machine that takes long. One that hangs without working is found by the parent.
    """


def on_alarm(number, frame):
    raise TooSlow


def exercise(loaded):
    """Run what came out of a pickle, for a while, and look at it."""
    things, seen = [loaded], 0
    while things and seen < 40:
        thing = things.pop()
        seen += 1
        if isinstance(thing, (list, tuple, set)):
            things += list(thing)[:20]
        elif isinstance(thing, dict):
            things += list(thing.values())[:20]
        else:
            attempt(lambda thing=thing: use(thing))
    pickletask_is_empty()


def attempt(action):
    try:
        action()
    except TooSlow:
        raise
    except BaseException:
        # Whatever damaged tasks raise is right, as long as nothing crashes.
        pass


def use(thing):
    if isinstance(thing, tasklet):
        look_at(getattr(thing, "frame", None))
        attempt(lambda: pickle.dumps(thing))
        if thing.blocked:
            attempt(lambda: thing._channel and thing._channel.send(1))
        for _ in range(12):
            attempt(thing.run)
        attempt(thing.kill)
    elif isinstance(thing, channel):
        attempt(lambda: pickle.dumps(thing))
        for _ in range(4):
            if thing.balance < 0:
                attempt(lambda: thing.send(1))
            elif thing.balance > 0:
                attempt(thing.receive)
    elif hasattr(thing, "send") and hasattr(thing, "close"):
        look_at(getattr(thing, "gi_frame", None) or getattr(thing, "cr_frame", None))
        attempt(lambda: pickle.dumps(thing))
        for _ in range(12):
            attempt(lambda: thing.send(None))
        attempt(lambda: thing.throw(ValueError()))
        attempt(thing.close)
    elif isinstance(thing, types.FunctionType):
        attempt(lambda: repr((thing.__defaults__, thing.__closure__, thing.__annotations__)))
    elif isinstance(thing, BaseException):
        attempt(lambda: repr((thing.__traceback__, thing.__context__)))
    elif isinstance(thing, contextvars.Context):
        attempt(lambda: repr(dict(thing.items())))
        attempt(lambda: thing.run(VARIABLE.set, 1))
        attempt(lambda: pickletask.dumps(thing, contexts="value"))
    elif type(thing) in pickletask._core._TYPE_PARAMS:
        ask(thing)


FIELDS = ["bound", "constraints", "default", "value", "type_params", "parameters", "module"]
EVALUATORS = ["evaluate_bound", "evaluate_constraints", "evaluate_default", "evaluate_value"]


def ask(param):
    """Look at all that a type parameter or type alias has, and use it."""
    attempt(lambda: repr(param))
    for field in FIELDS:
        attempt(lambda field=field: repr(getattr(param, f"__{field}__")))
    for field in EVALUATORS:
        attempt(lambda field=field: getattr(param, field)(1))
    attempt(lambda: repr(list[param][int] | param | None))
    attempt(lambda: repr((param[int], *param)))
    attempt(lambda: pickle.dumps(param))


def look_at(frame):
    for _ in range(20):
        if frame is None:
            return
        attempt(lambda frame=frame: (frame.f_lineno, dict(frame.f_locals)))
        frame = frame.f_back


def pickletask_is_empty():
    """Take all tasks that are left out of the run queue."""
    for _ in range(50):
        task = pickletask.getcurrent().next
        if task is pickletask.getcurrent() or task is None:
            return
        attempt(task.remove)
        attempt(task.kill)


class Trial:
    """Tries mutants one after the other; ``number`` is written where the parent can see it."""

    def __init__(self, note):
        self.note = note
        self.loaded = self.refused = self.slow = 0
        self.hung = []
        self.wrong = collections.Counter()
        signal.signal(signal.SIGPROF, on_alarm)

    def run(self, number, load, seconds=10 * SLOWDOWN):
        self.note(number)
        try:
            self.run_timed(number, load, seconds)
        except TooSlow:
            # The alarm came in C code, which told of it when all was over.
            self.slow += 1
        if number % 500 == 0:
            gc.collect()

    def run_timed(self, number, load, seconds):
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            try:
                loaded = load()
            except TooSlow:
                self.hung.append(number)
                return
            except BaseException as error:
                self.refused += 1
                self.wrong[type(error).__name__] += 1
                del error
                return
            self.loaded += 1
            signal.setitimer(signal.ITIMER_PROF, seconds / 10)
            try:
                exercise(loaded)
            except TooSlow:
                # A damaged number may well make an endless loop: that's what it says.
                self.slow += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            loaded = None
