"""Pickles of tasks that are looked at: what is found, and that nothing of them is run."""

import contextvars
import marshal
import pickle
import pickletools
import random
import re
import sys
import textwrap
import types

import pytest
from conftest import import_dill

import pickletask
from pickletask import CorruptStateError, SealError, channel, marshalled, schedule_remove, tasklet
from pickletask.disassembly import _Machine, disassemble

pytestmark = pytest.mark.usefixtures("mode")

KEY = bytes(32)


def suspended(function, *args):
    task = tasklet(function)(*args)
    task.run()
    return task


class Account:
    def __init__(self):
        self.balance = 5


def outer(number, table):
    account = Account()
    unbound = None
    del unbound
    return [number, inner(f"text {number}", account)]


def inner(text, account):
    cell = 3

    def closure():
        return cell

    for letter in "ab":
        schedule_remove(letter)
    return closure


def generate(n):
    for i in range(n):  # noqa: UP028
        yield i


def pickles(obj, protocol):
    """The pickles of an object by different means: pairs of a name and bytes."""
    import cloudpickle

    dill = import_dill()
    yield "value", pickletask.dumps(obj, protocol)
    yield "reference", pickletask.dumps(obj, protocol, code="reference")
    yield "C", pickle.dumps(obj, protocol)
    yield "Python", pickle._dumps(obj, protocol)
    yield "cloudpickle", cloudpickle.dumps(obj, protocol)
    yield "dill", dill.dumps(obj, protocol)


def line_of(function, text):
    lines = open(__file__).read().splitlines()
    start = function.__code__.co_firstlineno
    return next(n for n, line in enumerate(lines, 1) if n > start and text in line)


# ---- what is found --------------------------------------------------------


def test_frames_and_variables_are_listed(protocol):
    task = suspended(outer, 7, {"key": [1, 2.5, None]})
    for way, data in pickles([task], protocol):
        found = pickletask.inspect(data)
        assert found.size == len(data)
        assert found.protocol <= protocol
        assert not found.sealed
        (saved,) = found.tasks
        assert (saved.type, saved.status) == ("pickletask.tasklet", "suspended")
        assert saved.blocked_on == ""
        innermost, outermost = saved.frames
        for frame, function, text in (
            (innermost, inner, "schedule_remove(letter)"),
            (outermost, outer, "inner(f"),
        ):
            assert frame.function == function.__qualname__
            assert frame.file == __file__
            assert frame.line == line_of(function, text)
            assert text in frame.source
            assert frame.code == ("reference" if way == "reference" else "value")
            assert frame.unchanged
            if way not in ("dill",):
                assert frame.module == __name__
        values = {value.name: value for value in outermost.locals}
        assert list(values) == ["number", "table", "account"]
        assert (values["number"].type, values["number"].repr) == ("int", "7")
        assert values["table"].type == "dict"
        assert values["table"].repr == "{'key': [1, 2.5, None]}"
        assert values["account"].type.endswith("Account")
        assert values["account"].repr == ""
        assert [value.repr for value in outermost.stack][-1] == "7"
        values = {value.name: value for value in innermost.locals}
        assert values["text"].repr == "'text 7'"
        assert (values["cell"].type, values["cell"].repr) == ("int", "3")
        assert values["closure"].type == "function"
        assert values["letter"].repr == "'a'"
        sizes = [frame.size for frame in saved.frames]
        assert sum(sizes) < saved.size < found.size
        for frame in saved.frames:
            assert sum(value.size for value in (*frame.locals, *frame.stack)) < frame.size


def test_status_and_channels_are_told():
    def receiver(where):
        where.receive()

    where = channel()
    tasks = [tasklet(receiver)(where) for _ in range(2)]
    pickletask.run()
    new = tasklet(outer)(1, {})
    new.remove()
    dead = tasklet(lambda: None)()
    dead.run()

    class Own(tasklet):
        pass

    own = Own(outer)(1, {})
    own.run()
    found = pickletask.inspect(pickletask.dumps([*tasks, new, dead, own], classes="value"))
    statuses = [(task.status, task.blocked_on) for task in found.tasks]
    assert sorted(statuses) == [
        ("blocked", "receive from channel 1 (2 wait there)"),
        ("blocked", "receive from channel 1 (2 wait there)"),
        ("dead", ""),
        ("new", ""),
        ("suspended", ""),
    ]
    for _ in tasks:
        where.send(1)


