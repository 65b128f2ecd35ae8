"""Contexts of contextvars: saved on request, with tasks that wait below Context.run() and without.

The programs are those of cases/contexts.py. Each runs in a context of its own, since tasks use that
of whoever makes them.
"""

import contextvars
import copy
import decimal
import gc
import pickle
import threading

import programs
import pytest
from cases import contexts as cases
from programs import begin

import pickletask
from pickletask import schedule_remove

CASES = programs.cases("contexts")
VARIABLE = contextvars.ContextVar("VARIABLE", default="nothing")
HIDDEN = [contextvars.ContextVar("hidden")]


def apart(function, *args):
    """Call a function in a context of its own."""
    return contextvars.Context().run(function, *args)


def copier(**options):
    return lambda obj: pickletask.loads(pickletask.dumps(obj, contexts="value", **options))


def expected(case):
    return apart(programs.reference, programs.find(case))


@pytest.mark.parametrize("case", CASES)
def test_task_runs_straight_through(case, mode):
    assert apart(programs.run_to_the_end, programs.find(case)) == expected(case)


@pytest.mark.parametrize("code", ["value", "reference"])
@pytest.mark.parametrize("case", CASES)
def test_task_resumes_in_copies_at_every_suspension(case, code, mode):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = copier(protocol=protocol, code=code)
        assert apart(programs.run_and_resume, programs.find(case), copy) == expected(case)


# A method of a builtin type, as the case of bound methods holds one, is not copied by deepcopy().
@pytest.mark.parametrize("case", [case for case in CASES if "bound_method" not in case])
def test_task_resumes_in_deep_copies(case, mode):
    assert apart(programs.run_and_resume, programs.find(case), copy.deepcopy) == expected(case)


def test_task_resumes_in_a_fresh_process_at_every_suspension(mode, tmp_path, run_isolated):
    entries = programs.entries_for(CASES, ["contexts"])
    programs.hop(entries, tmp_path, run_isolated, mode=mode)
    assert not programs.failures(entries, expected)


# ---- without the request ----------------------------------------------------


def below_run(context):
    return context.run(set_and_wait, 1)


def set_and_wait(value):
    VARIABLE.set(value)
    schedule_remove()
    return VARIABLE.get()


@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps, pickletask.dumps])
def test_context_is_refused_without_the_option(dumps, mode):
    context = contextvars.Context()
    task = begin(below_run, context)
    for obj in task, context:
        with pytest.raises(pickletask.NotPicklableError, match='contexts="value"'):
            dumps(obj)
    task.run()
    assert not task.alive and context[VARIABLE] == 1


def test_unknown_value_of_the_option_is_refused():
    with pytest.raises(ValueError, match="contexts must be 'thread' or 'value'"):
        pickletask.dumps(1, contexts="all")


def wait_and_get(log):
    schedule_remove()
    log.append(VARIABLE.get())


@pytest.mark.parametrize(("contexts", "seen"), [("thread", "loader"), ("value", "saver")])
def test_loaded_task_uses_its_own_context_on_request(contexts, seen, mode):
    def save():
        VARIABLE.set("saver")
        return pickletask.dumps(begin(wait_and_get, []), contexts=contexts)

    def load(data):
        VARIABLE.set("loader")
        task = pickletask.loads(data)
        log = task.frame.f_locals["log"]
        task.run()
        return log

    assert apart(load, apart(save)) == [seen]


def test_task_that_has_not_started_keeps_its_context():
    def save():
        VARIABLE.set("saver")
        log = []
        return pickletask.dumps((pickletask.tasklet(log.append)(VARIABLE), log), contexts="value")

    task, _ = pickletask.loads(apart(save))
    assert pickletask._core._context_of(task)[VARIABLE] == "saver"
    task.kill()


# ---- contexts and variables by themselves -----------------------------------


def test_context_is_loaded_with_its_variables():
    context = contextvars.Context()
    context.run(VARIABLE.set, [context])
    copied = copier()(context)
    assert type(copied) is contextvars.Context and list(copied) == [VARIABLE]
    assert copied[VARIABLE][0] is copied
    assert copied.run(VARIABLE.get) is copied[VARIABLE]


def test_context_that_refers_to_a_task_in_it_is_loaded(mode):
    context = contextvars.Context()
    task = begin(below_run, context)
    context[VARIABLE]
    apart(set_in, context)
    holder = contextvars.Context()
    holder.run(VARIABLE.set, task)
    loaded = copier()((holder, context))
    inner = loaded[0][VARIABLE]
    inner.run()
    assert not inner.alive and loaded[1][VARIABLE] == 1
    task.kill()


def set_in(context):
    assert context[VARIABLE] == 1


@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps, pickletask.dumps])
def test_variable_is_loaded_by_name(dumps):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(dumps(VARIABLE, protocol)) is VARIABLE
    assert pickle.loads(dumps(cases._VARIABLE)) is cases._VARIABLE


@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps, pickletask.dumps])
def test_variable_that_no_module_has_is_refused(dumps):
    with pytest.raises(pickletask.NotPicklableError, match="'hidden'.*no module"):
        dumps(HIDDEN[0])


def test_restricted_load_asks_for_variables():
    context = contextvars.Context()
    context.run(VARIABLE.set, 1)
    data = pickletask.dumps(context, contexts="value")
    with pytest.raises(pickletask.NotAllowedError, match="VARIABLE"):
        pickletask.loads(data, allow=[])
    loaded = pickletask.loads(data, allow=[f"{__name__}.VARIABLE"])
    assert loaded[VARIABLE] == 1


@pytest.mark.parametrize("items", [None, [], {1: 2}, {VARIABLE: 1, "x": 2}])
def test_damaged_variables_are_refused(items):
    with pytest.raises(TypeError):
        pickletask.contexts.set_context(contextvars.Context(), items)


def test_arithmetic_goes_on_with_its_precision(mode):
    def work(log):
        decimal.getcontext().prec = 5
        schedule_remove()
        log.append(decimal.Decimal(1) / 3)

    log = []
    task = apart(begin, work, log)
    copied, seen = copier()((task, log))
    copied.run()
    assert seen == [decimal.Decimal("0.33333")]
    task.kill()


# ---- entered contexts ---------------------------------------------------------


def test_context_of_a_dropped_copy_can_be_entered_again(mode):
    context = contextvars.Context()
    task = begin(below_run, context)
    copied, inside = copier()((task, context))
    with pytest.raises(RuntimeError, match="already entered"):
        inside.run(len, "")
    del copied
    gc.collect()
    assert inside.run(len, "") == 0
    copied, inside = copier()((task, context))
    copied.kill()
    assert inside.run(len, "") == 0
    task.kill()
    assert context.run(len, "") == 0


def test_context_that_is_in_use_is_not_entered_by_a_state():
    context = contextvars.Context()
    state = copier()(begin(below_run, context).__reduce_ex__(4)[2])
    tasks = pickletask.tasklet(), pickletask.tasklet()
    tasks[0].__setstate__(state)
    with pytest.raises(pickletask.CorruptStateError, match="in use"):
        tasks[1].__setstate__(state)
    tasks[0].kill()
    tasks[1].__setstate__(state)
    tasks[1].kill()


def test_loaded_task_goes_on_in_another_thread(mode):
    task = begin(below_run, contextvars.Context())
    data = pickletask.dumps(task, contexts="value")
    done = []

    def run():
        VARIABLE.set("thread")
        loaded = pickletask.loads(data)
        loaded.run()
        done.append((loaded.alive, VARIABLE.get()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [(False, "thread")]
    task.kill()
