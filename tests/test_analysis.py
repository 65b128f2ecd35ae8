"""The analysis of bytecode: where instructions start, stack depths, what every slot can hold."""

import ctypes
import dis
import itertools
import os
import random
import sys
import sysconfig
import textwrap
import types
from opcode import _inline_cache_entries, opmap
from pathlib import Path

import pytest
from conftest import SLOWDOWN, run_isolated

from pickletask import _core

MINOR = sys.version_info[1]

NULL, OBJECT, CELL, LIST, DICT, SET, TUPLE, ITERATOR = (1 << n for n in range(8))
EXCEPTION, NONE, LASTI, EXCEPTIONS, CLOSURE = (1 << n for n in range(8, 13))
SEQUENCE, INDEX, STRING, STRINGS, INTERPOLATION, COMPREHENSION = (1 << n for n in range(13, 19))

# What a loop keeps on the stack: its iterator; since 3.15 that, or a sequence and an index.
LOOP = [ITERATOR] if MINOR < 15 else [ITERATOR | SEQUENCE, NULL | INDEX]
# What `with` does: the bound __exit__; since 3.14 the function and its self, or __exit__ and NULL.
WITH = [OBJECT] if MINOR < 14 else [OBJECT, NULL | OBJECT]

ENDS = {
    "JUMP_BACKWARD",
    "JUMP_BACKWARD_NO_INTERRUPT",
    "JUMP_FORWARD",
    "RAISE_VARARGS",
    "RERAISE",
    "RETURN_CONST",
    "RETURN_VALUE",
}


# ---- an independent computation with dis ----------------------------------


def caches_of(opcode, opname):
    """How many cache entries follow the opcode."""
    if MINOR >= 13:
        return _inline_cache_entries.get(opname, 0)
    return _inline_cache_entries[opcode]


def instructions_of(code):
    """[(first unit, pc, opcode, opname, oparg, next unit)] of the code, in order."""
    result = []
    raw = code.co_code
    unit = first = oparg = 0
    while unit < len(raw) // 2:
        opcode = raw[2 * unit]
        opname = dis.opname[opcode]
        oparg = oparg << 8 | raw[2 * unit + 1]
        if opname == "EXTENDED_ARG":
            unit += 1
            continue
        following = unit + 1 + caches_of(opcode, opname)
        result.append((first, unit, opcode, opname, oparg, following))
        unit = first = following
        oparg = 0
    return result


def effect_of(opcode, opname, oparg, jump):
    """The stack effect as the interpreter has it: dis's, corrected where it is the compiler's."""
    if MINOR == 11 and opname == "PRECALL":
        return 0
    if MINOR == 11 and opname == "CALL":
        return -oparg - 1
    if MINOR <= 12 and opname == "RETURN_GENERATOR":
        return 1
    return dis.stack_effect(opcode, oparg if opcode >= dis.HAVE_ARGUMENT else None, jump=jump)


