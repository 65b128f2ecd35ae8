"""Pickles that travel between this machine and another one, of another processor, and back.

``make test-arm64`` runs this; it isn't collected by itself. ``PICKLETASK_THERE`` is the command
that runs, over there, a Python of the same minor version, which finds pickletask and ``tests/``;
``PICKLETASK_THERE_ROOT`` is the folder here that is the root there.
"""

import os
import platform
import re
import shlex
import shutil
import sys
from pathlib import Path

import programs
import pytest
from conftest import run_command, run_isolated

COMMAND = shlex.split(os.environ["PICKLETASK_THERE"])
ROOT = Path(os.environ["PICKLETASK_THERE_ROOT"])

PICKLERS = ["C", "Python", "pickletask"]
TASKS = programs.parameters("tasks", gaps=False)
SUSPENDED = programs.cases("suspended")


def run_there(*arguments, input=b""):
    """Like run_isolated(), on the other machine; ARGUMENTS are those of Python."""
    # -P: a checkout's pickletask/ there must not hide the installed one.
    return run_command([*COMMAND, "-P", *arguments], "/", 120, input, 0, {})


def hop_there(script, place):
    """Like run_isolated(), with the file PLACE taken there and brought back."""
    away = Path("tmp", f"pickletask-{os.getpid()}")
    shutil.copyfile(place, ROOT / away)
    find = f"import runpy, programs; runpy.run_path(programs.CASES.parent / '{script}')"
    run_there("-c", find, str("/" / away))
    shutil.move(ROOT / away, place)


def placeless(trace):
    """A trace without the folder that the project has on a machine: tracebacks name it."""
    return [tuple(re.sub(r"[^\"\\]*/tests/", "tests/", text) for text in step) for step in trace]


def travel(entries, folder, start_there):
    """Run programs to their ends, each stretch between two suspensions on the other machine."""
    turns = 0

    def take_turns(script, place):
        nonlocal turns
        turns += 1
        (hop_there if turns % 2 == start_there else run_isolated)(script, place)

    programs.hop(entries, folder, take_turns)
    for entry in entries:
        entry["trace"] = placeless(entry["trace"])
    assert turns > 2


@pytest.fixture(params=["here", "there"])
def start_there(request):
    """Whether programs begin on the other machine: each suspension is pickled on both."""
    return request.param == "there"


def test_other_machine_is_another_one_with_the_same_python():
    found = run_there("-c", "import platform; print(platform.machine(), platform.python_version())")
    machine, version = found.stdout.split()
    assert machine != platform.machine()
    assert version.split(".")[:2] == list(map(str, sys.version_info[:2]))


@pytest.mark.parametrize("shift", range(2))
def test_task_goes_on_on_the_other_machine_wherever_it_suspends(start_there, shift, tmp_path):
    def expected(case):
        return placeless(programs.reference(programs.find(case)))

    cases = [case for case in TASKS if programs.is_short(expected(case))]
    entries = programs.entries_for(cases, PICKLERS, shift)
    travel(entries, tmp_path, start_there)
    failures = programs.failures(entries, expected)
    assert not failures, failures


@pytest.mark.parametrize("send", [False, True], ids=["next", "send"])
def test_generator_goes_on_on_the_other_machine_wherever_it_waits(start_there, send, tmp_path):
    def expected(case):
        return placeless(programs.drive(programs.find(case), send=send))

    cases = [case for case in SUSPENDED if programs.is_short(expected(case))]
    entries = programs.entries_for(cases, PICKLERS, send)
    for entry in entries:
        entry.update(turn=0, send=send)
    travel(entries, tmp_path, start_there)
    failures = programs.failures(entries, expected)
    assert not failures, failures
