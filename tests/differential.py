"""Random programs that suspend: their source text, and how they are run.

``program(suspend, log)`` of such a source calls ``suspend(number)`` again and again, appends to
LOG what it sees, and always ends. Nothing of it depends on where it runs or on what ran before.
"""

import importlib
import sys
import types
from pathlib import Path

import programs
from hypothesis import strategies as st

IMPORTS = "from differential import Manager, Oops\n\nG = 1\n\n\n"


class Manager:
    """A context manager that logs what happens to it."""

    def __init__(self, log, name, suppress):
        self.log, self.name, self.suppress = log, name, suppress

    def __enter__(self):
        self.log.append(("enter", self.name))
        return self.name

    def __exit__(self, kind, value, traceback):
        self.log.append(("exit", self.name, repr(value)))
        return self.suppress


class Oops(Exception):
    """What programs raise beside Python's own exceptions."""


class Writer:
    """Writes one program, each choice of which is drawn by hypothesis."""

    def __init__(self, draw, global_writes):
        self.draw = draw
        self.global_writes = global_writes
        self.lines = []
        self.indent = 0
        self.names = 0
        self.points = 0
        self.budget = draw(st.integers(4, 26))  # statements

    # ---- choices and lines

    def pick(self, *things):
        return self.draw(st.sampled_from(things))

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def maybe(self):
        return self.draw(st.booleans())

    def fresh(self, prefix):
        self.names += 1
        return f"{prefix}{self.names}"

    def line(self, text):
        self.lines.append("    " * self.indent + text)

    def block(self, head, scope, depth, **changes):
        self.line(head)
        self.indent += 1
        self.body(scope.inside(**changes), depth - 1)
        self.indent -= 1

    # ---- expressions: all are ints, or raise

    def point(self):
        self.points += 1
        return f"suspend({self.points})"

    def atom(self, scope):
        kind = self.number(0, 7)
        if kind <= 2 and scope.suspends:
            return self.point()
        if kind <= 5 and scope.variables:
            return self.pick(*scope.variables)
        if kind == 6:
            return "G"
        return str(self.number(0, 9))

    def expression(self, scope, depth=2):
        if depth == 0 or self.maybe():
            return self.atom(scope)
        a = self.expression(scope, depth - 1)
        b = self.expression(scope, depth - 1)
        kind = self.number(0, 15)
        if kind == 0:
            return f"({a} // {b})"
        if kind == 1:
            return f"({a} if {b} else {self.atom(scope)})"
        if kind == 2:
            return f"({a} {self.pick('and', 'or')} {b})"
        if kind == 3:
            return f"int({a} {self.pick('<', '==', '!=')} {b} < {self.atom(scope)})"
        if kind == 4:
            v = self.fresh("v")
            return f"sum([{v} + {a} for {v} in {self.iterable(scope)} if {b} + {v}])"
        if kind == 5:
            v = self.fresh("v")
            return f"sum({{{v}: {a} for {v} in {self.iterable(scope)}}}.values()) + {b}"
        if kind == 6:
            v, w = self.fresh("v"), self.fresh("v")
            return f"len({{({v}, {w} + {b}) for {v} in (1, {a}) for {w} in range(2)}})"
        if kind == 7:
            c, d, e = self.atom(scope), self.atom(scope), self.atom(scope)
            return f"len(f'{{{c}}}<{{{d}:>4}}>{{{e}!r}}')"
        if kind == 8:
            return f"[{a}, *({b}, {self.atom(scope)}), *range(2)][{self.number(0, 5)}]"
        if kind == 9:
            return f"{{1: {a}, **{{2: {b}}}}}[{self.pick(1, 2)}]"
        if kind == 10 and scope.calls:
            return self.call(scope, a, b)
        if kind == 11:
            return f"max({a}, {b}, key=None)"
        if kind == 12:
            x = self.fresh("x")
            inner = scope.inside(variables=[*scope.variables, x], suspends=scope.suspends)
            return f"(lambda {x}, y={a}: {self.expression(inner, 1)} + y)({b})"
        return f"({a} {self.pick('+', '-', '*')} {b})"

    def call(self, scope, a, b):
        name, kind = self.pick(*scope.calls)
        if kind == "closure":
            return f"{name}({a})"
        shape = self.number(0, 3)
        if shape == 0:
            return f"{name}(suspend, log, {a}, {b})"
        if shape == 1:
            return f"{name}(suspend, log, b={b}, a={a})"
        if shape == 2:
            return f"{name}(suspend, log, {a})"
        return f"{name}(suspend, log, {a}, {b}, {self.atom(scope)}, k={self.atom(scope)})"

    def iterable(self, scope):
        kind = self.number(0, 7)
        a, b = self.atom(scope), self.atom(scope)
        return [
            f"range({self.number(0, 3)})",
            f"[{a}, {b}]",
            f"({a}, {b})",
            f"{{{a}: {b}}}",
            f"{{1: {a}, 2: {b}}}.values()",
            f"map(abs, [{a}, -1])",
            f"reversed([{a}, {b}])",
            f"filter(None, ({a}, {b}))",
        ][kind]

    # ---- statements

    def body(self, scope, depth):
        count = self.number(1, 3)
        before = len(self.lines)
        for _ in range(count):
            if self.budget <= 0:
                break
            self.budget -= 1
            self.statement(scope, depth)
        if len(self.lines) == before:
            self.line(f"log.append({self.atom(scope)})")

    def statement(self, scope, depth):
        simple = [
            self.assign, self.assign, self.log, self.log, self.augment, self.unpack, self.delete,
            self.leave, self.raise_, self.make_generator, self.step_generator,
        ]  # fmt: skip
        compound = [
            self.if_, self.for_, self.for_, self.while_, self.try_, self.try_, self.with_,
            self.closure, self.for_generator, self.for_generator, self.groups, self.match_,
        ]  # fmt: skip
        if self.global_writes:
            simple.append(self.write_global)
        self.pick(*(simple if depth == 0 else simple + compound * 2))(scope, depth)

    def assign(self, scope, depth):
        name = self.pick("a", "b", "c", "d")
        if name in scope.frozen:
            name = "a"
        self.line(f"{name} = {self.expression(scope)}")
        if name not in scope.variables:
            scope.variables.append(name)

    def log(self, scope, depth):
        self.line(f"log.append(({self.expression(scope)}, {self.atom(scope)}))")

    def augment(self, scope, depth):
        if scope.variables:
            name = self.pick(*scope.variables)
            self.line(f"{name} {self.pick('+=', '-=', '|=')} {self.expression(scope)}")
        else:
            self.log(scope, depth)

    def unpack(self, scope, depth):
        a, b = self.atom(scope), self.atom(scope)
        self.line(f"a, (b, *rest) = {a}, ({b}, *[{self.atom(scope)}] * 2)")
        self.line("c = len(rest)")
        scope.variables.extend({"a", "b", "c"} - set(scope.variables))

    def delete(self, scope, depth):
        if scope.variables and scope.deletes:
            # Those who read it after that see an UnboundLocalError.
            self.line(f"del {self.pick(*scope.variables)}")
        else:
            self.log(scope, depth)

    def write_global(self, scope, depth):
        if scope.nested:
            self.log(scope, depth)
        else:
            self.line(f"G {self.pick('=', '+=')} {self.expression(scope, 1)}")

    def leave(self, scope, depth):
        kinds = ["return", "yield"] if scope.generator else ["return"]
        kind = self.pick(*kinds, *(["break", "continue"] if scope.loop else []))
        if kind == "yield":
            self.line(f"yield {self.expression(scope, 1)}")
            return
        value = f" {self.expression(scope, 1)}" if kind == "return" else ""
        if self.maybe():
            self.line(f"if {self.expression(scope, 1)}:")
            self.line(f"    {kind}{value}")
        else:
            self.line(f"{kind}{value}")

    def raise_(self, scope, depth):
        kind = self.pick("ValueError", "KeyError", "Oops", "ZeroDivisionError")
        if scope.handler and self.maybe():
            new = f"raise {kind}({self.atom(scope)}) from error"
            self.line(self.pick("raise", new, "raise error"))
        else:
            self.line(f"if {self.atom(scope)} % 2:")
            self.line(f"    raise {kind}({self.atom(scope)})")

    def if_(self, scope, depth):
        self.block(f"if {self.expression(scope)}:", scope, depth)
        if self.maybe():
            self.block(f"elif {self.expression(scope, 1)}:", scope, depth)
        if self.maybe():
            self.block("else:", scope, depth)

    def for_(self, scope, depth):
        v = self.fresh("i")
        kind = self.number(0, 3)
        if kind == 0:
            w = self.fresh("j")
            source = self.pick(
                f"enumerate({self.iterable(scope)})",
                # Views of dicts can't be pickled: none may wait there for the second one.
                f"zip(list({self.iterable(scope)}), {self.iterable(scope)})",
                f"{{1: {self.atom(scope)}, 2: {self.atom(scope)}}}.items()",
            )
            names, target = [v, w], f"{v}, {w}"
        else:
            names, target, source = [v], v, self.iterable(scope)
        variables = [*scope.variables, *names]
        self.block(f"for {target} in {source}:", scope, depth, variables=variables, loop=True)
        if self.maybe():
            self.block("else:", scope, depth)

    def while_(self, scope, depth):
        v = self.fresh("n")
        self.line(f"{v} = 0")
        test = self.pick(f"{v} < {self.number(1, 3)}", f"({v} < 2 and {self.atom(scope)} + 1)")
        self.line(f"while {test}:")
        self.indent += 1
        self.line(f"{v} += 1")
        self.body(scope.inside(loop=True), depth - 1)
        self.indent -= 1
        if self.maybe():
            self.block("else:", scope, depth)

    def try_(self, scope, depth):
        self.block("try:", scope, depth)
        handlers = self.number(0, 2)
        for kind in self.draw(st.permutations(["ValueError", "(KeyError, Oops)"]))[:handlers]:
            self.block(f"except {kind} as error:", scope, depth, handler=True)
        if self.maybe() or not handlers:
            self.block("except Exception as error:", scope, depth, handler=True)
            self.line("    log.append((type(error).__name__, error.args))")
            handlers += 1
        if self.maybe():
            self.block("else:", scope, depth)
        if self.maybe():
            self.block("finally:", scope, depth, loop=False, leaves=False)

    def groups(self, scope, depth):
        if hasattr(sys, "gettotalrefcount"):
            # CPython's debug builds assert that an exception in except* has a traceback, which a
            # copy has lost.
            self.line("pass")
            return
        inner = scope.inside(loop=False, flat=True)
        self.line("try:")
        self.line(f"    log.append({self.expression(scope)})")
        self.line("    raise ExceptionGroup('g', [ValueError(1), KeyError(2), Oops(3)])")
        self.line("except* ValueError as error:")
        self.line(f"    log.append([{self.atom(inner)}, repr(error.exceptions)])")
        self.line("except* (KeyError, Oops) as error:")
        self.line(f"    log.append([{self.expression(inner, 1)}, repr(error.exceptions)])")
        if self.maybe():
            self.line(f"    raise Oops({self.atom(scope)})")

    def with_(self, scope, depth):
        count = self.number(1, 2)
        items = [
            f"Manager(log, {self.atom(scope)}, {self.maybe()}) as {self.fresh('m')}"
            for _ in range(count)
        ]
        self.block(f"with {', '.join(items)}:", scope, depth)

    def match_(self, scope, depth):
        a, b = self.expression(scope, 1), self.atom(scope)
        self.line(f"match [{a}, {b}]:")
        self.indent += 1
        self.block(f"case [0 | 1, mx] if {self.atom(scope)}:", scope, depth)
        self.block("case [mx, my]:", scope, depth)
        self.indent -= 1

    def closure(self, scope, depth):
        name = self.fresh("f")
        shared = self.fresh("s")
        self.line(f"{shared} = {self.atom(scope)}")
        self.line(f"def {name}(x):")
        self.indent += 1
        self.line(f"nonlocal {shared}")
        self.line(f"{shared} += {self.atom(scope.inside(variables=['x', shared]))}")
        inside = scope.inside(
            variables=["x", shared], loop=False, handler=False, generator=False, nested=True,
            frozen=scope.frozen, deletes=False,
        )  # fmt: skip
        inside.calls = list(scope.calls)
        self.body(inside, min(depth - 1, 1))
        self.line(f"return {shared}")
        self.indent -= 1
        scope.calls.append((name, "closure"))
        scope.variables.append(shared)
        self.line(f"log.append({name}({self.atom(scope)}))")

    def generator_of(self, scope):
        g = self.pick(*scope.generators) if scope.generators else None
        if g is None:
            v = self.fresh("v")
            return f"({v} + {self.atom(scope)} for {v} in {self.iterable(scope)})"
        return f"{g}(suspend, log, {self.atom(scope)}, {self.atom(scope)})"

    def for_generator(self, scope, depth):
        if scope.generator and self.maybe():
            result = self.fresh("r")
            source = self.pick(self.generator_of(scope), self.iterable(scope))
            self.line(f"{result} = yield from {source}")
            self.line(f"log.append(repr({result}))")
            return
        v = self.fresh("i")
        variables = [*scope.variables, v]
        head = f"for {v} in {self.generator_of(scope)}:"
        self.block(head, scope, depth, variables=variables, loop=True)

    def make_generator(self, scope, depth):
        # One that rests in a local while others suspend; it doesn't suspend itself.
        g, v = self.fresh("g"), self.fresh("v")
        source = f"({v} * {self.number(1, 3)} for {v} in range({self.number(0, 3)}))"
        self.line(f"{g} = {self.pick(source, f'quiet({self.number(0, 3)}, log)')}")
        self.line(f"log.append(next({g}, None))")
        if scope.suspends:
            self.line(f"log.append({self.point()})")
        end = self.pick(f"log.append(list({g}))", f"log.append(next({g}, 'end'))", f"{g}.close()")
        self.line(end)

    def step_generator(self, scope, depth):
        v = self.fresh("i")
        self.line(f"for {v} in quiet({self.number(1, 3)}, log):")
        self.line(f"    log.append({v} + {self.atom(scope)})")

    # ---- the whole

    def function(self, name, calls, generators, generator):
        self.line(f"def {name}(suspend, log, a=1, b=2, *rest, k=3):")
        self.indent += 1
        if self.global_writes:
            self.line("global G")
        if generator:
            self.line("yield a")
        scope = Scope(["a", "b", "k"], calls, generators, generator)
        self.body(scope, self.number(1, 3))
        self.line(f"return {self.expression(scope, 1)}")
        self.indent -= 1
        self.line("")

    def program(self):
        self.line("def quiet(n, log):")
        self.line("    try:")
        self.line("        for i in range(n):")
        self.line("            yield i")
        self.line("    finally:")
        self.line("        log.append('quiet')")
        self.line("")
        calls, generators = [], []
        for number in range(self.number(0, 3)):
            generator = self.maybe()
            name = f"{'gen' if generator else 'fun'}{number}"
            self.function(name, list(calls), list(generators), generator)
            if generator:
                generators.append(name)
            else:
                calls.append((name, "function"))
        self.budget += 4
        self.function("program", calls, generators, False)
        return "\n".join(self.lines)


