"""Tasks that are saved in the middle of an import."""

import copy
import gc
import importlib
import io
import pickle
import sys
import threading

import importing
import pytest
from conftest import import_dill
from programs import begin

import pickletask
from pickletask import _core

SCRIPT = "import importing, sys; importing.main(*sys.argv[1:])"

FUNCTIONS = [
    "statement",
    "statement_from",
    "from_module_level",
    "deep_inside",
    "dotted",
    "dotted_as",
    "from_package",
    "from_quiet_package",
    "from_submodule",
    "star",
    "by_call",
    "by_relative_call",
    "by_import_module",
    "by_importlib",
    "failing",
    "replaced",
    "removed",
    "vanishing",
    "missing",
    "circular",
    "own_loader",
    "derived_loader",
    "with_classes",
    "in_generator",
    "below_c_code",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the modules are."""
    path = tmp_path_factory.mktemp("modules")
    importing.write_modules(path)
    return path


@pytest.mark.parametrize("name", FUNCTIONS)
def test_import_goes_on_in_fresh_processes(run_isolated, folder, mode, name):
    straight = run_isolated(SCRIPT, folder, name, mode=mode).stdout
    data, number, output = b"", 0, ""
    while not output.startswith("["):
        output = run_isolated(SCRIPT, folder, name, number, input=data, mode=mode).stdout
        number += 1
        if not output.startswith("["):
            data = bytes.fromhex(output)
    assert output == straight
    assert number > 1


# ---- in one process -------------------------------------------------------


@pytest.fixture
def clean(monkeypatch, folder):
    """The modules can be imported, and none of them is; nor is it afterwards."""

    def forget():
        for name in list(sys.modules):
            if name.split(".")[0] in importing.importing_names():
                del sys.modules[name]

    monkeypatch.syspath_prepend(folder)
    forget()
    yield
    forget()
    importing.check_done()


def import_plain():
    import plain

    return plain


def import_closing():
    import closing

    return closing


def lock_of(name):
    return importlib._bootstrap._get_module_lock(name)


def started(function=import_plain):
    """The pickle of a task that imports a module; the task is no more."""
    task = begin(function)
    data = pickle.dumps(task)
    task.kill()
    return data


def test_original_goes_on_with_its_import(mode, clean):
    task = begin(import_plain)
    module = sys.modules["plain"]
    for dumps in pickle.dumps, pickle._dumps, pickletask.dumps:
        dumps(task)
    assert sys.modules["plain"] is module and module.__spec__._initializing
    assert lock_of("plain").owner == threading.get_ident()
    task.run()
    assert not task.alive and sys.modules["plain"] is module
    assert not module.__spec__._initializing and lock_of("plain").owner is None


def test_original_that_is_killed_undoes_its_import(mode, clean):
    started()
    assert "plain" not in sys.modules and lock_of("plain").owner is None


def test_load_leaves_no_module_behind(mode, clean, pickler):
    data = started()
    task = pickler.loads(data)
    assert "plain" not in sys.modules and lock_of("plain").owner is None
    del task
    assert import_plain().result[0] == 42


def test_load_that_fails_leaves_no_module_behind(mode, clean, pickler):
    data = started()
    failed = 0
    for end in range(100, len(data), 101):
        try:
            pickler.loads(data[:end])
        except Exception:
            failed += 1
        gc.collect()
        assert "plain" not in sys.modules and lock_of("plain").owner is None
    assert failed > 10


def test_what_was_loaded_is_saved_again_before_it_goes_on(mode, clean, pickler):
    for function in import_plain, importing_two:
        data = started(function)
        for _ in range(3):
            data = pickler.dumps(pickler.loads(data), 4)
        task = pickler.loads(data)
        while task.alive:
            task.run()
    assert import_plain().result[2] is True and sys.modules["pack"].after == "after"


def test_classes_are_saved_again_before_the_task_goes_on(mode, clean):
    pytest.importorskip("cloudpickle")
    task = begin(import_classes)
    data = pickletask.dumps(task, classes="value")
    task.kill()
    task = pickle.loads(data)
    with pytest.raises(pickletask.NotPicklableError, match="classes='value'"):
        pickle.dumps(task)
    task = pickle.loads(pickletask.dumps(task, classes="value"))
    assert "classes" not in sys.modules
    task.tempval = 6
    task.run()
    assert sys.modules["classes"].got == (6, True)


def test_module_comes_with_the_first_step(mode, clean):
    data = started(import_closing)
    for end in "run", "kill":
        task = pickle.loads(data)
        assert "closing" not in sys.modules
        getattr(task, end)()
        assert not task.alive and importing.pause.closed == [True]
        assert ("closing" in sys.modules) == (end == "run")
        sys.modules.pop("closing", None)


def test_task_that_has_gone_on_is_killed(mode, clean):
    first = pickle.loads(started(importing_two))
    first.run()
    assert sys.modules["pack"].__spec__._initializing
    assert lock_of("pack").owner == threading.get_ident()
    data = pickle.dumps(first)
    first.kill()
    assert not [name for name in sys.modules if name.split(".")[0] == "pack"]
    second = pickle.loads(data)
    while second.alive:
        second.run()
    assert sys.modules["pack"].one.one == 1


def importing_two():
    from pack import one, two

    return one, two


def import_swallowing():
    import swallowing  # noqa: F401


@pytest.mark.parametrize("function", [import_plain, import_swallowing])
def test_module_that_is_there_already_is_an_error(mode, clean, function):
    data = started(function)
    name = function.__name__.removeprefix("import_")
    module = importlib.import_module(name)
    task = pickle.loads(data)
    with pytest.raises(pickletask.RestoreError, match=f"imported module '{name}', and can't go on"):
        task.run()
    assert not task.alive and sys.modules[name] is module and lock_of(name).owner is None
    task = pickle.loads(data)
    task.kill()
    assert not task.alive and sys.modules[name] is module


def test_module_that_comes_between_load_and_run_is_an_error(mode, clean):
    task = pickle.loads(started())
    module = import_plain()
    with pytest.raises(pickletask.RestoreError, match="is in sys.modules already"):
        task.run()
    assert sys.modules["plain"] is module


def test_unpickler_that_lives_on_is_no_hindrance(mode, clean, pickler):
    unpickler = pickler.Unpickler(io.BytesIO(started()))
    task = unpickler.load()
    assert "plain" in sys.modules
    task.run()
    module = sys.modules["plain"]
    assert module.result[0] == 42 and lock_of("plain").owner is None
    del unpickler
    assert sys.modules["plain"] is module


def test_other_thread_waits_for_the_import(mode, clean):
    data = started()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(import_plain().result))

    def two_steps():
        task = begin(import_deep)
        copied = pickle.loads(pickletask.dumps(task, classes="value"))
        task.kill()
        return copied

    task = pickle.loads(data)
    assert seen == []
    task.run()
    thread.start()
    thread.join()
    assert seen[0][0] == 42
    task = two_steps()
    task.run()
    assert task.alive and sys.modules["deep"].__spec__._initializing
    thread = threading.Thread(target=lambda: seen.append(import_deep()))
    thread.start()
    thread.join(0.1)
    assert len(seen) == 1 and thread.is_alive()
    while task.alive:
        task.run()
    thread.join()
    assert seen[1].ended == "ended"


def import_deep():
    import deep

    return deep


@pytest.mark.parametrize("name", ["cloudpickle", "dill"])
def test_other_picklers_take_the_module(mode, clean, name):
    other = import_dill() if name == "dill" else pytest.importorskip(name)
    task = begin(import_plain)
    data = other.dumps((task, sys.modules["plain"]))
    task.kill()
    task, module = other.loads(data)
    assert "plain" not in sys.modules
    task.run()
    assert sys.modules["plain"] is module and module.result[0] == 42


def test_copy_is_refused(mode, clean):
    task = begin(import_plain)
    with pytest.raises(TypeError, match="can't copy this task: it is in the middle of an import"):
        copy.deepcopy(task)
    held = copy.deepcopy([sys.modules["plain"]])
    assert held == [sys.modules["plain"]]
    task.kill()


def test_frames_look_as_before(mode, clean):
    def names(task):
        frame, found = task.frame, []
        while frame is not None:
            found.append(frame.f_code.co_name)
            frame = frame.f_back
        return found

    task = begin(import_plain)
    copied = pickle.loads(pickle.dumps(task))
    assert names(copied)[:3] == ["pause", "<module>", "import_plain"]
    task.kill()


def test_functions_of_the_module_go_by_name_elsewhere(mode, clean):
    """Where its own code is running it isn't suspended, though it is being imported."""

    def work():
        module = sys.modules["plain"] = type(sys)("plain")
        module.__spec__ = importlib.util.spec_from_loader("plain", None)
        module.__spec__._initializing = True
        exec("import importing\ndef f(): pass\nimporting.pause(f)", vars(module))

    assert _core._is_being_imported(importing) is False
    task = begin(work)
    module = sys.modules["plain"]
    assert _core._is_being_imported(module) is True
    seen = []
    module.look = lambda: seen.append(_core._is_being_imported(module))
    exec("look()", vars(module))
    assert seen == [False]
    task.kill()


# ---- what is refused ------------------------------------------------------


def import_asking():
    import asking

    return asking


def import_by_star():
    return __import__(*("plain",))


def import_again():
    import again

    return importlib.reload(again)


def import_classes():
    import classes

    return classes


def import_holding():
    import holding

    return holding


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (import_asking, "'<module>' .*asking.py.* asked an iterator for its next item"),
        (import_by_star, "'import_by_star' .* imported module 'plain', whose own .* is waiting"),
        (import_again, "'reload' .* imported module 'again', whose own code .* is waiting"),
        (import_classes, "module 'classes', .* its class 'Made' by a name .* classes='value'"),
    ],
)
def test_import_is_refused_by_name(mode, clean, function, message):
    task = begin(function)
    with pytest.raises(pickletask.NotPicklableError, match=message):
        pickle.dumps(task)
    task.kill()
    assert not task.alive


