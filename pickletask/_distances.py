"""Every shape of code in which CPython's C code calls Python code.

``Program(probe, ways)`` is to run each often enough to be specialised in between. The innermost
function calls ``probe(way)``, which measures how far on the C stack its interpreter loop is from
that of its caller (src/fiber/distance.c); way 0 stands for the instruction that the caller is in.
"""

# What is computed here counts for how, not for what it gives.
# ruff: noqa: B007, B010, B015, B018, B019, F811, UP050

import functools
import sys
import types
from _contextvars import Context

from pickletask._conversions import TABLE


def each(number, function, *things):
    """Call the function with each of the things; in round 0 with code that never ran."""
    for thing in things:
        if number == 0:
            code = function.__code__.replace()
            cold = type(function)(code, globals(), closure=function.__closure__)
            cold(thing)
        else:
            function(thing)


def unheard(function):
    """No event loop is to hear of the asynchronous generators of the function."""

    def without_hooks(*arguments):
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            function(*arguments)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return without_hooks


class Program:
    """All shapes; ways are the numbers of the ways to call, by name."""

    def __init__(self, probe, probe_import, ways):
        self.probe = probe
        self.imports = make_imports(probe_import)
        # Modules may do it lazily.
        statements = f"import {IMPORTED}", "from encodings import _measured"
        self.import_codes = [compile(statement, "", "exec") for statement in statements]
        self.ways = ways
        self.full = make_full(probe, 0)
        self.callable = make_able(probe, ways["OBJECT"], "call")
        self.plain = make_plain(probe, 0)
        self.attentive = make_attentive(probe)
        self.classes = make_classes(probe, ways["TYPE"])
        self.recalled = make_classes(probe, ways["METACALL"])
        self.metas = Metas(probe, ways["METACLASS"])
        self.hooked = make_hooked(probe, ways["SUBCLASS"])
        self.hooked_by_type = make_hooked(probe, ways["NEW_CLASS"])
        self.conversions = make_conversions(probe, ways["CONVERSION"])
        self.showing = make_showing(probe)
        self.lacking = make_lacking(probe)
        self.divided = make_able(probe, ways["DIVMOD"], "divmod", "rdivmod")
        self.raised = make_able(probe, ways["POWER"], "pow", "rpow")
        attributes = "GETATTR", "HASATTR", "SETATTR", "DELATTR", "GET", "SET", "DELETE"
        self.owners = {name: Owners(probe, ways[name]) for name in attributes}
        self.owners["INSTRUCTION"] = Owners(probe, 0)

    @unheard
    def run(self, rounds):
        """Run all shapes in some rounds."""
        steps = [value for name, value in vars(Program).items() if name.startswith("by_")]
        for number in range(rounds):
            for step in steps:
                step(self, number)

    # ---- loops that are compiled ----

    def learn_compiled(self, learn, cleaner):
        """Call ``learn(way)`` in loops until they are compiled, in ways known from before.

        ``-cleaner`` cleans the stack.
        """
        operand = Operand(learn)
        steps = operand.steps(self.ways["METHOD"])
        next(steps)
        for loop, thing in (negate, operand), (invert, operand), (contain, operand), (send, steps):
            operand.learnt = 0
            for _ in range(500):
                loop(cleaner, thing)
                if operand.learnt >= LEARNT:
                    break

    @unheard
    def run_compiled(self, cleaner):
        """Probe what compiled code calls in ways of its own."""
        shapes = [value for name, value in vars(Program).items() if name.startswith("compiled_")]
        for shape in shapes:
            for statement, *values in shape(self):
                run_loop(cleaner, statement, *values)

    def compiled_calls(self):
        def called(name):
            return make_function(self.probe, self.ways[name])

        function = called("PARTIAL")
        partials = functools.partial(function), functools.partial(function, 1, k=1)
        cached = functools.lru_cache(0)(called("CACHED"))
        for f in self.callable, *self.classes, *partials, cached:
            for arguments in "", "1", "1, 2, 3, 4, 5, 6", "1, k=2", "*(1, a)", "*(1,), **{'k': 2}":
                yield f"f({arguments})", f
        for size in None, 3:
            yield "f(object())", functools.lru_cache(size)(called("CACHED"))
        run, function = Context().run, called("CONTEXT")
        for arguments in "a", "a, 1", "a, 1, k=2", "a, *(1, b)":
            yield f"f({arguments})", run, function
        for cls in self.recalled:
            yield "f(a)", type.__call__, cls
        for function in exec, eval:
            names = {"probe": self.probe, "way": self.ways["EXEC"]}
            for code in "probe(way)", compile("probe(way)", "", function.__name__):
                yield "f(a, b)", function, code, names
                yield "f(a, b, {})", function, code, names

    def endless(self, way):
        while True:
            self.probe(way)
            try:
                yield
            except ValueError:
                pass

    async def waiting(self, way):
        while True:
            self.probe(way)
            try:
                await give()
            except ValueError:
                pass

    async def ending(self, way):
        try:
            yield
        finally:
            while True:
                self.probe(way)
                try:
                    await give()
                except ValueError:
                    pass

    def compiled_iterators(self):
        way = self.ways["NEXT"]
        mapped = map(make_function(self.probe, way), iter(int, 1))
        for iterator in self.endless(way), Endless(self.probe, way), mapped:
            yield "f(a)", next, iterator
            yield "f(a, None)", next, iterator
        for name, argument in ("METHOD", None), ("THROW", ValueError()):
            g = self.endless(self.ways[name])
            next(g)
            yield "f(a)", g.send if argument is None else g.throw, argument
        function = make_function(self.probe, 0)
        for iterator in (
            Endless(self.probe, 0),
            map(function, iter(int, 1)),
            map(function, iter(int, 1), iter(int, 1)),
            self.waiting(self.ways["AWAIT"]).__await__(),
        ):
            yield "for _ in a: break", None, iterator
        for gather in map, filter, zip, enumerate:
            way = self.ways[gather.__name__.upper()]
            first = (affirm,) if gather in (map, filter) else ()
            for iterator in self.endless(way), Endless(self.probe, way):
                yield "for _ in a: break", None, gather(*first, iterator)
                if gather in (map, zip):
                    yield "for _ in a: break", None, gather(*first, iterator, iter(int, 1))

    def compiled_steps(self):
        way = self.ways["AWAIT_CALL"]

        def make(begin):
            g = self.ending(way)
            drive(1, BY_NEXT, g.asend(None))
            return begin(g)

        for begin in (
            lambda g: g.asend(None),
            lambda g: anext(g, None),
            lambda g: g.athrow(ValueError()),
            lambda g: g.aclose(),
        ):
            step = make(begin)
            next(step)
            yield from use_step(step)
            yield "step = a(b); -cleaner; f(step)", next, make, begin, Callable(next)
            yield "f = f or a(b).throw; -cleaner; f(ValueError)", None, make, begin, Callable()
            fresh = make(begin)
            yield (
                "step = a(b); -cleaner; f(step, ValueError)",
                type(fresh).throw,
                make,
                begin,
                Callable(lambda step, _: next(step)),
            )
            next(fresh)
        yield from use_step(self.waiting(way).__await__())

    def compiled_reads(self):
        owners = self.owners["INSTRUCTION"]
        for names, things in (
            (("prop", "described"), owners.plain + owners.asked),
            (("anything",), owners.guarded + owners.asked),
        ):
            for name in names:
                for thing in things:
                    yield f"a.{name}", None, thing
                    yield f"a.{name}()", None, thing
        for name in "prop", "described":
            yield f"super(b, a).{name}", None, owners.below, type(owners.below)
            yield f"super(b, a).{name}()", None, owners.below, type(owners.below)
        for thing in self.showing:
            for shown in "{a}", "{a!s}", "{a!r}", "{a!a}", "{a!s:9}", "{a!r:9}", "{a!a:9}":
                yield f"f'{shown}'", None, thing
        yield "f'{a:x}'", None, self.showing[0]

    def compiled_functions(self):
        for function, arguments, _ in self.conversions:
            yield ("f(a)", "f(a, b)")[len(arguments) - 1], function, *arguments
        for f, thing in (divmod, self.divided), (pow, self.raised):
            yield "f(a, b)", f, thing, 1
            yield "f(b, a)", f, thing, 1
        for f, expressions in (
            (getattr, ("f(a, b)", "f(a, b, None)")),
            (hasattr, ("f(a, b)",)),
            (setattr, ("f(a, b, 1)",)),
            (delattr, ("f(a, b)",)),
        ):
            owners = self.owners[f.__name__.upper()]
            asked = owners.asked if f in (getattr, hasattr) else ()
            for expression in expressions:
                for thing in owners.plain + asked:
                    yield expression, f, thing, "prop"
                    yield expression, f, thing, "described"
                for thing in owners.guarded + asked:
                    yield expression, f, thing, "anything"
        for way, name, value in (
            ("GET", "__getattribute__", ""),
            ("SET", "__setattr__", ", None"),
            ("DELETE", "__delattr__", ""),
        ):
            for base, thing in zip((object, type), self.owners[way].plain, strict=True):
                for attribute in "prop", "described":
                    yield f"f(a, b{value})", getattr(base, name), thing, attribute
                    bound = getattr(super(type(thing), thing), name)
                    yield f"f(b{value})", bound, None, attribute

    # ---- generators ----

    def inner(self, way):
        self.probe(way)
        yield
        self.probe(way)
        yield

    def by_for(self, number):
        for _ in self.inner(0):
            pass

    def delegate(self):
        yield from self.inner(0)

    def by_delegation(self, number):
        for _ in self.delegate():
            pass
        g = self.delegate()
        next(g)
        g.send(number)
        g.close()

    async def awaited(self, way):
        self.probe(way)

    async def awaiting(self):
        await self.awaited(0)

    def by_coroutine(self, number):
        def run(c):
            try:
                c.send(None)
            except StopIteration:
                pass

        each(number, run, self.awaiting(), self.awaited(self.ways["METHOD"]))

    async def stepped(self, way):
        for _ in 1, 2, 3, 4:
            await give()
            self.probe(way)
            yield

    async def thrown(self, way):
        try:
            yield
        except ValueError:
            self.probe(way)
            await give()
            self.probe(way)
            yield
        finally:
            self.probe(way)
            await give()
            self.probe(way)

    async def stepping(self, way):
        async for _ in self.stepped(way):
            pass
        g = self.stepped(way)
        await g.asend(None)
        await g.asend(1)
        await anext(g)
        await anext(g, None)
        g = self.thrown(way)
        await g.asend(None)
        await g.athrow(ValueError)
        await g.aclose()
        await Given(self.awaited(way))
        await anext(Given(self.awaited(way)), None)

    def by_await(self, number):
        for value in None, 1:
            coroutine = self.stepping(self.ways["AWAIT"])
            try:
                coroutine.send(None)
                while True:
                    coroutine.send(value)
            except StopIteration:
                pass

    def by_await_call(self, number):
        way = self.ways["AWAIT_CALL"]
        for ways in BY_NEXT, BY_SEND, BY_BOUND_SEND, BY_GENERAL_CALL:
            g = self.stepped(way)
            for step in g.asend(None), anext(g), anext(g, None), g.aclose():
                drive(number, ways, step)
            g = self.thrown(way)
            for step in g.asend(None), g.athrow(ValueError), g.aclose():
                drive(number, ways, step)

        def catch(step):
            step.throw(ValueError)

        def catch_by_general_call(step):
            call(step.throw, ValueError)

        for begin in (lambda g: g.asend(None)), (lambda g: anext(g, None)):
            for throw in catch, catch_by_general_call:
                g = self.thrown(way)
                drive(number, BY_NEXT, g.asend(None))
                step = begin(g)
                each(number, throw, step)
                drive(number, BY_SEND, step)
                drive(number, BY_NEXT, g.aclose())
        self.end_steps(number, way)
        wrapper = self.pausing(way).__await__()
        next(wrapper)
        wrapper.send(None)
        wrapper.throw(ValueError)
        wrapper.close()

    def end_steps(self, number, way):
        """End steps from outside: the generator is in the step itself, or in what it awaits."""

        def close(step):
            step.close()

        def exit(step):
            try:
                step.throw(GeneratorExit)
            except GeneratorExit:
                pass

        # Before 3.13, close() of a step doesn't reach the generator.
        for end in (close, exit) if sys.version_info >= (3, 13) else (exit,):
            for begin in (lambda g: g.asend(None)), (lambda g: anext(g, None)):
                for awaited in give, Pause:
                    step = begin(self.resting(way, awaited()))
                    step.send(None)
                    each(number, end, step)

    async def resting(self, way, awaited):
        try:
            await awaited
            yield
        finally:
            self.probe(way)

    async def pausing(self, way):
        self.probe(way)
        await give()
        self.probe(way)
        try:
            await give()
        except ValueError:
            self.probe(way)
            await give()
        finally:
            self.probe(way)

    def catching(self):
        try:
            yield
        except ValueError:
            self.probe(self.ways["PASS"])
            yield

    def passed(self):
        yield from self.catching()

    def passed_twice(self):
        yield from self.passed()

    def by_pass(self, number):
        for g in self.passed(), self.passed_twice():
            next(g)
            g.throw(ValueError())

    def by_next(self, number):
        g = self.inner(self.ways["NEXT"])
        next(g)
        next(g)
        g = self.inner(self.ways["NEXT"])
        next(g, None)
        next(g, None)

    def by_step(self, number):
        def step(iterator):
            next(iterator)
            next(iterator, None)

        def loop(iterator):
            for _ in iterator:
                pass

        way = self.ways["NEXT"]
        stepper, function = make_stepper(self.probe, way), make_function(self.probe, way)
        each(number, step, stepper, map(function, "12"), map(function, "12", "34"))
        stepper, function = make_stepper(self.probe, 0), make_function(self.probe, 0)
        each(number, loop, stepper, map(function, "12"), map(function, "12", "34"))
        each(number, loop, self.awaited(self.ways["AWAIT"]).__await__())

    def by_gathering(self, number):
        def loop(iterator):
            for _ in iterator:
                pass

        for gather in map, filter, zip, enumerate:
            way = self.ways[gather.__name__.upper()]
            first = (empty,) if gather in (map, filter) else ()
            for make in lambda way: make_stepper(self.probe, way), self.inner:
                each(number, loop, gather(*first, make(way)))
                if gather in (map, zip):
                    each(number, loop, gather(*first, make(way), "12"))

    def by_send(self, number):
        g = self.inner(self.ways["METHOD"])
        g.send(None)
        g.send(None)
        send = self.inner(self.ways["METHOD"]).send
        send(None)
        send(None)

    def by_general_call(self, number):
        for _ in range(9):
            call((1).__add__, 1)
            call_two(int.__add__, 1, 1)
            call_three(int.__pow__, 1, 1, 1)
        g = self.inner(self.ways["NEXT"])
        call(next, g)
        call(next, g)
        stepper = make_stepper(self.probe, self.ways["NEXT"])
        call(next, stepper)
        call_two(next, stepper, None)
        for _ in range(2):
            g = self.inner(self.ways["METHOD"])
            call(g.send, None)
            call_two(type(g).send, g, None)

    def guarded(self, way):
        try:
            yield
        except ValueError:
            self.probe(way)
            yield
        finally:
            self.probe(way)

    def by_throw(self, number):
        way = self.ways["THROW"]
        for g in self.guarded(way), self.guarded(way):
            next(g)
            g.throw(ValueError)
            try:
                g.throw(ValueError())
            except ValueError:
                pass
        g = self.guarded(way)
        next(g)
        throw = g.throw
        throw(ValueError())
        for _ in range(3):
            # The same place again and again: it is specialised later than others.
            g = self.guarded(way)
            next(g)
            g.throw(ValueError())
            g = self.guarded(way)
            next(g)
            call(g.throw, ValueError())

    def by_close(self, number):
        g = self.guarded(self.ways["CLOSE"])
        next(g)
        g.close()
        g = self.guarded(self.ways["CLOSE"])
        next(g)
        close = g.close
        close()

    # ---- calls ----

    def by_function(self, number):
        # CPython has no need of C code here, unless it was told to (-X perf).
        def function(*args, **kwargs):
            self.probe(0)

        def call(f):
            f()
            f(1)
            f(1, 2, 3, 4, 5, 6)
            f(1, k=2)

        each(number, call, function)
        self.reach()
        self.reach(1, 2)
        self.reach(1, k=2)

    def reach(self, *args, **kwargs):
        self.probe(0)

    def spread(self, *args, **kwargs):
        self.probe(self.ways["SPREAD"])

    def by_spread(self, number):
        def function(*args, **kwargs):
            self.probe(self.ways["SPREAD"])

        def call(f):
            for a in (), (1,), (1, 2, 3, 4, 5, 6):
                f(*a)
                f(*a, **{})
                f(*a, **{"k": 1})

        each(number, call, function, self.spread)

    def by_object(self, number):
        f = self.callable
        f()
        f(1)
        f(1, k=2)
        for a in (), (1,), (1, 2, 3, 4, 5, 6):
            f(*a)
            f(*a, **{"k": 1})

    def by_class(self, number):
        def call(f):
            f()
            f(1)
            f(1, 2, 3, 4, 5, 6)
            f(1, k=2)
            for a in (), (1,), (1, 2, 3, 4, 5, 6):
                f(*a)
                f(*a, **{"k": 1})

        each(number, call, *self.classes)

    def by_partial(self, number):
        def function(*args, **kwargs):
            self.probe(self.ways["PARTIAL"])

        class Method:
            def method(_, *args, **kwargs):
                self.probe(self.ways["PARTIAL"])

        def call(p):
            p()
            p(1)
            p(1, k=2)
            p(*many)
            p(*many, **{"k": 1})

        partial = functools.partial
        many = (1, 2, 3, 4, 5, 6)
        for f in function, Method().method:
            shapes = partial(f), partial(f, 1), partial(f, k=1), partial(f, *many)
            each(number, call, *shapes)

    def by_cache(self, number):
        def function(*args, **kwargs):
            self.probe(self.ways["CACHED"])

        class Method:
            @functools.lru_cache
            def method(_, *args):
                self.probe(self.ways["CACHED"])

        method = Method()
        method.method()
        method.method(1)

        def call(f):
            f(number)
            f(number, 1)
            f(number, 1, k=2)
            for a in (number, number), (1, 2, 3, 4, 5, 6, number):
                f(*a)
                f(*a, **{"k": 1})

        cached = [functools.lru_cache(size)(function) for size in (None, 0, 3)]
        each(number, call, *cached)

    def by_context(self, number):
        def function(*args, **kwargs):
            self.probe(self.ways["CONTEXT"])

        class Method:
            def method(_, *args, **kwargs):
                self.probe(self.ways["CONTEXT"])

        def call(f):
            context.run(f)
            context.run(f, 1)
            context.run(f, 1, 2, 3, 4, 5, 6)
            context.run(f, 1, k=2)
            run(f)
            run(f, 1)
            run(f, k=2)
            for a in (), (1,), (1, 2, 3, 4, 5, 6):
                run(f, *a)
                context.run(f, *a)
                run(f, *a, **{"k": 1})

        context = Context()
        run = context.run
        shapes = (
            function,
            Method().method,
            functools.partial(function),
            functools.partial(function, 1),
        )
        each(number, call, *shapes, functools.lru_cache(0)(function))

    def by_statement(self, number):
        way = self.ways["CLASS"]

        class Plain:
            self.probe(way)

        class Derived(Plain, metaclass=type):
            self.probe(way)

    def by_metaclass(self, number):
        metas = self.metas

        class Made(metaclass=metas.New):
            pass

        class Made(metaclass=metas.New, key=1):
            pass

        class Made(metaclass=metas.Init):
            pass

        class Made(Made):
            pass

        class Made(metaclass=metas.InitKeywords, key=1):
            pass

        class Made(Made, key=1):
            pass

        class Made(metaclass=metas.Spaced):
            x = number

        class Made(self.hooked):
            pass

        class Made(self.hooked, key=1):
            pass

        class Made(self.hooked, metaclass=Plain):
            pass

        class Made(self.hooked, metaclass=Plain, key=1):
            pass

        class Made(Made):
            pass

        class Made(Made, key=1):
            pass

    def by_type(self, number):
        def make(meta):
            bases, key = (hooked,), {"key": 1}
            meta("Made", bases, {})
            meta("Made", bases, {}, key=1)
            new = type.__new__
            new(meta, "Made", bases, {})
            new(meta, "Made", bases, {}, key=1)
            arguments = meta, "Made", bases, {}
            type.__new__(*arguments)
            type.__new__(*arguments, **key)
            arguments = "Made", bases, {}
            meta(*arguments)
            meta(*arguments, **key)

        hooked = self.hooked_by_type
        each(number, make, type, Plain)
        if number == 0:
            # What calls nothing but this type is specialised for it.
            code = make.__code__.replace()
            self.make_by_type = types.FunctionType(code, globals(), closure=make.__closure__)
        self.make_by_type(type)

    def by_metacall(self, number):
        def make(kind):
            meta = type
            meta.__call__(kind)
            meta.__call__(kind, 1, k=2)
            bound = kind.__call__
            bound()
            bound(1)
            bound(1, k=2)
            for arguments in (), (1,), (1, 2, 3):
                bound(*arguments)
                bound(*arguments, **{"k": 1})
                arguments = kind, *arguments
                meta.__call__(*arguments)
                meta.__call__(*arguments, **{"k": 1})

        each(number, make, *self.recalled)

    def by_exec(self, number):
        names = {"probe": self.probe, "way": self.ways["EXEC"]}
        if number == 0:
            self.code = [compile("probe(way)", "", kind) for kind in ("exec", "eval")]
        exec("probe(way)", names)
        exec("probe(way)", names, {})
        eval("probe(way)", names)
        call_two(exec, "probe(way)", names)
        call_three(exec, "probe(way)", names, {})
        call_two(eval, "probe(way)", names)
        exec(self.code[0], names)
        exec(self.code[0], names, {})
        eval(self.code[1], names)

    def by_exec_spread(self, number):
        names = {"probe": self.probe, "way": self.ways["EXEC_SPREAD"]}
        code = compile("probe(way)", "", "exec")
        each(number, lambda run: run(exec, code, names), spread)

    def by_import(self, number):
        with self.imports:
            for function in IMPORTING_CALLS:
                attempt(each, number, function, IMPORTED)
            # Statements are never specialised.
            for function in IMPORTING_STATEMENTS if number == 0 else ():
                attempt(function, IMPORTED)
            for code in self.import_codes if number == 0 else ():
                attempt(exec, code, {})

    # ---- statements and operators ----

    def by_with(self, number):
        with self.full:
            pass
        with self.full:
            raise ValueError

    def by_plain_attribute(self, number):
        self.plain.prop
        self.plain.described

    def by_attribute(self, number):
        full = self.full
        full.prop
        full.missing
        full.prop()
        full.missing()
        full.described
        # CPython takes another way from the second time on.
        self.attentive.anything
        self.attentive = make_attentive(self.probe) if number % 2 else self.attentive
        make_attentive(self.probe, __getattr__=get_nothing).anything
        make_attentive(get_nothing, __getattr__=make_getter(self.probe)).anything

    def by_subscript(self, number):
        self.full[number]
        self.full[number:]
        self.lacking[number]
        type(self.lacking)[number]

    def by_unary(self, number):
        full = self.full
        -full
        ~full
        +full
        not full
        if full:
            pass
        for _ in full:
            pass

    def by_comparison(self, number):
        def compare(right):
            full < right
            full <= right
            full == right
            full != right
            full > right
            full >= right
            if full < right:
                pass

        full = self.full
        each(number, compare, 1, type(full)())
        1 < full
        1 == full
        if 1 >= full:
            pass
        number in full
        number not in full

    def by_operator(self, number):
        def calculate(right):
            full + right
            full - right
            full * right
            full / right
            full // right
            full % right
            full @ right
            full & right
            full | right
            full ^ right
            full << right
            full >> right
            full**right

        full = self.full
        each(number, calculate, 1, full, self.plain)

    def by_reflection(self, number):
        def calculate(left):
            left + full
            left - full
            left * full
            left / full
            left // full
            left % full
            left @ full
            left & full
            left | full
            left ^ full
            left << full
            left >> full
            left**full

        full = self.full
        each(number, calculate, 1, make_shy())

    def by_update(self, number):
        self.update(self.full)
        # Its operators return it, so that it goes on.
        self.update(self.plain)
        self.update_reflected(self.plain)

    def update(self, full):
        full += 1
        full -= 1
        full *= 1
        full /= 1
        full //= 1
        full %= 1
        full @= 1
        full &= 1
        full |= 1
        full ^= 1
        full <<= 1
        full >>= 1
        full **= 1

    def update_reflected(self, full):
        x = 1
        x += full
        x = 1
        x -= full
        x = 1
        x *= full
        x = 1
        x /= full
        x = 1
        x //= full
        x = 1
        x %= full
        x = 1
        x @= full
        x = 1
        x &= full
        x = 1
        x |= full
        x = 1
        x ^= full
        x = 1
        x <<= full
        x = 1
        x >>= full
        x = 1
        x **= full

    # ---- attributes of all kinds, by instructions and by functions ----

    def by_reading(self, number):
        def read(thing):
            thing.prop
            thing.prop()
            thing.described
            thing.described()

        def read_any(thing):
            thing.anything
            thing.anything()

        owners = self.owners["INSTRUCTION"]
        each(number, read, *owners.plain, *owners.asked)
        each(number, read_any, *owners.guarded, *owners.asked)
        each(number, type(owners.below).read, owners.below)

    def by_storing(self, number):
        def store(thing):
            thing.prop = number
            del thing.prop
            thing.described = number
            del thing.described

        def store_any(thing):
            thing.anything = number
            del thing.anything

        def store_item(thing):
            thing[number] = number
            del thing[number]
            thing[number:] = number
            del thing[number:]

        owners = self.owners["INSTRUCTION"]
        each(number, store, *owners.plain)
        each(number, store_any, *owners.guarded)
        each(number, store_item, self.full)

    def by_function_of_attributes(self, number):
        def read(thing):
            function(thing, "prop")
            function(thing, "described")
            call_two(function, thing, "prop")
            call_two(function, thing, "described")

        def read_any(thing):
            function(thing, "anything")
            call_two(function, thing, "anything")

        def read_or(thing):
            getattr(thing, "prop", None)
            getattr(thing, "described", None)
            call_three(getattr, thing, "prop", None)
            call_three(getattr, thing, "described", None)

        def read_any_or(thing):
            getattr(thing, "anything", None)
            call_three(getattr, thing, "anything", None)

        def store(thing):
            setattr(thing, "prop", number)
            setattr(thing, "described", number)
            call_three(setattr, thing, "prop", number)
            call_three(setattr, thing, "described", number)

        def store_any(thing):
            setattr(thing, "anything", number)
            call_three(setattr, thing, "anything", number)

        for function in getattr, hasattr, delattr:
            owners = self.owners[function.__name__.upper()]
            each(number, read, *owners.plain)
            each(number, read_any, *owners.guarded)
            if function is not delattr:
                each(number, read, *owners.asked)
                each(number, read_any, *owners.asked)
        owners = self.owners["SETATTR"]
        each(number, store, *owners.plain)
        each(number, store_any, *owners.guarded)
        owners = self.owners["GETATTR"]
        each(number, read_or, *owners.plain, *owners.asked)
        each(number, read_any_or, *owners.guarded, *owners.asked)

    def by_method_of_attributes(self, number):
        def read(thing):
            base.__getattribute__(thing, "prop")
            base.__getattribute__(thing, "described")
            method = bound.__getattribute__
            method("prop")
            method("described")

        def store(thing):
            base.__setattr__(thing, "prop", number)
            base.__setattr__(thing, "described", number)
            method = bound.__setattr__
            method("prop", number)
            method("described", number)

        def delete(thing):
            base.__delattr__(thing, "prop")
            base.__delattr__(thing, "described")
            method = bound.__delattr__
            method("prop")
            method("described")

        for way, use in ("GET", read), ("SET", store), ("DELETE", delete):
            owners = self.owners[way]
            for base, thing in zip((object, type), owners.plain, strict=True):
                bound = super(type(thing), thing)
                each(number, use, thing)

    # ---- functions that convert what a method returns ----

    def by_conversion(self, number):
        for function, arguments, site in self.conversions:
            # One place for each, and one that sees all.
            site(function, *arguments)
            (call, call_two)[len(arguments) - 1](function, *arguments)

    def by_showing(self, number):
        def show(thing):
            _ = f"{thing}{thing!s}{thing!r}{thing!a}{thing!s:9}{thing!r:9}{thing!a:9}"

        def show_as(thing):
            _ = f"{thing:x}"

        each(number, show, *self.showing)
        each(number, show_as, self.showing[0])

    def by_function_of_operators(self, number):
        def divide(thing):
            divmod(thing, 1)
            divmod(1, thing)
            call_two(divmod, thing, 1)
            call_two(divmod, 1, thing)

        def raise_to(thing):
            pow(thing, 1)
            pow(1, thing)
            call_two(pow, thing, 1)
            call_two(pow, 1, thing)

        each(number, divide, self.divided)
        each(number, raise_to, self.raised)
        divmod(self.divided, self.divided)
        pow(self.raised, self.raised)


