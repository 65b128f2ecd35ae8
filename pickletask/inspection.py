"""What is in the pickle of a task, without running anything of it.

The bytes are read by :mod:`pickletask.disassembly`, code by :mod:`pickletask.marshalled`. Nothing
is imported for the pickle's sake: code by reference is looked for in modules that are imported
already, and in source files, which are compiled and not run.
"""

import dataclasses
import os
import reprlib

from pickletask import envelope, marshalled, sources, states
from pickletask._core import CorruptStateError
from pickletask.disassembly import disassemble
from pickletask.errors import SealError

__all__ = ["Inspection", "SavedFrame", "SavedGenerator", "SavedTask", "SavedValue", "inspect"]

_CORE = "pickletask._core"
# Source files that are larger are not looked into.
_LARGEST = 4 << 20


@dataclasses.dataclass(frozen=True)
class SavedValue:
    """A local variable, or an entry of the value stack, of a saved frame."""

    name: str
    #: Name of the type, as far as the pickle tells.
    type: str
    #: Bytes that it takes here: few if the object was saved before.
    size: int
    #: Short repr of plain values, "" for others.
    repr: str


@dataclasses.dataclass(frozen=True)
class SavedFrame:
    """A saved frame."""

    #: Qualified name of the function, and the module whose globals it uses, if that is known.
    function: str
    module: str | None
    #: File and line, if they are known. By reference they are those of the code that is here now.
    file: str | None
    line: int | None
    #: The line's text, if it is found here; else "".
    source: str
    #: "value" or "reference".
    code: str
    #: By reference: whether the code here is the same, or None if it isn't found. Else True.
    unchanged: bool | None
    locals: tuple[SavedValue, ...]
    stack: tuple[SavedValue, ...]
    size: int


@dataclasses.dataclass(frozen=True)
class SavedTask:
    """A saved tasklet."""

    type: str
    #: "suspended", "blocked", "new" or "dead".
    status: str
    #: What it waits for, such as "receive from channel 1 (2 wait there)"; else "".
    blocked_on: str
    #: Innermost first.
    frames: tuple[SavedFrame, ...]
    size: int


