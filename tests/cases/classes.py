"""Classes that are being made, and classes that are called through others."""

import enum
import functools
import typing

from pickletask import schedule_remove as suspend

# ---- metaclasses ----------------------------------------------------------


class Making(type):
    """Suspends before a class is there."""

    def __new__(meta, name, bases, names, **keywords):
        names["marked"] = suspend(name), keywords
        return super().__new__(meta, name, bases, names)


class Choosing(type):
    """Makes what it was asked for, or something else."""

    def __new__(meta, name, bases, names, made=None):
        suspend(name)
        names.pop("__classcell__", None) if made == "cellless" else None
        return type.__new__(meta, name, bases, names) if made is None else made


def make_classes_by_a_metaclass():
    log = []
    for n in range(suspend(2)):

        class First(metaclass=Making):
            x = n

            def method(self):
                return __class__.__name__

        log.append((First.__name__, First.marked, First.x, First().method()))
        del First

        class Second(dict, metaclass=Making, key=n, other=2):
            x = [n, suspend(3)]

        log.append((Second.__mro__[1:], Second.marked, Second.x))
        del Second
    named = "Fourth", ()
    return log, [Making("Third", (), {}).marked, Making(*named, names={}).marked]


def make_something_else_by_a_metaclass():
    log = []
    for made in (5, "cellless", int):
        try:

            class Other(metaclass=Choosing, made=made):
                def method(self):
                    return __class__

            log.append(repr(Other))
        except (TypeError, RuntimeError) as error:
            log.append((type(error).__name__, str(error).split(" at 0x")[0]))
    return log


def _keep(cls):
    """Lets pickle find the class by its name."""
    cls.__qualname__ = cls.__name__
    globals()[cls.__name__] = cls


class Completing(type):
    """Suspends when the class is there."""

    def __init__(cls, name, bases, names, wrong=None):
        _keep(cls)
        super().__init__(name, bases, names)
        # Since 3.14 it may hold what can't be pickled.
        del names
        cls.marked = suspend(name)
        return wrong

    def __new__(meta, name, bases, names, wrong=None):
        return super().__new__(meta, name, bases, names)


def complete_classes_by_a_metaclass():
    class Completed(metaclass=Completing):
        x = suspend(1)

        def method(self):
            return __class__.__name__

    log = [Completed.marked, Completed().method()]
    try:

        class Wrong(metaclass=Completing, wrong=5):
            pass

    except TypeError as error:
        log.append(str(error))
    return log, Completing("Called", (), {}).marked


T = typing.TypeVar("T")


class Named(typing.NamedTuple):
    first: int = 1


def derive_from_what_is_no_class():
    log = []

    class One(list[int]):
        x = suspend(1)

        def method(self):
            return __class__.__name__

    log += [One.__bases__, One.__orig_bases__, One.x, One([8]).method(), One([9])[0]]
    del One

    class Two(typing.Generic[T], dict, metaclass=Making, key=suspend(2)):
        x = suspend(3)

    log += [Two.__bases__, Two.__orig_bases__, Two.__parameters__, Two.marked, Two.x]
    del Two

    class Three(typing.NamedTuple):
        first: int = suspend(4)
        second: typing.Any = suspend(5)

    log += [Three._fields, tuple(Three(9)), Three.__orig_bases__ == (typing.NamedTuple,)]
    del Three

    class Four(Named):
        x = suspend(6)

    log += [Four(7).first, Four.x, Four.__bases__]
    del Four

    class Five(typing.Protocol[T]):
        x: T = suspend(7)

        def method(self) -> T: ...

    log += [Five.x, Five.__bases__, Five.__orig_bases__]
    del Five
    return log


def fail_to_derive_from_what_is_no_class():
    log = []
    for base in (typing.NamedTuple, typing.Generic[T], typing.Any):
        try:

            class Wrong(bool, base):
                x = suspend(1)

        except TypeError as error:
            log.append(str(error))
    return log


class Hooked:
    def __init_subclass__(cls, /, key=0, **keywords):
        if key is None:
            return
        _keep(cls)
        suspend(key)
        super().__init_subclass__(**keywords)
        cls.key = suspend((key, keywords))
        return "ignored"


class Hooking(Hooked, key=None):
    def __init_subclass__(cls, /, first=None, **keywords):
        super().__init_subclass__(**keywords)
        cls.first = suspend(first)


class Quiet(type):
    """Adds nothing."""


class Calling(type):
    """Makes classes by itself."""

    def __new__(meta, name, bases, names, **keywords):
        if keywords:
            made = super().__new__(meta, name, bases, names, **keywords)
        else:
            arguments = meta, name, bases, names
            made = type.__new__(*arguments)
        made.by = suspend("made")
        return made


def derive_classes():
    class One(Hooked):
        pass

    class Two(Hooking, key=1, first=suspend(2)):
        x = suspend(3)

        def method(self):
            return super().__init__, __class__.__name__

    class Three(One, metaclass=Quiet, key=4):
        pass

    class Four(Hooked, metaclass=Calling):
        pass

    class Five(Hooking, metaclass=Calling, key=5):
        pass

    log = [(c.__name__, c.key) for c in (One, Two, Three, Four, Five)]
    more = [type("Six", (Hooked,), {}), type("Seven", (Hooked,), {}, key=6)]
    more += [Quiet("Eight", (Hooking,), {}, key=7), Calling("Nine", (Hooked,), {}, key=8)]
    return log, [c.key for c in more], Two.first, Two().method()[1], Four.by, Five.by


