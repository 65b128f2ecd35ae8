"""Picklers that know functions, and the reducers that all picklers share.

Importing pickletask registers its reducers with :mod:`copyreg`, so that the
stock picklers, :mod:`copy`, :mod:`multiprocessing` and cloudpickle take tasks
and generators as they are.  One thing copyreg can't do is functions: pickle
never asks it about them.  Local functions that a task uses directly are saved
all the same; those inside the user's own containers need :func:`dumps`.
"""

import collections
import contextvars
import copy
import copyreg
import functools
import io
import pickle
import types

from pickletask import _core, builtin_types, classes, contexts, envelope, postmortem, type_params
from pickletask.errors import FAILURES

__all__ = [
    "Pickler",
    "dump",
    "dumps",
    "register",
    "unregister",
]


def _reduce_module(module):
    """Reduce a module: by name if that finds it and all that is in it, else by value."""
    import importlib
    import sys

    if _core._is_being_imported(module):
        return _core._same, (_core._substitute_for(module),)
    if sys.modules.get(module.__name__) is module:
        return importlib.import_module, (module.__name__,)
    names = {key: value for key, value in vars(module).items() if key != "__builtins__"}
    return _new_module, (module.__name__,), names


def _new_module(name):
    """Make the module that the state of a module saved by value goes into."""
    return types.ModuleType(name)


_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)

