"""Random programs that suspend: their source text, drawn by hypothesis.

``program(suspend, log)`` of such a source calls ``suspend(number)`` again and again, appends to
LOG what it sees, and always ends. Nothing of it depends on where it runs or on what ran before.

The grammar consists of templates. What stands in <> there is filled in:

====================  ===========================================================================
<e> <a> <p>           an expression; a short one; ``suspend(number)``. All are ints, or raise
<i> <ii>              an iterable of such, and of pairs of such
<g>                   a generator
<n>                   a small number
<v> <w> <x>           a new name, the same all over the template: of an int, of anything else, of
                      the exception that a handler has caught
<t>                   one of a few variables, an int from now on
<fun> <cls> ...       something defined before, of that kind
<error>               the exception that is handled
<body>                statements
====================  ===========================================================================

Words behind one of them change what may stand there: ``<body +loop>`` may ``break``, and
``<e -walrus>`` does without ``:=``. A table says by such words, the flags, which of its templates
fit a place: all of a template's flags must be there. A line that begins with "?", and what is
indented below it, may be left out.
"""

import re
import sys
import textwrap

from hypothesis import strategies as st

VERSIONS = {f"3.{minor}" for minor in range(11, sys.version_info[1] + 1)}

EXPRESSIONS = {
    "": """
        (<e> + <e>)
        (<e> - <e>)
        (<e> * <e> % 97)
        (<e> // <e>)
        (<e> if <e> else <e>)
        (<e> and <e>)
        (<e> or <e>)
        (not <e>)
        (-<e> | ~<e> & <e> ^ <e>)
        int(<e> < <e> <= <e>)
        int(<a> is None or <e> in (<e>, <e>))
        sum([<v> + <e> for <v> in <i -walrus> if <e>])
        sum({<v>: <e> for <v> in <i -walrus> if <e> if <e>}.values())
        len({(<v>, <w> + <e>) for <v> in <i -walrus> for <w> in <i -walrus>})
        sum([sum([<v> + <w> + <e> for <w> in <i -walrus>]) for <v> in <i -walrus>])
        sum([(lambda: <v>)() + <e> for <v> in <i -walrus>])
        sum([f() for f in [lambda <v>=<v>: <v> + <n> for <v> in <i -walrus>]])
        len(f'{<a>}<{<a>:>4}>{<a>!r:{<n>}}{<a>=}')
        [<e>, *(<e>, <e>), *range(2)][<n>]
        [*<i>, <e>][-1]
        {1: <e>, **{2: <e>}}[<n>]
        sum([<e>, <e>, <e>][<e>:<e>])
        sum((<e>, <e>, <e>)[<a>::2])
        max(<e>, <e>, key=None)
        (lambda <v>, y=<e>: <e -async +lambda> + y)(<e>)
        (lambda *args, **kw: sum(args) + kw['k'])(<e>, *[<e>], k=<e>)
        sum(next(<g -walrus -async>, <a>) for <w> in (1, 2))
        next(<g>, <e>)
        descend(suspend, <n>, <e>)
        descend(suspend, 80, <e>)
        eval('x + 1', {'x': <e>})
        functools.partial(descend, suspend, 1)(<e>)
    """,
    "walrus": "(<t> := <e>)",
    "async": """
        (await pause_twice(suspend, <e>))
        sum([await pause_twice(suspend, <v>) for <v> in <i -walrus>])
    """,
    "fun": """
        <fun>(suspend, log, <e>, <e>)
        <fun>(suspend, log, b=<e>, a=<e>)
        <fun>(suspend, log, *[<e>, <e>, <e>], k=<e>)
        <fun>(*(suspend, log, <e>), **{'k': <e>, 'z': <e>})
    """,
    "fun importable": "functools.partial(<fun>, suspend, log)(<e>)",
    "closure": "<closure>(<e>)",
    "cor": "drive(<cor>(suspend, log, <e>))",
    "cor async": """
        (await <cor>(suspend, log, <e>, <e>))
    """,
    "agen async": """
        sum([<v> async for <v> in <agen>(suspend, log, <e>)])
        len({<v>: <e> async for <v> in <agen>(suspend, log, <e>) if <v>})
        sum([<v> async for <v> in (<w> + 1 async for <w> in <agen>(suspend, log, <e>))])
        (await anext(<agen>(suspend, log, <e>), <e>))
    """,
    "3.12": """
        len(f'{ <e>}<{ <e>:>4}>{ <e>!r:{ <e>}}{ <e>=}')
    """,
    "3.14": """
        len(t'{<a>}x{ <e>!r:>{ <e>}}'.values)
        sum(t'{ <e -walrus -async>}{<a>}'.interpolations[<n>].value for <w> in [<n>])
    """,
    "3.15": """
        sum([*[<v>, <e>] for <v> in <i -walrus>])
    """,
}

