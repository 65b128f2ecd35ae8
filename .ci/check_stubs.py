"""The stubs (.pyi) tell what the installed package has; __all__ and the stub name the same things.

Needs the package built and mypy installed; a module without a stub is passed over.
"""

import ast
import importlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path


def check(root):
    """The complaints about the stubs below ROOT/pickletask, compared with the installed package."""
    package = Path(root) / "pickletask"
    stubs = {module_name(package, path): path for path in sorted(package.rglob("*.pyi"))}
    if not stubs:
        print("check stubs: there are none yet")
        return []
    complaints = check_stubtest(sorted(stubs))
    for name, path in stubs.items():
        complaints += check_all(name, path)
    return complaints


def module_name(package, path):
    """The dotted name of the module that the stub at PATH describes."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def check_stubtest(names):
    """What mypy's stubtest says of the modules NAMES."""
    if importlib.util.find_spec("mypy") is None:
        return ["mypy is not installed: cannot compare the stubs with the modules"]
    # From an empty folder: the checkout's package has no compiled core.
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-m", "mypy.stubtest", "--concise", *names],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if run.returncode == 0:
        return []
    return [line for line in run.stdout.splitlines() if line.strip()] or ["stubtest failed"]


def check_all(name, path):
    """The differences between the module's __all__ and the public names of its stub."""
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None)
    if public is None:
        return []
    stubbed = public_names(ast.parse(path.read_text(encoding="utf-8")))
    missing = sorted(set(public) - stubbed)
    beyond = sorted(stubbed - set(public))
    complaints = []
    if missing:
        complaints.append(f"{path.name} of {name} lacks {', '.join(missing)} of __all__")
    if beyond:
        complaints.append(f"{path.name} of {name} has {', '.join(beyond)}, not in __all__")
    return complaints


def public_names(tree):
    """The names that a stub's TREE gives to its users: definitions, and imports "as" themselves."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname for alias in node.names if alias.asname == alias.name}
    return {name for name in names if not name.startswith("_")}
