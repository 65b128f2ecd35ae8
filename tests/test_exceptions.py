"""Exceptions with their tracebacks, cause and context: saved, and looked at in another process."""

import contextlib
import copy
import io
import linecache
import pdb
import pickle
import sys
import textwrap
import threading
import traceback
import types

import pytest

import pickletask
from pickletask import CorruptStateError, _core, postmortem, schedule_remove, tasklet

WAYS = {
    "C": pickle.dumps,
    "Python": pickle._dumps,
    "pickletask": pickletask.dumps,
    "reference": lambda obj: pickletask.dumps(obj, code="reference"),
}
ways = pytest.mark.parametrize("way", sorted(WAYS))


class Custom(Exception):
    """Has arguments of its own, and its own way to be pickled."""

    def __init__(self, name, *, code):
        super().__init__(f"{name} failed")
        self.name = name
        self.code = code

    def __reduce__(self):
        return _make_custom, (self.name, self.code), {"name": self.name, "more": True}


def _make_custom(name, code):
    return Custom(name, code=code)


class Slotted(ValueError):
    __slots__ = ("size",)

    def __reduce__(self):
        return Slotted, self.args, self.size

    def __setstate__(self, state):
        self.size = state


def fail(error, depth=2):
    """Raise an exception from nested calls."""
    number = depth * 10  # noqa: F841
    if depth:
        fail(error, depth - 1)
    raise error


def caught(error, function=fail):
    """The exception, with a traceback."""
    try:
        function(error)
    except BaseException as found:
        return found


def text(error):
    return "".join(traceback.format_exception(error))


def hold(error, out):
    """A task that has an exception in a variable."""
    schedule_remove()
    out.append(error)


def through_a_task(way, error):
    """An exception that a task brings along."""
    out = []
    task = tasklet(hold)(error, out)
    task.run()
    data = way((task, out))
    task.run()
    task, out = pickle.loads(data)
    task.run()
    return out[0]


@ways
@pytest.mark.parametrize("protocol", range(2, 6))
def test_task_has_the_same_text_in_a_fresh_process(way, protocol, tmp_path, run_isolated, mode):
    source = """
        import io, pickle, sys, traceback
        import pickletask

        def fail(number):
            spare = [number, "text"]
            open_file = sys.stdout
            return 1 / number

        def work():
            try:
                try:
                    fail(0)
                except ZeroDivisionError as error:
                    error.add_note("a note")
                    raise KeyError("second") from error
            except KeyError as error:
                if "dump" in sys.argv:
                    traceback.print_exception(error, file=sys.stdout)
                pickletask.schedule_remove()
                traceback.print_exception(error, file=sys.stdout)
                print(error.__cause__.__traceback__.tb_next.tb_frame.f_locals)

        def main():
            task = pickletask.tasklet(work)()
            task.run()
            if sys.argv[2] == "pickletask":
                data = pickletask.dumps(task, int(sys.argv[3]))
            elif sys.argv[2] == "reference":
                data = pickletask.dumps(task, int(sys.argv[3]), code="reference")
            elif sys.argv[2] == "C":
                data = pickle.dumps(task, int(sys.argv[3]))
            else:
                data = pickle._dumps(task, int(sys.argv[3]))
            open(sys.argv[1], "wb").write(data)
    """
    program = tmp_path / "failing_program.py"
    program.write_text(textwrap.dedent(source))
    place = tmp_path / "state"
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    dump = start + "import failing_program; failing_program.main()"
    load = start + "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')).run()"
    first = run_isolated(dump, place, way, protocol, "dump", mode=mode).stdout
    second = run_isolated(load, place, mode=mode).stdout
    assert first.count("Traceback") == 2 and "a note" in first and "~~^~~" in first
    shown, _, variables = second.rstrip("\n").rpartition("\n")
    assert shown + "\n" == first
    assert "'spare': [0, 'text']" in variables
    assert "'open_file': <_io.TextIOWrapper object, not saved>" in variables


@ways
def test_exception_keeps_what_it_has(way):
    inner = caught(ValueError("inner"))
    inner.add_note("note")
    outer = caught(Custom("outer", code=7))
    outer.__cause__, outer.__context__ = inner, KeyError("context")
    loaded = through_a_task(WAYS[way], outer)
    assert type(loaded) is Custom
    assert (loaded.name, loaded.code, loaded.more) == ("outer", 7, True)
    assert loaded.__cause__.__notes__ == ["note"]
    assert loaded.__suppress_context__
    assert repr(loaded.__context__) == "KeyError('context')"
    assert text(loaded) == text(outer)


@ways
def test_state_of_its_own_comes_first(way):
    error = caught(Slotted("slotted"))
    error.size = 5
    loaded = through_a_task(WAYS[way], error)
    assert loaded.size == 5 and text(loaded) == text(error)


