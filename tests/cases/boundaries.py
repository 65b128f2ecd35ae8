"""Suspended below C code. Where that can't be pickled, the error names it, the frame and the line.

Each case has ``names``: what an error must name of the C function or operation, at least one of
them; and ``caller``: the Python function that was in the middle of it, whose line is marked HERE.
"""

import contextlib
import functools
import re
import weakref

from pickletask import schedule_remove as suspend


def _boundary(*names, caller=None):
    def mark(function):
        function.names = names
        function.caller = caller or function.__name__
        return function

    return mark


def _key(x):
    return -suspend(x)


def _generate():
    for i in range(3):
        yield suspend(i)


@_boundary("sorted")
def sort_by_a_key():
    return sorted([1, 3, 2], key=_key)  # HERE


@_boundary("sort")
def sort_a_list_by_a_key():
    items = [1, 3, 2]
    items.sort(key=_key)  # HERE
    return items


@_boundary("map")
def loop_over_a_map():
    log = []
    for x in map(_key, [1, 2]):  # HERE
        log.append(x)
    return log


# A copy has a bridge in the place of what has asked its first iterator, and is saved after that.


class _Stepper:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        self.n -= 1
        if self.n < 0:
            raise StopIteration
        return suspend(self.n)


@_boundary("next item")
def loop_over_a_map_of_several_iterators():
    log = []
    for x in map(max, _generate(), _Stepper(2)):  # HERE
        log.append(x)
    for x in map(max, _Stepper(2), _generate(), [suspend(5), 6, 7]):  # HERE
        log.append(x)
    return log


@_boundary("next item")
def loop_over_a_zip_of_several_iterators():
    log = []
    for x, y in zip(_generate(), _Stepper(2), strict=False):  # HERE
        log.append((x, y))
    try:
        for pair in zip(_Stepper(3), _generate(), _Stepper(2), strict=True):  # HERE
            log.append(pair)
    except ValueError as error:
        log.append(str(error))
    return log


@_boundary("filter")
def loop_over_a_filter():
    log = []
    for x in filter(_key, [0, 1, 2]):  # HERE
        log.append(x)
    return log


@_boundary("list")
def make_a_list_of_a_generator():
    return list(_generate())  # HERE


@_boundary("list", "builtin operation")
def unpack_a_generator_into_a_list():
    return [0, *_generate()]  # HERE


@_boundary("unpack", "builtin operation")
def unpack_a_generator_into_names():
    a, b, c = _generate()  # HERE
    return a, b, c


@_boundary("sum")
def sum_a_generator():
    return sum(_generate())  # HERE


@_boundary("max")
def take_the_maximum_by_a_key():
    return max([1, 2, 3], key=_key)  # HERE


@_boundary("any")
def ask_any_of_a_generator_expression():
    return any(suspend(x) > 1 for x in range(4))  # HERE


@_boundary("join")
def join_a_generator():
    return "".join(str(x) for x in _generate_strings())  # HERE


def _generate_strings():
    yield suspend("a")
    yield suspend("b")


@_boundary("next")
def step_a_generator_by_next():
    g = _generate()
    return next(g)  # HERE


@_boundary("send")
def step_a_generator_by_send():
    g = _generate()
    return g.send(None)  # HERE


@_boundary("throw")
def throw_into_a_generator():
    def generator():
        try:
            yield 1
        except ValueError:
            yield suspend("caught")

    g = generator()
    next(g)
    return g.throw(ValueError())  # HERE


@_boundary("close")
def close_a_generator():
    def generator():
        try:
            yield 1
        finally:
            suspend("closing")

    g = generator()
    next(g)
    return g.close()  # HERE


@_boundary("partial")
def call_a_partial_function():
    return functools.partial(_key, 5)()  # HERE


@_boundary("partial")
def call_a_partial_of_the_suspending_function():
    return functools.partial(suspend, 5)()  # HERE


@_boundary("map", "list")
def map_the_suspending_function():
    return list(map(suspend, [1, 2]))  # HERE


@_boundary("sorted")
def sort_by_the_suspending_function():
    return sorted([2, 1], key=suspend)  # HERE


@_boundary("lru_cache", "_lru_cache_wrapper")
def call_a_cached_function():
    _cached.cache_clear()
    return _cached(3)  # HERE


@functools.lru_cache
def _cached(x):
    return suspend(x)


@_boundary("reduce")
def reduce_by_a_function():
    return functools.reduce(lambda a, b: a + suspend(b), [1, 2, 3])  # HERE


@_boundary("sub")
def substitute_by_a_function():
    return re.compile("b").sub(lambda match: suspend("X"), "abc")  # HERE