_REDUCERS = _core._REDUCERS
_REDUCERS |= {
    types.CodeType: _core._reduce_code,
    types.CellType: _core._reduce_cell,
    types.FunctionType: _core._reduce_function,
    types.FrameType: _core._reduce_frame,
    types.TracebackType: _core._reduce_traceback,
    types.ModuleType: _reduce_module,
    contextvars.ContextVar: contexts.reduce_variable,
    contextvars.Context: contexts.refuse_context,
    **dict.fromkeys(_GENERATORS, _core._reduce_generator),
    **builtin_types.REDUCERS,
    **dict.fromkeys(_core._AWAITABLES, _core._reduce_awaitable),
    type(iter(set())): _core._reduce_set_iterator,
    **dict.fromkeys(_core._DICT_ITERATORS, _core._reduce_dict_iterator),
    **dict.fromkeys(_core._ITERATORS, _core._reduce_iterator),
    **dict.fromkeys(_core._TYPE_PARAMS, type_params.reduce),
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


def _deepcopy_iterator(iterator, memo):
    """Copy an iterator of itertools with the local functions that it holds."""
    return copy._reconstruct(iterator, memo, *_core._reduce_iterator(iterator))


def _copy_generator(generator):
    """Refuse: two generators can't go on with the same frame."""
    raise TypeError(
        f"can't make a shallow copy of {type(generator).__name__} {generator.__qualname__!r}: "
        "its frame can't be shared; use copy.deepcopy()"
    )


class _Copiers(collections.ChainMap):
    """What copy.copy() looks into; copy.deepcopy() finds ours before that."""

    def get(self, key, default=None):
        """Return what is found, by no generator: CPython may crash if memory lacks for one."""
        for table in self.maps:
            if key in table:
                return table[key]
        return default


_COPIERS = _Copiers(
    {
        **dict.fromkeys(_GENERATORS, _copy_generator),
        **dict.fromkeys(_core._ITERATORS, _core._copy_iterator),
        **builtin_types.COPIERS,
        **dict.fromkeys(_core._TYPE_PARAMS, lambda obj: ""),
    },
    copyreg.dispatch_table,
)
_DEEP_COPIERS = {
    contextvars.Context: contexts.copy_context,
    **dict.fromkeys((*_GENERATORS, *_core._AWAITABLES, types.FrameType), _deepcopy),
    **dict.fromkeys(_core._ITERATORS, _deepcopy_iterator),
    **builtin_types.DEEP_COPIERS,
    **dict.fromkeys(_core._TYPE_PARAMS, lambda obj, memo: obj),
}


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


class _Explaining(pickle.Pickler):
    """A pickler whose errors say where in a task the object is that can't be saved."""

    __slots__ = ()

    def dump(self, obj):
        """Write the pickle of an object; errors are those of :func:`dump`."""
        try:
            super().dump(obj)
        except FAILURES as error:
            # Slow to import, and not needed where all goes well.
            from pickletask import whereabouts

            explained = whereabouts.explain(self, obj, error)
            if explained is None:
                raise
            raise explained from error


class _Output(list):
    """What a pickle is written to: a list of pieces."""

    __slots__ = ()
    write = list.append


class _Quick(_Explaining):
    """What a Pickler with few options does, by C alone; it may be used again."""

    __slots__ = ("output",)

    def __init__(self, protocol):
        self.output = _Output()
        super().__init__(self.output, protocol)


class _ByValue(_Quick):
    """A pickler without options."""

    __slots__ = ()
    reducer_override = _core._override_by_value


class _ByReference(_Quick):
    """A pickler with ``code="reference"``."""

    __slots__ = ()
    reducer_override = _core._override_by_reference


_QUICK = {"value": _ByValue, "reference": _ByReference}

# Bytes of a small pickle.
_SMALL = 1024

# Quick picklers that nobody uses, by option and protocol: one is taken out while it is at work, so
# that neither another thread nor a reducer that pickles finds it.
_idle = {}


class Pickler(_Explaining):
    """A pickler that knows functions, and how to save code by reference.

    Parameters are those of :class:`pickle.Pickler`, and

    * ``code``: ``"value"`` saves the code of tasks, generators and local functions itself, so that
      they go on with it wherever they are loaded.  ``"reference"`` saves where it is found, and a
      digest: smaller, and loading raises CodeChangedError if it isn't the same there.
    * ``main``: ``"reference"`` looks names of ``__main__`` up in the ``__main__`` that loads;
      ``"value"`` saves those that the code uses, functions and classes included.
    * ``classes``: ``"name"`` saves classes by their names, as pickle does; ``"value"`` saves those
      of ``__main__``, inside of functions, and of modules that a suspended task is importing,
      themselves, by way of cloudpickle.
    * ``contexts``: ``"thread"`` lets a task use the context of the thread that uses it first, and
      refuses contexts among variables; ``"value"`` saves contexts with all they hold.

    Functions that can be imported go by name in any case.  What is written can be read by the stock
    unpickler, as long as pickletask can be imported.

    A subclass may override ``persistent_id()`` and ``reducer_override()`` as usual; the latter
    should ask ``super()`` before it returns NotImplemented.  A ``dispatch_table`` of the user's
    comes before what is done here.
    """

    def __init__(
        self,
        file,
        protocol=None,
        *,
        fix_imports=True,
        buffer_callback=None,
        code="value",
        main="reference",
        classes="name",
        contexts="thread",
    ):
        super().__init__(file, protocol, fix_imports=fix_imports, buffer_callback=buffer_callback)
        _check_option("code", code, "value", "reference")
        _check_option("main", main, "reference", "value")
        _check_option("classes", classes, "name", "value")
        _check_option("contexts", contexts, "thread", "value")
        if (code, main) == ("reference", "value"):
            raise ValueError("main='value' saves code by value: it can't go with code='reference'")
        self._main = _by_value().Main() if main == "value" else None
        self._by_reference = code == "reference"
        self._override = _QUICK[code].reducer_override
        self._class_values = "value" in (classes, main)
        self._context_values = contexts == "value"
        self._queue = None
        self._reducers = {}
        self._table = None

    def clear_memo(self):
        """Forget which objects were saved: each is saved anew from here on."""
        super().clear_memo()
        if self._main is not None:
            self._main = _by_value().Main()

    def reducer_override(self, obj):
        """Reduce functions, what stands for one, and all that has another form by reference."""
        cls = type(obj)
        try:
            reducer = self._reducers[cls]
        except KeyError:
            reducer = self._reducers[cls] = self._find_reducer(cls)
        return NotImplemented if reducer is None else reducer(self, obj)

    def _find_reducer(self, cls):
        """What reduces instances of a class, called with the pickler and the instance; or None.

        It is no bound method: a pickler that refers to itself would keep all that it has saved.
        """
        if not self._reducers:
            self._table = getattr(self, "dispatch_table", None)
        table = self._table
        if table is not None and cls in table:
            return None
        if cls is types.FunctionType:
            return Pickler._reduce_function
        if cls is _core._Substitute:
            return Pickler._reduce_substitute
        if self._queue is not None and issubclass(cls, _WITH_STATE):
            return Pickler._reduce_flat
        if self._context_values and issubclass(cls, _core.tasklet):
            return Pickler._with_context
        reducer = self._own_reducer(cls, table)
        return None if reducer is None else lambda pickler, obj: reducer(obj)

    def _own_reducer(self, cls, table):
        """What is special about instances of this class here, called with one; or None."""
        if self._class_values and issubclass(cls, type):
            return classes.reduce_class
        if self._class_values and cls is builtin_types.DictOfClass:
            return builtin_types.DictOfClass.reduce_class
        if self._class_values and cls in _core._TYPE_PARAMS:
            return type_params.reduce_of_main
        if self._main is not None and cls is builtin_types.CACHED:
            return builtin_types.reduce_cached_of_main
        if self._context_values and cls is contextvars.Context:
            return contexts.reduce_context
        if self._context_values and issubclass(cls, _core.tasklet):
            return self._with_context
        if self._by_reference and (
            cls in _REFERRED
            or (issubclass(cls, _core.tasklet) and cls not in copyreg.dispatch_table)
        ):
            return _core._override_by_reference
        if cls in _REDUCERS and (table is not None or cls not in copyreg.dispatch_table):
            return _REDUCERS[cls]
        if issubclass(cls, BaseException):
            return postmortem.reduce_exception
        if self._class_values and cls not in copyreg.dispatch_table:
            return classes.reduce_part(cls)
        return None

    def _with_context(self, task):
        """Reduce a tasklet with its own context."""
        reduced = NotImplemented
        if self._by_reference:
            reduced = _core._override_by_reference(task)
        if reduced is NotImplemented:
            reduced = task.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        context = _core._context_of(task)
        maker, args, state = reduced
        return maker, args, state if context is None else (state, context)

    def _reduce_function(self, function):
        """Reduce a function: by name, reference or value."""
        if self._main is not None and self._main.has(function.__globals__):
            return self._main.reduce_function(function)
        if self._goes_with_main(function):
            return _core._pack_function(function)
        return self._override(function)

    def _goes_with_main(self, function):
        """Is it one of ``__main__`` that goes by value, though its globals are those of others?"""
        if self._main is None and "." not in function.__qualname__:
            return False
        return self._class_values and function.__module__ == "__main__"

    def _reduce_substitute(self, substitute):
        """Reduce what stands for an object: as that object, if pickle can ask about it."""
        if self._main is not None and substitute.head is not None:
            code, namespace = substitute.head
            if self._main.has(namespace):
                return self._main.reduce_head(substitute, code)
        if self._class_values and substitute.module is not None:
            # Seldom needed.
            from pickletask import imports

            return imports.reduce_module(substitute.module, class_values=True)
        return self._override(substitute)

    def _reduce_flat(self, obj):
        """Reduce an object without its state, which is saved later."""
        reducer = self._own_reducer(type(obj), self._table)
        if reducer is None:
            reducer = copyreg.dispatch_table.get(type(obj))
        if reducer is None:
            return self._queue.shorten(obj, obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL))
        reduced = reducer(obj)
        if reduced is NotImplemented:
            return reduced
        return self._queue.shorten(obj, reduced)


