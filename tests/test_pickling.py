"""Tasks, generators and coroutines that are pickled wherever they suspend, and go on in copies.

The programs are those of cases/; what "the same" means is said in programs.py.
"""

import copyreg
import gc
import io
import itertools
import linecache
import os
import pickle
import re
import sys
import textwrap
import traceback
import weakref
from pathlib import Path

import programs
import pytest
from conftest import SLOWDOWN
from programs import begin

import pickletask
from pickletask import channel, schedule_remove, tasklet

# A copy that is dropped is killed; a generator of it that suspends in `finally` then, while it is
# being finalised, has nobody to raise TaskletExit to.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TASKS = programs.parameters("tasks")
ALL = programs.parameters("tasks", gaps=False)
BOUNDARIES = programs.cases("boundaries")
SUSPENDED = programs.cases("suspended")

# Calls of a case until the interpreter has specialised its code.
WARM = 40


def ways_for(case, share):
    """The picklers that can take a case: functions inside containers need pickletask's own.

    Where a tool makes all slow, the four tests of a case have a quarter each; SHARE tells which.
    """
    ways = list(programs.picklers(standard=not hasattr(programs.find(case), "own_pickler")))
    return ways[share::4] if SLOWDOWN > 4 else ways


# ---- every case at every suspension ---------------------------------------


@pytest.mark.parametrize("case", programs.cases("tasks"))
def test_task_runs_straight_through(case, mode):
    function = programs.find(case)
    expected = programs.reference(function)
    assert len(expected) > 1
    assert programs.run_to_the_end(function) == expected


@pytest.mark.parametrize("temperature", ["cold", "warm"])
@pytest.mark.parametrize("case", TASKS)
def test_task_resumes_in_copies_at_every_suspension(case, temperature, mode):
    expected = programs.reference(programs.find(case))
    for way, copy in ways_for(case, 2 * (temperature == "warm") + (mode == "soft")):
        function = programs.find_cold(case)
        for _ in range(WARM if temperature == "warm" else 0):
            programs.run_to_the_end(function)
        assert programs.run_and_resume(function, copy) == expected, way


@pytest.mark.parametrize("case", programs.cases("tasks"))
def test_task_that_was_pickled_goes_on_unchanged(case, mode):
    function = programs.find(case)
    expected = programs.reference(function)
    dumps = pickletask.dumps if hasattr(function, "own_pickler") else pickle.dumps
    trace = []
    task, outcome = programs.start(function)
    while programs.step(task, outcome, trace):
        first = dumps((task, outcome))
        assert task.alive and task.paused
        assert len(dumps((task, outcome))) == len(first)
    assert trace == expected


@pytest.mark.parametrize("case", TASKS)
def test_two_copies_run_apart(case, mode):
    function = programs.find(case)
    if hasattr(function, "stays_in_its_process"):
        pytest.skip("its copies share the module's globals")
    expected = programs.reference(function)
    dumps, loads = pickletask.dumps, pickletask.loads
    trace, forks = [], []
    task, outcome = programs.start(function)
    while programs.step(task, outcome, trace):
        data = dumps((task, outcome))
        if len(forks) < 6:
            forks += [(loads(data), list(trace)), (loads(data), list(trace))]
    assert trace == expected
    left = forks
    while left:
        # All take turns.
        left = [fork for fork in left if programs.step(*fork[0], fork[1])]
    for _, trace in forks:
        assert trace == expected


@pytest.mark.parametrize("temperature", ["cold", "warm"])
@pytest.mark.parametrize("case", SUSPENDED)
@pytest.mark.parametrize("send", [False, True], ids=["next", "send"])
def test_generator_resumes_in_copies_wherever_it_waits(case, send, temperature):
    make = programs.find(case)
    expected = programs.drive(make, send=send)
    for way, copy in programs.picklers():
        make = programs.find_cold(case)
        for _ in range(WARM if temperature == "warm" else 0):
            programs.drive(make, send=send)
        assert programs.drive(make, copy, send) == expected, way


# ---- fresh processes ------------------------------------------------------


