"""Real libraries that carry tasks from process to process.

Each test is a script, as __main__ of a process of its own: workers are started in all the ways that
the libraries know, and import what is needed from the module ``carried``.
"""

import importlib.util
import textwrap

import pytest

CARRIED = """
    import os
    import pickletask

    def count(name, upto):
        total = 0
        for number in range(upto):
            total += number
            pickletask.schedule_remove((name, total))
        return total

    def make(upto=3):
        task = pickletask.tasklet(count)("task", upto)
        task.run()
        return task

    def step(task):
        "What a worker does with a task: one step, and back with it."
        task.run()
        return task, os.getpid()

    def check(answers):
        "Take the tasks that came back to their ends."
        for task, pid in answers:
            assert pid != os.getpid()
            assert task.tempval == ("task", 1), task.tempval
            task.run()
            assert task.tempval == ("task", 3)
            task.run()
            assert not task.alive
        print("checked", len(answers))
"""

QUEUE = """
    import multiprocessing, sys
    import carried

    def work(inbox, outbox):
        while (task := inbox.get()) is not None:
            outbox.put(carried.step(task))

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        inbox, outbox = context.Queue(), context.Queue()
        worker = context.Process(target=work, args=(inbox, outbox))
        worker.start()
        tasks = [carried.make() for _ in range(3)]
        for task in [*tasks, None]:
            inbox.put(task)
        carried.check([outbox.get() for _ in tasks])
        worker.join()
"""

LAST_WORDS = """
    import multiprocessing, sys, time
    import carried

    class Slow:
        def __reduce__(self):
            time.sleep(0.5)
            return Slow, ()

    def work(inbox, outbox):
        # The queue's thread pickles this when the worker is about to exit.
        outbox.put((Slow(), carried.step(inbox.get())))

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        inbox, outbox = context.Queue(), context.Queue()
        worker = context.Process(target=work, args=(inbox, outbox))
        worker.start()
        inbox.put(carried.make())
        carried.check([outbox.get()[1]])
        worker.join()
"""

PIPE = """
    import multiprocessing, sys
    import carried

    def work(pipe):
        while (task := pipe.recv()) is not None:
            pipe.send(carried.step(task))

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        here, there = context.Pipe()
        worker = context.Process(target=work, args=(there,))
        worker.start()
        answers = []
        for _ in range(3):
            here.send(carried.make())
            answers.append(here.recv())
        here.send(None)
        carried.check(answers)
        worker.join()
"""

POOL = """
    import multiprocessing, sys
    import carried

    if __name__ == "__main__":
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            carried.check(pool.map(carried.step, [carried.make() for _ in range(3)]))
            carried.check([pool.apply(carried.step, (carried.make(),))])
"""

EXECUTOR = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    import carried

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            carried.check(list(executor.map(carried.step, [carried.make() for _ in range(3)])))
            carried.check([executor.submit(carried.step, carried.make()).result()])
"""

JOBLIB = """
    import joblib
    import carried

    if __name__ == "__main__":
        tasks = [carried.make() for _ in range(3)]
        step = joblib.delayed(carried.step)
        carried.check(joblib.Parallel(2, backend="loky")(step(task) for task in tasks))
        carried.check(joblib.Parallel(2, backend="multiprocessing")(map(step, tasks)))
        joblib.dump(carried.make(), "saved.joblib")
        task = joblib.load("saved.joblib")
        task.run()
        assert task.tempval == ("task", 1)
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)
"""

LOKY = """
    import loky
    import carried

    def in_main(task):
        return carried.step(task)

    if __name__ == "__main__":
        with loky.ProcessPoolExecutor(2) as executor:
            carried.check(list(executor.map(carried.step, [carried.make() for _ in range(3)])))
            carried.check([executor.submit(in_main, carried.make()).result()])
            local = carried.make()
            carried.check([executor.submit(lambda: carried.step(local)).result()])
"""

DASK = """
    import logging
    import pickletask
    import carried

    def in_main(upto):
        for number in range(upto):
            pickletask.schedule_remove(("task", number))
        return "done"

    if __name__ == "__main__":
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            silence_logs=logging.ERROR,
        )
        with cluster, Client(cluster) as client:
            futures = [client.submit(carried.step, carried.make(), pure=False) for _ in range(3)]
            carried.check(client.gather(futures))
            # A task may stay there, and be sent on from one worker to the next.
            future = client.submit(carried.make, pure=False)
            future = client.submit(carried.step, future, pure=False)
            carried.check([future.result()])
            # Code of __main__ makes dask use cloudpickle.
            task = pickletask.tasklet(in_main)(3)
            task.run()
            copy, _ = client.submit(carried.step, task, pure=False).result()
            assert copy.tempval == ("task", 1)
"""

BY_VALUE = """
    import subprocess, sys
    import {module}
    import pickletask
    import carried

    FACTOR = 2

    class Local:
        factor = 5

    def by_value(local):
        helper = lambda: FACTOR * local.factor * pickletask.schedule_remove(1)
        for _ in range(2):
            print(helper())

    if __name__ == "__main__":
        task = pickletask.tasklet(by_value)(Local())
        task.run()
        data = {module}.dumps(task)
        script = "import {module}, sys; task = {module}.load(sys.stdin.buffer)\\n"
        script += "import pickletask; FACTOR = 2\\n"
        script += "while task.alive: task.tempval = 10; task.run()"
        done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True)
        sys.stderr.write(done.stderr.decode())
        assert done.stdout.split() == [b"100", b"100"], done.stdout
        copy = {module}.loads({module}.dumps(carried.make()))
        copy.run()
        assert copy.tempval == ("task", 1)
"""


def carry(script, tmp_path, run_isolated, *args, **options):
    """Run a script that finds ``carried``."""
    from conftest import child_environment

    (tmp_path / "carried.py").write_text(textwrap.dedent(CARRIED))
    env = {"PYTHONPATH": f"{tmp_path}:{child_environment()['PYTHONPATH']}"}
    return run_isolated(textwrap.dedent(script), *args, env=env, timeout=300, **options).stdout


def needs(module):
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"{module} can't be installed here"
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    "script",
    [QUEUE, LAST_WORDS, PIPE, POOL, EXECUTOR],
    ids=["queue", "last words", "pipe", "pool", "executor"],
)
def test_standard_library_carries_tasks(script, method, tmp_path, run_isolated):
    assert "checked" in carry(script, tmp_path, run_isolated, method)


@pytest.mark.parametrize("mode", ["soft"])
def test_softened_tasks_are_carried_too(mode, tmp_path, run_isolated):
    assert "checked" in carry(POOL, tmp_path, run_isolated, "spawn", mode=mode)


@needs("joblib")
def test_joblib_carries_tasks(tmp_path, run_isolated):
    assert carry(JOBLIB, tmp_path, run_isolated).count("checked") == 2


@needs("loky")
def test_loky_carries_tasks(tmp_path, run_isolated):
    assert carry(LOKY, tmp_path, run_isolated).count("checked") == 3


@needs("distributed")
def test_dask_carries_tasks(tmp_path, run_isolated):
    assert carry(DASK, tmp_path, run_isolated).count("checked") == 2


def test_cloudpickle_carries_tasks(tmp_path, run_isolated):
    carry(BY_VALUE.format(module="cloudpickle"), tmp_path, run_isolated)


def test_dill_carries_tasks(tmp_path, run_isolated):
    carry(BY_VALUE.format(module="dill"), tmp_path, run_isolated)