def depths_of(code):
    """{pc: depth} of the instructions that can be reached."""
    instructions = {first: rest for first, *rest in instructions_of(code)}
    handlers = {}
    for entry in dis._parse_exception_table(code):
        for unit in range(entry.start // 2, entry.end // 2):
            handlers[unit] = entry.target // 2, entry.depth + entry.lasti + 1
    depths = {}
    todo = [(0, 0)]
    while todo:
        first, depth = todo.pop()
        pc, opcode, opname, oparg, following = instructions[first]
        if pc in depths:
            assert depths[pc] == depth
            continue
        depths[pc] = depth
        if pc in handlers:
            todo.append(handlers[pc])
        # Since 3.14 END_ASYNC_FOR is listed, but only tells a tracer where its loop is.
        if opcode in dis.hasjrel and opname != "END_ASYNC_FOR":
            target = following + (-oparg if "BACKWARD" in opname else oparg)
            todo.append((target, depth + effect_of(opcode, opname, oparg, True)))
        if opname not in ENDS:
            todo.append((following, depth + effect_of(opcode, opname, oparg, False)))
    return depths


def codes_in(code):
    """The code object and all those in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


def compile_file(path):
    """The code objects of a Python file; none of one that is not meant to compile."""
    try:
        return list(codes_in(compile(path.read_bytes(), str(path), "exec")))
    except (SyntaxError, ValueError):
        return []


def library_files():
    """All files of the standard library, or those of it that are tests of odd code and a sample."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
    if os.environ.get("PICKLETASK_TEST_FULL"):
        return files
    odd = (
        "compile coroutines except_star generators grammar listcomps patma type_params with".split()
    )
    odd = {f"test_{word}.py" for word in odd}
    return [path for number, path in enumerate(files) if number % 20 == 0 or path.name in odd]


# ---- helpers ---------------------------------------------------------------


def find(code, opname, number=0):
    """(pc, depth, kept, kinds) of the instruction of that name; NUMBER counts from 0."""
    analysis = _core._analysis(code)
    found = [pc for pc, row in sorted(analysis.items()) if dis.opname[row[0]] == opname]
    return found[number], *analysis[found[number]][2:]


def slots_at(code, opname, number=0):
    """({local variable: kinds}, [kinds of each stack slot]) while the instruction is pending."""
    kept, kinds = find(code, opname, number)[2:]
    names = local_names(code)
    assert len(kinds) == len(names) + kept
    return dict(zip(names, kinds, strict=False)), list(kinds[len(names) :])


def local_names(code):
    """The names of all local slots of a code's frames."""
    plain_cells = [name for name in code.co_cellvars if name not in code.co_varnames]
    return [*code.co_varnames, *plain_cells, *code.co_freevars]


def code_of(source, name="f"):
    """The code of the function of that name in the source."""
    module = compile(textwrap.dedent(source), "<test>", "exec")
    return next(code for code in codes_in(module) if code.co_name == name)


def stack_at_call(source, name="f"):
    """The stack's kinds while `here()` is called, whose call is the first of that function."""
    code = code_of(source, name)
    for instruction in dis.get_instructions(code):
        if instruction.argval == "here":
            load = instruction.offset // 2
            break
    pcs = [
        pc
        for pc, row in sorted(_core._analysis(code).items())
        if pc > load and dis.opname[row[0]] == "CALL"
    ]
    kept, kinds = _core._analysis(code)[pcs[0]][3:]
    return list(kinds[len(kinds) - kept :])


def extended_function():
    """A function of 300 local variables and jumps that need prefixes."""
    lines = ["def f(a):"]
    lines += [f"    x{i} = a" for i in range(300)]
    lines += ["    for i in a:"]
    lines += [f"        x{i} += g(x{i})" for i in range(290, 300)]
    lines += ["        if x299:", "            continue"]
    lines += ["    return x280, [x for x in x299]"]
    return code_of("\n".join(lines))


# ---- depths and starts -----------------------------------------------------


def test_analysis_agreesWithDis_forTheStandardLibrary():
    """Depths and instructions of every code object are those that dis and the table give."""
    seen = 0
    for path in library_files():
        for code in compile_file(path):
            depths = depths_of(code)
            analysis = _core._analysis(code)
            assert {pc: row[2] for pc, row in analysis.items()} == depths, code
            for _, pc, opcode, _, oparg, _ in instructions_of(code):
                if pc in analysis:
                    assert analysis[pc][:2] == (opcode, oparg), code
            seen += 1
    assert seen > 500  # Debian splits its library into many packages


# What compilers write, where that is less than any number; RETURN_VALUE pushes for the caller.
OPARGS = {"BUILD_SLICE": [2, 3], "RAISE_VARARGS": [0, 1, 2], "RETURN_VALUE": []}
OPARGS["SET_FUNCTION_ATTRIBUTE"] = [1, 2, 4, 8] if MINOR < 14 else [1, 2, 4, 8, 16]
OPARGS["MAKE_FUNCTION"] = range(16) if MINOR < 13 else [0]
ANY_OPARG = [*range(40), 63, 127, 128, 255, 256, 257, 511, 513, 1000, 65535, 65536]


def test_effects_agreeWithDis():
    """Each rule pops and pushes as many values as dis says, whatever its argument."""
    known = set()
    for opname, opcode in opmap.items():
        for oparg in OPARGS.get(opname, ANY_OPARG if opcode >= dis.HAVE_ARGUMENT else [0]):
            effect = _core._analysis_effect(opcode, oparg)
            if effect is not None:
                popped, pushed = effect
                expected = effect_of(opcode, opname, oparg, False)
                assert pushed - popped == expected, (opname, oparg)
                known.add(opname)
    assert len(known) > 90
    assert not [name for name in known if name.startswith("INSTRUMENTED")]
    assert _core._analysis_effect(-1, 0) is None is _core._analysis_effect(256, 0)


def check_starts(code):
    """Assert that all units of each instruction give its pc."""
    precall = None
    for first, pc, _, opname, _, following in instructions_of(code):
        if opname == "PRECALL":
            precall = first
            continue
        for unit in range(first if precall is None else precall, following):
            assert _core._analysis_start(code, unit) == pc
        precall = None


def test_start_mapsPrefixesAndCaches():
    """Any unit of an instruction gives its opcode's; PRECALL's give the CALL's."""
    check_starts(extended_function())
    check_starts(run_isolated.__code__)
    check_starts(compile("f(a, *b, **c)[0].x.y += z(1)", "<test>", "exec"))


@pytest.mark.parametrize("unit", [-1, -(2**31), 10**6, 2**31 - 1])
def test_start_refusesUnitsOutside(unit):
    """Units outside of the code belong to nothing."""
    assert _core._analysis_start(check_starts.__code__, unit) == -1


def test_extendedArg_isOneInstruction():
    """Instructions with prefixes have one pc, their opcode's, and the whole argument."""
    code = extended_function()
    analysis = _core._analysis(code)
    stores = {row[1] for row in analysis.values() if dis.opname[row[0]] == "STORE_FAST"}
    assert set(range(17, 290)) <= stores
    assert {pc: row[2] for pc, row in analysis.items()} == depths_of(code)
    assert opmap["EXTENDED_ARG"] not in {row[0] for row in analysis.values()}


def work_of_all_kinds(a):
    """Something to specialise: returns what it computes."""
    total = 0
    for i in range(3):
        total += i
        total = total + a[0] - a[i]
        if total > 5 and isinstance(a, list):
            total = len(a) + a.index(i)
    text = "".join([str(x) for x in a])
    d = {"x": 1}
    d["x"] = a.copy().pop()
    first, second = a[:2]
    return total, text, first == second, d["x"], check_starts.__name__, sys.version_info.major


def test_specialisedCode_givesTheSame():
    """Warm code that is analysed for the first time gives what cold code does."""
    code = work_of_all_kinds.__code__
    cold = _core._analysis(code.replace())
    warm = types.FunctionType(code.replace(), globals())
    for _ in range(2000):
        warm([0, 1, 2])
    live = [instruction.opname for instruction in dis.get_instructions(warm, adaptive=True)]
    assert live != [instruction.opname for instruction in dis.get_instructions(warm)]
    assert _core._analysis(warm.__code__) == cold


def test_tracedCode_givesTheSame():
    """Code that is analysed for the first time while it is traced gives what other code does."""
    code = work_of_all_kinds.__code__
    cold = _core._analysis(code.replace())
    traced = types.FunctionType(code.replace(), globals())
    seen = []

    def trace(frame, event, arg):
        if frame.f_code is traced.__code__:
            if event == "line":
                seen.append(_core._analysis(frame.f_code))
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        traced([0, 1, 2])
    finally:
        sys.settrace(old)
    assert seen and all(analysis == cold for analysis in seen)


def test_getting_refusesOtherObjects():
    """Only code objects can be analysed."""
    with pytest.raises(TypeError, match="expected a code object, not int"):
        _core._analysis(1)


# ---- what remains while an instruction is pending ---------------------------


@pytest.mark.parametrize(
    ("opname", "source", "popped"),
    [
        # Before 3.14 the object is replaced by its bound __exit__.
        ("BEFORE_WITH" if MINOR < 14 else "LOAD_SPECIAL", "with a: pass", lambda oparg: MINOR > 13),
        ("BINARY_OP", "a + b", lambda oparg: 2),
        ("BINARY_SUBSCR" if MINOR < 14 else "BINARY_OP", "a[b]", lambda oparg: 2),
        ("CALL", "a(b, 1)", lambda oparg: oparg + 2),
        ("CALL", "with a: pass", lambda oparg: oparg + 2),
        ("CALL_FUNCTION_EX", "a(*b)", lambda oparg: 3 if MINOR < 14 else 4),
        ("CALL_FUNCTION_EX", "a(*b, **c)", lambda oparg: 4),
        ("COMPARE_OP", "a < b", lambda oparg: 2),
        ("CONTAINS_OP", "a in b", lambda oparg: 2),
        ("DELETE_SUBSCR", "del a[b]", lambda oparg: 2),
        ("FOR_ITER", "for x in a: pass", lambda oparg: 0),
        ("GET_ITER", "for x in a: pass", lambda oparg: 1),
        ("IMPORT_NAME", "import a", lambda oparg: 2),
        ("JUMP_BACKWARD", "for x in a: pass", lambda oparg: 0),
        ("LOAD_ATTR", "a.b", lambda oparg: 1),
        ("RESUME", "a", lambda oparg: 0),
        ("STORE_ATTR", "a.b = c", lambda oparg: 2),
        ("STORE_SUBSCR", "a[b] = c", lambda oparg: 3),
        ("UNPACK_SEQUENCE", "a, b = c", lambda oparg: 1),
        ("WITH_EXCEPT_START", "with a: pass", lambda oparg: 0),
    ],
)
def test_kept_isWhatThePendingInstructionLeaves(opname, source, popped):
    """All inputs are popped, but those that stay where they are."""
    code = compile(source, "<test>", "exec")
    pc, depth, kept, kinds = find(code, opname)
    assert kept == depth - popped(_core._analysis(code)[pc][1])
    assert len(kinds) == kept


@pytest.mark.parametrize(
    ("opname", "source", "popped"),
    [
        ("RETURN_GENERATOR", "def f(): yield", 0),
        ("YIELD_VALUE", "def f(): yield", 1),
        ("SEND", "def f(): yield from g()", 1),
        ("GET_AWAITABLE", "async def f(): await g()", 1),
        ("SEND", "async def f(): await g()", 1),
        ("GET_ANEXT", "async def f():\n async for x in y: pass", 0),
        (
            "BEFORE_ASYNC_WITH" if MINOR < 14 else "LOAD_SPECIAL",
            "async def f():\n async with x: pass",
            1,
        ),
    ],
)
def test_kept_isWhatGeneratorsLeave(opname, source, popped):
    """The same for generators and coroutines."""
    depth, kept = find(code_of(source), opname)[1:3]
    assert kept == depth - popped


@pytest.mark.skipif(MINOR < 13, reason="a prefix of CALL before 3.13")
def test_kept_countsKeywordNames():
    """CALL_KW pops the names of the keywords too."""
    depth, kept = find(compile("x(f(a, k=b))", "<test>", "exec"), "CALL_KW")[1:3]
    assert (depth, kept) == (7, 2)


@pytest.mark.parametrize("opname", ["POP_TOP", "LOAD_CONST", "STORE_FAST", "PUSH_EXC_INFO"])
def test_kept_isNothingWhereNoPythonRuns(opname):
    """Instructions that run no Python code suspend no frame."""
    code = code_of(
        """
        def f(a):
            try:
                x = "text"
                a()
            finally:
                g()
        """
    )
    assert find(code, opname)[2:] == (None, None)


# ---- kinds -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "stack"),
    [
        ("here()", []),
        ("a + here()", [OBJECT]),
        ("[a, here()]", [OBJECT]),
        ("(*a, here())", [LIST]),
        ("[*a, here()]", [LIST]),
        ("{*a, here()}", [SET]),
        ("{**a, **here()}", [DICT]),
        ("{a: here()}", [OBJECT]),
        ("f'{a}{here()}'", [OBJECT]),
        ("a[here()]", [OBJECT]),
        ("a[b:here()]", [OBJECT, OBJECT]),
        ("(1, 2)[here()]", [TUPLE]),
        ("None is here()", [NONE]),
        ("for x in a: here()", LOOP),
        ("for x in a:\n for y in b: here()", LOOP + LOOP),
        ("with a: here()", WITH),
        ("with a, b: here()", WITH + WITH),
        ("('a', 'b')[here()]", [STRINGS]),
        ("'ab'[here()]", [STRING]),
        ("try: a\nexcept b: here()", [EXCEPTION | NONE]),
        ("try: a\nexcept b as e: here()", [EXCEPTION | NONE]),
        ("try: a\nexcept here(): pass", [EXCEPTION | NONE, EXCEPTION]),
        ("try: pass\nfinally: here()", []),
        ("assert a, here()", [OBJECT]),
        ("raise a from here()", [OBJECT]),
        ("match a:\n case {'k': 1} if here(): pass", []),
        ("match a, here():\n case _: pass", [OBJECT]),
    ],
)
def test_stack_holdsWhatWasPushed(source, stack):
    """The slots below a call hold what the statement has computed so far."""
    assert stack_at_call(source, "<module>") == stack