@pytest.mark.parametrize("shift", range(2))
def test_task_resumes_in_a_fresh_process_at_every_suspension(mode, shift, tmp_path, run_isolated):
    def expected(case):
        return programs.reference(programs.find(case))

    cases = [case for case in ALL if programs.is_short(expected(case))]
    assert len(cases) > len(ALL) * 0.9
    shift = shift * 2 + (mode == "soft")
    entries = programs.entries_for(cases, ["C", "Python", "pickletask"], shift)
    programs.hop(entries, tmp_path, run_isolated, mode=mode)
    failures = programs.failures(entries, expected)
    assert not failures, failures


@pytest.mark.parametrize("send", [False, True], ids=["next", "send"])
def test_generator_resumes_in_a_fresh_process_wherever_it_waits(send, tmp_path, run_isolated):
    def expected(case):
        return programs.drive(programs.find(case), send=send)

    cases = [case for case in SUSPENDED if programs.is_short(expected(case))]
    assert len(cases) > len(SUSPENDED) * 0.9
    entries = programs.entries_for(cases, ["C", "Python", "pickletask"], send)
    for entry in entries:
        entry.update(turn=0, send=send)
    programs.hop(entries, tmp_path, run_isolated)
    failures = programs.failures(entries, expected)
    assert not failures, failures


def test_task_defined_in_main_finds_its_globals_where_it_is_loaded(mode, tmp_path, run_isolated):
    dump = """
        import pickle, sys
        import pickletask

        WHERE = "first process"

        class Thing:
            def __init__(self, x):
                self.x = x

        def helper(thing):
            return WHERE, thing.x + pickletask.schedule_remove(1)

        def main():
            print(*helper(Thing(1)), WHERE)

        task = pickletask.tasklet(main)()
        task.run()
        open(sys.argv[1], "wb").write(pickle.dumps(task, int(sys.argv[2])))
    """
    load = """
        import pickle, sys
        import pickletask

        WHERE = "second process"

        class Thing:
            pass

        task = pickle.loads(open(sys.argv[1], "rb").read())
        task.insert()
        pickletask.run()
        assert not task.alive
    """
    for protocol in range(2, 6):
        place = tmp_path / f"state{protocol}"
        run_isolated(textwrap.dedent(dump), place, protocol, mode=mode)
        out = run_isolated(textwrap.dedent(load), place, mode=mode).stdout
        # WHERE was read by the helper before main() reads it again.
        assert out in ("second process 2 second process\n", "first process 2 second process\n")


def write_package(folder, source):
    package = folder / "apackage" / "inner"
    package.mkdir(parents=True, exist_ok=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "module.py").write_text(textwrap.dedent(source))


IN_A_PACKAGE = """
    from pickletask import schedule_remove

    LIMIT = 3

    class Job:
        def __init__(self, name):
            self.name = name

        def work(self):
            for i in range(LIMIT):
                self.step(i)

        def step(self, i):
            print(self.name, i, schedule_remove("old"))

    def main():
        job = Job("job")
        job.work()
        print("end")
"""

TO_THE_END = "while task.alive: task.run()"

DUMP_FROM_A_PACKAGE = """
import pickle, sys
import pickletask
from apackage.inner import module

task = pickletask.tasklet(module.main)()
task.run()
task.run()
open(sys.argv[1], "wb").write(pickle.dumps(task))
"""


def dump_from_a_package(folder, run_isolated):
    write_package(folder, IN_A_PACKAGE)
    env = {"PYTHONPATH": os.pathsep.join([str(folder), package_place()])}
    out = run_isolated(DUMP_FROM_A_PACKAGE, folder / "state", env=env).stdout
    assert out == "job 0 old\n"
    return (folder / "state").read_bytes(), env


def package_place():
    return str(Path(pickletask.__file__).resolve().parent.parent)


def test_task_from_a_package_resumes_in_a_fresh_process(
    tmp_path, run_isolated, resume_in_fresh_process
):
    data, env = dump_from_a_package(tmp_path, run_isolated)
    out = resume_in_fresh_process(data, TO_THE_END, env=env)
    assert out == "job 1 old\njob 2 old\nend\n"


