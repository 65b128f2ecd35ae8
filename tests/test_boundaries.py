"""Tasks below C code: what is saved in the place of the C code, and what can be seen of that.

That the results are right is tested in test_pickling.py with the cases of objects.py and
operators.py, and with those of boundaries.py, some of which are refused.
"""

import gc
import operator
import pickle
import sys
import traceback

import programs
import pytest
from programs import begin

import pickletask
from pickletask import _bridges, _conversions, _core, schedule_remove, states

# As in test_pickling.py.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OF_C_CODE = "attributes:", "classes:", "conversions:", "iterators:", "objects:", "operators:"
CASES = [case for case in programs.cases("tasks") if case.startswith(OF_C_CODE)]


class Box:
    """Suspends where CPython's C code calls it."""

    def __init__(self, value=0):
        schedule_remove()
        self.value = value

    def __add__(self, other):
        schedule_remove()
        raise ValueError(other)

    def __eq__(self, other):
        schedule_remove()
        return NotImplemented

    __hash__ = None


def make(log):
    log.append(Box(1).value)


def add(log, box):
    log.append(box + 1)


def compare(log, box):
    log.append(box == box)


def box():
    made = Box.__new__(Box)
    made.value = 5
    return made


def copied(task):
    return pickle.loads(pickle.dumps(task))


def names(frame):
    found = []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


def test_bridge_is_invisible_in_frames(mode):
    task = begin(make, [])
    assert names(copied(task).frame)[:2] == names(task.frame)[:2] == ["__init__", "make"]


def test_bridge_is_invisible_in_tracebacks(mode):
    task = begin(add, [], box())
    seen = []
    for t in (copied(copied(task)), task):
        with pytest.raises(ValueError) as caught:
            t.run()
        seen.append([entry.name for entry in traceback.extract_tb(caught.tb)][-2:])
    assert seen == [["add", "__add__"]] * 2


class Steps:
    """An iterator whose second step suspends, and whose third one fails."""

    def __init__(self, at):
        self.at = at

    def __iter__(self):
        return self

    def __next__(self):
        self.at -= 1
        schedule_remove()
        return 1 // self.at


def step(log, steps):
    for number in steps:
        log.append(number)


@pytest.mark.parametrize("at", [1, 2])
def test_bridge_that_iterates_is_invisible_in_tracebacks(mode, at):
    task = begin(step, [], Steps(at))
    for t in (copied(copied(task)), task):
        with pytest.raises(ZeroDivisionError) as caught:
            while True:
                t.run()
        seen = [entry.name for entry in traceback.extract_tb(caught.tb)]
        assert seen[-2:] == ["step", "__next__"]


def test_bridge_is_invisible_to_trace_functions(mode):
    task, events = copied(begin(compare, [], box())), []

    def trace(frame, event, argument):
        events.append((frame.f_code.co_name, event))
        return trace

    sys.settrace(trace)
    try:
        while task.alive:
            task.run()
    finally:
        sys.settrace(None)
    assert not {name for name, _ in events} & set(dir(_bridges)), events


@pytest.mark.parametrize("set_hook", [sys.settrace, sys.setprofile])
def test_exception_passes_through_a_bridge_that_is_traced(mode, set_hook):
    task, raised = copied(begin(add, [], box())), []

    def hook(frame, event, argument):
        if event == "exception":
            raised.append(frame.f_code.co_name)
        return hook

    set_hook(hook)
    try:
        with pytest.raises(ValueError):
            task.run()
    finally:
        set_hook(None)
    assert not {"operation", "_pending"} & set(raised)


def test_repeated_saving_adds_nothing(mode):
    task = copied(begin(make, []))
    size = len(pickle.dumps(task))
    for _ in range(3):
        task = copied(task)
    assert len(pickle.dumps(task)) == size
    assert len(parts_of(task)) == len(parts_of(begin(make, [])))


def parts_of(task):
    """A task's state in parts, pairs of bytes and items: its own, and those of its frames."""
    header, *items = task.__reduce_ex__(4)[2]
    reader = states._Reader(header, items)
    own = reader.take(len(states.own_items(header)))
    minor = reader.bytes(2)[1] % 32
    found = [(header[:2], own)]
    while reader.left():
        begin, left = reader.at, operator.length_hint(reader.items)
        states._frame(reader, minor)
        end = len(items) - operator.length_hint(reader.items)
        found.append((header[begin : reader.at], items[len(items) - left : end]))
    assert operator.length_hint(reader.items) == 0
    return found


def state_of(parts):
    """The state of a task that consists of these."""
    return (b"".join(part for part, _ in parts), *(item for _, items in parts for item in items))


