"""Code by reference: what is found, what counts as a change, and what a hook can do about it."""

import functools
import importlib
import inspect
import io
import pickle
import sys
import textwrap
import types

import pytest

import pickletask
from pickletask import CodeChangedError, NotPicklableError, _core, schedule_remove, tasklet

pytestmark = pytest.mark.usefixtures("mode")

SOURCE = """
    from pickletask import schedule_remove

    def work(n):
        total = 0
        for i in range(n):
            try:
                total += 1000 * schedule_remove(i)
            finally:
                pass
        return ("total", total)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes a module called ``moving``, imports it anew and returns it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)

    def write(source=SOURCE, folder=tmp_path):
        (folder / "moving.py").write_text(textwrap.dedent(source))
        sys.modules.pop("moving", None)
        importlib.invalidate_caches()
        return importlib.import_module("moving")

    yield write
    sys.modules.pop("moving", None)
    pickletask.on_code_changed(None)


def refer(obj, protocol=None):
    return pickletask.dumps(obj, protocol, code="reference")


def suspend(function, *args):
    task = tasklet(function)(*args)
    task.run()
    return task


def finish(task):
    """Run a task to its end; the values that it was given back on the way."""
    results = []
    outcome = []

    def wait():
        while task.alive:
            results.append(task.run())

    wait()
    return results + outcome


# ---- what is saved --------------------------------------------------------


def double(number):
    while True:
        number = 2 * schedule_remove(number)


def test_task_by_reference_has_no_code_and_is_small(protocol):
    task = suspend(double, 1)
    data = refer(task, protocol)
    assert b"schedule_remove" not in data
    assert b"double" in data
    copy = pickle.loads(data)
    copy.tempval = 21
    copy.run()
    assert copy.tempval == 42


def test_sizes_stay_within_their_figures(module):
    task = suspend(
        module(
            """
            from pickletask import schedule_remove

            def work(n):
                total = 0
                while total < n:
                    total += 1
                    schedule_remove()
                return total
            """
        ).work,
        9,
    )
    assert len(refer(task)) <= 100
    assert len(pickletask.dumps(task)) <= 400


def test_many_tasks_share_what_they_refer_to():
    one = len(refer([suspend(double, 1)]))
    many = len(refer([suspend(double, 1) for _ in range(1001)]))
    assert (many - one) / 1000 < 60


def deep(level):
    if level:
        return deep(level - 1) + 1
    return schedule_remove(0)


def test_all_frames_are_referred_to():
    task = suspend(deep, 50)
    data = refer(task)
    assert len(data) < 50 * 60
    copy = pickle.loads(data)
    assert copy.frame.f_code is deep.__code__
    copy.tempval = 7
    copy.run()
    assert not copy.alive


class Worker:
    def method(self):
        yield from self.steps("method")

    @staticmethod
    def static():
        yield from Worker().steps("static")

    @classmethod
    def of_class(cls):
        yield from cls().steps("class")

    @property
    def prop(self):
        return self.hidden()

    @functools.lru_cache  # noqa: B019
    def cached(self):
        yield from self.steps("cached")

    def hidden(self):
        yield from self.steps("property")

    def steps(self, name):
        yield name, 1
        yield name, 2


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        yield "wrapped"
        yield from function(*args)

    return wrapper


@decorated
def wrapped():
    yield "inner", 1
    yield "inner", 2


def nested(kind):
    def inner():
        yield from (n for n in (1, 2, 3))

    lambdas = [lambda: (yield 1), lambda: (yield 2)]

    class Local:
        def method(self):
            yield "local"
            yield "method"

    return {
        "inner": inner,
        "expression": lambda: (x * x for x in range(5)),
        "lambda 0": lambdas[0],
        "lambda 1": lambdas[1],
        "method": Local().method,
    }[kind]()


GENERATORS = {
    "method": Worker().method,
    "static method": Worker.static,
    "class method": Worker.of_class,
    "property": lambda: Worker().prop,
    "cached": lambda: Worker().cached(),
    "decorated": wrapped,
    **{
        f"nested {kind}": functools.partial(nested, kind)
        for kind in ("inner", "expression", "lambda 0", "lambda 1")
    },
}


@pytest.mark.parametrize("name", GENERATORS)
def test_code_of_all_kinds_is_found(name, protocol, pickler):
    expected = list(GENERATORS[name]())
    assert expected
    for taken in range(len(expected) + 1):
        generator = GENERATORS[name]()
        first = [next(generator) for _ in range(taken)]
        data = refer(generator, protocol)
        assert b"cpython-" not in data
        assert first + list(pickler.loads(data)) == expected


def test_function_of_a_class_inside_a_function_is_found():
    generator = nested("method")
    reference = _core._make_reference(generator.gi_code, globals())
    assert reference[0] is nested
    assert reference[2] == "Local/method"
    assert _core._load_referred_code(*reference) is generator.gi_code


def pause_inside():
    def inner(numbers):
        return [pickletask.schedule_remove(number) for number in numbers]

    return inner([1, 2])


def test_what_was_loaded_by_value_goes_by_reference(mode):
    """Code that is equal to that of the module is as good as that, whoever has loaded it."""
    for steps in (1, 2):
        task = pickletask.tasklet(pause_inside)()
        for _ in range(steps):
            task.run()
        loaded = pickle.loads(pickle.dumps(task))
        codes = []
        frame = loaded.frame
        while frame is not None and frame.f_code.co_filename == __file__:
            codes.append(frame.f_code)
            frame = frame.f_back
        inner = next(c for c in pause_inside.__code__.co_consts if type(c) is type(codes[0]))
        assert inner in codes and not any(code is inner for code in codes)
        again = pickle.loads(refer(loaded, 4))
        assert again.frame.f_back.f_code in (inner, pause_inside.__code__)
        while again.alive:
            again.run()


def test_generator_that_has_ended_needs_no_code(protocol):
    for make in (lambda: (x for x in ()), coroutine):
        finished = make()
        finished.close()
        copy = pickle.loads(refer(finished, protocol))
        assert type(copy) is type(finished)
        assert copy.__name__ == finished.__name__
        assert copy.__qualname__ == finished.__qualname__
        copy.close()


async def coroutine():
    pass


def counter():
    count = 10

    def up():
        nonlocal count
        while True:
            count += 1
            schedule_remove(count)

    return up, lambda: count


def test_local_functions_keep_their_variables(protocol):
    up, show = counter()
    task = suspend(up)
    copy, show_copy = pickle.loads(refer([task, show], protocol))
    copy.run()
    assert (show(), show_copy()) == (11, 12)
    assert show_copy.__code__ is show.__code__


def test_code_and_frames_go_by_reference():
    assert pickle.loads(refer(double.__code__)) is double.__code__
    frame = suspend(double, 5).frame
    copy = pickle.loads(refer(frame))
    assert copy.f_code is double.__code__
    assert copy.f_locals == {"number": 5}


def test_code_that_no_import_finds_is_refused():
    namespace = {"schedule_remove": schedule_remove}
    exec("def f(): schedule_remove()", namespace)
    task = suspend(namespace["f"])
    with pytest.raises(NotPicklableError, match=r"code of 'f' .* by reference: its globals .*"):
        refer(task)
    assert task.alive
    task.run()
    assert not task.alive


def test_code_of_a_replaced_function_is_refused(module):
    old = module()
    task = suspend(old.work, 3)
    old.work = double
    with pytest.raises(NotPicklableError, match="'work' in module 'moving' can't be saved by name"):
        refer(task)


def test_options_are_checked():
    with pytest.raises(ValueError, match="code must be 'value' or 'reference', not 'name'"):
        pickletask.dumps(1, code="name")
    with pytest.raises(ValueError, match="main='value' saves code by value"):
        pickletask.dumps(1, code="reference", main="value")


# ---- what counts as a change ----------------------------------------------

CHANGES = {
    "constants": (("1000 *", "1100 *"), "its constants differ"),
    "nested constants": (('("total", total)', '("sum", total)'), "constants"),
    "kind of a constant": (("1000 *", "1000.0 *"), "its constants differ"),
    "names": (("range(n)", "reversed(n)"), "names differ"),
    "instructions": (("total += 1000", "total -= 1000"), "instructions differ"),
    "local variables": (("(n)", "(m)"), "local variables differ"),
    "default": (("def work(n)", "def work(n, *more)"), "flags"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_named(change, module):
    (old, new), words = CHANGES[change]
    assert old in SOURCE
    data = refer(suspend(module().work, 3))
    module(SOURCE.replace(old, new))
    with pytest.raises(CodeChangedError) as caught:
        pickle.loads(data)
    message = str(caught.value)
    assert "code of 'work' in module 'moving'" in message
    assert words in message


def test_exception_table_and_minor_version_are_parts_of_the_digest(module):
    code = module().work.__code__
    data = refer(suspend(sys.modules["moving"].work, 3))
    changed = code.replace(co_exceptiontable=code.co_exceptiontable[:-4])
    sys.modules["moving"].work.__code__ = changed
    with pytest.raises(CodeChangedError, match="its exception table differs"):
        pickle.loads(data)
    sys.modules["moving"].work.__code__ = code
    # Before the digest, the state has a byte with the format and the version, and flags.
    at = data.index(_core._digest(code)[1:12]) - 2
    with pytest.raises(CodeChangedError, match="its Python minor version differs"):
        pickle.loads(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_vanished_inner_code_is_a_change(module):
    data = refer(module("def work():\n    return (x for x in 'abc')\n").work())
    module("def work():\n    return iter('abc')\n")
    with pytest.raises(CodeChangedError, match="there is no '<genexpr>' in it any more"):
        pickle.loads(data)


def test_moved_file_and_comments_above_are_no_change(module, tmp_path, monkeypatch):
    data = refer(suspend(module().work, 2))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    (tmp_path / "moving.py").unlink()
    moved = module("\n# A comment.\n\n" + textwrap.dedent(SOURCE), folder)
    task = pickle.loads(data)
    assert task.frame.f_code is moved.work.__code__
    task.run()
    task.run()
    assert not task.alive


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.0", "-0.0"),
        ("1", "True"),
        ("(1, 2)", "(1.0, 2)"),
        ("'a'", "b'a'"),
        ("x in {1, 2}", "x in {1, 3}"),
        ("lambda: 1", "lambda: 2"),
        ("0j", "-0j"),
        ("'\\ud800'", "'\\ud801'"),
        ("1" + "0" * 5000, "1" + "0" * 4999 + "1"),
    ],
)
def test_digest_tells_constants_apart(one, other, monkeypatch):
    monkeypatch.setattr(sys, "int_info", sys.int_info)
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        codes = [compile(f"def f(x): return {text}", "file", "exec") for text in (one, other)]
    finally:
        sys.set_int_max_str_digits(limit)
    first, second = (_core._digest(code.co_consts[0]) for code in codes)
    assert first != second


def test_digest_is_that_of_equal_code_compiled_elsewhere():
    text = "def f(x): return x in {1, 'a', 2.5, b'c', (1, 2), None}"
    codes = [compile("\n" * n + text, f"file{n}", "exec").co_consts[0] for n in (0, 5)]
    assert _core._digest(codes[0]) == _core._digest(codes[1])


def test_specialised_code_has_the_same_digest():
    namespace = {}
    exec("def f(n):\n    t = 0\n    for i in range(n): t += i\n    return t", namespace)
    code = namespace["f"].__code__
    from pickletask.references import digest

    before = digest(code)
    for _ in range(100):
        namespace["f"](10)
    assert digest(code) == before


# ---- the hook -------------------------------------------------------------


def test_hook_supplies_the_old_code(module):
    old = module().work
    data = refer(suspend(old, 3))
    module(SOURCE.replace("1000 *", "1100 *"))
    seen = []

    def hook(change):
        seen.append(change)
        return old

    assert pickletask.on_code_changed(hook) is None
    task = pickle.loads(data)
    assert task.frame.f_code is old.__code__
    assert pickletask.on_code_changed(None) is hook
    (change,) = seen
    assert (change.module, change.qualname, change.what) == ("moving", "work", ("constants",))
    assert change.code is sys.modules["moving"].work.__code__
    assert repr(change) == "<CodeChange of moving.work: constants>"


MIGRATED = """
    from pickletask import schedule_remove

    def work(n):
        total = 1000 - 0 * n + abs(len("another beginning"))
        for i in range(n):
            try:
                total += 1000 * schedule_remove(i)
            finally:
                print("in between")
        print(total)
        return ("total", total)
