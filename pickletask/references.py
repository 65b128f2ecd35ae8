"""Code by reference: where an import finds it, and a digest of all that makes it behave as it does.

A reference is ``(anchor, digest)`` or ``(anchor, digest, path)``.  The anchor is a function or
class that pickle saves by name.  The path leads from it to the code, in steps with slashes between
them: ``.name`` is an entry of a class, or what a decorator keeps (``.__wrapped__``, ``.fget``);
any other step is code inside of code, by its name, and its number if there are several:
``<lambda>#1``.

The digest has a short hash for each part, so that a refusal can say what has changed, and one over
all of them.  Line numbers and file names are no part of it: neither a moved file nor a comment is a
change.
"""

import hashlib
import operator
import sys
import types

from pickletask import _core

__all__ = ["CodeChange", "on_code_changed"]

# The parts of a digest, and the bytes of each. The shape of the locals decides whether frames fit
# to other code, so it has more.
_PARTS = {
    "instructions": 1,
    "constants": 1,
    "names": 1,
    "local variables": 2,
    "exception table": 1,
    "flags": 1,
}
_TOTAL = 6
_VERSION = "Python minor version"
_SIZE = 1 + sum(_PARTS.values()) + _TOTAL
# References in the frames of tasks have the last bytes of the digest cut off: with those of the
# part that changes, 40 bits are left to tell one code from another one.
_LEAST = _SIZE - 2

# What decorators and descriptors keep of the function they wrap.
_INNER = ("__func__", "fget", "fset", "fdel", "func", "__wrapped__")

_hook = None


# ---- digests ----------------------------------------------------------------


def digest(code):
    """Return the digest of a code object: minor version, parts, and one over all of them."""
    texts = _texts(code)
    parts = b"".join(
        hashlib.blake2b(texts[part], digest_size=size).digest() for part, size in _PARTS.items()
    )
    everything = b"\0".join(b"%d:%b" % (len(text), text) for text in texts.values())
    total = hashlib.blake2b(everything, digest_size=_TOTAL).digest()
    return bytes([sys.version_info.minor]) + parts + total