def test_task_goes_on_in_its_old_code_when_the_source_has_changed(
    tmp_path, run_isolated, resume_in_fresh_process
):
    data, env = dump_from_a_package(tmp_path, run_isolated)
    changed = IN_A_PACKAGE.replace("LIMIT = 3", "LIMIT = 9")
    # Functions in flight are the old ones; what they call and read is new.
    changed = changed.replace("print(self.name, i", "print('new', self.name, i")
    changed = changed.replace('print("end")', 'print("new end")')
    write_package(tmp_path, changed)
    out = resume_in_fresh_process(data, TO_THE_END, env=env)
    assert out == "job 1 old\nnew job 2 old\nend\n"


def test_task_goes_on_when_its_functions_are_gone(tmp_path, run_isolated, resume_in_fresh_process):
    data, env = dump_from_a_package(tmp_path, run_isolated)
    gone = IN_A_PACKAGE.replace("def main():", "def another():")
    gone = gone.replace("def work(self):", "def other(self):")
    write_package(tmp_path, gone)
    out = resume_in_fresh_process(data, TO_THE_END, env=env)
    assert out == "job 1 old\njob 2 old\nend\n"


def test_task_of_a_module_that_cannot_be_imported_says_so(tmp_path, run_isolated):
    data, env = dump_from_a_package(tmp_path, run_isolated)
    with pytest.raises((ImportError, pickle.UnpicklingError), match="apackage"):
        pickle.loads(data)


# ---- C code in between ----------------------------------------------------


def try_to_dump(pair, function, dumps, protocol=None):
    """A pickle of a task and its outcome, or None: then the error has told why."""
    try:
        return dumps(pair, protocol)
    except pickletask.NotPicklableError as error:
        check_message(str(error), function, pair[0].frame)
        return None


def check_message(message, function, frame):
    """Does a message name the C function or operation, and the frame and line that is in it?"""
    assert any(name in message for name in function.names), (message, function.names)
    frames = []
    while frame is not None:
        code = frame.f_code
        line = linecache.getline(code.co_filename, frame.f_lineno)
        if "HERE" in line or not code.co_filename.endswith("boundaries.py"):
            frames.append((code.co_name, code.co_filename, frame.f_lineno))
        frame = frame.f_back
    callers = [place for place in frames if place[0] == function.caller]
    assert callers, (message, frames)
    # A context manager of the standard library is a caller of C code as well.
    places = [place for place in frames if place in callers or "contextlib" in place[1]]
    assert any(
        name in message and file in message and re.search(rf"\b{line}\b", message)
        for name, file, line in places
    ), (message, places)


@pytest.mark.parametrize("temperature", ["cold", "warm"])
@pytest.mark.parametrize("case", BOUNDARIES)
def test_task_below_c_code_is_pickled_or_told_why_not(case, temperature, mode):
    expected = programs.reference(programs.find(case))
    for way, dumps, loads, protocol in programs.ways():
        function = programs.find_cold(case)
        for _ in range(WARM if temperature == "warm" else 0):
            programs.run_to_the_end(function)
        trace, originals = [], []
        task, outcome = programs.start(function)
        while programs.step(task, outcome, trace):
            data = try_to_dump((task, outcome), function, dumps, protocol)
            assert task.alive and task.paused
            if data is not None:
                originals.append(task)
                task, outcome = loads(data)
        assert trace == expected, way
        for task in originals:
            programs.end(task)


@pytest.mark.parametrize(
    "case",
    [
        "sort_by_a_key",
        "sort_a_list_by_a_key",
        "make_a_list_of_a_generator",
        "sum_a_generator",
        "take_the_maximum_by_a_key",
        "reduce_by_a_function",
        "substitute_by_a_function",
        "map_the_suspending_function",
        "sort_by_the_suspending_function",
    ],
)
def test_task_below_what_no_version_can_re_enter_is_refused(case, mode):
    """These hold their progress in C: a pickle of them would be a wrong one."""
    task, outcome = programs.start(programs.find(f"boundaries:{case}"))
    assert programs.step(task, outcome, [])
    with pytest.raises(pickletask.NotPicklableError):
        pickle.dumps(task)
    assert try_to_dump((task, outcome), programs.find(f"boundaries:{case}"), pickle.dumps) is None
    while programs.step(task, outcome, []):
        pass


