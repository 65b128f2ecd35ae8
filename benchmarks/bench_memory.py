"""Memory of a suspended task, as the growth of the resident set.

    python -P bench_memory.py KIND COUNT    prints the bytes a task as JSON; run.py starts it

Each kind has a process of its own, in which COUNT tasks are made.  What the first tenth of them
takes is not counted: it fills the allocator's holes, or opens its arenas.
"""

import asyncio
import json
import os
import sys

from greenlet import getcurrent, greenlet
from table import Row

from pickletask import schedule, schedule_remove, set_parked_limit, tasklet

RIVALS = {"generator": "generator", "greenlet": "greenlet", "asyncio": "asyncio"}
ROWS = [
    Row("memory of a suspended task, kept, 1 deep", "kept 1", RIVALS),
    Row("memory of a suspended task, softened, 1 deep", "softened 1", RIVALS, {None: 800}),
    Row("memory of a suspended task, softened, 5 deep", "softened 5", {}),
]
KINDS = ("kept 1", "softened 1", "softened 5", *RIVALS)


def resident():
    """The bytes of memory that this process occupies."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(make, count):
    """The bytes that each of COUNT things takes that MAKE returns."""
    kept = [None] * count
    first = count // 10
    for number in range(first):
        kept[number] = make()
    before = resident()
    for number in range(first, count):
        kept[number] = make()
    return (resident() - before) / (count - first)


def dive(depth):
    """Suspend a tasklet so many calls deep."""
    if depth > 1:
        dive(depth - 1)
    else:
        schedule_remove()


def tasklets(depth, limit, count):
    """The bytes of a tasklet so deep, with so many C stacks kept."""

    def make():
        task = tasklet(dive)(depth)
        schedule()
        return task

    set_parked_limit(limit)
    return growth(make, count)


def greenlets(count):
    """The bytes of a greenlet that has switched to its parent."""

    def wait():
        getcurrent().parent.switch()

    def make():
        task = greenlet(wait)
        task.switch()
        return task

    return growth(make, count)


def generators(count):
    """The bytes of a generator that has yielded."""

    def wait():
        yield

    def make():
        generator = wait()
        generator.send(None)
        return generator

    return growth(make, count)


async def asyncio_tasks(count):
    """The bytes of an asyncio task that waits for a future, which all share."""

    async def wait():
        await future

    loop = asyncio.get_running_loop()
    future = loop.create_future()
    kept = [None] * count
    first = count // 10
    for numbers in range(first), range(first, count):
        before = resident()
        for number in numbers:
            kept[number] = loop.create_task(wait())
            if number % 100 == 99:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    return (resident() - before) / (count - first)


def main():
    """Measure the kind of the command line."""
    kind, count = sys.argv[1], int(sys.argv[2])
    if kind == "greenlet":
        size = greenlets(count)
    elif kind == "generator":
        size = generators(count)
    elif kind == "asyncio":
        size = asyncio.run(asyncio_tasks(count))
    else:
        state, depth = kind.split()
        size = tasklets(int(depth), count if state == "kept" else 0, count)
    json.dump(size, sys.stdout)
    sys.stdout.flush()
    # To end all these tasks in order takes longer than the measurement, and is of no interest.
    os._exit(0)


if __name__ == "__main__":
    main()