def fail_to_derive_classes():
    log = []
    for key in (1, 2):
        try:
            if key == 1:

                class Wrong(Hooked, other=1):
                    pass

            else:
                type("Wrong", (Hooked,), {}, key=2, other=3)
        except TypeError as error:
            log.append(str(error))
    return log


for _case in (
    make_classes_by_a_metaclass,
    make_something_else_by_a_metaclass,
    complete_classes_by_a_metaclass,
    derive_classes,
):
    # Their namespaces hold functions.
    _case.own_pickler = True
for _case in (complete_classes_by_a_metaclass, derive_classes, fail_to_derive_classes):
    # The class that is being made is there in this process alone.
    _case.stays_in_its_process = True


# ---- namespaces -----------------------------------------------------------


def define_an_enum():
    class Color(enum.Enum):
        RED = suspend(1)
        GREEN = enum.auto()
        BLUE = suspend([3])
        _ignore_ = ["n"]
        n = suspend(4)

        @property
        def more(self):
            return self.value

        YELLOW = suspend("y")

    return [(color.name, color.value, color.more) for color in Color], hasattr(Color, "n")


define_an_enum.own_pickler = True


def define_flags():
    class Flags(enum.IntFlag, boundary=enum.KEEP):
        A = suspend(1)
        B = enum.auto()
        C = A | suspend(4)

    return [(flag.name, flag.value) for flag in Flags], Flags(7).value


def define_an_enum_twice():
    try:

        class Twice(enum.Enum):
            ONE = suspend(1)
            ONE = 2

    except TypeError as error:
        return repr(error)


class Noting(dict):
    """Suspends when it gets a name."""

    def __setitem__(self, name, value):
        if not name.startswith("__"):
            value = suspend(value), len(self) > 3
        elif name == "__refused__":
            raise NameError(suspend(name))
        dict.__setitem__(self, name, value)

    def __reduce__(self):
        return _note, (list(self.items()),)


def _note(items):
    noting = Noting()
    dict.update(noting, items)
    return noting


class Noted(type):
    @classmethod
    def __prepare__(meta, name, bases):
        return Noting()

    def __new__(meta, name, bases, names):
        return names


def define_in_a_namespace_that_suspends():
    class Space(metaclass=Noted):
        a = 1
        a += suspend(2) if isinstance(a, int) else ()
        for b in ("x", "y"):
            c = (
                b,
                suspend(3),
            )
        with _Manager() as d:
            e = d
        try:
            __refused__ = 1
        except NameError as error:
            f = repr(error), error.__traceback__.tb_lineno > 100

    return sorted((key, repr(value)) for key, value in Space.items() if key[0] != "_")


class _Manager:
    def __enter__(self):
        return suspend("entered")

    def __exit__(self, *error):
        suspend("left")


def execute_in_a_namespace_that_suspends():
    space, globals_ = Noting(), {"suspend": suspend}
    exec("x = suspend(1)\ny = x, [suspend(n) for n in (2, 3)]", globals_, space)
    return sorted(space.items())


# ---- calls through others -------------------------------------------------


class Single(type):
    """Makes one object only."""

    made = None

    def __call__(cls, *args, **kwargs):
        suspend("called")
        if cls.made is None:
            cls.made = super().__call__(*args, **kwargs)
        return cls.made


class Simple(metaclass=Single):
    def __init__(self, x, y=0):
        self.x = suspend(x), y


class Renewed(metaclass=Single):
    def __new__(cls, x=None, y=0):
        # Pickle makes it without.
        if x is not None:
            suspend(x)
        return super().__new__(cls)

    def __init__(self, x, y=0):
        self.x = suspend((x, y))


def call_singletons():
    Simple.made = Renewed.made = None
    log = [Simple(1).x, Simple(2).x, Renewed(3, y=4).x, Renewed(5).x]
    Simple.made = Renewed.made = None
    return log


class Point:
    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self.made = suspend((args, kwargs))
        return self

    def __init__(self, *args, **kwargs):
        self.inited = suspend(len(args))

    def __reduce__(self):
        return _point, (), vars(self)


def _point():
    return object.__new__(Point)


call_singletons.stays_in_its_process = True


def call_with_stars():
    none, some, named = (), (1, 2), {"k": suspend(3)}
    points = [Point(*none), Point(*some), Point(*some, **named), Point(**named)]
    given = Point, 3
    points.append(type.__call__(*given))
    points.append(type.__call__(Point, 1, k=2))
    return [(point.made, point.inited) for point in points], named


def call_with_what_it_was_given():
    def forward(*args, **kwargs):
        return Point(*args, **kwargs)

    points = forward(), forward(1, k=2), functools.partial(forward, 3)(4)
    return [(point.made, point.inited) for point in points]
