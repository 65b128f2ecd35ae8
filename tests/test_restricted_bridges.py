"""Restricted loads of tasks below C code: honest ones go on, those that abuse a bridge are refused.

A pickle that somebody has forged can have a frame of a bridge wherever it could wait, with any
local variables; what runs inside of it can return what no pickle could name.
"""

import dis
import io
import pickle
import types

import programs
import pytest
from programs import begin

import pickletask
from pickletask import CorruptStateError, _bridges, _core, allowing, schedule_remove

# As in test_pickling.py.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HERE = __name__
CASES = [
    case
    for case in programs.cases("tasks")
    # Code of exec() has no reference.
    if "execute" not in case
]


@pytest.mark.parametrize("case", CASES)
def test_honest_task_resumes(case):
    def copy(pair):
        data = pickletask.dumps(pair, code="reference")
        # The cases use what is dangerous, such as getattr(). Of bridges there are no other names.
        return pickletask.loads(data, allow=lambda module, name: not is_ours(module))

    function = programs.find(case)
    assert programs.run_and_resume(function, copy) == programs.reference(function)


def is_ours(module):
    return module == "pickletask._bridges"


class Box:
    """Suspends where CPython's C code calls it."""

    def __add__(self, other):
        schedule_remove()
        return NotImplemented

    def __radd__(self, other):
        return schedule_remove(other)

    def __lt__(self, other):
        schedule_remove()
        return NotImplemented

    def __repr__(self):
        return schedule_remove("box")

    def __getattr__(self, name):
        return name

    @property
    def hidden(self):
        schedule_remove()
        raise AttributeError("hidden")


class Other(Box):
    """Another class, so that reflected methods are asked."""


class Made:
    def __new__(cls, *args):
        schedule_remove()
        return super().__new__(cls)

    def __init__(self, value=0):
        self.value = value


def make():
    return Made(3).value


def add(left):
    return left + Other()


def compare(left):
    return left < 1


def represent(left):
    return repr(left)


def read(left):
    return left.hidden


def fetch(left):
    return getattr(left, "hidden")  # noqa: B009


def ask(left):
    return hasattr(left, "hidden")


def define():
    class Made:
        value = schedule_remove()

    return Made.__name__


NAMES = [f"{HERE}.*"]


