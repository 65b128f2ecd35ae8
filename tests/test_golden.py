"""Pickles that an earlier pickletask wrote, in golden/: they load, and go on as they did then."""

import itertools
import sys
from pathlib import Path

import pytest

import pickletask

FOLDER = Path(__file__).resolve().parent / "golden" / "{}.{}".format(*sys.version_info)
PICKLES = sorted(FOLDER.glob("*.pickle"))
KEY = b"the key of the golden pickles..."

pytestmark = pytest.mark.usefixtures("mode")


def check_loop(task):
    frames = []
    frame = task.frame
    while frame is not None and frame.f_code.co_filename.endswith("golden_tasks.py"):
        frames.append(frame.f_code.co_name)
        frame = frame.f_back
    assert frames == ["step", "loop"]
    for number in range(4):
        assert task.tempval == number
        task.tempval = 10 * number
        task.run()
    assert not task.alive


def check_generator(loaded):
    running, fresh, coroutine = loaded
    assert list(running) == [1, 4, 9, 16]
    assert list(fresh) == [0, 1]
    with pytest.raises(StopIteration, match="nothing"):
        coroutine.send(None)


def check_closure(loaded):
    task, show = loaded
    assert (task.tempval, show()) == (1, 1)
    task.run()
    assert (task.tempval, show()) == (2, 2)
    task.kill()


def check_handler(task):
    task.run()
    assert not task.alive


def check_channel(loaded):
    where, receiver = loaded
    assert (receiver.blocked, where.balance, where.queue is receiver) == (True, -1, True)
    where.send(21)
    assert where.receive() == 42
    receiver.kill()


def check_chain(task):
    length = 0
    while task is not None:
        length += 1
        task = task.frame.f_locals["following"]
    assert length == 2000


def check_job(task):
    assert type(task).__name__ == "Job"
    letters = []
    while task.alive:
        letters.append(task.tempval)
        task.run()
    assert (letters, task.word) == (["a", "b", "c"], "abc")


def check_walk(task):
    for expected in itertools.product([1, 2], "ab", [1, 3, 5]):
        assert task.tempval == expected
        if expected == (1, "a", 3):
            # What the task goes over is its own variable.
            task.frame.f_locals["items"].append(3)
        task.run()
    assert task.tempval == (3, "a", 1)
    task.kill()


def check_boundaries(tasks):
    for task in tasks:
        seen = []
        while task.alive:
            seen.append(task.tempval)
            task.run()
        assert seen[-1] == "end", seen


def test_there_are_pickles_of_this_python():
    assert len(PICKLES) >= 25, "run tests/golden/make.py with this Python"


@pytest.mark.parametrize("path", PICKLES, ids=lambda path: path.stem)
def test_golden_pickle_loads_and_goes_on(path):
    data = path.read_bytes()
    options = {"key": KEY} if "sealed" in path.stem else {}
    name = path.stem.split("-")[1]
    globals()[f"check_{name}"](pickletask.loads(data, **options))
    found = pickletask.inspect(data, **options)
    assert found.tasks or found.generators
    assert all(frame.line for task in found.tasks for frame in task.frames)
