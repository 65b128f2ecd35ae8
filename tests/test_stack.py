"""Builds the C test of the stack layer in several ways and runs each of its tests in a process.

The layer knows nothing of Python, and so does its test: see ``tests/c/test_stack.c``.
"""

import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
from conftest import SLOWDOWN, VALGRIND

ROOT = Path(__file__).resolve().parent.parent
STACK = ROOT / "src" / "stack"
SOURCE = ROOT / "tests" / "c" / "test_stack.c"
SKIPPED = 77

WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
    "-Werror=undef",
    "-Werror=implicit-function-declaration",
]

# Every limit shrunk, so that what's rare happens all the time.
HOSTILE = [
    "-DSTACK_SCRIBBLE",
    "-DSTACK_ARENA_FIRST=1",
    "-DSTACK_ARENA_LIMIT=1",
    "-DSTACK_HOT_LIMIT=1",
    "-DSTACK_WARM_LIMIT=1",
]

# The n-th call for memory fails, for every n; needs the GNU linker's --wrap.
FAILING = ["-DFAIL_ON_DEMAND", "-DSTACK_SCRIBBLE"] + [
    "-Wl,--wrap=" + name for name in ("calloc", "mmap", "munmap", "mprotect", "madvise")
]

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DSTACK_SCRIBBLE"]

# Callers sign their return addresses, and are entered at marks, where the processor knows these.
PROTECTED = {
    "x86_64": ["-O2", "-fcf-protection=branch"],
    "aarch64": ["-O2", "-mbranch-protection=standard"],
}

BUILDS = {
    "release": ["-O3", "-flto", "-DNDEBUG"],
    "asserts": ["-O2"],
    "hostile": ["-O0", *HOSTILE],
    "failing": ["-O0", *FAILING],
    "sanitized": ["-O1", *SANITIZERS],
    "protected": PROTECTED.get(platform.machine(), ["-O2"]),
}

# What a compiler or system may lack.
OPTIONAL = {"release", "failing", "sanitized", "protected"}

if VALGRIND:
    BUILDS["valgrind"] = ["-O1", "-DPICKLETASK_VALGRIND"]

# The programs have sanitizers of their own, or are to have none.
ENVIRONMENT = {
    name: text
    for name, text in os.environ.items()
    if name not in ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS")
}

TESTS = re.findall(r"^    TEST\((\w+)\)", SOURCE.read_text(encoding="utf-8"), re.M)


def compiler():
    """Return the command of the C compiler: $CC, the one that built Python, or cc."""
    for command in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    pytest.skip("there's no C compiler")


def compile_program(flags, sources, program):
    """Run the compiler; return the completed process."""
    command = [
        *compiler(),
        "-std=gnu11",
        "-g",
        *WARNINGS,
        *flags,
        f"-I{STACK.parent}",
        *map(str, sources),
        "-o",
        str(program),
        "-lm",
        "-pthread",
    ]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module", params=BUILDS)
def program(request, tmp_path_factory):
    """Build the test in one of the ways and return the path of the program."""
    directory = tmp_path_factory.mktemp("stack")
    flags = BUILDS[request.param]
    if request.param in OPTIONAL:
        empty = directory / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        tried = compile_program(flags, [empty], directory / "empty")
        if tried.returncode != 0:
            pytest.skip(f"the compiler can't make this build: {tried.stderr[-300:]}")
    sources = [SOURCE, SOURCE.parent / "registers.S"]
    sources += sorted(STACK.glob("*.c")) + sorted(STACK.glob("*.S"))
    path = directory / request.param
    built = compile_program(flags, sources, path)
    assert built.returncode == 0, built.stderr
    assert built.stderr == "", "compiler warnings"
    return path


@pytest.mark.parametrize("name", TESTS)
def test_stack(program, name):
    """Run one test of the C program."""
    command = VALGRIND if program.name == "valgrind" else []
    done = subprocess.run(
        [*command, str(program), name],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600 * SLOWDOWN,
        errors="replace",
    )
    if done.returncode == SKIPPED:
        pytest.skip("not in this build or system")
    if done.returncode < 0:
        done.stderr += f"\nkilled by {signal.Signals(-done.returncode).name}"
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"passed {name}\n"


def test_every_test_is_listed():
    """A C test that the table doesn't name would never run."""
    text = SOURCE.read_text(encoding="utf-8")
    defined = set(re.findall(r"^static enum outcome\n(\w+)\(void\)", text, re.M))
    assert defined == set(TESTS)
    assert len(TESTS) == len(defined) > 20
