"""No test of the suite leaks memory, however often it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
# The tests of pickling and of memory count for themselves, for all of their cases at once.
MODULES = (
    "test_tasklet.py",
    "test_channel.py",
    "test_scheduler.py",
    "test_tracing.py",
)

LEAKING = """
import pytest

kept = []


def test_leaks():
    kept.append(object())


def test_does_not():
    del kept[:]
"""


def run_with_plugin(*arguments, seconds="inf"):
    """Run pytest with the plugin in a fresh process; return its exit status and output."""
    paths = os.pathsep.join([str(TESTS / "isolated"), *sys.path])
    environment = dict(os.environ, PYTHONPATH=paths, LEAK_SECONDS=str(seconds))
    # Allocators that tools prescribe don't count.
    environment["PYTHONMALLOC"] = "default"
    # What pytest itself collects of each test would count: output, and errors nobody raises.
    left_out = ("cacheprovider", "unraisableexception", "threadexception")
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "leak_plugin"]
    command += [f"-pno:{name}" for name in left_out]
    result = subprocess.run(
        [*command, *map(str, arguments)],
        env=environment,
        cwd=TESTS,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


def test_sample_of_the_suite_does_not_leak():
    status, output = run_with_plugin(*MODULES, seconds=20)
    assert status == 0 and " passed" in output, output[-4000:]


@pytest.mark.skipif(
    "PICKLETASK_TEST_LEAKS" not in os.environ,
    reason="takes minutes; a sample is always tried: PICKLETASK_TEST_LEAKS=1 runs it",
)
@pytest.mark.parametrize("module", MODULES)
def test_suite_does_not_leak(module):
    status, output = run_with_plugin(module)
    assert status == 0, output[-4000:]


def test_plugin_finds_a_leak(tmp_path):
    (tmp_path / "test_made_to_leak.py").write_text(LEAKING)
    status, output = run_with_plugin(tmp_path / "test_made_to_leak.py", "--rootdir", tmp_path)
    assert status == 1
    assert "leaks: " in output
    assert "1 failed, 1 passed" in output