@ways
def test_groups_keep_the_tracebacks_of_their_members(way):
    members = [caught(ValueError(1)), ExceptionGroup("inner", [caught(KeyError(2))])]
    group = caught(ExceptionGroup("outer", members))
    loaded = through_a_task(WAYS[way], group)
    assert text(loaded) == text(group)
    assert text(loaded).count("in fail") > 8


@pytest.mark.parametrize("options", [{}, {"code": "reference"}, {"classes": "value"}])
def test_exceptions_in_containers_keep_their_tracebacks(options):
    error = caught(ValueError(1))
    both = caught(RuntimeError(2))
    both.__context__ = error
    data = pickletask.dumps({"errors": [error, both]}, **options)
    one, two = pickle.loads(data)["errors"]
    assert two.__context__ is one
    assert (text(one), text(two)) == (text(error), text(both))


def test_exceptions_that_copyreg_knows_are_reduced_by_it():
    class Known(Exception):
        pass

    import copyreg

    error = caught(Known("x"))
    copyreg.pickle(Known, lambda error: (RuntimeError, error.args))
    try:
        loaded = pickle.loads(pickletask.dumps([error]))[0]
    finally:
        del copyreg.dispatch_table[Known]
    assert type(loaded) is RuntimeError
    assert traceback.extract_tb(loaded.__traceback__)[-1].name == "fail"


def test_exceptions_without_relations_are_left_to_pickle():
    assert pickletask.dumps(ValueError(1), 4) == _core._shorten(pickle.dumps(ValueError(1), 4))


@ways
def test_debugger_looks_at_a_copy(way):
    error = caught(ZeroDivisionError("x"))
    tb = through_a_task(WAYS[way], error).__traceback__
    out = io.StringIO()
    commands = io.StringIO("where\np depth, number\nup\np depth, number\nq\n")
    debugger = pdb.Pdb(stdin=commands, stdout=out, nosigint=True)
    debugger.reset()
    # 3.13 takes an exception as well.
    with contextlib.suppress(SystemExit):
        debugger.interaction(None, tb)
    assert "(0, 0)" in out.getvalue() and "(1, 10)" in out.getvalue()
    assert "raise error" in out.getvalue()


@ways
def test_long_tracebacks_need_no_recursion(way):
    def deep(error):
        deep(error)

    error = caught(None, deep)
    loaded = through_a_task(WAYS[way], error)
    assert len(traceback.extract_tb(loaded.__traceback__)) > 500
    assert text(loaded) == text(error)


def test_long_chains_of_causes_need_no_recursion_in_our_own_pickler():
    first = error = caught(ValueError(0))
    for number in range(3000):
        error.__cause__ = caught(ValueError(number))
        error = error.__cause__
    loaded, length = pickle.loads(pickletask.dumps(first)), 0
    while loaded.__cause__ is not None:
        loaded, length = loaded.__cause__, length + 1
        assert loaded.__traceback__ is not None
    assert length == 3000


class Evil:
    """Must not be asked anything when it is only in the way."""

    def __getattribute__(self, name):
        raise AssertionError(name)

    def __repr__(self):
        raise AssertionError

    __reduce_ex__ = __reduce__ = __len__ = __iter__ = __hash__ = __eq__ = __repr__


@ways
def test_variables_that_are_no_plain_data_are_not_saved(way):
    def function(error):
        evil, lock = Evil(), threading.Lock()  # noqa: F841
        inside, many, long = [lock], [0] * 1001, "x" * 10001  # noqa: F841
        good = {"a": [1, (2.5, None)], b"c": {3}}  # noqa: F841
        cycle = []
        cycle.append(cycle)
        lower = 5

        def closure():
            return lower

        raise error

    error = caught(ValueError(1), function)
    loaded = through_a_task(WAYS[way], error)
    found = loaded.__traceback__.tb_next.tb_frame.f_locals
    assert found["good"] == {"a": [1, (2.5, None)], b"c": {3}}
    assert found["cycle"][0] is found["cycle"]
    assert repr(found["evil"]) == "<test_exceptions.Evil object, not saved>"
    assert repr(found["lock"]) == "<_thread.lock object, not saved>"
    assert repr(found["inside"]) == "<list of length 1, not saved>"
    assert repr(found["many"]) == "<list of length 1001, not saved>"
    assert repr(found["long"]) == "<str of length 10001, not saved>"
    assert "function" in repr(found["closure"])
    assert found["error"] is loaded


