"""Objects of builtin types that pickle doesn't know, or knows badly; damaged states of them."""

import collections
import copy
import functools
import pickle
import types
import weakref

import programs
import pytest
from cases import builtin_types as cases

import pickletask
from pickletask import CorruptStateError, _core, builtin_types

DICT_ITERATORS = {
    "keys": iter,
    "values": lambda table: iter(table.values()),
    "items": lambda table: iter(table.items()),
    "reversed keys": reversed,
    "reversed values": lambda table: reversed(table.values()),
    "reversed items": lambda table: reversed(table.items()),
}
kinds = pytest.mark.parametrize("kind", sorted(DICT_ITERATORS))
ways = pytest.mark.parametrize(
    "way", [pickle.dumps, pickle._dumps, pickletask.dumps], ids=["C", "Python", "pickletask"]
)


class Attributes:
    """Instances have dicts of a form of their own."""

    def __init__(self):
        self.a, self.b, self.c = 1, 2, 3


class Table(dict):
    """Whose own methods are in nobody's way."""

    def keys(self):
        raise AssertionError

    __iter__ = __reversed__ = values = items = keys


def with_gaps():
    table = {number: -number for number in range(8)}
    for number in (0, 3, 7):
        del table[number]
    return table


TABLES = {
    "empty": dict,
    "small": lambda: {1: "a", "b": None, None: 3},
    "gaps": with_gaps,
    "attributes": lambda: vars(Attributes()),
}


@ways
@kinds
@pytest.mark.parametrize("table", sorted(TABLES))
def test_iterator_of_a_dict_goes_on_and_stays_with_it(kind, table, way):
    for steps in range(len(TABLES[table]()) + 2):
        original = TABLES[table]()
        iterator = DICT_ITERATORS[kind](original)
        for _ in range(steps):
            next(iterator, None)
        data = way((original, iterator))
        rest = list(iterator)
        loaded, other = pickle.loads(data)
        assert type(other) is type(iterator)
        assert list(other) == rest
        loaded, other = pickle.loads(data)
        loaded["more"] = 1
        if steps > len(original):
            assert list(other) == []
            continue
        for _ in range(2):
            with pytest.raises(RuntimeError, match="changed size"):
                next(other)
        with pytest.raises(RuntimeError, match="changed size"):
            next(pickle.loads(way(other)))


@kinds
def test_copies_of_an_iterator_of_a_dict(kind):
    table = with_gaps()
    iterator = DICT_ITERATORS[kind](table)
    next(iterator)
    shallow, (twin, deep) = copy.copy(iterator), copy.deepcopy((table, iterator))
    twin[100] = 1
    assert list(shallow) == list(iterator)
    with pytest.raises(RuntimeError):
        next(deep)


def test_iterator_of_a_subclass_of_dict():
    iterator = dict.__iter__(Table(a=1, b=2))
    next(iterator)
    new, args = _core._reduce_dict_iterator(iterator)
    assert list(new(*args)) == ["b"]


@kinds
def test_damaged_iterator_of_a_dict(kind):
    number = sorted(DICT_ITERATORS).index(kind)
    numbers = [-(2**63), -2, -1, 0, 1, 2, 3, 5, 100, 2**62, 2**63 - 1]
    for used in numbers:
        for left in numbers:
            for before in numbers:
                table = with_gaps()
                try:
                    iterator = _core._new_dict_iterator(number, table, used, left, before)
                except CorruptStateError:
                    continue
                for change in ({}, {"x": 1}, None):
                    table.clear() if change is None else table.update(change)
                    try:
                        for _ in range(20):
                            next(iterator, None)
                    except RuntimeError:
                        pass


@pytest.mark.parametrize("args", [(6,), (-1,), (0, {}, -2), (0, {}, 1, 2), (0, {}, 1, 0, 2)])
def test_damaged_numbers_are_refused(args):
    with pytest.raises(CorruptStateError, match="dict"):
        _core._new_dict_iterator(*args)


