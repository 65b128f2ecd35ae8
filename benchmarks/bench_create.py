"""Creating a task, running it and coming to its end, with and without a suspension on the way."""

import asyncio
from itertools import repeat

from greenlet import getcurrent, greenlet
from measure import Stopwatch
from table import Row

from pickletask import schedule, tasklet

ROWS = [
    Row(
        f"create, run, {name}finish",
        f"tasklet {count}",
        {
            "generator": f"generator {count}",
            "greenlet": f"greenlet {count}",
            "asyncio": f"asyncio {count}",
        },
        {f"greenlet {count}": 0.1},
    )
    for count, name in enumerate(("", "suspend, "))
]


def measures():
    """The functions to time; the number is that of the suspensions."""
    return {
        "tasklet 0": tasklets(lambda: None, 1),
        "tasklet 1": tasklets(schedule_once, 2),
        "generator 0": generators(yield_nothing),
        "generator 1": generators(yield_once),
        "greenlet 0": greenlets(lambda: None, 1),
        "greenlet 1": greenlets(switch_once, 2),
        "asyncio 0": asyncio_tasks(wait_never),
        "asyncio 1": asyncio_tasks(wait_once),
    }


def tasklets(function, turns):
    """The measure for a tasklet that takes so many TURNS to its end."""

    def measure(loops):
        new, switch = tasklet, schedule
        if turns == 1:
            with Stopwatch() as watch:
                for _ in repeat(None, loops):
                    new(function)()
                    switch()
        else:
            with Stopwatch() as watch:
                for _ in repeat(None, loops):
                    new(function)()
                    switch()
                    switch()
        return watch.seconds

    return measure


def schedule_once():
    """Suspend a tasklet once."""
    schedule()


def generators(function):
    """The measure for a generator that a loop exhausts."""

    def measure(loops):
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                for _ in function():
                    pass
        return watch.seconds

    return measure


def yield_nothing():
    """Yield nothing."""
    return
    yield


def yield_once():
    """Suspend a generator once."""
    yield


def greenlets(function, turns):
    """The measure for a greenlet that takes so many TURNS to its end."""

    def measure(loops):
        new = greenlet
        if turns == 1:
            with Stopwatch() as watch:
                for _ in repeat(None, loops):
                    new(function).switch()
        else:
            with Stopwatch() as watch:
                for _ in repeat(None, loops):
                    switch = new(function).switch
                    switch()
                    switch()
        return watch.seconds

    return measure


def switch_once():
    """Suspend a greenlet once."""
    getcurrent().parent.switch()


def asyncio_tasks(function):
    """The measure for an asyncio task that is waited for."""

    async def count(loops):
        create = asyncio.get_running_loop().create_task
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                await create(function())
        return watch.seconds

    return lambda loops: asyncio.run(count(loops))


async def wait_never():
    """Do nothing."""


async def wait_once():
    """Suspend an asyncio task once."""
    await asyncio.sleep(0)
