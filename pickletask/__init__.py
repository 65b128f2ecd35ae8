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
    _f,  # noqa: F401  (pickles name these three)
    _g,  # noqa: F401
    _t,  # noqa: F401
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
from pickletask.pickling import Pickler, dump, dumps, register, unregister  # noqa: E402
from pickletask.resources import register_resource  # noqa: E402
from pickletask.unpickling import Unpickler, load, loads  # noqa: E402

# Slow to import and seldom needed: they come when they are asked for.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pickletask.inspection import (
        Inspection,
        SavedFrame,
        SavedGenerator,
        SavedTask,
        SavedValue,
        inspect,
    )
    from pickletask.references import CodeChange, on_code_changed

_LATER = {
    "CodeChange": "references",
    "Inspection": "inspection",
    "SavedFrame": "inspection",
    "SavedGenerator": "inspection",
    "SavedTask": "inspection",
    "SavedValue": "inspection",
    "inspect": "inspection",
    "on_code_changed": "references",
}


def __getattr__(name):
    """Import what was not needed until now."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f"{__name__}.{_LATER[name]}")
    found = globals()[name] = getattr(module, name)
    return found


def __dir__():
    """The names of the module, those that are imported later among them."""
    return sorted({*globals(), *_LATER})


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
