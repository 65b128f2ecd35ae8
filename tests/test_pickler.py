"""The options of pickletask's own pickler, what it refuses, and dumps that are interrupted."""

import copy
import copyreg
import io
import pickle
import socket
import sys
import textwrap
import threading
import types

import programs
import pytest

import pickletask
from pickletask import NotPicklableError, builtin_types, channel, schedule_remove, tasklet

pytestmark = pytest.mark.usefixtures("mode")


def suspended(function, *args):
    task = tasklet(function)(*args)
    task.run()
    return task


def echo(value):
    while True:
        value = schedule_remove(value)


# ---- the stock interface --------------------------------------------------


@pytest.mark.parametrize("code", ["value", "reference"])
def test_subclass_overrides_hooks(code):
    class Lock:
        pass

    class Mine(pickletask.Pickler):
        def persistent_id(self, obj):
            return "lock" if type(obj) is Lock else None

        def reducer_override(self, obj):
            if obj is len:
                return complex, (1, 2)
            return super().reducer_override(obj)

    class Reader(pickletask.Unpickler):
        def persistent_load(self, pid):
            return pid

    def local():
        return 5

    file = io.BytesIO()
    Mine(file, code=code).dump([Lock(), len, local, suspended(echo, Lock())])
    file.seek(0)
    lock, number, function, task = Reader(file).load()
    assert (lock, number, function()) == ("lock", 1 + 2j, 5)
    assert task.frame.f_locals == {"value": "lock"}


@pytest.mark.parametrize("code", ["value", "reference"])
def test_dispatch_table_of_the_user_comes_first(code):
    class Own(tasklet):
        pass

    task = Own(echo)(1)
    task.run()
    generator = (x for x in "ab")
    file = io.BytesIO()
    pickler = pickletask.Pickler(file, code=code)
    pickler.dispatch_table = {Own: lambda task: (str, ("a task",))}
    pickler.dump([task, generator])
    name, copy = pickle.loads(file.getvalue())
    assert (name, list(copy)) == ("a task", ["a", "b"])


def test_copyreg_registration_of_a_subclass_comes_first():
    class Own(tasklet):
        pass

    copyreg.pickle(Own, lambda task: (str, ("a task",)))
    try:
        assert pickle.loads(pickletask.dumps(Own(echo)(1), code="reference")) == "a task"
    finally:
        del copyreg.dispatch_table[Own]


def test_one_pickler_writes_several_pickles():
    file = io.BytesIO()
    pickler = pickletask.Pickler(file)
    task = suspended(echo, 1)
    pickler.dump(task)
    first = len(file.getvalue())
    pickler.dump(task)
    assert len(file.getvalue()) - first < 20
    pickler.clear_memo()
    pickler.dump(task)
    file.seek(0)
    reader = pickletask.Unpickler(file)
    one, two = reader.load(), reader.load()
    assert one is two


def test_pickler_goes_when_nobody_needs_it():
    import weakref

    task = suspended(echo, 1)
    for options in ({}, {"code": "reference"}, {"main": "value"}):
        pickler = pickletask.Pickler(io.BytesIO(), **options)
        gone = weakref.ref(pickler)
        pickler.dump([task, lambda: 1])
        del pickler
        assert gone() is None


# ---- __main__ and classes by value ----------------------------------------

SCRIPT = """
    import sys
    import pickletask

    FACTOR = 3
    table = {"calls": 0}
    unused = pickletask.getcurrent()

    class Thing:
        size = 7
        def __init__(self):
            self.name = "thing"
        @property
        def twice(self):
            return FACTOR * self.size
        def me(self):
            return type(self) is Thing

    def helper(x):
        table["calls"] += 1
        return pickletask.schedule_remove(x * FACTOR)

    def main():
        thing = Thing()
        for number in range(2):
            print(helper(number), table["calls"], thing.twice, thing.me())

    def other():
        while True:
            pickletask.schedule_remove(table)

    if __name__ == "__main__":
        task = pickletask.tasklet(main)()
        task.run()
        second = pickletask.tasklet(other)()
        second.run()
        data = pickletask.dumps([task, second, Thing], int(sys.argv[1]), main="value")
        sys.stdout.buffer.write(data)
"""

TWO_TASKS = """
task, second, Thing = task
task.tempval = "resumed"
task.run()
task.run()
second.run()
print(second.tempval, Thing.__module__, "helper" in globals())
"""


def test_main_by_value_needs_nothing_of_the_other_main(run_isolated, tmp_path, protocol):
    script = textwrap.dedent(SCRIPT).replace(
        "sys.stdout.buffer.write(data)", "open(sys.argv[2], 'wb').write(data)"
    )
    place = tmp_path / "data"
    run_isolated(script, protocol, place)
    resume = run_isolated(
        "import pickle, sys, pickletask\n"
        "task = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert 'FACTOR' not in globals()\n" + TWO_TASKS,
        place,
    )
    assert resume.stdout.splitlines() == [
        "resumed 1 21 True",
        "3 2 21 True",
        "{'calls': 2} __main__ False",
    ]