def test_stack_holdsCallables():
    """Below a call that is an argument: the callable, its self or NULL, and the arguments."""
    maybe, null, some = NULL | OBJECT, NULL, OBJECT
    assert stack_at_call("g(a, here())", "<module>") in ([null, some, some], [some, null, some])
    source = "def f(a): a.g(a, here())"
    assert stack_at_call(source) in ([maybe, some, some], [some, maybe, some])
    source = "def f(a): g(a, here())"
    assert stack_at_call(source) in ([null, some, some], [some, null, some])
    source = "def f(a): g(*a, k=here())"
    assert sorted(stack_at_call(source))[:2] == [null, some]


def test_stack_holdsHandlerState_underFinally():
    """finally runs on top of where the exception came from, its predecessor and itself."""
    code = code_of(
        """
        def f():
            for x in y:
                try:
                    a()
                finally:
                    here()
        """
    )
    calls = [
        list(row[4][1:])
        for _, row in sorted(_core._analysis(code).items())
        if dis.opname[row[0]] == "CALL"
    ]
    assert calls == [
        LOOP,
        LOOP,
        [*LOOP, EXCEPTION | NONE, EXCEPTION],
    ]


def test_stack_holdsLasti_underWith():
    """__exit__ is called with the place of the exception below its predecessor."""
    code = code_of("def f():\n with a: b")
    locals_, stack = slots_at(code, "WITH_EXCEPT_START")
    assert locals_ == {}
    assert stack == [*WITH, LASTI, EXCEPTION | NONE, EXCEPTION]