ITERABLES = """
    range(<n>)
    [<e>, <e>]
    (<e>, <e>)
    {<e>: <e>}
    {1: <e>, 2: <e>}.values()
    map(abs, [<e>, -1])
    reversed([<e>, <e>])
    filter(None, (<e>, <e>))
    iter([<e>, 0, <e>])
    bytes((1, <n>))
    sorted({<e>, <e>})
    {<e>}
    itertools.chain([<e>], (<e>,))
    itertools.islice((<e>, <e>, 3), 2)
    collections.deque([<e>, <e>])
"""

PAIRS = """
    enumerate(<i>)
    zip(<i>, <i>)
    {1: <e>, 2: <e>}.items()
    itertools.product([1, <e>], [2])
    [(<e>, <e>)]
"""

GENERATORS = {
    "": """
        (<v> + <n> for <v> in <i -walrus -async>)
        (<v> + <e -walrus -async> for <v> in <i -walrus -async>)
        quiet(<n>, log)
    """,
    "gen": """
        <gen>(suspend, log, <e>, <e>)
        <gen>(suspend, log, k=<e>)
    """,
}

SIMPLE = {
    "": """
        <t> = <e>
        <t> = <e>
        <t> = <t> = <e>
        <t>, <t> = <e>, <e>
        log.append((<e>, <a>))
        log.append((<e>, <a>))
        log.append(<p>)
        <t>, (<t>, *<w>) = <a>, (<e>, *[<e>] * 2); log.append(<w>)
        <w> = [<e>, <e>]; <w>[<e>] += <e>; log.append(<w>)
        <w> = [<e>, <e>, 5]; <w>[<a>:] = <i>; log.append(<w>)
        <w> = {<e>: <e>}; <w>[<e>] = <e>; <w>.update(a=<e>); log.append(sorted(map(repr, <w>)))
        <w> = [<e>, <e>]; del <w>[<e>]; log.append(<w>)
        assert <e>, <e>
        exec('for i in 2, 3: log.append(suspend(i))', {'suspend': suspend, 'log': log})
        import json as <w>; log.append(<w>.dumps([<e>]))
        log.append([*<i>, *<i>])
    """,
    "variables": """
        <old> += <e>
        <old> -= <e>
        <old> |= <e>
        del <old>; <old> = <e>
        del <old>
    """,
    "globals": """
        G = <e>
        G += <e>
    """,
    "returns": "return <e>",
    "asyncgen": "return",
    "loop": """
        break
        continue
    """,
    "handler": """
        raise
        raise <error>
        raise Oops(<e>) from <error>
        raise ValueError(<e>) from None
        log.append(chain(<error>))
    """,
    "yields": """
        yield <e>
        <t> = (yield <e>) or 0
        log.append((<a>, (yield)))
    """,
    "generator": """
        <t> = (yield from <g>) or <e>
        log.append((yield from <i>))
    """,
    "cls": """
        <w> = <cls>(suspend, log, <e>); <w> += <e>; log.append(<w>.n)
        <w> = <cls>(suspend, log, <e>); <w>.n += <e>; log.append(<w>.n)
        <w> = <cls>(suspend, log, <e>); <w>[<e>] = <e>; del <w>[<e>]; log.append(<w>.n)
        <w> = <cls>(suspend, log, <e>); <w>.prop = <e>; log.append(<w>.prop)
    """,
    "3.13": """
        log.append(sorted(locals()))
    """,
    "3.12": """
        type <w>[T] = tuple[T, int]; log.append(<w>.__name__); del <w>
    """,
}