def _by_value():
    """The module for ``main="value"``, which is not needed for anything else."""
    from pickletask import by_value

    return by_value


def _check_option(name, value, *choices):
    """Raise ValueError unless an option has one of its values."""
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")


_WITH_STATE = (_core.tasklet, _core.channel, BaseException, *_GENERATORS)
# What has another form if code goes by reference, beside tasklets.
_REFERRED = (types.CodeType, types.MethodType, *_GENERATORS)


def dump(obj, file, protocol=None, *, key=None, **options):
    """Write the pickle of an object to a binary file.

    Parameters and errors are those of :func:`dumps`; nothing is written if there is an error.
    """
    file.write(dumps(obj, protocol, key=key, **options))


def dumps(obj, protocol=None, *, key=None, buffer_callback=None, **options):
    """Return the pickle of an object as bytes.

    Parameters:

    * ``protocol``, ``fix_imports``, ``buffer_callback``: as for :func:`pickle.dumps`.
    * ``code``, ``main``, ``classes``, ``contexts``: by value or not, as for :class:`Pickler`.
    * ``key``: bytes, 16 at least, that seal the pickle; :func:`~pickletask.loads` wants the same.

    Errors are those of :func:`pickle.dumps`, NotPicklableError for a task that stands where it
    can't be saved, or that holds what can't be saved, with the way to it.  Reducers of the objects'
    classes run, a second time if there is an error to be explained; no task does, and all are as
    they were.  Tasks, channels and generators that refer to one another may form a chain of any
    length.
    """
    if key is not None and buffer_callback is not None:
        raise ValueError("buffers out of band would not be sealed: give no key, or no callback")
    if buffer_callback is not None:
        options["buffer_callback"] = buffer_callback
    try:
        data = _dumps(obj, protocol, options)
    except RecursionError:
        if buffer_callback is not None:
            # It has been given buffers already.
            raise
        data = _dumps_flat(obj, protocol, options)
    return data if key is None else envelope.seal(data, key)


def _dumps(obj, protocol, options):
    """The pickle of an object."""
    code = options.get("code", "value")
    if (
        options.keys() <= {"code"}
        and (protocol is None or type(protocol) is int)
        and code in ("value", "reference")
    ):
        return _dumps_quickly(obj, protocol, code)
    file = io.BytesIO()
    Pickler(file, protocol, **options).dump(obj)
    return _core._shorten(file.getvalue())


def _dumps_quickly(obj, protocol, code):
    """The same with a pickler that is ready, or will be the next time."""
    pickler = _idle.pop((code, protocol), None)
    if pickler is None:
        pickler = _QUICK[code](protocol)
    pickler.dump(obj)
    data = b"".join(pickler.output)
    if len(data) < _SMALL:
        pickler.output.clear()
        pickler.clear_memo()
        _idle[code, protocol] = pickler
    return _core._shorten(data)


def _dumps_flat(obj, protocol, options):
    """The same without recursion along chains."""
    # Not needed for anything else.
    from pickletask import flat

    file = io.BytesIO()
    queue = flat.Queue()
    pickler = Pickler(file, protocol, **options)
    pickler._queue = queue
    pickler.dump(flat.Flat(obj, queue))
    return _core._shorten(file.getvalue())
