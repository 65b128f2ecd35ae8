"""The benchmarks: what pickletask costs, as ratios to its rivals within one run.

A ratio of 2 means: twice as long, or twice as large, as the rival named at the head of the column.
Absolute times are of little use on another machine, or at another time on this one.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
try:
    import greenlet
    import pyperf
    import table
except ImportError as error:
    sys.exit(f"benchmarks: no module {error.name}: use make bench, or install pickletask[bench]")

SUBJECTS = ("switch", "create", "channel", "pickle", "batch", "memory")
# processes, rounds in each, seconds a turn; tasks of the figures of memory and of batches
FULL = 5, 20, 0.01, 100_000
QUICK = 2, 8, 0.004, 20_000


def start(*arguments):
    """Run a script of this folder in a fresh process; the JSON that it printed."""
    command = [sys.executable, "-P", FOLDER / arguments[0], *map(str, arguments[1:])]
    # The scripts import one another; their folder is not on the path under -P.
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    if done.returncode:
        what = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        print(done.stderr, end="", file=sys.stderr)
        sys.exit(f"benchmarks: {' '.join(map(str, arguments))} ended with {what}")
    return json.loads(done.stdout)


def collect(subject, processes, rounds, seconds, tasks):
    """Measure a subject; its Results."""
    if subject == "memory":
        kinds = importlib.import_module("bench_memory").KINDS
        values = {kind: [[start("bench_memory.py", kind, tasks)]] for kind in kinds}
        return table.Results("byte", values)
    if subject == "batch":
        found = start("bench_batch.py", tasks)
        return table.Results("second", {name: [values] for name, values in found.items()})
    runs = [start("measure.py", subject, rounds, seconds) for _ in range(processes)]
    return table.Results("second", {name: [run[name] for run in runs] for name in runs[0]})


def limits():
    """The lines of the table about set_parked_limit()."""
    cells = []
    for tasks in importlib.import_module("bench_limit").TASKS:
        kept = None
        for limit in [tasks + 2, *([1000] if tasks > 1000 else []), 0]:
            found = min(start("bench_limit.py", tasks, limit) for _ in range(3))
            kept = kept or found
            cells.append(
                (
                    f"{tasks:,}",
                    "all" if limit > tasks else f"{limit:,}",
                    f"{found[0]:,.0f} ns",
                    table.short(found[0] / kept[0]),
                    f"{found[1]:,.0f} B",
                    table.short(found[1] / kept[1]),
                )
            )
        cells.append(None)
    return table.grid(("tasks", "kept", "a switch", "ratio", "a task", "ratio"), cells[:-1])


def save(path, subjects):
    """Save all values, for `pyperf show`, `pyperf compare_to` and the like."""
    benchmarks = []
    for subject, results in subjects.items():
        for name, processes in results.values.items():
            metadata = {"name": f"{subject}: {name}", "unit": results.unit}
            benchmarks.append(
                pyperf.Benchmark([pyperf.Run(values, metadata=metadata) for values in processes])
            )
    pyperf.BenchmarkSuite(benchmarks).dump(path, replace=True)


def parse():
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument(
        "subjects",
        nargs="*",
        metavar="SUBJECT",
        help=f"what to measure: {', '.join(SUBJECTS)} (default: these), or limit",
    )
    parser.add_argument("--quick", action="store_true", help="half a minute, less precise")
    parser.add_argument("--json", metavar="FILE", help="save all values, as pyperf does")
    options = parser.parse_args()
    unknown = sorted(set(options.subjects) - {*SUBJECTS, "limit"})
    if unknown:
        parser.error(f"no subject {', '.join(unknown)}: there are {', '.join(SUBJECTS)}, limit")
    if options.json and not Path(options.json).absolute().parent.is_dir():
        parser.error(f"no folder for {options.json}")
    return options


def main():
    """Measure, print the tables, and save the values if asked to."""
    options = parse()
    names = options.subjects or SUBJECTS
    subjects = {}
    for name in SUBJECTS:
        if name in names:
            print(f"benchmarks: {name}", file=sys.stderr, flush=True)
            subjects[name] = collect(name, *(QUICK if options.quick else FULL))
    if subjects:
        print_tables(subjects)
    if "limit" in names:
        print("benchmarks: limit", file=sys.stderr, flush=True)
        print("\nRound robin over some tasks, at most so many with their C stack kept:\n")
        print("\n".join(limits()))
    if options.json:
        save(options.json, subjects)


def print_tables(subjects):
    """Print the figures of SUBJECTS (name -> Results), the sizes of pickles, and the goals."""
    pairs = []
    for name, results in subjects.items():
        module = importlib.import_module(f"bench_{name}")
        pairs.append((module.ROWS, results))
        if name == "pickle":
            sizes = table.Results("byte", {key: [[n]] for key, n in module.sizes().items()})
            pairs.append((module.SIZE_ROWS, sizes))
        if name == "batch":
            pairs.append((module.SIZE_ROWS, table.Results("byte", results.values)))
    python = "{}.{}.{}".format(*sys.version_info)
    print(f"Python {python}, greenlet {greenlet.__version__}: ratios to the rivals\n")
    print("\n".join(table.table(pairs)))
    goals = table.goals(pairs)
    if goals:
        print("\n" + "\n".join(goals))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("benchmarks: interrupted")
