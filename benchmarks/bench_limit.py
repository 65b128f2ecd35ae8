"""What set_parked_limit() is worth: N tasks take turns, and at most K of them keep a C stack.

    python -P bench_limit.py N K    prints nanoseconds a switch and bytes a task as JSON

With K below N this is the worst case of a cache that drops what was used longest ago: each switch
goes to the task that has lost its stack most recently, after the longest wait.
"""

import json
import os
import sys
import time

from bench_memory import resident

from pickletask import run, schedule, set_parked_limit, tasklet

TASKS = (100, 1000, 5000, 20_000)


def take_turns(switch):
    """What each task does."""
    while True:
        switch()


def measure(count, limit):
    """(nanoseconds a switch, bytes a task) of COUNT tasks, of which LIMIT keep their stacks."""
    set_parked_limit(limit)
    rounds = max(3, 200_000 // count)
    before = resident()
    found = []

    def watch():
        # In the first turn the tasks start, in the second they have been suspended once.
        schedule()
        schedule()
        found.append((resident() - before) / count)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(rounds):
                schedule()
            best = min(best, time.perf_counter() - start)
        found.insert(0, best / rounds / (count + 1) * 1e9)
        json.dump(found, sys.stdout)
        sys.stdout.flush()
        os._exit(0)

    tasklet(watch)()
    for _ in range(count):
        tasklet(take_turns)(schedule)
    run()


if __name__ == "__main__":
    measure(int(sys.argv[1]), int(sys.argv[2]))
