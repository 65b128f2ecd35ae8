"""Modules that suspend while they are imported, and what imports them, for test_imports.py.

``main(folder, name, number)`` runs the function NAME in a task, in process NUMBER: from where the
pickle in stdin has it, or from its beginning, if the number is 0. It writes the pickle where it
suspends, or what the function has logged, if it ends. Without a number it runs to its end.
"""

import importlib
import importlib.machinery
import importlib.util
import io
import pickle
import sys
import traceback
import types
from pathlib import Path

import pickletask
from pickletask import schedule_remove

channel = pickletask.channel()


def pause(value=None):
    """Suspend, unless a pickle that is loaded imports what had been imported."""
    if pickletask.getcurrent() is pickletask.getmain():
        return value
    return schedule_remove(value)


MODULES = {
    "plain.py": """
        from importing import pause
        factor = 2
        def multiply(x, by=lambda: 1):
            return x * factor * by()
        numbers = []
        for number in range(3):
            numbers.append(multiply(number))
            if number == 1:
                value = pause("value")
        factor = 3
        result = multiply(14), numbers, multiply.__globals__ is globals()
        """,
    "deep.py": """
        from importing import pause
        def wait(depth):
            return wait(depth - 1) if depth else pause("deep")
        class Body:
            attribute = wait(2)
        def generate():
            yield wait(1)
            yield 2
        try:
            items = [item for item in generate()]
        finally:
            ended = pause("ended")
        """,
    "pack/__init__.py": """
        from importing import pause
        before = pause("before")
        from . import one, two
        after = pause("after")
        __all__ = ["one", "three", "after"]
        """,
    "pack/one.py": """
        from importing import pause
        one = pause(1)
        from .two import two
        """,
    "pack/two.py": "from importing import pause; two = pause(2)",
    "pack/three.py": """
        from importing import pause
        three = pause(3)
        import pack.inner.four as four
        """,
    "pack/inner/__init__.py": "from importing import pause; pause('inner')",
    "pack/inner/four.py": "from importing import pause; four = pause(4)",
    "pack/vanishing.py": """
        from importing import pause
        pause()
        raise ModuleNotFoundError(name="pack.vanishing")
        """,
    "quiet/__init__.py": "",
    "quiet/sub.py": "from importing import pause; sub = pause('sub')",
    "raising.py": """
        from importing import pause
        def fail():
            pause("failing")
            raise ValueError("failed")
        try:
            fail()
        finally:
            pause("failed")
        """,
    "replaced.py": """
        import sys, types
        from importing import pause
        sys.modules[__name__] = types.SimpleNamespace(value=pause("replaced"))
        """,
    "removed.py": """
        import sys
        from importing import pause
        pause()
        del sys.modules[__name__]
        """,
    "circular.py": """
        from importing import pause
        import circular2
        result = circular2.seen, pause("first")
        """,
    "circular2.py": """
        from importing import pause
        pause("second")
        import circular
        seen = hasattr(circular, "result"), circular.__spec__._initializing
        """,
    "asking.py": """
        from importing import channel
        for item in channel:
            got = item
        """,
    "holding.py": """
        import threading
        from importing import pause
        first = pause()
        lock = threading.Lock()
        second = pause()
        """,
    "again.py": """
        from importing import pause
        if "loaded" in globals():
            pause()
        loaded = True
        """,
    "renamed.py": """
        from importing import pause
        __name__ = "other"
        pause()
        """,
    "exchanged.py": """
        import sys
        from importing import pause
        sys.modules[__name__] = sys
        pause()
        """,
    "unknown.py": """
        from importing import pause
        __spec__ = None
        pause()
        """,
    "swallowing.py": """
        from importing import pause
        try:
            pause()
        except Exception:
            caught = True
        """,
    "closing.py": """
        from importing import pause
        closed = []
        try:
            pause()
        finally:
            import sys
            closed.append(sys.modules[__name__].closed is closed)
            pause.closed = closed
        """,
    "classes.py": """
        from importing import pause
        class Made:
            def get(self):
                return factor
        made = Made()
        factor = pause(5)
        got = made.get(), type(made) is Made
        """,
}


def write_modules(folder):
    """Write them all."""
    import textwrap

    for name, text in MODULES.items():
        path = Path(folder) / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")


# ---- what imports them: each takes a list to log to ------------------------


def statement(log):
    import plain

    log.append(plain.result)


def statement_from(log):
    from plain import result, value

    log.append((result, value))


def from_module_level(log):
    names = {}
    exec("import plain\nfrom quiet import sub\nimport quiet.sub", names)
    log.append((names["plain"].result, names["sub"].sub, names["quiet"].__name__))


def deep_inside(log):
    import deep

    log.append((deep.Body.attribute, deep.items, deep.ended))


def dotted(log):
    import pack.three

    log.append((pack.__name__, pack.three.three, pack.one.one, pack.two.two, pack.inner.four.four))


def dotted_as(log):
    import pack.inner.four as four

    log.append(four.four)


def from_package(log):
    from pack import one, three

    log.append((one.one, three.three))


def from_quiet_package(log):
    from quiet import sub

    log.append(sub.sub)


def from_submodule(log):
    from pack.one import two

    log.append(two)