@ways
def test_iterator_of_a_set_goes_on_and_stays_with_it(way):
    for steps in range(5):
        original = {"a", "b", "c"}
        iterator = iter(original)
        seen = [next(iterator, None) for _ in range(steps)]
        loaded, other = pickle.loads(way((original, iterator)))
        rest = list(iterator)
        again = pickle.loads(way((loaded, other)))[1]
        assert again.__length_hint__() == len(rest)
        assert list(again) == rest and list(again) == []
        assert {*seen, *rest} - {None} == original
        loaded.add("more")
        if steps > 3:
            assert list(other) == []
            continue
        for _ in range(2):
            with pytest.raises(RuntimeError, match="changed size"):
                next(other)
        with pytest.raises(RuntimeError, match="changed size"):
            next(pickle.loads(way(other)))


def test_elements_of_a_loaded_set_are_those_of_its_iterator():
    element = types.SimpleNamespace
    original = {element, frozenset([1])}
    loaded, iterator = pickle.loads(pickle.dumps((original, iter(original))))
    assert {id(item) for item in iterator} == {id(item) for item in loaded}


@pytest.mark.parametrize(
    "args",
    [(1, 0, []), ({1}, -2, []), ([], 0, [])],
)
def test_damaged_iterator_of_a_set_is_refused(args):
    with pytest.raises(CorruptStateError, match="set"):
        _core._new_set_iterator(*args)


def test_nobody_changes_what_is_left_of_a_set():
    rest = [1, 2]
    iterator = _core._new_set_iterator({1, 2}, 2, rest)
    rest.clear()
    assert list(iterator) == [1, 2]


@pytest.mark.parametrize("args", [(), ([1], 2, 3), ({1}, 1, (1,))])
def test_reducers_and_makers_want_the_right_types(args):
    with pytest.raises(TypeError):
        _core._new_set_iterator(*args)
    with pytest.raises(TypeError):
        _core._reduce_set_iterator(iter([]))
    with pytest.raises(TypeError):
        _core._reduce_dict_iterator(iter([]))
    with pytest.raises(TypeError):
        _core._new_dict_iterator(0, [], 0, 0, 0)


def test_views_stay_with_their_dict():
    table = {1: 2}
    views = [table.keys(), table.values(), table.items()]
    loaded, others = pickle.loads(pickle.dumps((table, views)))
    loaded[3] = 4
    assert [list(view) for view in others] == [[1, 3], [2, 4], [(1, 2), (3, 4)]]
    assert [type(view) for view in others] == [type(view) for view in views]


def test_views_of_ordered_dicts_stay_with_them():
    table = collections.OrderedDict(a=1)
    views = [table.keys(), table.values(), table.items()]
    for dumps in (pickle.dumps, pickle._dumps, pickletask.dumps):
        loaded, others = pickle.loads(dumps((table, views)))
        loaded["b"] = 2
        loaded.move_to_end("a")
        assert [list(view) for view in others] == [["b", "a"], [2, 1], [("b", 2), ("a", 1)]]
        assert [type(view) for view in others] == [type(view) for view in views]


@ways
def test_weak_collections_keep_what_is_held_elsewhere(way):
    first, second = Attributes(), Attributes()
    weak = weakref.WeakKeyDictionary({first: 1, second: 2})
    loaded, kept = pickle.loads(way((weak, first)))
    assert dict(loaded) == {kept: 1}
    weak = weakref.WeakValueDictionary({1: first, 2: second}), weakref.WeakSet([first, second])
    loaded, kept = pickle.loads(way((weak, first)))
    assert dict(loaded[0]) == {1: kept} and set(loaded[1]) == {kept}


@ways
def test_iterator_goes_backwards_over_a_deque(way):
    for steps in range(5):
        items = collections.deque([1, 2, 3])
        iterator = reversed(items)
        for _ in range(steps):
            next(iterator, None)
        loaded, other = pickle.loads(way((items, iterator)))
        assert type(other) is type(iterator)
        assert list(other) == list(iterator)
        if steps < 3:
            loaded, other = pickle.loads(way((items, reversed(items))))
            loaded.append(4)
            with pytest.raises(RuntimeError, match="mutated"):
                next(other)


@functools.lru_cache
def known(x):
    return [x]


def test_cached_function_that_a_name_finds_goes_by_name():
    for dumps in (pickle.dumps, pickle._dumps, pickletask.dumps):
        assert pickle.loads(dumps(known)) is known