COMPOUND = {
    "": """
        if <e>:
            <body>
        ? elif <e>:
            <body>
        ? else:
            <body>

        for <v> in <i>:
            <body +loop>
        ? else:
            <body>

        for <v>, <w> in <ii>:
            <body +loop>

        <w> = 0
        while <w> < <n>:
            <w> += 1
            <body +loop>
        ? else:
            <body>

        <w> = 0
        while True:
            if (<w> := <w> + 1) > <n>:
                break
            <body +loop>

        try:
            <body>
        except ValueError as <x>:
            <body +handler>
        ? except (KeyError, Oops) as <x>:
            <body +handler>
        ? except Exception as <x>:
            log.append(chain(<x>))
            <body +handler>
        ? else:
            <body>
        ? finally:
            <body>

        try:
            <body>
        except Exception as <x>:
            log.append(chain(<x>))
            <body +handler>

        try:
            <body>
        finally:
            <body>

        try:
            log.append(<e>)
            raise ExceptionGroup('g', [ValueError(<e>), KeyError(2), Oops(3)])
        except* ValueError as <x>:
            log.append([<e>, repr(<x>.exceptions)])
            <body -loop -returns -asyncgen>
        except* (KeyError, Oops) as <x>:
            log.append([<e>, repr(<x>.exceptions)])
        ?     raise Oops(<e>)

        if <e>:
            raise Oops(<e>)

        with Manager(log, <e>, <e>) as <w>:
            <body>

        with Manager(log, <e>, 1) as <w>, Manager(log, <e>, 0):
            <body>
            raise ValueError(<e>)

        match [<e>, <e>]:
            case [0 | 1, <w>] if <e>:
                <body>
            case [<w>, *_] if <w> > 3 or <e>:
                <body>
            case [int(<w>), other]:
                <body>

        match {'x': <e>, 'y': [<e>, <e>], 'z': None}:
            case {'x': 0 | 1 as <w>, **others} if <e>:
                log.append(sorted(others))
            case {'y': [<v>, _], 'z': None}:
                <body>
            case _:
                <body>

        match <e>:
            case sys.maxsize | -1 | True:
                <body>
            case int(<v>) if <v> % 2:
                <body>
            case <w>:
                log.append((<w>, <e>))

        for <v> in <g>:
            <body +loop>

        <w> = <g>
        try:
            log.append(next(<w>, 0))
            <body>
            log.append(<w>.send(<e>))
            log.append(<w>.throw(Oops(<e>)))
        except (StopIteration, Exception) as <x>:
            log.append(chain(<x>))
        finally:
            <w>.close()
    """,
    "function": """
        def <w>(x: <e -async -walrus> = <e>, /) -> <a>:
            return x + <e +def>
        log.append(<w>(<e>))

        class <w>:
            part: <e -walrus -async> = <e -walrus -async>
            <body +class>
            def method(self, x):
                <body +def +returns>
                return x
        <t> = <w>.part; <w> = None

        <v> = <e>
        def <closure>(x, *, y=<e>):
            nonlocal <v>
            <v> += <e +def>
            <body +def +returns>
            return <v>
        log.append(<closure>(<e>))

        @decorate(suspend, <e>)
        def <closure>(x):
            <body +def +returns>
            return x
        log.append(<closure>(<e>))
    """,
    "cm": """
        with <cm>(suspend, log, <e>) as <v>:
            <body>
    """,
    "async": """
        async with AsyncManager(suspend, log, <e>) as <v>:
            <body>

        async with AsyncManager(suspend, log, <e>) as <v>, AsyncManager(suspend, log, 1):
            raise Oops(<e>)
    """,
    "agen async": """
        async for <v> in <agen>(suspend, log, <e>):
            <body +loop>
        ? else:
            <body>

        <w> = <agen>(suspend, log, <e>)
        try:
            log.append(await <w>.asend(None))
            <body>
            log.append(await <w>.athrow(Oops(<e>)))
        except (StopAsyncIteration, Exception) as <x>:
            log.append(chain(<x>))
        finally:
            await <w>.aclose()
    """,
    "cls": """
        with <cls>(suspend, log, <e>) as <w>:
            <body>

        for <v> in <cls>(suspend, log, <e>):
            <body +loop>

        match <cls>(suspend, log, <e>):
            case Thing(0 | 1 | 2) | Thing(n=3):
                <body>
            case Thing(prop=<v>) if <e>:
                <body>
    """,
}