def test_stack_holdsExceptions_underExceptStar():
    """except* gathers exceptions in a list, and may leave nothing for the next clause."""
    code = code_of(
        """
        def f():
            try:
                a()
            except* b() as e:
                c()
            except* d():
                e()
        """
    )
    some, maybe = EXCEPTION, EXCEPTION | NONE
    calls = [
        list(row[4][1:])
        for _, row in sorted(_core._analysis(code).items())
        if dis.opname[row[0]] == "CALL"
    ]
    assert calls[0] == []
    assert calls[1] == [maybe, some, EXCEPTIONS, some]
    assert calls[2] == [maybe, some, EXCEPTIONS, maybe]
    assert calls[3] == [maybe, some, EXCEPTIONS, maybe]


@pytest.mark.parametrize(
    ("source", "name", "container"),
    [
        ("def f(a): return [here(x) for x in a]", "<listcomp>", LIST | EXCEPTIONS),
        ("def f(a): return {here(x) for x in a}", "<setcomp>", SET),
        ("def f(a): return {here(x): 1 for x in a}", "<dictcomp>", DICT),
    ],
)
def test_stack_holdsContainer_ofComprehensions(source, name, container):
    """A comprehension keeps what it fills and its iterator."""
    if MINOR == 11:
        assert sorted(stack_at_call(source, name)) == sorted([ITERATOR, container])
    else:
        # And the value that the variable had around it.
        assert sorted(stack_at_call(source)) == sorted([*LOOP, container, NULL])


@pytest.mark.skipif(MINOR < 12, reason="comprehensions are functions before 3.12")
def test_stack_holdsSavedVariable_ofComprehensions():
    """What the loop variable was outside is kept below: a value, none, or a cell."""
    stack = stack_at_call("def f(a): return [here(x) for x in a]")
    container = LIST | EXCEPTIONS
    assert sorted(stack) == sorted([*LOOP, NULL, container])
    stack = stack_at_call("def f(a, x): return [here(x) for x in a]")
    assert sorted(stack) == sorted([*LOOP, OBJECT, container])
    stack = stack_at_call("def f(a, x):\n g = lambda: x\n return [here(x) for x in a]")
    assert sorted(stack) == sorted([*LOOP, CELL, container])
    stack = stack_at_call("def f(a):\n if a: x = 1\n return [here(x) for x in a]")
    assert sorted(stack) == sorted([*LOOP, NULL | OBJECT, container])


@pytest.mark.parametrize("source", ["here()", "(here() if a else b)", "[here(c)]"])
def test_stack_holdsFunctionOfAComprehension(source):
    """While the outermost iterable is made, the function that gets its iterator waits below."""
    stack = stack_at_call(f"def f(a, b, c): return (x + a for x in {source})")
    assert stack[0] == COMPREHENSION and COMPREHENSION not in stack[1:]
    assert COMPREHENSION not in stack_at_call("def f(a): return g(lambda x: x, here())")


def test_outermostIterable_isIterator_unlessAsynchronous():
    """The parameter of a generator expression is what its outermost loop iterates over.

    3.15 and late releases of 3.13 make the iterator inside, of any object.
    """
    plain = code_of("def f(a): return (x for x in a)", "<genexpr>")
    makes = "GET_ITER" in {instruction.opname for instruction in dis.get_instructions(plain)}
    outermost = OBJECT if makes else ITERATOR
    assert makes or MINOR < 15
    locals_, stack = slots_at(plain, "YIELD_VALUE")
    assert stack == LOOP and locals_ == {".0": outermost, "x": OBJECT}
    locals_, stack = slots_at(plain, "RETURN_GENERATOR")
    assert locals_ == {".0": outermost, "x": NULL}
    assert stack == ([] if MINOR < 15 else LOOP)
    both = code_of("async def f(a): return (x async for y in a for x in y)", "<genexpr>")
    locals_, stack = slots_at(both, "YIELD_VALUE", -1)
    assert stack == [OBJECT, *LOOP]
    assert locals_ == {".0": OBJECT, "y": OBJECT, "x": OBJECT}


def test_locals_areNullUntilBound():
    """A variable may be NULL where a path leads that has not bound it, or has deleted it."""
    code = code_of(
        """
        def f(a, *b, c, **d):
            first()
            if a:
                x = 1
            second()
            del a
            third()
        """
    )
    some = dict.fromkeys("abcd", OBJECT)
    assert slots_at(code, "CALL", 0)[0] == {**some, "x": NULL}
    assert slots_at(code, "CALL", 1)[0] == {**some, "x": NULL | OBJECT}
    assert slots_at(code, "CALL", 2)[0] == {**some, "x": NULL | OBJECT, "a": NULL}


def test_locals_joinInHandlers():
    """A handler finds the variables as any of the instructions it protects left them."""
    code = code_of(
        """
        def f(a):
            try:
                x = one()
                y = two()
                del a
                three()
            except E:
                here()
        """
    )
    maybe = NULL | OBJECT
    assert slots_at(code, "CALL", 3)[0] == {"a": maybe, "x": maybe, "y": maybe}


def test_locals_areBound_afterTheyWereRead():
    """A variable that was read without an error is bound."""
    code = code_of("def f(a):\n if a: x = 1\n one()\n x\n two()")
    assert slots_at(code, "CALL", 0)[0]["x"] == NULL | OBJECT
    assert slots_at(code, "CALL", 1)[0]["x"] == OBJECT


def test_locals_areCells_ofClosures():
    """Cell variables, parameters among them, and free variables hold cells once the body runs."""
    code = code_of(
        """
        def f(a, b):
            def g():
                here(a, c)
            c = a
            here()
        """
    )
    locals_, stack = slots_at(code, "CALL")
    assert locals_ == {"a": CELL, "b": OBJECT, "g": OBJECT, "c": CELL} and stack == []
    inner = next(code_ for code_ in codes_in(code) if code_.co_name == "g")
    assert slots_at(inner, "CALL")[0] == {"a": CELL, "c": CELL}


def test_defaults_areTuples_whileKeywordDefaultsAreComputed():
    """The first that a function is made of waits on the stack in its right kind."""
    assert stack_at_call("def f():\n def g(a=b, *, c=here()): pass")[:1] == [TUPLE]


@pytest.mark.skipif(MINOR > 13, reason="annotations are functions since 3.14")
def test_defaults_areTuplesAndDicts_whileAnnotationsAreComputed():
    """What a function is made of waits on the stack in its right kind."""
    source = "def f():\n def g(a=b, *, c=d) -> here(): pass"
    assert stack_at_call(source)[:2] == [TUPLE, DICT]
    source = "def f():\n def g(a=1) -> here(): pass"
    assert stack_at_call(source)[:1] == [TUPLE]