DECORATED = """
    import contextlib, functools, sys
    import pickletask

    BASE = 10

    @contextlib.contextmanager
    def manager(number):
        pickletask.schedule_remove()
        yield number + BASE

    @functools.lru_cache
    def cached(number):
        return number + BASE

    @functools.singledispatch
    def dispatching(x):
        return "something"

    @dispatching.register
    def _(x: int):
        return pickletask.schedule_remove("number")

    class Closing:
        def __enter__(self):
            return self.work
        def __exit__(self, *error):
            print("closed", BASE)
        def work(self):
            pickletask.schedule_remove()

    def main():
        with manager(1) as first, Closing() as work:
            work()
            pickletask.schedule_remove()
            print(first, cached(2), dispatching(3), dispatching(""))

    if __name__ == "__main__":
        task = pickletask.tasklet(main)()
        for _ in range(int(sys.argv[1])):
            task.run()
        open(sys.argv[2], "wb").write(pickletask.dumps(task, main="value"))
"""


@pytest.mark.parametrize("steps", range(1, 5))
def test_main_by_value_has_what_decorators_made(steps, run_isolated, tmp_path):
    pytest.importorskip("cloudpickle")
    place = tmp_path / "data"
    run_isolated(textwrap.dedent(DECORATED), steps, place)
    resume = run_isolated(
        "import pickle, sys, pickletask\n"
        "task = pickle.load(open(sys.argv[1], 'rb'))\n"
        "while task.alive: task.tempval = 'number'; task.run()\n",
        place,
    )
    assert resume.stdout.splitlines() == ["11 12 number something", "closed 10"]


@pytest.mark.parametrize("options", [{"classes": "value"}, {"main": "value"}])
def test_files_and_views_of_memory_are_refused_with_classes_by_value(options):
    pytest.importorskip("cloudpickle")
    with open(__file__) as file:
        for thing in (file, memoryview(b"x")):
            with pytest.raises(TypeError, match="cannot pickle"):
                pickletask.dumps(thing, **options)


def test_methods_go_with_classes_by_value():
    pytest.importorskip("cloudpickle")

    class Local:
        def method(self):
            return self

        @classmethod
        def of_class(cls):
            return cls

    obj = Local()
    loaded, method, of_class, odd = pickle.loads(
        pickletask.dumps(
            (obj, obj.method, obj.of_class, types.SimpleNamespace(f=obj.method)), classes="value"
        )
    )
    assert method() is loaded and odd.f() is loaded and of_class() is type(loaded)


def test_refusal_of_a_class_says_what_to_do():
    class Local:
        pass

    with pytest.raises(NotPicklableError, match="local 'value': .*Local.*; .*classes='value'"):
        pickletask.dumps(suspended(echo, Local()))
    with pytest.raises(NotPicklableError, match="; no import finds that class"):
        pickletask.dumps(suspended(echo, types.CodeType))


def test_local_classes_go_by_value_on_request(protocol):
    class Point:
        """A class that no import finds."""

        def __init__(self, x):
            self.x = x

        @property
        def double(self):
            return 2 * self.x

        @classmethod
        def make(cls):
            return cls(21)

        def run(self):
            schedule_remove()
            return super().__init__() or Point

    def work():
        point = Point(1)
        schedule_remove()
        schedule_remove((point.double, Point.make().double, isinstance(point, Point)))

    task = suspended(work)
    with pytest.raises(NotPicklableError, match="local 'point'"):
        pickletask.dumps(task, protocol)
    copy = pickle.loads(pickletask.dumps(task, protocol, classes="value"))
    copy.run()
    assert copy.tempval == (2, 42, True)
    assert pickle.loads(pickletask.dumps(dict, protocol, classes="value")) is dict
    assert pickle.loads(pickletask.dumps(io.BytesIO, protocol, classes="value")) is io.BytesIO


def test_annotated_methods_of_classes_by_value():
    pytest.importorskip("cloudpickle")

    class Node:
        value: int

        def add(self, child: int) -> str:
            return self.add.__annotations__

    def with_dict_of_class(space):
        return lambda: space

    get = with_dict_of_class(builtin_types.dict_of_class(Node))
    cls, loaded, *_ = pickle.loads(pickletask.dumps((Node, get, Node.add), classes="value"))
    cls.later = 1
    assert loaded()["later"] == 1 and loaded()["add"] is cls.add
    assert cls().add(1) == {"child": int, "return": str}
    assert cls.__annotations__ == {"value": int}
    # By name there is no class, but what its methods refer to.
    loaded = pickle.loads(pickletask.dumps(get))
    assert loaded()["add"].__annotations__ == {"child": int, "return": str}
    assert copy.deepcopy(get)() is get()