def test_generator_below_c_code_can_be_pickled_when_it_rests_again(mode):
    def generator():
        yield 1
        yield schedule_remove("inside sum")
        yield 3
        yield 4

    def work():
        next(g)
        got.append(sum([1, *itertools.islice(g, 1)]))

    g, got = generator(), []
    task = begin(work)
    with pytest.raises(pickletask.NotPicklableError):
        pickle.dumps(task)
    task.tempval = -5
    task.run()
    assert got == [-4] and list(pickle.loads(pickle.dumps(g))) == [3, 4]


# ---- what can't be pickled ------------------------------------------------


def hold(thing):
    schedule_remove("holding")
    return thing


def test_task_that_holds_what_pickle_refuses_stays_as_it_was(mode, pickler, protocol):
    with open(__file__) as file:
        outcome = []
        task = tasklet(programs.call)(lambda: hold(file), outcome)
        task.run()
        with pytest.raises(TypeError, match="TextIOWrapper"):
            pickler.dumps(task, protocol)
        assert task.alive and task.paused and task.tempval == "holding"
        task.run()
        assert outcome == [file]


class Finalizing:
    def __del__(self):
        schedule_remove("finalizing")


def closing():
    try:
        yield
    finally:
        schedule_remove("closing")


def end_with_an_object():
    thing = Finalizing()  # noqa: F841


def end_with_a_generator():
    generator = closing()
    next(generator)


def end_with_a_weak_reference():
    class Weak:
        pass

    thing = Weak()
    KEPT.append(weakref.ref(thing, schedule_remove))


KEPT = []


@pytest.mark.parametrize(
    "function, what",
    [
        (end_with_an_object, "'Finalizing.__del__' (file "),
        (end_with_a_generator, "'closing' (file "),
        (end_with_a_weak_reference, "C code runs "),
    ],
)
def test_task_whose_function_has_ended_is_refused(function, what, mode, pickler, protocol):
    task = tasklet(function)()
    task.run()
    with pytest.raises(pickletask.NotPicklableError) as caught:
        pickler.dumps(task, protocol)
    # The collector walks its frames as well.
    gc.collect()
    start = f"cannot pickle this task: its function has ended, and {what}"
    assert str(caught.value).startswith(start)
    task.run()
    assert not task.alive


def test_task_that_began_in_c_code_is_refused(mode, pickler, protocol):
    task = tasklet(list)(map(schedule_remove, [1]))
    task.run()
    with pytest.raises(pickletask.NotPicklableError, match="it began in C code"):
        pickler.dumps(task, protocol)
    task.run()
    assert not task.alive


def test_running_task_is_refused(mode):
    errors = []

    def function():
        try:
            pickle.dumps(pickletask.getcurrent())
        except Exception as error:
            errors.append(error)

    tasklet(function)().run()
    assert len(errors) == 1 and isinstance(errors[0], (pickle.PicklingError, RuntimeError))
    with pytest.raises((pickle.PicklingError, RuntimeError)):
        pickle.dumps(pickletask.getmain())


def test_running_generator_is_refused_or_loaded_exhausted(pickler, protocol):
    def generator():
        try:
            yield list(pickler.loads(pickler.dumps(me, protocol)))
        except pickle.PicklingError:
            yield []
        yield "more"

    me = generator()
    assert next(me) == []
    assert list(me) == ["more"]


def test_errors_are_those_of_pickle():
    assert issubclass(pickletask.NotPicklableError, pickle.PicklingError)
    assert issubclass(pickletask.RestoreError, pickle.UnpicklingError)
    for name in ("VersionMismatchError", "CodeChangedError", "CorruptStateError"):
        assert issubclass(getattr(pickletask, name), pickletask.RestoreError)


# ---- the state of a task --------------------------------------------------


def echo(log):
    while True:
        log.append(schedule_remove("waiting"))
        if log[-1] == "stop":
            return


