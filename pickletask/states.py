"""What the state of a saved frame says, for looking at; src/reduce/state.h describes it."""

__all__ = ["FRAME_VALUES", "place", "slot_name", "slots"]

# (head, pc, nulls, extra, value, value, ...)
FRAME_HEAD, FRAME_PC, FRAME_NULLS, FRAME_EXTRA, FRAME_VALUES = range(5)

# Bits of a place: pc, kind of the instruction, line, column, end column; see references.c.
_SMALL = (9, 3, 6, 6, 6)
_LARGE = (20, 3, 20, 10, 10)


def place(number):
    """Return (pc, line) of the pc of a frame by reference; the line is None if it isn't known.

    It is counted from the first line of the code.
    """
    if number < 0:
        return -1 - number, None
    fields, packed = [], number >> 1
    for bits in _LARGE if number & 1 else _SMALL:
        fields.append(packed & ((1 << bits) - 1))
        packed >>= bits
    return fields[0], fields[2]


def slots(nulls, count):
    """Return the numbers of the slots in which COUNT values are, NULLS saying which are empty.

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
