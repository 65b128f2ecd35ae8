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
                    generators.append(self.generator(_without_milestones(state)))
            elif state is not None and _is_compact_task(node, _without_context(state)):
                tasks.append(self.task(node, _without_context(state)))
            elif state is not None and _is_old_task(node, state):
                tasks.append(self.old_task(node, state))
        return Inspection(protocol, sealed, size, tuple(tasks), tuple(generators))

    # ---- tasks and generators

    def task(self, node, state):
        header, *items = _items(state.node)
        data = header.node.value
        names = states.own_items(data)
        own = dict(zip(names, items, strict=False))
        frames = ()
        if len(data) > 1:
            found = states.frames(data[1:], items[len(names) :])
            # They share the bytes: what doesn't belong to an item of a frame belongs to the task.
            frames = tuple(self.frame(each) for each in found)
        channel = own["channel"].node if "channel" in own else None
        return self.saved_task(node, frames, channel, "func" in own, state.size)

    def old_task(self, node, state):
        _, _, channel, fiber, call, _ = (item.node for item in state.node.items)
        frames = ()
        if fiber.kind == "tuple":
            frames = tuple(
                self.frame(_old_frame(item.node.items), item) for item in fiber.items[2:]
            )
        channel = channel if channel.kind == "call" else None
        return self.saved_task(node, frames, channel, call.kind == "tuple", state.size)

    def saved_task(self, node, frames, channel, is_new, size):
        status, blocked_on = "dead", ""
        if frames:
            status = "suspended"
        elif is_new:
            status = "new"
        if channel is not None:
            status, blocked_on = "blocked", self.channel(channel)
        return SavedTask(_type_name(node), status, blocked_on, frames, size)

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
        if not items:
            raise ValueError("a generator has no frame")
        if isinstance(items[0].node.value, bytes):
            found = states.frames(items[0].node.value, items[1:])
            if len(found) != 1:
                raise ValueError("a generator has one frame")
            return SavedGenerator(self.frame(found[0], state), state.size)
        return SavedGenerator(self.frame(_old_frame(items[1:]), state), state.size)

    # ---- frames

    def frame(self, frame, item=None):
        head, digest, path = frame.head.node, frame.digest, frame.path
        if digest is not None:
            path = "" if path is None else path.node.value
            function, module, by, found = self.refer(head, digest, path)
        else:
            function, module, by, found = self.head(head)
        code, unchanged = found
        line = None
        if code is not None:
            line = code.line(frame.pc) if by == "value" else None
            if frame.line is not None:
                line = code.first_line + frame.line
        names = code.variables if code is not None and unchanged else None
        variables, stack = _values(frame.values, names)
        file = None if code is None else code.filename
        size = item.size if item is not None else sum(part.size for part in _parts(frame))
        return SavedFrame(
            function,
            module,
            file,
            line,
            _source_line(file, line),
            by,
            unchanged,
            variables,
            stack,
            size,
        )

    def head(self, node):
        """What is known of a frame's function: (name, module, by, (code or None, unchanged))."""
        if id(node) not in self.codes:
            self.codes[id(node)] = self.find_code(node)
        return self.codes[id(node)]

    def find_code(self, node):
        if node.kind == "call":
            parts = _items(node.args)
            name = _name(node)
            if name in _BY_VALUE:
                data, home = parts[-2].node.value, parts[-1].node
                module = home.value if isinstance(home.value, str) else None
                read = marshalled.read_packed if len(parts) == 2 else marshalled.read_code
                code = read(data)
                return code.qualname, module, "value", (code, True)
            if name == (_CORE, "_load_referred_function"):
                return self.refer(*_reference(parts))
        if node.kind == "tuple":
            return self.refer(*_reference(node.items))
        module, name = _global(node)
        return name, module, "value", (sources.find(module, name, None, ""), True)

    def refer(self, anchor, digest, path):
        if not isinstance(digest, bytes) or not isinstance(path, str):
            raise ValueError("a reference has no digest")
        module, name = _global(anchor)
        code = sources.find(module, name, digest, path)
        inside = "".join(f".<locals>.{s}" for s in path.split("/") if s[:1] not in ("", "."))
        function = name + inside if code is None else code.qualname
        unchanged = None if code is None else code.unchanged
        return function, module, "reference", (code, unchanged)


def _reference(items):
    """The parts of a reference: node, digest, path."""
    return items[0].node, items[1].node.value, items[2].node.value if len(items) > 2 else ""