@_boundary("Built", "__init__")
def make_an_instance():
    return Built(suspend(1)).x  # HERE


class Built:
    def __init__(self, x):
        self.x = suspend(x)


@_boundary("Derived", "Built", "__init__")
def make_an_instance_of_a_derived_class():
    return Derived(1).x  # HERE


class Derived(Built):
    def __init__(self, x):
        super().__init__(suspend(x))
        self.y = 1


@_boundary("Fresh", "__new__")
def make_an_instance_by_new():
    return Fresh(2).x  # HERE


class Fresh:
    def __new__(cls, x=None):
        self = object.__new__(cls)
        # Pickle makes them without.
        if x is not None:
            self.x = suspend(x)
        return self


class Full:
    """Every operation suspends."""

    def __call__(self, x):
        return suspend(x)

    def __enter__(self):
        return suspend("enter")

    def __exit__(self, *error):
        suspend("exit")
        return True

    @property
    def prop(self):
        return suspend("property")

    @prop.setter
    def prop(self, value):
        suspend(value)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return suspend(name)

    def __getitem__(self, key):
        return suspend(key)

    def __setitem__(self, key, value):
        suspend((key, value))

    def __delitem__(self, key):
        suspend(key)

    def __add__(self, other):
        return suspend(other)

    def __radd__(self, other):
        return suspend(("r", other))

    def __iadd__(self, other):
        suspend(("i", other))
        return self

    def __neg__(self):
        return suspend("neg")

    def __lt__(self, other):
        return suspend(True)

    def __contains__(self, item):
        return suspend(True)

    def __bool__(self):
        return suspend(False)

    def __len__(self):
        return suspend(3)

    def __str__(self):
        return suspend("text")

    def __format__(self, spec):
        return suspend(spec)

    def __iter__(self):
        return iter([suspend(1), 2])

    def __hash__(self):
        return suspend(1)

    def __eq__(self, other):
        return suspend(True)


class Stepper:
    def __init__(self):
        self.n = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.n += 1
        if self.n > 2:
            raise StopIteration
        return suspend(self.n)


@_boundary("__call__", "Full")
def call_an_instance():
    return Full()(4)  # HERE


@_boundary("__enter__", "with statement")
def enter_a_with_block():
    with contextlib.nullcontext():
        with Full() as entered:  # HERE
            pass
    return entered


class Leaver:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        suspend(repr(error[1]))
        return True


@_boundary("__exit__", "with statement")
def leave_a_with_block():
    log = []
    with Leaver():  # HERE
        log.append(1)
    log.append(2)
    return log


@_boundary("__exit__", "with statement")
def leave_a_with_block_by_an_exception():
    log = []
    with Leaver():  # HERE
        raise ValueError(1)
    log.append(2)
    return log


@_boundary("with statement", "called next")
def enter_a_context_manager_made_of_a_generator():
    @contextlib.contextmanager
    def manager():
        yield suspend("entered")

    with manager() as entered:  # HERE
        pass
    return entered


@_boundary("attribute")
def get_a_property():
    return Full().prop  # HERE


@_boundary("attribute")
def set_a_property():
    Full().prop = 5  # HERE


@_boundary("attribute")
def get_a_missing_attribute():
    return Full().missing  # HERE


@_boundary("getattr")
def call_getattr():
    return getattr(Full(), "missing")  # noqa: B009  HERE


@_boundary("subscript")
def get_an_item():
    return Full()["k"]  # HERE


@_boundary("subscript")
def set_an_item():
    Full()["k"] = 1  # HERE


@_boundary("subscript", "operator")
def delete_an_item():
    del Full()["k"]  # HERE


@_boundary("operator")
def add_instances():
    return Full() + 1  # HERE


@_boundary("operator")
def add_instances_reflected():
    return 1 + Full()  # HERE


@_boundary("operator")
def add_in_place():
    full = Full()
    full += 2  # HERE
    return type(full).__name__


@_boundary("operator")
def negate_an_instance():
    return -Full()  # HERE


@_boundary("operator")
def compare_instances():
    return Full() < Full()  # HERE


@_boundary("operator")
def ask_for_a_member():
    return 1 in Full()  # HERE


@_boundary("truth", "builtin operation")
def ask_for_the_truth():
    if Full():  # HERE
        return 1
    return 2


@_boundary("len")
def ask_for_the_length():
    return len(Full())  # HERE


@_boundary("str")
def convert_to_a_string():
    return str(Full())  # HERE


@_boundary("format", "builtin operation")
def format_an_instance():
    return f"{Full():spec}"  # HERE


@_boundary("iter", "builtin operation")
def start_a_loop_over_an_instance():
    log = []
    for x in Full():  # HERE
        log.append(x)
    return log


