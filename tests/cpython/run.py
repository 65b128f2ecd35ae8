"""Runs a module of CPython's own tests, and notes how each test ends.

    python run.py inside|outside densely|sparsely MODULE FILE [TEST ...]

Inside, each test runs in a tasklet of its own, softened at each switch where that is possible, and
so does each thread that a test starts. Another tasklet keeps it company and does nothing but go
back: whatever the test does, it is suspended all the time, where switches.py says. Now and then a
suspended test is captured, as for a pickle, which must not change anything either. Outside,
everything is the same, but pickletask isn't even imported.

FILE gets a line of JSON for each test that starts or ends, and one at the end. TESTs are ids of
tests; without any all of them run.
"""

import gc
import importlib
import json
import os
import random
import sys
import threading
import unittest

import switches

# As many frames as tests that look at their callers' frames expect to have.
DEPTH = 5

CAPTURE_EACH = 7


class Recorder(unittest.TestResult):
    """Writes how tests end: at once, so that it is known which one crashed."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.pid = os.getpid()

    def note(self, **line):
        """Write a line, unless this is a process that a test has forked."""
        if os.getpid() == self.pid:
            self.file.write(json.dumps(line).encode() + b"\n")

    def end(self, test, outcome, error=None):
        text = self._exc_info_to_string(error, test) if error else ""
        self.note(test=test.id(), outcome=outcome, text=text)

    def startTest(self, test):
        super().startTest(test)
        self.note(started=test.id())

    def addSuccess(self, test):
        self.end(test, "ok")

    def addError(self, test, err):
        self.end(test, "error", err)

    def addFailure(self, test, err):
        self.end(test, "fail", err)

    def addSkip(self, test, reason):
        self.end(test, "skip")

    def addExpectedFailure(self, test, err):
        self.end(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        self.end(test, "unexpected success")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.end(test, "fail" if failed else "error", err)


def call_deep(depth, function, *args, **kwargs):
    """Call FUNCTION with DEPTH frames below it."""
    if depth > 1:
        call_deep(depth - 1, function, *args, **kwargs)
    else:
        function(*args, **kwargs)


class Company:
    """Runs functions in tasklets, each with a companion, and counts how often they are suspended.

    Attributes:
        suspended: how often one was, and its companion ran.
        soft: how often nothing but Python code stood on its stack then.
        captured: how often its frames were captured.
        refused: how often they should have been, but weren't.
    """

    def __init__(self):
        self.suspended = self.soft = self.captured = self.refused = 0

    def call(self, function, *args, **kwargs):
        """Call FUNCTION in a tasklet, unless this is one; it returns nothing."""
        if not pickletask.getcurrent().is_main:
            function(*args, **kwargs)
            return
        task = pickletask.tasklet(call_deep)(DEPTH, function, *args, **kwargs)
        pickletask.tasklet(self.keep)(task)
        pickletask.run()

    def keep(self, task):
        """Go back to TASK until it has ended: what each companion does.

        It calls no Python function: profilers of tests would see that.
        """
        while task.alive:
            try:
                while task.alive:
                    self.suspended += 1
                    if task.restorable:
                        self.soft += 1
                        # A test that turns the collector off counts what is allocated.
                        if self.soft % CAPTURE_EACH == 0 and gc.isenabled():
                            try:
                                task.__reduce_ex__(4)
                                self.captured += 1
                            except pickletask.NotPicklableError:
                                self.refused += 1
                    pickletask.schedule()
            except KeyboardInterrupt:
                # A signal reaches whoever runs; this one is meant for the test.
                task.raise_exception(KeyboardInterrupt)

    def surround(self, cls, name, call):
        """Replace the method NAME of CLS: it has CALL(instance, ...) run in a tasklet."""

        def call_in_tasklet(instance, /, *args, **kwargs):
            self.call(call, instance, *args, **kwargs)

        setattr(cls, name, call_in_tasklet)


def find_tests(suite, wanted):
    """The tests in a suite whose ids are in WANTED, or all, as a flat list."""
    found = []
    for test in suite:
        if isinstance(test, unittest.BaseTestSuite):
            found += find_tests(test, wanted)
        elif not wanted or test.id() in wanted:
            found.append(test)
    return found


def main(where, how, module, path, *wanted):
    """Run the tests and write the file."""
    sys.dont_write_bytecode = True
    company = Company()
    if where == "inside":
        pickletask.set_parked_limit(0)
        company.surround(unittest.TestCase, "__call__", unittest.TestCase.__call__)
        company.surround(threading.Thread, "_bootstrap_inner", threading.Thread._bootstrap_inner)
        switches.install(pickletask.schedule, how)
    else:
        switches.install(sys.is_finalizing, how)

    from test import support

    support.use_resources = []
    support.record_original_stdout(sys.stdout)
    random.seed(0)
    with open(path, "ab", buffering=0) as file:
        recorder = Recorder(file)
        loader = unittest.TestLoader()
        suite = loader.loadTestsFromModule(importlib.import_module("test." + module))
        assert not loader.errors, "\n".join(loader.errors)
        unittest.TestSuite(find_tests(suite, wanted)).run(recorder)
        recorder.note(counts=vars(company))


if __name__ == "__main__":
    if sys.argv[1] == "inside":
        import pickletask
    main(*sys.argv[1:])