def test_loaded_task_is_paused_and_runs_when_inserted(mode, pickler, protocol):
    log = []
    task = begin(echo, log)
    log, copy = pickler.loads(pickler.dumps((log, task), protocol))
    assert copy.alive and copy.paused and not copy.scheduled and not copy.blocked
    assert pickletask.getruncount() == 1
    copy.tempval = "stop"
    copy.insert()
    assert copy.scheduled and not log
    pickletask.run()
    assert log == ["stop"] and not copy.alive


def test_scheduled_task_is_loaded_paused(mode, pickler, protocol):
    def function():
        for i in range(3):
            log.append(i)
            pickletask.schedule()

    log = []
    task = tasklet(function)()
    pickletask.schedule()
    assert task.scheduled
    copy = pickler.loads(pickler.dumps(task, protocol))
    assert copy.paused and pickletask.getruncount() == 2
    pickletask.run()
    assert log == [0, 1, 2] and not task.alive
    copy_log = copy.frame.f_locals["log"]
    assert copy_log == [0]
    copy.insert()
    pickletask.run()
    assert copy_log == [0, 1, 2]


def test_tempval_of_a_paused_task_is_kept(mode, pickler, protocol):
    outcome = []
    task = tasklet(programs.call)(echo_once, outcome)
    task.run()
    task.tempval = ["any", {"value": outcome}]
    copy, outcome = pickler.loads(pickler.dumps((task, outcome), protocol))
    assert copy.tempval[0] == "any" and copy.tempval[1]["value"] is outcome
    copy.run()
    assert outcome[0][0] == "any"


def echo_once():
    return schedule_remove(None)


def test_task_that_waits_with_itself_as_value_gets_the_copy(mode, pickler, protocol):
    outcome = []
    task = tasklet(programs.call)(lambda: schedule_remove(), outcome)
    task.run()
    copy, outcome = pickler.loads(pickler.dumps((task, outcome), protocol))
    assert copy.tempval is copy
    copy.run()
    assert outcome == [copy]


def test_unstarted_task_is_pickled_with_its_arguments(mode, pickler, protocol):
    log = []
    task = tasklet(add_to)(log, 1, b=2)
    task.remove()
    log, copy = pickler.loads(pickler.dumps((log, task), protocol))
    assert copy.alive and copy.paused
    copy.run()
    assert log == [(1, 2)] and not copy.alive


def add_to(log, a, b):
    log.append((a, b))


def test_task_without_arguments_or_function_is_pickled(mode, pickler, protocol):
    task = pickler.loads(pickler.dumps(tasklet(add_to), protocol))
    assert not task.alive
    log = []
    task(log, 1, 2)
    pickletask.run()
    assert log == [(1, 2)]
    task = pickler.loads(pickler.dumps(tasklet(), protocol))
    assert not task.alive


def test_dead_task_is_pickled_dead(mode, pickler, protocol):
    log = []
    task = tasklet(add_to)(log, 1, 2)
    pickletask.run()
    copy = pickler.loads(pickler.dumps(task, protocol))
    assert not copy.alive and copy.frame is None
    with pytest.raises(RuntimeError):
        copy.run()


def test_settings_of_a_task_are_kept(mode, pickler, protocol):
    task = begin(echo, [])
    task.set_atomic(True)
    task.set_ignore_nesting(True)
    task.block_trap = True
    copy = pickler.loads(pickler.dumps(task, protocol))
    assert copy.atomic and copy.ignore_nesting and copy.block_trap
    task.kill()


class Named(tasklet):
    """A subclass: its copies have its type and its attributes."""


def test_subclass_of_tasklet_is_kept(mode, pickler, protocol):
    task = Named(echo)([])
    task.name = "name"
    task.run()
    copy = pickler.loads(pickler.dumps(task, protocol))
    assert type(copy) is Named and copy.paused
    assert copy.name == "name"


def test_copy_is_killed_and_thrown_into_like_its_original(mode, pickler, protocol):
    task = begin(guard, [])
    data = pickler.dumps(task, protocol)
    for act, expected in [
        (lambda t: t.kill(), ["TaskletExit", "finally"]),
        (lambda t: t.throw(ValueError("thrown")), ["ValueError", "finally"]),
        (lambda t: t.raise_exception(KeyError, 1), ["KeyError", "finally"]),
    ]:
        copy = pickler.loads(data)
        log = copy.frame.f_locals["log"]
        act(copy)
        assert log == expected and not copy.alive
    assert task.alive


