"""Shortened pickles: what is loaded from them is what it was, and they are no longer."""

import io
import pickle
import pickletools

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pickletask
from pickletask import _core

PROTOCOLS = range(4, pickle.HIGHEST_PROTOCOL + 1)
shared = [b"shared by several", "a name of some length", {"key": [1]}, ValueError, len]
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
) | st.sampled_from(shared)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | inner.map(lambda value: [value, value])
        | inner.map(lambda value: bytearray(repr(value), "utf-8", "replace"))
        | st.frozensets(st.integers())
        | st.sets(st.text())
    ),
    max_leaves=40,
)


def shape(value, seen=None):
    """Which objects inside of a value are the same: equal for copies only if they share as it."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = len(seen)
    if isinstance(value, dict):
        return [shape(item, seen) for item in value.values()]
    if isinstance(value, (list, tuple)):
        return [shape(item, seen) for item in value]
    return None


def check(data):
    """Shorten a pickle, and check that it means the same."""
    short = _core._shorten(data)
    assert len(short) <= len(data)
    pickletools.dis(short, io.StringIO())
    for loads in pickle.loads, pickle._loads, lambda short: pickle.load(io.BytesIO(short)):
        assert shape(loads(short)) == shape(loads(data))
        assert loads(short) == loads(data)
    return short


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(value=values)
def test_shortened_pickle_means_the_same(protocol, value):
    for dumps in pickle.dumps, pickle._dumps:
        check(dumps(value, protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", [10, 300, 1000, 70_000, 200_000])
def test_large_pickles_keep_their_frames(protocol, size):
    items = [[str(number)] for number in range(size // 10)]
    value = [items, b"x" * size, items[::-1], "y" * size, items[:1], bytearray(size)]
    short = check(pickle.dumps(value, protocol))
    assert (pickle.FRAME in short) == (pickle.FRAME in pickle.dumps(value, protocol) and size > 100)


def test_objects_that_are_met_again_get_the_first_numbers():
    numbered = [[i] for i in range(600)]
    again = [*numbered[::-2], *numbered]
    short = check(pickle.dumps(([[i] for i in range(600)], again)))
    gets = [arg for op, arg, _ in pickletools.genops(short) if op.name.endswith("BINGET")]
    # Those in the second half are saved before they are met again, the others behind them.
    assert len(set(gets)) == 300 and max(gets) < 300 + 2


@pytest.mark.parametrize("protocol", range(4))
def test_older_protocols_are_left_alone(protocol):
    data = pickle.dumps([ValueError("x"), [1], len], protocol)
    assert _core._shorten(data) is data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x04",
        b"\x80\x04\xff.",
        b"\x80\x04h\x00.",
        b"\x80\x04]\x94h\x01.",
        b"\x80\x04C\x05abc",
        b"\x80\x04\x8e" + b"\xff" * 8 + b"abc",
        b"\x80\x04p0\n.",
        b"\x80\x04\x95\x01",
        b"\x80\x04\x8c\x03abc",
        b"\x80\x04\x8c\x03abc\x94\x8c",
    ],
)
def test_what_is_no_pickle_does_no_harm(data):
    assert _core._shorten(data) in (data, data[:2] + data[11:])


def test_only_bytes_are_shortened():
    with pytest.raises(TypeError, match="expected bytes, not list"):
        _core._shorten([])


class Strange:
    """Named in a way that takes part in no line."""

    def __reduce__(self):
        return "n\xe4me"


globals()["n\xe4me"] = Strange()


def test_names_that_are_not_ascii_stay_as_they_are():
    value = globals()["n\xe4me"]
    assert pickle.loads(_core._shorten(pickle.dumps([value, ValueError]))) == [value, ValueError]


def test_buffers_out_of_band_and_persistent_ids_are_kept():
    buffers = []
    data = bytearray(b"buffer" * 100)
    value = [pickle.PickleBuffer(data), [1], pickle.PickleBuffer(data)]
    short = _core._shorten(pickle.dumps(value, 5, buffer_callback=buffers.append))
    assert [bytes(b) for b in pickle.loads(short, buffers=buffers)[::2]] == [bytes(data)] * 2

    class Pickler(pickletask.Pickler):
        def persistent_id(self, obj):
            return ("id", str(obj)) if isinstance(obj, int) else None

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid):
            return int(pid[1])

    file = io.BytesIO()
    Pickler(file).dump([1, [2, 3], 1])
    assert Unpickler(io.BytesIO(_core._shorten(file.getvalue()))).load() == [1, [2, 3], 1]
