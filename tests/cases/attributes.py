"""Attributes and items that methods read, set and delete, and builtin functions for that."""

import types

from pickletask import schedule_remove as suspend

# ---- setting and deleting -------------------------------------------------


class Guarded:
    """Suspends before it keeps an attribute or an item."""

    def __init__(self):
        object.__setattr__(self, "log", [])

    def __setattr__(self, name, value):
        self.log.append((name, suspend(value)))
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        self.log.append(suspend(name))
        object.__delattr__(self, name)

    def __getitem__(self, key):
        return suspend(key)

    def __setitem__(self, key, value):
        self.log.append((suspend(key), value))

    def __delitem__(self, key):
        self.log.append(suspend(key))


def set_attributes():
    guarded = Guarded()
    guarded.x = 1
    guarded.x += suspend(2)
    guarded.y = guarded.z = [suspend(3)]
    guarded.u, guarded.v = 4, 5
    del guarded.x, guarded.u
    for guarded.w in range(2):
        guarded.log.append(guarded.w)
    return guarded.log, sorted(vars(guarded))


def set_items():
    guarded = Guarded()
    guarded[0] = 1
    guarded["x"] += 2
    guarded["y"] *= suspend(3)
    guarded[1:2] = 4
    guarded[1:2:3], guarded[...] = 5, 6
    guarded[suspend(1) : suspend(2)] += _Addable()
    del guarded[0], guarded[1:]
    return guarded.log


class _Addable:
    def __radd__(self, other):
        return suspend(repr(other))

    def __repr__(self):
        return "addable"


def set_with_more_on_the_stack():
    guarded = Guarded()
    log = []
    with Manager(log) as manager:
        for guarded.x in [1, 2]:
            for guarded.y in (i for i in range(2)):
                manager[guarded.x] = guarded.y
                log.append([guarded.x, (manager.step, guarded.y)])
    return log, guarded.log


class Manager:
    def __init__(self, log):
        self.__dict__["log"] = log

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.left = True

    def __setattr__(self, name, value):
        self.log.append(suspend((name, value)))

    def __setitem__(self, key, value):
        self.step = suspend(key), value

    step = 0


def _wide_source():
    """A function with so many names that instructions need EXTENDED_ARG."""
    lines = ["def wide(few, many):"]
    lines += [f"    few.a{i} = {i}" for i in range(300)]
    lines += ["    many.b = 1", "    many.c += 2", "    x = many.d(few.a0), many.prop"]
    lines += ["    del many.b"]
    return "\n".join([*lines, "    return x, many.log"])


class Many(Guarded):
    c = 0

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return suspend(abs)

    @property
    def prop(self):
        return suspend("prop")


def use_attributes_beyond_many_names():
    return wide(types.SimpleNamespace(), Many())  # noqa: F821


exec(_wide_source())


class Descriptor:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, obj, owner):
        if obj is None:
            return suspend(owner.__name__)
        return suspend(obj.__dict__.get(self.name))

    def __set__(self, obj, value):
        value = suspend(value)
        obj.__dict__[self.name] = value

    def __delete__(self, obj):
        suspend(self.name)
        del obj.__dict__[self.name]


class Described:
    one = Descriptor()

    @property
    def two(self):
        return suspend(self._two)

    @two.setter
    def two(self, value):
        self._two = suspend(value)

    @two.deleter
    def two(self):
        suspend("deleted")
        del self._two


def use_descriptors():
    described = Described()
    described.one = 1
    described.two = described.one + 1
    described.one += described.two
    described.two -= suspend(5)
    result = described.one, described.two, Described.one
    del described.one
    del described.two
    return result, vars(described)


class _Meta(type):
    @property
    def made(cls):
        return suspend(cls.__name__)

    @made.setter
    def made(cls, value):
        suspend(value)

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return suspend(name)

    def __setattr__(cls, name, value):
        suspend((name, value))
        super().__setattr__(name, value)

    def __delattr__(cls, name):
        type.__delattr__(cls, suspend(name))

    def __getitem__(cls, key):
        return suspend(key)

    def __contains__(cls, item):
        return suspend(item) > 1


class _Made(metaclass=_Meta):
    pass


def use_attributes_of_classes():
    _Made.x = 1
    _Made.x += 1
    result = _Made.x, _Made.y, _Made.made, _Made[3], 4 in _Made, 1 in _Made
    _Made.made = 5
    del _Made.x
    return result, _Made.x


use_attributes_of_classes.stays_in_its_process = True


class Refusing:
    """Fails when it is changed."""

    def __setattr__(self, name, value):
        raise AttributeError(suspend(name))

    def __delattr__(self, name):
        suspend(name)
        raise KeyError(name)

    def __setitem__(self, key, value):
        try:
            suspend(key)
        finally:
            raise ValueError(value)

    def __delitem__(self, key):
        suspend(key)
        return 1 / 0


def fail_to_set():
    refusing, log = Refusing(), []
    for i in range(4):
        try:
            with Manager(log):
                if i == 0:
                    refusing.x = suspend(1)
                elif i == 1:
                    del refusing.x
                elif i == 2:
                    refusing[suspend(2)] = 3
                else:
                    del refusing[3]
        except (AttributeError, LookupError, ValueError, ArithmeticError) as error:
            names, traceback = [], error.__traceback__
            while traceback is not None:
                names.append((traceback.tb_frame.f_code.co_name, _line(traceback)))
                traceback = traceback.tb_next
            log.append((repr(error), names[-2:]))
    return log


