"""Makes the golden pickles of the running Python: ``python tests/golden/make.py``.

They are in a folder for each minor version, named by format, what they hold and how it was saved.
Those that are there already stay as they are: a new format adds files, a release keeps them.
"""

import sys
import types
from pathlib import Path

import pickletask

HERE = Path(__file__).resolve().parent
FORMAT = 3
KEY = b"the key of the golden pickles..."
WAYS = {
    "value": {},
    "reference": {"code": "reference"},
    "protocol2": {"protocol": 2},
    "sealed": {"key": KEY},
}


def load_tasks():
    """The module golden_tasks, without a trace of where it is."""
    source = (HERE.parent / "golden_tasks.py").read_text(encoding="utf-8")
    module = sys.modules["golden_tasks"] = types.ModuleType("golden_tasks")
    exec(compile(source, "golden_tasks.py", "exec"), vars(module))
    return module


def objects(tasks):
    """What is saved, by name."""

    def suspended(function, *args, make=pickletask.tasklet):
        task = make(function)(*args)
        task.run()
        return task

    generator = tasks.squares(5)
    next(generator)
    up, show = tasks.closure()
    where = pickletask.channel()
    receiver = pickletask.tasklet(tasks.receive)(where)
    receiver.insert()
    pickletask.run()
    chain = None
    for _ in range(2000):
        chain = suspended(tasks.many, chain)
    job = tasks.Job()
    job.bind(tasks.Job.work, (job, "abc"))
    job.run()
    return {
        "loop": suspended(tasks.loop, 4),
        "generator": [generator, tasks.squares(2), tasks.nothing()],
        "closure": [suspended(up), show],
        "handler": suspended(tasks.handler),
        "channel": [where, receiver],
        "chain": chain,
        "job": job,
        "walk": suspended(tasks.walk, [1, 2]),
        "boundaries": [suspended(tasks.make), suspended(tasks.enter), suspended(tasks.add)],
    }


def main():
    """Write those that are missing."""
    folder = HERE / "{}.{}".format(*sys.version_info)
    folder.mkdir(exist_ok=True)
    for name, obj in objects(load_tasks()).items():
        for way, options in WAYS.items():
            if name == "chain" and way != "reference":
                continue
            path = folder / f"format{FORMAT}-{name}-{way}.pickle"
            if not path.exists():
                path.write_bytes(pickletask.dumps(obj, **options))
                print("made", path.relative_to(HERE))


if __name__ == "__main__":
    main()
