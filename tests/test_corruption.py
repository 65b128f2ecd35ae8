"""Damaged pickles raise an exception or load something that can be run and dropped.

What is damaged, and how, stands in mutants.py. All of them are tried in processes of their own,
so that one that crashes or hangs can be told; isolated/mutate.py shows it when it is given its
number alone.
"""

import dis
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import types
from pathlib import Path

import mutants
import programs
import pytest
from conftest import (
    BYTE_MUTANTS,
    FUZZ,
    SEED,
    SLOWDOWN,
    STATE_MUTANTS,
    WATCHED_PYTHON,
    child_environment,
)  # fmt: skip

import pickletask
from pickletask import _core, schedule_remove, tasklet

HERE = Path(__file__).resolve().parent

#: Numbers of random mutants begin here.
FIRST = SEED * 10**7

TRIED = {}


def run_mutants(kind, name, first, end, note, timeout):
    """Try mutants in a process: (its CompletedProcess, the number of the last one it tried)."""
    note.write_bytes(struct.pack("q", -1))
    command = [*WATCHED_PYTHON, "-X", "faulthandler", "-W", "ignore"]
    command += [str(HERE / "isolated/mutate.py"), kind, name, str(first), str(end), str(note)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=timeout * SLOWDOWN, env=child_environment(),
            text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        done = subprocess.CompletedProcess(command, "hung", error.stdout or "", error.stderr or "")
    return done, struct.unpack("q", note.read_bytes())[0]


def check_mutants(kind, name, first, end, note):
    """Try all mutants of an original; the test fails with a recipe for the first bad one."""
    done, last = run_mutants(kind, name, first, end, note, 600)
    if done.returncode != 0:
        alone, _ = run_mutants(kind, name, last, last + 1, note, 60)
        pytest.fail(
            f"mutant {last} ({kind}, {name}) ended its process: {done.returncode}\n"
            f"alone: {alone.returncode}\n{str(alone.stdout)[-4000:]}\n{str(alone.stderr)[-4000:]}\n"
            f"in its batch:\n{str(done.stderr)[-4000:]}\n"
            f"to try it again: tests/isolated/mutate.py {kind!r} {name!r} {last} {last + 1} FILE",
            pytrace=False,
        )
    result = json.loads(done.stdout.splitlines()[-1])
    assert not result["hung"], f"loading hangs: mutants {result['hung']} ({kind}, {name})"
    TRIED.setdefault((kind, name), []).append(result)
    return result


def check_bytes(kind, name, note):
    """Bytes damaged in several ways; with ``make fuzz`` all of them, and more in random ones."""
    results = [check_mutants(kind, name, 0, 0, note)]
    if FUZZ:
        first = max(FIRST, 10**7)
        results.append(check_mutants(kind, name, first, first + BYTE_MUTANTS, note))
    return results


@pytest.mark.parametrize("name", mutants.NAMES)
def test_damaged_bytes_raise_or_load(name, tmp_path):
    # Unpicklers raise whatever comes to them on bytes that make no sense.
    for result in check_bytes("bytes", name, tmp_path / "note"):
        assert result["refused"] > 0 and result["loaded"] > 0, result


@pytest.mark.parametrize("name", mutants.WRITTEN)
@pytest.mark.parametrize("kind", mutants.WAYS)
def test_damaged_bytes_of_our_own_pickler_raise_or_load(kind, name, tmp_path):
    for result in check_bytes(kind, name, tmp_path / "note"):
        assert result["refused"] > 0
        if kind == "sealed":
            # None of them gets as far as an unpickler.
            assert not result["loaded"] and set(result["errors"]) == {"SealError"}, result
        else:
            assert result["loaded"] > 0, result


@pytest.mark.parametrize(
    "kind, name",
    [("state", name) for name in mutants.NAMES]
    + [("by reference state", name) for name in mutants.WRITTEN],
)
def test_damaged_state_raises_or_loads(kind, name, tmp_path):
    result = check_mutants(kind, name, FIRST, FIRST + STATE_MUTANTS, tmp_path / "note")
    assert result["refused"] > 0 and result["loaded"] > 0, result
    assert set(result["errors"]) <= EXPECTED | {"MemoryError"}, result["errors"]


# What our functions raise on bad arguments. PermissionError: a damaged name tried to import.
# TaskletExit: a generator of the mutant's got to where only an iterator was expected, and ran.
EXPECTED = {
    "CorruptStateError", "VersionMismatchError", "CodeChangedError", "RestoreError", "TypeError",
    "ValueError", "OverflowError", "AttributeError", "ImportError", "ModuleNotFoundError",
    "RuntimeError", "PermissionError", "KeyError", "TaskletExit",
}  # fmt: skip


def test_enough_mutants_are_tried():
    states = len(mutants.NAMES) + len(mutants.WRITTEN)
    if len(TRIED) < states + len(mutants.NAMES) + len(mutants.WAYS) * len(mutants.WRITTEN):
        pytest.skip("not all of them were asked for")
    tried = {"bytes": 0, "state": 0}
    for (kind, _), results in TRIED.items():
        tried[kind.split()[-1] if "state" in kind else "bytes"] += sum(
            result["tried"] for result in results
        )
    print(f"mutants of bytes and of states: {tried}")
    enough = (200_000 if FUZZ else 20_000) / SLOWDOWN
    assert tried["bytes"] >= enough and tried["state"] >= enough


def test_mutant_that_crashes_is_told(tmp_path):
    """The harness finds a crash: here one made on purpose."""
    fatal = next(number for number in range(7, 1000) if mutants.is_tried(number))
    script = (
        "import sys, mutants, os\n"
        "original = mutants.Trial.run\n"
        "def run(self, number, load):\n"
        "    original(self, number, load)\n"
        f"    if number == {fatal}: os.abort()\n"
        "mutants.Trial.run = run\n"
        f"path = {str(HERE / 'isolated/mutate.py')!r}\n"
        f"sys.argv = [path, 'bytes', 'one deep', '0', '{2 * fatal}', {str(tmp_path / 'note')!r}]\n"
        "exec(compile(open(path).read(), path, 'exec'))\n"
    )
    (tmp_path / "note").write_bytes(struct.pack("q", -1))
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", script],
        env=child_environment(),
        capture_output=True,
    )
    assert done.returncode < 0
    assert struct.unpack("q", (tmp_path / "note").read_bytes())[0] == fatal


