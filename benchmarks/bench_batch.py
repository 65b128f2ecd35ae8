"""Very many tasks of one program in one pickle, beside plain pickle of their locals.

    python -P bench_batch.py COUNT      prints the values a task as JSON; run.py starts it

The same is measured with a tenth as many tasks: if the time grows in proportion to their number, a
task takes the same.  With objects that no cache holds it takes longer, whoever saves them; so the
growth that plain pickle shows in the same minute is counted in.
"""

import gc
import json
import os
import pickle
import sys

from bench_pickle import WAYS, add
from measure import Stopwatch
from table import Row

import pickletask

ROUNDS = 5
ROWS = [
    Row(
        f"{what} of very many tasks, {label}, a task",
        f"{what} {way}",
        {"pickle": f"{what} plain"},
        {f"{what} plain": 6, f"{what} {way} grown": 1.5},
    )
    for what in ("dumps", "loads")
    for way, (label, *_) in WAYS.items()
]
SIZE_ROWS = [
    Row(
        f"bytes of very many tasks, {label}, a task",
        f"bytes {way}",
        {"pickle": "bytes plain"},
        {None: 120},
    )
    for way, (label, *_) in WAYS.items()
]


def locals_of(number):
    """The name and the numbers of a task; objects of its own, as far as they can be."""
    return f"task {number}", list(range(number % 100, number % 100 + 3))


def tasks(count):
    """So many suspended tasks."""
    made = [pickletask.tasklet().bind(add, locals_of(number)) for number in range(count)]
    for task in made:
        task.run()
    return made


def plain(count):
    """What is in so many tasks, as plain pickle saves it."""
    made = []
    for number in range(count):
        name, numbers = locals_of(number)
        iterator = iter(numbers)
        first = next(iterator)
        made.append((name, numbers, first, first, iterator))
    return made


def measure(count):
    """Save and load a list of COUNT of them in all ways, by turns: name -> values a task."""
    made = tasks(count)
    cases = {"plain": (plain(count), pickle.dumps, pickle.loads, {})}
    cases |= {way: (made, *how) for way, (_, *how) in WAYS.items()}
    result = {}
    for _ in range(ROUNDS):
        for name, (value, dumps, loads, options) in cases.items():
            gc.collect()
            with Stopwatch() as watch:
                data = dumps(value, 5, **options)
            result.setdefault(f"dumps {name}", []).append(watch.seconds / count)
            with Stopwatch() as watch:
                loaded = loads(data)
            result.setdefault(f"loads {name}", []).append(watch.seconds / count)
            result[f"bytes {name}"] = [len(data) / count]
            del loaded
    return result


def grown(tenth, result):
    """What a task would take if it grew as plain pickle does from a tenth of the tasks to all."""
    found = {}
    for name, values in tenth.items():
        what, _, way = name.partition(" ")
        if what != "bytes" and way != "plain":
            growth = min(result[f"{what} plain"]) / min(tenth[f"{what} plain"])
            found[f"{name} grown"] = [value * growth for value in values]
    return found


def main():
    """Measure, with as many tasks as the command line says, and with a tenth."""
    gc.disable()
    pickletask.set_parked_limit(0)
    count = int(sys.argv[1])
    tenth, result = measure(count // 10), measure(count)
    json.dump(result | grown(tenth, result), sys.stdout)
    sys.stdout.flush()
    # To end all these tasks in order takes longer than the measurement, and is of no interest.
    os._exit(0)


if __name__ == "__main__":
    main()
