"""Saving and loading a suspended task, beside plain pickle of the same objects.

These are, for each call: the function (which plain pickle saves by name), the values of its locals
and those on its stack, here the iterator of a `for` in flight.
"""

import pickle
from itertools import repeat

from measure import Stopwatch
from table import Row

import pickletask

NUMBERS = list(range(100, 110))
KINDS = {"1": "task, 1 deep", "5": "task, 5 deep", "generator": "generator"}
# Which functions save and load, with which options.
WAYS = {
    "stock": ("pickle", pickle.dumps, pickle.loads, {}),
    "value": ("pickletask", pickletask.dumps, pickletask.loads, {}),
    "reference": (
        "pickletask, by reference",
        pickletask.dumps,
        pickletask.loads,
        {"code": "reference"},
    ),
}

ROWS = [
    Row(
        f"{what} of {way_label}, {label}",
        f"{what} {way} {kind}",
        {"pickle": f"{what} plain {kind}"},
        {f"{what} plain {kind}": 3},
    )
    for what in ("dumps", "loads")
    for kind, label in KINDS.items()
    for way, (way_label, *_) in WAYS.items()
]
SIZE_ROWS = [
    Row(
        f"bytes of {way_label}, {label}",
        f"bytes {way} {kind}",
        {"pickle": f"bytes plain {kind}"},
        {None: {"value": 400, "reference": 100}[way]} if kind == "1" and way != "stock" else {},
    )
    for kind, label in KINDS.items()
    for way, (way_label, *_) in WAYS.items()
]


def add(name, numbers):
    """A task 1 deep: a loop, and some locals."""
    total = 0
    for number in numbers:
        total += number
        pickletask.schedule()
    return name, total


def level_2(name, numbers):
    """A level of the task 5 deep; they are alike, but functions of their own."""
    total = 0
    for number in numbers:
        total += number
        add(name, numbers)
    return name, total


def level_3(name, numbers):
    """Another level."""
    total = 0
    for number in numbers:
        total += number
        level_2(name, numbers)
    return name, total


def level_4(name, numbers):
    """Another level."""
    total = 0
    for number in numbers:
        total += number
        level_3(name, numbers)
    return name, total


def level_5(name, numbers):
    """The outermost level."""
    total = 0
    for number in numbers:
        total += number
        level_4(name, numbers)
    return name, total


def generate(name, numbers):
    """A generator with the same locals."""
    total = 0
    for number in numbers:
        total += number
        yield name


def suspended(kind):
    """A suspended task or generator."""
    if kind == "generator":
        generator = generate("name", NUMBERS)
        next(generator)
        return generator
    task = pickletask.tasklet().bind(add if kind == "1" else level_5, ("name", NUMBERS))
    task.run()
    return task


def objects_in(kind):
    """The objects that are in such a task, as plain pickle saves them."""
    functions = {"1": [add], "5": [level_5, level_4, level_3, level_2, add]}
    objects = []
    for function in functions.get(kind, [generate]):
        iterator = iter(NUMBERS)
        number = next(iterator)
        objects.append((function, "name", NUMBERS, number, number, iterator))
    return objects


def cases():
    """All that is saved: pairs of its name, and the value with the functions and options."""
    for kind in KINDS:
        yield f"plain {kind}", (objects_in(kind), pickle.dumps, pickle.loads, {})
        for way, (_, *how) in WAYS.items():
            yield f"{way} {kind}", (suspended(kind), *how)


def measures():
    """The functions to time."""
    result = {}
    for name, case in cases():
        result[f"dumps {name}"] = time_dumps(*case)
        result[f"loads {name}"] = time_loads(*case)
    return result


def time_dumps(value, dumps, _, options):
    """The measure for saving a value."""

    def measure(loops):
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                dumps(value, 5, **options)
        return watch.seconds

    return measure


def time_loads(value, dumps, loads, options):
    """The measure for loading it; that the loaded ones end is not counted."""
    data = dumps(value, 5, **options)

    def measure(loops):
        kept = []
        keep = kept.append
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                keep(loads(data))
        return watch.seconds

    return measure


def sizes():
    """The bytes of the pickles, by the names of the measures that save them."""
    return {
        f"bytes {name}": len(dumps(value, 5, **options))
        for name, (value, dumps, _, options) in cases()
    }
