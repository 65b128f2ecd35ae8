"""Pickles and resumes each case again and again: what is allocated must not grow.

Arguments are the cases to check; none means all.
"""

import gc
import os
import pickle
import sys

import programs

import pickletask

# Not too few: CPython's own caches fill up meanwhile.
ROUNDS = max(40 // int(os.environ.get("PICKLETASK_TEST_SLOWDOWN", 1)), 10)


def round_trip(function, dumps, loads):
    # Only up to the 12th suspension: a leak shows there, or at the end that the first task reaches.
    task, outcome = programs.start(function)
    originals = []
    trace = []
    while programs.step(task, outcome, trace):
        if len(originals) < 12:
            originals.append(task)
            task, outcome = loads(dumps((task, outcome)))
    # Half of them end by kill(), the others by losing their last reference.
    while originals:
        task = originals.pop()
        if len(originals) % 2:
            programs.end(task)
    del task


def generator_round_trip(make, dumps, loads):
    programs.drive(make, lambda it: loads(dumps(it)))


def count():
    gc.collect()
    if hasattr(sys, "gettotalrefcount"):
        return sys.gettotalrefcount()
    return sys.getallocatedblocks()


def check(case, trip):
    function = programs.find(case)
    own = hasattr(function, "own_pickler")
    dumps, loads = (pickletask.dumps if own else pickle.dumps), pickle.loads
    for _ in range(ROUNDS):
        trip(function, dumps, loads)
    growth = []
    before = count()
    # Caches of the interpreter grow too, but not for ever.
    while len(growth) < 40:
        for _ in range(ROUNDS):
            trip(function, dumps, loads)
        after = count()
        growth.append(after - before)
        if growth[-1] < ROUNDS * 0.8:
            return None
        before = after
    return growth


def main(cases):
    leaking = []
    checked = 0
    # Generators that are dropped while they suspend in a finally clause say so.
    sys.unraisablehook = lambda unraisable: None
    for kind, trip in (("tasks", round_trip), ("suspended", generator_round_trip)):
        for case in programs.cases(kind):
            if cases and case not in cases:
                continue
            print(case, file=sys.stderr, flush=True)
            checked += 1
            try:
                growth = check(case, trip)
            except Exception as error:
                leaking.append(f"{case}: {error!r}")
                continue
            if growth is not None:
                leaking.append(f"{case}: {growth} in {ROUNDS} rounds each")
    assert not leaking, "\n" + "\n".join(leaking)
    print("checked", checked)


main(sys.argv[1:])