class Scope:
    """What a statement may use at its place."""

    def __init__(self, variables, calls, generators, generator):
        self.variables = list(variables)
        self.calls = calls
        self.generators = generators
        self.generator = generator
        self.frozen = ()
        self.suspends = True
        self.deletes = True
        self.loop = self.handler = self.nested = False

    def inside(self, **changes):
        scope = Scope.__new__(Scope)
        scope.__dict__.update(self.__dict__)
        scope.variables = list(self.variables)
        scope.calls = list(self.calls)
        scope.__dict__.update(changes)
        return scope


@st.composite
def sources(draw, global_writes=False):
    """The text of one program, without its header."""
    return Writer(draw, global_writes).program() + "\n"


# ---- running them ---------------------------------------------------------


def namespace_of(source, module=None):
    """Execute a source in a dict that no module has, or in the importable module of that name."""
    if module is None:
        namespace = {"__name__": "a_place_that_cannot_be_imported"}
        exec(compile(IMPORTS + source, "<generated>", "exec"), namespace)
        return namespace
    return vars(importlib.import_module(module))


def write_module(source, folder, module):
    """Make a source importable."""
    Path(folder, module + ".py").write_text(IMPORTS + source, encoding="utf-8")
    importlib.invalidate_caches()


def call(program, log, outcome):
    from pickletask import schedule_remove

    try:
        outcome.append((program(schedule_remove, log), log))
    except Exception as error:
        outcome.append((programs.raised(error), log))