def test_generators_are_listed(protocol):
    generator = generate(5)
    next(generator)
    for _, data in pickles(generator, protocol):
        found = pickletask.inspect(data)
        assert found.tasks == ()
        (saved,) = found.generators
        assert saved.frame.function == "generate"
        assert [value.repr for value in saved.frame.locals] == ["5", "0"]
        assert saved.frame.line == line_of(generate, "yield i")


def test_text_shows_all_of_it():
    task = suspended(outer, 7, {})
    text = str(pickletask.inspect(pickletask.dumps([task, generate(2)])))
    assert re.search(r"^pickle of protocol \d, \d+ bytes\n", text)
    assert re.search(r"\ntask 1: pickletask.tasklet, suspended, \d+ bytes\n", text)
    assert re.search(rf"\n  inner at {re.escape(__file__)}:\d+, \d+ bytes\n    > sched", text)
    assert re.search(r"\n    number: int = 7, 2 bytes\n", text)
    assert re.search(r"\n    account: .*Account, \d+ bytes\n", text)
    assert re.search(r"\ngenerator 1: \d+ bytes\n", text)
    assert "no tasks and no generators" in str(pickletask.inspect(pickle.dumps(5)))
    by_reference = str(pickletask.inspect(pickletask.dumps(task, code="reference")))
    assert ", code by reference\n" in by_reference


def test_flat_pickles_are_understood():
    task = None
    for _ in range(2000):
        task = suspended(hold, task)
    found = pickletask.inspect(pickletask.dumps(task))
    assert len(found.tasks) == 2000
    assert {saved.frames[0].function for saved in found.tasks} == {"hold"}


def hold(following):
    schedule_remove()
    return following


def test_sealed_pickles_need_their_key():
    data = pickletask.dumps(suspended(outer, 1, {}), key=KEY)
    found = pickletask.inspect(data, key=KEY)
    assert found.sealed
    assert len(found.tasks) == 1
    with pytest.raises(SealError, match="needs the key"):
        pickletask.inspect(data)
    with pytest.raises(SealError):
        pickletask.inspect(data, key=bytes(31) + b"1")
    with pytest.raises(SealError, match="truncated"):
        pickletask.inspect(data[:-1], key=KEY)


def test_values_that_refer_to_themselves_have_an_end():
    loop = [1]
    loop.append(loop)
    table = {"loop": loop, (1,): {2}, "more": frozenset([3]), "long": "x" * 1000, 1: 2, 3: 4, 5: 6}
    task = suspended(hold, table)
    (value,) = pickletask.inspect(pickletask.dumps(task)).tasks[0].frames[0].locals
    assert value.repr.startswith("{'loop': [1, [1, ...]], (1,): {2}, 'more': frozenset({3})")
    assert len(value.repr) <= 80


# ---- code that isn't here, or has changed ---------------------------------

SOURCE = """
    print("module is run")

    import pickletask

    class Job:
        def work(self, n):
            values = list(self.count(n) for n in range(2))
            pickletask.schedule_remove()
            return values

        def count(self, n):
            return n

    def expression():
        return (x for x in "abc")
"""

DUMP = """
import sys
import jobs, pickletask
task = pickletask.tasklet(jobs.Job().work)(5)
task.run()
generator = jobs.expression()
next(generator)
data = pickletask.dumps([task, generator], code="reference")
open(sys.argv[1], "wb").write(data)
"""

INSPECT = """
import sys
import pickletask
found = pickletask.inspect(open(sys.argv[1], "rb").read())
frame = found.tasks[0].frames[0]
print(frame.function, frame.line, frame.unchanged, [value.name for value in frame.locals])
print(frame.source)
frame = found.generators[0].frame
print(frame.function, frame.line, frame.unchanged, [value.name for value in frame.locals])
assert "jobs" not in sys.modules
str(found)
"""