#: Methods that classes may override: head, what comes before the body, the last line, and
#: an expression that calls it on <c>, an instance.
METHODS = [
    ("__new__(cls, suspend=None, log=None, n=0)",
     "self = object.__new__(cls)\nif suspend is None:\n    return self",
     "return self", "<c>.n"),
    ("__init__(self, suspend, log, n=1)", "super().__init__(suspend, log, n)",
     "self.n += <e>", "functools.partial(<cls>, suspend, log)(<e>).n"),
    ("__enter__(self)", "", "return <e>", "enter(<c>)"),
    ("__exit__(self, *details)", "self.log.append(repr(details[1]))", "return <e>", "enter(<c>)"),
    ("__iter__(self)", "", "yield <e>", "sum([<v> for <v> in <c>])"),
    ("__next__(self)", "self.left -= 1\nif self.left < 0:\n    raise StopIteration",
     "return <e>", "sum([<v> for <v> in <c>])"),
    ("__call__(self, x, *, k=1)", "", "return <e>", "<c>(<e>, k=<e>)"),
    ("__getitem__(self, key)", "", "return <e>", "<c>[<e>]"),
    ("__setitem__(self, key, value)", "", "self.n = <e>", "change(<c>).n"),
    ("__delitem__(self, key)", "", "self.n = <e>", "change(<c>).n"),
    ("__getattr__(self, name)",
     "if name[0] == '_' or name in ('suspend', 'log', 'n', 'left'):\n"
     "    raise AttributeError(name)", "return <e>", "<c>.missing"),
    ("__add__(self, other)", "", "return <e>", "(<c> + <e>)"),
    ("__rsub__(self, other)", "", "return <e>", "(<e> - <c>)"),
    ("__mul__(self, other)", "", "return NotImplemented", "(<c> * <c>)"),
    ("__rmul__(self, other)", "", "return <e>", "(<e> * <c>)"),
    ("__iadd__(self, other)", "self.n += other", "return self", "change(<c>).n"),
    ("__neg__(self)", "", "return <e>", "(-<c>)"),
    ("__lt__(self, other)", "", "return <e>", "int(<c> < <e> < <c>)"),
    ("__eq__(self, other)", "", "return NotImplemented", "int(<c> == <c>)"),
    ("__contains__(self, item)", "", "return <e>", "int(<e> in <c>)"),
    ("__bool__(self)", "", "return bool(<e>)", "(<e> if <c> and not <c> else <e>)"),
    ("__len__(self)", "", "return abs(<e>) % 5", "len(<c>)"),
    ("method(self, x)", "", "return <e>", "<c>.method(<e>)"),
    ("prop(self)", "", "return <e>", "<c>.prop"),
    ("make(cls, suspend, log, n)", "", "return cls(suspend, log, <e>)",
     "<cls>.make(suspend, log, <e>).n"),
]  # fmt: skip