@pytest.mark.parametrize("code", ["value", "reference"])
def test_local_cached_function_has_an_empty_cache(code):
    factor = 2

    @functools.lru_cache(maxsize=7, typed=True)
    def local(x, y=3):
        "A text."
        return [factor * x + y]

    local.mark = lambda: factor
    assert local(1) is local(1)
    loaded = pickletask.loads(pickletask.dumps(local, code=code))
    assert loaded is not local and loaded.cache_info().currsize == 0
    assert loaded(1) == [5] and loaded(1) is loaded(1)
    assert loaded.mark() == 2 and loaded.__doc__ == "A text."
    assert loaded.cache_parameters() == {"maxsize": 7, "typed": True}
    assert loaded.__wrapped__.__defaults__ == (3,) and loaded.__qualname__ == local.__qualname__


def test_cached_function_that_calls_itself_stays_one():
    @functools.lru_cache
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    for copier in (lambda obj: pickle.loads(pickletask.dumps(obj)), copy.deepcopy):
        copied = copier(fibonacci)
        assert copied is not fibonacci and copied.__wrapped__.__closure__[0].cell_contents is copied
        assert copied(20) == 6765 and copied.cache_info().misses == 21
    assert fibonacci.cache_info().misses == 0


def test_deep_copy_of_a_cached_function_without_variables_is_the_same():
    cached = functools.lru_cache(lambda x: x)
    assert copy.deepcopy(cached) is cached and copy.deepcopy(known) is known


def dispatch():
    return cases._told(3)


def dispatch_method():
    return cases._Teller().tell(3)


def test_task_inside_of_dispatching_functions_is_saved(mode):
    """The functions that decide stand in a dict of a closure: stock pickle doesn't reach them."""
    for function in (dispatch, dispatch_method):
        expected = programs.run_to_the_end(function)
        assert len(expected) > 2
        for code in ("value", "reference"):
            dumps = functools.partial(pickletask.dumps, code=code)
            found = programs.run_and_resume(function, lambda obj, d=dumps: pickletask.loads(d(obj)))
            assert found == expected


class Derived(Attributes):
    """Has no attributes of the kind that name their class."""


class Slots:
    __slots__ = ("a",)


@pytest.mark.parametrize("cls", [Attributes, Derived, Slots, int, collections.OrderedDict])
def test_proxy_of_a_class_is_found_again(cls):
    loaded = pickle.loads(pickle.dumps(cls.__dict__))
    assert type(loaded) is types.MappingProxyType and loaded == cls.__dict__
    assert loaded["__doc__"] is cls.__dict__["__doc__"]


def test_proxies_of_other_mappings():
    for mapping in ({"__doc__": 1}, {}, collections.OrderedDict(a=1)):
        original, loaded = pickle.loads(pickle.dumps((mapping, types.MappingProxyType(mapping))))
        original["b"] = 2
        assert loaded["b"] == 2


def test_shallow_copies_have_the_functions_themselves():
    def local(x=1):
        return x

    assert copy.copy(staticmethod(local)).__func__ is local
    assert copy.copy(property(local)).fget is local
    assert list(copy.copy(map(local, [1]))) == [1]
    assert next(copy.copy(iter(local, 2))) == 1
    copied = copy.deepcopy(staticmethod(local))
    assert copied.__func__ is local


@pytest.mark.parametrize(
    "args", [("generator", "__iter__"), ("generator", "mro"), ("type", "mro"), ((), "send")]
)
def test_no_other_methods_are_loaded(args):
    assert builtin_types.method_of("coroutine", "send") is types.CoroutineType.send
    with pytest.raises(CorruptStateError, match="no method"):
        builtin_types.method_of(*args)


def square(number):
    return number * number


def test_restricted_loads_take_them():
    table, numbers = {1: 2}, collections.deque([1, 2, 3])
    backwards, cached = reversed(numbers), functools.lru_cache(5)(square)
    next(backwards)
    objects = [iter(table), iter({1}), table.items(), types.MappingProxyType(table)]
    data = pickletask.dumps([table, *objects, backwards, cached], code="reference")
    allowed = ["collections.deque", f"{__name__}.square"]
    table, keys, elements, items, proxy, backwards, cached = pickletask.loads(data, allow=allowed)
    assert (list(keys), list(elements), list(items), dict(proxy)) == ([1], [1], [(1, 2)], table)
    assert (list(backwards), cached(7), cached.cache_info().maxsize) == ([2, 1], 49, 5)