@pytest.mark.skipif(MINOR < 12, reason="type parameters are new in 3.12")
def test_defaults_areParameters_ofGenericFunctions():
    """A generic function gets its defaults as parameters that only the compiler can name."""
    code = code_of("def f[T](a=b, *, c=d) -> here(): pass", "<generic parameters of f>")
    for opname in ("CALL_INTRINSIC_1", "CALL")[: 2 if MINOR < 14 else 1]:
        locals_ = slots_at(code, opname)[0]
        assert locals_[".defaults"] == TUPLE and locals_[".kwdefaults"] == DICT


@pytest.mark.skipif(MINOR < 14, reason="annotations are functions since 3.14")
def test_annotations_areFunctions():
    """An annotation is computed when it is asked for, by a function that is like any other."""
    source = "def f():\n def g(a: b = 1) -> here(): pass"
    assert stack_at_call(source, "__annotate__") == [STRING, OBJECT, STRING]
    annotate = code_of(source, "__annotate__")
    assert slots_at(annotate, "CALL")[0] == {"format": OBJECT}
    # Class and module bodies note which annotations they came to, in a set that a cell holds.
    code = code_of("class C:\n if a: x: int\n here()", "C")
    adds = find(code, "SET_ADD")
    assert slots_at(code, "SET_ADD")[1] == [OBJECT] and adds[1] == 2
    assert slots_at(code, "CALL")[1] == []
    with pytest.raises(ValueError, match="puts a value into another object"):
        _core._analysis(assemble(("LOAD_CONST", 0), ("LOAD_CONST", 0), ("SET_ADD", 1), END))


@pytest.mark.skipif(MINOR < 14, reason="template strings are new in 3.14")
def test_stack_holdsParts_ofTemplates():
    """A template is built from strings, that come first, and interpolations."""
    assert stack_at_call("def f(a): return t'{here()}'") == [STRINGS]
    assert stack_at_call("def f(a): return t'x{a!r:>{b}}y{here()}z'") == [STRINGS, INTERPOLATION]
    assert stack_at_call("def f(a): return t'{a:>{here()}}'") == [STRINGS, OBJECT, STRING, STRING]
    nested = "def f(a): return t'{a}{t\"{a}{here()}\"}'"
    assert stack_at_call(nested) == [STRINGS, INTERPOLATION, STRINGS, INTERPOLATION]
    assert stack_at_call("def f(a): return t'{a}' + here()") == [OBJECT]


@pytest.mark.skipif(MINOR < 14, reason="calls until 3.13")
@pytest.mark.parametrize(
    ("function", "below"),
    [("any", []), ("all", []), ("tuple", [LIST | EXCEPTIONS]), ("list", [LIST | EXCEPTIONS]),
     ("set", [SET])],
)  # fmt: skip
def test_loopsOverCalls_haveAnIterator(function, below):
    """any() and others over a generator expression become a loop over what a CALL returns.

    FOR_ITER doesn't check that it is an iterator, so that no other value may come back there.
    """
    code = code_of(f"def f(a): return {function}(x for x in a)")
    if (function in ("list", "set")) and MINOR < 15:
        assert "FOR_ITER" not in {dis.opname[row[0]] for row in _core._analysis(code).values()}
        return
    null = [] if MINOR < 15 else [NULL]
    assert slots_at(code, "FOR_ITER")[1] == [*below, ITERATOR, *null]
    calls = [row for _, row in sorted(_core._analysis(code).items()) if row[0] == opmap["CALL"]]
    # The generator expression's; then, if the function is another, its and the function's.
    assert [row[3] for row in calls][0] is None
    assert None not in [row[3] for row in calls][1:] and len(calls) == 3
    if not below:
        assert slots_at(code, "TO_BOOL", -1)[1] == [ITERATOR, *null]
    # A loop over what any other call returns makes an iterator of it first.
    code = code_of("def f(a):\n for x in a(): pass")
    assert slots_at(code, "CALL") == ({"a": OBJECT, "x": NULL}, [])


@pytest.mark.skipif(MINOR < 15, reason="instructions have the depth of their handler until 3.14")
def test_quietInstructions_mayStandBelowTheirHandler():
    """Where the compiler moved the end of a function into a protected range, nothing can raise."""
    table = b"\x80\x02\x02\x14"  # units 0 and 1: handler at 2, depth 10
    for quiet in [("LOAD_CONST", 0), ("LOAD_SMALL_INT", 1), ("LOAD_COMMON_CONSTANT", 7)]:
        code = assemble(quiet, END, ("NOP", 0), END, co_exceptiontable=table)
        assert sorted(_core._analysis(code)) == [0, 1]
    for loud in [("LOAD_LOCALS", 0), ("LOAD_BUILD_CLASS", 0), ("PUSH_NULL", 0)]:
        code = assemble(loud, END, ("NOP", 0), END, co_exceptiontable=table)
        with pytest.raises(ValueError, match="lower than its exception handler's"):
            _core._analysis(code)


# ---- values ----------------------------------------------------------------

VALUES = {
    "object": object(),
    "cell": types.CellType(1),
    "list": [1],
    "dict": {},
    "set": {1},
    "tuple": (types.CellType(),),
    "iterator": iter(()),
    "exception": ValueError(),
    "None": None,
    "zero": 0,
    "beyond": 10**6,
    "huge": 2**100,
    "minus": -1,
    "true": True,
    "exceptions": [ValueError(), None],
    "empty": [],
    "list of classes": [ValueError],
    "list subclass": type("L", (list,), {})(),
    "dict subclass": type("D", (dict,), {})(),
    "set subclass": type("S", (set,), {})(),
    "frozenset": frozenset(),
    "generator": (x for x in ()),
    "subclass of an iterator": type("I", (itertools.count,), {})(),
    "string": "x",
    "string subclass": type("S", (str,), {})(),
    "bytes": b"x",
    "strings": ("x", ""),
    "no strings": (),
    "strings and another": ("x", 1),
    "tuple subclass": type("T", (tuple,), {})("x"),
    "range": range(3),
}
if MINOR >= 14:
    from string import templatelib

    VALUES["interpolation"] = templatelib.Interpolation(1)
    VALUES["another interpolation"] = type("string.templatelib.Interpolation", (), {})()

# What is iterated over by an index; a subclass may have another __iter__.
SEQUENCES = set()
if MINOR >= 15:
    SEQUENCES |= {"list", "exceptions", "empty", "list of classes", "string", "bytes"}
    SEQUENCES |= {"tuple", "strings", "no strings", "strings and another"}


