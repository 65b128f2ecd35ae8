"""What CPython's C code calls on behalf of an instruction: classes, with statements, attributes."""

import contextlib
import functools
import sys

from pickletask import schedule_remove as suspend

# ---- making objects -------------------------------------------------------


class Point:
    def __init__(self, x, y=2, *rest, scale=1, **more):
        self.x = suspend(x)
        self.rest = (rest, scale, more)
        self.y = suspend(y)

    def __repr__(self):
        return f"Point{sorted(self.__dict__.items())}"


def make_objects():
    args, kwargs = (1, 2, 3), {"scale": 5, "z": 6}
    return [
        Point(1),
        Point(suspend(1), 3),
        Point(1, y=5),
        Point(*args, **kwargs),
        Point(*args),
        Point(y=1, **{"x": 2}),
        [Point(n) for n in (1, 2)],
    ]


class Sphere(Point):
    def __init__(self, x):
        suspend("before")
        super().__init__(x, 3)
        Point.__init__(self, *[x + 1], **{"y": 4})
        self.z = suspend("after")


def make_objects_of_derived_classes():
    return Sphere(1), Sphere(x=2)


class Changeable(Point):
    def __init__(self, x):
        super().__init__(x)

        def later():
            return self, x

        self.later = later()[1]


def make_an_object_whose_init_has_cells():
    return Changeable(1), Changeable(*[2])


class Wrong:
    def __init__(self, value):
        self.value = suspend(value)
        return value


def return_a_value_from_init():
    log = []
    for value in (None, 1):
        try:
            log.append(Wrong(value).value)
        except TypeError as error:
            log.append(repr(error))
    return log


class Failing:
    def __init__(self):
        suspend("failing")
        raise ValueError("no")


def raise_in_init():
    try:
        Failing()
    except ValueError as error:
        depth, traceback = [], error.__traceback__
        while traceback is not None:
            depth.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        return repr(error), depth[-2:]


def _decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        suspend("wrapper")
        return function(*args, **kwargs)

    return wrapper


class Decorated:
    @_decorated
    def __init__(self, x):
        self.x = suspend(x)

    @_decorated
    def __call__(self, y):
        return suspend(self.x + y)

    @_decorated
    def __enter__(self):
        return suspend(self.x)

    @_decorated
    def __exit__(self, *error):
        return suspend(error[0] is not None)


def use_decorated_methods():
    made = Decorated(1)
    log = [made(2), made(*[3])]
    with made as x:
        log.append(x)
    with made:
        raise ValueError
    return log


class Node:
    def __init__(self, depth):
        self.children = [Node(depth - 1) for _ in range(2)] if suspend(depth) else []

    def count(self):
        return 1 + sum([child.count() for child in self.children])


def make_objects_inside_objects():
    return Node(2).count()


class Fresh:
    def __new__(cls, x=None):
        self = object.__new__(cls)
        # Pickle makes them without.
        if x is not None:
            self.x = suspend(x)
        return self


class Prepared(Fresh):
    def __init__(self, x):
        self.y = suspend(x + 1)


class Number(int):
    def __new__(cls, value=None, extra=0):
        return super().__new__(cls, value if value is None else suspend(value))

    def __init__(self, value, extra=0):
        self.extra = suspend(extra)


class Other:
    def __new__(cls, x):
        return suspend([x])

    def __init__(self, x):
        raise AssertionError


def make_objects_by_new():
    log = [Fresh(1).x, Fresh(x=2).x, Other(3)]
    log += [(p.x, p.y) for p in [Prepared(1), Prepared(x=2)]]
    return log


class Meta(type):
    def __call__(cls, *args):
        made = suspend("meta"), *args
        return made


class Strange(metaclass=Meta):
    pass


def call_a_class_of_a_metaclass():
    return Strange(), Strange(1, 2), Strange(*[3])


# ---- calls that pass on a result ------------------------------------------


class Adder:
    def __init__(self, n):
        self.n = n

    def __call__(self, x=0, *rest, k=0):
        self.n += suspend(x)
        return self.n, rest, k

    def method(self, *args, **kwargs):
        return suspend((self.n, args, kwargs))


def call_objects():
    adder = Adder(1)
    return [
        adder(),
        adder(suspend(1)),
        adder(1, 2, k=3),
        adder(*[4, 5]),
        adder(*[4], **{"k": 6}),
        Adder(5)(1),
        [adder(n) for n in (1, 2)],
    ]


def raise_in_calls():
    log = []
    for function in (_raise, functools.partial(_raise, 2), Raiser(), Raiser):
        try:
            function("x")
        except LookupError as error:
            log.append(repr(error))
    return log


def _raise(*args):
    suspend(args)
    raise LookupError(*args)


