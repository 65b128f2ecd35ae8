"""Classes by value: those that no import finds, through cloudpickle.

cloudpickle is an optional dependency, needed where the pickle is written and where it is loaded.
"""

import io
import sys
import types

from pickletask import _core

__all__ = ["cloudpickle_for", "reduce_class", "reduce_part"]


def cloudpickle_for(what):
    """Return cloudpickle's pickler; raises ImportError that says why it is needed."""
    try:
        from cloudpickle import Pickler
    except ImportError:
        raise ImportError(
            f"{what} by value needs cloudpickle, which is not installed: pip install cloudpickle"
        ) from None
    return Pickler


def reduce_class(cls):
    """Reduce a class: NotImplemented if its name will do, else how to make it anew."""
    if not needs_value(cls):
        return NotImplemented
    pickler = cloudpickle_for(f"pickling class {cls.__module__}.{cls.__qualname__}")
    module = sys.modules.get(cls.__module__)
    if not _core._is_being_imported(module):
        return pickler.reducer_override(None, cls)
    # It is found by its name, but only here.
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    try:
        return pickler.reducer_override(None, cls)
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def needs_value(cls):
    """Is it of ``__main__``, of the inside of a function, or of a module being imported?"""
    return cls.__module__ == "__main__" or "<locals>" in cls.__qualname__ or is_being_imported(cls)


def is_being_imported(cls):
    """Is the class one of a module that a suspended task is in the middle of importing?"""
    name = cls.__module__
    if not isinstance(name, str):
        return False
    imports = sys.modules.get("pickletask.imports")
    found = _core._is_being_imported(sys.modules.get(name))
    return found or (imports is not None and imports.has_loaded(name))


# cloudpickle has reducers for these, which have nothing to do with classes: that of methods needs
# cloudpickle's own pickler, and the others save the contents in place of a file or a view.
_OTHERS = (types.MethodType, io.TextIOWrapper, memoryview)


def reduce_part(cls):
    """Return cloudpickle's reducer for what stands in a class, such as properties; None if none."""
    if cls in _OTHERS:
        return None
    return cloudpickle_for("pickling a class").dispatch_table.get(cls)