def _texts(code):
    """What each part of a digest is a hash of."""
    variables = (code.co_varnames, code.co_cellvars, code.co_freevars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    return {
        "instructions": code.co_code,
        "constants": _text(code.co_consts),
        "names": _text((code.co_name, code.co_names)),
        "local variables": _text((variables, counts)),
        "exception table": code.co_exceptiontable,
        "flags": b"%d" % code.co_flags,
    }


def _text(constant):
    """A constant as bytes that are equal only for constants that behave alike."""
    kind = type(constant)
    if kind is types.CodeType:
        return b"code:" + _core._digest(constant)
    if kind is frozenset:
        items = sorted(map(_text, constant))
    elif kind is tuple:
        items = map(_text, constant)
    elif kind is slice:
        items = map(_text, (constant.start, constant.stop, constant.step))
    elif kind is float:
        return f"float:{constant.hex()}".encode()
    elif kind is complex:
        items = map(_text, (constant.real, constant.imag))
    elif kind is int:
        # repr() refuses very long ones.
        return b"int:%x" % constant
    elif kind is str:
        return b"str:" + constant.encode("utf-8", "surrogatepass")
    else:
        return f"{kind.__name__}:{constant!r}".encode()
    return f"{kind.__name__}:".encode() + b"".join(b"%d:%b" % (len(i), i) for i in items)


def _differences(old, new):
    """The names of the parts in which two digests differ."""
    found = [_VERSION] if old[0] != new[0] else []
    at = 1
    for part, size in _PARTS.items():
        if old[at : at + size] != new[at : at + size]:
            found.append(part)
        at += size
    # The hashes of parts are short: what has changed may keep its own by chance, not the total's.
    return tuple(found) or ("code",)


def is_same(saved, code):
    """Is a digest that was saved that of a code object?"""
    return len(saved) >= _LEAST and _core._digest(code)[: len(saved)] == saved


# ---- making -----------------------------------------------------------------


class _Exhausted:
    """Functions whose code stands for that of generators which have ended."""

    def generator():  # noqa: D102
        yield

    async def coroutine():  # noqa: D102
        pass

    async def asynchronous():  # noqa: D102
        yield


def make(code, namespace):
    """Return the reference to a code object, whose globals are NAMESPACE, or None if unknown.

    Raises NotPicklableError if no import finds it.
    """
    if namespace is None:
        return _make_without_globals(code)
    module = sys.modules.get(namespace.get("__name__"))
    if not isinstance(module, types.ModuleType) or vars(module) is not namespace:
        raise _not_found(code, "its globals are not those of a module that is imported")
    names = code.co_qualname.split(".<locals>.")[0].split(".")
    anchor, path, found = None, [], module
    for name in names:
        entries = vars(found) if isinstance(found, (types.ModuleType, type)) else {}
        if name not in entries:
            raise _not_found(code, f"module {module.__name__!r} has no {'.'.join(names)!r}")
        found = entries[name]
        if isinstance(found, type) or _has_name(found, module, names):
            anchor, path = found, []
        else:
            path.append("." + name)
    if anchor is None:
        raise _not_found(code, f"{names[0]!r} in module {module.__name__!r} can't be saved by name")
    for is_it in (operator.is_, _behaves_as):
        for steps, function in _wrapped(found):
            if function.__globals__ is namespace:
                inside = _path_to(code, function.__code__, is_it)
                if inside is not None:
                    path = "/".join([*path, *steps, *inside])
                    return (anchor, _core._digest(code), *([path] if path else []))
    raise _not_found(code, f"{'.'.join(names)!r} in module {module.__name__!r} has other code")


def _not_found(code, why):
    """The NotPicklableError for code that can't be referred to."""
    return _core.NotPicklableError(
        f"cannot pickle the code of {code.co_qualname!r} (file {code.co_filename!r}, line "
        f"{code.co_firstlineno}) by reference: {why}; pickle with code='value'"
    )


def _make_without_globals(code):
    """The reference to code of which nothing else is known."""
    kind = code.co_flags & (0x20 | 0x80 | 0x200)
    if kind:
        # Nobody can look at the code of a generator that has ended but through gi_code.
        name = {0x20: "generator", 0x80: "coroutine"}.get(kind, "asynchronous")
        function = vars(_Exhausted)[name]
        return function, _core._digest(function.__code__)
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == code.co_filename:
            return make(code, vars(module))
    raise _not_found(code, f"no module is imported from file {code.co_filename!r}")


def _has_name(found, module, names):
    """Does pickle save this object by the module's name and these?"""
    return (
        getattr(type(found), "__name__", "") in ("function", "_lru_cache_wrapper")
        and found.__module__ == module.__name__
        and found.__qualname__ == ".".join(names)
    )


def _wrapped(found):
    """The functions inside of decorators: pairs of the steps that lead there and the function."""
    level = [((), found)]
    for _ in range(20):
        inner = []
        for steps, value in level:
            if type(value) is types.FunctionType:
                yield steps, value
            for name in _INNER:
                part = _part(value, name)
                if part is not None:
                    inner.append(((*steps, "." + name), part))
        level = inner


def _part(value, name):
    """What a decorator or descriptor keeps under a name, without running code; None if nothing."""
    entries = getattr(value, "__dict__", None)
    if type(entries) in (dict, types.MappingProxyType) and name in entries:
        return entries[name]
    if isinstance(vars(type(value)).get(name), (types.MemberDescriptorType)):
        return getattr(value, name)
    return None


def _inner_codes(code):
    """The steps to the code objects inside of one, and these."""
    counts = {}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            name = constant.co_name
            number = counts[name] = counts.get(name, -1) + 1
            yield (f"{name}#{number}" if number else name), constant


def _behaves_as(code, other):
    """Is it as good as the other one? What was loaded by value is not what the module has."""
    return code.co_qualname == other.co_qualname and _core._digest(code) == _core._digest(other)


def _path_to(code, outer, is_it):
    """The steps to a code object inside of another one, or None if it isn't there."""
    if is_it(code, outer):
        return ()
    for step, inner in _inner_codes(outer):
        rest = _path_to(code, inner, is_it)
        if rest is not None:
            return (step, *rest)
    return None


def inner_codes(code):
    """Return all code objects inside of one, at any depth."""
    found = []
    for _, inner in _inner_codes(code):
        found += [inner, *inner_codes(inner)]
    return found


# ---- following --------------------------------------------------------------


class CodeChange:
    """Code that is not the same any more as when it was saved by reference.

    * ``module``, ``qualname``: where it was found.
    * ``what``: tuple of the parts that differ: "instructions", "constants", "names",
      "local variables", "exception table", "flags", "Python minor version"; ("code",) if it can't
      be told which; ("path",) if there is no such code any more.
    * ``code``: the code that is there now, or None.
    """

    __slots__ = ("module", "qualname", "what", "code")

    def __init__(self, module, qualname, what, code):
        self.module = module
        self.qualname = qualname
        self.what = what
        self.code = code

    def __repr__(self):
        return f"<CodeChange of {self.module}.{self.qualname}: {', '.join(self.what)}>"


def on_code_changed(hook):
    """Set what is asked when code that was saved by reference is not the same any more.

    HOOK is called with a :class:`CodeChange`.  It returns the code to use, a function or code
    object (``change.code`` to go on with what is there now), or None to refuse, as happens without
    a hook.  Code that has the digest of what was saved is used as it is.  In other code, a frame
    goes on where an instruction of the same kind stands on the same line, counted from the first
    one of the function, and in the same columns; its local variables must have the same names, and
    as many values be on its stack.  Otherwise loading raises CodeChangedError.  Exceptions of the
    hook end the loading.

    :func:`pickletask.loads` also asks when a function or class isn't there any more that a pickle
    names; ``change.code`` is None then.  The function that the hook returns takes its place, and
    the hook is asked again if a task has to go on in its code.  The stock unpickler raises
    AttributeError.

    Returns the hook that was set before, or None.  Raises TypeError if HOOK is neither callable nor
    None.  The hook is that of the process.
    """
    global _hook
    if hook is not None and not callable(hook):
        raise TypeError(f"the hook must be callable or None, not {type(hook).__name__}")
    old, _hook = _hook, hook
    return old


def supply(module, name):
    """Return the function that the hook supplies for a name that isn't there any more, or None."""
    change = CodeChange(module, name, ("path",), None)
    supplied = None if _hook is None else _hook(change)
    if supplied is not None and type(supplied) is not types.FunctionType:
        raise TypeError(
            f"the hook of on_code_changed() must return a function for {name!r}, which isn't in "
            f"module {module!r} any more, or None; not {type(supplied).__name__}"
        )
    return supplied


def has_hook():
    """Has on_code_changed() been told whom to ask?"""
    return _hook is not None


def follow(reference):
    """Return (code, globals, moved) of a reference; frames of code that has moved need its place.

    Raises CodeChangedError if the code has changed and the hook doesn't help, and
    CorruptStateError if this is no reference.
    """
    anchor, saved, path = _check(reference)
    function, code, lost = walk(anchor, path)
    if lost is None:
        if is_same(saved, code):
            return code, function.__globals__, False
        what = _differences(saved, _core._digest(code))
    else:
        what = ("path",)
    module, qualname = anchor.__module__, _qualname(anchor, path, code)
    change = CodeChange(module, qualname, what, code)
    supplied = None if _hook is None else _hook(change)
    if supplied is None:
        raise _changed(change, lost)
    return _migrate(change, saved, supplied, function)


def _check(reference):
    """The parts of a reference; raises CorruptStateError if they are none."""
    if type(reference) is tuple and 2 <= len(reference) <= 3:
        anchor, saved, path = *reference, *[""][: 3 - len(reference)]
        if (
            isinstance(saved, bytes)
            and _LEAST <= len(saved) <= _SIZE
            and isinstance(path, str)
            and isinstance(getattr(anchor, "__module__", None), str)
            and isinstance(getattr(anchor, "__qualname__", None), str)
        ):
            return anchor, saved, path
    raise _core.CorruptStateError("can't restore a task: it refers to code that is none")


def walk(anchor, path):
    """Where a path ends: (function, code, None); or (function or None, None, what is lost)."""
    found, function, code = anchor, None, None
    if type(anchor) is types.FunctionType:
        function, code = anchor, anchor.__code__
    for step in filter(None, path.split("/")):
        if step.startswith("."):
            name = step[1:]
            if isinstance(found, type) and function is None:
                found = vars(found).get(name)
            else:
                found = _part(found, name) if name in _INNER else None
            function = found if type(found) is types.FunctionType else None
            code = function.__code__ if function is not None else None
            lost = found is None
        else:
            code = dict(_inner_codes(code)).get(step) if code is not None else None
            lost = code is None
        if lost:
            return function, None, step
    return (function, code, None) if code is not None else (None, None, path)


def _qualname(anchor, path, code):
    """The name for messages of what a path leads to."""
    if code is not None:
        return code.co_qualname
    inner = ".".join(step.strip(".") for step in path.split("/"))
    return f"{anchor.__qualname__}.{inner}" if inner else anchor.__qualname__


def _changed(change, lost, why=""):
    """The CodeChangedError for a change."""
    if lost is not None:
        what = f"there is no {lost!r} in it any more"
    else:
        what = f"its {_list(change.what)} {'differ' if _plural(change.what) else 'differs'}"
    where = ""
    if change.code is not None:
        where = f" (file {change.code.co_filename!r}, line {change.code.co_firstlineno})"
    return _core.CodeChangedError(
        f"can't restore a task: the code of {change.qualname!r} in module {change.module!r}{where} "
        f"has changed since it was saved: {what}{why}"
        + ("" if why else "; pickletask.on_code_changed() may supply the code to use")
    )


def _list(words):
    """Words as in a sentence."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _plural(words):
    """Does the verb of these words have its plural form?"""
    return len(words) > 1 or words[0].endswith("s")


def _migrate(change, saved, supplied, function):
    """What follow() returns when the hook supplied a function or code."""
    code = supplied
    if type(supplied) is types.FunctionType:
        function, code = supplied, supplied.__code__
    if type(code) is not types.CodeType:
        raise TypeError(
            f"the hook of on_code_changed() must return a function, code or None, "
            f"not {type(supplied).__name__}"
        )
    if function is None:
        raise TypeError(
            f"the hook of on_code_changed() must return a function for {change.qualname!r}: "
            "nothing is there that has globals"
        )
    same = is_same(saved, code)
    what = () if same else _differences(saved, _core._digest(code))
    for part in (_VERSION, "local variables"):
        if part in what:
            raise _changed(change, None, f"; what the hook supplied differs in its {part}")
    return code, function.__globals__, not same
