"""Kills each case wherever it suspends, with memory that is free filled with what is no pointer.

While a task is killed it may suspend again and again, in places where operands are gone already.
There it is saved, too, or refused.
"""

import pickle
import sys

import programs


def kill(task):
    """Kill it, and save it wherever it suspends meanwhile."""
    while task.alive:
        try:
            task.kill()
        except BaseException:
            pass
        try:
            pickle.dumps(task)
        except Exception:
            pass


def kill_everywhere(function):
    """Kill one more task at each suspension than went on from there."""
    steps = 0
    while True:
        trace = []
        task, outcome = programs.start(function)
        for _ in range(steps):
            if not programs.step(task, outcome, trace):
                return
        kill(task)
        steps += 1


if __name__ == "__main__":
    # Generators that are dropped while they suspend in a finally clause say so.
    sys.unraisablehook = lambda unraisable: None
    for kind in "tasks", "boundaries", "contexts":
        for case in programs.cases(kind):
            print(case, flush=True)
            kill_everywhere(programs.find(case))