# ---- loops that are compiled ----

LEARNT = 50
ROUNDS = range(20)
# Almost as many rounds as it takes until a loop is compiled.
IDLE = ((),) * 3980


class Operand:
    """What learns in its methods, and counts when the loop that calls them is compiled."""

    def __init__(self, learn):
        self.learn = learn
        self.learnt = 0

    def __neg__(self):
        self.learnt += self.learn(0)

    def __invert__(self):
        self.learnt += self.learn(0)

    def __contains__(self, _):
        self.learnt += self.learn(0)

    def steps(self, way):
        yield
        while True:
            self.learnt += self.learn(way)
            yield


def use_step(step):
    """Statements with a step that has begun."""
    yield "f(a)", next, step
    yield "f(a)", step.send, None
    yield "f(a, None)", type(step).send, step
    yield "f(a)", step.throw, ValueError()
    yield "f(a, b)", type(step).throw, step, ValueError()


class Endless:
    """An iterator that probes."""

    def __init__(self, probe, way):
        self.probe, self.way = probe, way

    def __iter__(self):
        return self

    def __next__(self):
        self.probe(self.way)


class Callable:
    """Takes all; a call that has seen it suits callables of all kinds."""

    def __init__(self, function=None):
        self.function = function or empty

    def __call__(self, *args, **kwargs):
        self.function(*args, **kwargs)


