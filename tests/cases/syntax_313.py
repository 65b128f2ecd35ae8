"""What only Python 3.13 and later can compile: as text, for tools that know 3.11 only."""

import sys

from pickletask import schedule_remove as suspend

SOURCE = r"""
def keep_defaults_that_cannot_be_computed():
    type Pair[T = not_there] = tuple[T, T]
    (T,) = Pair.__type_params__
    suspend(repr(T))
    try:
        return T.__default__
    except NameError as error:
        return str(error)


def keep_defaults_given_to_constructors():
    from typing import NoDefault, ParamSpec, TypeVar

    T, U, P = TypeVar("T", default=int), TypeVar("U", bound=str), ParamSpec("P", covariant=True)
    suspend(1)
    return T.__default__, U.__default__ is NoDefault, repr(P), T.__module__
"""

if sys.version_info >= (3, 13):
    exec(SOURCE)

assert suspend
