"""Copies by copy, cloudpickle and multiprocessing; what is shared stays shared; single objects."""

import copy
import multiprocessing
import pickle
import sys
import traceback
import types

import cloudpickle
import programs
import pytest
from programs import begin

import pickletask
from pickletask import channel, schedule_remove, tasklet

# A copy that is dropped is killed; a generator of it that suspends in `finally` then, while it is
# being finalised, has nobody to raise TaskletExit to.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# The class and the functions of its body share a cell. deepcopy() copies no function, and
# cloudpickle gives each function cells of its own.
SHARED_CELL = "classes:make_classes_by_a_metaclass"
TASKS = [case for case in programs.parameters("tasks") if case != SHARED_CELL]
SUSPENDED = programs.cases("suspended")


@pytest.fixture(params=["C", "Python", "pickletask", "cloudpickle", "deepcopy"])
def duplicate(request):
    """Each way to make a copy of what shares things inside."""
    return {
        "C": lambda obj: pickle.loads(pickle.dumps(obj)),
        "Python": lambda obj: pickle._loads(pickle._dumps(obj)),
        "pickletask": lambda obj: pickletask.loads(pickletask.dumps(obj)),
        "cloudpickle": lambda obj: cloudpickle.loads(cloudpickle.dumps(obj)),
        "deepcopy": copy.deepcopy,
    }[request.param]


# ---- every case by other copiers ------------------------------------------


@pytest.mark.parametrize("case", TASKS)
def test_task_resumes_in_deep_copies_at_every_suspension(case, mode):
    function = programs.find(case)
    expected = programs.reference(function)
    assert programs.run_and_resume(function, copy.deepcopy) == expected


@pytest.mark.parametrize("case", TASKS)
def test_task_resumes_in_copies_by_cloudpickle_at_every_suspension(case, mode):
    function = programs.find(case)
    expected = programs.reference(function)
    for protocol in (4, 5):
        by_cloudpickle = programs.copier(cloudpickle.dumps, pickle.loads, protocol)
        assert programs.run_and_resume(function, by_cloudpickle) == expected


@pytest.mark.parametrize("case", SUSPENDED)
@pytest.mark.parametrize("how", ["deepcopy", "cloudpickle"])
def test_generator_resumes_in_other_copies_wherever_it_waits(case, how):
    make = programs.find(case)
    by_cloudpickle = programs.copier(cloudpickle.dumps, pickle.loads, 5)
    way = copy.deepcopy if how == "deepcopy" else by_cloudpickle
    assert programs.drive(make, way, send=True) == programs.drive(make, send=True)


# ---- copy -----------------------------------------------------------------


def walk(items, log):
    for item in items:
        log.append(schedule_remove(item))


def test_deep_copy_of_a_task_shares_nothing_with_it(mode):
    items, log = [1, 2, 3], []
    task = begin(walk, items, log)
    task.run()
    fork = copy.deepcopy(task)
    assert fork.paused and fork.tempval == 2
    items.append(4)
    while task.alive:
        task.run()
    fork_log = fork.frame.f_locals["log"]
    while fork.alive:
        fork.run()
    assert log == [1, 2, 3, 4] and fork_log == [1, 2, 3]


def test_deep_copy_of_a_generator_shares_nothing_with_it():
    def generator():
        for item in items:  # noqa: UP028
            yield item

    items = [[1], [2], [3]]
    g = generator()
    next(g)
    h = copy.deepcopy(g)
    items.append([4])
    assert list(g) == [[2], [3], [4]]
    # Functions are copied with their cells, as pickle does.
    assert list(h) == [[2], [3]]


def test_deep_copy_keeps_what_a_container_shares():
    g = (x for x in [1, 2, 3])
    next(g)
    first, second, inner = copy.deepcopy([g, g, {"g": g}])
    assert first is second is inner["g"]
    assert list(first) == [2, 3] and list(g) == [2, 3]


def test_shallow_copy_of_a_task_is_refused(mode):
    log = []
    task = begin(walk, [1, 2], log)
    with pytest.raises(TypeError, match="use copy.deepcopy"):
        copy.copy(task)
    while task.alive:
        task.run()
    assert log == [1, 2]


