"""Tasks in threads, over fork() and at the end of the process, each in a process of its own."""

from pathlib import Path

import pytest
from conftest import run_isolated

SCRIPT = Path("isolated/fiber_threads.py")

pytestmark = pytest.mark.parametrize("how", ["kept", "soft"])


@pytest.mark.parametrize("scene", ["thread_ends", "other_thread_drops", "all_threads_switch"])
def test_threads_have_their_own_tasks(scene, how):
    assert run_isolated(SCRIPT, scene, how).stdout == "OK\n"


@pytest.mark.parametrize(
    "scene",
    [
        "fork",
        "fork_in_a_task_that_goes_on",
        "fork_in_a_thread",
        "fork_while_a_thread_stands_in_a_task",
    ],
)
def test_fork_copies_tasks(scene, how):
    assert run_isolated(SCRIPT, scene, how).stdout == "OK\n"


@pytest.mark.parametrize("where, ended", [("main", 2), ("thread", 2), ("daemon", 0)])
def test_suspended_tasks_end_with_the_process(where, ended, how):
    output = run_isolated(SCRIPT, "at_exit", how, where).stdout
    assert sorted(output.splitlines()) == ["OK"] + ["finally"] * ended
