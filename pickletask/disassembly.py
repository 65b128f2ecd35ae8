"""Reads a pickle into a tree of what it would make, and makes nothing of it.

Every value is a :class:`Node`.  Nodes are shared where the pickle shares objects, so the tree may
have cycles.
"""

import _compat_pickle
import pickle
import pickletools

from pickletask._core import CorruptStateError

__all__ = ["Node", "disassemble"]


class Node:
    """An object that the pickle would make.

    ``kind`` says what the other attributes mean:

    * ``"plain"``: ``value`` is a number, string, bytes, bool or None;
    * ``"list"``, ``"tuple"``, ``"set"``, ``"frozenset"``: ``items`` are :class:`Item` objects;
    * ``"dict"``: ``items`` are keys and values in turn;
    * ``"global"``: ``value`` is (module, name);
    * ``"call"``: ``function`` and ``args`` are nodes, ``state`` is an Item or None, ``items`` are
      those that are added to the object afterwards;
    * ``"persistent"``, ``"buffer"``: something from outside of the pickle.
    """

    __slots__ = ("kind", "value", "items", "function", "args", "state")

    def __init__(self, kind, value=None, items=None, function=None, args=None):
        self.kind = kind
        self.value = value
        self.items = [] if items is None else items
        self.function = function
        self.args = args
        self.state = None


class Item:
    """A node, and how many bytes it takes here: few if it was saved before."""

    __slots__ = ("node", "start", "end")

    def __init__(self, node, start, end):
        self.node = node
        self.start = start
        self.end = end

    @property
    def size(self):
        return self.end - self.start


class _Mark:
    """A place on the stack."""

    __slots__ = ("start",)

    def __init__(self, start):
        self.start = start


def disassemble(data):
    """Return (root, nodes, protocol): an Item, all nodes in their order, and the highest protocol.

    Raises CorruptStateError if the bytes are no pickle.
    """
    machine = _Machine()
    operation = None
    try:
        for opcode, arg, at in pickletools.genops(data):
            machine.step(operation, at)
            operation = (opcode, arg, at)
        machine.step(operation, len(data))
    except Exception as error:
        at = 0 if operation is None else operation[2]
        raise CorruptStateError(
            f"can't inspect: the pickle is damaged or truncated near byte {at}: {error}"
        ) from error
    return machine.root, machine.nodes, machine.protocol


