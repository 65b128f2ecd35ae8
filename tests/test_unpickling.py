"""Restricted loads: what a pickle may name, and that code by value is not taken."""

import collections
import io
import os
import pickle
import sys

import pytest

import pickletask
from pickletask import NotAllowedError, schedule_remove, tasklet

pytestmark = pytest.mark.usefixtures("mode")

HERE = __name__


def count(upto):
    for number in range(upto):
        for _, letter in enumerate("ab"):
            schedule_remove((number, letter))


def receive(channel):
    return channel.receive()


class Account:
    def __init__(self, balance):
        self.balance = balance

    def watch(self):
        while True:
            yield self.balance

    class Inner:
        pass


def suspended(function, *args):
    task = tasklet(function)(*args)
    task.run()
    return task


def refer(obj, protocol=None):
    return pickletask.dumps(obj, protocol, code="reference")


def names_in(data):
    """The names that a pickle asks for."""
    found = set()

    class Collector(pickle.Unpickler):
        def find_class(self, module, name):
            found.add((module, name))
            return super().find_class(module, name)

    Collector(io.BytesIO(data)).load()
    return found


# ---- what goes through ----------------------------------------------------


def test_allowed_task_goes_on(protocol):
    data = refer(suspended(count, 2), protocol)
    for allow in ([f"{HERE}.count"], [f"{HERE}.*"], lambda module, name: module == HERE):
        task = pickletask.loads(data, allow=allow)
        seen = []
        while task.alive:
            seen.append(task.tempval if task.tempval is not None else None)
            task.run()
        assert len(seen) == 4
        assert pickletask.load(io.BytesIO(data), allow=allow).alive


def test_generators_closures_methods_and_channels_need_no_more_names(protocol):
    account = Account(5)
    generator = account.watch()
    next(generator)

    def inner():
        return account.balance

    finished = iter([])
    channel = pickletask.channel()
    receiver = suspended(receive, channel)
    mapped = map(count, [])
    things = [generator, inner, finished, channel, receiver, mapped, account.watch, range(3)]
    data = refer(things, protocol)
    if protocol < 4:
        # Methods have no names before protocol 4, which needs more than names.
        with pytest.raises(NotAllowedError, match="builtins.getattr"):
            pickletask.loads(data, allow=[f"{HERE}.*"])
        return
    loaded = pickletask.loads(data, allow=[f"{HERE}.*"])
    assert next(loaded[0]) == 5
    assert loaded[1]() == 5
    assert loaded[3].queue is loaded[4]
    assert next(loaded[6]()) == 5
    channel.send(1)


def test_a_class_allows_what_stands_in_it():
    data = pickle.dumps([Account.watch, Account.Inner])
    assert pickletask.loads(data, allow=[f"{HERE}.Account"]) == [Account.watch, Account.Inner]
    with pytest.raises(NotAllowedError):
        pickletask.loads(data, allow=[f"{HERE}.Account.watch"])


def test_callable_is_asked_for_every_name():
    asked = []

    def allow(module, name):
        asked.append((module, name))
        return True

    pickletask.loads(pickle.dumps([Account(1), count]), allow=allow)
    assert asked == [(HERE, "Account"), (HERE, "count")]


# ---- what doesn't ---------------------------------------------------------


class Evil:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def test_other_names_are_refused_before_anything_is_imported(tmp_path, monkeypatch):
    (tmp_path / "sinister.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    data = b"csinister\nfunction\n."
    with pytest.raises(NotAllowedError, match="names sinister.function, which allow= doesn't have"):
        pickletask.loads(data, allow=[f"{HERE}.*"])
    assert "sinister" not in sys.modules


@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, ("exit 1",)),
        Evil(eval, ("1",)),
        Evil(getattr, (os, "system")),
        Evil(exec, ("",)),
        Evil(__import__, ("os",)),
        Evil(type, ("T", (), {})),
    ],
    ids=str,
)
def test_dangerous_names_are_refused(evil, protocol, monkeypatch):
    data = pickle.dumps(Evil(list, ([evil],)), protocol)
    with pytest.raises(NotAllowedError):
        pickletask.loads(data, allow=[f"{HERE}.*"])