def test_copies_of_functions_are_what_copy_makes_of_them():
    """Only inside of tasks and generators functions are copied."""

    def function():
        pass

    assert copy.copy(function) is function and copy.deepcopy([function])[0] is function


# ---- what is shared stays shared ------------------------------------------


def test_cell_shared_by_two_generators_stays_shared(duplicate):
    count = 0

    def up():
        nonlocal count
        while True:
            count += 1
            yield count

    def down():
        nonlocal count
        while True:
            count -= 10
            yield count

    one, two = up(), down()
    assert (next(one), next(two), next(one)) == (1, -9, -8)
    a, b = duplicate((one, two))
    assert (next(a), next(b), next(a), next(b)) == (-7, -17, -16, -26)
    assert (next(one), next(two)) == (-7, -17)


def test_cell_shared_by_two_tasks_stays_shared(duplicate, mode):
    total = 0

    def work(n):
        nonlocal total
        for _ in range(2):
            total += n
            schedule_remove(total)

    one, two = begin(work, 1), begin(work, 100)
    assert (one.tempval, two.tempval) == (1, 101)
    a, b = duplicate([one, two])
    a.run()
    b.run()
    assert (a.tempval, b.tempval) == (102, 202) and total == 101
    for task in (a, b, one, two):
        task.kill()


def test_cell_shared_by_two_frames_of_a_task_stays_shared(duplicate, mode):
    task, outcome = programs.start(programs.find("closures:share_a_variable_over_three_levels"))
    task.run()
    task, outcome = duplicate((task, outcome))
    while task.alive:
        task.run()
    assert outcome == [(((11, 22), 11, 22), 11)]


def test_generator_shared_by_two_tasks_stays_shared(duplicate, mode):
    def work():
        schedule_remove("first")
        schedule_remove(next(shared))

    shared = (x for x in range(5))
    next(shared)
    tasks = begin(work), begin(work)
    a, b = duplicate(tasks)
    a.run()
    b.run()
    assert (a.tempval, b.tempval) == (1, 2) and next(shared) == 1
    for task in (a, b, *tasks):
        task.kill()


def test_generator_that_refers_to_itself_is_copied(duplicate):
    def generator():
        yield 1
        yield me
        yield 3

    me = generator()
    next(me)
    other = duplicate(me)
    assert next(other) is other and next(other) == 3
    assert next(me) is me


def test_two_generators_that_refer_to_one_another_are_copied(duplicate):
    def generator():
        other = yield
        yield 1
        yield other

    a, b = generator(), generator()
    next(a)
    next(b)
    a.send(b)
    b.send(a)
    c, d = duplicate([a, b])
    assert next(c) is d and next(d) is c


def test_task_that_holds_itself_is_copied(duplicate, mode):
    def work():
        me = pickletask.getcurrent()
        schedule_remove("waiting")
        log.append(me is pickletask.getcurrent())

    log = []
    task = begin(work)
    other, other_log = duplicate((task, task.frame.f_locals["log"]))
    assert other.frame.f_locals["me"] is other
    other.run()
    assert other_log == [True] and log == []
    task.kill()


def test_two_tasks_that_hold_one_another_are_copied(duplicate, mode):
    def work(pair):
        schedule_remove("waiting")
        seen.extend(pair)

    seen, pair = [], []
    pair += [begin(work, pair), begin(work, pair)]
    others, other_seen = duplicate((pair, seen))
    assert others[0].frame.f_locals["pair"] is others
    others[0].run()
    assert other_seen == others and not others[0].alive
    for task in [*pair, others[1]]:
        task.kill()


def test_generator_that_runs_in_a_task_and_is_held_outside_stays_one(duplicate, mode):
    def generator():
        yield schedule_remove(1)
        yield 2

    def work(g):
        for _ in g:
            schedule_remove("loop")
            break
        schedule_remove(g.gi_frame is not None)

    g = generator()
    task = begin(work, g)
    for pair in ((task, g), (g, task)):
        other, h = duplicate(pair)
        if pair[0] is g:
            other, h = h, other
        assert h.gi_running
        other.run()
        assert other.tempval == "loop" and not h.gi_running
        assert next(h) == 2
        other.kill()
    task.kill()
    g.close()