@dataclasses.dataclass(frozen=True)
class SavedGenerator:
    """A saved generator or coroutine that is suspended by itself."""

    frame: SavedFrame
    size: int


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What :func:`inspect` found. ``str()`` of it is a text for people."""

    #: Highest protocol among the operations.
    protocol: int
    sealed: bool
    #: Bytes of the pickle.
    size: int
    tasks: tuple[SavedTask, ...]
    generators: tuple[SavedGenerator, ...]

    def __str__(self):
        lines = [f"pickle of protocol {self.protocol}, {self.size} bytes"]
        if self.sealed:
            lines[0] += ", sealed"
        for number, task in enumerate(self.tasks, 1):
            status = f"{task.status}: {task.blocked_on}" if task.blocked_on else task.status
            lines.append(f"task {number}: {task.type}, {status}, {task.size} bytes")
            for frame in task.frames:
                lines += _frame_text(frame)
        for number, generator in enumerate(self.generators, 1):
            lines.append(f"generator {number}: {generator.size} bytes")
            lines += _frame_text(generator.frame)
        if not self.tasks and not self.generators:
            lines.append("no tasks and no generators")
        return "\n".join(lines)


def _frame_text(frame):
    """The lines for a frame."""
    where = f"{frame.file or 'unknown file'}:{frame.line or '?'}"
    notes = {None: ", code by reference, not found here", False: ", code has changed"}
    by_reference = ", code by reference" if frame.code == "reference" else ""
    note = notes.get(frame.unchanged, by_reference)
    lines = [f"  {frame.function} at {where}, {frame.size} bytes{note}"]
    if frame.source:
        lines.append(f"    > {frame.source}")
    for value in (*frame.locals, *frame.stack):
        text = f" = {value.repr}" if value.repr else ""
        lines.append(f"    {value.name}: {value.type}{text}, {value.size} bytes")
    return lines


def inspect(data, *, key=None):
    """Return an :class:`Inspection` of a pickle: its tasks, their frames and variables, and sizes.

    Parameters:

    * ``data``: a bytes-like object, the pickle.
    * ``key``: the key of a sealed pickle.

    Nothing of the pickle is run and nothing is imported, so it may come from anybody.  Sizes are
    bytes of the pickle; what several parts share counts where it is met first.

    Raises CorruptStateError if the bytes are damaged, SealError as :func:`~pickletask.loads`.
    """
    sealed = envelope.is_sealed(data)
    if key is not None:
        data = envelope.unseal(data, key)
    elif sealed:
        raise SealError("this pickle is sealed: it needs the key it was written with")
    data = bytes(data)
    _, nodes, protocol = disassemble(data)
    try:
        return _Inspector(nodes).inspect(protocol, sealed, len(data))
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise CorruptStateError(f"can't inspect: a task's state is damaged: {error}") from error


class _Inspector:
    """Finds tasks among the nodes of a pickle."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.states = dict(_late_states(nodes))
        self.channels = {}
        self.codes = {}

    def inspect(self, protocol, sealed, size):
        tasks, generators = [], []
        for node in self.nodes:
            if node.kind != "call":
                continue
            state = self.states.get(id(node), node.state)
            if _MAKERS.get(_name(node)) == "generator":
                if state is not None:
                    generators.append(self.generator(state))
            elif _is_task(node, state):
                tasks.append(self.task(node, state))
        return Inspection(protocol, sealed, size, tuple(tasks), tuple(generators))

    # ---- tasks and generators

    def task(self, node, state):
        flags, _, channel, fiber, call, *_ = (item.node for item in state.node.items)
        frames = ()
        if fiber.kind == "tuple":
            frames = tuple(self.frame(item) for item in fiber.items[2:])
        status, blocked_on = "dead", ""
        if frames:
            status = "suspended"
        elif call.kind == "tuple":
            status = "new"
        if channel.kind == "call":
            status, blocked_on = "blocked", self.channel(channel)
        return SavedTask(_type_name(node), status, blocked_on, frames, state.size)

    def channel(self, node):
        number = self.channels.setdefault(id(node), len(self.channels) + 1)
        state = self.states.get(id(node), node.state)
        if state is None or len(_items(state.node)) != 5:
            return f"channel {number}"
        direction, waiting = state.node.items[0].node.value, _items(state.node.items[3].node)
        what = {1: "send to", -1: "receive from"}.get(direction, "")
        return f"{what} channel {number} ({len(waiting)} wait there)".strip()

    def generator(self, state):
        items = _items(state.node)
        if len(items) < 1 + states.FRAME_VALUES:
            raise ValueError("a generator has no frame")
        return SavedGenerator(self.frame(state, 1), state.size)

    # ---- frames

    def frame(self, item, begin=0):
        parts = _items(item.node)[begin:]
        if len(parts) < states.FRAME_VALUES:
            raise ValueError("a frame has too few parts")
        head, pc, nulls = (part.node for part in parts[: states.FRAME_EXTRA])
        values = parts[states.FRAME_VALUES :]
        if not isinstance(pc.value, int) or not isinstance(nulls.value, (int, bytes)):
            raise ValueError("a frame doesn't say where it stands")
        function, module, by, found = self.head(head)
        code, unchanged = found
        line = None
        if by == "reference":
            pc, offset = states.place(pc.value)
            if code is not None and offset is not None:
                line = code.first_line + offset
        elif code is not None:
            line = code.line(pc.value)
        names = code.variables if code is not None and unchanged else None
        variables, stack = _values(values, nulls.value, names)
        file = None if code is None else code.filename
        source = _source_line(file, line)
        return SavedFrame(
            function, module, file, line, source, by, unchanged, variables, stack, item.size
        )

    def head(self, node):
        """What is known of a frame's function: (name, module, by, (code or None, unchanged))."""
        if id(node) not in self.codes:
            self.codes[id(node)] = self.find_code(node)
        return self.codes[id(node)]

    def find_code(self, node):
        if node.kind == "call":
            parts = _items(node.args)
            if _name(node) in ((_CORE, "_load_function"), (_CORE, "_new_function")):
                data, home = parts[2].node.value, parts[3].node
                module = home.value if isinstance(home.value, str) else None
                code = marshalled.read_code(data)
                return code.qualname, module, "value", (code, True)
            if _name(node) == (_CORE, "_load_referred_function"):
                return self.refer(parts)
        if node.kind == "tuple":
            return self.refer(node.items)
        module, name = _global(node)
        return name, module, "value", (sources.find(module, name, None, ""), True)

    def refer(self, parts):
        digest = parts[1].node.value
        path = parts[2].node.value if len(parts) > 2 else ""
        if not isinstance(digest, bytes) or not isinstance(path, str):
            raise ValueError("a reference has no digest")
        module, name = _global(parts[0].node)
        code = sources.find(module, name, digest, path)
        inside = "".join(f".<locals>.{s}" for s in path.split("/") if s[:1] not in ("", "."))
        function = name + inside if code is None else code.qualname
        unchanged = None if code is None else code.unchanged
        return function, module, "reference", (code, unchanged)


_SETTERS = {("pickletask.flat", "set_state"), (_CORE, "_set_generator")}


def _late_states(nodes):
    """The states that are set by calls: pairs of the object's id and an Item."""
    for node in nodes:
        if node.kind == "call" and _name(node) in _SETTERS:
            args = _items(node.args)
            if len(args) > 1:
                yield id(args[0].node), args[1]


def _items(node):
    """The items of a tuple or list; none of another node."""
    return node.items if node.kind in ("tuple", "list") else []


def _name(node):
    """(module, name) of what is called."""
    return node.function.value if node.function.kind == "global" else None