class Raiser:
    def __call__(self, *args):
        return _raise(self.__class__.__name__, *args)

    def __init__(self, *args):
        if args:
            _raise(*args)


def _key(x, y=0, *rest, k=0):
    return suspend(x), y, rest, k


def call_partial_functions():
    part = functools.partial
    adder = Adder(1)
    return [
        part(_key, 1)(),
        part(_key, 1)(2),
        part(_key, k=1)(suspend(2)),
        part(_key, 1, 2)(3, k=4),
        part(part(_key, 1), 2)(3),
        part(_key, 1, 2, 3, 4, 5, 6)(7, 8),
        part(_key)(*[1, 2]),
        part(_key)(*[1, 2], **{"k": 3}),
        part(adder.method, 1)(2, k=3),
        part(adder.method)(),
    ]


@functools.lru_cache
def _cached(x, y=0):
    return suspend((x, y))


@functools.lru_cache(maxsize=None)  # noqa: UP033
def _remembered(x):
    return suspend(x)


@functools.lru_cache(maxsize=0)
def _not_cached(x):
    return suspend(x)


def call_cached_functions():
    # What one copy of a task has computed, another one in the same process finds there.
    log = []
    _cached.cache_clear()
    log.append(_cached(1))
    _cached.cache_clear()
    log.append(_cached(1, y=2))
    _cached.cache_clear()
    log.append(_cached(*[3, 4]))
    _remembered.cache_clear()
    return [*log, _remembered(5), _not_cached(6), _not_cached(x=7)]


# ---- with statements ------------------------------------------------------


class Guard:
    def __init__(self, log, suppress=False):
        self.log = log
        self.suppress = suppress

    def __enter__(self):
        self.log.append(suspend("enter"))
        return len(self.log)

    def __exit__(self, kind, value, traceback):
        self.log.append(suspend(repr(value)))
        return suspend(self.suppress)


def enter_and_leave():
    log = []
    with Guard(log) as a, Guard(log) as b:
        log.append(suspend((a, b)))
    for n in (1, 2):
        with Guard(log):
            if n == 1:
                continue
            break
    return log, _leave_by_return(log)


def _leave_by_return(log):
    with Guard(log):
        return suspend("value")


def leave_by_an_exception():
    log = []
    with Guard(log, True):
        raise ValueError(1)
    try:
        with Guard(log, True), Guard(log):
            try:
                with Guard(log):
                    raise ValueError(suspend(2))
            finally:
                log.append(repr(sys.exc_info()[1]))
    except ValueError as error:
        log.append(error.args)
    with Guard(log, True):
        with Guard(log):
            raise KeyError("inner")
    return log


class Careless:
    def __enter__(self):
        raise ValueError(suspend("enter"))

    def __exit__(self, *error):
        raise KeyError(suspend(repr(error[1])))


class Leaver(Careless):
    def __enter__(self):
        self = suspend(self.__class__)
        return self.__name__

    def __exit__(self, *error):
        return super().__exit__(*error)


def raise_in_enter_and_exit():
    log = []
    try:
        with Careless():
            log.append("never")
    except ValueError as error:
        log.append(repr(error))
    for fails in (False, True):
        try:
            with Careless.__new__(Quiet):
                if fails:
                    raise TypeError("body")
        except KeyError as error:
            log.append((repr(error), repr(error.__context__)))
    return log


class Quiet(Careless):
    def __enter__(self):
        return suspend(self.__class__.__name__)


@contextlib.contextmanager
def _manager(log):
    log.append(suspend("begin"))
    try:
        yield suspend("value")
    except ValueError as error:
        log.append(suspend(repr(error)))
    finally:
        log.append(suspend("end"))


def use_context_managers_made_of_generators():
    log = []
    with _manager(log) as value:
        log.append(value)
    with _manager(log):
        raise ValueError("caught")
    try:
        with _manager(log):
            raise KeyError("not caught")
    except KeyError as error:
        log.append(error.args)
    return log


def use_stacks_and_suppressors():
    log = []
    with contextlib.suppress(KeyError):
        raise KeyError(suspend(1))
    with contextlib.nullcontext(5) as five:
        log.append(suspend(five))
    return log


# ---- attributes and items -------------------------------------------------


class Full:
    def __init__(self, **values):
        self.__dict__.update(values)

    @property
    def prop(self):
        return suspend(self.__dict__.get("p", "none"))

    @property
    def bad(self):
        raise AttributeError(suspend("bad"))

    def __getitem__(self, key):
        if key == "missing":
            raise KeyError(suspend(key))
        return suspend(key)


class Lazy(Full):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return suspend(name)