class _Machine:
    """The stack and the memo of an unpickler that makes nodes."""

    def __init__(self):
        self.stack = []
        self.memo = {}
        self.nodes = []
        self.root = None
        self.protocol = 0

    def step(self, operation, end):
        """Carry out one operation, whose bytes end here."""
        if operation is None:
            return
        opcode, arg, start = operation
        self.protocol = max(self.protocol, opcode.proto)
        self.arg, self.start, self.end = arg, start, end
        name = opcode.name
        if name in _PLAIN:
            self.push(Node("plain", _PLAIN[name]))
        elif name in _ARGUMENT:
            self.push(Node("plain", arg))
        elif name in _EMPTY:
            self.push(Node(_EMPTY[name]))
        elif name in _FROM_MARK:
            self.from_mark(_FROM_MARK[name])
        elif name in _NO_EFFECT:
            pass
        else:
            getattr(self, "do_" + name)()

    # ---- the stack

    def push(self, node, start=None):
        self.nodes.append(node)
        self.stack.append(Item(node, self.start if start is None else start, self.end))

    def pop(self):
        item = self.stack.pop()
        if isinstance(item, _Mark):
            raise ValueError("a value is missing")
        return item

    def top(self):
        """The value on top of the stack, which the operation extends."""
        item = self.stack[-1]
        if isinstance(item, _Mark):
            raise ValueError("a value is missing")
        item.end = self.end
        return item.node

    def pop_mark(self):
        """The values above the last mark, and where it stands."""
        at = len(self.stack) - 1
        while not isinstance(self.stack[at], _Mark):
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        items, start = self.stack[at + 1 :], self.stack[at].start
        del self.stack[at:]
        return items, start

    def from_mark(self, kind):
        items, start = self.pop_mark()
        self.push(Node(kind, items=items), start)

    def take(self, count):
        return [self.pop() for _ in range(count)][::-1]

    # ---- operations that make values

    def do_TUPLE1(self, count=1):
        items = self.take(count)
        self.push(Node("tuple", items=items), items[0].start)

    def do_TUPLE2(self):
        self.do_TUPLE1(2)

    def do_TUPLE3(self):
        self.do_TUPLE1(3)

    def do_GLOBAL(self):
        self.push(Node("global", _python_3(self.arg)))

    def do_STACK_GLOBAL(self):
        module, name = self.take(2)
        if not isinstance(module.node.value, str) or not isinstance(name.node.value, str):
            raise ValueError("a name is no string")
        self.push(Node("global", (module.node.value, name.node.value)), module.start)

    def do_EXT1(self):
        self.push(Node("global", ("copyreg extension", str(self.arg))))

    do_EXT2 = do_EXT4 = do_EXT1

    def do_REDUCE(self):
        function, args = self.take(2)
        node = Node("call", function=function.node, args=args.node)
        data = _bytes_in(node)
        self.push(node if data is None else Node("plain", data), function.start)

    do_NEWOBJ = do_REDUCE

    def do_NEWOBJ_EX(self):
        cls, args, kwargs = self.take(3)
        node = Node("call", function=cls.node, args=args.node)
        node.items.append(kwargs)
        self.push(node, cls.start)

    def do_INST(self):
        items, start = self.pop_mark()
        function = Node("global", _python_3(self.arg))
        self.push(Node("call", function=function, args=Node("tuple", items=items)), start)

    def do_OBJ(self):
        (cls, *items), start = self.pop_mark()
        self.push(Node("call", function=cls.node, args=Node("tuple", items=items)), start)

    def do_PERSID(self):
        self.push(Node("persistent", self.arg))

    def do_BINPERSID(self):
        (pid,) = self.take(1)
        self.push(Node("persistent", pid.node.value), pid.start)

    def do_NEXT_BUFFER(self):
        self.push(Node("buffer"))

    # ---- operations that change values

    def do_BUILD(self):
        state = self.pop()
        self.top().state = state

    def do_APPEND(self):
        items = self.take(1)
        self.top().items += items

    def do_SETITEM(self):
        items = self.take(2)
        self.top().items += items

    def do_APPENDS(self):
        items, _ = self.pop_mark()
        self.top().items += items

    do_SETITEMS = do_ADDITEMS = do_APPENDS

    # ---- the memo and the rest

    def do_MEMOIZE(self):
        self.memo[len(self.memo)] = self.top()

    def do_PUT(self):
        self.memo[self.arg] = self.top()

    do_BINPUT = do_LONG_BINPUT = do_PUT

    def do_GET(self):
        self.stack.append(Item(self.memo[self.arg], self.start, self.end))

    do_BINGET = do_LONG_BINGET = do_GET

    def do_PROTO(self):
        if self.arg > pickle.HIGHEST_PROTOCOL:
            raise ValueError(f"protocol {self.arg} is not known")

    def do_MARK(self):
        self.stack.append(_Mark(self.start))

    def do_POP(self):
        self.stack.pop()

    def do_POP_MARK(self):
        self.pop_mark()

    def do_DUP(self):
        self.stack.append(Item(self.top(), self.start, self.end))

    def do_STOP(self):
        self.root = self.pop()


def _python_3(text):
    """(module, name) of the argument of an operation that protocols of Python 2 have."""
    module, name = text.split(" ", 1)
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def _bytes_in(node):
    """The bytes that a call makes, if it is how protocol 2 writes bytes; else None."""
    items = node.args.items if node.args.kind == "tuple" else []
    values = [item.node.value for item in items if item.node.kind == "plain"]
    if node.function.value == ("_codecs", "encode") and values[1:] == ["latin1"]:
        return values[0].encode("latin1") if isinstance(values[0], str) else None
    return b"" if node.function.value == ("builtins", "bytes") and not items else None


_NO_EFFECT = {"FRAME", "READONLY_BUFFER"}
_PLAIN = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": "list", "EMPTY_TUPLE": "tuple", "EMPTY_DICT": "dict", "EMPTY_SET": "set"}
_FROM_MARK = {"LIST": "list", "TUPLE": "tuple", "DICT": "dict", "FROZENSET": "frozenset"}
_ARGUMENT = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
}