def test_generator_that_runs_in_a_task_is_exhausted_without_it(duplicate, mode):
    def generator():
        yield schedule_remove(1)
        yield 2

    def work(g):
        for _ in g:
            pass

    g = generator()
    task = begin(work, g)
    alone = duplicate(g)
    assert not alone.gi_running and list(alone) == []
    task.run()
    assert not task.alive


def test_local_function_held_twice_stays_one(duplicate, mode):
    def work():
        def inner():
            return marks

        marks = [1]
        again = inner
        inner.attribute = marks
        schedule_remove("two")
        log.append((again is inner, inner() is marks is inner.attribute))

    log = []
    task = begin(work)
    other, other_log = duplicate((task, log))
    other.run()
    assert other_log == [(True, True)]
    task.kill()


def test_importable_function_is_the_same_one(duplicate, mode):
    def work(function):
        schedule_remove("waiting")
        log.append(function)

    log = []
    task = begin(work, walk)
    other, other_log = duplicate((task, log))
    other.run()
    assert other_log == [walk]
    task.kill()


def test_channel_shared_by_two_tasks_stays_shared(duplicate, mode):
    def produce(c):
        schedule_remove("ready")
        for x in range(3):
            c.send(x)

    def consume(c, log):
        schedule_remove("ready")
        for _ in range(3):
            log.append(c.receive())

    c, log = channel(), []
    one, two = begin(produce, c), begin(consume, c, log)
    a, b, d, other_log = duplicate((one, two, c, log))
    assert d is not c
    a.insert()
    b.insert()
    pickletask.run()
    assert other_log == [0, 1, 2] and log == []
    assert not a.alive and not b.alive and d.balance == 0
    one.kill()
    two.kill()


def test_tasks_blocked_on_one_channel_are_copied_together(duplicate, mode):
    def consume(c, log):
        log.append(c.receive())

    c, log = channel(), []
    tasks = [tasklet(consume)(c, log) for _ in range(3)]
    pickletask.schedule()
    others, d, other_log = duplicate((tasks, c, log))
    assert [task.blocked for task in others] == [True] * 3 and d.balance == -3
    for x in range(3):
        d.send(x)
    assert other_log == [0, 1, 2] and log == [] and c.balance == -3
    for task in tasks:
        task.kill()


# ---- generators by themselves ---------------------------------------------


def count(n):
    """Count to N."""
    for i in range(n):  # noqa: UP028
        yield i
    return "end"


def test_unstarted_generator_is_copied(duplicate):
    g = count(3)
    h = duplicate(g)
    assert (h.__name__, h.__qualname__) == ("count", "count")
    with pytest.raises(TypeError, match="just-started"):
        h.send(1)
    assert list(h) == [0, 1, 2] and list(g) == [0, 1, 2]


def test_exhausted_closed_and_failed_generators_are_copied(duplicate):
    def fail():
        yield 1
        raise KeyError

    exhausted, closed, failed, never = count(1), count(3), fail(), count(3)
    list(exhausted)
    next(closed)
    closed.close()
    never.close()
    next(failed)
    with pytest.raises(KeyError):
        next(failed)
    for g in duplicate([exhausted, closed, failed, never]):
        assert g.gi_frame is None and not g.gi_running and list(g) == []


def test_closing_and_throwing_into_a_copy_runs_its_handlers(duplicate):
    def generator(log):
        try:
            yield 1
        except ValueError as error:
            log.append(repr(error))
            yield 2
        finally:
            log.append("finally")

    log = []
    g = generator(log)
    next(g)
    h, other_log = duplicate((g, log))
    h.close()
    assert other_log == ["finally"]
    h, other_log = duplicate((g, log))
    assert h.throw(ValueError("thrown")) == 2
    h, other_log = duplicate((h, other_log))
    h.close()
    assert other_log == ["ValueError('thrown')", "finally"] and log == []
    g.close()


def test_copy_that_nobody_closes_runs_its_finally_clauses(duplicate):
    def generator(log):
        try:
            yield 1
        finally:
            log.append("finally")

    log = []
    g = generator(log)
    next(g)
    h, other_log = duplicate((g, log))
    del h
    assert other_log == ["finally"] and log == []
    g.close()


def test_renamed_generator_keeps_its_names(duplicate):
    g = count(2)
    g.__name__, g.__qualname__ = "name", "qual.name"
    next(g)
    h = duplicate(g)
    assert (h.__name__, h.__qualname__, h.gi_code) == ("name", "qual.name", count.__code__)


