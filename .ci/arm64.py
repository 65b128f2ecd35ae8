"""Runs the suite on an emulated Debian arm64, and moves pickles between it and this machine.

    python .ci/arm64.py [PYTEST ARGUMENT ...]

For Debian on x86-64, as root: making a Debian takes mounts. Slow, so no part of other goals: a
quarter of an hour to set up, and the suite takes ten times as long as here.

    build/arm64/
        tools/      debootstrap and qemu, where the machine has none: unpacked, not installed
        packages/   what debootstrap has downloaded, until it is done
        tree/       Debian 12 with Python 3.11 and a C compiler; the project's copy in tree/project,
                    what the suite needs in tree/project/build/wheels
        lock        held by the one that runs
        log         what the last tool printed

What is there is not made again; what was interrupted is. No mount is seen outside of the process
that needs it, and whoever ends this script ends all that it started: see PRIVATE. Packages of
Python are downloaded here, with this machine's settings of pip: no other machine needs them. The
one thing that this machine notices is that its kernel runs programs for aarch64 meanwhile.
"""

import contextlib
import fcntl
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import common
import env
import pythons
from common import ROOT, Failure
from env import say

HERE = ROOT / "build" / "arm64"
TREE = HERE / "tree"
SUITE = "bookworm"
PYTHON = "3.11"
PACKAGES = ["python3-dev", "python3-venv", "gcc", "libc6-dev"]

# What asks for more memory than there is: nobody limits it for an emulated process.
LEFT_OUT = [
    f"--deselect=tests/test_corruption.py::{test}"
    for test in (
        "test_damaged_bytes_raise_or_load",
        "test_damaged_bytes_of_our_own_pickler_raise_or_load",
    )
]

# How many times slower everything runs there: the suite waits longer, and repeats less.
SLOWDOWN = 20

# Who became root in some other way than by logging in may lack the last two.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

# Options of env.py, on both machines.
IN_ENVIRONMENT = ["--asserts", "--extras", "test", "--"]

# Before a command that mounts: it gets namespaces of its own, which end with it, and it ends with
# the one who started it, even if that one is killed.
PRIVATE = ["setpriv", "--pdeathsig", "KILL"]
PRIVATE += ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]

# An ELF file of 64 bits, little-endian, a program or a shared object, for the machine 0xB7. P: the
# program sees the argv[0] it was called by. F: the emulator is opened now, as no chroot has it.
MAGIC = r"\x7fELF\x02\x01\x01\x00" + r"\x00" * 8 + r"\x02\x00\xb7\x00"
MASK = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"

# Enters $2 as $1 into the kernel's table of interpreters, for as long as its stdin is open: whoever
# started it may be killed. It keeps the table mounted: where nobody does, entries are lost.
HOLD = """
trap '' INT TERM HUP
table=/proc/sys/fs/binfmt_misc
[ -e "$table/register" ] || mount -t binfmt_misc binfmt_misc "$table" || exit
printf %s "$2" >"$table/register" || exit
echo entered
cat >/dev/null
echo -1 >"$table/$1"
"""