@pytest.mark.parametrize(
    "function, args",
    [(make, ()), (define, ())]
    + [(function, (Box,)) for function in (add, compare, represent, read, fetch, ask)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_honest_task_needs_no_more_names(function, args, mode):
    """It is resumed everywhere, and raises or returns what the original does."""
    task = begin(function, *[kind() for kind in args])
    while task.alive:
        task = pickletask.loads(pickletask.dumps(task, code="reference"), allow=NAMES)
        if not args:
            task.run()
            continue
        try:
            task.run()
        except TypeError as error:
            assert function is compare
            assert "not supported between instances of 'Box' and 'int'" in str(error)


# ---- forging --------------------------------------------------------------


class Forged:
    """A task with this state, as a pickle has it."""

    def __init__(self, *state):
        self.state = state

    def __setstate__(self, state):
        self.state = state

    def __reduce__(self):
        return pickletask._t, (), self.state


class ForgedGenerator:
    """A generator of this function that waits for its frame, as a pickle has it."""

    def __init__(self, function):
        self.function = function

    def __reduce__(self):
        return _core._new_generator, ((self.function, _core._digest(self.function.__code__)),)


class Reader(pickle.Unpickler):
    """Reads states in place of tasks."""

    def find_class(self, module, name):
        return Forged if name == "_t" else super().find_class(module, name)


def changed(task, bridge, place, value):
    """The pickle of the task, with another value for a parameter of the bridge."""
    header, *items = Reader(io.BytesIO(pickletask.dumps(task, code="reference"))).load().state
    items[items.index(bridge) + 1 + place] = value
    return pickle.dumps(Forged(header, *items))


def refuse(data, words):
    with pytest.raises(CorruptStateError, match=words):
        pickletask.loads(data, allow=NAMES)


# ---- parameters -----------------------------------------------------------


@pytest.mark.parametrize("name", ["__getattribute__", "__class__", "__reduce_ex__", "hidden"])
def test_operator_calls_its_own_methods_only(name):
    for function, bridge in (add, _bridges.operation), (compare, _bridges.comparison):
        attempts = ((Other(), "value", name),)
        data = changed(begin(function, Box()), bridge, 3, attempts)
        task = pickletask.loads(data, allow=NAMES)
        with pytest.raises(CorruptStateError, match="names .* which it never does"):
            task.run()


@pytest.mark.parametrize("place, value", [(0, "getattr"), (0, "eval"), (1, "__del__"), (1, "x")])
def test_conversion_calls_what_its_table_has(place, value):
    data = changed(begin(represent, Box()), _bridges.conversion, place, value)
    task = pickletask.loads(data, allow=NAMES)
    with pytest.raises(CorruptStateError, match="names .* which it never does"):
        task.run()


@pytest.mark.parametrize("kind", [object, Box, Exception, int, "Made"])
def test_init_follows_new_of_its_class_only(kind):
    refuse(changed(begin(make), _bridges.new, 0, kind), "stands for C code that isn't there")


@pytest.mark.parametrize("name", ["value", "__dict__", "__class__", 5])
def test_attribute_is_the_one_that_is_read(name):
    refuse(changed(begin(read, Box()), _bridges.attribute, 1, name), "C code that isn't there")


def test_getattr_and_hasattr_are_called_by_those_who_name_them():
    for function, bridge in (fetch, _bridges.fetched), (ask, _bridges.found):
        header, *items = (
            Reader(io.BytesIO(pickletask.dumps(begin(function, Box()), code="reference")))
            .load()
            .state
        )
        assert bridge in items
        # The same frame, called by a function that calls neither.
        at = header.rindex(_core._digest(function.__code__)[1:12]) - 1
        header = header[:at] + frame(outermost, waiting(outermost), ())
        items = items[: items.index(function)]
        refuse(pickle.dumps(Forged(header, *items, outermost)), "C code that isn't there")


def test_class_is_made_of_its_own_body_only():
    for namespace in ({}, {"value": 1}):
        data = changed(begin(define), _bridges.build_class, 2, namespace)
        refuse(data, "C code that isn't there")
    # What waits is no body of a class.
    pc = waiting(_bridges.build_class)
    empty = [NULL] * (len(dict(points(_bridges.build_class))[pc]) - 4)
    parts = [
        (outermost, waiting(outermost), ()),
        (_bridges.build_class, pc, ["Name", (), {}, {}, *empty]),
        (give, waiting(give), (1,)),
    ]
    refuse(forged(parts), "C code that isn't there")


# ---- functions ------------------------------------------------------------


class Evil:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("name", sorted(allowing._OURS["pickletask._bridges"]) + ["_double"])
def test_functions_of_bridges_cannot_be_called(name):
    function = getattr(_bridges, name)
    count = function.__code__.co_argcount
    reference = (function, _core._digest(function.__code__))
    for evil in (
        Evil(function, (None,) * count),
        Evil(list, (Evil(map, (Evil(_core._load_referred_function, reference), [None])),)),
        Evil(list, (Evil(map, (Evil(_core._new_referred_function, reference), [None])),)),
    ):
        with pytest.raises(TypeError, match="not callable"):
            pickletask.loads(pickle.dumps(evil), allow=lambda module, name: True)


def test_functions_of_bridges_cannot_be_changed():
    before = _bridges.init.__defaults__
    for state in ({"__defaults__": (1,)}, {"__dict__": {}}, {"__qualname__": "count"}):
        data = pickle.dumps(Evil(_core._set_function, (_bridges.init, state)))
        with pytest.raises(CorruptStateError, match="one of pickletask's own functions"):
            pickletask.loads(data, allow=NAMES)
    # What BUILD would set, in a state of slots and in one of a __dict__.
    for state in b"N}\x8c\x04nameK\x05s\x86", b"}\x8c\x04nameK\x05s":
        data = b"\x80\x04cpickletask._bridges\ninit\n" + state + b"b."
        with pytest.raises((AttributeError, TypeError)):
            pickletask.loads(data, allow=NAMES)
    assert not vars(_bridges.init)
    assert _bridges.init.__defaults__ is before


# ---- places ---------------------------------------------------------------


def number(value):
    """As the bytes of a state have it."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def frame(function, pc, values):
    """A frame by reference in bytes; values are NULL for what is empty."""
    empty = sum(1 << place for place, value in enumerate(values) if value is NULL)
    flags = 1 | (4 if function.__code__.co_flags & 0x20 else 0)
    digest = _core._digest(function.__code__)[1:12]
    return bytes([flags]) + digest + number(pc) + number(empty | 1 << len(values))


NULL = object()


def forged(parts):
    """The pickle of a task with these frames, outermost first: function, pc and values of each."""
    task = begin(outermost)
    header = task.__reduce_ex__(4)[2][0][:2]
    items = []
    for function, pc, values in reversed(parts):
        header += frame(function, pc, values)
        items.append(function)
        if function.__code__.co_flags & 0x20:
            items.append(ForgedGenerator(function))
        items += [value for value in values if value is not NULL]
    return pickle.dumps(Forged(header, *items))


def points(function):
    """The places where a frame of the function could wait: pc, and kinds of its slots."""
    for pc, (_, _, _, kept, kinds) in _core._analysis(function.__code__).items():
        if kept is not None:
            yield pc, kinds


def waiting(function):
    """Where the frame waits for its first call, which is that of _pending() in a bridge."""
    rows = _core._analysis(function.__code__)
    return min(pc for pc, _ in points(function) if rows[pc][0] == dis.opmap["CALL"])


def filled(kinds, value):
    """Values that are accepted for slots of these kinds: VALUE where anything is."""
    some = {4: types.CellType(), 8: [], 16: {}, 32: set(), 64: (), 128: iter([]), 256: ValueError()}
    for bits in kinds:
        if bits & 2:
            yield value
        elif bits & 1:
            yield NULL
        else:
            yield next((some[bit] for bit in some if bits & bit), 0)


class Spy:
    """Tells what it is asked for."""

    seen = []

    def __call__(self, *args, **kwargs):
        Spy.seen.append("called")
        return self

    def __getattribute__(self, name):
        Spy.seen.append(name)
        return object.__getattribute__(self, name)


def give(value):
    schedule_remove()
    return value


def outermost():
    return schedule_remove()


OWN = [f for f in vars(_bridges).values() if isinstance(f, types.FunctionType)]


@pytest.mark.parametrize("function", OWN, ids=lambda function: function.__name__)
def test_functions_of_bridges_do_not_call_what_they_get(function):
    """Nowhere in them can what came from elsewhere take the place of what they look up."""
    accepted = 0
    for pc, kinds in points(function):
        for local in 3, (), (Box(), Box(), "__add__"), ((Box(), Box(), "value"),):
            parts = [
                (outermost, waiting(outermost), ()),
                (function, pc, list(filled(kinds, local))),
                (give, waiting(give), (Spy(),)),
            ]
            data = forged(parts)
            try:
                task = pickletask.loads(data, allow=lambda module, name: True)
            except CorruptStateError:
                continue
            accepted += 1
            Spy.seen.clear()
            try:
                while task.alive:
                    task.run()
            except Exception as error:
                assert not isinstance(error, SystemError), error
            assert {"__class__", "__repr__"} >= set(Spy.seen), (pc, local)
    if function not in (_bridges.run_in_context, _bridges.new):
        # These need a context and a class.
        assert accepted or function.__name__ not in allowing._OURS["pickletask._bridges"]
