"""What the states of saved tasks and generators say, for looking at.

src/reduce/state.h describes them, and src/tasks/pickling.h what a tasklet adds.
"""

from typing import Any, NamedTuple

__all__ = ["Frame", "Value", "frames", "old_frame", "own_items", "slot_name", "variables"]

FORMAT = 3
_MINORS = 32
# Bits of the flags of a frame.
_REFERENCE, _PATH, _GENERATOR, _EXCEPTION = 1, 2, 4, 8
_NAMESPACE, _SPECIALS, _PLACE = 16, 32, 64
_SAME, _LOOP, _LOOP_IN, _RANGE = range(4)
_ITEMS = {_SAME: 0, _LOOP: 2, _LOOP_IN: 1, _RANGE: 3}
_DIGEST = 11
# Bits of the flags of a tasklet.
_KIND, _VALUE, _BOMB, _CHANNEL, _ATTRIBUTES, _CALL = 3, 3, 2, 32, 64, 128

# Of format 2 and 1: (head, pc, nulls, extra, value, value, ...)
OLD_HEAD, OLD_PC, OLD_NULLS, OLD_EXTRA, OLD_VALUES = range(5)
# Bits of a place of format 2: pc, kind of the instruction, line, column, end column.
_SMALL = (9, 3, 6, 6, 6)
_LARGE = (20, 3, 20, 10, 10)


class Value(NamedTuple):
    """The value of a slot."""

    slot: int
    #: What it consists of: one item, or what an iterator goes over and more.
    items: tuple
    is_loop: bool = False


class Frame(NamedTuple):
    """A frame. HEAD and what is in VALUES are items of the state."""

    head: Any
    #: By reference: the digest and the item of the path, if they are not in the head.
    digest: bytes | None
    path: Any
    pc: int
    #: Counted from the first line of the code; None if the frame doesn't say it.
    line: int | None
    values: tuple


class _Reader:
    """Reads the bytes of a state, and takes items along."""

    def __init__(self, data, items):
        self.data = data
        self.at = 0
        self.items = iter(items)

    def left(self):
        return len(self.data) - self.at

    def bytes(self, count):
        if count > self.left():
            raise ValueError("a state is truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.bytes(1)[0]

    def number(self):
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def take(self, count):
        taken = tuple(item for _, item in zip(range(count), self.items, strict=False))
        if len(taken) < count:
            raise ValueError("a state has too few items")
        return taken


def own_items(data):
    """Return which items of a tasklet's state come before those of its frames: names by place."""
    flags = data[0]
    found = []
    if flags & _KIND in (_VALUE, _BOMB):
        found.append("tempval")
    found += ["channel"] if flags & _CHANNEL else []
    found += ["attributes"] if flags & _ATTRIBUTES else []
    return found + (["func", "args", "kwargs"] if flags & _CALL else [])


def frames(data, items):
    """Return the Frames in the bytes of a state, from the format on, and in its items.

    Raises ValueError if they are damaged.
    """
    reader = _Reader(data, items)
    first = reader.byte()
    if first // _MINORS != FORMAT:
        raise ValueError(f"the state has format {first // _MINORS}")
    found = []
    while reader.left():
        found.append(_frame(reader, first % _MINORS))
    return found


def _frame(reader, minor):
    """The next Frame."""
    flags = reader.byte()
    (head,) = reader.take(1)
    digest = path = line = None
    if flags & _REFERENCE:
        digest = bytes([minor]) + reader.bytes(_DIGEST)
    if flags & _PATH:
        (path,) = reader.take(1)
    for flag in _GENERATOR, _EXCEPTION, _NAMESPACE:
        if flags & flag:
            reader.take(1)
    pc = reader.number()
    if flags & _PLACE:
        line = (reader.number() >> 3) - 1
        line = None if line < 0 else line
        reader.number(), reader.number()
    nulls = reader.number()
    specials = dict(_specials(reader)) if flags & _SPECIALS else {}
    values = {}
    for slot in range(nulls.bit_length() - 1):
        if not nulls >> slot & 1:
            values[slot] = _value(reader, slot, *specials.get(slot, (None, None)), values)
    return Frame(head, digest, path, pc, line, tuple(values.values()))


def _specials(reader):
    """The special slots: pairs of the slot, and its kind and the other slot that it has."""
    more = True
    while more:
        number = reader.number()
        kind, more = number >> 1 & 3, number & 1
        yield number >> 3, (kind, reader.number() if kind in (_SAME, _LOOP_IN) else None)


def _value(reader, slot, kind, other, earlier):
    """The Value of a slot; EARLIER are those before."""
    if kind is None:
        return Value(slot, reader.take(1))
    items = earlier[other].items[:1] if other in earlier else ()
    return Value(slot, items + reader.take(_ITEMS[kind]), kind != _SAME)


def old_frame(head, pc, nulls, values, by_reference):
    """Return the Frame of a state of format 2 or 1, which has numbers PC and NULLS."""
    line = None
    if by_reference:
        pc, line = _old_place(pc)
    numbers = _old_slots(nulls, len(values))
    found = (Value(*pair) for pair in zip(numbers, ((value,) for value in values), strict=True))
    return Frame(head, None, None, pc, line, tuple(found))


def _old_place(number):
    """(pc, line) of the pc of a frame by reference; the line is None if it isn't known."""
    if number < 0:
        return -1 - number, None
    fields, packed = [], number >> 1
    for bits in _LARGE if number & 1 else _SMALL:
        fields.append(packed & ((1 << bits) - 1))
        packed >>= bits
    return fields[0], fields[2]


def _old_slots(nulls, count):
    """The numbers of the slots in which COUNT values are, NULLS saying which are empty.

    NULLS is the int or the bytes of the state; there are never more numbers than values.
    """
    bits = nulls if isinstance(nulls, int) else int.from_bytes(nulls, "little")
    found, number = [], 0
    end = bits.bit_length()
    while len(found) < count:
        if number >= end or not bits >> number & 1:
            found.append(number)
        number += 1
    return found


def slot_name(names, number):
    """Return the name of a slot: that of a variable, or of an entry of the value stack."""
    return names[number] if number < len(names) else f"stack[{number - len(names)}]"


def variables(code):
    """Return the names of a code object's variables in the order of the slots of its frames."""
    names = list(code.co_varnames)
    names += (name for name in code.co_cellvars if name not in code.co_varnames)
    return names + list(code.co_freevars)
