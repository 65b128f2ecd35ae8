"""Handing a value from one task to another: one send and one receive.

The rivals are a generator's send() with the value, greenlet's switch() with the value and back, and
two asyncio tasks with a queue that holds one value.
"""

import asyncio
from itertools import repeat

from bench_switch import LIMITS
from greenlet import greenlet
from measure import Stopwatch
from table import Row

from pickletask import channel, run, set_parked_limit, tasklet

ROWS = [
    Row(
        f"channel send and receive, {kind}",
        kind,
        {each: each for each in ("generator", "greenlet", "asyncio")},
    )
    for kind in LIMITS
]


def measures():
    """The functions to time."""
    result = {kind: channels(limit) for kind, limit in LIMITS.items()}
    return result | {"generator": generators, "greenlet": greenlets, "asyncio": asyncio_queue}


def channels(limit):
    """The measure for two tasklets and a channel, with so many C stacks kept."""

    def give(send):
        while True:
            send(1)

    def take(watch, loops, receive):
        receive()
        with watch:
            for _ in repeat(None, loops):
                receive()

    def measure(loops):
        old = set_parked_limit(limit)
        watch = Stopwatch()
        link = channel()
        tasklet(take)(watch, loops, link.receive)
        giver = tasklet(give)(link.send)
        run()
        giver.kill()
        set_parked_limit(old)
        return watch.seconds

    return measure


def generators(loops):
    """The reference: a value sent to a generator."""

    def take():
        while True:
            yield

    send = take().send
    send(None)
    with Stopwatch() as watch:
        for _ in repeat(None, loops):
            send(1)
    return watch.seconds


def greenlets(loops):
    """A value passed with a switch, and the switch back for the next one."""

    def give():
        switch = taker.switch
        while True:
            switch(1)

    def take():
        switch = giver.switch
        switch()
        with watch:
            for _ in repeat(None, loops):
                switch()

    watch = Stopwatch()
    giver, taker = greenlet(give), greenlet(take)
    taker.switch()
    giver.throw()
    return watch.seconds


def asyncio_queue(loops):
    """A value passed through a queue."""

    async def give(put):
        while True:
            await put(1)

    async def take():
        queue = asyncio.Queue(1)
        giver = asyncio.create_task(give(queue.put))
        get = queue.get
        await get()
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                await get()
        giver.cancel()
        return watch.seconds

    return asyncio.run(take())
