"""Lack of memory: every allocation fails once; and memory comes back."""

import contextvars
import pickle
import sys
from pathlib import Path

import programs
import pytest
from conftest import run_isolated

SCRIPT = Path("isolated/memory_fails.py")
GROWS = Path("isolated/memory_grows.py")

FLAT = """
    Switch SwitchSoftly Create CreateBlocked Throw ThrowSoftly ThrowNested ThrowGenerating
    ThrowStepping Kill KillSoftly KillGenerating Drop DropSoftly Channel ChannelSoftly
    Generator ChainOfGenerators LoadGenerator Coroutine LoadCoroutine AsyncGenerator
    LoadAsyncGenerator RefuseDump DumpsImport
""".split()
KINDS = """
    flat nested generating stepping enclosing executed handling constructing entering leaving adding
    keeping looping
""".split()
#: Of these one kind or two are enough: they differ in how code is written, and in the envelope.
OURS = "DumpsByReference DumpsSealed LoadsByReference LoadsSealed".split()
# What these run after the operation itself, CPython does not survive.
CRASHES = {"LoadsAndRun": {"nested", "enclosing"}, "Deepcopy": {"generating", "stepping"}}
OF_KINDS = [
    (operation, kind)
    for operation in "Dumps DumpsSoftly Loads LoadsAndRun Deepcopy".split()
    for kind in KINDS
    if kind not in CRASHES.get(operation, ())
]
OF_KINDS = [(*pair, how) for pair in OF_KINDS for how in ("once", "onwards")]
# Without any memory CPython doesn't survive what these do in Python.
OF_KINDS += [(operation, kind, "once") for operation in OURS for kind in ("flat", "adding")]
OF_KINDS += [("LoadsRestricted", "flat", "once")]

try:
    import _testcapi
except ImportError:
    _testcapi = None

failing = pytest.mark.skipif(
    _testcapi is None or hasattr(sys, "gettotalrefcount"),
    reason="needs _testcapi; and CPython's own assertions fail without memory",
)


@failing
@pytest.mark.parametrize("how", ["once", "onwards"])
@pytest.mark.parametrize("operation", FLAT)
def test_failing_allocations_leave_tasks_in_order(operation, how):
    run_isolated(SCRIPT, operation, how)


@failing
@pytest.mark.parametrize("operation, kind, how", OF_KINDS)
def test_failing_allocations_lose_no_saved_task(operation, kind, how):
    run_isolated(SCRIPT, operation, how, kind)


@failing
def test_failing_allocations_leave_no_loaded_module():
    # Without any memory CPython doesn't survive what importing does in Python.
    run_isolated(SCRIPT, "LoadsImport", "once")


REPEATED = """
    resume resume_softly throw throw_softly kill kill_softly drop drop_softly dump dump_softly
    load_and_run load_and_kill load_and_drop load_and_dump load_damaged copy_deeply never_loaded
    lost lost_softly refused load_damaged_state load_by_reference load_sealed look_inside talk
    end_channel switch copy_generators
""".split()


@pytest.mark.parametrize("operation", REPEATED)
def test_memory_does_not_grow_when_repeated(operation):
    run_isolated(GROWS, operation)


@pytest.mark.skipif(not hasattr(sys, "gettotalrefcount"), reason="only debug builds count them")
@pytest.mark.parametrize("operation", REPEATED)
def test_references_do_not_grow_when_repeated(operation):
    run_isolated(GROWS, operation, "references")


def test_loading_lets_go_of_the_context():
    """A loaded task is given the context it is loaded in, and drops the one it was made with."""
    task, outcome = programs.start(programs.find("loops:nest_loops"))
    task.run()
    data = pickle.dumps((task, outcome))
    programs.end(task)
    context = contextvars.copy_context()
    before = sys.getrefcount(context)
    for _ in range(20):
        programs.end(context.run(pickle.loads, data)[0])
    assert sys.getrefcount(context) == before
