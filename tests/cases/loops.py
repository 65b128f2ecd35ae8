"""Suspended inside loops over everything that a pickle can hold in the middle."""

import collections
import itertools

from pickletask import schedule_remove as suspend


def _collect(iterable):
    log = []
    for item in iterable:
        log.append(suspend(item))
    return log


def loop_over_a_list():
    return _collect([1, 2, 3])


def loop_over_a_list_that_grows():
    items, log = [1], []
    for item in items:
        if item < 4:
            items.append(suspend(item + 1))
        log.append(item)
    return items, log


def loop_over_a_tuple():
    return _collect((1, "b", None))


def loop_over_a_string():
    return _collect("a\u20ac\U0001f600")


def loop_over_bytes():
    return _collect(b"ab"), _collect(bytearray(b"cd"))


def loop_over_a_range():
    return _collect(range(5, -2, -3)), _collect(range(0))


def loop_over_a_range_of_big_numbers():
    return _collect(range(2**70, 2**70 + 2))


def loop_over_a_dict():
    return _collect({"a": 1, "b": 2, "c": 3})


def loop_over_items_of_a_dict():
    log = []
    for key, value in {"a": 1, "b": 2}.items():
        log.append((suspend(key), suspend(value)))
    return log


def loop_over_values_of_a_dict():
    log = []
    for value in {"a": 1, "b": 2}.values():
        log.append(suspend(value))
    return log


def loop_over_a_set():
    return _collect({1, 2, 3}), _collect(frozenset([4]))


def loop_over_enumerate():
    log = []
    for i, x in enumerate("ab", start=5):
        log.append((i, suspend(x)))
    return log


def loop_over_zip():
    log = []
    for a, b in zip([1, 2, 3], "ab", strict=False):
        log.append((a, suspend(b)))
    return log


def loop_over_a_map_of_a_builtin():
    return _collect(map(abs, [-1, 2, -3]))


def _square(x):
    return x * x


def loop_over_a_map_of_a_function():
    return _collect(map(_square, [1, 2, 3]))


def loop_over_filter_and_reversed():
    return _collect(filter(None, [0, 1, 0, 2])), _collect(reversed([1, 2, 3]))


def loop_over_a_deque():
    return _collect(collections.deque([1, 2])), _collect(collections.Counter("aab"))


def loop_over_itertools():
    return (
        _collect(itertools.chain([1], (2, 3))),
        _collect(itertools.islice(itertools.count(7), 3)),
        _collect(itertools.product("ab", [1])),
        _collect(itertools.pairwise([1, 2, 3])),
    )


class Countdown:
    """An iterator written in Python, which itself doesn't suspend."""

    def __init__(self, start):
        self.left = start

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return self.left


class Sequence:
    """Iterable by __getitem__ only."""

    def __getitem__(self, index):
        if index < 3:
            return index * 10
        raise IndexError(index)


def loop_over_an_iterator_of_a_class():
    return _collect(Countdown(3)), _collect(Sequence())


def loop_over_a_callable_until_a_sentinel():
    return _collect(iter(Countdown(4).__next__, 1))


def nest_loops():
    log = []
    for i in range(3):
        for j in (1, 2):
            for k in "xy":
                if j == 2 and k == "x":
                    continue
                if i == 2:
                    break
                log.append(suspend((i, j, k)))
    return log


def leave_loops_early():
    log = []
    for i in range(5):
        if suspend(i) == 1:
            continue
        if i == 3:
            log.append("broke")
            break
        log.append(i)
    else:
        log.append("never")
    for i in []:
        log.append(i)
    else:
        log.append(suspend("else"))
    return log


def return_from_nested_loops():
    for i in range(3):
        for j in range(3):
            if suspend(i * j) == 2:
                return i, j


def loop_while():
    n, log = 0, []
    while n < 3:
        n += suspend(1)
        if n == 2:
            continue
        log.append(n)
    else:
        log.append(suspend("else"))
    return log


def loop_while_the_condition_suspends():
    n = 0
    while suspend(n) < 3:
        n += 1
    else:
        n = suspend("done"), n
    return n


def loop_while_true():
    n = 0
    while True:
        n += 1
        if suspend(n) > 2:
            break
    else:
        return "never"
    return n


def loop_with_the_iterable_suspending():
    log = []
    for x in suspend([1, suspend(2)]):
        log.append(x)
    return log


def unpack_in_a_loop():
    log = []
    for a, (b, *c) in [(1, (2, 3, 4)), (5, (6,))]:
        log.append((a, b, c, suspend(a)))
    return log


def assign_to_an_item_in_a_loop():
    items = {}
    for items[suspend("key")] in range(2):
        suspend(dict(items))
    return items


def share_one_iterator_between_loops():
    log, it = [], iter([1, 2, 3, 4])
    for x in it:
        log.append(("outer", suspend(x)))
        for y in it:
            log.append(("inner", suspend(y)))
            break
    return log


def loop_in_a_callee_and_a_caller():
    log = []
    for x in range(2):
        log.append((x, _collect(zip(range(2), "ab", strict=True)), suspend(x)))
    return log


def go_over_a_variable():
    log, items = [], [1, 2, 3]
    for item in items:
        items.append(suspend(item)) if len(items) < 6 else None
        log.append(item)
    return log, items


def replace_the_variable_that_is_gone_over():
    log, items = [], (1, 2, 3)
    for item in items:
        items = suspend([item])
        log.append(items)
    return log, items


def keep_the_iterator_of_a_loop():
    log, items = [], [1, 2, 3, 4, 5]
    it = iter(items)
    for item in it:
        log.append((suspend(item), next(it, None), it.__length_hint__()))
    return log


def hand_an_iterator_to_a_callee():
    log = []
    for item in (it := iter((1, 2, 3, 4))):
        log.append((suspend(item), _take_one(it)))
    return log


def _take_one(it):
    for item in it:
        return suspend(item)


def pass_a_list_twice():
    items = [1]
    return _gather(items, suspend("first"), items, *_gather(items, suspend("second")))


def _gather(items, *others):
    items.append(others[-1])
    return suspend([items, *others, items is others[1] if len(others) > 1 else None])


class _Items(list):
    pass


def loop_over_a_subclass_of_list():
    items, log = _Items([1, 2, 3]), []
    for item in items:
        log.append(suspend(item))
    for item in _Items(log):
        log.append(suspend(item))
    return log


def loop_over_ranges_of_all_kinds():
    log = []
    for numbers in range(0), range(5, -5, -3), range(-(2**62), 2**62, 2**61), range(1, 2, 9):
        for number in numbers:
            log.append(suspend(number))
    return log


def loop_over_a_list_in_a_cell():
    items = [1, 2]

    def add():
        items.append(suspend(len(items)))

    for item in items:
        if item < 4:
            add()
    return items
