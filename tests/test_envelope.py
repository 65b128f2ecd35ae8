"""Sealed pickles: what the key protects, and that nothing is unpickled before it is checked."""

import io
import os
import pickle

import pytest

import pickletask
from pickletask import SealError, envelope

KEY = bytes(range(32))
OTHER = bytes(32)


class Trap:
    """An object whose pickle tells when it is loaded."""

    sprung = 0

    def __reduce__(self):
        return spring, ()


def spring():
    Trap.sprung += 1


def task_in(word):
    def work():
        pickletask.schedule_remove()
        return word

    task = pickletask.tasklet(work)()
    task.run()
    return task


def test_sealed_task_goes_on():
    data = pickletask.dumps(task_in("word"), key=KEY)
    task = pickletask.loads(data, key=KEY)
    task.run()
    assert not task.alive
    assert pickletask.loads(bytearray(data), key=memoryview(KEY)).alive


def test_every_changed_byte_is_found_before_unpickling():
    data = pickletask.dumps(Trap(), key=KEY)
    Trap.sprung = 0
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(SealError):
            pickletask.loads(changed, key=KEY)
        with pytest.raises(SealError):
            pickletask.load(io.BytesIO(changed), key=KEY)
    assert Trap.sprung == 0
    pickletask.loads(data, key=KEY)
    assert Trap.sprung == 1


def test_another_key_or_none_is_refused():
    data = pickletask.dumps(Trap(), key=KEY)
    Trap.sprung = 0
    with pytest.raises(SealError, match="is damaged, or was sealed with another key"):
        pickletask.loads(data, key=OTHER)
    with pytest.raises(SealError, match="this pickle is sealed: it needs the key"):
        pickletask.loads(data)
    with pytest.raises(SealError, match="this pickle is sealed: it needs the key"):
        pickletask.load(io.BytesIO(data))
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)
    assert Trap.sprung == 0


def test_pickle_without_envelope_is_refused():
    Trap.sprung = 0
    for data in (pickletask.dumps(Trap()), b"", b"\xf0pt"):
        with pytest.raises(SealError, match="not sealed"):
            pickletask.loads(data, key=KEY)
    assert Trap.sprung == 0


def test_truncated_and_longer_pickles_are_refused():
    data = pickletask.dumps(Trap(), key=KEY)
    for size in range(len(data)):
        with pytest.raises(SealError, match="truncated|not sealed"):
            pickletask.loads(data[:size], key=KEY)
    with pytest.raises(SealError, match="3 bytes follow the sealed pickle"):
        pickletask.loads(data + b"abc", key=KEY)


def test_files_hold_several_sealed_pickles(tmp_path):
    with open(tmp_path / "file", "wb") as file:
        for number in range(3):
            pickletask.dump([number] * 1000, file, key=KEY)
    with open(tmp_path / "file", "rb") as file:
        for number in range(3):
            assert pickletask.load(file, key=KEY) == [number] * 1000
        with pytest.raises(EOFError, match="no other sealed pickle"):
            pickletask.load(file, key=KEY)


@pytest.mark.parametrize("wrap", [bytearray, memoryview, pickle.PickleBuffer])
def test_any_bytes_like_object_is_loaded(wrap):
    plain, sealed = pickletask.dumps("x" * 9), pickletask.dumps("y" * 9, key=KEY)
    assert pickletask.loads(wrap(plain)) == "x" * 9
    assert pickletask.loads(wrap(sealed), key=KEY) == "y" * 9
    assert pickletask.inspect(wrap(plain)).size >= len(plain)
    for function in (pickletask.loads, pickletask.inspect):
        with pytest.raises(SealError):
            function(wrap(sealed))


@pytest.mark.parametrize("data", [None, "text", 5])
def test_what_has_no_bytes_is_refused(data):
    for function in (pickletask.loads, pickletask.inspect):
        for options in ({}, {"key": KEY}):
            with pytest.raises(TypeError, match="a bytes-like object is required"):
                function(data, **options)


def test_absurd_length_asks_for_no_memory():
    data = envelope.MAGIC + b"\x7f" + b"\xff" * 7 + bytes(32) + b"few bytes"
    with pytest.raises(SealError, match="truncated: .* bytes are missing"):
        pickletask.load(io.BytesIO(data), key=KEY)


def test_failed_dump_writes_nothing():
    file = io.BytesIO()
    with pytest.raises(TypeError):
        pickletask.dump([os.urandom(100), memoryview(b"")], file, key=KEY)
    assert file.getvalue() == b""


def test_key_is_checked():
    for function in (lambda key: pickletask.dumps(1, key=key), lambda key: loads_with(key)):
        with pytest.raises(ValueError, match="the key has 3 bytes and must have 16 at least"):
            function(b"abc")
        with pytest.raises(TypeError, match="bytes-like"):
            function("a key that is a string")
        with pytest.raises(ValueError, match="0 bytes"):
            function(b"")


def loads_with(key):
    return pickletask.loads(pickletask.dumps(1, key=KEY), key=key)


def test_buffers_out_of_band_can_not_be_sealed():
    with pytest.raises(ValueError, match="out of band would not be sealed"):
        pickletask.dumps(pickle.PickleBuffer(b"abc"), 5, key=KEY, buffer_callback=[].append)


def test_seal_and_allow_go_together():
    data = pickletask.dumps(Trap(), key=KEY)
    with pytest.raises(pickletask.NotAllowedError):
        pickletask.loads(data, key=KEY, allow=[])
