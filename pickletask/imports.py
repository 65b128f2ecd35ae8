"""Modules by value: those that a suspended task is in the middle of importing.

Such a module is in no process but that of the task, and in a pickle with all that it has got so
far.  What else the pickle names may need it: a submodule that is imported already needs its
package.  So where it is loaded, it is in sys.modules as long as the unpickler lives, under its lock
as if it were imported, and gets its names one after the other, in the order in which its code
made them.  After that nobody finds it there until the task goes on (``entering()`` in
pickletask/_bridges.py).
"""

import builtins
import importlib
import sys
import types
import weakref
from importlib import _bootstrap

from pickletask import _core, classes

__all__ = ["Name", "Window", "close", "has_loaded", "loaded_with", "module_of", "reduce_module"]

# By name: the windows that are open. Weak: each belongs to its unpickler.
_open = weakref.WeakValueDictionary()
# The modules that pickles have brought.
_loaded = weakref.WeakSet()


def reduce_module(module, class_values=False):
    """Reduce a module by value.  CLASS_VALUES: so does the pickler with classes.

    Raises NotPicklableError for one with a class that pickle would look up in it.
    """
    itself, names = _core._substitute_for(module), []
    for key, value in vars(module).items():
        if key == "__builtins__":
            continue
        if isinstance(value, type) and not class_values and classes.is_being_imported(value):
            raise _core.NotPicklableError(
                f"cannot pickle module {module.__name__!r}, whose import is under way: pickle "
                f"would save its class {value.__qualname__!r} by a name that can't be imported "
                "yet; use pickletask.dumps() with classes='value', or suspend before the class "
                "is made"
            )
        names.append(Name(itself, key, _core._substitute_for(value)))
    window = Window(module.__name__)
    # Named twice, it is kept to the end.
    return module_of, (window,), (names, window), None, None, ignore


class Name:
    """A name of a module and what it means; pickles as the call that gives it to the module."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return set_name, self.arguments


class Window:
    """A module as long as the unpickler that makes it lives, which has the only reference."""

    def __init__(self, name):
        self.name = name
        self.module = self.lock = None

    def __reduce__(self):
        return Window, (self.name,)

    def make(self):
        """Make the module, and put it where imports find it, if there isn't one."""
        parent = self.name.rpartition(".")[0]
        if parent:
            importlib.import_module(parent)
        self.module = module = types.ModuleType(self.name)
        module.__builtins__ = vars(builtins)
        _loaded.add(module)
        lock = _bootstrap._get_module_lock(self.name)
        try:
            lock.acquire()
        except _bootstrap._DeadlockError:
            return module
        if self.name in sys.modules:
            lock.release()
            return module
        sys.modules[self.name] = module
        self.lock = lock
        _open[self.name] = self
        return module

    def close(self):
        """Take the module out of sys.modules."""
        lock = self.lock
        if lock is None:
            return
        self.lock = None
        if sys.modules.get(self.name) is self.module:
            del sys.modules[self.name]
        # The unpickler may have been dropped by another thread.
        lock.owner = _bootstrap._thread.get_ident()
        lock.release()

    __del__ = close


def loaded_with(names):
    """Return the module with this dict, if a pickle has brought it, else None."""
    return next((module for module in _loaded if vars(module) is names), None)


def has_loaded(name):
    """Has a pickle brought a module of this name that hasn't been imported to its end?"""
    return any(_core._is_being_imported(m) for m in _loaded if m.__name__ == name)


def module_of(window):
    """Make the module of a pickle."""
    if not isinstance(window, Window) or window.module is not None:
        raise _core.CorruptStateError("can't restore a module: it is made in a wrong way")
    return window.make()


def set_name(module, name, value):
    """Give the module of a pickle the next one of its names."""
    vars(module)[name] = value


def ignore(module, state):
    """All names have been set."""


def close(module):
    """Close the window of a module that a task goes on to import, if it is open."""
    window = _open.get(module.__name__)
    if window is not None and window.module is module:
        window.close()