def guard(log):
    try:
        schedule_remove("guarded")
    except BaseException as error:
        log.append(type(error).__name__)
    finally:
        log.append("finally")


def test_copy_that_nobody_resumes_runs_its_finally_clauses(mode, pickler, protocol):
    log = []
    task = begin(leave_traces, log)
    TRACES.clear()
    copy = pickler.loads(pickler.dumps(task, protocol))
    del copy
    assert TRACES == ["TaskletExit", "finally"]


TRACES = []


def leave_traces(log):
    try:
        schedule_remove("guarded")
    except BaseException as error:
        TRACES.append(type(error).__name__)
        raise
    finally:
        TRACES.append("finally")


def test_frames_of_a_copy_look_like_those_of_its_original(mode, pickler, protocol):
    def look(task):
        frames, frame = [], task.frame
        while frame is not None:
            frames.append((frame.f_code.co_qualname, frame.f_lineno, sorted(frame.f_locals)))
            frame = frame.f_back
        return frames

    task, _ = programs.start(programs.find("calls:suspend_five_calls_deep"))
    task.run()
    copy = pickler.loads(pickler.dumps(task, protocol))
    seen = look(copy)
    assert seen[0][0] == "_down" and len(seen) == 8
    assert seen == look(task)


def test_traceback_of_a_copy_goes_through_all_its_frames(mode, pickler, protocol):
    def fail():
        schedule_remove("before")
        raise LookupError("after")

    def outer(n):
        return outer(n - 1) if n else fail()

    def places(task):
        with pytest.raises(LookupError) as caught:
            task.run()
        found = traceback.extract_tb(caught.value.__traceback__)
        return [(f.name, f.lineno) for f in found if f.name in ("fail", "outer")]

    task = begin(outer, 3)
    copy = pickler.loads(pickler.dumps(task, protocol))
    expected = places(task)
    assert [name for name, _ in expected] == ["outer"] * 4 + ["fail"]
    assert places(copy) == expected


def test_value_sent_into_a_copy_arrives(mode, pickler, protocol):
    outcome = []
    task = tasklet(programs.call)(deep_echo, outcome)
    task.run()
    copy, outcome = pickler.loads(pickler.dumps((task, outcome), protocol))
    copy.tempval = 5
    copy.run()
    assert outcome == [[[[5, 1], 2], 3]]


def deep_echo(n=3):
    return [deep_echo(n - 1), n] if n else echo_once()


def test_thousand_frames_are_pickled(mode):
    script_limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        outcome = []
        task = tasklet(programs.call)(lambda: deep_sum(1000), outcome)
        task.run()
        for dumps in (pickle.dumps, pickletask.dumps):
            copy, got = pickle.loads(dumps((task, outcome)))
            copy.run()
            assert got == [500500]
        task.kill()
    finally:
        sys.setrecursionlimit(script_limit)


def deep_sum(n):
    return n + deep_sum(n - 1) if n else schedule_remove(0)


# ---- chains of generators --------------------------------------------------


def delegate(inner, seen):
    yield
    yield from inner


def iterate(inner, seen):
    yield
    for value in inner:  # noqa: UP028  (the loop is what is to be saved)
        yield value


def keep(inner):
    """It resumes nothing, but INNER is on its stack while it waits, where an iterator would be."""
    yield
    yield inner, inner, (yield)


def end(seen):
    yield
    yield
    yield len(seen)


def chained(kinds, seen):
    """Generators of these kinds, each given the next, at which all of them wait."""
    chain = [end(seen)]
    for kind in reversed(kinds):
        next(chain[0])
        chain.insert(0, kind(chain[0], seen))
    next(chain[0])
    next(chain[0])
    return chain


@pytest.mark.parametrize("kind", [delegate, iterate])
def test_long_chain_of_generators_needs_little_recursion(kind, pickler, protocol):
    for count in (15, 16, 17, 256, 257, 700):
        data = pickler.dumps(chained([kind] * count, [1])[0], protocol)
        assert next(pickler.loads(data)) == 1
        assert len(data) < 1000 + 60 * count


