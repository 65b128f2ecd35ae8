"""Asynchronous generators and their steps by themselves: what is saved, and what is refused.

That tasks go on which wait inside of steps is tested in test_pickling.py with the cases of
async_generators.py.
"""

import copy
import gc
import pickle
import sys
import types

import pytest
from programs import begin, picklers

import pickletask
from pickletask import _core, schedule_remove

# What isn't awaited here is the point.
pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WAYS = list(picklers())


def ways(function):
    return pytest.mark.parametrize("copied", [w for _, w in WAYS], ids=[n for n, _ in WAYS])(
        function
    )


@types.coroutine
def give(value):
    return (yield value)


async def count(n):
    for i in range(n):
        try:
            got = yield i, await give("inside")
        except ValueError as error:
            yield repr(error)
        else:
            if got is not None:
                yield got


def finish(step):
    """Drive a step to its end: what it gave on its way, and what it returned or raised."""
    given = []
    try:
        while True:
            given.append(step.send(None))
    except StopIteration as stop:
        return given, stop.value
    except BaseException as error:
        return given, type(error)


# ---- states -----------------------------------------------------------------


STEPS = [
    lambda g: g.asend("sent"),
    lambda g: g.asend(None),
    lambda g: g.__anext__(),
    lambda g: anext(g, "default"),
    lambda g: g.athrow(ValueError),
    lambda g: g.athrow(ValueError("x")),
    lambda g: g.aclose(),
]


@ways
def test_step_that_has_not_begun_is_loaded(copied):
    for make in STEPS:
        g = count(2)
        assert finish(g.asend(None)) == (["inside"], (0, None))
        step = make(g)
        twin, other = copied(step), copied(copied(step))
        assert type(twin) is type(step)
        assert finish(twin) == finish(other) == finish(step)


@ways
def test_step_under_way_goes_on(copied):
    g = count(2)
    step = g.asend(None)
    assert step.send(None) == "inside"
    twin, h = copied((step, g))
    assert h.ag_running and g.ag_running and h.ag_frame is not None
    with pytest.raises(RuntimeError, match="already running"):
        h.asend(None).send(None)
    for one in twin, step:
        with pytest.raises(StopIteration) as stop:
            one.send("answer")
        assert stop.value.value == (0, "answer")
    assert not h.ag_running
    assert finish(h.asend(None)) == finish(g.asend(None)) == (["inside"], (1, None))


@ways
def test_step_that_has_ended_is_loaded(copied):
    g = count(1)
    for step in g.asend(None), g.athrow(ValueError), g.aclose():
        finish(step)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            copied(step).send(None)


@ways
def test_generator_that_has_ended_stays_so(copied):
    g = count(0)
    assert finish(g.asend(None)) == ([], StopAsyncIteration)
    for h in g, copied(g), copied(copied(g)):
        assert finish(h.athrow(ValueError)) == finish(g.athrow(ValueError))
        assert finish(h.asend(None)) == ([], StopAsyncIteration)
        assert finish(h.aclose()) == finish(g.aclose())


@ways
def test_closing_goes_on(copied):
    log = []

    async def generator():
        try:
            yield
        finally:
            log.append(await give("closing"))

    g = generator()
    finish(g.asend(None))
    step = g.aclose()
    assert step.send(None) == "closing"
    twin, h = copied((step, g))
    assert finish(twin) == ([], None) and not h.ag_running
    assert finish(h.asend(None)) == ([], StopAsyncIteration)
    finish(step)


@ways
def test_default_of_anext_is_kept(copied):
    step, default = copied((anext(count(0), default := ["default"]), default))
    assert finish(step)[1] is default


@ways
def test_methods_of_nameless_types_are_loaded_by_name(copied):
    g = count(1)
    for obj in g, g.asend(None), g.aclose(), anext(g, 1), give(1):
        for name in "send", "throw", "close", "asend", "athrow", "aclose":
            method = vars(type(obj)).get(name)
            if method is not None:
                assert copied(method) is method
    assert copied(list.append) is list.append


