"""Random programs that suspend: how they are run, and what they use.

grammar.py writes them. Each is run straight through, and in copies made wherever it suspends; both
must leave the same trace.
"""

import functools
import importlib
import re
import types
import warnings
from pathlib import Path

import programs

HEADER = """\
import collections, contextlib, functools, itertools, sys
from differential import (
    AsyncManager, Manager, Oops, Thing, chain, change, collect, decorate, descend, drive, enter,
    pause_twice, quiet, transparent,
)

G = 1


"""

# ---- what they use --------------------------------------------------------


class Oops(Exception):
    """What programs raise beside Python's own exceptions."""


class Manager:
    """A context manager that logs what happens to it."""

    def __init__(self, log, name, suppress):
        self.log, self.name, self.suppress = log, name, suppress

    def __enter__(self):
        self.log.append(("enter", self.name))
        return self.name

    def __exit__(self, kind, value, traceback):
        self.log.append(("exit", self.name, repr(value)))
        return self.suppress


class AsyncManager:
    """One for coroutines, which waits for the driver and for the task."""

    def __init__(self, suspend, log, name):
        self.suspend, self.log, self.name = suspend, log, name

    async def __aenter__(self):
        self.log.append(("enter", await pause_twice(self.suspend, self.name)))
        return self.name

    async def __aexit__(self, kind, value, traceback):
        self.log.append(("exit", self.suspend(self.name), repr(value)))
        return isinstance(value, Oops)


class Thing:
    """The base of all classes of programs: each method of theirs overrides one of these."""

    __match_args__ = ("n",)

    def __init__(self, suspend, log, n=1):
        self.suspend, self.log, self.n, self.left = suspend, log, n, 2

    @classmethod
    def make(cls, suspend, log, n):
        return cls(suspend, log, n)

    @property
    def prop(self):
        return self.n

    @prop.setter
    def prop(self, value):
        self.n = value

    def method(self, x):
        return self.n + x

    def __enter__(self):
        return self.n

    def __exit__(self, *details):
        return False

    def __iter__(self):
        return self

    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.n

    def __call__(self, x, *, k=1):
        return self.n + x * k

    def __getitem__(self, key):
        return key

    def __setitem__(self, key, value):
        self.n = key

    def __delitem__(self, key):
        self.n = key

    def __getattr__(self, name):
        if name == "missing":
            return 0
        raise AttributeError(name)

    def __add__(self, other):
        return self.n

    def __rsub__(self, other):
        return self.n

    def __mul__(self, other):
        return self.n

    __rmul__ = __mul__

    def __iadd__(self, other):
        self.n += other
        return self

    def __neg__(self):
        return -self.n

    def __lt__(self, other):
        return True

    def __eq__(self, other):
        return self is other

    def __contains__(self, item):
        return item == self.n

    def __bool__(self):
        return bool(self.n)

    def __len__(self):
        return 1


def quiet(n, log):
    """A generator that doesn't suspend, but tells when it ends."""
    try:
        yield from range(n)
    finally:
        log.append("quiet")


def descend(suspend, depth, value):
    """Suspend so many calls deep."""
    return descend(suspend, depth - 1, value) + 1 if depth > 0 else suspend(value)


def decorate(suspend, number):
    """A decorator that suspends before and after each call."""

    def decorator(function):
        def wrapper(*args, **kwargs):
            return suspend(number) + function(*args, **kwargs) + suspend(number)

        return wrapper

    return decorator


