"""A worker process of the demonstration: resumes a microthread, runs it for a while, saves it.

The messages on its pipe are tuples; to it::

    ("run", state, until, halt)     run the saved task until the tally has UNTIL words (None: to
                                    its end); or halt on the way, at HALT words (None: don't)

and from it::

    ("halted", place)               the task lives in its memory only; now it waits to be killed
    ("saved", place, times, state, size, stack)
    ("done", place, times, tally)
    ("failed", text, status, detail)    the arguments of demo_relay.Failure

A state is the pickle of (task, tally), size the part of its bytes that is not the counts; a place
is a Place, a stack a list of Call; times are the seconds that loading, running and saving took.
"""

import linecache
import os
import pickle
import signal
import time
import traceback
from typing import NamedTuple

from pickletask.demo_task import NotText

# Words between two looks at whether the parent still lives.
PATROL = 1 << 14


class Place(NamedTuple):
    """Where a task stands: its tally without the counts, and how many calls deep."""

    words: int
    path: str | None
    line: int
    word: int
    depth: int


class Call(NamedTuple):
    """One of the calls in which a task is suspended."""

    function: str
    file: str
    line: int
    source: str


class Orphaned(Exception):
    """The parent is gone: nobody wants the result."""


def frames_of(task):
    """The frames of a suspended TASK, the outermost first."""
    frames = []
    frame = task.frame
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def place_of(task, tally):
    """The Place where TASK stands."""
    return Place(tally.words, tally.path, tally.line, tally.word, len(frames_of(task)))


def stack_of(task):
    """The calls that TASK is suspended in, the outermost first."""
    calls = []
    for frame in frames_of(task):
        code, line = frame.f_code, frame.f_lineno
        source = linecache.getline(code.co_filename, line).strip()
        calls.append(Call(code.co_qualname, os.path.basename(code.co_filename), line, source))
    return calls


def save(task, tally):
    """The saved state of a TASK and its TALLY; in one pickle, so that they stay together."""
    return pickle.dumps((task, tally), pickle.HIGHEST_PROTOCOL)


def run_until(task, tally, until, parent):
    """Let TASK run until the tally has UNTIL words (None: to its end); Orphaned without PARENT."""
    while task.alive and (until is None or tally.words < until):
        task.run()
        if tally.words % PATROL == 0 and os.getppid() != parent:
            raise Orphaned


def take_turn(pipe, parent, state, until, halt):
    """Do what a "run" message says; the message to answer with."""
    started = time.perf_counter()
    task, tally = pickle.loads(state)
    times = [time.perf_counter() - started]

    started = time.perf_counter()
    if halt is not None:
        run_until(task, tally, halt, parent)
        pipe.send(("halted", place_of(task, tally)))
        # Nothing comes but SIGKILL; EOFError, if the parent itself is killed.
        pipe.recv()
    run_until(task, tally, until, parent)
    times.append(time.perf_counter() - started)
    place = place_of(task, tally)
    if not task.alive:
        return "done", place, times, tally

    started = time.perf_counter()
    state = save(task, tally)
    times.append(time.perf_counter() - started)
    size = len(state) - len(pickle.dumps(tally.counts, pickle.HIGHEST_PROTOCOL))
    stack = stack_of(task)
    # It lives on elsewhere; here its `with` block closes the file.
    task.kill()
    return "saved", place, times, state, size, stack


def work(pipe, parent):
    """The life of a worker: turns, until the PIPE is closed or the PARENT process is gone."""
    # Ctrl-C is for the parent, which then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            _, *rest = pipe.recv()
            pipe.send(answer_to(pipe, parent, *rest))
    except (EOFError, ConnectionError, Orphaned):
        pass


def answer_to(pipe, parent, state, until, halt):
    """The message that answers a "run" message, whatever happens to the task."""
    try:
        return take_turn(pipe, parent, state, until, halt)
    except (EOFError, ConnectionError, Orphaned):
        raise
    except (OSError, NotText) as error:
        return "failed", reason(error), 2, ""
    except Exception:
        return "failed", "the task failed", 1, traceback.format_exc().rstrip()


def reason(error):
    """Why a file can't be read, in one line."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot read {os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)
