"""Where in a task the object is that can't be pickled.

pickle says what it can't save, but not where that was.  When it has failed, saving is tried again
with the pure Python pickler, which can be watched: what is being saved inside of what.
"""

import io
import itertools
import pickle
import types

from pickletask import _core, classes, imports, references, states
from pickletask.errors import FAILURES

__all__ = ["explain"]

_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


def explain(pickler, obj, error):
    """Return a NotPicklableError that says where in which task saving failed, or None.

    PICKLER is the one that raised ERROR when it had to save OBJ.  None means that it wasn't in a
    task, or doesn't happen again.  Reducers of the objects run a second time.
    """
    if isinstance(error, _core.NotPicklableError):
        return None
    watcher = _Watcher(pickler)
    try:
        watcher.dump(obj)
    except FAILURES:
        path = _path(watcher.open)
    except Exception:
        return None
    else:
        return None
    if path is None:
        return None
    advice = _advice(watcher.open[-1])
    return _core.NotPicklableError(f"cannot pickle this task: {path}: {error}; {advice}")


def _advice(obj):
    """What to do about an object that can't be pickled."""
    if not isinstance(obj, type):
        return (
            "close it before the task suspends, or see register_resource() and "
            "Pickler.persistent_id()"
        )
    if classes.needs_value(obj):
        return "pickle the class itself, with classes='value'"
    return "no import finds that class, so don't keep it in a variable while the task is suspended"


class _Watcher(pickle._Pickler):
    """Saves as another pickler does, and knows what it is saving inside of what."""

    # dill adds to the stock pickler's: what failed would not fail again.
    dispatch = {
        **{cls: f for cls, f in pickle._Pickler.dispatch.items() if f.__module__ == "pickle"},
        dict: pickle._Pickler.save_dict,
        type: pickle._Pickler.save_type,
        types.FunctionType: pickle._Pickler.save_global,
    }

    def __init__(self, pickler):
        super().__init__(io.BytesIO(), pickle.HIGHEST_PROTOCOL, buffer_callback=lambda buffer: None)
        self.open = []
        self.reducer_override = pickler.reducer_override
        if hasattr(pickler, "persistent_id"):
            self._persistent_id = pickler.persistent_id
        if hasattr(pickler, "dispatch_table"):
            self.dispatch_table = pickler.dispatch_table

    def persistent_id(self, obj):
        return None if not hasattr(self, "_persistent_id") else self._persistent_id(obj)

    def save(self, obj, save_persistent_id=True):
        self.open.append(obj)
        super().save(obj, save_persistent_id)
        self.open.pop()


def _path(open):
    """The way from the innermost task or generator to what failed, or None if there is none."""
    parts, at = [], 0
    for at, obj in enumerate(open):
        if isinstance(obj, _core.tasklet):
            parts, last = [f"{type(obj).__name__} {hex(id(obj))}"], at
        elif type(obj) in _GENERATORS and not parts:
            parts, last = [f"{type(obj).__name__} {obj.__qualname__!r}"], at
    if not parts:
        return None
    for outer, inner in zip(open[last:], open[last + 1 :], strict=False):
        if type(outer) is imports.Name:
            # Of a module that the task imports, which its frames have first for other reasons.
            module, name, _ = outer.arguments
            parts[1:] = [f"module {module.module.__name__!r}", f"global {name!r}"]
        parts += _step(outer, inner)
    return " > ".join(parts)


def _step(outer, inner):
    """What there is to say about the step from one object to another inside of it: a list."""
    if type(outer) is tuple and outer and type(outer[0]) is bytes:
        found = _frame_step(outer, inner)
        if found is not None:
            return found
    keys = ()
    if type(outer) is dict:
        keys = (key for key, value in outer.items() if value is inner and key is not inner)
    elif type(outer) is list:
        keys = (index for index, value in enumerate(outer) if value is inner)
    return [f"[{key!r}]" for key in list(keys)[:1]]


def _frame_step(state, inner):
    """The step from the state of a task or generator to what is in a frame; None if it is none."""
    for first, own in (1, None), (0, ()):
        data, items = state[0], state[1:]
        try:
            own = states.own_items(data) if own is None else own
            frames = states.frames(data[first:], items[len(own) :])
        except (ValueError, IndexError):
            continue
        for frame in frames:
            found = _value_step(frame, inner)
            if found is not None:
                return found
    return None


def _value_step(frame, inner):
    """The step to a value of a frame, or None if it isn't there."""
    number = next((n for n, items, _ in frame.values if any(i is inner for i in items)), None)
    code = _code_of(frame)
    if code is None or (number is None and frame.head is not inner):
        return None
    line = frame.line
    if line is None:
        line = next(itertools.islice(code.co_positions(), frame.pc, None))[0]
    else:
        line += code.co_firstlineno
    where = f"frame {code.co_qualname!r} at {code.co_filename}:{line}"
    if number is None:
        return [where]
    name = states.slot_name(states.variables(code), number)
    return [where, f"local {name!r}" if "[" not in name else name]


def _code_of(frame):
    """The code of a frame, or None if it can't be told."""
    head = frame.head
    if frame.digest is not None:
        head = (head, frame.digest, *(() if frame.path is None else (frame.path,)))
    if type(head) is _core._Substitute and head.head is not None:
        return head.head[0]
    if type(head) is tuple and len(head) in (2, 3) and isinstance(head[1], bytes):
        return references.follow(head)[0]
    return None