@_boundary("iterator")
def loop_over_an_instance():
    log = []
    for x in Stepper():  # HERE
        log.append(x)
    return log


@_boundary("dict", "builtin operation", "subscript")
def use_an_instance_as_a_key():
    return len({Full(): 1})  # HERE


@_boundary("class", "__build_class__")
def suspend_in_a_class_body():
    class Local:  # HERE
        x = suspend(1)
        y = suspend(2)

    return Local.x, Local.y


class Meta(type):
    def __new__(meta, name, bases, namespace):
        suspend(name)
        return super().__new__(meta, name, bases, namespace)


@_boundary("class", "__build_class__")
def suspend_in_a_metaclass():
    class Local(metaclass=Meta):  # HERE
        x = 1

    return Local.x


@_boundary("exec")
def suspend_in_executed_code():
    namespace = {"suspend": suspend}
    exec("a = suspend(1)\nb = [suspend(x) for x in (2, 3)]", namespace)  # HERE
    return namespace["a"], namespace["b"]


@_boundary("eval")
def suspend_in_evaluated_code():
    return eval("suspend(1) + suspend(2)")  # HERE


@_boundary("_wrapped", "function")
def call_through_a_wrapper():
    return _wrapped(suspend(1))


def _wrap(function):
    @functools.wraps(function)
    def _wrapper(*args, **kwargs):
        return function(*args, **kwargs)  # HERE

    return _wrapper


@_wrap
def _wrapped(x):
    return suspend(x)


call_through_a_wrapper.caller = "_wrapper"


@_boundary("_key", "called")
def call_with_stars():
    args = [4]
    return _key(*args)  # HERE


@_boundary("_keywords", "called")
def call_with_double_stars():
    kwargs = {"c": 2, "d": 4}
    return _keywords(*[1], **kwargs)  # HERE


def _keywords(a, b=2, *rest, c, d=4, **more):
    return a, suspend(b), rest, suspend(c), d, more


@_boundary("schedule_remove", "called")
def suspend_with_stars():
    args = [4]
    return suspend(*args)  # HERE


@_boundary("schedule_remove", "called")
def suspend_with_a_keyword():
    return suspend(retval=3)  # HERE


class Final:
    def __init__(self, log):
        self.log = log

    def __del__(self):
        suspend("finalized")
        self.log.append("finalized")


@_boundary("__del__", "final", "builtin operation")
def finalize_an_instance():
    log = []
    final = Final(log)
    del final  # HERE
    return log


def _closing_generator(log):
    try:
        yield 1
    finally:
        log.append(suspend("closing"))


@_boundary("generator", "final", "builtin operation")
def finalize_a_generator():
    log = []
    g = _closing_generator(log)
    next(g)
    del g  # HERE
    return log


@_boundary("generator", "called a function")
def finalize_a_generator_at_the_end_of_a_function():
    log = []

    def function():
        g = _closing_generator(log)
        return next(g)

    function()  # HERE
    return log


@_boundary("generator", "called a function")
def finalize_a_generator_at_the_end_of_init():
    log = []

    class Made:
        def __init__(self):
            g = _closing_generator(log)
            next(g)

    for _ in range(3):
        log.append(type(Made()).__name__)  # HERE
    return log


@_boundary("called a function", "called Made()")
def call_back_for_a_weak_reference_at_the_end_of_init():
    class Weak:
        pass

    class Made:
        def __init__(self):
            thing = Weak()
            references.append(Reference(thing, suspend))

    class Reference(weakref.ref):
        def __repr__(self):
            return "reference"

    references, log = [], []
    for _ in range(3):
        log.append(type(Made()).__name__)  # HERE
    return log


@_boundary("Weak.__del__", "called a function")
def finalize_at_the_end_of_a_function_that_c_code_called():
    class Weak:
        def __del__(self):
            log.append(suspend("finalizing"))

    def function(n):
        thing = Weak()  # noqa: F841
        return n

    log = []
    log.append(sorted([3, 1], key=function))  # HERE
    return log


@_boundary("async", "await")
def suspend_in_an_async_generator():
    async def generator():
        for i in range(2):
            yield suspend(i)

    async def main():
        log = []
        async for x in generator():  # HERE
            log.append(x)
        return log

    return _drive(main())


suspend_in_an_async_generator.caller = "main"


@_boundary("send")
def step_a_coroutine():
    async def main():
        return suspend(1)

    coroutine = main()
    try:
        coroutine.send(None)  # HERE
    except StopIteration as stop:
        return stop.value


def _drive(coroutine):
    import types

    @types.coroutine
    def bridge():
        result.append((yield from coroutine))

    result = []
    for _ in bridge():
        pass
    return result[0]