def check_machine():
    """Failure where this can't work, before anything is done."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        machine = f"{platform.system()} on {platform.machine()}"
        raise Failure(f"test-arm64 emulates on Linux on x86-64, this is {machine}; try make test")
    if os.geteuid() != 0:
        raise Failure("test-arm64 needs root: it makes a Debian with debootstrap and chroot")
    for tool in "apt-get", "dpkg-deb":
        if shutil.which(tool) is None:
            raise Failure(f"test-arm64 needs Debian: its mirror is the one of apt; no {tool} here")
    packages = {"wget": "wget", "unshare": "util-linux", "setpriv": "util-linux"}
    for tool, package in packages.items():
        if shutil.which(tool) is None:
            raise Failure(f"{tool} not found; apt-get install {package}")


def run(command, what, where=HERE, **variables):
    """Run a tool, what it prints into the log; Failure if it fails."""
    log = HERE / "log"
    with open(log, "wb") as file:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=where,
            env={**os.environ, "PATH": PATH, **variables},
        )
    if done.returncode != 0:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
        said = [line for line in lines if line[:2] == "E:"] or [line for line in lines if line]
        last = said[-1] if said else f"status {done.returncode}"
        raise Failure(f"{what}: {last} (all of it is in {log.relative_to(ROOT)})")


def tool(package, program):
    """The path of a PROGRAM of Debian, which is downloaded if the machine doesn't have it."""
    found = shutil.which(program, path=PATH)
    if found:
        return Path(found)
    folder = HERE / "tools" / package
    if not folder.exists():
        say(f"downloading {package}")
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        what = f"cannot download {package} (does apt-get update help?)"
        run(["apt-get", "--quiet", "download", package], what, where=new)
        for archive in new.glob("*.deb"):
            run(["dpkg-deb", "--extract", str(archive), str(new)], f"cannot unpack {package}")
            archive.unlink()
        new.rename(folder)
    for place in "usr/bin", "usr/sbin":
        if (folder / place / program).exists():
            return folder / place / program
    raise Failure(f"Debian's package {package} has no {program}")


@contextlib.contextmanager
def emulation():
    """The kernel runs programs for aarch64 while this is entered."""
    emulator = tool("qemu-user-static", "qemu-aarch64-static")
    name = f"pickletask-{os.getpid()}"
    entry = f":{name}:M::{MAGIC}:{MASK}:{emulator}:PF"
    command = ["unshare", "--mount", "sh", "-c", HOLD, "sh", name, entry]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipe) as holder:
        if holder.stdout.readline() != "entered\n":
            said = " ".join(holder.stderr.read().split())
            raise Failure(
                f"the kernel cannot be told to emulate aarch64 by binfmt_misc: {said} (in a "
                "container: is it privileged?)"
            )
        try:
            yield
        finally:
            holder.stdin.close()
            holder.wait()


# ---- the other machine ----------------------------------------------------


def proxies():
    """The proxies that apt is told to use, as the variables that other tools look at."""
    command = ["apt-config", "shell"]
    for scheme in "http", "https":
        command += [f"{scheme}_proxy", f"Acquire::{scheme}::Proxy"]
    told = subprocess.run(command, capture_output=True, text=True).stdout
    pairs = (word.split("=", 1) for word in shlex.split(told))
    return {name: value for name, value in pairs if value != "DIRECT" and name not in os.environ}


def make_tree():
    """Debian for aarch64; half of one doesn't count."""
    if TREE.exists():
        return
    mirrors = pythons.mirrors()
    if not mirrors:
        raise Failure("cannot make a Debian arm64: apt on this machine knows no Debian mirror")
    say(f"making a Debian arm64 in {TREE.relative_to(ROOT)}, from {mirrors[0]}")
    new = TREE.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    cache = HERE / "packages"
    cache.mkdir(exist_ok=True)
    debootstrap = tool("debootstrap", "debootstrap")
    command = [*PRIVATE, "sh", str(debootstrap), "--arch=arm64", "--variant=minbase"]
    command += [f"--include={','.join(PACKAGES)}", f"--cache-dir={cache}"]
    command += [SUITE, str(new), mirrors[0]]
    # An unpacked debootstrap finds its parts beside itself.
    parts = debootstrap.resolve().parent.parent / "share" / "debootstrap"
    run(command, "cannot make a Debian arm64", DEBOOTSTRAP_DIR=str(parts), **proxies())
    new.rename(TREE)
    shutil.rmtree(cache)


def inside(*command, **variables):
    """The COMMAND that runs a command on the other machine, in the project's copy."""
    settings = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin",
        "PICKLETASK_TEST_SLOWDOWN": str(SLOWDOWN),
        # Looking for leaks takes ptrace(), which the emulator hasn't.
        "LSAN_OPTIONS": "detect_leaks=0",
        # No registry is needed there, nor how to reach it.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "/project/build/wheels",
        **variables,
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    return [*PRIVATE, f"--root={TREE}", "--wd=/project", "env", "-i", *words, *command]