def test_asynchronous_generator_at_rest_is_copied(duplicate):
    async def numbers():
        for i in range(3):
            yield i

    def step(agen):
        try:
            agen.asend(None).send(None)
        except StopIteration as stop:
            return stop.value

    agen = numbers()
    assert step(agen) == 0
    other = duplicate(agen)
    assert type(other) is types.AsyncGeneratorType
    assert (step(other), step(other), step(agen)) == (1, 2, 1)
    with pytest.raises(StopAsyncIteration):
        step(other)
    with pytest.raises(StopAsyncIteration):
        step(other)
    assert step(duplicate(numbers())) == 0


def test_unawaited_coroutine_is_copied(duplicate):
    async def work(x):
        return x * 2

    coroutine = work([1])
    other = duplicate(coroutine)
    for it in (other, coroutine):
        with pytest.raises(StopIteration) as stop:
            it.send(None)
        assert stop.value.value == [1, 1]
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            it.send(None)


def test_generator_of_executed_code_takes_its_namespace_along(pickler, protocol):
    namespace = {"__name__": "nowhere_to_be_found", "base": [10]}
    exec("def g():\n for i in range(3):\n  base.append(i)\n  yield sum(base)\n", namespace)
    g = namespace["g"]()
    assert next(g) == 10
    h = pickler.loads(pickler.dumps(g, protocol))
    assert list(h) == [11, 13] and namespace["base"] == [10, 0]
    assert h.gi_code is not None


# ---- single objects -------------------------------------------------------


def test_code_cell_and_module_are_pickled(pickler, protocol):
    def copied(obj):
        return pickler.loads(pickler.dumps(obj, protocol))

    code = copied(count.__code__)
    assert code == count.__code__
    namespace = {}
    assert list(types.FunctionType(code, namespace)(2)) == [0, 1]
    cell = copied(types.CellType([1]))
    assert type(cell) is types.CellType and cell.cell_contents == [1]
    with pytest.raises(ValueError, match="empty"):
        copied(types.CellType()).cell_contents  # noqa: B018
    loop = types.CellType()
    loop.cell_contents = [loop]
    other = copied(loop)
    assert other.cell_contents[0] is other
    assert copied(sys) is sys and copied(programs) is programs


def test_module_that_cannot_be_imported_goes_by_value(pickler, protocol):
    module = types.ModuleType("nowhere_to_be_found", "Its text.")
    module.value = [1]
    module.me = module
    other = pickler.loads(pickler.dumps(module, protocol))
    assert other is not module and type(other) is types.ModuleType
    assert (other.__name__, other.__doc__, other.value) == (module.__name__, "Its text.", [1])
    assert other.me is other


def fail_below(depth):
    if depth:
        fail_below(depth - 1)
    local = lambda: depth  # noqa: E731
    raise ValueError(local)


def test_traceback_is_pickled_with_its_frames(pickler, protocol):
    with pytest.raises(ValueError) as caught:
        fail_below(2)
    tb = caught.value.__traceback__.tb_next
    other = pickler.loads(pickler.dumps(tb, protocol))
    assert type(other) is types.TracebackType
    assert traceback.format_tb(other) == traceback.format_tb(tb)
    while other.tb_next is not None:
        other = other.tb_next
    assert other.tb_frame.f_code.co_name == "fail_below"
    assert other.tb_frame.f_locals["depth"] == 0 and other.tb_frame.f_locals["local"]() == 0
    assert other.tb_frame.f_lineno == other.tb_lineno


def test_frame_is_pickled_for_looking_at(pickler, protocol):
    def function(x):
        frame = sys._getframe()
        line = frame.f_lineno + 1
        return line, pickler.dumps(sys._getframe(), protocol), x

    line, data, _ = function([5])
    frame = pickler.loads(data)
    assert type(frame) is types.FrameType
    assert frame.f_code.co_name == "function" and frame.f_lineno == line
    assert frame.f_locals["x"] == [5] and frame.f_globals is globals()


# ---- functions in the user's own containers -------------------------------