def test_classes_by_value_need_cloudpickle(monkeypatch):
    class Local:
        pass

    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ImportError, match="Local by value needs cloudpickle.*pip install"):
        pickletask.dumps(Local, classes="value")
    assert pickletask.dumps([1, dict], classes="value")


# ---- refusals that say where ----------------------------------------------


class Holder:
    def __init__(self, what):
        self.what = what


def holds(make):
    held = [1, {"deep": Holder(make())}]
    schedule_remove()
    return held


def holds_generator(make):
    generator = inner_generator(make())
    next(generator)
    schedule_remove()
    return generator


def inner_generator(thing):
    yield thing
    return thing


def open_file():
    return open(__file__)


RESOURCES = {
    "file": (open_file, "'_io.TextIOWrapper' object"),
    "socket": (socket.socket, "'socket' object"),
    "lock": (threading.Lock, "'_thread.lock' object"),
    "thread": (threading.Thread, "'Thread' object"),
}


@pytest.mark.parametrize("kind", RESOURCES)
@pytest.mark.parametrize("code", ["value", "reference"])
def test_resource_is_refused_with_the_way_to_it(kind, code):
    make, words = RESOURCES[kind]
    task = suspended(holds, make)
    with pytest.raises(NotPicklableError) as caught:
        pickletask.dumps(task, code=code)
    message = str(caught.value)
    line = holds.__code__.co_firstlineno + 2
    way = f"> frame 'holds' at {__file__}:{line} > local 'held' > [1] > ['deep'] > ['what']"
    assert way in message
    assert "register_resource()" in message
    assert isinstance(caught.value.__cause__, (TypeError, pickle.PicklingError))
    assert task.alive
    held = task.frame.f_locals["held"]
    if kind in ("file", "socket"):
        held[1]["deep"].what.close()
    task.run()
    assert not task.alive


@pytest.mark.parametrize("code", ["value", "reference"])
def test_way_leads_through_generators_and_the_value_stack(code):
    task = suspended(holds_generator, threading.Lock)
    with pytest.raises(NotPicklableError) as caught:
        pickletask.dumps(task, code=code)
    message = str(caught.value)
    assert "frame 'holds_generator'" in message
    assert "local 'generator' > frame 'inner_generator'" in message
    assert "> local 'thing': cannot pickle" in message

    def in_expression():
        return [threading.Lock(), schedule_remove()]

    if code == "value":
        with pytest.raises(NotPicklableError, match=r"frame '.*' at .* > stack\[0\]: cannot"):
            pickletask.dumps(suspended(in_expression))


def test_other_failures_are_what_they_are():
    with pytest.raises(TypeError, match="lock") as caught:
        pickletask.dumps([threading.Lock()])
    assert not isinstance(caught.value, NotPicklableError)
    failing = suspended(echo, Raises(ValueError("of the user")))
    with pytest.raises(ValueError, match="of the user"):
        pickletask.dumps(failing)


# ---- registered resources -------------------------------------------------


class Connection:
    def __init__(self, where):
        self.where = where
        self.lock = threading.Lock()


def describe(connection):
    return connection.where


class Described(Exception):
    pass


@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps, pickletask.dumps])
def test_registered_resource_is_opened_again(dumps):
    pickletask.register_resource(Connection, describe, Connection)
    try:
        task = suspended(echo, [Connection("there")] * 2)
        one, two = pickle.loads(dumps(task)).frame.f_locals["value"]
        assert one is two
        assert one.where == "there"
    finally:
        pickletask.register_resource(Connection, None, None)
    if dumps is not pickle._dumps:
        # dill, once it is imported, teaches the Python pickler to save locks.
        with pytest.raises((TypeError, NotPicklableError)):
            dumps(task)
    pickletask.register_resource(Connection, None, None)


def test_wrong_registration_raises():
    with pytest.raises(TypeError, match="must be a class"):
        pickletask.register_resource("file", describe, Connection)
    with pytest.raises(TypeError, match="close must be callable, not int"):
        pickletask.register_resource(Connection, 1, Connection)
    with pytest.raises(TypeError, match="reopen must be callable, not NoneType"):
        pickletask.register_resource(Connection, describe, None)
    with pytest.raises(TypeError):
        pickletask.dumps(Connection(1))


# ---- interruptions --------------------------------------------------------


