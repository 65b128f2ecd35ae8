"""Exceptions that the parts written in Python raise; the others are those of the core."""

import pickle

from pickletask._core import RestoreError

__all__ = ["FAILURES", "NotAllowedError", "SealError"]

# What pickle raises when it can't save something.
FAILURES = (TypeError, AttributeError, pickle.PicklingError)


class NotAllowedError(RestoreError):
    """A pickle names what ``allow=`` doesn't have, or brings code by value."""

    __module__ = "pickletask"


class SealError(RestoreError):
    """Bytes that a key should have sealed are not sealed, damaged, or sealed with another key."""

    __module__ = "pickletask"