@pytest.mark.parametrize(
    ("kinds", "accepted"),
    [
        (0, set()),
        (OBJECT, set(VALUES)),
        (CELL, {"cell"}),
        (LIST, {"list", "exceptions", "empty", "list of classes"}),
        (DICT, {"dict"}),
        (SET, {"set"}),
        (TUPLE, {"tuple", "strings", "no strings", "strings and another"}),
        (ITERATOR, {"iterator", "generator", "subclass of an iterator"}),
        (EXCEPTION, {"exception"}),
        (NONE, {"None"}),
        (LASTI, {"zero"}),
        (EXCEPTIONS, {"exceptions", "empty"}),
        (CLOSURE, set()),
        (COMPREHENSION, set(VALUES)),
        (SEQUENCE, SEQUENCES),
        (INDEX, {"zero", "beyond"}),
        (STRING, {"string"}),
        (STRINGS, {"strings"}),
        (INTERPOLATION, set() if MINOR < 14 else {"interpolation"}),
        (EXCEPTION | NONE, {"exception", "None"}),
    ],
)
def test_accepting_takesValuesOfTheKinds(kinds, accepted):
    """A value is accepted if it is of one of the kinds, and none where there may be none."""
    code = check_starts.__code__
    found = {name for name, value in VALUES.items() if _core._analysis_accepts(code, kinds, value)}
    assert found == accepted
    assert not _core._analysis_accepts(code, kinds)
    assert _core._analysis_accepts(code, kinds | NULL)


def test_accepting_takesLastiWithinTheCode():
    """The place of an exception is a code unit of this code."""
    code = check_starts.__code__
    units = len(code.co_code) // 2
    assert _core._analysis_accepts(code, LASTI, units - 1)
    assert not _core._analysis_accepts(code, LASTI, units)


@pytest.mark.parametrize("kinds", [ITERATOR | SEQUENCE, OBJECT])
def test_accepting_takesIndexesOfSequences(kinds):
    """An index stands above a sequence; none above what is iterated over otherwise.

    OBJECT is what one delegates to, which is asked whether it is an iterator.
    """
    with_index = {name for name, value in VALUES.items() if accepts_index(kinds, value, 0)}
    without = {name for name, value in VALUES.items() if accepts_index(kinds, value)}
    assert with_index == SEQUENCES
    iterators = {"iterator", "generator", "subclass of an iterator"}
    assert without == (set(VALUES) if kinds == OBJECT else iterators)


def accepts_index(kinds, below, *index):
    """Do the values of two neighbouring slots fit together?"""
    return _core._analysis_accepts_index(kinds, below, *index)


# ---- real frames -----------------------------------------------------------


class Quiet:
    """A context manager, of both sorts, that suppresses errors."""

    def __enter__(self):
        return self

    def __exit__(self, *args):
        return True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *args):
        return True


def everything(a, n, b=1, *args, k=2, **kwargs):
    """Yield with all kinds of values on the stack and in the variables."""
    total = [a, (yield), (yield), *args, (yield)]
    total += [{**kwargs, "a": (yield), **{"b": (yield)}}, {*args, (yield) is a}, f"{a}{(yield)}"]
    for i in range(2):
        for _key, value in {1: (yield), 2: [i, {*args, (yield) is a}]}.items():
            yield value
            if value == 1:
                continue
            late = value
    with Quiet() as quiet, Quiet():
        yield quiet
        raise ValueError((yield))
    with Quiet():
        try:
            raise KeyError
        except ((yield), KeyError)[1] as error:
            yield error
            try:
                raise OSError from error
            finally:
                yield late
    try:
        raise ExceptionGroup("g", [ValueError(), KeyError()])
    except* ValueError as group:
        yield group
    except* KeyError:
        yield
    match (yield a):
        case {"x": x, **rest} if (yield x):
            yield rest
        case [1, *others] | others if (yield others):
            pass
    try:
        yield (lambda: (late, n))
    except GeneratorExit:
        raise
    finally:
        yield sorted(args, key=lambda x: (x, n))

    def inner(x=(yield), *, y=(yield)):
        return x, y, k

    yield from nested(n)
    del total
    yield inner
    return [value for value in args if b], n, x, others


def nested(n):
    """Yield with a generator as operand."""
    if n:
        yield n
        yield from nested(n - 1)
        yield (yield (yield n))


async def asynchronous(a):
    """The same for coroutines."""
    async with Quiet():
        await Pause()
        raise ValueError
    async with Quiet() as quiet:
        async for _x in steps(quiet):
            await Pause()
            async for y in (y async for z in steps(a) for y in (z, z)):
                await Pause()
                last = y
    return [x async for x in steps(a)], [await Pause() for _ in range(2)], last


async def steps(n):
    """An asynchronous generator."""
    for i in range(2):
        try:
            yield i
            await Pause()
        finally:
            await Pause()


class Pause:
    """Awaiting it suspends the coroutine."""

    def __await__(self):
        yield self


class Frame(ctypes.Structure):
    """The end of the interpreter's frame, as far as it is read here."""

    _fields_ = [
        ("unused", ctypes.c_void_p * 8),
        *(
            [("stacktop", ctypes.c_int), ("owner", ctypes.c_int)]
            if MINOR < 14
            else [("stackpointer", ctypes.c_void_p), ("owner", ctypes.c_void_p)]
        ),
        ("localsplus", ctypes.c_void_p * 1000),
    ]

    def used(self):
        """How many slots are in use."""
        if MINOR < 14:
            return self.stacktop
        start = ctypes.addressof(self) + Frame.localsplus.offset
        return (self.stackpointer - start) // ctypes.sizeof(ctypes.c_void_p)

    def value(self, slot):
        """[] for an empty slot, otherwise [the value]."""
        word = self.localsplus[slot]
        if MINOR >= 14:
            if word & 3 == 3:
                return [word >> 2]
            word &= ~1
        return [ctypes.cast(word, ctypes.py_object).value] if word else []