LOOP = """\
def loop(cleaner, rounds, a, b):
    for fs in rounds:
        for f in fs:
            -cleaner
            {}
"""


@functools.lru_cache(None)
def make_loop(statement):
    """The code of a loop with this statement."""
    names = {}
    exec(LOOP.format(statement), names)
    return names["loop"].__code__


def run_loop(cleaner, statement, f=None, a=None, b=None, first=None):
    """Run a loop with the statement, of f, a and b, until it's compiled, and some rounds more."""
    loop = types.FunctionType(make_loop(statement).replace(), globals())
    loop(cleaner, ((first or f and Callable(),),) * 16, a, b)
    loop(cleaner, IDLE + ((f,),) * 130, a, b)
    loop(cleaner, ((f,),) * 4, a, b)


def negate(cleaner, thing):
    """Compiled with a call of one operand."""
    for _ in ROUNDS:
        -cleaner
        -thing


def invert(cleaner, thing):
    """The same."""
    for _ in ROUNDS:
        -cleaner
        ~thing


def contain(cleaner, thing):
    """Compiled with a call of two operands."""
    for _ in ROUNDS:
        -cleaner
        1 in thing


def send(cleaner, generator):
    """Compiled with a call of a method, which needs more of the stack."""
    for _ in ROUNDS:
        -cleaner
        generator.send(1)


