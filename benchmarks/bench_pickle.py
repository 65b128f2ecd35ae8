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

ROWS = [
    Row(
        f"{what}, {label}",
        f"{what} {kind}",
        {"pickle": f"plain {what} {kind}"},
        {f"plain {what} {kind}": 6} if kind == "1" else {},
    )
    for what in ("dumps", "loads")
    for kind, label in KINDS.items()
]
SIZE_ROWS = [
    Row(f"bytes of the pickle, {label}", f"dumps {kind}", {"pickle": f"plain dumps {kind}"})
    for kind, label in KINDS.items()
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


def measures():
    """The functions to time."""
    result = {}
    for kind in KINDS:
        for prefix, make in ("", suspended), ("plain ", objects_in):
            result[f"{prefix}dumps {kind}"] = dumps(make(kind))
            result[f"{prefix}loads {kind}"] = loads(make(kind))
    return result


def dumps(value):
    """The measure for saving a value."""

    def measure(loops):
        dumps = pickle.dumps
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                dumps(value, 5)
        return watch.seconds

    return measure


def loads(value):
    """The measure for loading it; that the loaded ones end is not counted."""
    data = pickle.dumps(value, 5)

    def measure(loops):
        loads = pickle.loads
        kept = []
        keep = kept.append
        with Stopwatch() as watch:
            for _ in repeat(None, loops):
                keep(loads(data))
        return watch.seconds

    return measure


def sizes():
    """The bytes of the pickles, by the names of the measures that save them."""
    result = {}
    for kind in KINDS:
        for prefix, make in ("", suspended), ("plain ", objects_in):
            result[f"{prefix}dumps {kind}"] = len(pickle.dumps(make(kind), 5))
    return result
