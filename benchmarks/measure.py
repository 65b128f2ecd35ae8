"""Measuring side by side: what a figure and its rivals cost, in the same process and minute.

    python -P measure.py SUBJECT ROUNDS SECONDS     prints the times as JSON; run.py starts it

A subject is a module bench_<name>.py with a table of ROWS and with

    measures()      a dict: name -> function that does something LOOPS times and returns the
                    seconds that this took, without what it prepared

The machine may be busy with other things, and its clock may change its speed.  So the measures of a
subject take turns of a few milliseconds in one process; a round of all of them is repeated, each
time in another order.  The least time of each is the one least disturbed.  Several fresh processes
do this, for a process may be unlucky with its layout in memory; the median of them counts.
"""

import gc
import importlib
import json
import os
import random
import sys
import time


class Stopwatch:
    """Times a `with` block; ``seconds`` is what it took."""

    def __enter__(self):
        self.start = time.perf_counter()
        return self

    def __exit__(self, *exception):
        self.seconds = time.perf_counter() - self.start


def calibrate(function, seconds):
    """How many loops of FUNCTION take about so many SECONDS."""
    loops = 1
    while (taken := function(loops)) < seconds / 4:
        loops *= 4
    return max(1, round(loops * seconds / taken))


def take_turns(measures, rounds, seconds):
    """Run all MEASURES in turns of so many SECONDS; a dict of their times a loop, one a round."""
    # The collector of cycles runs between the turns only.
    gc.disable()
    loops = {name: calibrate(function, seconds) for name, function in measures.items()}
    times = {name: [] for name in measures}
    order = list(measures)
    source = random.Random(1)
    for _ in range(rounds):
        source.shuffle(order)
        for name in order:
            gc.collect()
            times[name].append(measures[name](loops[name]) / loops[name])
    return times


def main():
    """Measure the subject of the command line."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    subject, rounds, seconds = sys.argv[1:]
    measures = importlib.import_module(f"bench_{subject}").measures()
    json.dump(take_turns(measures, int(rounds), float(seconds)), sys.stdout)


if __name__ == "__main__":
    main()