class Raises:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt, RecursionError])
@pytest.mark.parametrize("options", [{}, {"code": "reference"}], ids=["value", "reference"])
def test_interrupted_dump_leaves_every_task_as_it_was(error, options):
    results = []
    bad = Raises(error())

    def loop(number, before, after):
        for _ in range(3):
            number = yield_to(number)
        results.append(number)

    def yield_to(number):
        return schedule_remove(number) + 1

    def wait(where):
        results.append(where.receive())

    where = channel()
    tasks = [tasklet(loop)(1, before, after) for before, after in ((bad, 1), (1, bad), (1, 2))]
    for task in tasks:
        task.run()
    tasks.append(tasklet(wait)(where))
    tasks[-1].insert()
    pickletask.run()
    # A file keeps nothing of a pickle that was not finished.
    file = io.BytesIO()
    for dumps in (lambda obj: pickletask.dump(obj, file, **options), pickle.dumps, pickle._dumps):
        for _ in range(2):
            with pytest.raises(error):
                dumps([*tasks, where])
    assert file.getvalue() == b""
    assert all(task.alive for task in tasks)
    for task in tasks[:3]:
        while task.alive:
            task.tempval = (task.tempval or 0) if task.tempval is not None else 1
            task.tempval = 5
            task.run()
    where.send("sent")
    assert results == [6, 6, 6, "sent"]


class Interrupted(BaseException):
    pass


def interrupting(cls):
    """A pickler that is interrupted when it comes to the object of a number."""

    class Interrupting(cls):
        left = 0

        def persistent_id(self, obj):
            self.left -= 1
            if self.left == 0:
                raise Interrupted

    return Interrupting


@pytest.mark.parametrize(
    "cls", [pickle.Pickler, pickle._Pickler, pickletask.Pickler], ids=["C", "Python", "own"]
)
@pytest.mark.parametrize("module", programs.modules())
def test_dump_interrupted_at_any_object_leaves_the_task_as_it_was(cls, module):
    """Each case, at each suspension: what follows is what follows without pickling."""
    kind = interrupting(cls)
    for case in programs.cases():
        function = programs.find(case)
        if not case.startswith(module[6:] + ":"):
            continue
        trace, dumps, interrupted = [], 0, 0
        task, outcome = programs.start(function)
        while programs.step(task, outcome, trace):
            # All are too many: each suspension has others.
            for number in range(1 + len(trace) % 7, 400, 7):
                pickler = kind(io.BytesIO())
                pickler.left = number
                try:
                    pickler.dump((task, outcome))
                except Interrupted:
                    interrupted += 1
                except (pickle.PicklingError, AttributeError, TypeError):
                    # What only our own pickler takes.
                    break
                else:
                    dumps += 1
                    break
            assert task.alive and task.paused
        assert trace == programs.reference(function), case
        assert interrupted or not dumps or len(trace) == 1, case


# ---- long chains ----------------------------------------------------------


def link(following):
    schedule_remove()
    return following


def chain_of(count, make):
    last = None
    for _ in range(count):
        last = make(last)
    return last


def length_of(task):
    length = 0
    while task is not None:
        length += 1
        task = task.frame.f_locals["following"]
    return length


def unlink(task):
    """Take a chain apart from its beginning: each of its tasks ends before the next."""
    while task is not None:
        following = task.frame.f_locals["following"]
        task.kill()
        task = following


@pytest.mark.parametrize(
    ("code", "count"),
    [("value", 10_000), pytest.param("reference", 100_000, marks=pytest.mark.slow)],
)
def test_chain_of_tasks_has_no_limit(code, count):
    task = chain_of(count, lambda last: suspended(link, last))
    data = pickletask.dumps(task, code=code)
    assert len(data) < 100 * count
    copy = pickle.loads(data)
    assert length_of(copy) == count
    unlink(task)
    unlink(copy)


def test_flat_pickle_keeps_identity_and_order(protocol):
    first = suspended(link, None)
    where = channel()
    waiting = suspended(lambda chan: chan.receive(), where)
    chain = chain_of(3000, lambda last: suspended(link, last or first))
    things = [chain, where, first, waiting]
    data = pickletask.dumps(things, protocol)
    copies = pickletask.loads(data)
    assert copies[1].queue is copies[3]
    task = copies[0]
    while task.frame.f_locals["following"] is not None:
        task = task.frame.f_locals["following"]
    assert task is copies[2]
    unlink(chain)
    unlink(copies[0])


def test_flat_pickle_passes_a_restricted_load():
    chain = chain_of(3000, lambda last: suspended(link, last))
    data = pickletask.dumps(chain, code="reference")
    copy = pickletask.loads(data, allow=[f"{__name__}.link"])
    assert length_of(copy) == 3000
    unlink(chain)
    unlink(copy)


def test_other_nesting_is_refused_as_pickle_does():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    task = suspended(link, nested)
    with pytest.raises(RecursionError):
        pickletask.dumps(task)
    assert task.alive
    task.run()
    while nested:
        nested = nested[0]
