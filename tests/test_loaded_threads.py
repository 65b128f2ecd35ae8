"""Loaded tasks belong to the thread that first uses them, not to the one that loaded them."""

import contextvars
import pickle
import threading

import pytest

import pickletask
from pickletask import channel, schedule_remove, tasklet

pytestmark = pytest.mark.usefixtures("mode")

log = []


def work(name):
    try:
        for number in range(3):
            schedule_remove(number)
            log.append((name, number, threading.get_ident()))
    finally:
        log.append((name, "end", threading.get_ident()))


def receive(where):
    value = where.receive()
    log.append((value, threading.get_ident()))


@pytest.fixture(autouse=True)
def empty_log():
    log.clear()


def saved(*tasks):
    return pickle.dumps(list(tasks))


def suspended(function, *args):
    task = tasklet(function)(*args)
    task.run()
    return task


def in_thread(function, *args):
    """What a function returns in a thread that has ended then."""
    results = []

    def target():
        try:
            results.append(function(*args))
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    (result,) = results
    return result


@pytest.fixture
def helper():
    """A function that runs another one in a thread that goes on living, and returns its result."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        yield lambda function, *args: executor.submit(function, *args).result()


def test_task_goes_on_where_it_is_used_after_its_loader_has_ended():
    original = suspended(work, "a")
    (copy,) = in_thread(pickle.loads, saved(original))
    assert copy.alive and copy.paused
    assert copy.thread_id == -1
    while copy.alive:
        copy.run()
    here = threading.get_ident()
    assert log == [("a", 0, here), ("a", 1, here), ("a", 2, here), ("a", "end", here)]
    original.kill()


@pytest.mark.parametrize("use", ["run", "insert", "kill", "throw", "pending"])
def test_first_use_decides_about_the_thread(use, helper):
    original = suspended(work, "a")
    (copy,) = helper(pickle.loads, saved(original))
    assert copy.thread_id not in (-1, threading.get_ident())
    if use == "throw":
        with pytest.raises(KeyError):
            copy.throw(KeyError)
    elif use == "pending":
        copy.kill(pending=True)
    else:
        getattr(copy, use)()
    assert copy.thread_id == threading.get_ident()
    if copy.alive:
        with pytest.raises(RuntimeError, match="different thread"):
            helper(copy.run)
    pickletask.run()
    assert {entry[-1] for entry in log} <= {threading.get_ident()}
    copy.kill()
    original.kill()


def test_task_that_was_used_by_its_loader_stays_there(helper):
    original = suspended(work, "a")

    def load_and_run():
        (copy,) = pickle.loads(saved(original))
        copy.run()
        return copy

    copy = helper(load_and_run)
    with pytest.raises(RuntimeError, match="different thread"):
        copy.run()
    helper(copy.kill)
    original.kill()


def test_blocked_task_goes_on_in_the_thread_of_its_partner(helper):
    where = channel()
    original = tasklet(receive)(where)
    pickletask.run()
    for load in in_thread, helper:
        copy, place = load(pickle.loads, saved(original, where))
        assert copy.blocked
        assert place.balance == -1
        place.send("sent")
        pickletask.run()
        assert log.pop() == ("sent", threading.get_ident())
        assert not copy.alive
    where.send("original")
    pickletask.run()


def test_new_task_starts_where_it_is_used():
    original = tasklet(work)("new")
    original.remove()
    (copy,) = in_thread(pickle.loads, saved(original))
    copy.run()
    copy.run()
    assert log == [("new", 0, threading.get_ident())]
    copy.kill()


variable = contextvars.ContextVar("variable", default="nothing")


def look():
    schedule_remove()
    log.append(variable.get())


def test_context_is_that_of_the_thread_that_uses_it():
    original = suspended(look)
    data = saved(original)

    def load():
        variable.set("the loader's")
        return pickle.loads(data)

    (copy,) = in_thread(load)

    def use():
        variable.set("the user's")
        copy.run()

    assert in_thread(use) is None
    assert log == ["the user's"]
    original.kill()


def test_dropped_task_ends_in_the_thread_that_drops_it():
    original = suspended(work, "a")
    (copy,) = in_thread(pickle.loads, saved(original))
    del copy
    assert log == [("a", "end", threading.get_ident())]
    original.kill()


def test_loaded_task_can_be_saved_by_any_thread(helper):
    original = suspended(work, "a")
    copies = helper(pickle.loads, saved(original))
    (again,) = pickle.loads(saved(*copies))
    again.run()
    assert log == [("a", 0, threading.get_ident())]
    for task in (original, again, *copies):
        task.kill()


def test_loaded_task_ends_with_the_process(run_isolated):
    script = """
import pickle, pickletask, threading

def work():
    try:
        pickletask.schedule_remove()
    finally:
        print("ended", flush=True)

task = pickletask.tasklet(work)()
task.run()
copies = [pickle.loads(pickle.dumps(task))]
threads = [threading.Thread(target=lambda: copies.append(pickle.loads(pickle.dumps(task))))]
for thread in threads:
    thread.start()
    thread.join()
"""
    assert run_isolated(script).stdout.count("ended") >= 2
