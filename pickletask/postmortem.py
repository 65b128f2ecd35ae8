"""Tracebacks of exceptions, for looking at in another process.

What a traceback shows and a debugger asks for is saved: files, functions, positions, and the local
variables that are plain data.  The code isn't, nor what else the functions had: a task that handles
an error can be saved although what failed held a lock or a file, and no change of that code is in
the way of loading it.  A frame that is loaded has code of its own, which does nothing.
"""

import copyreg
import itertools
import pickle
import types

from pickletask import _core

__all__ = ["NotSaved", "describe", "rebuild", "reduce_exception"]

# So much is saved of the variables of one frame: items of containers, and letters or bytes of each.
_MOST_ITEMS = 1000
_MOST_LETTERS = 10_000

_ATOMS = (type(None), bool, int, float, complex, type(Ellipsis))
_CONTAINERS = (list, tuple, set, frozenset)

# Larger numbers of lines and columns are no compiler's.
_LARGEST = 2**30


class NotSaved:
    """Stands for the value of a variable that was not saved.

    * ``description``: what it was, as text.
    """

    __slots__ = ("description",)

    def __init__(self, description):
        self.description = description

    def __repr__(self):
        return f"<{self.description}, not saved>"

    def __reduce__(self):
        return NotSaved, (self.description,)


# ---- saving -----------------------------------------------------------------


def describe(traceback):
    """Return the entries of a traceback as plain data, outermost first, for :func:`rebuild`.

    An entry is ((file, name, qualified name, first line, module), line, position, variables); the
    position is (line, last line, column, last column), as ``co_positions()`` gives it.
    """
    functions, entries = {}, []
    while traceback is not None:
        frame = traceback.tb_frame
        code = frame.f_code
        function = functions.get(code)
        if function is None:
            module = frame.f_globals.get("__name__")
            function = functions[code] = (
                code.co_filename,
                code.co_name,
                code.co_qualname,
                code.co_firstlineno,
                module if type(module) is str else None,
            )
        at = max(traceback.tb_lasti, 0) // 2
        position = next(itertools.islice(code.co_positions(), at, None), (None,) * 4)
        entries.append((function, traceback.tb_lineno, position, _variables(frame)))
        traceback = traceback.tb_next
    return tuple(entries)


def _variables(frame):
    """The local variables of a frame, by name, with stand-ins for what is not saved."""
    room, found = _Room(), {}
    for name, value in _core._frame_variables(frame).items():
        if not room.takes(value):
            value = NotSaved(_describe(value))
        found[name] = _core._substitute_for(value)
    return found


class _Room:
    """Tells which of a frame's values are plain data, while there is room for them."""

    def __init__(self):
        self.left = _MOST_ITEMS
        self.known = set()

    def takes(self, value):
        """Is the value plain data, through and through?  It runs no code of a value's class."""
        cls = type(value)
        if cls in _ATOMS:
            return True
        if cls in (str, bytes, bytearray):
            return len(value) <= _MOST_LETTERS
        if id(value) in self.known:
            return True
        if cls in _CONTAINERS:
            items = value
        elif cls is dict:
            items = itertools.chain(value, value.values())
        elif issubclass(cls, BaseException):
            items = _parts(value)
        else:
            return False
        left = self.left
        self.known.add(id(value))
        if self.take_all(items):
            return True
        self.known.discard(id(value))
        self.left = left
        return False

    def take_all(self, items):
        """Are all of them plain data?"""
        try:
            for item in items:
                self.left -= 1
                if self.left < 0 or not self.takes(item):
                    return False
        except RecursionError:
            return False
        return True


# Attributes of classes, whatever their metaclasses say.
_qualname_of = type.__dict__["__qualname__"].__get__
_module_of = type.__dict__["__module__"].__get__


def _parts(error):
    """What pickle saves of an exception, without asking its class."""
    args = BaseException.args.__get__(error)
    return itertools.chain(args, (_core._exception_attributes(error) or {}).values())


def _describe(value):
    """What a value was, as a text: no code of its class is run for it."""
    cls = type(value)
    if cls in (str, bytes, bytearray, list, tuple, set, frozenset, dict):
        return f"{cls.__name__} of length {len(value)}"
    name, module = _qualname_of(cls), _module_of(cls)
    if type(module) is str and module != "builtins":
        name = f"{module}.{name}"
    if cls in (types.FunctionType, types.BuiltinFunctionType, type):
        return f"{name} {value.__qualname__}"
    return f"{name} {value.__name__}" if cls is types.ModuleType else f"{name} object"