BINARY = "add sub mul truediv floordiv mod divmod matmul and or xor lshift rshift pow"
OTHERS = "call enter getattr getitem neg invert pos lt le eq ne gt ge contains bool iter"


IMPORTED = "encodings._measured"


def import_statement(name):
    """Import what isn't there."""
    import encodings._measured  # noqa: F401


def import_submodule(name):
    """The same as a submodule."""
    from encodings import _measured  # noqa: F401


def import_by_call(name):
    """The same by calls."""
    __import__(name)


def import_submodule_by_call(name):
    """The same as a submodule."""
    __import__("encodings", None, None, ["_measured"])


def import_by_keyword(name):
    """The same with names of parameters."""
    __import__(name, level=0)


def import_submodule_by_keyword(name):
    """The same as a submodule."""
    __import__("encodings", fromlist=["_measured"])


def attempt(function, *arguments):
    """Call a function that imports what isn't there."""
    try:
        function(*arguments)
    except ImportError:
        pass


IMPORTING_STATEMENTS = import_statement, import_submodule
IMPORTING_CALLS = (
    import_by_call,
    import_submodule_by_call,
    import_by_keyword,
    import_submodule_by_keyword,
)


def make_imports(probe):
    """A context in which importing a module that isn't there probes, and then fails."""

    class Finder:
        def find_spec(self, name, path, target=None):
            if name == IMPORTED:
                probe()
                raise ModuleNotFoundError(name=name)

    finder = Finder()

    class Context:
        def __enter__(self):
            sys.meta_path.insert(0, finder)

        def __exit__(self, *error):
            sys.meta_path.remove(finder)

    return Context()


