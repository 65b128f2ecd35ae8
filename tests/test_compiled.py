"""Tasks in loops that CPython has compiled to machine code: it calls C code from elsewhere."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(sys, "_jit") or not sys._jit.is_available(), reason="this CPython can't compile"
)

COMPILES = {"PYTHON_JIT": "1"}


def test_cases_are_saved_in_compiled_loops(run_isolated):
    out = run_isolated(Path("isolated/compiled.py"), env=COMPILES, timeout=300).stdout
    checked, compiled = map(int, out.split()[1::2])
    # CPython doesn't compile all, but much.
    assert checked > 300 and compiled > 100, out


# Of these, the second and the third have dropped what is then run.
LOOPS = """
import pickle
import sys

import pytest

import pickletask
from pickletask import schedule_remove

ROUNDS = 4300


class Operand:
    def __neg__(self):
        if armed:
            schedule_remove()
        return 1


class Dropped:
    def __neg__(self):
        return 1

    def __del__(self):
        if armed:
            schedule_remove()


class Callee:
    def __call__(self, operand):
        pass


def negate():
    operand = Operand()
    for left in range(ROUNDS, 0, -1):
        left + -operand
    return left


def drop_operand():
    for left in range(ROUNDS, 0, -1):
        left + -Dropped()
    return left


def drop_argument():
    callee = Callee()
    for left in range(ROUNDS, 0, -1):
        callee(Dropped())
    return left


def begin(function):
    def call():
        log.append(function())

    global armed
    armed = False
    log = []
    call()
    call()
    armed = True
    task = pickletask.tasklet(call)()
    task.remove()
    task.run()
    assert task.paused
    return task, log


task, log = begin(negate)
copy, copied = pickle.loads(pickle.dumps((task, log)))
armed = False
copy.run()
assert copied == [1, 1, 1] and not copy.alive, copied
task.run()
assert log == [1, 1, 1]

for function in drop_operand, drop_argument:
    task, log = begin(function)
    with pytest.raises(pickletask.NotPicklableError, match=function.__name__):
        pickle.dumps(task)
    armed = False
    task.run()
    assert log == [1, 1, 1]
"""


@pytest.mark.parametrize("compiles", ["0", "1"])
def test_dropped_operands_are_told_from_calls(run_isolated, compiles):
    """What runs while compiled code drops an operand isn't taken for what it has called."""
    run_isolated(LOOPS, env={"PYTHON_JIT": compiles})


IMPORT = """
import sys

calls = 0

def trace(frame, event, arg):
    global calls
    calls += 1

sys.settrace(trace)
import pickletask
sys.settrace(None)
print(calls)
"""


def test_nothing_is_compiled_while_python_traces(run_isolated):
    """A debugger isn't to go through the loops."""
    with_it = int(run_isolated(IMPORT, env=COMPILES).stdout)
    without = int(run_isolated(IMPORT, env={"PYTHON_JIT": "0"}).stdout)
    assert with_it < 2 * without