# ---- what the errors say --------------------------------------------------

TAG = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"


def pickled_task(protocol=4):
    return pickle.dumps(mutants.original("one deep")[0], protocol)


def with_other_code(data, *functions):
    """A pickle with the code of these as another minor version of Python would have saved it."""
    for function in functions:
        (packed,) = _core._reduce_code(function.__code__)[1]
        assert data.count(packed) == 1
        data = data.replace(packed, bytes([packed[0] & 0x80 | 99]) + packed[1:])
    return data


def test_pickle_of_another_minor_raises_an_error_that_names_both(pickler):
    data = with_other_code(pickled_task(), mutants.walk)
    with pytest.raises(pickletask.VersionMismatchError) as caught:
        pickler.loads(data)
    assert "saved by cpython-399" in str(caught.value)
    assert f"this is {TAG}" in str(caught.value)


def test_state_of_another_minor_raises_an_error_that_names_both():
    header, *items = mutants.original("one deep")[0].__reduce_ex__(4)[2]
    head = next(item for item in items if type(item) is _core._Substitute)
    items[items.index(head)] = mutants.walk
    header = header[:1] + bytes([header[1] ^ 1]) + header[2:]
    with pytest.raises(pickletask.VersionMismatchError) as caught:
        tasklet().__setstate__((header, *items))
    assert f"saved by cpython-3{sys.version_info[1] ^ 1}" in str(caught.value)
    assert f"this is {TAG}" in str(caught.value)


def test_generator_of_another_minor_raises_an_error(pickler):
    resting = mutants.rest([1])
    next(resting)
    with pytest.raises(pickletask.VersionMismatchError, match="99"):
        pickler.loads(with_other_code(pickle.dumps(resting), mutants.rest))


def test_code_of_another_implementation_raises_an_error():
    with pytest.raises(pickletask.VersionMismatchError, match="xpython-312"):
        _core._load_code("xpython-312", bytes(16), b"code")