def make_full(probe, way):
    """An object every operation of which probes."""

    def answer(value):
        def method(self, *args, **kwargs):
            probe(way)
            return value

        return method

    class Descriptor:
        __get__ = answer(None)

    def get(self, *args):
        probe(way)
        return empty

    def update(self, other):
        probe(way)
        return self

    names = [prefix + name for prefix in ("", "r") for name in BINARY.split()]
    methods = {f"__{name}__": answer(True) for name in names + OTHERS.split()}
    methods |= {f"__i{name}__": update for name in BINARY.split()}
    methods |= {"__setitem__": get, "__delitem__": get}
    methods |= {"__exit__": answer(True), "__iter__": answer(iter(())), "__getattr__": get}
    methods |= {"prop": property(get), "described": Descriptor(), "__hash__": None}
    return type("Full", (), methods)()


def make_plain(probe, way):
    """An object without ``__getattr__`` and operators in place."""

    def method(self, *args):
        probe(way)
        return self

    class Descriptor:
        __get__ = method

    methods = {f"__{prefix}{name}__": method for prefix in ("", "r") for name in BINARY.split()}
    methods |= {"prop": property(method), "described": Descriptor()}
    return type("Plain", (), methods)()


def make_attentive(probe, **methods):
    """An object with ``__getattribute__``."""

    def __getattribute__(self, name):
        probe(0)

    return type("Attentive", (), {"__getattribute__": __getattribute__, **methods})()


