"""Switching there and back: two switches, and the loops that make them.

One task counts the loops and gives its turn away at each; another one, which stands 1, 5 or 100
calls deep, gives it back.  "Kept" tasks keep their C stacks; "softened" ones lose them at every
switch and go on on another one.
"""

import asyncio
from itertools import repeat

from greenlet import greenlet
from measure import Stopwatch
from table import Row

from pickletask import run, schedule, set_parked_limit, tasklet

DEPTHS = (1, 5, 100)
LIMITS = {"kept": 1000, "softened": 0}

ROWS = [
    Row(
        f"switch there and back, {kind}, {depth} deep",
        f"{kind} {depth}",
        {
            "generator": "generator",
            "greenlet": f"greenlet {depth}",
            "asyncio": f"asyncio {depth}",
        },
        {"generator": 2.5, f"greenlet {depth}": 0.2} | ({"kept 1": 1.1} if depth > 1 else {})
        if kind == "kept"
        else {},
    )
    for kind in LIMITS
    for depth in DEPTHS
]


def measures():
    """The functions to time."""
    result = {"generator": generators}
    for depth in DEPTHS:
        for kind, limit in LIMITS.items():
            result[f"{kind} {depth}"] = tasklets(depth, limit)
        result[f"greenlet {depth}"] = greenlets(depth)
        result[f"asyncio {depth}"] = asyncio_tasks(depth)
    return result


def dive(depth, function, *arguments):
    """Call FUNCTION so that it runs DEPTH calls deep, itself included."""
    if depth > 1:
        dive(depth - 1, function, *arguments)
    else:
        function(*arguments)


def generators(loops):
    """The reference: a generator's send(), to a generator that yields in a loop."""

    def partner():
        while True:
            yield

    generator = partner()
    send = generator.send
    send(None)
    with Stopwatch() as watch:
        for _ in repeat(None, loops):
            send(None)
    return watch.seconds


def tasklets(depth, limit):
    """The measure for a tasklet so deep, with so many C stacks kept."""

    def partner(switch):
        while True:
            switch()

    def count(watch, loops, switch):
        switch()
        with watch:
            for _ in repeat(None, loops):
                switch()
        other.kill()

    def measure(loops):
        nonlocal other
        old = set_parked_limit(limit)
        watch = Stopwatch()
        tasklet(count)(watch, loops, schedule)
        other = tasklet(dive)(depth, partner, schedule)
        run()
        set_parked_limit(old)
        return watch.seconds

    other = None
    return measure


def greenlets(depth):
    """The measure for a greenlet so deep."""

    def partner(switch):
        while True:
            switch()

    def measure(loops):
        def count():
            switch = other.switch
            switch(depth, partner, counter.switch)
            with watch:
                for _ in repeat(None, loops):
                    switch()

        watch = Stopwatch()
        counter, other = greenlet(count), greenlet(dive)
        counter.switch()
        other.throw()
        return watch.seconds

    return measure


def asyncio_tasks(depth):
    """The measure for an asyncio task so deep in coroutines."""

    async def dive(depth):
        if depth > 1:
            await dive(depth - 1)
        else:
            while True:
                await asyncio.sleep(0)

    async def count(loops):
        partner = asyncio.create_task(dive(depth))
        await asyncio.sleep(0)
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                await asyncio.sleep(0)
        partner.cancel()
        return watch.seconds

    return lambda loops: asyncio.run(count(loops))
