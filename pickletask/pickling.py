"""Picklers that know functions, and the reducers that all picklers share.

Importing pickletask registers its reducers with :mod:`copyreg`, so that the
stock picklers, :mod:`copy`, :mod:`multiprocessing` and cloudpickle take tasks
and generators as they are.  One thing copyreg can't do is functions: pickle
never asks it about them.  Local functions that a task uses directly are saved
all the same; those inside the user's own containers need :func:`dumps`.
"""

import collections
import copy
import copyreg
import functools
import io
import pickle
import types
from pickle import Unpickler, load, loads

from pickletask import _core

__all__ = [
    "Pickler",
    "Unpickler",
    "dump",
    "dumps",
    "load",
    "loads",
    "register",
    "unregister",
]


def _reduce_module(module):
    """Reduce a module: by name if it can be imported, else by value."""
    import importlib
    import sys

    if sys.modules.get(module.__name__) is module:
        return importlib.import_module, (module.__name__,)
    names = {key: value for key, value in vars(module).items() if key != "__builtins__"}
    return _new_module, (module.__name__,), names


def _new_module(name):
    """Make the module that the state of a module saved by value goes into."""
    return types.ModuleType(name)


_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)

_REDUCERS = {
    types.CodeType: _core._reduce_code,
    types.CellType: _core._reduce_cell,
    types.FunctionType: _core._reduce_function,
    types.FrameType: _core._reduce_frame,
    types.TracebackType: _core._reduce_traceback,
    types.ModuleType: _reduce_module,
    **dict.fromkeys(_GENERATORS, _core._reduce_generator),
    **dict.fromkeys(_core._ITERATORS, getattr(_core, "_reduce_iterator", None)),
}


def _rebuild(original, reduced, memo, convert):
    """Make a copy from what a reducer returned, with a state setter."""
    function, arguments = reduced[:2]
    result = function(*convert(arguments))
    memo[id(original)] = result
    if len(reduced) > 2:
        reduced[5](result, convert(reduced[2]))
    return result


def _deepcopy(original, memo):
    """Copy a suspended generator, or a frame, with all that it holds."""
    reduced = _REDUCERS[type(original)](original)
    return _rebuild(original, reduced, memo, functools.partial(copy.deepcopy, memo=memo))


def _copy_generator(generator):
    """Refuse: two generators can't go on with the same frame."""
    raise TypeError(
        f"can't make a shallow copy of {type(generator).__name__} {generator.__qualname__!r}: "
        "its frame can't be shared; use copy.deepcopy()"
    )


# What copy.copy() looks into; copy.deepcopy() finds ours before that.
_COPIERS = collections.ChainMap(dict.fromkeys(_GENERATORS, _copy_generator), copyreg.dispatch_table)
_DEEP_COPIERS = dict.fromkeys((*_GENERATORS, types.FrameType), _deepcopy)


def register():
    """Register pickletask's reducers with copyreg, and its copiers with copy.

    Importing pickletask does this.  Calling it again does no harm.
    """
    for cls, reducer in _REDUCERS.items():
        copyreg.pickle(cls, reducer)
    if copy.dispatch_table is copyreg.dispatch_table:
        copy.dispatch_table = _COPIERS
    copy._deepcopy_dispatch.update(_DEEP_COPIERS)


def unregister():
    """Take the reducers back, where nobody else has replaced them.

    Tasklets and channels stay picklable, and what they hold of frames, code and
    functions too; pickling a generator by itself does not work any more.
    """
    for cls, reducer in _REDUCERS.items():
        if copyreg.dispatch_table.get(cls) is reducer:
            del copyreg.dispatch_table[cls]
    if copy.dispatch_table is _COPIERS:
        copy.dispatch_table = copyreg.dispatch_table
    for cls, copier in _DEEP_COPIERS.items():
        if copy._deepcopy_dispatch.get(cls) is copier:
            del copy._deepcopy_dispatch[cls]


class Pickler(pickle.Pickler):
    """A pickler that saves local functions, wherever they are, by value.

    Parameters are those of :class:`pickle.Pickler`.  Functions that can be
    imported go by name; lambdas, closures and other local functions go by value:
    their code, their closure's cells, and by reference the globals of their
    module.  What is written can be read by the stock unpickler, as long as
    pickletask can be imported.
    """

    def reducer_override(self, obj):
        """Reduce functions, and what stands for one, on behalf of pickle."""
        cls = type(obj)
        if cls is types.FunctionType:
            return _core._reduce_function(obj)
        if cls is _core._Substitute:
            original = obj.object
            if original is not NotImplemented:
                return _core._same, (original,)
        elif cls in _REDUCERS and cls not in copyreg.dispatch_table:
            return _REDUCERS[cls](obj)
        return NotImplemented


def dump(obj, file, protocol=None, *, buffer_callback=None):
    """Write the pickle of an object to a binary file.

    Parameters and errors are those of :func:`pickle.dump`, and
    :exc:`~pickletask.NotPicklableError` for a task that stands where it can't be
    saved.  Reducers of the objects' classes run; no task does.
    """
    Pickler(file, protocol, buffer_callback=buffer_callback).dump(obj)


def dumps(obj, protocol=None, *, buffer_callback=None):
    """Return the pickle of an object as bytes.

    Parameters and errors are those of :func:`dump`.
    """
    file = io.BytesIO()
    dump(obj, file, protocol, buffer_callback=buffer_callback)
    return file.getvalue()
