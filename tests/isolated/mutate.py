"""Tries the mutants of some numbers: arguments are kind, name, first, end, and the file for notes.

With only one number it shows the mutant before it tries it.
"""

import json
import mmap
import os
import random
import resource
import struct
import sys

import mutants

FORBIDDEN = ("os.", "subprocess.", "ctypes.", "socket.", "shutil.", "import", "open", "signal.")


def restrain():
    """Whatever a mutant names, it can't do harm, nor take all memory or time."""
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    # valgrind ends a process in which there's no room for what it notes of each byte.
    limit = now + (16 << 30 if "PICKLETASK_TEST_VALGRIND" in os.environ else 2 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    seconds = 900 * mutants.SLOWDOWN
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(refuse)
    # Exceptions in mutants that are dropped are no news.
    sys.unraisablehook = lambda unraisable: None


def refuse(event, arguments):
    if event.startswith(FORBIDDEN):
        raise PermissionError(event, arguments)


def loaders(kind, name):
    """A function that gives the mutant of a number and its loader; how many there are at least.

    Mutants can't import: what they need is imported for the original, which is loaded here.
    """
    dumps, loads = mutants.WAYS.get(kind.removesuffix(" state"), (None, None))
    if dumps is None:
        data = mutants.pickles(name)
    else:
        data = [dumps(mutants.original(name))]
    if kind.endswith("state"):
        return state_mutants(data), 0
    loads = [loads] if loads else [mutants.load_stock, mutants.load_stock_python]
    before = mutants.NAMES[mutants.NAMES.index(name) - 1]
    other = mutants.pickles(before)[0] if dumps is None else dumps(mutants.original(before))
    for load in loads:
        for each in data:
            original = load(each)
            mutants.attempt(lambda original=original: mutants.exercise(original))
    total = len(data) * max(mutants.count_byte_mutants(each) for each in data)
    return byte_mutants(data, other, loads), total


def state_mutants(data):
    """Pickles take turns."""
    seen, calls = mutants.gather(
        [*(mutants.pickles(name)[0] for name in mutants.ORIGINALS), *data],
    )
    calls = calls[-len(data) :]

    def mutant(number):
        r, which = random.Random(number), number % len(data)
        mutator = mutants.Mutator(data[which], r, seen)
        count = min(calls[which], r.choice([1, 1, 2]))
        mutator.targets = r.sample(range(1, calls[which] + 1), count)
        return mutator, mutator.load

    for each in data:
        mutants.exercise(mutants.Mutator(each).load())
    return mutant


def byte_mutants(data, other, loads):
    """Pickles take turns; the last of the loaders has one in seven."""

    def mutant(number):
        number, which = divmod(number, len(data))
        load = loads[-1 if number % 7 == 0 else 0]
        damaged = mutants.byte_mutant(data[which], other, number)
        # A piece may be put where it has been before.
        return None if damaged == data[which] else damaged, lambda: load(damaged)

    return mutant


def main(kind, name, first, end, place):
    make, total = loaders(kind, name)
    first, end = int(first), max(int(end), total * (int(first) == 0))
    with open(place, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 8)
    trial = mutants.Trial(lambda number: memory.__setitem__(slice(0, 8), struct.pack("q", number)))
    make(first)[1]
    restrain()
    numbers = [n for n in range(first, end) if mutants.is_tried(n) or end - first == 1]
    for number in numbers:
        mutant, load = make(number)
        if mutant is None:
            continue
        if end - first == 1:
            print("mutant", mutant.hex() if type(mutant) is bytes else number, flush=True)
        trial.run(number, load)
        if end - first == 1 and type(mutant) is not bytes:
            print("damaged", mutant.done)
    print(json.dumps({
        "tried": len(numbers), "loaded": trial.loaded, "refused": trial.refused,
        "slow": trial.slow, "hung": trial.hung, "errors": trial.wrong,
    }))  # fmt: skip


main(*sys.argv[1:])
