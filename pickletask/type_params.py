"""Type parameters and type aliases by value: those of functions, classes and ``type`` statements.

Bounds, constraints, defaults and values that nobody has asked for yet are still computed by the
code that stands in the source, when somebody asks.
"""

from pickletask import _core
from pickletask.builtin_types import is_importable

__all__ = ["new_type_param", "reduce", "reduce_of_main"]


def new_type_param(kind, name):
    """Make a type parameter or type alias, for its state to be set."""
    for cls in _core._TYPE_PARAMS:
        if cls.__name__ == kind:
            return cls(name, None) if kind == "TypeAliasType" else cls(name)
    raise _core.CorruptStateError(f"there is no kind of type parameter {kind!r} to load")


def reduce(obj):
    """Reduce a type parameter or type alias: by name if that finds it, else by value."""
    return obj.__reduce__() if is_importable(obj) else _pack(obj)


def reduce_of_main(obj):
    """The same where what stands in ``__main__`` goes by value."""
    return _pack(obj) if obj.__module__ == "__main__" else reduce(obj)


def _pack(obj):
    """Reduce to what makes one anew."""
    args = (type(obj).__name__, obj.__name__)
    return new_type_param, args, _core._type_param_state(obj), None, None, _core._set_type_param