def make_getter(probe):
    """A ``__getattr__`` that probes."""

    def __getattr__(self, name):
        probe(0)

    return __getattr__


def get_nothing(*args):
    """A ``__getattr__``, or a probe that makes ``__getattribute__`` leave it to it."""
    raise AttributeError


def make_able(probe, way, *names):
    """An object with methods of these names that probe."""

    def method(self, *args, **kwargs):
        probe(way)

    return type("Able", (), {f"__{name}__": method for name in names})()


def make_hooked(probe, way):
    """A class that probes when another one is derived from it."""

    class Hooked:
        def __init_subclass__(cls, **keywords):
            probe(way)

    return Hooked


class Metas:
    """Metaclasses that probe."""

    def __init__(self, probe, way):
        class New(type):
            def __new__(meta, name, bases, names, **keywords):
                probe(way)

        class Init(type):
            def __init__(cls, *arguments):
                probe(way)

        class InitKeywords(type):
            def __new__(meta, name, bases, names, **keywords):
                return super().__new__(meta, name, bases, names)

            def __init__(cls, *arguments, **keywords):
                probe(way)

        class Space(dict):
            def __setitem__(self, key, value):
                probe(0)

        class Spaced(type):
            def __prepare__(*arguments):
                return Space()

        self.New, self.Init, self.InitKeywords, self.Spaced = New, Init, InitKeywords, Spaced