def other_interpreters():
    """Interpreters of other minors that can import the same pickletask."""
    found = {}
    for minor in range(11, 20):
        if minor != sys.version_info[1]:
            for folder in os.environ.get("PATH", "").split(os.pathsep):
                path = Path(folder, f"python3.{minor}")
                if minor not in found and path.exists() and can_import(path):
                    found[minor] = path
    return found


def can_import(path):
    code = "import sys, pickletask, mutants; print(sys.version_info[1])"
    done = subprocess.run([path, "-c", code], env=child_environment(), capture_output=True)
    return done.returncode == 0


def test_pickle_from_another_interpreter_raises_an_error_that_names_both():
    others = other_interpreters()
    if not others:
        pytest.skip("no other Python has pickletask built for it")
    script = (
        "import pickle, sys, mutants\n"
        "sys.stdout.buffer.write(pickle.dumps(mutants.original('one deep')[0]))"
    )
    for minor, path in others.items():
        done = subprocess.run([path, "-c", script], env=child_environment(), capture_output=True)
        assert done.returncode == 0, done.stderr
        with pytest.raises(pickletask.VersionMismatchError) as caught:
            pickle.loads(done.stdout)
        for number in (minor, sys.version_info[1]):
            assert re.search(rf"3\.?{number}\b", str(caught.value)), str(caught.value)


def test_damaged_code_is_noticed(pickler):
    data = pickled_task()
    (packed,) = _core._reduce_code(mutants.walk.__code__)[1]
    # Behind the version and the digest.
    start = data.index(packed) + 9
    seen = 0
    for place in range(start, start + 60):
        mutant = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            pickler.loads(mutant)
        except pickletask.CorruptStateError:
            seen += 1
        except Exception:
            # It was no byte of the code.
            pass
    assert seen > 20


def pause_in_outermost_iterable(log):
    doubled = (2 * number for number in schedule_remove([1, 2]))
    log.extend(doubled)
    log.extend([-number for number in schedule_remove([3, 4])])


class Keeper(pickle._Unpickler):
    """Keeps what the functions that make things returned."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.made = []

    def load_reduce(self):
        pickle._Unpickler.dispatch[pickle.REDUCE[0]](self)
        self.made.append(self.stack[-1])

    dispatch = {**pickle._Unpickler.dispatch, pickle.REDUCE[0]: load_reduce}


@pytest.mark.parametrize("steps", [0, 1])
def test_function_that_trusts_its_caller_is_sealed(mode, steps):
    """Given no iterator it would crash: nobody but the frame that calls it right gets it."""
    log = []
    task = programs.begin(pause_in_outermost_iterable, log)
    for _ in range(steps):
        task.run()
    keeper = Keeper(pickle.dumps((task, log)))
    task, log = keeper.load()
    names = {made.__name__: made for made in keeper.made if isinstance(made, types.FunctionType)}
    assert "pause_in_outermost_iterable" in names
    sealed = [made for made in keeper.made if "sealed" in repr(made)]
    constants = pause_in_outermost_iterable.__code__.co_consts
    codes = [each for each in constants if isinstance(each, types.CodeType)]
    if any(each.opname == "GET_ITER" for each in dis.get_instructions(codes[0])):
        # In this release the function asks for the iterator itself: anybody may call it.
        assert any("<" in name for name in names) == (steps == 0) and not sealed
        return
    assert not any("<" in name for name in names)
    assert len(sealed) == (steps == 0 or sys.version_info < (3, 12))
    for thing in sealed:
        with pytest.raises(TypeError, match="not callable"):
            thing(5)
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    while task.alive:
        task.run()
    assert log == [2, 4, -3, -4]


def test_state_of_another_task_is_refused(mode):
    """A task that is alive keeps its state; one takes no state of which it can't be made."""
    task, _ = programs.start(programs.find("loops:nest_loops"))
    task.run()
    state = task.__reduce_ex__(4)[2]
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        task.__setstate__(state)
    assert task.paused and task.alive
    for bad in (None, (), 5, [], (None,) * len(state), state[:-1], (*state, None)):
        fresh = pickletask.tasklet()
        with pytest.raises((TypeError, ValueError, RuntimeError, pickle.UnpicklingError)):
            fresh.__setstate__(bad)
        assert not fresh.alive
    task.kill()
