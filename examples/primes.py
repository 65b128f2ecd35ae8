"""A system of tasklets and channels, saved as a whole in the middle of its work.

    python examples/primes.py

Each prime found adds a tasklet that lets its multiples drop. After ten primes the channel and all
tasklets are pickled; a copy made from the pickle goes on, and so does the original.
"""

import pickle

from pickletask import channel, tasklet


def count(out):
    """Send 2, 3, 4 ..."""
    number = 2
    while True:
        out.send(number)
        number += 1


def keep(prime, source, out):
    """Pass on what is no multiple of a prime."""
    for number in source:
        if number % prime:
            out.send(number)


def sieve(source, out, tasks):
    """Send the first number, which is a prime, and filter the others by it; and again."""
    while True:
        prime = source.receive()
        out.send(prime)
        filtered = channel()
        tasks.append(tasklet(keep)(prime, source, filtered))
        source = filtered


def main():
    """Print ten primes, and the next five twice."""
    numbers, primes, tasks = channel(), channel(), []
    tasks.append(tasklet(count)(numbers))
    tasks.append(tasklet(sieve)(numbers, primes, tasks))
    print("first:", *(primes.receive() for _ in range(10)))

    # One pickle: what the tasklets share is shared by the copies, too.
    data = pickle.dumps((primes, tasks))
    print("saved:", len(tasks), "tasklets")

    copied_primes, copied_tasks = pickle.loads(data)
    for task in copied_tasks:
        # Those that waited at a channel wait there again; those that were about to run are paused.
        if task.paused:
            task.insert()
    print("copy:", *(copied_primes.receive() for _ in range(5)))
    print("original:", *(primes.receive() for _ in range(5)))


if __name__ == "__main__":
    main()