@ways
def test_instructions_without_a_position_stay_so(way):
    def function(error):
        raise error

    code = function.__code__
    # Entries of 8 instructions without any position.
    code = code.replace(co_linetable=bytes([0xFF] * (len(code.co_code) // 16 + 1)))
    function.__code__ = code
    assert {position[0] for position in code.co_positions()} == {None}
    error = caught(ValueError(1), function)
    loaded = through_a_task(WAYS[way], error)
    assert text(loaded) == text(error)


def test_columns_and_lines_far_apart():
    space = " " * 70
    lines = "\n" * 200
    source = f"def f(error):\n    x = ({space}1,{lines} error.nothing{lines}.more)\n"
    namespace = {}
    exec(compile(source, "<far>", "exec"), namespace)
    linecache.cache["<far>"] = (len(source), None, source.splitlines(True), "<far>")
    error = caught(ValueError(1), namespace["f"])
    loaded = pickle.loads(pickletask.dumps(error))
    assert text(loaded) == text(error)
    before = [list(f.f_code.co_positions())[tb // 2] for f, tb in entries(error)]
    after = [list(f.f_code.co_positions())[tb // 2] for f, tb in entries(loaded)]
    assert before == after


def entries(error):
    tb = error.__traceback__
    while tb is not None:
        yield tb.tb_frame, tb.tb_lasti
        tb = tb.tb_next


def test_code_of_a_loaded_frame_does_nothing():
    loaded = pickle.loads(pickletask.dumps(caught(ValueError(1))))
    code = loaded.__traceback__.tb_frame.f_code
    assert code.co_name == "caught"
    assert types.FunctionType(code, {})() is None


def test_deep_copies_share_tracebacks():
    out = []
    error = caught(ValueError(1))
    error.__cause__ = caught(KeyError(2))
    task = tasklet(hold)(error, out)
    task.run()
    twin, found = copy.deepcopy((task, out))
    task.run()
    twin.run()
    assert found[0] is not error and found[0].__cause__ is not error.__cause__
    assert found[0].__traceback__ is error.__traceback__
    assert text(found[0]) == text(error)


def test_restricted_loads_take_tracebacks():
    error = caught(ValueError(1))
    data = pickletask.dumps([error], code="reference")
    loaded = pickletask.loads(data, allow=[])[0]
    assert text(loaded) == text(error)


FUNCTION = ("file", "name", "qualname", 1, "sys")
POSITION = (2, 2, 0, 5)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        (),
        (FUNCTION, 2, POSITION),
        (FUNCTION, "2", POSITION, {}),
        (FUNCTION, 10**30, POSITION, {}),
        (FUNCTION, 2, None, {}),
        (FUNCTION, 2, (2, 2, 0), {}),
        (FUNCTION, 2, (2, 1, 0, 5), {}),
        (FUNCTION, 2, (-1, 2, 0, 5), {}),
        (FUNCTION, 2, (2, 2, -5, 5), {}),
        (FUNCTION, 2, (2, 2, 0, 10**30), {}),
        (FUNCTION, 2, (2**40, 2**40, 0, 5), {}),
        (FUNCTION, 2, (2.5, 2, 0, 5), {}),
        (FUNCTION, 2, POSITION, {1: 2}),
        (FUNCTION, 2, POSITION, None),
        (FUNCTION, 2, POSITION, [1]),
        (None, 2, POSITION, {}),
        ((1, "name", "qualname", 1, "sys"), 2, POSITION, {}),
        (("file", None, "qualname", 1, "sys"), 2, POSITION, {}),
        (("file", "name", b"", 1, "sys"), 2, POSITION, {}),
        (("file", "name", "qualname", None, "sys"), 2, POSITION, {}),
        (("file", "name", "qualname", 10**30, "sys"), 2, POSITION, {}),
        (("file", "name", "qualname", -5, "sys"), 2, POSITION, {}),
        (("file", "name", "qualname", 1, []), 2, POSITION, {}),
    ],
)
def test_damaged_traceback_is_refused(entry):
    with pytest.raises(CorruptStateError, match="traceback"):
        postmortem.rebuild(entry)


def test_traceback_of_an_unknown_module():
    tb = postmortem.rebuild((("f", "n", "q", 1, "no.such.module"), 2, POSITION, {"a": 1}))
    assert tb.tb_frame.f_globals["__name__"] == "no.such.module"
    assert tb.tb_frame.f_locals == {"a": 1}
    tb = postmortem.rebuild((("f", "n", "q", 1, None), 2, POSITION, {}))
    assert traceback.extract_tb(tb)[0].name == "n"


@pytest.mark.parametrize(
    "state",
    [
        None,
        (),
        (None, None, None, False),
        (1, None, None, False, ()),
        (None, 1, None, False, ()),
        (None, None, ValueError, False, ()),
        (None, None, None, 0, ()),
    ],
)
def test_damaged_state_is_refused(state):
    error = ValueError(1)
    with pytest.raises(CorruptStateError, match="exception"):
        _core._set_exception(error, state)
    assert error.__cause__ is None and error.__traceback__ is None


def test_only_exceptions_have_such_a_state():
    with pytest.raises(CorruptStateError):
        _core._set_exception(1, (None, None, None, False, ()))
    with pytest.raises(TypeError, match="expected an exception"):
        _core._exception_state(1)
    with pytest.raises(TypeError, match="expected an exception"):
        _core._exception_attributes(1)
    with pytest.raises(TypeError, match="expected a frame"):
        _core._frame_variables(sys)
