"""Suspended while variables and the stack hold objects of types that pickle knows little of."""

import collections
import functools
import types

from pickletask import schedule_remove as suspend


class Point:
    """Has methods of several kinds."""

    size = 3

    def __init__(self, x):
        self.x = x

    def method(self, y):
        return self.x, y

    @classmethod
    def of_class(cls, y):
        return cls.__name__, y

    def __len__(self):
        return self.size


class Point3(Point):
    def method(self, y):
        parent = super()
        suspend("super")
        return parent.method(y), parent.__len__()

    def through_super(self, y):
        method = super().method
        suspend("method of super")
        return method(y)


def call_methods():
    point, items = Point(1), [1, 2]
    methods = [point.method, Point.of_class, items.count, (5).__add__, point.__len__, "-".join]
    bound, builtin, wrapper = point.method, items.count, point.__len__
    suspend("methods")
    log = [builtin(suspend(2)), bound(suspend(3)), methods[2](7)]
    return log, bound.__self__ is point, wrapper(), methods[3](4), methods[1](0), methods[5]("ab")


def call_the_super_class():
    return Point3(2).method(5), Point3(3).through_super(6)


def look_through_views_of_ordered_dicts():
    table = collections.OrderedDict(a=1, b=2)
    keys, values, items = table.keys(), table.values(), table.items()
    suspend("views")
    table["c"] = suspend(3)
    table.move_to_end("a")
    return list(reversed(keys)), list(values), list(items), type(keys).__name__


def go_backwards_over_a_deque():
    items = collections.deque([1, 2, 3, 4])
    iterator = reversed(items)
    next(iterator)
    suspend("backwards")
    return [suspend(item) for item in iterator]


def keep_a_local_cached_function():
    @functools.lru_cache(maxsize=5, typed=True)
    def double(x):
        "Twice."
        calls.append(suspend(x))
        return 2 * x

    calls, double.mark = [], "mark"
    log = [double(suspend(1)), double(2), double(3)]
    return log, calls, double.mark, double.__doc__, double.cache_parameters(), double.__name__


@functools.singledispatch
def _told(x):
    return suspend("something")


@_told.register
def _(x: int):
    return suspend("number"), _told(str(x))


class _Teller:
    @functools.singledispatchmethod
    def tell(self, x):
        return suspend(x)

    @tell.register
    def _(self, x: int):
        return self.tell(str(suspend(x)))


def look_through_views():
    table = {1: "a", 2: "b"}
    keys, values, items = table.keys(), table.values(), table.items()
    suspend("views")
    table[3] = "c"
    suspend("changed")
    return list(keys), list(values), list(items), keys & {3, 4}, 3 in keys, keys.mapping == table


def look_through_a_proxy():
    table = {1: "a"}
    proxy, of_class = types.MappingProxyType(table), Point.__dict__
    suspend("proxy")
    table[2] = "b"
    return dict(proxy), of_class["size"], of_class["method"] is Point.method


def hold_descriptors():
    def get(self):
        return self.x

    prop, static, of_class = property(get), staticmethod(get), classmethod(lambda cls: cls.size)
    suspend("descriptors")
    return prop.__get__(Point(4)), static(Point(5)), of_class.__get__(None, Point)()


def hold_a_namespace():
    space = types.SimpleNamespace(a=1, b=[2])
    space.me = space
    suspend("namespace")
    space.b.append(suspend(3))
    return space.a, space.b, space.me is space


@types.coroutine
def _pause(value):
    return (yield value)


def step_through_a_coroutine_wrapper():
    async def work(n):
        got = await _pause(n)
        return got + await _pause(n + 1)

    log = []
    wrapper = work(10).__await__()
    try:
        log.append(next(wrapper))
        suspend("waiting")
        log.append(wrapper.send(1))
        suspend("again")
        wrapper.send(2)
    except StopIteration as stop:
        log.append(stop.value)
    return log


# ---- iterators --------------------------------------------------------------


def loop_over_a_dict_that_changes():
    table, log = {1: "a", 2: "b", 3: "c"}, []
    try:
        for key in table:
            log.append(key)
            suspend(key)
            if key == 2:
                table[4] = "d"
    except RuntimeError as error:
        log.append(str(error))
    return log


def change_the_values_of_a_dict_on_the_way():
    table, log = {1: "a", 2: "b", 3: "c"}, []
    for key, value in table.items():
        log.append((key, value))
        table[3] = suspend("changed")
    return log, table


def loop_over_a_dict_with_gaps():
    table, log = {number: str(number) for number in range(9)}, []
    for number in (0, 3, 4, 8):
        del table[number]
    for key, value in zip(table, table.values(), strict=True):
        log.append((key, value, suspend(key)))
    for key in reversed(table):
        log.append(suspend(key))
    for item in reversed(table.items()):
        log.append(suspend(item))
    return log


def loop_over_a_dict_that_holds_the_loop():
    table, log = {1: "a", 2: "b"}, []
    table["iterator"] = iterator = iter(table.values())
    table[2] = "c"
    suspend("before")
    for value in iterator:
        log.append(value if isinstance(value, str) else value is iterator)
        suspend("in the loop")
    return log


def loop_over_the_attributes_of_an_object():
    point, log = Point(1), []
    point.y, point.z = 2, 3
    for name in vars(point):
        log.append((name, suspend(name)))
    return log


def loop_over_a_set_that_changes():
    numbers, log = {1, 2, 3}, []
    try:
        for number in numbers:
            log.append(number)
            suspend(number)
            if number == 2:
                numbers.add(4)
    except RuntimeError as error:
        log.append(str(error))
    return log


def loop_over_sets():
    log = []
    for number in {1, 2, 3}:
        for other in frozenset([4, 5]):
            log.append((number, suspend(other)))
    iterator = iter({1, 2})
    log.append((next(iterator), suspend("one"), list(iterator), suspend("none"), list(iterator)))
    return log


def hold_iterators_that_have_ended():
    table = {1: 2}
    ended = [iter(table), iter(table.values()), reversed(table.items()), iter({1})]
    for iterator in ended:
        list(iterator)
    suspend("ended")
    table[3] = 4
    return [list(iterator) for iterator in ended]


def call_until_a_sentinel_comes():
    count = 0

    def bump():
        nonlocal count
        count += 1
        return count

    log = []
    for number in iter(bump, 4):
        log.append((number, suspend(count)))
    return log


def combine_iterators():
    def inner():
        yield from (1, 2, 3)

    factor, log = 10, []
    scaled = map(lambda x: x * factor, inner())
    chosen = filter(lambda x: x != 20, scaled)
    for number, (value, other) in enumerate(zip(chosen, reversed("abc"))):  # noqa: B905
        log.append((number, value, other))
        factor = suspend(100)
    return log