class Reader:
    def __getattribute__(self, name):
        if not name.startswith("__"):
            suspend(name)
        return object.__getattribute__(self, name)


class Fallback(Reader):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return "fallback", suspend(name)


class Descriptor:
    def __get__(self, instance, owner):
        return suspend("got"), instance is None, owner.__name__


class Described:
    plain = Descriptor()

    @functools.cached_property
    def cached(self):
        return suspend("computed")


def get_attributes():
    full, lazy = Full(p=1), Lazy()
    log = [full.prop, lazy.prop, lazy.other, lazy.bad, Described().plain]
    try:
        log.append(full.bad)
    except AttributeError as error:
        log.append(error.args)
    return log + [full.prop for _ in range(2)]


def get_a_cached_property():
    # It keeps the object's __dict__ in a variable, of which pickle makes two dicts; before 3.12 it
    # holds a lock as well.
    return Described().cached if sys.version_info >= (3, 12) else suspend("computed")


get_a_cached_property.own_pickler = True


def get_attributes_through_getattribute():
    reader, fallback = Reader(), Fallback()
    reader.x = 1
    log = [reader.x, fallback.y]
    try:
        log.append(reader.z)
    except AttributeError:
        log.append("no z")
    return log


def get_items():
    full = Full()
    log = [full[1], full["a"], full[1:2], full[suspend(1), 2]]
    try:
        log.append(full["missing"])
    except KeyError as error:
        log.append(error.args)
    return log


# ---- generators by hand ---------------------------------------------------


def _generate(log):
    try:
        yield suspend(1)
        yield suspend(2)
        return suspend("returned")
    except ValueError as error:
        yield suspend(repr(error))
    finally:
        log.append(suspend("finally"))


def step_with_a_default():
    log = []
    g = _generate(log)
    for _ in range(4):
        log.append(next(g, suspend("default")))
    return log


def _catch(log):
    try:
        yield suspend(1)
        yield suspend(2)
    except ValueError as error:
        yield suspend(repr(error))
    log.append("end")


def throw():
    log = []
    g = _catch(log)
    log.append(next(g))
    log.append(g.throw(ValueError("thrown")))
    try:
        log.append(g.throw(KeyError("out")))
    except KeyError as error:
        log.append(repr(error))
    g = _catch(log)
    next(g)
    error = ValueError(suspend("again"))
    log.append(g.throw(error))
    try:
        next(g)
    except StopIteration as stop:
        log.append(stop.value)
    return log


def close():
    log = []
    g = _generate(log)
    log.append(g.close())
    g = _generate(log)
    next(g)
    log.append(g.close())
    g = _stubborn()
    next(g)
    try:
        g.close()
    except RuntimeError as error:
        log.append(repr(error))
    return log


def close_a_generator_that_returns():
    def generator():
        try:
            yield
        except GeneratorExit:
            suspend("closing")
            return 5

    g = generator()
    next(g)
    return g.close()


def _stubborn():
    try:
        yield 1
    except GeneratorExit:
        yield suspend("no")


# ---- code in a namespace --------------------------------------------------


class Base:
    x = 1


def define_a_class():
    class Local(Base):
        x = suspend(1)
        y = [suspend(n) for n in (2, Base.x)]

        # Behind the last suspension: deepcopy() doesn't copy functions and their cells.
        def method(self):
            return __class__.__name__, self.y

    return Local.x, Local().method(), Local.__mro__[1] is Base


class Registry(type):
    names = ()

    def __new__(meta, name, bases, namespace, **keywords):
        made = super().__new__(meta, name, bases, namespace)
        made.names = (name, sorted(keywords))
        return made

    def __init__(cls, name, bases, namespace, **keywords):
        super().__init__(name, bases, namespace)


class Registered(metaclass=Registry):
    pass


def define_a_class_of_an_inherited_metaclass():
    class Local(Registered, option=suspend(1)):
        x = suspend(2)

    return Local.names, Local.x, type(Local).__name__


def define_a_class_of_a_metaclass():
    class Local(metaclass=Registry, other=3):
        x = suspend(4)

        def method(self):
            return __class__

    return Local.names, Local.x, Local().method() is Local


define_a_class_of_a_metaclass.own_pickler = True


def execute_code():
    space = {"suspend": suspend, "__name__": "nowhere"}
    exec("a = suspend(1)\nb = [suspend(x) for x in (2, 3)]", space)
    exec(compile("c = suspend(a)", "<code>", "exec"), space)
    log = [space["a"], space["b"], space["c"], eval("suspend(1) + suspend(2)")]
    log.append(eval(compile("suspend(5)", "<code>", "eval"), space))
    log.append(exec("suspend(3)", space))
    local = {}
    exec("d = suspend(4)", space, local)
    return log, local