def test_task_in_specialised_init_can_be_soft():
    """From 3.13 on no C code stands there: see CALL_ALLOC_AND_ENTER_INIT."""
    old = pickletask.set_parked_limit(0)
    try:
        for _ in range(50):
            log = []
            task = begin(make, log)
            assert task.nesting_level == 0
            task.run()
            assert log == [1]
    finally:
        pickletask.set_parked_limit(old)


def test_original_goes_on_after_saving(mode):
    log, one = [], box()
    tasks = [begin(make, log), begin(compare, log, one)]
    for task in tasks:
        pickle.dumps(task)
    tasks[0].run()
    while tasks[1].alive:
        pickle.dumps(tasks[1])
        tasks[1].run()
    assert log == [1, True]


@pytest.mark.parametrize("case", CASES)
def test_saving_leaks_nothing(case):
    def objects():
        gc.collect()
        return len(gc.get_objects())

    def save_everywhere():
        task, outcome = programs.start(programs.find(case))
        trace = []
        while programs.step(task, outcome, trace):
            pickletask.dumps((task, outcome))

    for _ in range(3):
        save_everywhere()
    before = objects()
    for _ in range(10):
        save_everywhere()
    assert objects() - before < 10


@pytest.mark.parametrize("case", CASES)
def test_task_resumes_in_copies_by_reference(case):
    def copy(pair):
        return pickletask.loads(pickletask.dumps(pair, code="reference"))

    function = programs.find(case)
    if case in ("objects:execute_code", "classes:execute_in_a_namespace_that_suspends"):
        with pytest.raises(pickletask.NotPicklableError, match="globals"):
            programs.run_and_resume(function, copy)
    else:
        assert programs.run_and_resume(function, copy) == programs.reference(function)


# ---- damaged states -------------------------------------------------------


class Truthful:
    def __bool__(self):
        return schedule_remove(True)

    def __contains__(self, item):
        return schedule_remove(item)

    def __iter__(self):
        schedule_remove()
        return iter(())

    def __lt__(self, other):
        return schedule_remove(True)


def ask(thing):
    return 1 if thing else 2


def ask_not(thing):
    return not thing


def contain(thing):
    return 1 in thing


def loop(thing):
    for _ in thing:
        pass


def order(thing):
    if thing < 1:
        return 1


def loaded(state):
    """The state with the objects that a pickle would bring."""
    return pickle.loads(pickle.dumps(state))


@pytest.mark.parametrize("function", [ask, ask_not, contain, loop, order])
def test_result_that_the_interpreter_relies_on_needs_its_bridge(function):
    """Without it any value could get where the interpreter expects a bool or an iterator."""
    task = begin(function, Truthful())
    try:
        parts = parts_of(task)
    except pickletask.NotPicklableError:
        pytest.skip("this version of CPython does it in another way")
    assert len(parts) == 4, parts
    if function is order and sys.version_info < (3, 13):
        pytest.skip("a comparison makes any object")
    bridge = parts.pop(2)
    with pytest.raises(pickletask.CorruptStateError, match="doesn't wait for what it called"):
        pickletask.tasklet().__setstate__(loaded(state_of(parts)))
    parts.insert(2, bridge)
    fresh = pickletask.tasklet()
    fresh.__setstate__(loaded(state_of(parts)))
    fresh.remove()
    fresh.run()
    assert not fresh.alive


# ---- distances ------------------------------------------------------------


def test_distances_are_measured_for_every_way():
    distances = _core._distances()
    assert set(range(-18, -6)) <= set(distances)
    assert {-100 - number for number in range(len(_conversions.TABLE))} <= set(distances)
    assert all(distances.values())


def test_distances_fit_into_their_table():
    """A way with as many as there is room for may have more of them."""
    assert max(len(known) for known in _core._distances().values()) < 96


def test_generator_under_next_stays_soft(mode):
    """What is passed on needs no C stack, also where other ways have the same distance."""

    def generate():
        yield schedule_remove()

    def step():
        next(generate())

    task = begin(step)
    assert task.nesting_level == 0
    assert copied(task).nesting_level == 0
    task.run()


COLLECTOR = """
import gc
import pickletask

def callback(phase, info):
    pickletask.schedule()

class Meta(type):
    def __call__(cls, n):
        return type.__call__(cls, n)

class Made(metaclass=Meta):
    def __init__(self, n):
        self.n = n, [n]

def work(log):
    for n in range(300):
        log.append(Made(n).n)
        [].append([n])
        "{}".format([n])

logs = [], []
for log in logs:
    pickletask.tasklet(work)(log)
gc.callbacks.append(callback)
gc.set_threshold(1)
pickletask.run()
gc.set_threshold(700)
assert logs[0] == logs[1] == [(n, [n]) for n in range(300)]
"""


def test_callbacks_of_the_collector_may_switch(run_isolated, mode):
    """The collector runs between instructions, too, when operands of a call are gone."""
    run_isolated(COLLECTOR, mode=mode)
