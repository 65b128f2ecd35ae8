"""Long chains without recursion: objects first, their states afterwards.

pickle saves what an object holds before it goes on to the next, so that a chain of tasks which hold
one another is as deep as it is long.  A flat pickle has tasks, channels and generators without
their states, wherever they are met, and the states one after the other behind the object that was
to be saved.  While a state is saved, more of them are met, and take their place at the end of the
queue.
"""

from collections import deque

__all__ = ["Flat", "Queue", "finish", "set_state"]


class Flat:
    """Goes into a flat pickle in place of the object, as ``finish(object, states)``."""

    __slots__ = ("root", "queue")

    def __init__(self, root, queue):
        self.root = root
        self.queue = queue

    def __reduce__(self):
        return finish, (self.root, self.queue)


class Queue:
    """The states that are still to be saved; it pickles as a list of calls of :func:`set_state`."""

    __slots__ = ("waiting", "ahead")

    def __init__(self):
        self.waiting = deque()
        self.ahead = 0

    def shorten(self, obj, reduced):
        """Return what a reducer returned, without the state, which is kept for later."""
        if not isinstance(reduced, tuple) or len(reduced) < 3 or reduced[2] is None:
            return reduced
        args = (obj, reduced[2]) if len(reduced) < 6 else (obj, reduced[2], reduced[5])
        self.waiting.append(_State(self, args))
        return (*reduced[:2], None, *reduced[3:5])

    def __reduce__(self):
        return list, (), None, self._drain()

    def _drain(self):
        # Picklers ask for some items before they save the first, which may bring new ones.
        while self.waiting or self.ahead:
            if self.waiting:
                self.ahead += 1
                yield self.waiting.popleft()
            else:
                yield None


class _State:
    """A state that waits: it pickles as a call of :func:`set_state`."""

    __slots__ = ("queue", "args")

    def __init__(self, queue, args):
        self.queue = queue
        self.args = args

    def __reduce__(self):
        self.queue.ahead -= 1
        return set_state, self.args


def set_state(obj, state, setter=None):
    """Give a loaded object its state."""
    if setter is None:
        obj.__setstate__(state)
    else:
        setter(obj, state)


def finish(root, states):
    """Return the object that was saved, once all states are set."""
    return root
