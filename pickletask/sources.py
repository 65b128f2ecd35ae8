"""Finds code by its name without importing or running anything: for looking at saved tasks."""

import importlib.machinery
import sys
import types
import warnings

from pickletask import references, states

__all__ = ["find"]


class Found:
    """A code object that was found, with what :class:`~pickletask.marshalled.Code` has.

    ``unchanged`` says whether it has the digest that was asked for.
    """

    __slots__ = ("qualname", "filename", "first_line", "variables", "unchanged", "_code")

    def __init__(self, code, unchanged):
        self.qualname = code.co_qualname
        self.filename = code.co_filename
        self.first_line = code.co_firstlineno
        self.variables = states.variables(code)
        self.unchanged = unchanged
        self._code = code

    def line(self, pc):
        """Return the line of a code unit, or None."""
        for unit, (line, *_) in enumerate(self._code.co_positions()):
            if unit == pc:
                return line
        return None


def find(module, name, digest, path):
    """Return the Found code for a function's name and a path from there, or None.

    DIGEST is the digest it should have, or None if any will do.
    """
    code = _imported(module, name, path)
    if code is None:
        code = _compiled(module, name, digest, path)
    return None if code is None else Found(code, _has_digest(code, digest))


def _has_digest(code, digest):
    """Is it code with this digest, or with any?"""
    return digest is None or references.is_same(digest, code)


def _imported(module, name, path):
    """The code in a module that is imported already."""
    found = sys.modules.get(module)
    if not isinstance(found, types.ModuleType):
        return None
    for part in name.split("."):
        if not isinstance(found, (types.ModuleType, type)):
            return None
        found = vars(found).get(part)
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
    return None if found is None else references.walk(found, path)[1]


def _compiled(module, name, digest, path):
    """The code in the source of a module: that with the digest, else that with the name."""
    source, file = _source(module)
    if source is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = compile(source, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    steps = [step for step in path.split("/") if step[:1] not in ("", ".")]
    named = None
    for code in references.inner_codes(top):
        if digest is not None and _has_digest(code, digest):
            return code
        if code.co_qualname == name and not path:
            named = code
        elif steps and code.co_qualname.endswith(steps[-1].partition("#")[0]):
            named = code if code.co_qualname.startswith(name + ".<locals>.") else named
    return named


def _source(module):
    """Source and file name of a module that an import would find; (None, None) if there is none."""
    search, spec = None, None
    try:
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:count]), search)
            if spec is None:
                return None, None
            search = spec.submodule_search_locations
        source = spec.loader.get_source(module)
    except Exception:
        # Whatever a name from a pickle does to finders and loaders, it isn't found.
        return None, None
    return (None, None) if source is None else (source, spec.origin)