def star(log):
    names = {}
    exec("from pack import *", names)
    log.append(sorted(name for name in names if not name.startswith("_")))


def by_call(log):
    log.append(__import__("pack.inner.four").__name__)
    log.append(__import__("quiet", fromlist=["sub"], level=0).sub.sub)
    log.append(__import__("plain", globals(), None, (), 0).result)


def by_relative_call(log):
    names = {"__package__": "pack", "__name__": "pack.x", "__spec__": None}
    log.append(__import__("inner.four", names, None, None, 1).__name__)


def by_import_module(log):
    log.append(importlib.import_module("pack.three").three)
    log.append(importlib.import_module(".sub", "quiet").sub)


def by_importlib(log):
    log.append(importlib.__import__("pack.three").__name__)
    log.append(importlib.__import__("quiet", fromlist=["sub"]).sub.sub)


def failing(log):
    for _ in range(2):
        try:
            import raising  # noqa: F401
        except ValueError as error:
            entries = traceback.extract_tb(error.__traceback__)
            log.append([(entry.name, entry.lineno) for entry in entries])
            log.append((str(error), "raising" in sys.modules))


def replaced(log):
    import replaced

    log.append(type(replaced) is types.SimpleNamespace and replaced.value)


def removed(log):
    try:
        import removed  # noqa: F401
    except KeyError as error:
        log.append(str(error))


def vanishing(log):
    import quiet

    try:
        from pack import vanishing  # noqa: F401
    except ImportError as error:
        log.append((type(error).__name__, error.name, quiet.__name__))


def missing(log):
    try:
        import pack.missing  # noqa: F401
    except ImportError as error:
        log.append(str(error))


def circular(log):
    import circular

    log.append(circular.result)


def several(log):
    import plain
    import raising  # noqa: F401

    log.append(plain)


def with_classes(log):
    import classes

    log.append(classes.got)


class Loader:
    """One that isn't importlib's."""

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.before = pause("loader")
        exec("from importing import pause; inside = pause(0)", vars(module))
        module.after = pause("after")


class Derived(importlib.machinery.SourceFileLoader):
    """One that asks importlib's."""

    def exec_module(self, module):
        module.before = pause("before")
        module.ended = super().exec_module(module)
        module.after = pause("after")


class Finder:
    """Finds what these load."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "found":
            return importlib.util.spec_from_loader(name, Loader())
        if name == "derived":
            loader = Derived(name, str(Path(sys.path[0]) / "plain.py"))
            return importlib.util.spec_from_file_location(name, loader=loader)


def own_loader(log):
    import found

    log.append((found.before, found.inside, found.after, found.__spec__._initializing))


def derived_loader(log):
    import derived

    log.append((derived.before, derived.result, derived.ended, derived.after))


def in_generator(log):
    def generate():
        import quiet.sub

        yield quiet.sub.sub
        try:
            import raising  # noqa: F401
        except ValueError:
            import plain

            yield plain.result

    for value in generate():
        log.append(value)


class Importer:
    """Imports where C code calls it."""

    def __init__(self):
        from plain import result

        self.result = result


def below_c_code(log):
    log.append(Importer().result)


WITH_CLASSES = "deep_inside", "with_classes"

# ---- running them ----------------------------------------------------------


def importing_names():
    names = {name.split("/")[0].removesuffix(".py") for name in MODULES}
    return names | {"found", "derived"}


def check_done():
    """No module is left half-imported, no lock is held."""
    ours = importing_names()
    for name, module in sys.modules.items():
        if name.split(".")[0] in ours:
            spec = getattr(module, "__spec__", None)
            assert spec is None or (not spec._initializing), name
            siblings = getattr(spec, "_uninitialized_submodules", None)
            assert not siblings, (name, siblings)
            parent, _, child = name.rpartition(".")
            assert not parent or vars(sys.modules[parent])[child] is module, name
    for name in list(importlib._bootstrap._module_locks):
        if name.split(".")[0] in ours:
            assert importlib._bootstrap._get_module_lock(name).owner is None, name


class Work:
    """A task's function that ends quietly; what it logs is its own."""

    def __init__(self, name):
        self.name = name
        self.log = []

    def run(self):
        try:
            globals()[self.name](self.log)
        except Exception as error:
            self.log.append((type(error).__name__, str(error)))


def dumps(obj, number, protocol=None):
    """Pickle with another pickler each time."""
    if number % 3 == 0:
        return pickle.dumps(obj, protocol)
    if number % 3 == 1:
        file = io.BytesIO()
        pickle._Pickler(file, protocol).dump(obj)
        return file.getvalue()
    return pickletask.dumps(obj, protocol, classes="value")


def main(folder, name, number=None):
    sys.path.insert(0, folder)
    sys.meta_path.append(Finder)
    if number in ("0", None):
        work = Work(name)
        task = pickletask.tasklet(work.run)()
        task.remove()
    else:
        load = (pickle.loads, pickle._loads)[int(number) % 2]
        task, work = load(sys.stdin.buffer.read())
    task.run()
    while task.alive and number is None:
        task.run()
    if task.alive:
        way = 2 if name in WITH_CLASSES else int(number)
        print(dumps((task, work), way).hex())
    else:
        check_done()
        print(work.log)