def transparent(function):
    """A decorator whose functions pass for those that they call."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@types.coroutine
def pause(value):
    return (yield value)


async def pause_twice(suspend, value):
    """Wait for the driver of the coroutine, then as a task."""
    return suspend(await pause(value))


def drive(coroutine):
    """Run a coroutine to its end, giving back to it what it waits for."""
    value = None
    try:
        while True:
            value = coroutine.send(value)
    except StopIteration as stop:
        return stop.value


async def collect(generator):
    """What an asynchronous generator yields."""
    return [value async for value in generator]


def enter(manager):
    """What a context manager gives, and what it does about an exception."""
    with manager as value:
        raise Oops(value)
    return value


def change(thing):
    """Change an object by all statements that change one."""
    thing += 1
    thing[1] = 2
    del thing[3]
    return thing


def chain(error, depth=4):
    """What an exception is, where it was raised, and what led to it."""
    if error is None or depth == 0:
        return None
    places, entry = [], error.__traceback__
    while entry is not None:
        places.append((entry.tb_frame.f_code.co_name, entry.tb_lineno))
        entry = entry.tb_next
    return (
        type(error).__name__, repr(error.args), places, error.__suppress_context__,
        chain(error.__cause__, depth - 1), chain(error.__context__, depth - 1),
    )  # fmt: skip


# ---- running them ---------------------------------------------------------


def namespace_of(source, module=None):
    """Execute a source in a dict that no module has, or in the importable module of that name."""
    with warnings.catch_warnings():
        # "return" in "finally" and the like.
        warnings.simplefilter("ignore", SyntaxWarning)
        if module is not None:
            return vars(importlib.import_module(module))
        namespace = {"__name__": "a_place_that_cannot_be_imported"}
        exec(compile(HEADER + source, "<generated>", "exec"), namespace)
        return namespace


def write_module(source, folder, module):
    """Make a source importable."""
    Path(folder, module + ".py").write_text(HEADER + source, encoding="utf-8")
    importlib.invalidate_caches()


def call(program, log, outcome):
    from pickletask import schedule_remove

    try:
        outcome.append((program(schedule_remove, log), log))
    except Exception as error:
        outcome.append((programs.raised(error), log))


def start(source, module=None):
    """A tasklet that will run a program, and the list that gets its result."""
    from pickletask import tasklet

    outcome = []
    task = tasklet(call)(namespace_of(source, module)["program"], [], outcome)
    task.remove()
    return task, outcome


class TooLong(BaseException):
    """The program suspends so often that it isn't worth the time."""


def reference(source, module=None, limit=60):
    """The trace of a program whose suspend() just returns, or None if it is too long."""
    trace, log = [], []

    def suspend(value):
        trace.append(("suspended", repr(value)))
        if len(trace) > limit:
            raise TooLong
        return value

    try:
        result = namespace_of(source, module)["program"](suspend, log)
    except (TooLong, BaseExceptionGroup) as error:
        # except* makes groups even of those.
        result = programs.raised(error)
    except Exception as error:
        result = programs.raised(error)
    if len(trace) > limit:
        # Whatever became of TooLong on its way.
        return None
    trace.append(("returned", repr((result, log))))
    return trace


#: Where programs wait that can't be saved: docs/limits.rst has these.
REFUSED = re.compile(
    r"called (sum|len)\(\)"  # a generator, __len__
    r"|used an operator or a builtin operation"  # [*generator], del x[i]
    r"|used a subscript"  # x[i] = value
    r"|(made an object by a call|called a function)"  # partial() of a class
)


def save(dumps, pair, *protocol):
    """The pickle of a task and its outcome; None where it waits in what can't be saved."""
    from pickletask import NotPicklableError

    try:
        return dumps(pair, *protocol)
    except NotPicklableError as error:
        if not REFUSED.search(str(error)):
            raise
        return None


def copier(dumps, loads, *protocol):
    """What run_and_resume() takes: one goes on uncopied where it can't be saved."""

    def copy(pair):
        data = save(dumps, pair, *protocol)
        return pair if data is None else loads(data)

    return copy


def run_and_resume(source, copy, module=None):
    """Like programs.run_and_resume()."""
    trace, originals = [], []
    task, outcome = start(source, module)
    while programs.step(task, outcome, trace):
        original = task
        task, outcome = copy((task, outcome))
        if task is not original:
            originals.append(original)
    for task in originals:
        programs.end(task)
    return trace
