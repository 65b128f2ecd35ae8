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


def loaders(kind, name):
    """A function that gives the loader of the mutant of a number."""
    names = list(mutants.ORIGINALS)
    data = [pickle.dumps(mutants.original(name), protocol) for protocol in (4, 2)]
    other = pickle.dumps(mutants.original(names[names.index(name) - 1]), 4)
    seen, calls = mutants.gather(names)

    def byte_mutant(number):
        # Each protocol has its numbers in turn, with the C and, less often, the Python pickler.
        which = number % 2
        mutant = mutants.byte_mutant(data[which], other, number // 2 % limit(which))
        cls = mutants.GuardedPythonUnpickler if number % 14 < 2 else mutants.GuardedUnpickler
        return mutant, lambda: cls(io.BytesIO(mutant)).load()

    def limit(which):
        return mutants.count_byte_mutants(data[which])

    def state_mutant(number):
        r = random.Random(number)
        mutator = mutants.Mutator(data[0], r, seen)
        mutator.targets = r.sample(range(1, calls[name] + 1), min(calls[name], r.choice([1, 1, 2])))
        return mutator, mutator.load

    if kind == "bytes":
        return byte_mutant, 2 * max(limit(0), limit(1))
    return state_mutant, None


def main(kind, name, first, end, place):
    make, total = loaders(kind, name)
    first = int(first)
    end = total if end == "all" else int(end)
    with open(place, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 8)
    trial = mutants.Trial(lambda number: memory.__setitem__(slice(0, 8), struct.pack("q", number)))
    # What is needed later is imported now: mutants can't.
    for protocol in (2, 4):
        data = pickle.dumps(mutants.original(name), protocol)
        for cls in (mutants.GuardedUnpickler, mutants.GuardedPythonUnpickler):
            mutants.exercise(cls(io.BytesIO(data)).load())
    restrain()
    numbers = range(first, end, mutants.STEP)
    for number in numbers:
        mutant, load = make(number)
        if end - first == 1:
            print("mutant", mutant.hex() if kind == "bytes" else number, flush=True)
        trial.run(number, load)
        if end - first == 1 and kind == "state":
            print("damaged", mutant.done)
    print(json.dumps({
        "tried": len(numbers), "loaded": trial.loaded, "refused": trial.refused,
        "slow": trial.slow, "hung": trial.hung, "errors": trial.wrong,
    }))  # fmt: skip


main(*sys.argv[1:])
