"""Runs the suite on every supported Python found, each in its own environment, and sums up.

    python .ci/test_all.py [--pythons "PATH ..."] [PYTEST ARGUMENT ...]

The last line is the test runner's own closing line: of the first interpreter that failed, or of the
last one. The status is 1 if any failed, or if none was found.
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import common
from common import Failure

ENV = Path(__file__).with_name("env.py")
# "==== 12 passed, 1 skipped in 3.45s ====", with -q bare.
CLOSING_LINE = re.compile(r"(=+ )?(\d+ [a-z]+\b.*|no tests ran) in \d[\d.]*s\b[^=]*( =+)?$")


def run_suite(interpreter, arguments):
    """Run pytest with INTERPRETER, its output passed on; (status, the closing line or None)."""
    command = [interpreter.executable, str(ENV), "--asserts", "--extras", "test", "--"]
    command += ["pytest", "--color=no", *arguments]
    closing = None
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
            sys.stdout.write(line)
            sys.stdout.flush()
            if CLOSING_LINE.match(line.rstrip()):
                closing = line.rstrip()
    return process.returncode, closing


def main():
    """Test all, print the table; the status for the shell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pythons", default="", help="these interpreters only")
    options, arguments = parser.parse_known_args()
    named = shlex.split(options.pythons)
    interpreters = common.find_interpreters(named)
    left_out = [each for each in interpreters if each.lack]
    if named and left_out:
        raise Failure(f"{left_out[0]} has {left_out[0].lack}")
    tested = []
    for interpreter in interpreters:
        if interpreter.lack:
            continue
        print(f"\n##### {interpreter}", flush=True)
        started = time.monotonic()
        status, closing = run_suite(interpreter, arguments)
        tested.append((interpreter, status, closing, time.monotonic() - started))
    if not tested:
        minors = common.supported_minors()
        lacks = "".join(f"; {each} has {each.lack}" for each in left_out)
        raise Failure(f"no CPython 3.{minors[0]} to 3.{minors[-1]} found to test with{lacks}")
    print("\n##### all")
    for interpreter in left_out:
        print(f"left out  {interpreter}: {interpreter.lack}")
    for interpreter, status, closing, seconds in tested:
        verdict = "passed" if status == 0 and closing else f"FAILED ({status})"
        summary = (closing or "no test ran").strip("= ")
        print(f"{verdict}  {interpreter}: {summary}; with the build {seconds:.0f}s")
    failed = [each for each in tested if each[1] != 0 or each[2] is None]
    print((failed or tested[-1:])[0][2] or "")
    return 1 if failed else 0


if __name__ == "__main__":
    common.main(main)