def test_coroutine_waits_in_a_step(mode):
    async def main():
        return [x async for x in count(2)]

    coroutine = main()
    assert coroutine.send(None) == "inside"
    twin = pickle.loads(pickle.dumps(coroutine))
    assert type(twin.cr_await) is type(coroutine.cr_await)
    assert finish(twin) == (["inside"], [(0, None), (1, None)])
    assert finish(copy.deepcopy(coroutine)) == finish(coroutine)


def test_shallow_copy_of_a_step_is_refused():
    g = count(1)
    for step in g.asend(None), g.aclose(), anext(g, 1):
        with pytest.raises(TypeError, match=r"use copy.deepcopy\(\)"):
            copy.copy(step)


# ---- hooks --------------------------------------------------------------------


def test_loaded_generator_is_made_known_at_its_next_step():
    """The hooks of the thread that loads it: those of another event loop can't be saved."""
    known, ended = [], []
    old = sys.get_asyncgen_hooks()
    g = count(2)
    finish(g.asend(None))
    data = pickle.dumps(g)
    sys.set_asyncgen_hooks(known.append, ended.append)
    try:
        h = pickle.loads(data)
        assert known == []
        finish(h.asend(None))
        assert known == [h]
        known.clear()
        del h
        gc.collect()
        assert len(ended) == 1 and ended[0].ag_frame is not None
    finally:
        sys.set_asyncgen_hooks(*old)


def test_import_makes_no_generator_known(run_isolated, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "known = []\n"
        "sys.set_asyncgen_hooks(known.append, known.append)\n"
        "import pickletask\n"
        "assert known == [], known\n"
        "assert sys.get_asyncgen_hooks().firstiter == known.append\n"
    )
    run_isolated(script)


def wait_in_a_step(log):
    async def generator():
        yield schedule_remove("inside")

    async def main():
        g = generator()
        async for x in g:
            log.append((x, g.ag_running))

    finish(main())


def test_step_under_way_in_a_task_is_running_where_it_is_loaded(mode):
    task = begin(wait_in_a_step, [])
    loaded = pickle.loads(pickle.dumps(task))
    frame = loaded.frame.f_back
    g = frame.f_locals["g"]
    assert g.ag_running and g.ag_frame is loaded.frame
    alone = pickle.loads(pickle.dumps(g))
    assert not alone.ag_running and finish(alone.asend(None)) == ([], StopAsyncIteration)
    log = frame.f_locals["log"]
    loaded.run()
    assert log == [("inside", False)] and not g.ag_running
    task.run()


@pytest.mark.parametrize("times", [1, 3])
def test_killed_task_ends_its_step(mode, times):
    task = begin(wait_in_a_step, [])
    for _ in range(times):
        task = pickle.loads(pickle.dumps(task))
    g = task.frame.f_back.f_locals["g"]
    task.kill()
    assert not task.alive and not g.ag_running and g.ag_frame is None


# ---- damaged states -------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [None, (), (None, 0), (1, 0), (count, 0), (count, 3), (count, -1), (count, 0, 1, 2)]
)
def test_damaged_step_is_refused(state):
    step = _core._new_awaitable(0)
    if state:
        state = tuple(count(1) if item is count else item for item in state)
    if state and type(state[0]) is types.AsyncGeneratorType and state[1:] == (0,):
        _core._set_awaitable(step, state)
    with pytest.raises(pickletask.CorruptStateError, match="step of an asynchronous generator"):
        _core._set_awaitable(step, state)


def test_empty_step_is_closed():
    for kind in 0, 1:
        step = _core._new_awaitable(kind)
        with pytest.raises(RuntimeError, match="cannot reuse"):
            step.send(None)
        with pytest.raises(RuntimeError, match="cannot reuse"):
            step.throw(ValueError)
        assert step.close() is None
    with pytest.raises(ValueError):
        _core._new_awaitable(2)


def test_step_of_another_generator_is_no_receiver(mode):
    kind = type(count(1).asend(None))
    state = tuple(
        count(1).asend(None) if type(item) is kind else item
        for item in pickle.loads(pickle.dumps(begin(wait_in_a_step, []).__reduce_ex__(4)[2]))
    )
    with pytest.raises(pickletask.CorruptStateError, match="doesn't wait for what it called"):
        pickletask.tasklet().__setstate__(state)