INSTANCE = "<cls>(suspend, log, <a>)"

EXPRESSIONS["cls"] = "\n".join(use.replace("<c>", INSTANCE) for *_, use in METHODS)

#: How a program uses what it has defined.
USES = {
    "fun": "<fun>(suspend, log, <a>, <a>)",
    "gen": "[<v> for <v> in <gen>(suspend, log, <a>)]",
    "cor": "drive(<cor>(suspend, log, <a>))",
    "agen": "drive(collect(<agen>(suspend, log, <a>)))",
    "cm": "enter(<cm>(suspend, log, <a>))",
}

TOKEN = re.compile(r"<(\w+)((?: [+-]\w+)*)>")


def templates(text):
    """The templates of a text: paragraphs, or where none is, lines."""
    text = textwrap.dedent(text.rstrip())
    parts = text.split("\n\n") if "\n    " in text else text.split("\n")
    return [part.strip("\n") for part in parts if part.strip()]


def table(sections):
    """The templates by the flags they need: a list of (set of flags, template)."""
    return [
        (frozenset(flags.split()), template.strip())
        for flags, text in sections.items()
        for template in templates(text)
    ]


class Scope:
    """What may stand at a place: flags, variables, and the exception that is handled."""

    def __init__(self, flags, variables, error=None):
        self.flags = frozenset(flags)
        self.variables = variables
        self.error = error

    def own(self):
        """The variables that may be assigned: the others may be those of an outer function."""
        return [name for name in self.variables if name[0] != "v"]

    def changed(self, words):
        """The scope of a part with these words behind its name."""
        flags, variables, error = set(self.flags), self.variables, self.error
        for word in words.split():
            flag = word[1:]
            if word[0] == "-":
                flags.discard(flag)
            else:
                flags.add(flag)
            if flag in ("def", "class"):
                # What an inner function or a class assigns is not what the outer one has.
                flags -= {"loop", "handler", "generator", "yields", "async", "asyncgen", "globals"}
                flags |= {"walrus", "function"} if flag == "def" else set()
                flags -= {"walrus", "returns", "function"} if flag == "class" else set()
                variables = [name for name in variables if name[0] == "v"]
                variables += ["x"] if flag == "def" else []
            if flag == "lambda":
                variables = list(variables)
        return Scope(flags, variables, error)


