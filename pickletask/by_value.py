"""``__main__`` by value: functions and global names of a script, for processes without it.

Code that goes by value gets a namespace of its own where it is loaded, in which are the names of
``__main__`` that it uses, and those that its functions use in turn.  One pickle has one such
namespace.
"""

import sys
import types

from pickletask import _core

__all__ = ["Main"]


class Main:
    """The part of ``__main__`` that a pickle brings along."""

    def __init__(self):
        self._names = vars(sys.modules["__main__"])
        self._namespace = _Namespace()
        self._sent = set()

    def has(self, namespace):
        """Is this the dict of ``__main__``?"""
        return namespace is self._names

    def reduce_function(self, function):
        """Reduce a function by value, with the names that it uses."""
        constructor, args, attributes = _core._pack_function(function)[:3]
        names = self._unsent(function.__code__)
        state = (names, attributes)
        return constructor, (*args[:-1], self._namespace), state, None, None, _set_function

    def reduce_head(self, substitute, code):
        """Reduce the function of a frame, with the names that its code uses."""
        constructor, args = substitute.__reduce_ex__(4)
        state = (self._unsent(code), {})
        return constructor, (*args[:-1], self._namespace), state, None, None, _set_function

    def _unsent(self, code):
        """What the names that code uses mean, as far as the pickle doesn't have them yet."""
        names = _global_names(code) & self._names.keys() - self._sent
        self._sent |= names
        return {name: self._names[name] for name in sorted(names)}


class _Namespace:
    """Pickles as the new namespace of a pickle, and keeps its identity."""

    def __reduce__(self):
        return _core._new_namespace, (), None, None, iter([("__name__", "__main__")])


def _set_function(function, state):
    """Give a loaded function its attributes, and its namespace the names it uses."""
    names, attributes = state
    function.__globals__.update(names)
    _core._set_function(function, attributes)


def _global_names(code):
    """The global names that code uses, and the code inside of it."""
    # Not needed for anything else, and slow to import.
    import dis

    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname.endswith(("_GLOBAL", "_NAME"))
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names
