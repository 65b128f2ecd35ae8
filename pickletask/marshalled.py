"""Reads what the marshal module wrote, in Python: names and lines of code that nobody may run.

marshal.loads() trusts its input, and can crash the interpreter. This reads code objects into plain
values instead, and raises ValueError for whatever isn't right.
"""

import struct
import zlib

from pickletask import _core

__all__ = ["Code", "read_code", "read_packed"]

_FLAG_REF = 0x80
_DEEPEST = 150
_LARGEST = 64 << 20
_SIMPLE = {b"N": None, b"T": True, b"F": False, b".": ..., b"S": StopIteration}
# Types of constants that have a length of four bytes and as many bytes, and of one byte.
_LONG_TEXT = b"stuaA"
_SHORT_TEXT = b"zZ"
_MANY = {b"(": "<i", b")": "<B", b"[": "<i", b"<": "<i", b">": "<i"}


class Code:
    """What is to be known of a code object.

    ``qualname``, ``filename``, ``first_line``, and ``variables``, the names of the local variables
    in the order of the slots of a frame.
    """

    __slots__ = ("qualname", "filename", "first_line", "variables", "_lines")

    def __init__(self, qualname, filename, first_line, variables, lines):
        self.qualname = qualname
        self.filename = filename
        self.first_line = first_line
        self.variables = variables
        self._lines = lines

    def line(self, pc):
        """Return the line of a code unit, or None."""
        line, unit = self.first_line, 0
        reader = _Reader(self._lines)
        while reader.left():
            first = reader.byte()
            kind, length = first >> 3 & 15, (first & 7) + 1
            if kind == 14:
                line += reader.signed_varint()
                for _ in range(3):
                    reader.varint()
            elif kind == 13:
                line += reader.signed_varint()
            elif kind >= 10:
                line += kind - 10 if kind < 13 else 0
                reader.take(2 if kind < 13 else 0)
            else:
                reader.take(1)
            if unit <= pc < unit + length:
                return None if kind == 15 else line
            unit += length
        return None


def read_code(data):
    """Return the Code in the data of a pickle, which may be compressed; raises ValueError."""
    if data[:1] == b"\x78":
        data = _decompress(data, zlib.decompressobj())
    return _code(data)


def _code(data):
    """The Code in marshalled data."""
    value = _Reader(data).value(0)
    if not isinstance(value, Code):
        raise ValueError("the data are not those of code")
    return value


def read_packed(packed):
    """The same for packed code: the minor version and a bit, 8 bytes of a digest, and the data."""
    if not isinstance(packed, bytes) or len(packed) < 10:
        raise ValueError("the data of code are truncated")
    data = packed[9:]
    if packed[0] & 0x80:
        data = _decompress(data, zlib.decompressobj(-zlib.MAX_WBITS, _core._DICTIONARY))
    return _code(data)


def _decompress(data, decompressor):
    """What is in a stream of zlib, if it isn't too much."""
    try:
        plain = decompressor.decompress(data, _LARGEST)
    except zlib.error as error:
        raise ValueError(f"the data of code are damaged: {error}") from None
    if not decompressor.eof:
        raise ValueError("the data of code are truncated, or too large")
    return plain


class _Reader:
    """Reads from bytes, and remembers what may be referred to."""

    def __init__(self, data):
        self.data = data
        self.at = 0
        self.references = []

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if not 0 <= count <= self.left():
            raise ValueError("the data of code are truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def skip(self, count):
        self.take(count)

    def byte(self):
        return self.take(1)[0]

    def number(self, form="<i"):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        byte = self.byte()
        value, shift = byte & 63, 6
        while byte & 64 and shift < 64:
            byte = self.byte()
            value |= (byte & 63) << shift
            shift += 6
        return value

    def signed_varint(self):
        value = self.varint()
        return -(value >> 1) if value & 1 else value >> 1

    def value(self, depth):
        """The next object: a str, bytes, int, tuple or Code; None for other constants."""
        if depth > _DEEPEST:
            raise ValueError("the data of code are nested too deeply")
        first = self.byte()
        kind = bytes([first & ~_FLAG_REF])
        if kind == b"r":
            number = self.number()
            if not 0 <= number < len(self.references):
                raise ValueError("the data of code refer to nothing")
            return self.references[number]
        place = None
        if first & _FLAG_REF:
            place = len(self.references)
            self.references.append(None)
        value = self.plain(kind, depth + 1)
        if place is not None:
            self.references[place] = value
        return value

    def plain(self, kind, depth):
        """The object of a kind."""
        if kind in _SIMPLE:
            return _SIMPLE[kind]
        if kind in _MANY:
            return tuple(self.value(depth) for _ in range(self.number(_MANY[kind])))
        if kind in _LONG_TEXT or kind in _SHORT_TEXT:
            data = bytes(self.take(self.number("<i" if kind in _LONG_TEXT else "<B")))
            return data if kind == b"s" else data.decode("utf-8", "surrogatepass")
        if kind == b"c":
            return self.code(depth)
        if kind == b"i":
            return self.number()
        if kind == b"l":
            return self.skip(2 * abs(self.number()))
        if kind in b"gy":
            return self.skip(8 if kind == b"g" else 16)
        if kind == b":":
            return tuple(self.value(depth) for _ in range(3))
        raise ValueError(f"the data of code have an object of unknown kind {kind!r}")

    def code(self, depth):
        """The parts of a code object, in the order of CPython 3.11 and later."""
        self.take(5 * 4)
        for _ in range(3):
            self.value(depth)
        variables, _, filename, _, qualname = (self.value(depth) for _ in range(5))
        first_line = self.number()
        lines, _ = self.value(depth), self.value(depth)
        if not (
            isinstance(filename, str)
            and isinstance(qualname, str)
            and isinstance(lines, bytes)
            and isinstance(variables, tuple)
            and all(isinstance(name, str) for name in variables)
        ):
            raise ValueError("the data of code have parts of the wrong type")
        return Code(qualname, filename, first_line, variables, lines)