@pytest.mark.parametrize("name", ["renamed", "exchanged", "unknown"])
def test_module_that_isnt_itself_any_more_is_refused(mode, clean, name):
    task = begin(importlib.import_module, name)
    with pytest.raises(pickletask.NotPicklableError, match=f"imports module '{name}', whose code"):
        pickle.dumps(task)
    task.run()
    assert not task.alive


@pytest.mark.skipif(sys.version_info < (3, 15), reason="has no lazy imports")
def test_lazy_import_is_refused_by_name(mode, clean):
    def work():
        exec("lazy import plain\nplain.result", {"__name__": "made"})

    task = begin(work)
    with pytest.raises(pickletask.NotPicklableError, match="imported module 'plain', whose own"):
        pickle.dumps(task)
    task.run()
    assert not task.alive


def test_import_goes_by_value_only(mode, clean):
    task = begin(import_plain)
    with pytest.raises(pickletask.NotPicklableError, match="'<module>' .* by reference"):
        pickletask.dumps(task, code="reference")
    data = pickletask.dumps(task)
    with pytest.raises(pickletask.NotAllowedError):
        pickletask.loads(data, allow=["test_imports.*", "pickletask.*"])
    task.kill()


def test_error_names_what_the_module_holds(mode, clean):
    task = begin(import_holding)
    pickle.dumps(task)
    task.run()
    with pytest.raises(TypeError, match="lock"):
        pickle.dumps(task)
    message = r"tasklet \w+ > module 'holding' > global 'lock': cannot pickle"
    with pytest.raises(pickletask.NotPicklableError, match=message):
        pickletask.dumps(task)
    task.run()
    assert not task.alive