def test_functions_in_containers_need_pickletask_dumps(protocol):
    def make(n):
        def add(x, *, scale=2):
            return (x + n) * scale

        return add

    functions = {"add": make(1), "lambda": lambda x: make(x)(1), "imported": walk}
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(functions, protocol)
    for loads in (pickletask.loads, pickle.loads, pickle._loads):
        others = loads(pickletask.dumps(functions, protocol))
        assert others["add"](5) == 12 and others["lambda"](2) == 6
        assert others["imported"] is walk
        assert others["add"].__qualname__ == make(1).__qualname__


def test_recursive_local_function_in_a_container_is_pickled(protocol):
    def fact(n):
        return 1 if n == 0 else n * fact(n - 1)

    (other,) = pickletask.loads(pickletask.dumps([fact], protocol))
    assert other is not fact and other(5) == 120
    assert other.__closure__[0].cell_contents is other


def test_functions_inside_a_task_and_outside_stay_one(mode, protocol):
    def work():
        def inner():
            return 1

        held.append(inner)
        schedule_remove("waiting")
        log.append(held[0] is inner)

    held, log = [], []
    task = begin(work)
    other, other_held, other_log = pickletask.loads(pickletask.dumps((task, held, log), protocol))
    other.run()
    assert other_log == [True] and other_held[0] is not held[0]
    task.kill()


def test_pickletask_dump_and_load_use_files(tmp_path, protocol, mode):
    task = begin(walk, [1, 2], [])
    with open(tmp_path / "task", "wb") as file:
        pickletask.dump([task, lambda: 5], file, protocol)
    with open(tmp_path / "task", "rb") as file:
        other, function = pickletask.load(file)
    assert other.paused and other.tempval == 1 and function() == 5
    other.kill()
    task.kill()


def test_pickler_class_keeps_identity_between_dumps(tmp_path, protocol):
    import io

    def function():
        return 1

    file = io.BytesIO()
    pickler = pickletask.Pickler(file, protocol)
    pickler.dump([function])
    pickler.dump((function, 2))
    file.seek(0)
    unpickler = pickletask.Unpickler(file)
    (first,), (second, _) = unpickler.load(), unpickler.load()
    assert first is second and first() == 1


# ---- registering ----------------------------------------------------------


def test_tasks_stay_picklable_without_registered_reducers(mode):
    task, outcome = programs.start(programs.find("closures:share_a_variable_over_three_levels"))
    task.run()
    pickletask.unregister()
    try:
        other, other_outcome = pickle.loads(pickle.dumps((task, outcome)))
        with pytest.raises(TypeError, match="generator"):
            pickle.dumps(count(1))
        with pytest.raises(TypeError, match="generator"):
            copy.deepcopy(count(1))
        assert list(pickletask.loads(pickletask.dumps(count(1)))) == [0]
    finally:
        pickletask.register()
    assert list(pickle.loads(pickle.dumps(count(1)))) == [0]
    while other.alive:
        other.run()
    assert other_outcome == [(((11, 22), 11, 22), 11)]
    task.kill()


# ---- multiprocessing ------------------------------------------------------


def advance(task):
    """What the other process does: one step, and the task goes back."""
    task.run()
    return task, task.alive, task.tempval


def sum_up(items, log):
    total = 0
    for item in items:
        total += schedule_remove(item)
        log.append(total)


def test_task_goes_through_a_pool_of_spawned_processes(mode):
    task, seen = begin(sum_up, [1, 2, 3], []), []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        alive = True
        while alive:
            seen.append(task.tempval)
            # A worker that can't load what it gets dies silently.
            task, alive, value = pool.apply_async(advance, (task,)).get(60)
            assert task.alive == alive and (not alive or task.tempval == value)
    assert seen == [1, 2, 3]


def consume(connection):
    """What the other process does: it resumes all that it gets."""
    while True:
        task = connection.recv()
        if task is None:
            return
        try:
            connection.send(next(task))
        except StopIteration:
            connection.send("end")


def test_generator_goes_through_a_pipe_to_a_spawned_process():
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=consume, args=(there,))
    process.start()
    try:
        g = count(3)
        for expected in (0, 1, 2, "end"):
            here.send(g)
            assert here.poll(60) and here.recv() == expected
            next(g, None)
        here.send(None)
    finally:
        process.join(60)
        if process.is_alive():
            process.kill()
    assert process.exitcode == 0
