"""Random programs, run straight through and in copies made wherever they suspend: the same trace.

``HYPOTHESIS_PROFILE=fuzz`` runs thousands. The programs are written in differential.py.
"""

import itertools
import pickle
import sys

import differential
import programs
import pytest
from conftest import SLOWDOWN
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

import pickletask

COPIES = list(programs.picklers())
NUMBERS = itertools.count()

given_programs = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                           HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much,
                           HealthCheck.large_base_example],
)  # fmt: skip


def check(source, copy, module=None, warm=0):
    """Compare the traces of one program; is it one that suspends?"""
    expected = differential.reference(source, module)
    assume(expected is not None)
    for _ in range(warm):
        trace = []
        task, outcome = differential.start(source, module)
        while programs.step(task, outcome, trace):
            pass
        assert trace == expected
    got = differential.run_and_resume(source, copy, module)
    assert got == expected, difference(got, expected)


def difference(got, expected):
    """Where two traces part."""
    for number, (a, b) in enumerate(itertools.zip_longest(got, expected)):
        if a != b:
            return f"step {number} of {len(expected)}:\n  got      {a}\n  expected {b}"


@given_programs
@given(source=differential.sources(global_writes=True), way=st.sampled_from(COPIES))
def test_program_by_value_resumes_in_copies_at_every_suspension(mode, source, way):
    note(f"{way[0]}, {sys.version}\n{source}")
    check(source, way[1])


@given_programs
@given(
    source=differential.sources(global_writes=False),
    way=st.sampled_from(COPIES),
    warm=st.sampled_from([0, 30]),
)
def test_program_in_a_module_resumes_in_copies_at_every_suspension(
    mode, tmp_path, monkeypatch, source, way, warm
):
    note(f"{way[0]}, warmed up {warm} times, {sys.version}\n{source}")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"generated_{next(NUMBERS)}"
    differential.write_module(source, tmp_path, module)
    try:
        check(source, way[1], module, warm)
    finally:
        differential.forget(module)


def batch(count, global_writes):
    """COUNT programs that suspend, always the same ones."""
    found = []

    @settings(
        max_examples=count * 3, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(differential.sources(global_writes))
    def collect(source):
        if len(found) < count and source not in found:
            trace = differential.reference(source)
            if trace is not None and 3 <= len(trace) <= 20:
                found.append(source)

    collect()
    assert len(found) == count
    return found


@pytest.mark.parametrize("place", ["by value", "in a module"])
def test_programs_resume_in_fresh_processes_at_every_suspension(
    mode, place, tmp_path, run_isolated
):
    count = 300 if settings.default.max_examples >= 1000 else max(30 // SLOWDOWN, 3)
    entries, expected = [], []
    for number, source in enumerate(batch(count, place == "by value")):
        module = None if place == "by value" else f"generated_{number}"
        entries.append(
            {
                "source": source,
                "module": module,
                "dumps": ("C", "Python", "pickletask")[number % 3],
                "protocol": 2 + number // 3 % 4,
                "data": None,
                "trace": [],
            }
        )
        expected.append(differential.reference(source))
        if module:
            differential.write_module(source, tmp_path, module)
    programs.hop(entries, tmp_path, run_isolated, mode=mode, env={"GENERATED": str(tmp_path)})
    for entry, trace in zip(entries, expected, strict=True):
        assert "error" not in entry, f"{entry['source']}\n{entry['error']}"
        assert entry["trace"] == trace, f"{entry['source']}\n{difference(entry['trace'], trace)}"


def test_harness_notices_a_difference():
    """A copy that goes wrong is found: here one that forgets the last entry of the log."""

    def forget(pair):
        task, outcome = pickle.loads(pickle.dumps(pair))
        frame = task.frame
        while "log" not in frame.f_locals:
            frame = frame.f_back
        del frame.f_locals["log"][-1:]
        return task, outcome

    source = (
        "def program(suspend, log):\n    log.append(1)\n    log.append(suspend(2))\n    return 3\n"
    )
    with pytest.raises(AssertionError, match="expected"):
        check(source, forget)
    check(source, pickletask_copy)


def pickletask_copy(pair):
    return pickletask.loads(pickletask.dumps(pair))