class Writer:
    """Writes one program, each choice of which is drawn by hypothesis."""

    EXPRESSIONS = table(EXPRESSIONS)
    ITERABLES = table({"": ITERABLES})
    PAIRS = table({"": PAIRS})
    GENERATORS = table(GENERATORS)
    SIMPLE = table(SIMPLE)
    COMPOUND = table(COMPOUND)

    def __init__(self, draw, importable):
        self.draw = draw
        self.importable = importable
        self.lines = []
        self.indent = 0
        self.count = 0
        self.points = 0
        self.defined = {}
        self.uses = []
        self.budget = self.number(3, 22)  # statements

    # ---- choices and lines

    def pick(self, things):
        return self.draw(st.sampled_from(things))

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def maybe(self):
        return self.draw(st.booleans())

    def several(self, things, low, high, unique=False):
        elements = st.sampled_from(things)
        return self.draw(st.lists(elements, min_size=low, max_size=high, unique=unique))

    def fresh(self, prefix):
        self.count += 1
        return f"{prefix}{self.count}"

    def line(self, text):
        for part in text.split("\n"):
            self.lines.append("    " * self.indent + part)

    def choose(self, templates, scope):
        return self.pick(self.fitting(templates, scope))

    def fitting(self, templates, scope):
        """The templates of a table that may stand at a place."""
        flags = scope.flags | VERSIONS | {kind for kind, names in self.defined.items() if names}
        flags |= {"variables"} if scope.own() else set()
        return [template for needs, template in templates if needs <= flags]

    # ---- parts of lines

    def fill(self, template, scope, names, depth=2):
        """A template as text; NAMES are those that it has made so far."""
        return TOKEN.sub(lambda match: self.part(*match.groups(), scope, names, depth), template)

    def part(self, kind, words, scope, names, depth):
        inner = scope.changed(words) if words else scope
        if kind in names:
            return names[kind]
        if kind in ("v", "w", "x"):
            names[kind] = self.fresh(kind)
            return names[kind]
        if kind == "t":
            name = self.pick("abcd")
            if name not in scope.variables:
                scope.variables.append(name)
            return name
        if kind == "old":
            names[kind] = self.pick(scope.own())
            return names[kind]
        if kind == "n":
            return str(self.number(0, 3))
        if kind == "p":
            return self.point()
        if kind == "error":
            return scope.error
        if kind in self.defined:
            names[kind] = self.pick(self.defined[kind])
            return names[kind]
        if kind == "a":
            return self.atom(inner)
        if kind == "e":
            return self.expression(inner, depth)
        tables = {"i": self.ITERABLES, "ii": self.PAIRS, "g": self.GENERATORS}
        return self.fill(self.choose(tables[kind], inner), inner, {}, depth - 1)

    def point(self):
        self.points += 1
        return f"suspend({self.points})"

    def atom(self, scope):
        kind = self.number(0, 7)
        if kind <= 2:
            return self.point()
        if kind <= 5 and scope.variables:
            return self.pick(scope.variables)
        return "G" if kind == 6 else str(self.number(0, 9))

    def expression(self, scope, depth):
        if depth <= 0 or self.maybe():
            return self.atom(scope)
        template = self.choose(self.EXPRESSIONS, scope)
        return self.fill(template, scope, {}, depth - 1)

    # ---- statements

    def body(self, scope, depth):
        before = len(self.lines)
        for _ in range(self.number(1, 3)):
            if self.budget > 0:
                self.budget -= 1
                self.statement(scope, depth)
        if len(self.lines) == before:
            self.line(f"log.append({self.atom(scope)})")

    def statement(self, scope, depth):
        compound = depth > 0 and self.number(0, 2)
        template = self.choose(self.COMPOUND if compound else self.SIMPLE, scope)
        names, known = {}, {kind: list(found) for kind, found in self.defined.items()}
        if "def <closure>" in template:
            names["closure"] = self.fresh("f")
        leave_out = None
        outer = self.indent
        for line in template.split("\n"):
            optional = line.startswith("?")
            line = line.removeprefix("? ")
            indent = (len(line) - len(line.lstrip())) // 4
            if leave_out is not None and indent > leave_out:
                continue
            leave_out = None
            if optional and self.maybe():
                leave_out = indent
                continue
            self.indent = outer + indent
            if match := re.fullmatch(r" *<body(.*)>", line):
                self.body(self.inner(scope, match[1], names), depth - 1)
            else:
                for part in self.fill(line.strip(), scope, names).split("; "):
                    self.line(part)
        self.indent = outer
        self.defined = known
        if "closure" in names and "def" not in scope.flags:
            self.defined["closure"] = [*known.get("closure", ()), names["closure"]]

    def inner(self, scope, words, names):
        inner = scope.changed(words)
        inner.variables = list(inner.variables)
        if "v" in names:
            inner.variables.append(names["v"])
        if "x" in names and "+handler" in words:
            inner.error = names["x"]
        return inner

    # ---- functions and classes

    def function(self, kind, number):
        name = f"{kind}{number}"
        flags = {
            "fun": "returns",
            "program": "returns",
            "gen": "returns generator yields",
            "cor": "returns async",
            "agen": "async asyncgen yields",
            "cm": "",
        }[kind].split()
        if kind == "cm":
            self.line("@contextlib.contextmanager")
        transparent = kind == "fun" and self.number(0, 5) == 0
        if transparent:
            self.line("@transparent")
        # What hides behind a decorator goes by value, and type variables can't.
        generic = (
            not transparent and self.importable and "3.12" in VERSIONS and self.number(0, 5) == 0
        )
        head = "(suspend, log, /, a=1, b: 'int' = 2, *rest, k=3, **more)"
        if kind == "program":
            name, head = kind, "(suspend, log, a=1, b=2, *, k=3)"
        self.line(f"{'async ' * ('async' in flags)}def {name}{'[T, *Ts]' * generic}{head}:")
        self.indent += 1
        scope = Scope({*flags, "walrus", "function", *self.world()}, ["a", "b", "k"])
        if not self.importable:
            self.line("global G")
        if self.number(0, 11) == 0:
            # More than fit into one byte of an instruction.
            self.line(f"{' = '.join(f'z{n}' for n in range(260))} = 0")
        for used in self.uses * (kind == "program"):
            self.use(*used)
        if kind == "cm":
            self.line("try:")
            self.line(f"    yield {self.expression(scope, 1)}")
            self.line("finally:")
            self.indent += 1
            self.body(scope, 1)
            self.indent -= 1
        else:
            if "yields" in flags:
                self.line("yield a")
            self.body(scope, self.number(1, 3))
            if "returns" in flags:
                self.line(f"return {self.expression(scope, 1)}")
        self.indent -= 1
        self.line("")
        self.defined = {kind: found for kind, found in self.defined.items() if kind != "closure"}
        return name

    def world(self):
        return ("importable",) if self.importable else ("globals",)

    def class_(self, number):
        name = f"Class{number}"
        self.line(f"class {name}({self.pick([*self.defined.get('cls', ()), 'Thing'])}):")
        self.indent += 1
        chosen = self.several(METHODS, 1, 4, unique=True)
        for head, before, after, _ in chosen:
            if head.startswith("prop"):
                self.line("@property")
            if head.startswith("make"):
                self.line("@classmethod")
            self.line(f"def {head}:")
            self.indent += 1
            if before:
                self.line(before)
            if "suspend" not in head:
                # Last: __getattr__() comes without, as long as the object is being loaded.
                self.line("suspend, log = self.suspend, self.log")
            self.line("a = 1")
            flags = {"walrus", "function", "importable"}
            if after.startswith("return <e>"):
                flags.add("returns")
            if "yield" in after:
                flags |= {"generator", "yields"}
            scope = Scope(flags, ["a"])
            self.body(scope, 1)
            self.line(self.fill(after, scope, {}))
            self.indent -= 1
        self.indent -= 1
        self.line("")
        self.uses += [(name, use.replace("<c>", INSTANCE)) for *_, use in chosen]
        return name

    def use(self, name, template):
        """Call what was defined; an exception doesn't end the program."""
        scope = Scope({"function"}, ["a", "b", "k"])
        kind = re.match(r"[a-z]+", name.lower())[0].replace("class", "cls")
        names = {kind: name}
        self.line("try:")
        self.line(f"    log.append({self.fill(template, scope, names, 1)})")
        self.line("except Exception as error:")
        self.line("    log.append(chain(error))")

    def program(self):
        kinds = ["fun", "gen", "cor", "agen", "cm", *["cls"] * self.importable * 2]
        for number, kind in enumerate(self.several(kinds, 0, 4)):
            name = self.class_(number) if kind == "cls" else self.function(kind, number)
            self.defined = {**self.defined, kind: [*self.defined.get(kind, ()), name]}
            if kind in USES:
                self.uses.append((name, USES[kind]))
        self.budget = self.number(1, 8)
        self.function("program", "")
        return "\n".join(self.lines)


@st.composite
def sources(draw, importable=True):
    """The text of one program, without its header.

    One that isn't to be IMPORTABLE writes to globals, and has no classes.
    """
    return Writer(draw, importable).program() + "\n"