"""


def test_task_goes_on_in_changed_code_where_its_source_stood(module, capsys):
    task = suspend(module().work, 2)
    data = refer(task)
    new = module(MIGRATED)
    pickletask.on_code_changed(lambda change: change.code)
    copy = pickle.loads(data)
    assert copy.frame.f_code is new.work.__code__
    assert copy.frame.f_lineno == new.work.__code__.co_firstlineno + 4
    copy.tempval = 5
    copy.run()
    copy.tempval = 7
    copy.run()
    assert not copy.alive
    assert capsys.readouterr().out == "in between\nin between\n12000\n"


def test_generator_goes_on_in_changed_code(module):
    source = "def work(n):\n    x = n\n    yield x\n    yield x + 1\n"
    generator = module(source).work(1)
    next(generator)
    data = refer(generator)
    unstarted = refer(module(source).work(1))
    module(source.replace("x = n", "x = n - 1 + 1").replace("x + 1", "x + 2"))
    pickletask.on_code_changed(lambda change: change.code)
    assert list(pickle.loads(data)) == [3]
    assert list(pickle.loads(unstarted)) == [1, 3]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("total += 1000", "total  += 1100", "nothing of the same shape stands on line"),
        ("total += 1000 * schedule_remove(i)", "pass", "nothing of the same shape stands on line"),
        ("for i in range(n)", "for j in range(n)", "differs in its local variables"),
        ("            try:", "            with n:", "nothing of the same shape stands on line"),
    ],
)
def test_changed_code_of_another_shape_is_refused(old, new, words, module):
    data = refer(suspend(module().work, 2))
    changed = SOURCE.replace(old, new)
    if "with" in new:
        changed = changed.replace("finally:", "    pass #").replace("pass\n", "pass\n", 1)
        changed = changed.replace("                    pass #\n                    pass\n", "")
    module(textwrap.dedent(changed))
    pickletask.on_code_changed(lambda change: change.code)
    with pytest.raises(CodeChangedError, match=words):
        pickle.loads(data)


def test_hook_may_refuse_or_fail(module):
    data = refer(suspend(module().work, 2))
    module(SOURCE.replace("1000 *", "1100 *"))
    pickletask.on_code_changed(lambda change: None)
    with pytest.raises(CodeChangedError):
        pickle.loads(data)
    pickletask.on_code_changed(lambda change: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        pickle.loads(data)
    pickletask.on_code_changed(lambda change: "code")
    with pytest.raises(TypeError, match="must return a function, code or None, not str"):
        pickle.loads(data)
    with pytest.raises(TypeError, match="the hook must be callable or None, not int"):
        pickletask.on_code_changed(1)


def test_hook_is_asked_for_a_name_that_is_gone(module):
    data = refer(suspend(module().work, 2))
    renamed = module(SOURCE.replace("def work", "def job")).job
    for load in pickle.loads, pickletask.loads:
        with pytest.raises(AttributeError, match="work"):
            load(data)
    asked = []

    def hook(change):
        asked.append((change.module, change.qualname, change.what, change.code))
        return renamed

    pickletask.on_code_changed(hook)
    loads = (
        pickletask.loads,
        lambda data: pickletask.load(io.BytesIO(data)),
        lambda data: pickletask.loads(data, allow=["moving.work"]),
    )
    for load in loads:
        asked.clear()
        task = load(data)
        assert asked[0] == ("moving", "work", ("path",), None)
        assert asked[1][1:] == ("job", ("names",), renamed.__code__)
        assert task.frame.f_code is renamed.__code__
        task.kill()
    with pytest.raises(AttributeError, match="work"):
        pickle.loads(data)


def test_hook_that_supplies_nothing_for_a_name_leaves_the_error(module):
    data = refer(suspend(module().work, 2))
    module("")
    pickletask.on_code_changed(lambda change: change.code)
    with pytest.raises(AttributeError, match="work"):
        pickletask.loads(data)
    pickletask.on_code_changed(lambda change: int)
    with pytest.raises(TypeError, match="must return a function for 'work', which isn't in module"):
        pickletask.loads(data)


def test_hook_is_asked_for_a_module_that_is_gone(module, tmp_path):
    data = refer(suspend(module().work, 2))
    work = sys.modules.pop("moving").work
    (tmp_path / "moving.py").unlink()
    with pytest.raises(ModuleNotFoundError):
        pickletask.loads(data)
    pickletask.on_code_changed(lambda change: work)
    task = pickletask.loads(data)
    assert task.frame.f_code is work.__code__
    task.kill()


def test_hook_can_not_start_the_task_that_is_being_restored(module):
    task = suspend(module().work, 2)
    data = refer(task)
    state = task.__reduce_ex__(0x100 | 4)[2]
    (work,) = (item for item in state if isinstance(item, types.FunctionType))
    changed = module(SOURCE.replace("1000 *", "1100 *")).work
    state = tuple(changed if item is work else item for item in state)
    target = tasklet()

    def hook(change):
        target.bind(double, (1,))
        target.run()
        return change.code

    pickletask.on_code_changed(hook)
    with pytest.raises(RuntimeError, match="started meanwhile"):
        target.__setstate__(state)
    assert target.alive
    pickletask.on_code_changed(lambda change: change.code)
    assert pickle.loads(data).alive


# ---- damage ---------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        (),
        (double,),
        (double, 1),
        (double, b"short"),
        (5, bytes(14)),
        (double, bytes(14), 5),
        (double, bytes(14), "", ""),
        (inspect, bytes(14)),
    ],
)
def test_damaged_reference_raises(reference):
    with pytest.raises(pickletask.CorruptStateError):
        _core._load_referred_code(*reference)
    with pytest.raises(pickletask.CorruptStateError):
        tasklet().__setstate__((0, None, None, (1, None, (reference, 0, 0, None)), None, None))


def test_damaged_place_raises():
    reference = (double, _core._digest(double.__code__))
    for place in (-1, -1000, 0, 1, 2**64, 2**70, -(2**70), 2**63 + 1, "x", None):
        state = (0, None, None, (1, None, (reference, place, 0, None, 1)), None, None)
        with pytest.raises(pickletask.CorruptStateError):
            tasklet().__setstate__(state)