def _global(node):
    """(module, name) of something that goes by name, also as older protocols write it."""
    if node.kind == "global":
        return node.value
    if node.kind == "call" and _name(node) == ("builtins", "getattr"):
        holder, attribute = (item.node for item in _items(node.args))
        module, name = _global(holder)
        return module, f"{name}.{attribute.value}"
    raise ValueError("a frame's function has no name")


def _is_task(node, state):
    """Is it a call that makes a tasklet, of whatever subclass?"""
    if state is None:
        return False
    items = _items(state.node)
    if len(items) != 6 or not isinstance(items[0].node.value, int):
        return False
    if _name(node) in (("pickletask", "tasklet"), (_CORE, "tasklet")):
        return True
    fiber = _items(items[3].node)
    return len(fiber) > 2 and isinstance(fiber[0].node.value, int)


# ---- values -----------------------------------------------------------------


def _values(items, nulls, names):
    """The values of a frame: (locals, stack). Without names it can't be told which is which."""
    variables, stack = [], []
    for number, item in zip(states.slots(nulls, len(items)), items, strict=True):
        name = f"slot[{number}]" if names is None else states.slot_name(names, number)
        node = _contents(item.node)
        value = SavedValue(name, _type_name(node), item.size, _repr(node))
        (variables if names is None or number < len(names) else stack).append(value)
    return tuple(variables), tuple(stack)


def _contents(node):
    """What is in a cell; other nodes as they are."""
    if node.kind == "call" and _name(node) == (_CORE, "_same") and _items(node.args):
        node = node.args.items[0].node
    if node.kind == "call" and _name(node) == (_CORE, "_new_cell") and node.state is not None:
        for state in _items(node.state.node):
            if state.node.kind == "dict" and len(state.node.items) > 1:
                return state.node.items[1].node
    return node


# How functions that make objects are named in the types of these.
_MAKERS = {
    **{
        (_CORE, f"_new_{state}generator"): "generator"
        for state in ("", "closed_", "stepped_", "closing_")
    },
    (_CORE, "_new_function"): "function",
    (_CORE, "_new_referred_function"): "function",
    (_CORE, "_load_function"): "function",
    (_CORE, "_load_code"): "code",
    (_CORE, "_load_referred_code"): "code",
    (_CORE, "_new_cell"): "cell",
    (_CORE, "_new_method"): "method",
    (_CORE, "_new_namespace"): "dict",
    (_CORE, "_load_module_dict"): "dict",
    (_CORE, "_new_frame"): "frame",
    (_CORE, "_new_traceback"): "traceback",
    ("pickletask.postmortem", "rebuild"): "traceback",
    ("importlib", "import_module"): "module",
    ("builtins", "getattr"): "attribute",
    ("builtins", "iter"): "iterator",
}


def _type_name(node):
    """The name of a node's type."""
    if node.kind == "plain":
        return type(node.value).__name__
    if node.kind == "call":
        name = _name(node)
        args = _items(node.args)
        if name in (("copyreg", "_reconstructor"), ("copyreg", "__newobj__")) and args:
            name = args[0].node.value
        if name in _MAKERS:
            return _MAKERS[name]
        if isinstance(name, tuple):
            module, qualname = name
            return qualname if module == "builtins" else f"{module}.{qualname}"
        return "object"
    return {"global": "function or class", "persistent": "persistent object"}.get(
        node.kind, node.kind
    )


class _Repr(reprlib.Repr):
    """Short texts of nodes that are plain data, through and through."""

    def text(self, node, level=3):
        """The text, or "" if there is something that has none."""
        if node.kind == "plain":
            return self.repr(node.value)
        if node.kind == "global":
            return ".".join(node.value)
        if node.kind not in _BRACKETS or level == 0:
            return "..." if node.kind in _BRACKETS else ""
        nodes = [item.node for item in node.items[:6]]
        texts = [self.text(inner, level - 1) or _type_name(inner) for inner in nodes]
        if node.kind == "dict":
            pairs = zip(texts[::2], texts[1::2], strict=False)
            texts = [f"{key}: {value}" for key, value in pairs]
        if len(node.items) > 6:
            texts.append("...")
        text = ", ".join(texts)
        if node.kind == "tuple" and len(texts) == 1:
            text += ","
        opening, closing = _BRACKETS[node.kind]
        return f"{opening}{text}{closing}"


_BRACKETS = {
    "list": "[]",
    "tuple": "()",
    "dict": "{}",
    "set": "{}",
    "frozenset": ("frozenset({", "})"),
}
_SHORT = _Repr()


def _repr(node):
    """The short text of a node, or "" if it isn't plain data."""
    text = _SHORT.text(node)
    return text if len(text) <= 80 else text[:77] + "..."


def _source_line(file, line):
    """The text of a line of a file that is here; else an empty string."""
    if not file or not line:
        return ""
    try:
        # No pickle may make us read from a device, or fill the memory.
        if not os.path.isfile(file) or os.path.getsize(file) > _LARGEST:
            return ""
        import linecache

        return linecache.getline(file, line).strip()
    except (OSError, ValueError):
        return ""
