"""The scripts in examples/ run, each in a fresh process, and print what they should."""

from pathlib import Path

import pytest
from conftest import run_isolated

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="not in a checkout")

PRIMES = """\
first: 2 3 5 7 11 13 17 19 23 29
saved: 11 tasklets
copy: 31 37 41 43 47
original: 31 37 41 43 47
"""

BRANCHES = """\
1 3 5 0 2 4
2 5 1 4 0 3
3 0 4 1 5 2
4 2 0 5 3 1
"""

UNDO = """\
What do you want? (nothing to end)
How many tea?
What do you want? (nothing to end)
How many tea?
What do you want? (nothing to end)
How many milk?
What do you want? (nothing to end)
How many bread?
What do you want? (nothing to end)
ordered: 3 tea, 1 bread
"""

# What one run of restart.py after the other says.
RESTART = [
    "starts\n",
    "goes on at 27\n",
    "goes on at 31\n",
    "goes on at 41\n",
    "goes on at 47\nthe longest has 112 steps and starts at 27\n",
]


@pytest.fixture(params=["kept", "soft"])
def example(request):
    """A function that runs an example: its output. Once with stacks kept, once without."""

    def run(name, *args, **options):
        return run_isolated(EXAMPLES / name, *args, mode=request.param, **options).stdout

    return run


def test_each_example_has_a_test():
    tested = {"primes.py", "restart.py", "undo.py", "branches.py", "refused.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_primes_go_on_in_the_copy_and_in_the_original(example):
    assert example("primes.py") == PRIMES


def test_restart_finishes_in_as_many_processes_as_it_takes(example, tmp_path):
    state = tmp_path / "state"
    for number, said in enumerate(RESTART, 1):
        assert example("restart.py", state) == said
        assert state.exists() == (number < len(RESTART))
    assert list(tmp_path.iterdir()) == []


def test_restart_without_a_file_says_how_it_is_used():
    assert "restart.py FILE" in run_isolated(EXAMPLES / "restart.py", expect=1).stderr


def test_undo_takes_answers_back(example):
    assert example("undo.py", input=b"tea\n2\nback\n3\nmilk\nback\nbread\n1\n\n") == UNDO


def test_undo_ends_with_its_input(example):
    assert example("undo.py", input=b"back\n").endswith("ordered: \n")


def test_branches_find_all_solutions(example):
    assert example("branches.py") == BRANCHES
    assert example("branches.py", 3) == ""


def test_refused_says_why_and_goes_on(example):
    message, in_c, in_python = example("refused.py").splitlines()
    assert message.startswith("cannot pickle this task: function 'sort_in_c' (file ")
    assert "called sorted(), which runs C code" in message
    things = "['tea', 'milk', 'bread']"
    assert in_c == f"sort_in_c: saved 0 times, refused 3 times: {things}"
    assert in_python == f"sort_in_python: saved 3 times, refused 0 times: {things}"
