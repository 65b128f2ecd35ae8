"""The keeper's part of the demonstration: passes the saved microthread from worker to worker.

            state, until
    keeper -------------> worker 1      runs the task for a turn, saves it where it stands
           <-------------
               state
           -------------> worker 2      ...

The keeper holds the last saved state as bytes, and never loads them.  A worker that dies, killed
here on purpose or by anybody at any time, takes down what it did in this turn and no more: the next
one gets the same state again.  When none is left, a new one is started.

No worker outlives the keeper.  It kills them at its end, whatever that is; if it is killed itself,
they find their pipes closed, or another process as their parent.
"""

import multiprocessing
import os
import signal
from collections import deque
from contextlib import contextmanager
from multiprocessing import resource_tracker

from pickletask.demo_worker import work

# After so many deaths in a row the state is held to be their reason.
MOST_DEATHS = 5


class Failure(Exception):
    """The demonstration can't go on.

    The message is one line for the user, ``status`` is for the shell, and ``detail`` is a
    traceback of something that should not happen, or "".
    """

    def __init__(self, message, status=1, detail=""):
        super().__init__(message)
        self.status = status
        self.detail = detail


class WorkerDied(Exception):
    """A worker's end, instead of its answer; PLACE is where its task stood, if that is known."""

    def __init__(self, place=None):
        super().__init__()
        self.place = place


@contextmanager
def interrupt_blocked():
    """Ctrl-C waits until the block is over; processes started in it never get it."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


class Worker:
    """A worker process, and the pipe to it."""

    def __init__(self, number):
        """Start it; OSError if the system has no room for it."""
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.pipe, theirs = context.Pipe()
        try:
            arguments = theirs, os.getpid()
            self.process = context.Process(target=work, args=arguments, daemon=True)
            self.process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            # With two ends here, nobody would see that the worker's end is closed.
            theirs.close()
        self.pid = self.process.pid

    def ask(self, *message):
        """Send it a message; its answer, or WorkerDied."""
        try:
            self.pipe.send(message)
            return self.pipe.recv()
        except (EOFError, OSError):
            raise WorkerDied from None

    def bury(self):
        """Kill it if it lives; what it died of, in words."""
        # A worker that was killed at this moment may still look alive, which makes no difference.
        self.process.kill()
        self.process.join()
        status = self.process.exitcode
        self.pipe.close()
        self.process.close()
        if status >= 0:
            return f"status {status}"
        names = [each.name for each in signal.Signals if each == -status]
        return names[0] if names else f"signal {-status}"


class Crew:
    """The workers that live, the next one first. Leaving its `with` block leaves none."""

    def __init__(self, size):
        self.size = size
        self.started = 0
        self.workers = deque()

    def __enter__(self):
        # Started with the first process otherwise, and that would end the blocking of Ctrl-C.
        resource_tracker.ensure_running()
        try:
            while self.started < self.size:
                self.start_worker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        with interrupt_blocked():
            while self.workers:
                self.workers.pop().bury()

    def start_worker(self):
        """Start one worker more, who will be the last to get the task; returns it."""
        try:
            with interrupt_blocked():
                worker = Worker(self.started + 1)
                self.workers.append(worker)
                self.started += 1
        except OSError as error:
            raise Failure(f"cannot start worker {self.started + 1}: {error.strerror}") from None
        return worker

    def next_worker(self):
        """The worker whose turn it is; the next call gives another one, if there is one."""
        self.workers.rotate(-1)
        return self.workers[-1]

    def bury(self, worker):
        """Take out a worker who is dead, or has to be; what it died of, in words."""
        with interrupt_blocked():
            self.workers.remove(worker)
            return worker.bury()


class Relay:
    """A microthread on its way.

    ``state`` is its last pickle and ``saved`` the words counted up to there; ``pids`` are the
    processes that had it, in their order; ``deaths`` counts those that died of it; ``killed`` is
    true once one was killed on purpose; ``stack`` are the calls in which it stood at its first hop.
    """

    def __init__(self, state, goals, words, kill):
        """Take the task's first STATE to its end.

        GOALS are the words counted at the end of each turn, None for the last one, WORDS those of
        all texts; KILL is the turn in which a worker is to be killed, or None.
        """
        self.state = state
        self.saved = 0
        self.goals = goals
        self.words = words
        self.kill = kill
        self.killed = False
        self.deaths = 0
        self.pids = []
        self.stack = []

    def run(self, crew, report):
        """Pass the task on until it is done; its Tally. REPORT is told what happens.

        Failure if the task fails, or costs too many workers.
        """
        turn, deaths = 1, 0
        while True:
            worker = crew.next_worker()
            self.pids.append(worker.pid)
            try:
                kind, place, *answer = self.take_turn(turn, worker)
            except WorkerDied as death:
                report.died(turn, worker, death.place, crew.bury(worker), self.saved)
                self.deaths += 1
                deaths += 1
                if deaths == MOST_DEATHS:
                    what = f"{deaths} workers died one after the other of the same state"
                    raise Failure(what) from None
                if not crew.workers:
                    report.started(crew.start_worker())
                continue
            deaths = 0
            report.turn(turn, worker, place, place.words - self.saved, *answer)
            if kind == "done":
                return answer[-1]
            times, self.state, size, stack = answer
            self.stack = self.stack or stack
            self.saved = place.words
            turn += 1

    def take_turn(self, turn, worker):
        """Have WORKER do this turn; its answer, or WorkerDied."""
        answer = worker.ask("run", self.state, self.goals[turn - 1], self.halt(turn))
        if answer[0] == "halted":
            # It has the task and has got on with it, and nobody else knows how far.
            worker.process.kill()
            self.killed = True
            raise WorkerDied(answer[1])
        if answer[0] == "failed":
            raise Failure(*answer[1:])
        return answer

    def halt(self, turn):
        """The words at which the worker of this turn is to halt and be killed, or None."""
        if turn != self.kill or self.killed:
            return None
        goal = self.goals[turn - 1] or self.words
        halt = self.saved + max(1, (goal - self.saved) // 2)
        # Having counted the last word, the task does not halt any more.
        return halt if halt < self.words else None