class Plain(type):
    """A metaclass without anything."""


class Owners:
    """Objects that probe when an attribute is used: CPython treats them otherwise from then on."""

    def __init__(self, probe, way):
        def use(*args):
            probe(way)
            return empty

        class Descriptor:
            __get__ = __set__ = __delete__ = use

        self.use = use
        self.two = {"prop": property(use, use, use), "described": Descriptor()}

    def make(self, **methods):
        kind = type("Made", (), methods)
        meta = type("Meta", (type,), methods)
        return kind(), meta("Made", (), {})

    @functools.cached_property
    def plain(self):
        return self.make(**self.two)

    @functools.cached_property
    def guarded(self):
        use = self.use
        guards = {"__getattribute__": use, "__setattr__": use, "__delattr__": use}
        return *self.make(**guards), *self.make(__getattr__=get_nothing, **guards)

    @functools.cached_property
    def asked(self):
        module = types.ModuleType("made")
        module.__getattr__ = self.use
        module.prop = module.described = empty
        made = *self.make(__getattr__=self.use, **self.two), module
        return made + self.make(__getattr__=self.use, __getattribute__=get_nothing)

    @functools.cached_property
    def below(self):
        class Below(type(self.plain[0])):
            def read(self):
                super().prop
                super().prop()
                super().described
                super().described()

        return Below()


