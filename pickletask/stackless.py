"""The names of Stackless Python: ``import pickletask.stackless as stackless``.

Everything here is :mod:`pickletask`'s own and means the same there.
"""

from pickletask import (
    TaskletExit,
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
    set_schedule_callback,
    switch_trap,
    tasklet,
)

__all__ = [
    "TaskletExit",
    "bomb",
    "channel",
    "get_channel_callback",
    "get_schedule_callback",
    "getcurrent",
    "getcurrentid",
    "getmain",
    "getruncount",
    "run",
    "schedule",
    "schedule_remove",
    "set_channel_callback",
    "set_error_handler",
    "set_schedule_callback",
    "switch_trap",
    "tasklet",
]
