"""Runs the suite on every supported Python found, each in its own environment, and sums up.

    python .ci/test_all.py [--pythons "PATH ..."] [--flavours ...] [--jobs N] [PYTEST ARGUMENT ...]

Two suites run at a time; each line of output begins with the name of its Python. What pytest says
of tests that failed is repeated at the end, where one looks first. The last line is the test
runner's own closing line: of the first suite that failed, or of the last one. The status is 1 if
any failed, or if none was found.

--flavours runs the suite in other ways that an interpreter can be started, see FLAVOURS, "all" or
some of them separated by commas: on the newest release build found, or on those named.

Where the environment says CI=true, the search has to find a release build of every supported minor
and debug builds of the newer ones: a machine that lacks one would test less than it seems.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
from common import Failure

ENV = Path(__file__).with_name("env.py")
# "=== FAILURES ===", and the heading after it, which ends what is said of them.
FAILURES = re.compile(r"=+ (FAILURES|ERRORS) =+$")
HEADING = re.compile(r"=+ .* =+$")
REPEATED = 50  # lines of a suite, the last ones: they end with the names of all that failed
# "==== 12 passed, 1 skipped in 3.45s ====", with -q bare.
CLOSING_LINE = re.compile(r"(=+ )?(\d+ [a-z]+\b.*|no tests ran) in \d[\d.]*s\b[^=]*( =+)?$")

# The variables do what -X dev and the like do, and reach the processes that tests start.
FLAVOURS = {
    "dev": {"PYTHONDEVMODE": "1"},
    "importtime": {"PYTHONPROFILEIMPORTTIME": "1"},
    "hashseed": {"PYTHONHASHSEED": "0"},
    "perf": {"PYTHONPERFSUPPORT": "1"},
    "jit": {"PYTHON_JIT": "1"},
}

# With it, CPython calls every Python function through C: fewer calls go into the recursion limit.
# It keeps memory for each code object that ever ran; and a first call for which there's no memory
# goes on with the MemoryError set, without pickletask as well. Tests of either are left out.
LEFT_OUT_WITH_PERF = [
    "--deselect=tests/test_memory.py",
    "--deselect=tests/test_readme.py::test_examples_print_what_they_say[docs/stacks.rst-kept]",
    "--deselect=tests/test_readme.py::test_examples_print_what_they_say[docs/stacks.rst-soft]",
    "--deselect=tests/test_fiber.py::test_deep_recursion_raises",
    "--deselect=tests/test_fiber.py::test_process_survives[collector_interferes-kept]",
    "--deselect=tests/test_fiber.py::test_process_survives[collector_interferes-soft]",
    "--deselect=tests/test_tasklet.py::test_recursion_deep_survives_switches",
    "--deselect=tests/test_tasklet.py::test_recursion_depth_is_each_tasklets_own",
]


# What the asserts of a debug build have most to say about. The rest takes hours there.
QUICK_DEBUG = [
    f"tests/test_{name}.py" for name in "tasklet channel scheduler tracing fiber iterators".split()
]


class Suite:
    """One run of the suite, and what became of it."""

    def __init__(self, interpreter, flavour=None):
        self.interpreter = interpreter
        self.name = " ".join(filter(None, [interpreter.name, flavour]))
        self.variables = FLAVOURS[flavour] if flavour else {}
        self.left_out = LEFT_OUT_WITH_PERF if flavour == "perf" else []
        self.status, self.closing, self.seconds = None, None, 0
        self.failures = []  # lines

    def run(self, arguments):
        """Run pytest with ARGUMENTS, its output passed on line by line."""
        command = [self.interpreter.executable, str(ENV), "--asserts", "--extras", "test", "--"]
        # Only the suite is to see the variables, not the build.
        command += ["env", *(f"{name}={value}" for name, value in self.variables.items())]
        command += ["pytest", "--color=no", *self.left_out, *arguments]
        started = time.monotonic()
        repeats = False
        with subprocess.Popen(
            command,
            cwd=common.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout:
                # Those of -X importtime hide all others.
                if line.startswith("import time:"):
                    continue
                line = line.rstrip()
                # In one piece: the other suite writes, too.
                sys.stdout.write(f"{self.name} | {line}\n")
                sys.stdout.flush()
                if HEADING.match(line):
                    repeats = FAILURES.match(line) is not None
                if repeats or line.startswith(("FAILED ", "ERROR ")):
                    self.failures.append(line)
                if CLOSING_LINE.match(line):
                    self.closing = line
        self.status = process.returncode
        self.seconds = time.monotonic() - started

    @property
    def failed(self):
        """Whether anything failed, or nothing was tested."""
        return self.status != 0 or self.closing is None

    def __str__(self):
        verdict = f"FAILED ({self.status})" if self.failed else "passed"
        summary = (self.closing or "no test ran").strip("= ")
        where = self.interpreter.executable
        return f"{verdict}  {self.name} ({where}): {summary}; with the build {self.seconds:.0f}s"


def has_flavour(interpreter, flavour):
    """Whether INTERPRETER can be run in FLAVOUR."""
    return {"perf": interpreter.perf, "jit": interpreter.jit}.get(flavour, True)


def flavour_names(text):
    """The flavours that TEXT of the command line names; Failure for one that is none."""
    names = list(FLAVOURS) if text == "all" else text.split(",")
    for name in names:
        if name not in FLAVOURS:
            raise Failure(f"no flavour {name!r}; there are {', '.join(FLAVOURS)}, and all")
    return names


def check_complete(interpreters):
    """Failure unless INTERPRETERS are all that the project is to be tested with."""
    found = {(each.version[1], each.debug) for each in interpreters}
    minors = common.supported_minors()
    lacking = [f"Python 3.{minor}" for minor in minors if (minor, False) not in found]
    lacking += [
        f"a debug build of 3.{minor}"
        for minor in minors
        if minor >= common.DEBUG_SINCE and (minor, True) not in found
    ]
    if lacking:
        raise Failure(
            f"CI=true, and {', '.join(lacking)} not found: not everything would be tested; "
            'make pythons ARGS="--debug" brings those that Debian has'
        )


def run_all(suites, arguments, jobs, quick_debug):
    """Run the SUITES, JOBS at a time; debug builds, which take longest, come first."""

    def run(suite):
        quick = quick_debug and suite.interpreter.debug
        suite.run([*arguments, *QUICK_DEBUG] if quick else arguments)

    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        order = sorted(suites, key=lambda suite: not suite.interpreter.debug)
        list(pool.map(run, order))
    finally:
        pool.shutdown(cancel_futures=True)


def main():
    """Test all, print the table; the status for the shell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--pythons", default="", help="these interpreters only")
    parser.add_argument("--flavours", help=f"some of {', '.join(FLAVOURS)}, or all")
    parser.add_argument(
        "--quick-debug", action="store_true", help="only some files with debug builds"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many suites run at a time")
    options, arguments = parser.parse_known_args()
    named = shlex.split(options.pythons)
    flavours = flavour_names(options.flavours) if options.flavours else []
    interpreters = common.find_interpreters(named)
    left_out = [each for each in interpreters if each.lack]
    if named and left_out:
        raise Failure(f"{left_out[0]} has {left_out[0].lack}")
    interpreters = [each for each in interpreters if not each.lack]
    if not interpreters:
        minors = common.supported_minors()
        lacks = "".join(f"; {each} has {each.lack}" for each in left_out)
        raise Failure(f"no CPython 3.{minors[0]} to 3.{minors[-1]} found to test with{lacks}")
    if os.environ.get("CI") == "true" and not named:
        check_complete(interpreters)
    if flavours:
        if not named:
            interpreters = [max(interpreters, key=lambda each: (not each.debug, each.version))]
        left_out = []
    pairs = [(each, flavour) for each in interpreters for flavour in flavours or [None]]
    suites = [Suite(*pair) for pair in pairs if has_flavour(*pair)]
    run_all(suites, arguments, max(options.jobs, 1), options.quick_debug)
    for suite in suites:
        if suite.failures:
            print(f"\n##### {suite.name}")
            print(*suite.failures[-REPEATED:], sep="\n")
    print("\n##### all")
    for interpreter in left_out:
        print(f"left out  {interpreter}: {interpreter.lack}")
    for interpreter, flavour in pairs:
        if not has_flavour(interpreter, flavour):
            print(f"left out  {interpreter} has no {flavour}")
    for suite in suites:
        print(suite)
    failed = [suite for suite in suites if suite.failed]
    print((failed or suites)[0 if failed else -1].closing or "")
    return 1 if failed else 0


if __name__ == "__main__":
    common.main(main)
