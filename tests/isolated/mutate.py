"""Tries the mutants of some numbers: arguments are kind, name, first, end, and the file for notes.

With only one number it shows the mutant before it tries it.
"""

import io
import json
import mmap
import pickle
import random
import resource
import struct
import sys

import mutants

FORBIDDEN = ("os.", "subprocess.", "ctypes.", "socket.", "shutil.", "import", "open", "signal.")


def restrain():
    """Whatever a mutant names, it can't do harm, nor take all memory or time."""
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = now + (2 << 30)
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


def stock(number):
    """Each protocol has its numbers in turn, with the C and, less often, the Python unpickler."""
    load = mutants.load_stock_python if number % 14 < 2 else mutants.load_stock
    return number % 2, number // 2, load


def loaders(kind, name):
    """A function that gives the mutant of a number and its loader; how many there are at least."""
    names = list(mutants.ORIGINALS)
    dumps, loads = mutants.WAYS.get(kind.removesuffix(" state"), (pickle.dumps, None))
    if kind.endswith("state"):
        data = dumps(mutants.original(name))
        seen, calls = mutants.gather(names, data)

        def state_mutant(number):
            r = random.Random(number)
            mutator = mutants.Mutator(data, r, seen)
            count = min(calls, r.choice([1, 1, 2]))
            mutator.targets = r.sample(range(1, calls + 1), count)
            return mutator, mutator.load

        return state_mutant, 0
    other = dumps(mutants.original(names[names.index(name) - 1]))
    if loads is None:
        data = [pickle.dumps(mutants.original(name), protocol) for protocol in (4, 2)]
    else:
        data = [dumps(mutants.original(name))]

    def byte_mutant(number):
        which, number, load = stock(number) if loads is None else (0, number, loads)
        mutant = mutants.byte_mutant(data[which], other, number)
        # A piece may be put where it has been before.
        return None if mutant == data[which] else mutant, lambda: load(mutant)

    return byte_mutant, len(data) * max(map(mutants.count_byte_mutants, data))


def main(kind, name, first, end, place):
    make, total = loaders(kind, name)
    first, end = int(first), max(int(end), total * (int(first) == 0))
    with open(place, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 8)
    trial = mutants.Trial(lambda number: memory.__setitem__(slice(0, 8), struct.pack("q", number)))
    # What is needed later is imported now: mutants can't.
    for protocol in (2, 4):
        data = pickle.dumps(mutants.original(name), protocol)
        for cls in (mutants.GuardedUnpickler, mutants.GuardedPythonUnpickler):
            mutants.exercise(cls(io.BytesIO(data)).load())
    make(first)[1]
    restrain()
    numbers = range(first, end, mutants.STEP)
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