def stack_global(module, name):
    out = io.BytesIO()
    pickler = pickle._Pickler(out, 4)
    pickler.write(pickle.PROTO + b"\x04")
    pickler.save(module)
    pickler.save(name)
    pickler.write(pickle.STACK_GLOBAL + pickle.STOP)
    return out.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "os",
        "sys.modules",
        "collections.OrderedDict",
        "count.__globals__",
        "count.__code__",
        "Account.__init__.__globals__",
        "Account.__class__",
        "Account.__subclasses__",
        "Account.__dict__",
        "Account.__base__",
        "Account.mro",
        "HERE",
        "KEYS",
    ],
)
def test_names_lead_through_classes_only(name):
    data = stack_global(HERE, name)
    with pytest.raises((NotAllowedError, AttributeError)):
        pickletask.loads(data, allow=[f"{HERE}.*"])
    if "." in name:
        top = name.split(".")[0]
        with pytest.raises((NotAllowedError, AttributeError)):
            pickletask.loads(data, allow=[f"{HERE}.{top}"])
        with pytest.raises((NotAllowedError, AttributeError)):
            pickletask.loads(data, allow=lambda module, name: True)


def test_wildcard_is_for_what_the_module_defines():
    assert collections and os.path
    data = stack_global(HERE, "tasklet")
    with pytest.raises(NotAllowedError, match="doesn't define itself"):
        pickletask.loads(data, allow=[f"{HERE}.*"])
    assert pickletask.loads(data, allow=[f"{HERE}.tasklet"]) is tasklet


def test_code_by_value_is_refused(protocol):
    def local():
        return 1

    for obj in (suspended(count, 2), local, Account(1).watch(), count.__code__):
        data = pickletask.dumps(obj, protocol)
        for allow in ([f"{HERE}.*"], lambda module, name: True):
            with pytest.raises(NotAllowedError, match="written with code='reference'"):
                pickletask.loads(data, allow=allow)


def test_everything_pickletask_allows_by_itself_exists():
    from pickletask import allowing

    for module, names in {**allowing._OURS, **allowing._BY_VALUE}.items():
        for name in names:
            found = pickle.loads(stack_global(module, name))
            assert callable(found) or name == "NoDefault"


def test_wrong_allow_raises():
    data = pickle.dumps(1)
    for allow, error, words in [
        ("os.system", TypeError, "not a str"),
        ([1], TypeError, "must have names, not int"),
        (5, TypeError, "not iterable"),
        (["count"], ValueError, "write 'module.name'"),
        (["*"], ValueError, "write 'module.name'"),
        (["a.*.b"], ValueError, "write 'module.name'"),
        (["a b.c"], ValueError, "write 'module.name'"),
    ]:
        with pytest.raises(error, match=words):
            pickletask.loads(data, allow=allow)


def test_exception_of_a_callable_is_raised():
    with pytest.raises(ZeroDivisionError):
        pickletask.loads(pickle.dumps(count), allow=lambda module, name: 1 // 0)


# ---- the class ------------------------------------------------------------


def test_subclass_overrides_hooks():
    class Mine(pickletask.Unpickler):
        def persistent_load(self, pid):
            return ("persistent", pid)

        def find_class(self, module, name):
            return len if name == "Account" else super().find_class(module, name)

    class Writer(pickletask.Pickler):
        def persistent_id(self, obj):
            return "the lock" if obj is lock else None

    lock = object()
    file = io.BytesIO()
    Writer(file).dump([lock, Account, count])
    file.seek(0)
    assert Mine(file, allow=[f"{HERE}.count"]).load() == [("persistent", "the lock"), len, count]


def test_buffers_go_out_of_band():
    buffers = []
    array = bytearray(b"x" * 1000)
    data = pickletask.dumps(pickle.PickleBuffer(array), 5, buffer_callback=buffers.append)
    assert len(data) < 50
    assert pickletask.loads(data, buffers=buffers).raw().obj is array
    file = io.BytesIO()
    pickletask.dump(pickle.PickleBuffer(array), file, 5, buffer_callback=lambda b: True)
    assert pickletask.loads(file.getvalue()) == array


def test_stock_unpickler_of_names_sees_all_that_is_needed():
    assert names_in(refer(suspended(count, 2))) == {
        ("pickletask", "_t"),
        (HERE, "count"),
        ("builtins", "iter"),
        ("builtins", "enumerate"),
    }