def _line(traceback):
    return traceback.tb_lineno - traceback.tb_frame.f_code.co_firstlineno


def fail_to_set_over_several_lines():
    refusing = Refusing()
    try:
        (
            refusing[
                suspend(1),
                2,
            ]
        ) = (
            3,
            suspend(4),
        )
    except ValueError as error:
        return repr(error), _line(error.__traceback__)


class Chained:
    """Setting an attribute sets another one."""

    def __init__(self, below=None):
        object.__setattr__(self, "below", below)

    def __setattr__(self, name, value):
        suspend(name)
        if self.below is not None:
            self.below[name] = value
            self.below.twice = value, value
        object.__setattr__(self, name, suspend(value))

    def __setitem__(self, key, value):
        setattr(self, key, [suspend(value)])


def set_below_setting():
    chained = Chained(Chained(Chained()))
    chained.x = 1
    return chained.x, chained.below.twice, vars(chained.below.below)


def set_below_generators():
    chained = Chained(Chained())

    def generate(n):
        for chained.x in range(n):
            chained.below[f"y{n}"] = yield chained.x

    log = []
    for x in generate(2):
        log.append(x)
    g = generate(2)
    log.append(next(g))
    log.append(g.send("sent"))
    log.append(next(g, "end"))
    return log, vars(chained.below)


def set_in_a_generator_that_delegates():
    described = Described()

    def inner():
        described.two = yield suspend(1)
        yield described.two

    def outer():
        yield from inner()
        described.one = 3

    g, log = outer(), []
    next(g)
    log.append(g.send(2))
    for x in g:
        log.append(x)
    return log, vars(described)


# ---- reading --------------------------------------------------------------


class Answering:
    def __getattr__(self, name):
        if name.startswith("__") or suspend(name) == "lacking":
            raise AttributeError(name)
        return lambda *args, **kwargs: (name, args, kwargs)

    @property
    def prop(self):
        suspend("prop")
        return lambda *args: ("prop", args)

    @property
    def broken(self):
        raise AttributeError(suspend("broken"))

    @property
    def wrong(self):
        raise ValueError(suspend("wrong"))


class Getting(Answering):
    def __getattribute__(self, name):
        if not name.startswith("__") and suspend(name).startswith("own"):
            return name.upper
        return object.__getattribute__(self, name)


def call_what_is_read():
    answering, log = Answering(), []
    log.append(answering.one(1, *[2], k=3))
    log.append(answering.prop(suspend(4)))
    log.append([answering.two(), [answering.prop(*[5])]])
    log.append(answering.broken())
    getting = Getting()
    log.append((getting.own(), getting.other(1), getting.prop(2)))
    for name in ("wrong", "lacking"):
        try:
            if name == "wrong":
                answering.wrong(1)
            else:
                answering.lacking(1)
        except (ValueError, AttributeError) as error:
            log.append(repr(error))
    return log


class Below(Answering):
    prop = 0
    other = Descriptor()

    def read(self):
        return super().prop(1), super().prop.__name__, super().prop(2)

    def fail(self):
        try:
            return super().wrong
        except ValueError as error:
            return repr(error)


class Lower(Below):
    prop = other = 0

    @classmethod
    def make(cls):
        return super().other

    def read(self):
        return super().read(), super().prop, super().other


def read_from_super():
    return Below().read(), Lower().read(), Below().fail(), Lower.make()


def _getattr(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return suspend(name).upper


def read_from_a_module():
    return _module.one(), [_module.two][0](), getattr(_module, "three")()  # noqa: B009


_module = types.ModuleType("cases_made")
_module.__getattr__ = _getattr
read_from_a_module.own_pickler = True


class Missing(dict):
    def __missing__(self, key):
        self[key] = suspend(key) * 2
        return self[key]


class Generic:
    def __class_getitem__(cls, key):
        return cls.__name__, suspend(key)


def get_missing_items():
    missing = Missing({1: 2})
    missing[3] += missing[1]
    return missing[4], missing, Generic[5], Generic[int, suspend("s")]


# ---- functions ------------------------------------------------------------


def get_attributes_by_functions():
    answering, getting, described = Answering(), Getting(), Described()
    described.two = 5
    names = "one", "prop", "broken", "lacking"
    log = []
    for thing in (answering, getting):
        for name in names:
            log.append(_shown(getattr(thing, name, suspend("default"))))
            log.append(hasattr(thing, name))
    log.append((getattr(described, "two"), hasattr(described, "two")))  # noqa: B009
    log.append((getattr(described, "lacking", 0), hasattr(described, "one")))
    log.append((getattr(_Made, "made"), hasattr(_Made, "any")))  # noqa: B009
    for read in (getattr, hasattr):
        for name in ("wrong", "lacking"):
            try:
                log.append(read(answering, name))
            except (ValueError, AttributeError) as error:
                log.append(repr(error))
    return log


def _shown(value):
    return value() if callable(value) else value


def set_attributes_by_functions():
    guarded, described, refusing, log = Guarded(), Described(), Refusing(), []
    for thing in (guarded, described):
        for name in ("one", "two"):
            log.append(setattr(thing, name, 1))
            log.append(delattr(thing, name))
    for deletes in (False, True):
        try:
            delattr(refusing, "x") if deletes else setattr(refusing, "x", 1)
        except (AttributeError, KeyError) as error:
            log.append(repr(error))
    return log, guarded.log
