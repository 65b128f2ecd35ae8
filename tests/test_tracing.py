"""Tracers, profilers and sys.monitoring over tasks, whichever of both began first."""

import cProfile
import faulthandler
import inspect
import pickle
import sys
import traceback

import pytest

import pickletask
from pickletask import run, schedule_remove, tasklet

KINDS = ["trace", "profile", *(["monitoring"] if sys.version_info >= (3, 12) else [])]
TOOL = 3


def inner(x):
    y = x + 1
    schedule_remove()
    z = y + 1
    return z


def middle(x):
    result = inner(x)
    return result + 1


def numbers(x):
    yield 1
    yield middle(x)


def loop(x):
    total = 0
    for number in numbers(x):
        total += number
    return total


def step(x):
    generator = numbers(x)
    next(generator)
    return next(generator)


NAMES = {"inner", "middle", "numbers", "loop", "step"}
FUNCTIONS = [middle, loop, step]


def suspended(function, how):
    """A task of FUNCTION that waits: with its C stack, without, or loaded from a pickle."""
    old = pickletask.set_parked_limit(1000 if how == "kept" else 0)
    try:
        task = tasklet(function)(5)
        task.run()
        if how == "loaded":
            original = task
            task = pickle.loads(pickle.dumps(original))
            original.kill()
        return task
    finally:
        pickletask.set_parked_limit(old)


class Recorder:
    """Records events of this file's functions, from start() to stop()."""

    def __init__(self, kind):
        self.kind = kind
        self.events = []
        self.strangers = set()

    def note(self, code, *event):
        if code.co_filename != __file__ and "pickletask" in code.co_filename:
            self.strangers.add(code.co_name)
        if code.co_filename == __file__ and code.co_name in NAMES:
            self.events.append((code.co_name, *event))

    def traced(self, frame, event, argument):
        # A C call that was under way when the task was softened has no end.
        if not event.startswith("c_"):
            self.note(frame.f_code, event, frame.f_lineno)
        return self.traced

    def start(self):
        if self.kind == "trace":
            sys.settrace(self.traced)
        elif self.kind == "profile":
            sys.setprofile(self.traced)
        else:
            monitoring = sys.monitoring
            monitoring.use_tool_id(TOOL, "test")
            events = monitoring.events
            wanted = "LINE PY_START PY_RETURN PY_RESUME PY_YIELD PY_UNWIND RAISE".split()
            for name in wanted:

                def callback(code, argument, *rest, name=name):
                    self.note(code, name, argument if name == "LINE" else None)

                monitoring.register_callback(TOOL, getattr(events, name), callback)
            monitoring.set_events(TOOL, sum(getattr(events, name) for name in wanted))

    def stop(self):
        if self.kind == "trace":
            sys.settrace(None)
        elif self.kind == "profile":
            sys.setprofile(None)
        else:
            sys.monitoring.set_events(TOOL, 0)
            sys.monitoring.free_tool_id(TOOL)


def resumed_events(kind, function, how, when):
    recorder = Recorder(kind)
    old = sys.gettrace(), sys.getprofile()
    try:
        if when == "before":
            recorder.start()
        task = suspended(function, how)
        if when == "after":
            recorder.start()
        del recorder.events[:]
        task.insert()
        run()
    finally:
        recorder.stop()
        sys.settrace(old[0])
        sys.setprofile(old[1])
    assert not task.alive
    assert not recorder.strangers
    return recorder.events


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_resumed_task_reports_what_a_kept_one_does(kind, function):
    expected = resumed_events(kind, function, "kept", "before")
    assert len(expected) > 1
    assert resumed_events(kind, function, "soft", "before") == expected
    if kind != "trace":
        # Which frames are traced is not saved.
        assert resumed_events(kind, function, "loaded", "before") == expected


@pytest.mark.parametrize("how", ["kept", "soft", "loaded"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_task_resumes_under_a_tracer_that_came_while_it_waited(kind, function, how):
    # CPython instruments only the frames that run: some events may be missing, none is wrong.
    events = resumed_events(kind, function, how, "after")
    lines = [line for _, event, line in events if event in ("line", "LINE")]
    first = inner.__code__.co_firstlineno
    assert all(line > first + 2 for line in lines)


@pytest.mark.parametrize("how", ["kept", "soft", "loaded"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_waiting_frames_show_their_lines(function, how):
    task = suspended(function, how)
    frame = task.frame
    assert inspect.getsource(inner).splitlines()[2].strip() == "schedule_remove()"
    assert frame.f_lineno == inner.__code__.co_firstlineno + 2
    assert frame.f_locals == {"x": 5, "y": 6}
    names = [entry.name for entry in traceback.extract_stack(frame)]
    assert names[0] == function.__name__ and names[-1] == "inner"
    task.kill()


@pytest.mark.parametrize("how", ["kept", "soft", "loaded"])
def test_traceback_of_an_error_thrown_has_all_frames(how):
    task = suspended(loop, how)
    with pytest.raises(KeyError) as caught:
        task.throw(KeyError)
    entries = traceback.extract_tb(caught.value.__traceback__)
    assert [entry.name for entry in entries][-4:] == ["loop", "numbers", "middle", "inner"]
    assert entries[-1].lineno == inner.__code__.co_firstlineno + 2


@pytest.mark.parametrize("how", ["kept", "soft", "loaded"])
def test_running_task_sees_only_its_own_callers(how):
    names = []

    def look():
        schedule_remove()
        names.extend(entry.function for entry in inspect.stack())

    old = pickletask.set_parked_limit(1000 if how == "kept" else 0)
    try:
        task = tasklet(look)()
        task.run()
        task.run()
    finally:
        pickletask.set_parked_limit(old)
    assert names == ["look"]


@pytest.mark.parametrize("how", ["kept", "soft", "loaded"])
def test_frame_outlives_its_task(how):
    for end in "run", "kill":
        task = suspended(middle, how)
        frame = task.frame
        caller = frame.f_back
        with pytest.raises(RuntimeError):
            frame.clear()
        getattr(task, end)()
        assert not task.alive
        assert frame.f_locals["y"] == 6 and caller.f_locals["x"] == 5
        assert frame.f_lineno > frame.f_code.co_firstlineno
        frame.clear()
        assert frame.f_locals == {}


@pytest.mark.parametrize("limit", [0, 1000])
def test_profiler_runs_over_switches(limit):
    old = pickletask.set_parked_limit(limit)
    profile = cProfile.Profile()
    try:
        profile.enable()
        tasks = [tasklet(loop)(n) for n in range(5)]
        run()
        for task in tasks:
            task.insert()
        run()
    finally:
        profile.disable()
        pickletask.set_parked_limit(old)
    profile.create_stats()
    assert any(name == "middle" for _, _, name in profile.stats)


def test_faulthandler_dumps_a_resumed_task(tmp_path):
    with open(tmp_path / "dump", "w+") as file:

        def dump():
            schedule_remove()
            faulthandler.dump_traceback(file)

        old = pickletask.set_parked_limit(0)
        try:
            task = tasklet(dump)()
            task.run()
            task.run()
        finally:
            pickletask.set_parked_limit(old)
        file.seek(0)
        assert " in dump\n" in file.read()