@pytest.mark.parametrize("count", [15, 16, 17, 40, 300])
@pytest.mark.parametrize("kind", [delegate, iterate])
def test_chain_of_generators_whose_innermost_knows_the_outermost(kind, count, pickler, protocol):
    seen = []
    seen.append(chained([kind] * count, seen)[0])
    first = pickler.loads(pickler.dumps(seen[0], protocol))
    assert next(first) == 1
    seen, first = pickler.loads(pickler.dumps((seen, seen[0]), protocol))
    assert seen[0] is first
    assert next(first) == 1


def test_generator_waits_with_itself_on_its_stack(pickler, protocol):
    def own():
        me = yield
        yield me, me, (yield)

    generator = own()
    next(generator)
    generator.send(generator)
    copy = pickler.loads(pickler.dumps(generator, protocol))
    assert copy.send(1) == (copy, copy, 1)


@pytest.mark.parametrize("before", [0, 1, 15, 16, 17, 33, 300])
@pytest.mark.parametrize("around", [1, 2, 3, 16, 40])
def test_chain_of_generators_that_ends_in_a_circle(before, around, pickler, protocol):
    def close():
        following = yield
        yield following, following, (yield)

    closing = close()
    next(closing)
    following = closing
    for number in range(around - 1 + before):
        if number == around - 1:
            closing.send(following)
        following = keep(following)
        next(following)
        next(following)
    if not before:
        closing.send(following)
    first = pickler.loads(pickler.dumps(following, protocol))
    chain = [first]
    for number in range(before + around):
        following, _, value = chain[-1].send(number)
        assert value == number
        chain.append(following)
    assert chain[-1] is chain[before]
    assert len(set(map(id, chain))) == before + around


# ---- channels -------------------------------------------------------------


def receive(c, log):
    for _ in range(2):
        log.append(c.receive())
    return log


def send(c, *values):
    for value in values:
        c.send(value)


def test_task_blocked_on_a_channel_brings_it_along(mode, pickler, protocol):
    c, log = channel(), []
    task = begin(receive, c, log)
    assert task.blocked and c.balance == -1
    copy = pickler.loads(pickler.dumps(task, protocol))
    assert copy.blocked and copy.alive
    d, copy_log = copy.frame.f_locals["c"], copy.frame.f_locals["log"]
    assert d is not c and d.balance == -1 and d.queue is copy
    d.send(1)
    d.send(2)
    assert copy_log == [1, 2] and not copy.alive
    assert log == [] and task.blocked
    c.send(3)
    c.send(4)
    assert log == [3, 4]


def test_all_tasks_blocked_on_a_channel_come_along_in_their_order(mode, pickler, protocol):
    c, log = channel(), []
    tasks = [tasklet(receive)(c, log) for _ in range(3)]
    pickletask.schedule()
    assert c.balance == -3
    copy = pickler.loads(pickler.dumps(tasks[1], protocol))
    d, copy_log = copy.frame.f_locals["c"], copy.frame.f_locals["log"]
    assert d.balance == -3 and d.queue is not copy
    for value in range(6):
        d.send(value)
    assert copy_log == list(range(6)) and d.balance == 0
    assert c.balance == -3
    for task in tasks:
        task.kill()


def test_channel_brings_its_senders_and_their_values_along(mode, pickler, protocol):
    c = channel()
    tasks = [tasklet(send)(c, ["value", n], n + 10) for n in range(2)]
    pickletask.schedule()
    assert c.balance == 2
    d = pickler.loads(pickler.dumps(c, protocol))
    assert d.balance == 2
    assert [d.receive() for _ in range(4)] == [["value", 0], ["value", 1], 10, 11]
    pickletask.run()
    assert d.balance == 0 and c.balance == 2
    for task in tasks:
        task.kill()


def test_channel_settings_are_kept(mode, pickler, protocol):
    c = channel()
    c.preference = 1
    c.schedule_all = 1
    c.close()
    d = pickler.loads(pickler.dumps(c, protocol))
    assert (d.preference, bool(d.schedule_all), d.closing, d.closed) == (1, True, True, True)


