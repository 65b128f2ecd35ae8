"""Resources among the variables of a task: files, sockets and the like.

What a process holds of the world outside can't be pickled.  It can be described, and opened again
where the task goes on: :func:`register_resource` says how, for every pickler.
"""

import copyreg

__all__ = ["register_resource"]

_reducers = {}


def register_resource(type, close, reopen):
    """Say how instances of a class are saved as descriptions, and opened again.

    Parameters:

    * ``type``: the class; instances of subclasses need a call of their own.
    * ``close``: called with an instance when it is saved. It returns a description that can be
      pickled. The task that is saved may go on, so what else it does is up to you: to flush a file
      is a good idea, to close it is one only if the task is not to go on here. None takes the
      registration back.
    * ``reopen``: called with the description when it is loaded, and returns the new instance. It
      has to be a function or class that can be imported where the pickle is loaded.

    Within one pickle, an instance is described once and stays shared.  The registration is one of
    :mod:`copyreg`: pickle, copy, multiprocessing and cloudpickle follow it, too.

    Raises TypeError if TYPE is no class, or the others can't be called.
    """
    if not isinstance(type, _class):
        raise TypeError(f"a resource's type must be a class, not {type!r}")
    if close is None:
        if copyreg.dispatch_table.get(type) is _reducers.pop(type, copyreg):
            del copyreg.dispatch_table[type]
        return
    for what, function in ("close", close), ("reopen", reopen):
        if not callable(function):
            raise TypeError(f"{what} must be callable, not {_class(function).__name__}")

    def reduce(resource):
        return reopen, (close(resource),)

    _reducers[type] = reduce
    copyreg.pickle(type, reduce)


# The parameter has its name from the user's point of view.
_class = type
