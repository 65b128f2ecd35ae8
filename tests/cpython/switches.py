"""Puts switches into CPython's tests: calls of __switch__().

Densely: the modules of the package `test` are compiled with a call before each statement of their
functions, generators and coroutines, on the line of that statement: what is traced, shown or looked
up by line stays as it was. Nothing is written to __pycache__.

Sparsely: the methods that assert something call it first. This is for tests that look at the
events, the instructions or the size of their own functions.
"""

import ast
import builtins
import doctest
import functools
import sys
import unittest
from importlib.machinery import PathFinder, SourceFileLoader

# These are no tests: the rest of them relies on what they do.
LEFT_ALONE = ("test.support", "test.libregrtest")


class Inserter(ast.NodeTransformer):
    """Inserts the calls; they get the place of the statement they stand before."""

    def insert(self, statements):
        """The list STATEMENTS with a call before each one but a docstring."""
        result = []
        for number, statement in enumerate(statements):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if number or not is_text:
                name = ast.copy_location(ast.Name("__switch__", ast.Load()), statement)
                call = ast.copy_location(ast.Call(name, [], []), statement)
                result.append(ast.copy_location(ast.Expr(call), statement))
            result.append(statement)
        return result

    def visit_function(self, function):
        inner = InFunction()
        function.body = self.insert([inner.visit(statement) for statement in function.body])
        return function

    visit_FunctionDef = visit_AsyncFunctionDef = visit_function


class InFunction(Inserter):
    """Does so in the body of a function, but not in that of a class in it."""

    def visit_ClassDef(self, definition):
        return Inserter().generic_visit(definition)

    def generic_visit(self, node):
        super().generic_visit(node)
        for field in "body", "orelse", "finalbody":
            statements = getattr(node, field, None)
            if isinstance(statements, list) and statements:
                setattr(node, field, self.insert(statements))
        return node


class Loader(SourceFileLoader):
    """Compiles modules with the calls, always from their source."""

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        tree = Inserter().visit(ast.parse(self.get_data(path), path))
        return compile(tree, path, "exec", dont_inherit=True)


class Finder(PathFinder):
    """Finds the modules of tests for this loader."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if not fullname.startswith("test.") or fullname.startswith(LEFT_ALONE):
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


def compile_example(source, filename, mode, flags, dont_inherit):
    """What doctest calls to compile an example: switch, and have its functions do so."""
    __switch__()  # noqa: F821  (a builtin by now)
    tree = compile(source, filename, mode, flags | ast.PyCF_ONLY_AST, dont_inherit)
    return compile(Inserter().visit(tree), filename, mode, flags, dont_inherit)


def wrap_assertions(cls):
    """Have each method of CLS that asserts something switch first."""

    def wrap(method):
        @functools.wraps(method)
        def switch_first(*args, **kwargs):
            __switch__()  # noqa: F821  (a builtin by now)
            return method(*args, **kwargs)

        return switch_first

    for name, method in list(vars(cls).items()):
        if name.startswith("assert") and callable(method):
            setattr(cls, name, wrap(method))


def install(switch, how):
    """Make __switch__() the function SWITCH, and have it called: HOW is "densely" or "sparsely"."""
    builtins.__switch__ = switch
    if how == "sparsely":
        wrap_assertions(unittest.TestCase)
    else:
        sys.meta_path.insert(0, Finder)
        doctest.compile = compile_example
