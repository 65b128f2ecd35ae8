"""A calculation that goes on where the process before stopped.

    python examples/restart.py FILE

Each run does a part of the work and leaves the running task in FILE. Run it until it prints the
result; it removes FILE then.
"""

import os
import pickle
import sys

import pickletask


def steps(number):
    """Yield the numbers from this one down to 1 by Collatz's rule."""
    while number != 1:
        yield number
        number = number // 2 if number % 2 == 0 else 3 * number + 1
    yield 1


def length(number):
    """Count the steps, and stop for a while at the longer ones."""
    total = 0
    for total, _ in enumerate(steps(number), 1):
        if total % 100 == 0:
            pickletask.schedule_remove()
    return total


def longest(limit):
    """Print the start of the longest way to 1 below a limit."""
    best = 0, 0
    for number in range(1, limit):
        best = max(best, (length(number), number))
    print("the longest has {} steps and starts at {}".format(*best))


def main(path):
    """Do one part of the work."""
    if os.path.exists(path):
        with open(path, "rb") as file:
            task = pickle.load(file)
        print("goes on at", task.frame.f_locals["number"])
        task.insert()
    else:
        print("starts")
        task = pickletask.tasklet(longest)(50)
    pickletask.run()
    if task.alive:
        # The file is either the old one or the new one, whenever the process dies.
        with open(path + ".new", "wb") as file:
            pickle.dump(task, file)
        os.replace(path + ".new", path)
    elif os.path.exists(path):
        os.remove(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
