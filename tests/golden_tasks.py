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
