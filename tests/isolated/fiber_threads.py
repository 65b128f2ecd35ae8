"""Tasks, threads, fork() and the end of the process: a scene an argument. Prints OK at the end."""

import gc
import os
import sys
import threading
import warnings

import pickletask
from pickletask import channel, getcurrent, run, schedule, schedule_remove, tasklet

log = []


def wait(name):
    try:
        schedule_remove()
    finally:
        log.append((name, threading.current_thread() is threading.main_thread()))


def wait_below_c(name):
    [*map(wait, [name])]


def numbers(name):
    yield 1
    wait(name)


def wait_in_generator(name):
    for _ in numbers(name):
        pass


FUNCTIONS = (wait, wait_below_c, wait_in_generator)


def started(function, *args):
    task = tasklet(function)(*args)
    task.run()
    return task


def make():
    return [started(function, "x") for function in FUNCTIONS]


def use(tasks):
    for task in tasks:
        task.run()
    assert not any(task.alive for task in tasks)


def in_thread(function, *args):
    failures = []

    def body():
        try:
            function(*args)
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert not failures


def in_child(function):
    """Run a function in a forked process; it must come to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


# ---- threads ----------------------------------------------------------------------------------


def thread_ends():
    kept = []
    in_thread(lambda: kept.extend(make()))
    assert [main for _, main in log] == [False] * 3
    assert not any(task.alive for task in kept)
    for task in kept:
        try:
            task.insert()
        except RuntimeError:
            continue
        raise AssertionError("went on in another thread")
    in_thread(make)
    assert len(log) == 6


def other_thread_drops():
    def cycle():
        itself = getcurrent()
        wait("cycle")
        return itself

    held = [make()]
    for _ in range(5):
        started(cycle)

    def drop():
        held.clear()
        gc.collect()
        use(make())

    in_thread(drop)
    gc.collect()
    run()
    mine = [name for name, main in log if main]
    assert len(mine) == 8, log


def all_threads_switch():
    def body():
        ch = channel()
        total = []

        def sender():
            for n in range(1000):
                ch.send(n)

        def receiver():
            for _ in range(1000):
                total.append(ch.receive())

        tasklet(sender)()
        tasklet(receiver)()
        run()
        assert total == list(range(1000))

    gc.set_threshold(50)
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=in_thread, args=(body,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- fork() -----------------------------------------------------------------------------------


def fork():
    tasks = make()
    in_child(lambda: use(tasks))
    in_child(lambda: (gc.collect(), make()))
    started(lambda: in_child(lambda: (use(tasks), make())))
    use(tasks)


def fork_in_a_task_that_goes_on():
    tasks = make()
    status = []

    def body():
        pid = os.fork()
        if pid:
            status.append(os.waitpid(pid, 0)[1])
        use(tasks)

    started(body)
    make()
    if not status:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(status[0]) == 7


def fork_in_a_thread():
    tasks = make()

    def body():
        mine = make()

        def child():
            use(mine)
            for task in tasks:
                try:
                    task.run()
                except RuntimeError:
                    continue
                raise AssertionError("went on in another thread")
            tasks.clear()
            gc.collect()

        in_child(child)
        started(lambda: in_child(child))
        use(mine)

    in_thread(body)
    use(tasks)


def fork_while_a_thread_stands_in_a_task():
    inside, leave = threading.Event(), threading.Event()

    def body():
        mine = make()

        def hold():
            inside.set()
            leave.wait()

        tasklet(hold)()
        run()
        use(mine)

    thread = threading.Thread(target=body)
    thread.start()
    inside.wait()
    tasks = make()
    in_child(lambda: (use(tasks), gc.collect()))
    leave.set()
    thread.join()
    use(tasks)


# ---- the end ----------------------------------------------------------------------------------


class Switching:
    def __del__(self):
        try:
            schedule()
            started(lambda: None)
        except BaseException:
            pass


def at_exit(where):
    def hold():
        value = Switching()
        try:
            schedule_remove()
        finally:
            print("finally", flush=True)
        return value

    def never_end():
        value = Switching()
        while True:
            try:
                schedule_remove()
            except BaseException:
                pass
        return value

    def below_c():
        [*map(lambda _: hold(), [1])]

    def begin():
        return [started(function) for function in (hold, below_c, never_end)]

    if where == "main":
        sys.modules["keeps_tasks"] = begin()
    elif where == "thread":
        in_thread(begin)
    else:
        ready = threading.Event()
        threading.Thread(
            target=lambda: (begin(), ready.set(), threading.Event().wait()), daemon=True
        ).start()
        ready.wait()


SCENES = {
    function.__name__: function
    for function in (
        thread_ends,
        other_thread_drops,
        all_threads_switch,
        fork,
        fork_in_a_task_that_goes_on,
        fork_in_a_thread,
        fork_while_a_thread_stands_in_a_task,
        at_exit,
    )
}


if __name__ == "__main__":
    # CPython warns where a process with threads forks.
    warnings.simplefilter("ignore", DeprecationWarning)
    pickletask.set_parked_limit(1000 if sys.argv[2] == "kept" else 0)
    SCENES[sys.argv[1]](*sys.argv[3:])
    print("OK", flush=True)
