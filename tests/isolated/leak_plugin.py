"""A pytest plugin that runs every test several times and fails those that leak.

A test leaks if the number of allocated blocks goes on growing, by a block in LEAST calls, however
often it is called.  Caches settle, some of them over a thousand calls; a lost reference does not.

LEAK_SECONDS in the environment makes it a sample: what begins after so much CPU time is skipped.
Which come first depends on the version of Python, so that several try more of them.
"""

import gc
import hashlib
import os
import sys
import time

import pytest

WARM = 2
LEAST = 4
# Suspects are tried longer, and again.
ROUNDS = (4, 40, *[160] * 10)

SECONDS = float(os.environ.get("LEAK_SECONDS", "inf"))

# Tests that keep something themselves, and what.
KEEP = {
    "test_throw_raises_where_the_tasklet_stands": "its parameter, an exception, gets tracebacks",
    "test_send_throw_raises_at_the_receiver": "its parameter, an exception, gets tracebacks",
    "test_switch_trap_allows_what_does_not_switch": "its fixture sets the trap once",
    "test_import_in_a_tasklet_switches": "each import makes new code",
    "test_del_error_is_unraisable": "a list of what was unraisable",
    "test_callback_error_is_unraisable": "a list of what was unraisable",
}

# Tests that spend their time in other processes leak there, if at all.
ELSEWHERE = {"run_isolated", "resume_in_fresh_process"}


def pytest_collection_modifyitems(config, items):
    """Leave out what runs elsewhere, is slow, or repeats itself (hypothesis)."""
    kept = []
    for item in items:
        function = getattr(item, "function", None)
        names = set(getattr(getattr(function, "__code__", None), "co_names", ()))
        if ELSEWHERE & (names | set(getattr(item, "fixturenames", ()))):
            continue
        kept_by_itself = item.name.partition("[")[0] in KEEP or hasattr(function, "hypothesis")
        if kept_by_itself or item.get_closest_marker("slow"):
            continue
        kept.append(item)
    if SECONDS != float("inf"):
        kept.sort(key=lambda item: hashlib.sha256((sys.version + item.nodeid).encode()).digest())
    items[:] = kept


def blocks():
    """How many blocks of memory are allocated, garbage not counted."""
    gc.collect()
    gc.collect()
    return sys.getallocatedblocks()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Call the test function several times, and count."""
    if time.process_time() > SECONDS:
        pytest.skip("the time is up")
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.obj(**arguments)
    try:
        for _ in range(WARM):
            pyfuncitem.obj(**arguments)
    except BaseException as error:
        # Its fixtures serve one call only; that one has passed.
        print(f"{pyfuncitem.nodeid} is not repeatable: {error!r}", file=sys.stderr)
        return True
    for rounds in ROUNDS:
        grown = growth(pyfuncitem.obj, arguments, rounds)
        if grown * LEAST < rounds:
            return True
    pytest.fail(f"leaks: {grown} blocks in {rounds} rounds", pytrace=False)


def growth(function, arguments, rounds):
    """How many blocks more are allocated after so many calls."""
    before = blocks()
    for _ in range(rounds):
        function(**arguments)
        if "monkeypatch" in arguments:
            # It remembers every patch until it takes them back.
            arguments["monkeypatch"].undo()
    return blocks() - before