def test_code_by_reference_is_found_in_sources_that_are_not_run(tmp_path, run_isolated):
    import os

    from conftest import child_environment

    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "jobs.py").write_text(textwrap.dedent(SOURCE))
    env = {"PYTHONPATH": os.pathsep.join([str(folder), child_environment()["PYTHONPATH"]])}
    run_isolated(DUMP, tmp_path / "data", env=env)
    out = run_isolated(INSPECT, tmp_path / "data", env=env).stdout.splitlines()
    assert out == [
        "Job.work 9 True ['self', 'n', 'values']",
        "pickletask.schedule_remove()",
        "expression.<locals>.<genexpr> 16 True ['.0', 'x']",
    ]
    (folder / "jobs.py").write_text(textwrap.dedent(SOURCE).replace("range(2)", "range(3)"))
    out = run_isolated(INSPECT, tmp_path / "data", env=env).stdout.splitlines()
    assert out[0] == "Job.work 9 False ['slot[0]', 'slot[1]', 'slot[2]']"
    (folder / "jobs.py").unlink()
    out = run_isolated(INSPECT, tmp_path / "data", env=env).stdout.splitlines()
    assert out[0] == "Job.work None None ['slot[0]', 'slot[1]', 'slot[2]']"
    assert out[2].startswith("expression.<locals>.<genexpr> None None")


# ---- nothing is run -------------------------------------------------------


class Evil:
    def __reduce__(self):
        return sys.exit, ("was run",)


def test_nothing_is_run_and_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "sinister.py").write_text("raise SystemExit('was imported')")
    (tmp_path / "wicked").mkdir()
    (tmp_path / "wicked" / "__init__.py").write_text("raise SystemExit('was imported')")
    (tmp_path / "wicked" / "inner.py").write_text("raise SystemExit('was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    task = suspended(hold, Evil())
    for options in ({}, {"code": "reference"}):
        data = pickletask.dumps(task, **options)
        (saved,) = pickletask.inspect(data).tasks
        assert saved.frames[0].locals[0].type == "sys.exit"
        for name in ("sinister", "wicked.inner"):
            old = b"\x8c" + bytes([len(__name__)]) + __name__.encode()
            hostile = data.replace(old, b"\x8c" + bytes([len(name)]) + name.encode())
            hostile = hostile.replace(f"c{__name__}\n".encode(), f"c{name}\n".encode())
            assert hostile != data
            (saved,) = pickletask.inspect(hostile).tasks
            assert saved.frames[0].module == name
            assert name not in sys.modules
    assert pickletask.inspect(pickle.dumps(Evil())).tasks == ()


def test_devices_are_not_read_for_sources():
    code = hold.__code__.replace(co_filename="/dev/zero")
    function = type(hold)(code, globals())
    (saved,) = pickletask.inspect(pickletask.dumps(suspended(function, 1))).tasks
    assert (saved.frames[0].file, saved.frames[0].source) == ("/dev/zero", "")


# ---- damage ---------------------------------------------------------------


def damaged_is_refused(data):
    """Inspect bytes that may be damaged; whether there was an error."""
    try:
        str(pickletask.inspect(data))
    except CorruptStateError as error:
        assert str(error).startswith("can't inspect: ")
        return True
    except SealError:
        return True
    return False


def holds_builtin_objects():
    try:
        raise KeyError("x")
    except KeyError as error:
        table = {1: 2}
        kept, keys, left, items = error, table.keys(), iter(table), iter({1})
        proxy, context = types.MappingProxyType(table), contextvars.Context()
        pickletask.schedule_remove()
    return kept, keys, left, items, proxy, context


def test_objects_have_the_names_of_their_types():
    task = pickletask.tasklet(holds_builtin_objects)()
    task.run()
    found = pickletask.inspect(pickletask.dumps(task, contexts="value"))
    kinds = {value.name: value.type for value in found.tasks[0].frames[0].locals}
    assert kinds["error"] == kinds["kept"] == "KeyError"
    assert (kinds["keys"], kinds["left"], kinds["items"]) == ("dict_keys", "iterator", "iterator")
    assert (kinds["proxy"], kinds["context"]) == ("mappingproxy", "contextvars.Context")


@pytest.mark.parametrize("code", ["value", "reference"])
def test_truncated_pickles_are_refused(code):
    data = pickletask.dumps(suspended(outer, 1, {}), code=code)
    for size in range(len(data)):
        assert damaged_is_refused(data[:size])


@pytest.mark.parametrize("code", ["value", "reference"])
def test_mutated_pickles_raise_or_are_shown(code):
    random_ = random.Random(code)
    data = pickletask.dumps([suspended(outer, 1, {"a": 2}), generate(3)], code=code)
    refused = 0
    for _ in range(500):
        mutant = bytearray(data)
        for _ in range(random_.randint(1, 3)):
            mutant[random_.randrange(len(mutant))] = random_.randrange(256)
        refused += damaged_is_refused(bytes(mutant))
    assert refused > 50


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"t.",
        b"\x80\x04\x94.",
        b"0.",
        b"(.",
        b"h\x05.",
        b"N\x93.",
        b"NN\x93.",
        b"\x80\x63N.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x8b\xff\xff\xff\x7fabc.",
        b"Nb.",
        b"NNs.",
        b"I" + b"9" * 5000 + b"\n.",
        b"\x80\x04K\x05" + b"\x85" * 5000,
    ],
)
def test_nonsense_is_refused(data):
    assert damaged_is_refused(data)


