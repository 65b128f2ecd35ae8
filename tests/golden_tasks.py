"""Programs of the golden pickles. They never change: tasks by reference need them as is."""

import pickletask


def loop(upto):
    """A loop, two calls deep, with a stack that isn't empty."""
    total = 0
    for number in range(upto):
        total += 100 * step(number)
    return total


def step(number):
    return number + pickletask.schedule_remove(number)


def squares(upto):
    for number in range(upto):
        yield number * number


async def nothing():
    return "nothing"


def closure():
    count = 0

    def up():
        nonlocal count
        while True:
            count += 1
            pickletask.schedule_remove(count)

    def show():
        return count

    return up, show


def handler():
    try:
        {}["key"]
    except KeyError as error:
        pickletask.schedule_remove()
        return error.args


def receive(where):
    while True:
        value = where.receive()
        where.send(value * 2)


def many(following):
    pickletask.schedule_remove()
    return following


class Job(pickletask.tasklet):
    """A task with attributes."""

    def work(self, word):
        self.word = word
        for letter in word:
            pickletask.schedule_remove(letter)


class Box:
    """Suspends where C code calls it."""

    def __init__(self, value):
        self.value = pickletask.schedule_remove(value)

    def __enter__(self):
        return pickletask.schedule_remove("enter")

    def __exit__(self, *error):
        return pickletask.schedule_remove("exit")

    def __add__(self, other):
        pickletask.schedule_remove("add")
        return NotImplemented


class Other(Box):
    def __radd__(self, other):
        return pickletask.schedule_remove("end")


def make():
    Box("make")
    pickletask.schedule_remove("end")


def enter():
    with Box.__new__(Box) as entered:
        pickletask.schedule_remove(entered)
        raise ValueError
    pickletask.schedule_remove("end")


def add():
    return Box.__new__(Box) + Other.__new__(Other)


def walk(items):
    """Loops over a list in a variable, a tuple that is in none, and a range."""
    for item in items:
        for letter in ("a", "b"):
            for number in range(1, 6, 2):
                pickletask.schedule_remove((item, letter, number))
