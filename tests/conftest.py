"""What the tests share: the two modes, the picklers, and helpers that run code in a fresh process.

The helpers are fixtures and functions of one name each, so that a test may take them as an argument
or import them: ``from conftest import run_isolated``.
"""

import gc
import os
import pickle
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest

#: How many times slower everything runs, because a tool watches. Who repeats does so less often.
SLOWDOWN = int(os.environ.get("PICKLETASK_TEST_SLOWDOWN", 1))

#: How much the tests try that make up programs and damage pickles: in every run of the suite,
#: and with ``make fuzz``. Mutants are counted for each of what is damaged (see mutants.py).
FUZZ = "PICKLETASK_FUZZ" in os.environ
PROGRAMS = 5000 if FUZZ else max(300 // SLOWDOWN, 5)
STATE_MUTANTS = 20_000 if FUZZ else 10_000
BYTE_MUTANTS = 30_000 if FUZZ else 0  # besides those of each byte

#: What they try follows from this number. The suite tries the same in every run.
SEED = int(os.environ.get("PICKLETASK_FUZZ_SEED", random.randrange(10**6) if FUZZ else 0))


# What a shell runs in the background ignores Ctrl+C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config):
    """Say how to repeat what was tried."""
    return f"seed: PICKLETASK_FUZZ_SEED={SEED}"


try:
    import hypothesis
except ImportError:
    # Only the tests that use it can't run without it.
    pass
else:
    hypothesis.settings.register_profile(
        "ci",
        deadline=None,
        print_blob=True,
        max_examples=max(60 // SLOWDOWN, 5),
        derandomize=True,
        database=None,
    )
    hypothesis.settings.load_profile("ci")

TESTS = Path(__file__).resolve().parent

#: The command that runs a program with valgrind watching; empty without it.
VALGRIND = shlex.split(os.environ.get("PICKLETASK_TEST_VALGRIND", ""))
#: The command for a child that is to be watched as this process is.
WATCHED_PYTHON = [*VALGRIND, sys.executable]

# Runs the script argv[1] as __main__ with every task softened at each switch.
SOFTLY = """
import os, runpy, sys
import pickletask._core
pickletask._core.set_parked_limit(0)
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# Resumes the pickle on stdin with the statements of argv[1].
RESUME = """
import pickle, sys
import pickletask
task = pickle.loads(sys.stdin.buffer.read())
exec(compile(sys.argv[1], "<resume>", "exec"))
"""


@pytest.fixture(scope="module", autouse=True)
def no_garbage():
    """Complaints of what a module's tests drop belong to them, and to no later test.

    They are of asynchronous generators above all, which await something while they are closed.
    """
    yield
    for _ in range(3):
        gc.collect()


@pytest.fixture(params=["kept", "soft"])
def mode(request):
    """Run the test twice: with C stacks kept as usual, and with tasks softened at each switch.

    The value is the name of the mode. A module of task tests takes it for all of its tests with
    ``pytestmark = pytest.mark.usefixtures("mode")``.
    """
    if request.param == "kept":
        yield request.param
        return
    from pickletask import _core

    old = _core.set_parked_limit(0)
    try:
        yield request.param
    finally:
        _core.set_parked_limit(old)


@pytest.fixture(params=range(2, pickle.HIGHEST_PROTOCOL + 1), ids="protocol{}".format)
def protocol(request):
    """Each pickle protocol that can hold a task."""
    return request.param


@pytest.fixture(params=["C", "Python"])
def pickler(request):
    """The C and the Python pickler of the standard library.

    An object with ``name``, ``dumps(obj, protocol)``, ``loads(data)``, ``Pickler`` and
    ``Unpickler``.
    """
    if request.param == "C":
        return types.SimpleNamespace(
            name="C",
            dumps=pickle.dumps,
            loads=pickle.loads,
            Pickler=pickle.Pickler,
            Unpickler=pickle.Unpickler,
        )
    return types.SimpleNamespace(
        name="Python",
        dumps=pickle._dumps,
        loads=pickle._loads,
        Pickler=pickle._Pickler,
        Unpickler=pickle._Unpickler,
    )


def run_isolated(
    code_or_path, *args, timeout=120, input=b"", mode="kept", expect=0, env=None, flags=()
):
    """Run a script in a fresh Python process; the CompletedProcess, its output decoded.

    CODE_OR_PATH is the script's text (a str) or its place (a Path, relative ones to tests/); ARGS
    become its arguments, INPUT (bytes) its stdin, ENV (a dict) is added to the environment and
    FLAGS to the interpreter's options. It finds the same pickletask and the modules in tests/.
    MODE "soft" softens every task at each switch, as the fixture of that name does. The test fails
    with all of the output if the process exits with another status than EXPECT (None: with any but
    by a signal), or takes longer than TIMEOUT seconds: it is then made to say where it hangs.
    """
    with tempfile.TemporaryDirectory(prefix="pickletask-test-") as folder:
        if isinstance(code_or_path, Path):
            script = TESTS / code_or_path
        else:
            script = Path(folder) / "script.py"
            script.write_text(code_or_path, encoding="utf-8")
        command = [*WATCHED_PYTHON, "-X", "faulthandler", *flags]
        command += ["-c", SOFTLY] if mode == "soft" else []
        command += [str(script), *map(str, args)]
        return run_command(command, folder, timeout, input, expect, env or {})


def run_command(command, folder, timeout, input, expect, env):
    """Run COMMAND in FOLDER as run_isolated() says; it and all that it started end with it."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**child_environment(), **env},
        start_new_session=True,
    )
    hung = False
    try:
        try:
            out, err = process.communicate(input, timeout * SLOWDOWN)
        except subprocess.TimeoutExpired:
            hung = True
            # faulthandler prints every thread's traceback on SIGABRT.
            process.send_signal(signal.SIGABRT)
            try:
                out, err = process.communicate(timeout=10 * SLOWDOWN)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    out, err = out.decode(errors="replace"), without_import_times(err.decode(errors="replace"))
    status = process.returncode
    if hung:
        what = f"hung: still ran after {timeout} seconds"
    elif status == expect or (expect is None and status >= 0):
        return subprocess.CompletedProcess(command, status, out, err)
    elif status < 0:
        what = f"crashed: {signal.Signals(-status).name}"
    else:
        what = f"exited with status {status}"
    pytest.fail(f"the process {what}\n--- stdout\n{out}\n--- stderr\n{err}", pytrace=False)


def without_import_times(text):
    """TEXT that a process wrote to stderr, without what -X importtime adds to it."""
    return re.sub(r"^import time:.*\n", "", text, flags=re.M)


def child_environment():
    """The environment in which a child finds the pickletask that this process has, and tests/."""
    import pickletask

    # The script's folder comes first in sys.path, not the one that pytest was started in.
    package = Path(pickletask.__file__).resolve().parent.parent
    paths = [str(package), str(TESTS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}


def import_dill():
    """Import dill, or skip the test; the Python pickler stays as it is.

    dill teaches that of the whole process to save locks and files, among others.
    """
    dispatch = dict(pickle._Pickler.dispatch)
    dill = pytest.importorskip("dill")
    pickle._Pickler.dispatch.clear()
    pickle._Pickler.dispatch.update(dispatch)
    return dill


def resume_in_fresh_process(data, resume="task.insert(); pickletask.run()", **options):
    """Load the pickle DATA in a fresh process and run it on there; what it printed, as a str.

    RESUME are the statements that do so, with the loaded object as ``task``: the default is for
    tasklets; ``for value in task: print(value)`` is one for generators. OPTIONS are those of
    run_isolated().
    """
    return run_isolated(RESUME, resume, input=data, **options).stdout


@pytest.fixture(name="run_isolated")
def run_isolated_fixture():
    """The function run_isolated."""
    return run_isolated


@pytest.fixture(name="resume_in_fresh_process")
def resume_in_fresh_process_fixture():
    """The function resume_in_fresh_process."""
    return resume_in_fresh_process
