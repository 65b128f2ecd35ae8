"""Running tasks that can be pickled, on an unpatched CPython.

A :class:`tasklet` runs a function until it switches to another one, with
:func:`schedule` or by waiting at a :class:`channel`, and goes on there later::

    import pickletask

    def count(name):
        for n in range(3):
            print(name, n)
            pickletask.schedule()

    pickletask.tasklet(count)("a")
    pickletask.tasklet(count)("b")
    pickletask.run()

The names and what they do are those of Stackless Python.
"""

from pickletask import _supported

_supported.check()

from pickletask import _core  # noqa: E402

_core._check_interpreter()

from pickletask._core import (  # noqa: E402  (nothing else may come first)
    CodeChangedError,
    CorruptStateError,
    NotPicklableError,
    RestoreError,
    TaskletExit,
    VersionMismatchError,
    bomb,
    channel,
    get_channel_callback,
    get_schedule_callback,
    getcurrent,
    getcurrentid,
    getmain,
    getruncount,
    run,
    schedule,
    schedule_remove,
    set_channel_callback,
    set_error_handler,
    set_parked_limit,
    set_schedule_callback,
    switch_trap,
    tasklet,
)
from pickletask.errors import NotAllowedError, SealError  # noqa: E402
from pickletask.inspection import (  # noqa: E402
    Inspection,
    SavedFrame,
    SavedGenerator,
    SavedTask,
    SavedValue,
    inspect,
)
from pickletask.pickling import Pickler, dump, dumps, register, unregister  # noqa: E402
from pickletask.references import CodeChange, on_code_changed  # noqa: E402
from pickletask.resources import register_resource  # noqa: E402
from pickletask.unpickling import Unpickler, load, loads  # noqa: E402

register()

__all__ = [
    "CodeChange",
    "CodeChangedError",
    "CorruptStateError",
    "Inspection",
    "NotAllowedError",
    "NotPicklableError",
    "Pickler",
    "RestoreError",
    "SavedFrame",
    "SavedGenerator",
    "SavedTask",
    "SavedValue",
    "SealError",
    "TaskletExit",
    "Unpickler",
    "VersionMismatchError",
    "bomb",
    "channel",
    "dump",
    "dumps",
    "get_channel_callback",
    "get_schedule_callback",
    "getcurrent",
    "getcurrentid",
    "getmain",
    "getruncount",
    "inspect",
    "load",
    "loads",
    "on_code_changed",
    "register",
    "register_resource",
    "run",
    "schedule",
    "schedule_remove",
    "set_channel_callback",
    "set_error_handler",
    "set_parked_limit",
    "set_schedule_callback",
    "switch_trap",
    "tasklet",
    "unregister",
]
