"""What a pickle may name: the policy behind ``allow=``.

A pickle names functions and classes, and the unpickler calls them.  A restricted load looks every
name up here first.  What pickletask itself needs for tasks whose code goes by reference is allowed
always, and so are harmless builtins; what makes code from bytes never is.

Names lead through classes only, never through a module or a function's attributes: neither
``app.os.system`` nor ``app.work.__globals__`` is a name.
"""

import builtins
import sys
import types

from pickletask import _bridges
from pickletask._core import _seal
from pickletask.errors import NotAllowedError

__all__ = ["Policy"]

_OURS = {
    "pickletask": {"_g", "_t", "tasklet", "channel", "TaskletExit", "bomb"},
    "pickletask._core": {
        "_load_referred_code",
        "_load_referred_function",
        "_new_awaitable",
        "_new_cell",
        "_new_closed_generator",
        "_new_closing_generator",
        "_new_dict_iterator",
        "_new_frame",
        "_new_generator",
        "_new_method",
        "_new_referred_function",
        "_new_set_iterator",
        "_new_stepped_generator",
        "_new_traceback",
        "_same",
        "_set_awaitable",
        "_set_exception",
        "_set_frame",
        "_set_function",
        "_set_generator",
        "_set_type_param",
    },
    "pickletask.references": {
        "_Exhausted.asynchronous",
        "_Exhausted.coroutine",
        "_Exhausted.generator",
    },
    "pickletask.flat": {"finish", "set_state"},
    "pickletask.builtin_types": {
        "await_coroutine",
        "cached",
        "enum_dict",
        "items_of",
        "keys_of",
        "method_of",
        "proxy_of",
        "proxy_of_class",
        "rest_of_template",
        "reversed_deque",
        "values_of",
    },
    "pickletask.type_params": {"new_type_param"},
    "pickletask.contexts": {"decimal_variable", "new_context", "set_context"},
    "pickletask._awaitables": {"default_of"},
    "pickletask.postmortem": {"NotSaved", "rebuild"},
    # What stands for C code (see Policy.protect()), and what these call that waits for others.
    "pickletask._bridges": {
        "_check_ends",
        "_compared",
        "_taken",
        "applied",
        "attribute",
        "build_class",
        "build_derived_class",
        "close",
        "close_step",
        "closing",
        "comparison",
        "condition",
        "conversion",
        "counted",
        "default",
        "fetched",
        "filtered",
        "finish",
        "found",
        "init",
        "instead",
        "iterator",
        "mapped",
        "membership",
        "metaclass",
        "new",
        "nothing",
        "operation",
        "run_in_context",
        "steps",
        "truth",
        "zipped",
    },
    # Bytes in protocol 2.
    "_codecs": {"encode"},
}

if sys.version_info >= (3, 13):
    # What stands for no default of a type parameter.
    _OURS["_typing"] = {"NoDefault"}

# Each of them makes code from bytes, or from another pickle.
_BY_VALUE = {
    "pickletask": {"_f"},
    "pickletask._core": {"_load_code", "_load_function", "_new_function", "_new_namespace"},
}

_BUILTINS = {
    "Ellipsis",
    "NotImplemented",
    "bool",
    "bytearray",
    "bytes",
    "classmethod",
    "complex",
    "dict",
    "enumerate",
    "filter",
    "float",
    "frozenset",
    "int",
    "iter",
    "list",
    "map",
    "object",
    "property",
    "range",
    "reversed",
    "set",
    "slice",
    "staticmethod",
    "str",
    "super",
    "tuple",
    "zip",
} | {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)


class Policy:
    """Decides about names by what the user gave as ``allow``.

    ALLOW is an iterable of dotted names, or a callable.  A name allows the function or class
    ``package.module.name``, with a class what stands in it; ``package.module.*`` allows all
    functions and classes that the module itself defines.  A callable is asked with (module, name)
    and returns whether the name is allowed.

    Raises TypeError or ValueError for anything else.
    """

    def __init__(self, allow):
        self._ask = allow if callable(allow) else None
        self._names = frozenset()
        if self._ask is None:
            if isinstance(allow, str):
                raise TypeError("allow must be an iterable of names or a callable, not a str")
            self._names = frozenset(allow)
            for name in self._names:
                _check_name(name)

    def check(self, module, name):
        """Raise NotAllowedError unless the pickle may name this; nothing has been imported yet.

        Returns what :meth:`check_found` needs.
        """
        if name in _BY_VALUE.get(module, ()):
            raise NotAllowedError(
                "this pickle brings code by value, which a restricted load doesn't take; it has "
                "to be written with code='reference'"
            )
        if name in _OURS.get(module, ()) or (module == "builtins" and name in _BUILTINS):
            return None
        if self._ask is not None:
            allowed = self._ask(module, name)
        else:
            parts = name.split(".")
            # Lists: CPython 3.12 and 3.13 crash where they make the function of a generator
            # expression and memory is lacking.
            names = [".".join([module, *parts[:count]]) for count in range(1, len(parts) + 1)]
            allowed = not self._names.isdisjoint(names)
            if not allowed and f"{module}.*" in self._names:
                return module
        if not allowed:
            raise NotAllowedError(
                f"this pickle names {module}.{name}, which allow= doesn't have; add it if you "
                "trust it to be called by whoever wrote the pickle"
            )
        return None

    def check_found(self, module, name, found, defined_in):
        """Raise NotAllowedError unless a name led through classes, and to what it should.

        DEFINED_IN is the module that has to define what was found, or None if that doesn't matter.
        """
        parts = name.split(".")
        if len(parts) > 1:
            # The unpickler's own way is getattr(), which finds what no class of the module has.
            home = sys.modules.get(module)
            at = vars(home).get(parts[0]) if isinstance(home, types.ModuleType) else None
            for part in parts[1:]:
                at = vars(at).get(part) if isinstance(at, type) else None
            if not isinstance(at, (type, *_FUNCTIONS, staticmethod, classmethod)):
                raise NotAllowedError(
                    f"this pickle names {module}.{name}, which is not what stands in a class there"
                )
        if defined_in is not None and not (
            isinstance(found, (type, types.FunctionType)) and found.__module__ == defined_in
        ):
            raise NotAllowedError(
                f"this pickle names {module}.{name}, which {module!r} doesn't define itself; "
                "'*' stands for its own functions and classes, so add the name if you trust it"
            )

    def protect(self, found):
        """Return what a name stands for in a restricted load: FOUND, or what it may be used for.

        Functions that take the place of C code may only be those of frames, which the core checks.
        """
        if isinstance(found, types.FunctionType) and found.__globals__ is vars(_bridges):
            return _seal(found)
        return found


def _check_name(name):
    """Raise TypeError or ValueError unless it is a name that can be allowed."""
    if not isinstance(name, str):
        raise TypeError(f"allow must have names, not {type(name).__name__} objects")
    parts = name.split(".")
    if parts[-1] == "*":
        parts.pop()
    elif len(parts) < 2:
        parts = []
    if not parts or not all([part.isidentifier() or part[:1] == "<" for part in parts]):
        raise ValueError(
            f"{name!r} can't be allowed: write 'module.name', or 'module.*' for all of a module"
        )