def test_deep_nesting_is_no_harm():
    assert not damaged_is_refused(b"\x80\x04N" + b"\x85" * 200_000 + b".")


def test_every_opcode_is_known():
    from pickletask import disassembly

    known = set(disassembly._PLAIN) | set(disassembly._EMPTY) | set(disassembly._FROM_MARK)
    known |= disassembly._ARGUMENT | disassembly._NO_EFFECT
    known |= {name[3:] for name in dir(_Machine) if name.startswith("do_")}
    assert known == {opcode.name for opcode in pickletools.opcodes}


def test_old_and_rare_opcodes_are_read():
    class Old:
        def __init__(self):
            self.x = 1

        def __getnewargs_ex__(self):
            return (1,), {"a": 2}

        __qualname__ = "Account"

    values = [1, -1, 2**40, 2**4000, 1.5, "a\ud800", b"b", (), (1,), (1, 2, 3, 4), [1], {1: 2}]
    values += [{1, 2}, frozenset([1]), True, None, bytearray(b"c"), Account(), Account, len]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for value in values:
            root, nodes, highest = disassemble(pickle._dumps([value, value], protocol))
            assert highest <= protocol
            assert len(root.node.items) == 2
    rare = [b"(ios\nsystem\n.", b"(cos\nsystem\nNo.", b"Pid\n.", b"NQ.", b"N2\x86.", b"(1N0N."]
    for data in rare:
        disassemble(data)
    root, _, _ = disassemble(pickle.dumps(pickle.PickleBuffer(b"a"), 5, buffer_callback=[].append))
    assert root.node.kind == "buffer"


# ---- marshalled code ------------------------------------------------------


def all_codes(module):
    import inspect

    for value in list(vars(module).values()):
        for function in [value, *(vars(value).values() if inspect.isclass(value) else ())]:
            if inspect.isfunction(function):
                yield function.__code__


def test_marshalled_code_is_read_as_marshal_does():
    import argparse
    import dataclasses

    count = 0
    for module in (argparse, dataclasses, pickle, sys.modules[__name__]):
        for code in all_codes(module):
            found = marshalled.read_code(marshal.dumps(code))
            assert found.qualname == code.co_qualname
            assert found.filename == code.co_filename
            assert found.first_line == code.co_firstlineno
            variables = (*code.co_varnames, *code.co_cellvars, *code.co_freevars)
            assert set(found.variables) == set(variables)
            for pc, (line, *_) in list(enumerate(code.co_positions()))[::17]:
                assert found.line(pc) == line
            assert found.line(10**6) is None
            count += 1
    assert count > 100


def test_constants_of_all_kinds_are_read():
    text = "def f(): return (1, 2**70, -2**70, 1.5, 2j, 'a', 'ä', b'b', None, ..., True, (3,))"
    text += "\ndef g(x): return x in {1, 'a'} or x[1:2] or (lambda: 'n' * 300)"
    text += "\nLONG = '" + "y" * 300 + "'"
    for code in compile(text, "file", "exec").co_consts[:2]:
        assert marshalled.read_code(marshal.dumps(code)).filename == "file"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"x\x9c",
        b"N",
        b"?",
        b"r\x00\x00\x00\x00",
        b"(\xff\xff\xff\x7f",
        b"(\xff\xff\xff\xff",
        b"s\xff\xff\xff\xff",
        b")\x01" * 100_000,
        b"\xa9\x01r\x00\x00\x00\x00",
        b"c" + bytes(100),
    ],
)
def test_damaged_marshal_data_raises(data):
    with pytest.raises(ValueError, match="data"):
        marshalled.read_code(data)


def test_compressed_data_have_a_limit(monkeypatch):
    import zlib

    monkeypatch.setattr(marshalled, "_LARGEST", 1000)
    with pytest.raises(ValueError, match="too large"):
        marshalled.read_code(zlib.compress(bytes(2000)))
