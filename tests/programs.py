"""Finds the programs in cases/, runs them straight through, and pickles them wherever they suspend.

A trace tells what a program did: ``("suspended", value)`` for each suspension, then ``("returned",
value)`` or ``("raised", type, args)``; values as their repr(). A case passes if its trace is the
same however often, and in whatever process, it was pickled on its way.
"""

import importlib
import marshal
import os
import pickle
import sys
import types
from pathlib import Path

CASES = Path(__file__).resolve().parent / "cases"

# More suspensions than any case has: one that goes on longer has lost its way.
LIMIT = 700
# More than any of those that go through fresh processes.
HOPS = 30


# ---- finding cases --------------------------------------------------------


def modules():
    """The names of the modules of cases."""
    return [f"cases.{path.stem}" for path in sorted(CASES.glob("*.py")) if path.stem[0] != "_"]


def cases(kind="tasks"):
    """The cases of KIND "tasks" or of a module named KIND, as ``module:function``."""
    special = {f"cases.{name}": name for name in ("boundaries", "suspended", "contexts")}
    found = []
    for name in modules():
        if special.get(name, "tasks") == kind:
            for key, value in vars(importlib.import_module(name)).items():
                if is_case(name, key, value):
                    found.append(f"{name[6:]}:{key}")
    return found


def parameters(kind="tasks", gaps=True):
    """The cases of a kind as parameters of tests; those with ``known_gap`` are expected to fail.

    Without GAPS, such cases are left out.
    """
    import pytest

    found = []
    for case in cases(kind):
        gap = getattr(find(case), "known_gap", None)
        if gap is None:
            found.append(case)
        elif gaps:
            found.append(pytest.param(case, marks=pytest.mark.xfail(strict=True, reason=gap)))
    return found


def is_case(module, key, value):
    """Is it a public function without parameters that the module itself defines?"""
    return (
        isinstance(value, types.FunctionType)
        and value.__module__ == module
        and not key.startswith("_")
        and value.__name__ == key
        and value.__code__.co_argcount == 0
        and key != "wide"
    )


def find(case):
    """The function of a case."""
    module, name = case.split(":")
    return getattr(importlib.import_module(f"cases.{module}"), name)


compiled = {}


def find_cold(case):
    """The function of a case, of a module just executed: none of its code has ever run.

    The module replaces the one in sys.modules, as functions and globals are pickled by its name.
    """
    module, name = case.split(":")
    full = f"cases.{module}"
    if full not in compiled:
        source = (CASES / f"{module}.py").read_text(encoding="utf-8")
        compiled[full] = marshal.dumps(compile(source, str(CASES / f"{module}.py"), "exec"))
    fresh = types.ModuleType(full)
    fresh.__file__ = str(CASES / f"{module}.py")
    fresh.__package__ = "cases"
    sys.modules[full] = fresh
    sys.modules["cases"].__dict__[module] = fresh
    exec(marshal.loads(compiled[full]), fresh.__dict__)
    return getattr(fresh, name)


# ---- traces ---------------------------------------------------------------


def raised(error):
    """How an exception appears in a trace."""
    return ("raised", type(error).__qualname__, repr(error.args))


def reference(function):
    """The trace of a program whose suspend() just returns."""
    trace = []

    def suspend(retval):
        trace.append(("suspended", repr(retval)))
        return retval

    namespace = function.__globals__
    original = namespace["suspend"]
    namespace["suspend"] = suspend
    try:
        trace.append(("returned", repr(function())))
    except Exception as error:
        trace.append(raised(error))
    finally:
        namespace["suspend"] = original
    return trace


def call(function, outcome):
    """What a tasklet runs: its result must come out of it somehow."""
    outcome.append(function())


def start(function):
    """A tasklet that will run a program, and the list that gets its result."""
    from pickletask import tasklet

    outcome = []
    task = tasklet(call)(function, outcome)
    task.remove()
    return task, outcome


def begin(function, *args, **kwargs):
    """A task that runs a function and has suspended for the first time."""
    from pickletask import tasklet

    task = tasklet(function)(*args, **kwargs)
    # Or the one that suspends would go on with the next in the queue, not with its caller.
    task.remove()
    task.run()
    assert task.paused or task.blocked
    return task


def step(task, outcome, trace):
    """Run a task to its next suspension or its end; is there more to come?"""
    try:
        task.run()
    except Exception as error:
        trace.append(raised(error))
        return False
    if task.alive:
        assert task.paused and not outcome, (task, outcome)
        assert len(trace) < LIMIT, "the program doesn't end"
        trace.append(("suspended", repr(task.tempval)))
        return True
    assert len(outcome) == 1, f"the task ended without a result: {outcome}"
    trace.append(("returned", repr(outcome[0])))
    return False


def run_to_the_end(function):
    """The trace of a program in a task that isn't pickled."""
    trace = []
    task, outcome = start(function)
    while step(task, outcome, trace):
        pass
    return trace


def run_and_resume(function, copy):
    """The trace of a program that goes on in a copy wherever it suspends; COPY(object) makes it.

    The originals are ended only after that, so that copies can't live on what they have.
    """
    trace, originals = [], []
    task, outcome = start(function)
    while step(task, outcome, trace):
        originals.append(task)
        task, outcome = copy((task, outcome))
        assert task.alive and task.paused and not task.scheduled
    for task in originals:
        end(task)
    return trace