def _old_frame(parts):
    """The Frame in a state of format 2 or 1."""
    if len(parts) < states.OLD_VALUES:
        raise ValueError("a frame has too few parts")
    pc, nulls = (parts[at].node.value for at in (states.OLD_PC, states.OLD_NULLS))
    if not isinstance(pc, int) or not isinstance(nulls, (int, bytes)):
        raise ValueError("a frame doesn't say where it stands")
    head = parts[states.OLD_HEAD]
    return states.old_frame(
        head, pc, nulls, parts[states.OLD_VALUES :], by_reference=head.node.kind == "tuple"
    )


def _parts(frame):
    """The items of a frame, each of them once."""
    found = {id(frame.head): frame.head}
    found |= {id(item): item for value in frame.values for item in value.items}
    return found.values()


_BY_VALUE = {("pickletask", "_f"), (_CORE, "_load_function"), (_CORE, "_new_function")}
_SETTERS = {("pickletask.flat", "set_state"), ("pickletask", "_g"), (_CORE, "_set_generator")}


def _late_states(nodes):
    """The states that are set by calls: pairs of the object's id and an Item."""
    for node in nodes:
        if node.kind == "call" and _name(node) in _SETTERS:
            args = _items(node.args)
            if len(args) > 1 and args[0].node.kind == "call":
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


_TASKS = {("pickletask", "_t"), ("pickletask", "tasklet"), (_CORE, "tasklet")}


def _without_context(state):
    """The state of a tasklet that may be followed by its context."""
    items = _items(state.node)
    return items[0] if len(items) == 2 and items[0].node.kind == "tuple" else state


def _without_milestones(state):
    """The state of a generator that may follow others."""
    items = _items(state.node)
    return items[1] if len(items) == 2 and items[0].node.kind == "tuple" else state


def _is_compact_task(node, state):
    """Is it a call that makes a tasklet, of whatever subclass?"""
    items = _items(state.node)
    if not items or not isinstance(items[0].node.value, bytes) or not items[0].node.value:
        return False
    data = items[0].node.value
    return _name(node) in _TASKS or (
        not _items(node.args)
        and (len(data) == 1 or data[1] >> 5 == states.FORMAT)
        and len(states.own_items(data)) < len(items)
    )


def _is_old_task(node, state):
    """The same with a state of format 2 or 1."""
    items = _items(state.node)
    if len(items) != 6 or not isinstance(items[0].node.value, int):
        return False
    if _name(node) in _TASKS:
        return True
    fiber = _items(items[3].node)
    return len(fiber) > 2 and isinstance(fiber[0].node.value, int)


# ---- values -----------------------------------------------------------------


def _values(values, names):
    """The values of a frame: (locals, stack). Without names it can't be told which is which."""
    variables, stack = [], []
    for number, items, is_loop in values:
        name = f"slot[{number}]" if names is None else states.slot_name(names, number)
        size = sum(item.size for item in items)
        if is_loop:
            value = SavedValue(name, "iterator", size, "")
        else:
            node = _contents(items[0].node)
            value = SavedValue(name, _type_name(node), size, _repr(node))
        (variables if names is None or number < len(names) else stack).append(value)
    return tuple(variables), tuple(stack)


def _contents(node):
    """What is in a cell; other nodes as they are."""
    # An exception that is a variable of its own traceback is wrapped twice.
    for _ in range(2):
        if node.kind == "call" and _name(node) == (_CORE, "_same") and _items(node.args):
            node = node.args.items[0].node
    if node.kind == "call" and _name(node) == (_CORE, "_new_cell") and node.state is not None:
        for state in _items(node.state.node):
            if state.node.kind == "dict" and len(state.node.items) > 1:
                return state.node.items[1].node
    return node


# How functions that make objects are named in the types of these.
_MAKERS = {
    ("pickletask", "_t"): "pickletask.tasklet",
    ("pickletask", "_g"): "generator",
    ("pickletask", "_f"): "function",
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
    (_CORE, "_new_dict_iterator"): "iterator",
    (_CORE, "_new_set_iterator"): "iterator",
    (_CORE, "_new_awaitable"): "awaitable",
    **{
        ("pickletask.builtin_types", f"{name}_of"): f"dict_{name}"
        for name in ("keys", "values", "items")
    },
    ("pickletask.builtin_types", "proxy_of"): "mappingproxy",
    ("pickletask.builtin_types", "proxy_of_class"): "mappingproxy",
    ("pickletask.builtin_types", "cached"): "cached function",
    ("pickletask.contexts", "new_context"): "contextvars.Context",
    ("pickletask.type_params", "new_type_param"): "type parameter",
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
