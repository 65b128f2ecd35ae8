"""Runs the test suite with a tool that watches memory.

    python .ci/test_tool.py asan|valgrind [PYTEST-ARGUMENT ...]

asan: pickletask is compiled for AddressSanitizer and UndefinedBehaviorSanitizer. Their run-time
library comes with the compiler (gcc's libasan, clang's compiler-rt) and must be loaded before
Python, in children too. A finding aborts its process. CPython is not compiled so: it is watched
where it allocates memory and where it calls what the library replaces.

valgrind: memcheck watches all of a process, CPython included, and takes some thirty times as
long. It watches pytest and those children of the tests that run scripts of theirs, not what these
start in turn. Its findings are printed at the end; valgrind.supp names those that are CPython's.

The tests find in $PICKLETASK_TEST_SLOWDOWN how many times slower they run: they wait longer, and
repeat less. What CPython itself counts as allocated they can't look at: all comes from malloc().
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import env
from common import ROOT, Failure

HERE = Path(__file__).resolve().parent

# Lines and whole stacks in what the tools say.
READABLE = "-O1 -g -fno-omit-frame-pointer"
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=all"


def output_of(*command):
    """What COMMAND prints; nothing if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def asan_library(compiler, flags):
    """The path of the library that COMPILER links with by FLAGS."""
    with tempfile.TemporaryDirectory(prefix="pickletask-") as folder:
        source, module = Path(folder, "empty.c"), Path(folder, "empty.so")
        source.write_text("int empty;\n")
        output_of(*compiler, *flags.split(), "-shared", "-fPIC", source, "-o", module)
        linked = output_of("ldd", module)
    for line in linked.splitlines():
        name, _, path = line.strip().partition(" => ")
        if "asan" in name:
            # The loader doesn't look where clang keeps it.
            found = output_of(*compiler, f"-print-file-name={name}").strip()
            return path.partition(" (")[0] if path.startswith("/") else found
    raise Failure(
        f"{compiler[0]} cannot link for AddressSanitizer: install its run-time library "
        "(gcc: libasan; clang: compiler-rt)"
    )


def asan(findings):
    """What to compile with and to link with, variables, and the command that is Python.

    Findings go to files in the folder FINDINGS: pytest would swallow those of its own process.
    """
    compiler = env.find_compiler()
    is_clang = "clang" in output_of(*compiler, "--version")
    flags = SANITIZERS + " -shared-libasan" * is_clang
    # A crash is to remain one: some tests make one, and faulthandler says more about the others.
    options = f"log_path={findings}/log:abort_on_error=1:handle_segv=0:handle_sigbus=0"
    variables = {
        "LD_PRELOAD": asan_library(compiler, flags),
        # CPython never frees all that it has.
        "ASAN_OPTIONS": f"{options}:detect_leaks=0:detect_stack_use_after_return=0"
        ":allocator_may_return_null=1",
        "UBSAN_OPTIONS": f"{options}:print_stacktrace=1",
        "PICKLETASK_TEST_SLOWDOWN": "2",
    }
    return f"{READABLE} {flags}", flags, variables, ["python"]


def valgrind(findings):
    """The same for valgrind."""
    program = shutil.which("valgrind")
    if program is None:
        raise Failure("valgrind not found: install it, with its headers")
    include = Path(program).resolve().parent.parent / "include"
    if not (include / "valgrind" / "memcheck.h").exists():
        raise Failure(f"no {include}/valgrind/memcheck.h: install valgrind's development files")
    command = [program, "--quiet", "--leak-check=no", "--num-callers=30", "--vgdb=no"]
    command += ["--error-exitcode=99", f"--log-file={findings}/log.%p", "--keep-debuginfo=yes"]
    command += [f"--suppressions={HERE / 'valgrind.supp'}"]
    variables = {
        "PICKLETASK_TEST_SLOWDOWN": "30",
        "PICKLETASK_TEST_VALGRIND": shlex.join(command),
    }
    flags = f"{READABLE} -DPICKLETASK_VALGRIND -idirafter {include}"
    return flags, "", variables, [*command, "python"]


def findings_of(path):
    """What a tool says in its file at PATH, but for sizes that damaged pickles ask for in vain."""
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if "Sanitizer failed to allocate" not in line)


TOOLS = {"asan": asan, "valgrind": valgrind}


def main():
    """Run the suite; the status for the shell."""
    tool, *arguments = sys.argv[1:] or [""]
    if tool not in TOOLS:
        raise Failure(f"no tool {tool!r}; there are {', '.join(TOOLS)}")
    with tempfile.TemporaryDirectory(prefix="pickletask-") as folder:
        cflags, ldflags, variables, python = TOOLS[tool](folder)
        variables["PYTHONMALLOC"] = "malloc"
        command = [sys.executable, HERE / "env.py", "--asserts", "--tool", tool, "--extras", "test"]
        command += ["--", "env", "-u", "CFLAGS", "-u", "LDFLAGS"]
        command += [f"{name}={value}" for name, value in variables.items()]
        command += [*python, "-P", "-m", "pytest", *arguments]
        environment = dict(os.environ)
        for name, flags in ("CFLAGS", cflags), ("LDFLAGS", ldflags):
            environment[name] = " ".join(filter(None, [flags, os.environ.get(name)]))
        done = subprocess.run(command, cwd=ROOT, env=environment)
        findings = [findings_of(path) for path in sorted(Path(folder).iterdir())]
    findings = list(filter(None, findings))
    for text in findings:
        print(text)
    if findings:
        print(f"pickletask: {tool} has found errors in {len(findings)} processes", file=sys.stderr)
    return done.returncode or bool(findings)


if __name__ == "__main__":
    common.main(main)