def start(source, module=None):
    """A tasklet that will run a program, and the list that gets its result."""
    from pickletask import tasklet

    outcome = []
    task = tasklet(call)(namespace_of(source, module)["program"], [], outcome)
    task.remove()
    return task, outcome


class TooLong(BaseException):
    """The program suspends so often that it isn't worth the time."""


def reference(source, module=None, limit=60):
    """The trace of a program whose suspend() just returns, or None if it is too long."""
    trace, log = [], []

    def suspend(value):
        trace.append(("suspended", repr(value)))
        if len(trace) > limit:
            raise TooLong
        return value

    try:
        result = namespace_of(source, module)["program"](suspend, log)
    except TooLong:
        return None
    except Exception as error:
        result = programs.raised(error)
    trace.append(("returned", repr((result, log))))
    return trace


def run_and_resume(source, copy, module=None):
    """Like programs.run_and_resume()."""
    trace, originals = [], []
    task, outcome = start(source, module)
    while programs.step(task, outcome, trace):
        originals.append(task)
        task, outcome = copy((task, outcome))
    for task in originals:
        programs.end(task)
    return trace


def forget(module):
    """Undo write_module() and the import."""
    loaded = sys.modules.pop(module, None)
    assert loaded is None or isinstance(loaded, types.ModuleType)