def make_conversions(probe, way):
    """What the table of _conversions.py has: function, arguments that probe, place of the call."""
    answers = {
        "__aiter__": type("Stepper", (), {"__anext__": empty})(),
        "__bool__": True,
        "__bytes__": b"",
        "__complex__": 1j,
        "__dir__": [],
        "__float__": 1.0,
        "__hash__": 1,
        "__index__": 1,
        "__int__": 1,
        "__iter__": iter(()),
        "__len__": 1,
    }

    def make(number, name):
        def method(*args):
            probe(way - number)
            return answers.get(name, "")

        return type("Made", (), {name: method})()

    made = []
    for number, (function, place, name, *others) in enumerate(TABLE):
        arguments = [None] * place + [make(number, name), *others]
        site = (call, call_two)[len(arguments) - 1]
        made.append((function, arguments, type(site)(site.__code__.replace(), {})))
    return made


def make_lacking(probe):
    """A dict that probes when a key is missing, of a class that probes when it gets one."""

    def get(self, key):
        probe(0)

    return type("Lacking", (dict,), {"__missing__": get, "__class_getitem__": get})()


def make_showing(probe):
    """Objects that probe when they are shown."""

    def show(*args):
        probe(0)
        return ""

    names = "__format__", "__str__", "__repr__"
    return [type("Shown", (), {name: show})() for name in names]


def make_stepper(probe, way):
    """An iterator that probes."""

    class Stepper:
        count = 0

        def __iter__(self):
            return self

        def __next__(self):
            probe(way)
            self.count += 1
            if self.count > 3:
                raise StopIteration

    return Stepper()


def make_function(probe, way):
    """A function that probes."""

    def function(*args, **kwargs):
        probe(way)

    return function


def make_shy():
    """An object whose operators leave it to the other."""

    def method(self, other):
        return NotImplemented

    methods = {f"__{name}__": method for name in BINARY.split()}
    return type("Shy", (), methods)()


def make_classes(probe, way):
    """Two classes that probe when they are called."""

    class Init:
        def __init__(self, *args, **kwargs):
            probe(way)

    class New:
        def __new__(cls, *args, **kwargs):
            probe(way)
            return super().__new__(cls)

    return Init, New


@types.coroutine
def give():
    """Give the event loop a turn."""
    yield


class Pause:
    """The same without a generator."""

    def __await__(self):
        return iter([None])


def drive(number, ways, step):
    """Take what an event loop is given: first in one way, then in the other."""
    start, go_on = ways
    try:
        each(number, start, step)
        while True:
            each(number, go_on, step)
    except StopIteration:
        pass


def start_by_bound_send(step):
    """Call a method that was taken from the object before."""
    send = step.send
    send(None)


def go_on_by_bound_send(step):
    """The same with a value."""
    send = step.send
    send(1)


BY_NEXT = (lambda step: next(step),) * 2
BY_SEND = (lambda step: step.send(None)), (lambda step: step.send(1))
BY_BOUND_SEND = start_by_bound_send, go_on_by_bound_send
BY_GENERAL_CALL = (lambda step: call(next, step)), (lambda step: call(step.send, 1))


class Given:
    """What ``await`` and ``anext()`` find in it is a coroutine, or another awaitable."""

    def __init__(self, awaitable):
        self.awaitable = awaitable

    def __await__(self):
        return self.awaitable.__await__()

    def __anext__(self):
        return self.awaitable


def call(function, argument):
    """Gets specialised for callables of all kinds, as a place does that has seen several."""
    return function(argument)


def call_two(function, first, second):
    """The same for two arguments."""
    return function(first, second)


def call_three(function, first, second, third):
    """The same for three arguments."""
    return function(first, second, third)


def spread(function, *args, **kwargs):
    """What importlib calls other functions with."""
    return function(*args, **kwargs)


def affirm(*args):
    """Always true."""
    return True


def empty(*args, **kwargs):
    """Nothing to do."""
