"""Sealed pickles: an HMAC that is checked before a single byte is unpickled.

A sealed pickle is ::

    magic (8 bytes)  length (8 bytes, big-endian)  HMAC-SHA-256 (32 bytes)  pickle

The HMAC is one of everything but itself.  It tells who wrote the bytes, namely someone who has the
key; it doesn't hide them.  Neither does it tell old bytes from new ones: who may replace a file can
put back an earlier one.
"""

from pickletask.errors import SealError

__all__ = ["is_sealed", "read", "seal", "unseal"]

# No pickle begins with this byte.
MAGIC = b"\xf0ptseal\x01"
# What pickle says of it.
BEGIN = r"invalid load key, '\xf0'"
_LENGTH = 8
_MAC = 32
_HEADER = len(MAGIC) + _LENGTH + _MAC
_CHUNK = 1 << 20
_LEAST_KEY = 16


def seal(data, key):
    """Return bytes with an envelope around them.

    Raises TypeError or ValueError if KEY is not a bytes-like object of 16 bytes or more.
    """
    head = MAGIC + len(data).to_bytes(_LENGTH, "big")
    return b"".join((head, _mac(key, head, data), data))


def unseal(sealed, key):
    """Return what is in an envelope.

    Raises SealError if there is no envelope, if it is damaged or truncated, or if KEY is another
    one; TypeError or ValueError as :func:`seal`.
    """
    view = memoryview(sealed).cast("B")
    size, mac = _open(bytes(view[:_HEADER]), key)
    data = bytes(view[_HEADER:])
    return _check(key, size, mac, data)


def read(file, key):
    """Return what is in the next envelope of a binary file, which is left behind it.

    Errors are those of :func:`unseal`, and EOFError at the end of the file.
    """
    header = _read(file, _HEADER)
    if not header:
        raise EOFError("there is no other sealed pickle in the file")
    size, mac = _open(header, key)
    return _check(key, size, mac, _read(file, size))


def is_sealed(data):
    """Tell whether a bytes-like object begins as an envelope does; TypeError if it is none."""
    if type(data) is not bytes:
        data = memoryview(data).cast("B")
    return data[: len(MAGIC)] == MAGIC


def _read(file, size):
    """At most SIZE bytes, in pieces: a damaged length must not ask for all memory at once."""
    pieces = []
    while size > 0:
        piece = file.read(min(size, _CHUNK))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _mac(key, head, data):
    """The HMAC of an envelope with this head and content."""
    size = memoryview(key).nbytes
    if size < _LEAST_KEY:
        raise ValueError(
            f"the key has {size} bytes and must have {_LEAST_KEY} at least; "
            "secrets.token_bytes(32) makes a good one"
        )
    # Slow to import, and not needed without a key.
    import hmac

    mac = hmac.new(bytes(key), head, "sha256")
    mac.update(data)
    return mac.digest()


def _open(header, key):
    """The length and the HMAC that a header says."""
    _mac(key, b"", b"")
    if not is_sealed(header):
        raise SealError("these bytes are not sealed: they were not written with a key")
    if len(header) < _HEADER:
        raise SealError("the sealed pickle is truncated: its header is not complete")
    at = len(MAGIC)
    return int.from_bytes(header[at : at + _LENGTH], "big"), header[at + _LENGTH :]


def _check(key, size, mac, data):
    """Return the content, if it is what was sealed."""
    if len(data) < size:
        raise SealError(f"the sealed pickle is truncated: {size - len(data)} bytes are missing")
    if len(data) > size:
        raise SealError(f"{len(data) - size} bytes follow the sealed pickle")
    import hmac

    head = MAGIC + size.to_bytes(_LENGTH, "big")
    if not hmac.compare_digest(mac, _mac(key, head, data)):
        raise SealError("the sealed pickle is damaged, or was sealed with another key")
    return data