def check_frame(generator, frame, code):
    """Assert that each slot of the suspended generator's frame is accepted; the stack's depth."""
    address = id(generator) + (80 if MINOR == 11 else 72)
    raw = Frame.from_address(address)
    # From 3.13 on it is the next instruction.
    pc = _core._analysis_start(code, frame.f_lasti // 2 - (MINOR >= 13))
    opcode, _, _, kept, kinds = _core._analysis(code)[pc]
    assert dis.opname[opcode] in ("YIELD_VALUE", "RETURN_GENERATOR")
    assert raw.used() == len(kinds)
    for slot, kind in enumerate(kinds):
        value = raw.value(slot)
        assert _core._analysis_accepts(code, kind, *value), (pc, slot, kind, value)
    return kept


@pytest.mark.skipif(MINOR > 13, reason="an annotation may not yield since 3.14")
def test_realFrames_withAnnotations_areAccepted():
    """What is on the stack while an annotation is computed."""
    names = {}
    exec("def outer():\n def inner(a: (yield), b=(yield)) -> (yield): pass\n yield inner\n", names)
    generator = names["outer"]()
    for _ in generator:
        check_frame(generator, generator.gi_frame, generator.gi_code)


@pytest.mark.parametrize("send", [None, 1, [1, 2], {"x": 1}])
def test_realFrames_areAccepted(send):
    """What generators hold while they are suspended is what the analysis says."""
    generator = everything([1], 3, 1, 5, 4, z=1)
    depths = set()
    steps = 0
    depths.add(check_frame(generator, generator.gi_frame, generator.gi_code))
    try:
        generator.send(None)
        while True:
            depths.add(check_frame(generator, generator.gi_frame, generator.gi_code))
            inner = generator.gi_yieldfrom
            while inner is not None:
                check_frame(inner, inner.gi_frame, inner.gi_code)
                inner = inner.gi_yieldfrom
            steps += 1
            generator.send({} if steps == 4 or steps == 5 else send)
    except StopIteration:
        pass
    except (TypeError, UnboundLocalError):
        assert steps > 25
    assert steps > 25 and len(depths) >= 5


def test_realCoroutines_areAccepted():
    """The same for coroutines and what they wait for."""
    coroutine = asynchronous(2)
    count = 0
    check_frame(coroutine, coroutine.cr_frame, coroutine.cr_code)
    try:
        while True:
            coroutine.send(None)
            check_frame(coroutine, coroutine.cr_frame, coroutine.cr_code)
            count += 1
    except StopIteration as stop:
        assert stop.value[:2] == ([0, 1], [None, None])
    assert count > 20


# ---- code that no compiler makes -------------------------------------------


def assemble(*instructions, **changes):
    """A code object of (opname, oparg) instructions; caches are added."""
    raw = b""
    for opname, oparg in instructions:
        opcode = opmap[opname]
        raw += bytes([opcode, oparg]) + bytes(2 * caches_of(opcode, opname))
    return (lambda: 0).__code__.replace(co_code=raw, co_stacksize=10, **changes)


END = ("RETURN_VALUE", 0)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (assemble(END), "stack underflow at instruction 0"),
        (assemble(("POP_TOP", 0), END), "stack underflow at instruction 0"),
        (assemble(*[("LOAD_CONST", 0)] * 11, END), "stack overflow at instruction 10"),
        (assemble(("LOAD_CONST", 0)), "the code has no end at instruction 0"),
        (assemble(("JUMP_FORWARD", 200), END), "jumps out of the code at instruction 0"),
        (assemble(("JUMP_BACKWARD", 200), END), "jumps out of the code at instruction 0"),
        (
            assemble(("JUMP_FORWARD", 1), ("LOAD_GLOBAL", 0), END),
            "jumps into an instruction at instruction 0",
        ),
        (
            assemble(("JUMP_FORWARD", 1), ("EXTENDED_ARG", 1), ("LOAD_CONST", 0), END),
            "jumps into an instruction at instruction 0",
        ),
        (assemble(("EXTENDED_ARG", 0)), "EXTENDED_ARG at the end at instruction 0"),
        (assemble(*[("EXTENDED_ARG", 0)] * 4, END), "too many EXTENDED_ARG at instruction 3"),
        (assemble(("LOAD_CONST", 200), END), "no such constant at instruction 0"),
        (assemble(("LOAD_FAST", 0), END), "no such local variable at instruction 0"),
        (assemble(("STORE_DEREF", 0), END), "stack underflow at instruction 0"),
        (assemble(("LOAD_CONST", 0), ("COPY", 2), END), "no such stack slot at instruction 1"),
        (assemble(("LOAD_CONST", 0), ("COPY", 0), END), "no such stack slot at instruction 1"),
        (assemble(("LOAD_CONST", 0), ("SWAP", 2), END), "no such stack slot at instruction 1"),
        (assemble(("PUSH_NULL", 0), ("COPY", 1), END), "copies a NULL at instruction 1"),
        (assemble(("PUSH_NULL", 0), END), "an operand may be of a wrong kind at instruction 1"),
        (
            assemble(("LOAD_CONST", 0), ("LOAD_CONST", 0), ("LIST_APPEND", 1), END),
            "puts a value into another object than it may be at instruction 2",
        ),
        (assemble(("COPY_FREE_VARS", 1), END), "wrong number of free variables at instruction 0"),
        (assemble(("CACHE", 0), END), "unknown opcode at instruction 0"),
        (assemble(END, co_exceptiontable=b"\x80"), "malformed exception table at instruction 0"),
        (
            assemble(END, co_exceptiontable=b"\x80\x01\x30\x00"),
            "jumps out of the code at instruction 0",
        ),
        (
            assemble(("NOP", 0), ("LOAD_CONST", 0), END, co_exceptiontable=b"\x80\x01\x01\x14"),
            "the stack is lower than its exception handler's at instruction 0",
        ),
    ],
)
def test_impossibleCode_isRefused(code, message):
    """The error says what, where and in which function."""
    with pytest.raises(ValueError) as caught:
        _core._analysis(code)
    name = f"cannot analyse {code.co_qualname} ({code.co_filename}:{code.co_firstlineno}): "
    assert str(caught.value) == name + message
    with pytest.raises(ValueError):
        _core._analysis(code)


def test_pathsOfDifferentDepths_areRefused():
    """A loop that pushes a value each time has no depth."""
    loop = 3 if MINOR >= 13 else 2
    code = assemble(("RESUME", 0), ("LOAD_CONST", 0), ("JUMP_BACKWARD", loop), END)
    with pytest.raises(ValueError, match="paths meet with different stack depths"):
        _core._analysis(code)


