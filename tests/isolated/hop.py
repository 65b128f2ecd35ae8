"""Takes each of many programs from where it was pickled to its next suspension.

The file argv[1] holds a list of dicts and is written back. An entry has ``case`` (see programs.py)
or ``source`` (text that defines ``program(suspend, log)``; it is executed in a namespace without a
name, or if there's ``module``, in the importable module of that name), ``dumps``, ``protocol``,
``trace``, and ``data``: where it stands, or nothing if it hasn't started or has ended. If there are
``turn`` and ``send``, the case makes a generator or coroutine: that is pickled by itself, and for
the first time before it runs.
"""

import functools
import os
import pickle
import sys
import traceback
from pathlib import Path

import differential
import programs

import pickletask

PICKLERS = {
    "C": (pickle.dumps, pickle.loads),
    "Python": (pickle._dumps, pickle._loads),
    "pickletask": (pickletask.dumps, pickletask.loads),
    "contexts": (functools.partial(pickletask.dumps, contexts="value"), pickletask.loads),
}


def load_or_start(entry, loads):
    if entry.get("data") is not None:
        return loads(entry["data"])
    entry["trace"] = []
    if "source" in entry:
        return differential.start(entry["source"], entry.get("module"))
    return programs.start(programs.find(entry["case"]))


def advance(entry):
    dumps, loads = PICKLERS[entry["dumps"]]
    task, outcome = load_or_start(entry, loads)
    entry["data"] = None
    while programs.step(task, outcome, entry["trace"]):
        if "source" in entry:
            entry["data"] = differential.save(dumps, (task, outcome), entry["protocol"])
        else:
            entry["data"] = dumps((task, outcome), entry["protocol"])
        if entry["data"] is not None:
            programs.end(task)
            return
        entry["refused"] = entry.get("refused", 0) + 1


def advance_generator(entry):
    dumps, loads = PICKLERS[entry["dumps"]]
    more = True
    if entry["data"] is None:
        it = programs.find(entry["case"])()
    else:
        it = loads(entry["data"])
        entry["data"] = None
        more = programs.step_generator(it, entry["turn"], entry["send"], entry["trace"])
        entry["turn"] += 1
    if more:
        entry["data"] = dumps(it, entry["protocol"])
        programs.close(it)


def main(place):
    # Where generated modules are.
    sys.path.insert(0, os.environ.get("GENERATED", os.path.dirname(place)))
    entries = pickle.loads(Path(place).read_bytes())
    # Programs that are dropped while they suspend in a finally clause say so.
    sys.unraisablehook = lambda unraisable: None
    for number, entry in enumerate(entries):
        # Should the process crash, these tell in which program.
        Path(place + ".at").write_text(str(number))
        print(entry.get("case") or entry["source"], file=sys.stderr, flush=True)
        try:
            if "turn" in entry:
                advance_generator(entry)
            else:
                advance(entry)
        except BaseException:
            entry["data"] = None
            entry["error"] = traceback.format_exc()
    Path(place).write_bytes(pickle.dumps(entries))


main(sys.argv[1])
