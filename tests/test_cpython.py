"""CPython's own tests end in tasklets as they do outside of them: see cpython/run.py.

Those of REST take minutes: PICKLETASK_TEST_CPYTHON=1 runs them.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from conftest import run_isolated

QUICK = """
    test_generators test_coroutines test_asyncgen test_contextlib test_contextlib_async test_with
    test_exceptions test_sys_settrace test_sys_setprofile test_monitoring test_copy test_traceback
""".split()
REST = """
    test_sys test_gc test_weakref test_pickle test_threading test_inspect test_context test_descr
    test_frame test_grammar test_patma test_super test_scope test_functools test_typing
    test_asyncio.test_base_events test_asyncio.test_context test_asyncio.test_eager_task_factory
    test_asyncio.test_futures test_asyncio.test_locks test_asyncio.test_pep492
    test_asyncio.test_queues test_asyncio.test_runners test_asyncio.test_selector_events
    test_asyncio.test_sock_lowlevel test_asyncio.test_streams test_asyncio.test_subprocess
    test_asyncio.test_taskgroups test_asyncio.test_tasks test_asyncio.test_threads
    test_asyncio.test_timeouts test_asyncio.test_unix_events test_asyncio.test_waitfor
""".split()

# The tests that can't end the same, and why.
DIFFERENT = {
    "test.test_generators.GeneratorTest.test_pickle": "generators can be pickled",
    "test.test_coroutines.CoroutineTest.test_pickle": "coroutines can be pickled",
    **{
        f"test.test_pickle.{case}.{test}": "methods that stand in a class can be pickled"
        for case in """CDumpPickle_LoadPickle CPicklerTests DumpPickle_CLoadPickle
            InMemoryPickleTests PyPicklerTests""".split()
        for test in ("test_c_methods", "test_py_methods")
    },
}
if sys.version_info < (3, 14):
    DIFFERENT["test.test_typing.SpecialAttrsTests.test_special_attrs2"] = (
        "code can be pickled, which it has"
    )

# There the companion is traced or profiled, too: it may be told that a test can be captured, and a
# callback of the test, which runs before it is, lets the test go on to where it can't.
TRACING = {"test_monitoring", "test_sys_setprofile", "test_sys_settrace", "test_threading"}


class Results:
    """How the tests of a module ended in a process of their own.

    Attributes:
        outcomes: lists by test, for one can fail several times: in each of its parts.
        texts: the tracebacks, as lists by test.
        counts: what happened how often, a dict of the attributes of class Company in run.py.
    """

    def __init__(self, file, where, how, module, tests=()):
        """Run them, or only TESTS; the other arguments are those of run.py."""
        self.outcomes, self.texts = {}, {}
        script = Path("cpython/run.py")
        file.write_bytes(b"")
        try:
            run_isolated(
                script, where, how, module, file, *tests, timeout=1000, env={"PYTHONHASHSEED": "0"}
            )
        except pytest.fail.Exception as failure:
            started = [line["started"] for line in read(file) if "started" in line]
            pytest.fail(f"{where}, in {started[-1:]}: {failure}", pytrace=False)
        for line in read(file):
            if "outcome" in line:
                self.outcomes.setdefault(line["test"], []).append(line["outcome"])
                self.texts.setdefault(line["test"], []).append(line["text"])
            elif "counts" in line:
                self.counts = line["counts"]

    def failing(self):
        """The tests that fail."""
        return [test for test, ends in self.outcomes.items() if {"fail", "error"} & set(ends)]


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def compare(outside, inside):
    """The differences of two Results: texts by test."""
    differences = {}
    for test in {**outside.outcomes, **inside.outcomes}:
        ends = outside.outcomes.get(test), inside.outcomes.get(test)
        if ends[0] != ends[1]:
            texts = "".join(outside.texts.get(test, []) + inside.texts.get(test, []))
            differences[test] = f"{test}: outside {ends[0]}, inside {ends[1]}\n{texts}"
    return differences


def run_both(file, how, module, tests=()):
    """Run tests outside and inside; (both Results, the differences that don't come by chance)."""
    differences = None
    # What tests of threads and timeouts do on a busy machine: see whether it differs again.
    for _ in range(2):
        results = [Results(file, where, how, module, tests) for where in ("outside", "inside")]
        again = compare(*results)
        if differences is not None:
            again = {test: text for test, text in again.items() if test in differences}
        differences = again
        if not set(differences) - set(DIFFERENT):
            break
    return *results, differences


def needs_all(module):
    return pytest.param(
        module,
        marks=pytest.mark.skipif(
            "PICKLETASK_TEST_CPYTHON" not in os.environ,
            reason="takes minutes with all others of its kind: PICKLETASK_TEST_CPYTHON=1 runs it",
        ),
    )


@pytest.mark.parametrize("module", [*QUICK, *map(needs_all, REST)])
def test_cpython_test_ends_the_same_in_a_tasklet(module, tmp_path):
    find_or_skip(module)
    file = tmp_path / "results"
    outside, inside, differences = run_both(file, "densely", module)
    assert inside.counts["suspended"] > len(inside.outcomes) > 0
    assert not inside.counts["refused"] or module in TRACING
    print(len(inside.outcomes), "tests,", inside.counts)
    if outside.failing():
        # They fail because of the calls inserted, perhaps.
        outside, inside, more = run_both(file, "sparsely", module, outside.failing())
        differences.update(more)
        print(len(inside.outcomes), "of these again,", inside.counts)
        print("failing without pickletask, too:", *outside.failing())
    known = {test for test in DIFFERENT if test.startswith(f"test.{module}.")}
    assert not (known - set(differences)), "no reason any more to name these"
    different = [text for test, text in differences.items() if test not in known]
    assert not different, "\n".join(different)


def find_or_skip(module):
    """Skip the test unless this interpreter comes with that module of CPython's tests."""
    try:
        found = importlib.util.find_spec(f"test.{module}")
    except ModuleNotFoundError:
        found = None
    if found is None:
        minor = ".".join(map(str, sys.version_info[:2]))
        pytest.skip(
            f"this Python comes without test.{module}; Debian has CPython's tests in "
            f"libpython{minor}-testsuite"
        )


PLANTED = """
import os
import sys
import threading
import unittest

inside = "pickletask" in sys.modules


class Tests(unittest.TestCase):
    def test_same(self):
        self.assertTrue(True)

    def test_parts_differ(self):
        for part in range(4):
            with self.subTest(part=part):
                self.assertFalse(inside and part % 2)

    @unittest.skipIf(inside, "inside")
    def test_skips(self):
        pass

    def test_loops(self):
        for number in range(1000):
            pass

    def test_loops_in_thread(self):
        thread = threading.Thread(target=self.test_loops)
        thread.start()
        thread.join()

    def test_looks_at_itself(self):
        names = self.test_looks_at_itself.__code__.co_names
        self.assertNotIn("__" "switch__", names)

    def test_crashes(self):
        if inside and "crash" in os.environ:
            os.abort()
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Makes PLANTED the module test.test_planted; its tests are named by their last names."""
    find_or_skip("support")
    path = importlib.util.find_spec("test").submodule_search_locations
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"__path__ += {list(path)!r}")
    (folder / "test_planted.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda name: f"test.test_planted.Tests.{name}"


def test_differences_are_found(planted, tmp_path):
    outside, inside, differences = run_both(tmp_path / "results", "densely", "test_planted")
    assert set(differences) == {planted("test_parts_differ"), planted("test_skips")}
    assert outside.outcomes[planted("test_parts_differ")] == ["ok"]
    assert inside.outcomes[planted("test_parts_differ")] == ["fail", "fail"]
    assert outside.failing() == [planted("test_looks_at_itself")]
    # C code calls what a thread runs, from 3.14 on: that can't be soft.
    assert inside.counts["suspended"] > 2000 and inside.counts["soft"] > 1000
    assert inside.counts["captured"] > 100 and not inside.counts["refused"]


def test_tests_run_sparsely_switch_where_they_assert(planted, tmp_path):
    names = [planted("test_same"), planted("test_loops"), planted("test_looks_at_itself")]
    _, inside, differences = run_both(tmp_path / "results", "sparsely", "test_planted", names)
    assert not differences and sorted(inside.outcomes) == sorted(names)
    assert not inside.failing()
    assert inside.counts["suspended"] == inside.counts["soft"] == 2


def test_crash_names_the_test(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("crash", "yes")
    with pytest.raises(pytest.fail.Exception, match=r"inside.*test_crashes.*SIGABRT"):
        run_both(tmp_path / "results", "densely", "test_planted")
