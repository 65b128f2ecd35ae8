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
from pickletask.pickling import (  # noqa: E402
    Pickler,
    Unpickler,
    dump,
    dumps,
    load,
    loads,
    register,
    unregister,
)

register()

__all__ = [
    "CodeChangedError",
    "CorruptStateError",
    "NotPicklableError",
    "Pickler",
    "RestoreError",
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
    "load",
    "loads",
    "register",
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