def test_channel_shared_by_two_tasks_stays_shared(mode, pickler, protocol):
    c, log = channel(), []

    def talk(name, first):
        if first:
            c.send(schedule_remove(name))
        else:
            log.append((name, c.receive()))

    one, two = tasklet(talk)("one", True), tasklet(talk)("two", False)
    pickletask.schedule()
    assert one.paused and two.blocked
    one, two = pickler.loads(pickler.dumps((one, two), protocol))
    assert one.paused and two.blocked
    # The channel is in a cell that both functions share, and so is the log.
    one.tempval = "hello"
    one.insert()
    pickletask.run()
    assert not one.alive and not two.alive
    assert log == []


# ---- leaks ----------------------------------------------------------------


@pytest.mark.slow
def test_copies_leave_nothing_behind(mode, run_isolated):
    out = run_isolated(Path("isolated/leaks.py"), mode=mode, timeout=600).stdout
    assert out.splitlines()[-1].startswith("checked "), out


# What is free is filled with what is no pointer.
FILLED = {"PYTHONMALLOC": "debug", "PYTHONWARNINGS": "ignore"}


def test_killed_tasks_touch_no_memory_that_is_free(mode, run_isolated):
    script = Path("isolated/kill_everywhere.py")
    out = run_isolated(script, mode=mode, env=FILLED).stdout
    assert len(out.splitlines()) > 300


def test_unwinding_tasks_touch_no_memory_that_is_free(mode, run_isolated):
    out = run_isolated(Path("isolated/unwind.py"), 7 * SLOWDOWN, mode=mode, env=FILLED).stdout
    assert int(out.split()[-1]) > 2000 // SLOWDOWN


# ---- plumbing -------------------------------------------------------------


def test_reducers_are_registered_by_import_and_can_be_withdrawn(run_isolated):
    run_isolated(
        """
import copyreg, pickle, types
before = dict(copyreg.dispatch_table)
import pickletask
kinds = [types.CodeType, types.CellType, types.FunctionType, types.FrameType,
         types.GeneratorType, types.CoroutineType, types.TracebackType, types.ModuleType]
assert all(kind in copyreg.dispatch_table for kind in kinds)
g = (x for x in range(3))
assert list(pickle.loads(pickle.dumps(g))) == [0, 1, 2]
pickletask.unregister()
assert copyreg.dispatch_table == before
try:
    pickle.dumps(g)
except TypeError as error:
    assert "generator" in str(error)
else:
    raise AssertionError("pickled without a reducer")
pickletask.unregister()
pickletask.register()
pickletask.register()
assert list(pickle.loads(pickle.dumps(g))) == [0, 1, 2]
pickletask.unregister()
assert copyreg.dispatch_table == before
"""
    )


def test_pickler_with_a_dispatch_table_of_its_own_works_with_ours(pickler):
    out = io.BytesIO()
    p = pickler.Pickler(out, 4)
    p.dispatch_table = copyreg.dispatch_table.copy()
    p.dump(x for x in range(3))
    assert list(pickler.loads(out.getvalue())) == [0, 1, 2]


def test_two_dumps_of_one_task_are_equal(mode):
    task, _ = programs.start(programs.find("generators:yield_from_five_deep"))
    task.run()
    assert pickle.dumps(task) == pickle.dumps(task)


def test_frames_of_one_function_share_its_code_after_loading():
    task, _ = programs.start(programs.find("calls:suspend_a_hundred_calls_deep"))
    task.run()
    function = sys.modules["cases.calls"]._down
    for copy in (pickle.loads(pickle.dumps(task)), pickle.loads(pickle.dumps(task))):
        frame = copy.frame
        codes = set()
        while frame is not None:
            if frame.f_code.co_name == "_down":
                codes.add(id(frame.f_code))
            frame = frame.f_back
        assert codes == {id(function.__code__)}


def test_hundred_deep_task_carries_each_code_once():
    shallow, _ = programs.start(programs.find("calls:suspend_five_calls_deep"))
    deep, _ = programs.start(programs.find("calls:suspend_a_hundred_calls_deep"))
    shallow.run()
    deep.run()
    assert len(pickle.dumps(deep)) - len(pickle.dumps(shallow)) < 95 * 60