def reduce_exception(error):
    """Reduce an exception with what pickle forgets: traceback, cause, context, and so on.

    Its own way to be reduced is kept.  NotImplemented if there is nothing that pickle forgets.
    """
    more = _core._exception_state(error)
    if more is None and type(error) not in copyreg.dispatch_table:
        return NotImplemented
    reduced = _reduce_bare(error)
    if more is None or not isinstance(reduced, tuple):
        return reduced
    bare = _core._bare_exception(error, reduced)
    return _core._same, (bare,), more, None, None, _core._set_exception


def _reduce_bare(error):
    """Reduce an exception without what pickle forgets.

    The members of a group lead to the group, by way of variables, only after the group is there:
    what pickle forgets of them is saved with what it forgets of the group.
    """
    reducer = copyreg.dispatch_table.get(type(error))
    if reducer is None:
        reduced = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    else:
        reduced = reducer(error)
    if isinstance(error, BaseExceptionGroup) and isinstance(reduced, tuple):
        args = tuple(_bare_members(arg) for arg in reduced[1])
        reduced = (reduced[0], args, *reduced[2:])
    return reduced


def _bare_members(arg):
    """An argument of a group, with exceptions in it replaced by what pickles as them alone."""
    if type(arg) not in (list, tuple):
        return arg
    return type(arg)(_bare(item) if isinstance(item, BaseException) else item for item in arg)


def _bare(error):
    """What pickles as an exception without its relations, or the exception if it has none."""
    if _core._exception_state(error) is None:
        return error
    reduced = _reduce_bare(error)
    return _core._bare_exception(error, reduced) if isinstance(reduced, tuple) else error


# ---- loading ----------------------------------------------------------------


def rebuild(*entries):
    """Return the traceback with these entries; raises CorruptStateError if they are none."""
    traceback = None
    try:
        for entry in reversed(entries):
            function, line, position, variables = entry
            frame = _make_frame(function, position, variables)
            traceback = _core._new_traceback(traceback, frame, 0, line)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _core.CorruptStateError(
            "can't restore a traceback: its saved state is damaged"
        ) from error
    return traceback


def _make_frame(function, position, variables):
    """A frame that has ended, at a position of a function."""
    import sys

    file, name, qualname, first, module = function
    names = tuple(variables)
    # No generators here: CPython may crash if memory lacks for one.
    if set(map(type, names)) - {str}:
        raise TypeError("a variable has no name")
    code = _NOTHING.replace(
        co_filename=file,
        co_name=name,
        co_qualname=qualname,
        co_firstlineno=_number(first),
        co_linetable=_line_table(first, *position),
        co_varnames=names,
        co_nlocals=len(names),
    )
    found = sys.modules.get(module) if module is not None else None
    namespace = {"__name__": module}
    if type(found) is types.ModuleType:
        namespace = found.__dict__
    frame = _core._new_frame(types.FunctionType(code, namespace), None)
    _core._set_frame(frame, (0, *zip(variables.values(), strict=True)))
    return frame


_NOTHING = (lambda: None).__code__


def _line_table(first, line, end_line, column, end_column):
    """A table of positions that says the same one for each instruction of our code.

    It is in the form of CPython's Objects/locations.md.
    """
    if line is None:
        kind, fields = 15, b""
    elif None in (end_line, column, end_column):
        kind, fields = 13, b""
    else:
        kind = 14
        extent = _number(end_line) - _number(line)
        fields = b"".join(map(_varint, (extent, column + 1, end_column + 1)))
    table, units, delta = b"", len(_NOTHING.co_code) // 2, 0
    if line is not None:
        delta = _number(line) - first
    while units > 0:
        count = min(units, 8)
        table += bytes([0x80 | kind << 3 | count - 1])
        if kind != 15:
            table += _varint(-delta << 1 | 1 if delta < 0 else delta << 1) + fields
        units -= count
        delta = 0
    return table


def _number(number):
    """The number of a line, if it can be one."""
    if type(number) is not int or not 0 <= number < _LARGEST:
        raise ValueError(f"{number!r} is no line")
    return number


def _varint(number):
    """A number in groups of six bits, lowest first."""
    if not 0 <= number < 4 * _LARGEST:
        raise ValueError(f"{number!r} is no column")
    groups = bytearray()
    while number >= 64:
        groups.append(number & 63 | 64)
        number >>= 6
    groups.append(number)
    return bytes(groups)