def end(task):
    """End a task that is not needed any more, however often it suspends on its way out."""
    for _ in range(LIMIT):
        if not task.alive:
            return
        try:
            task.kill()
        except BaseException:
            # What its finally clauses raise while it is killed is of no interest. An except*
            # block makes a BaseExceptionGroup even of the exception that ends it.
            pass
    raise AssertionError(f"{task} survives")


# ---- generators and coroutines --------------------------------------------


def drive(make, copy=None, send=False):
    """The trace of a generator or coroutine, which is replaced by a copy wherever it waits."""
    trace, originals = [], []
    it = make()
    for turn in range(LIMIT):
        if copy is not None:
            originals.append(it)
            it = copy(it)
            assert type(it) is type(originals[-1])
            assert state(it) == state(originals[-1])
        if not step_generator(it, turn, send, trace):
            break
    else:
        raise AssertionError("the program doesn't end")
    if copy is not None:
        assert state(copy(it)) == state(it)
    for it in originals:
        close(it)
    return trace


def step_generator(it, turn, send, trace):
    """Run a generator or coroutine to where it waits next, or to its end; is there more to come?

    TURN counts these calls from 0; with SEND, each but the first sends its number.
    """
    try:
        value = it.send(None if turn == 0 or not send else turn)
    except StopIteration as stop:
        trace.append(("returned", repr(stop.value)))
        return False
    except Exception as error:
        trace.append(raised(error))
        return False
    trace.append(("suspended", repr(value)))
    return True


def close(it):
    """End a generator or coroutine; one that goes on yielding runs to its end."""
    for _ in range(LIMIT):
        try:
            it.close()
            return
        except RuntimeError:
            # "generator ignored GeneratorExit"
            pass
        except BaseException:
            return
    raise AssertionError(f"{it} survives")


def state(it):
    """What is to be seen of a generator or coroutine from outside."""
    prefix = "cr" if isinstance(it, types.CoroutineType) else "gi"
    frame = getattr(it, prefix + "_frame")
    return (
        it.__name__,
        it.__qualname__,
        getattr(it, prefix + "_running"),
        getattr(it, prefix + "_suspended"),
        type(getattr(it, prefix + "_await" if prefix == "cr" else "gi_yieldfrom")),
        frame and (frame.f_lineno, frame.f_lasti, sorted(frame.f_locals)),
    )


# ---- picklers -------------------------------------------------------------


def ways(own=True, standard=True):
    """Every way to pickle, as (name, dumps, loads, protocol): both standard picklers and ours."""
    import pickletask

    found = []
    if standard:
        found += [("C", pickle.dumps, pickle.loads), ("Python", pickle._dumps, pickle._loads)]
    if own:
        found.append(("pickletask", pickletask.dumps, pickletask.loads))
    for name, dumps, loads in found:
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            yield f"{name}, protocol {protocol}", dumps, loads, protocol


def picklers(**options):
    """Every way to make a copy, as (name, copy); OPTIONS are those of ways()."""
    for name, dumps, loads, protocol in ways(**options):
        yield name, copier(dumps, loads, protocol)


def copier(dumps, loads, protocol):
    """A function that copies by a pickle."""
    return lambda obj: loads(dumps(obj, protocol))


# ---- hops through fresh processes -----------------------------------------


def is_short(trace):
    """Is a program of this trace for hop()? One that suspends n times takes n + 1 processes.

    With few long ones, all others share them.
    """
    return len(trace) <= HOPS - 5


def entries_for(cases, picklers, shift=0):
    """What hop() takes, protocols and picklers in turn."""
    entries = []
    for number, case in enumerate(cases):
        function = find(case)
        if hasattr(function, "stays_in_its_process"):
            continue
        own = hasattr(function, "own_pickler")
        turn = number + shift
        entries.append(
            {
                "case": case,
                "dumps": "pickletask" if own else picklers[turn % len(picklers)],
                "protocol": 2 + turn // len(picklers) % 4,
                "data": None,
                "trace": [],
            }
        )
    return entries


def failures(entries, expected):
    """Of the entries that hop() brought back: those whose trace isn't EXPECTED(case), as text."""
    found = []
    for entry in entries:
        trace = expected(entry["case"])
        if entry["trace"] != trace or "error" in entry:
            found.append(f"{entry['case']} {entry['trace']} {trace} {entry.get('error')}")
    return "\n".join(found)


def hop(entries, folder, run_isolated, **options):
    """Run programs to their ends, each stretch between two suspensions in a process of its own.

    ENTRIES are dicts with ``case``, ``dumps`` ("C", "Python" or "pickletask") and ``protocol``;
    what else isolated/hop.py reads of them it says there. Their ``trace`` and, of those that
    failed, ``error`` are filled in; one that crashes its process has failed, and the others go on.
    FOLDER is for files, OPTIONS are those of run_isolated().
    """
    left = entries
    place = os.path.join(folder, "hop")
    for _ in range(HOPS):
        while left and not hop_once(left, place, run_isolated, options):
            left = [entry for entry in left if "error" not in entry]
        left = [entry for entry in left if entry["data"] is not None]
    for entry in left:
        entry["error"] = "it doesn't end"


def hop_once(entries, place, run_isolated, options):
    """Run one stretch of each; False if the process crashed, and one has got an ``error``."""
    Path(place).write_bytes(pickle.dumps(entries))
    try:
        run_isolated(Path("isolated/hop.py"), place, **options)
    except BaseException as error:
        if type(error).__name__ != "Failed":
            raise
        crashed = entries[int(Path(place + ".at").read_text())]
        crashed["error"] = str(error)[-4000:]
        return False
    for old, new in zip(entries, pickle.loads(Path(place).read_bytes()), strict=True):
        old.update(new)
    return True