def test_cutCaches_areRefused():
    """Caches that would lie behind the end are not read."""
    code = assemble(("LOAD_GLOBAL", 0), END)
    for cut in range(2 if MINOR == 11 else 4, len(code.co_code) - 2, 2):
        with pytest.raises(ValueError, match="caches are cut off at instruction 0"):
            _core._analysis(code.replace(co_code=code.co_code[:cut]))


@pytest.mark.skipif(MINOR < 12, reason="LOAD_FAST checks in 3.11")
def test_uncheckedLoad_ofUnboundVariable_isRefused():
    """LOAD_FAST trusts the compiler; the analysis does not."""
    code = assemble(("LOAD_FAST", 0), END, co_nlocals=1, co_varnames=("x",))
    with pytest.raises(ValueError, match="a variable may be unbound at instruction 0"):
        _core._analysis(code)
    code = assemble(("LOAD_FAST_CHECK", 0), END, co_nlocals=1, co_varnames=("x",))
    assert _core._analysis(code)[1][2] == 1


MUTATE = """
import random, sys, types
from opcode import opmap
import test_analysis
from pickletask import _core

# When CPython 3.12 and later make a code, they crash on these, and write behind the end of one
# whose last opcode should have caches.
fatal = {opmap.get("INSTRUMENTED_LINE"), opmap.get("INSTRUMENTED_INSTRUCTION")}
fatal |= {254, 255} if sys.version_info >= (3, 12) else set()
opcodes = {n: name for name, n in opmap.items() if n < 230}
fine_last = {n for n, name in opcodes.items() if test_analysis.caches_of(n, name) == 0}
seed = random.Random(int(sys.argv[1]))
codes = list(test_analysis.codes_in(compile(open(test_analysis.__file__).read(), "t", "exec")))
codes.append(test_analysis.extended_function())
refused = accepted = 0
for _ in range(int(sys.argv[2])):
    code = seed.choice(codes)
    raw = bytearray(code.co_code)
    table = bytearray(code.co_exceptiontable)
    changes = {}
    for _ in range(seed.choice((1, 1, 2, 3, 10))):
        what = seed.randrange(8)
        place = seed.randrange(len(raw)) if raw else 0
        if not raw:
            pass
        elif what == 0:
            raw[place] = seed.randrange(256)
        elif what == 1:
            raw[place & ~1] = seed.choice(list(opcodes))
        elif what == 2:
            raw[place | 1] = seed.choice((0, 1, 2, 3, 127, 128, 255))
        elif what == 3:
            del raw[place & ~1:]
        elif what == 4:
            other = seed.randrange(len(raw)) & ~1
            raw[place & ~1 : (place & ~1) + 2] = raw[other : other + 2]
        elif what == 5 and table:
            table[seed.randrange(len(table))] = seed.randrange(256)
        elif what == 6 and table:
            del table[seed.randrange(len(table)):]
        elif what == 7:
            changes["co_stacksize"] = seed.choice((0, 1, 2, 50, 10**6))
    if fatal.intersection(raw[::2]) or raw and raw[-2] not in fine_last:
        continue
    try:
        mutant = code.replace(co_code=bytes(raw), co_exceptiontable=bytes(table), **changes)
    except ValueError:
        continue
    try:
        analysis = _core._analysis(mutant)
    except ValueError as error:
        assert str(error).startswith("cannot analyse "), error
        refused += 1
    else:
        accepted += 1
        assert all(0 <= row[2] <= mutant.co_stacksize for row in analysis.values())
    for unit in range(-1, len(raw) // 2 + 1):
        try:
            _core._analysis_start(mutant, unit)
        except ValueError:
            break
print(refused, accepted)
"""


@pytest.mark.parametrize("seed", range(3))
def test_mutatedCode_neverCrashes(seed):
    """Any bytes give a result or a ValueError."""
    count = int(os.environ.get("PICKLETASK_TEST_MUTANTS", 4000)) // SLOWDOWN
    refused, accepted = map(int, run_isolated(MUTATE, seed, count).stdout.split())
    assert min(refused, accepted) > 500 // SLOWDOWN


def test_randomBytes_neverCrash():
    """Bytes that were never code are refused."""
    seed = random.Random(5)
    known = [n for n in opmap.values() if n < 230]
    for _ in range(500):
        raw = bytes(seed.choice(known) if i % 2 == 0 else seed.randrange(4) for i in range(40))
        raw += bytes([opmap["NOP"], 0])
        try:
            _core._analysis(check_starts.__code__.replace(co_code=raw))
        except ValueError:
            pass


# ---- memory ----------------------------------------------------------------

EXHAUST = """
import _testcapi
import test_analysis
from pickletask import _core

codes = [test_analysis.everything.__code__, test_analysis.extended_function()]
good = [_core._analysis(code.replace()) for code in codes]
_core._analysis_start(codes[0].replace(), 0)
for original, expected in zip(codes, good):
    failures = 0
    for first in range(10**6):
        code = original.replace()
        try:
            _testcapi.set_nomemory(first, first + 1)
            try:
                start = _core._analysis_start(code, 0)
            finally:
                _testcapi.remove_mem_hooks()
        except MemoryError:
            failures += 1
            # Nothing half done was kept.
            assert _core._analysis(code) == expected
        else:
            break
    assert _core._analysis(code) == expected
    assert failures > 10, failures
    code = original.replace()
    try:
        _testcapi.set_nomemory(0, 0)
        _core._analysis_start(code, 0)
    except MemoryError:
        pass
    else:
        raise AssertionError("it needed no memory")
    finally:
        _testcapi.remove_mem_hooks()
print("done")
"""


def test_lackOfMemory_isAnError():
    """Whichever allocation fails: MemoryError, and the next analysis is right."""
    pytest.importorskip("_testcapi")
    assert run_isolated(EXHAUST).stdout == "done\n"


LEAK = """
import gc, tracemalloc
import test_analysis
from pickletask import _core

good = test_analysis.everything.__code__
bad = good.replace(co_code=good.co_code[:-2] + b"\\x00\\x00")

def analyse():
    _core._analysis(good.replace())
    try:
        _core._analysis(bad.replace())
    except ValueError:
        pass

for _ in range(20):
    analyse()
gc.collect()
tracemalloc.start()
analyse()
gc.collect()
before = tracemalloc.get_traced_memory()[0]
for _ in range(200):
    analyse()
gc.collect()
print(tracemalloc.get_traced_memory()[0] - before)
"""


def test_analysis_diesWithItsCode():
    """Memory of analyses and of failures is given back."""
    assert int(run_isolated(LEAK).stdout) < 5000