def copy_project():
    """The project as it is now; what was built there stays."""
    copy = TREE / "project"
    files = {path.relative_to(ROOT): path for path in common.project_files()}
    for old in common.project_files(copy):
        if old.relative_to(copy) not in files:
            old.unlink()
    for name, path in files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy / name)


def environment_there(*command, **variables):
    """The COMMAND that runs a command in the environment of that machine's Python."""
    return inside(f"python{PYTHON}", ".ci/env.py", *IN_ENVIRONMENT, *command, **variables)


def python_there():
    """The path of that machine's Python, the project built and installed for it."""
    command = environment_there("python", "-c", "import sys; print(sys.executable)")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise Failure("cannot build the project on the emulated machine: see above")
    return done.stdout.decode().split()[-1]


# ---- this machine ---------------------------------------------------------


def python_here():
    """An interpreter of the same minor version: pickles are for one minor only."""
    minor = tuple(map(int, PYTHON.split(".")))
    found = [each for each in common.find_interpreters() if each.version[:2] == minor]
    usable = [each for each in found if each.lack is None]
    if not usable:
        lacks = "".join(f"; {each} has {each.lack}" for each in found)
        raise Failure(f"no Python {PYTHON} found here, whose pickles could travel{lacks}")
    return usable[0]


def environment_here(interpreter, *command):
    """The COMMAND that runs a command in this INTERPRETER's environment."""
    script = Path(__file__).with_name("env.py")
    return [interpreter.executable, str(script), *IN_ENVIRONMENT, *command]


def download_wheels(interpreter):
    """What the suite needs over there, from the registry that this machine's pip knows."""
    wheels = TREE / "project" / "build" / "wheels"
    needs = env.Environment(interpreter, True).requirements("test")
    stamp = wheels / "stamp"
    if stamp.exists() and stamp.read_text() == env.digest(*needs):
        return
    say(f"downloading {', '.join(needs)}")
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir(parents=True)
    command = ["python", "-m", "pip", "download", "--quiet", "--no-input", "--only-binary=:all:"]
    command += [f"--dest={wheels}", f"--python-version={PYTHON}", "--implementation=cp"]
    command += [f"--platform={name}_aarch64" for name in ("manylinux_2_17", "manylinux2014")]
    run(
        environment_here(interpreter, *command, *needs),
        "cannot download what the suite needs (is the package registry reachable?)",
    )
    stamp.write_text(env.digest(*needs))


def report(what, command, **variables):
    """Run a suite; whether it passed."""
    say(what)
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, **variables}
    )
    say(f"{what}: {'passed' if done.returncode == 0 else f'FAILED ({done.returncode})'}")
    return done.returncode == 0


def main():
    """Make the other machine, run both suites; the status for the shell."""
    check_machine()
    # As Ctrl-C: what has been started is ended, what was told to the kernel taken back.
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, signal.default_int_handler)
    interpreter = python_here()
    HERE.mkdir(parents=True, exist_ok=True)
    with open(HERE / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("make test-arm64 already runs in this folder") from None
        with emulation():
            make_tree()
            copy_project()
            download_wheels(interpreter)
            there = python_there()
            pytest = ["pytest", "-o", f"faulthandler_timeout={1200 * SLOWDOWN}"]
            travels = report(
                "pickles between x86-64 and aarch64",
                environment_here(interpreter, *pytest, "tests/machines.py"),
                PICKLETASK_TEST_SLOWDOWN=str(SLOWDOWN),
                PICKLETASK_THERE=shlex.join(inside(there, PYTHONPATH="/project/tests")),
                PICKLETASK_THERE_ROOT=str(TREE),
            )
            command = [*pytest, *LEFT_OUT, *sys.argv[1:]]
            suite = report("the suite on aarch64", environment_there(*command))
    return 0 if travels and suite else 1


if __name__ == "__main__":
    common.main(main)
