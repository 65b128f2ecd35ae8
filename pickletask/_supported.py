"""Refuse interpreters that pickletask does not support, before anything else."""

import sys

MINORS = ((3, 11), (3, 12), (3, 13), (3, 14), (3, 15))


def check():
    """Raise ImportError if this Python is not supported.

    The message says what this Python is and what is supported.
    """
    supported = "supported are builds with the GIL of CPython " + ", ".join(
        f"{major}.{minor}" for major, minor in MINORS
    )
    if sys.implementation.name != "cpython":
        raise ImportError(f"pickletask does not run on {sys.implementation.name}; {supported}")
    if sys.version_info[:2] not in MINORS:
        version = "{}.{}".format(*sys.version_info)
        raise ImportError(f"pickletask does not run on CPython {version}; {supported}")
    if "t" in sys.abiflags:
        raise ImportError(f"pickletask does not run on free-threaded builds; {supported}")
