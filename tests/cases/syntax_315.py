"""What only Python 3.15 and later can compile: as text, for tools that know 3.11 only."""

import sys

from pickletask import schedule_remove as suspend

SOURCE = r"""
lazy import json
lazy from collections import OrderedDict as Ordered


def use_a_lazy_import():
    text = json.dumps([suspend(1)])
    return suspend(text), json.loads(text), list(Ordered(a=suspend(2)))


def unpack_in_comprehensions():
    nested = [[1], [], [2, 3]]
    return (
        [*suspend(x) for x in nested],
        sorted({*suspend(x) for x in nested}),
        {**suspend(x) for x in [{"a": 1}, {}, {"b": 2}]},
        [*[*suspend([y]) for y in x] for x in nested],
    )


def unpack_in_a_generator():
    def inner(nested):
        found = yield from (*suspend(x) for x in nested)
        return found

    return [suspend(x) for x in (*suspend(y) for y in [[1], (2, 3), "z"])], [
        suspend(x) for x in inner([[1], [2]])
    ]


def hold_an_iterator_of_list_and_set():
    def pause(x):
        return suspend(x)

    return list(pause(x) for x in [1, 2]), sorted(set(pause(x) for x in "ab")), suspend("end")


def hold_indexes_of_sequences():
    log = []
    for a in [1, 2]:
        for b in (3, 4):
            for c in "xy":
                for d in b"\1\2":
                    log.append(suspend((a, b, c, d)))
                    if d == 1:
                        break
    return log


def change_a_list_in_its_loop():
    items, log = [1, 2, 3], []
    for x in items:
        log.append(suspend(x))
        if x == 2 and len(items) < 4:
            items.insert(0, suspend("again"))
            items.append(4)
        if x == 3:
            del items[1:3]
    return log, items


def delegate_to_sequences():
    def inner():
        got = yield from [1, 2]
        suspend(got)
        got = yield from "ab"
        yield from (suspend(x) for x in (3, 4))
        return got

    return [suspend(x) for x in inner()]


def keep_a_frozendict():
    table = frozendict(a=suspend(1))
    return suspend(table["a"]), {**table, "b": suspend(2)}, hash(table) == hash(frozendict(a=1))
"""

if sys.version_info >= (3, 15):
    exec(SOURCE)

assert suspend
