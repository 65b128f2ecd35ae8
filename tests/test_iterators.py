"""Iterators of itertools: saved at every place, also where CPython has given that up."""

import copy
import itertools
import operator
import pickle
import sys

import pytest

from pickletask import CorruptStateError, _core

MINOR = sys.version_info[1]


def is_even(number):
    return number % 2 == 0


def add(a, b):
    return a + b


def third(number):
    return number // 3


KINDS = {
    "accumulate": lambda: itertools.accumulate([1, 2, 3, 4]),
    "accumulate_function": lambda: itertools.accumulate([1, 2, 3], operator.mul, initial=5),
    "accumulate_none": lambda: itertools.accumulate([None, None], lambda a, b: a),  # by value
    "chain": lambda: itertools.chain([1, 2], (), "ab", range(2)),
    "chain_from_iterable": lambda: itertools.chain.from_iterable(iter([[1], [2, 3]])),
    "combinations": lambda: itertools.combinations("abcd", 2),
    "combinations_none": lambda: itertools.combinations("ab", 3),
    "combinations_zero": lambda: itertools.combinations("ab", 0),
    "combinations_with_replacement": lambda: itertools.combinations_with_replacement("abc", 2),
    "compress": lambda: itertools.compress("abcdef", [1, 0, 1, 1, 0, 1]),
    "count": lambda: itertools.islice(itertools.count(3), 4),
    "count_step": lambda: itertools.islice(itertools.count(0.5, 0.25), 4),
    "count_large": lambda: itertools.islice(itertools.count(sys.maxsize - 1), 4),
    "cycle": lambda: itertools.islice(itertools.cycle([1, 2, 3]), 8),
    "cycle_nothing": lambda: itertools.cycle([]),
    "dropwhile": lambda: itertools.dropwhile(is_even, [2, 4, 5, 6, 7]),
    "filterfalse": lambda: itertools.filterfalse(is_even, range(7)),
    "groupby": lambda: itertools.groupby(range(9), third),
    "islice": lambda: itertools.islice(range(20), 3, 15, 4),
    "islice_open": lambda: itertools.islice(range(6), 2, None, 3),
    "pairwise": lambda: itertools.pairwise(range(5)),
    "permutations": lambda: itertools.permutations("abc", 2),
    "permutations_none": lambda: itertools.permutations("ab", 3),
    "product": lambda: itertools.product("ab", [1, 2], repeat=1),
    "product_nothing": lambda: itertools.product([], [1]),
    "product_zero": lambda: itertools.product(),
    "repeat": lambda: itertools.repeat("x", 3),
    "repeat_for_ever": lambda: itertools.islice(itertools.repeat("x"), 3),
    "starmap": lambda: itertools.starmap(add, [(1, 2), (3, 4)]),
    "takewhile": lambda: itertools.takewhile(is_even, [2, 4, 5, 6]),
    "tee": lambda: itertools.tee(range(5))[0],
    "zip_longest": lambda: itertools.zip_longest([1], [1, 2, 3], "ab", fillvalue="-"),
}
if MINOR >= 12:
    KINDS["batched"] = lambda: itertools.batched(range(7), 3)

PICKLERS = {
    "c": pickle.dumps,
    "python": pickle._dumps,
}


def rest(iterator):
    """What is left of an iterator; of its groups, too."""
    items = []
    for item in iterator:
        if isinstance(iterator, itertools.groupby):
            item = item[0], list(item[1])
        items.append(item)
    return items


def skip_what_cpython_loses(kind):
    """Skip what CPython's own reducers, until 3.13, don't get right."""
    if MINOR < 14 and kind in ("accumulate_none", "combinations_zero", "count_large"):
        pytest.skip("CPython's own reducers")


@pytest.mark.filterwarnings("ignore:.*itertools:DeprecationWarning")
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("pickler", sorted(PICKLERS))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_iterator_goes_on_where_it_was(kind, pickler, protocol):
    skip_what_cpython_loses(kind)
    length = len(rest(KINDS[kind]()))
    for steps in range(length + 2):
        iterator = KINDS[kind]()
        for _ in range(steps):
            next(iterator, None)
        loaded = pickle.loads(PICKLERS[pickler](iterator, protocol))
        assert type(loaded) is type(iterator)
        assert rest(loaded) == rest(iterator), steps
        assert rest(loaded) == []


@pytest.mark.filterwarnings("ignore:.*itertools:DeprecationWarning")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_deep_copy_goes_on_where_it_was(kind):
    skip_what_cpython_loses(kind)
    length = len(rest(KINDS[kind]()))
    for steps in range(length + 1):
        iterator = KINDS[kind]()
        for _ in range(steps):
            next(iterator, None)
        twin = copy.deepcopy(iterator)
        assert rest(twin) == rest(iterator), steps


@pytest.mark.skipif(MINOR < 14, reason="CPython's own reducers lose what has been read of a group")
def test_group_goes_on_in_the_middle():
    groups = itertools.groupby(range(9), third)
    next(groups)
    _, group = next(groups)
    next(group)
    loaded, inner = pickle.loads(pickle.dumps((groups, group)))
    assert list(inner) == [4, 5]
    assert rest(loaded) == [(2, [6, 7, 8])]


@pytest.mark.skipif(MINOR < 14, reason="CPython's own reducers make it another iterator")
def test_group_that_is_left_behind_stays_empty():
    groups = itertools.groupby(range(6), third)
    _, group = next(groups)
    next(groups)
    loaded, inner = pickle.loads(pickle.dumps((groups, group)))
    assert list(inner) == [] and type(inner) is type(group)
    assert rest(loaded) == []


@pytest.mark.skipif(MINOR < 14, reason="CPython's own reducers")
def test_tee_shares_what_was_read():
    first, second = itertools.tee(iter(range(200)))
    for _ in range(130):
        next(first)
    next(second)
    one, two = pickle.loads(pickle.dumps((first, second)))
    assert list(one) == list(range(130, 200))
    assert list(two) == list(range(1, 200))


@pytest.mark.parametrize(
    "kind", sorted(KINDS if MINOR >= 14 else KINDS.keys() & {"batched", "pairwise"})
)
def test_damaged_state_is_refused(kind):
    values = [None, 0, -1, 1, 2, 99, 10**30, (), (1,), (1, 2), ((), ()), [], "x", (None, [], 5)]
    values += [((0, 1, 2), (5, 5)), ((9, 9, 9), (1, 1)), ((3,), ()), ((), (3,)), ((), (), (1,))]
    values += [((), [], 0), ((), [1], 3), ((1,), [], 0), (5,), (5, 5), (None, 0), (0, 0)]
    iterator = KINDS[kind]()
    next(iterator, None)
    new, arguments = _core._reduce_iterator(iterator)
    cls, values_of = arguments[0], arguments[1]
    for value in values:
        try:
            damaged = new(cls, values_of, value, *arguments[3:])
        except CorruptStateError as error:
            assert "damaged" in str(error)
            continue
        for _ in range(5):
            next(damaged, None)
