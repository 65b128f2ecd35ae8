"""The layers of src/: arrows point down only, and only src/interp knows versions and internals.

module.c > tasks | reduce > fiber > interp, and fiber > stack, which knows nothing of Python.
"""

import re
from pathlib import Path

from common import blank_c

# What each layer may include of the others. module.h belongs to all that know Python.
MAY_INCLUDE = {
    "stack": set(),
    "interp": {"module"},
    "fiber": {"module", "interp", "stack"},
    "tasks": {"module", "fiber", "interp"},
    "reduce": {"module", "fiber", "interp"},
    "module": {"stack", "interp", "fiber", "tasks", "reduce"},
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.M)
INTERNALS = re.compile(r"^(internal/|pycore_|cpython/)")
PYTHON_HEADER = re.compile(r"^(internal/|pycore_|cpython/|Python|structmember|frameobject)")
VERSION_MACRO = re.compile(r"\bPY_(VERSION_HEX|MAJOR|MINOR|MICRO)\w*")


def layer_of(path):
    """The layer of PATH, relative to src/."""
    return path.parts[0] if len(path.parts) > 1 else "module"


def check(root):
    """The complaints about the tree at ROOT."""
    src = Path(root) / "src"
    complaints = []
    files = sorted(path for path in src.rglob("*") if path.suffix in (".c", ".h", ".S"))
    for path in files:
        layer = layer_of(path.relative_to(src))
        if layer not in MAY_INCLUDE:
            complaints.append(f"{path.relative_to(root)}: src/{layer}/ is no layer")
            continue
        text = blank_c(path.read_text(encoding="utf-8"))
        complaints += check_file(Path(root), src, path, layer, text)
    objects = {}
    for path in files:
        if path.suffix != ".h":
            other = objects.setdefault(path.with_suffix(".o"), path)
            if other != path:
                complaints.append(f"{path.relative_to(root)}: same object file as {other.name}")
    return complaints


def check_file(root, src, path, layer, text):
    """The complaints about one file of LAYER, TEXT its text without comments."""
    complaints = []

    def complain(match, what):
        line = text.count("\n", 0, match.start()) + 1
        complaints.append(f"{path.relative_to(root)}:{line}: {what}")

    for match in INCLUDE.finditer(text):
        quote, name = match.groups()
        if layer == "stack" and PYTHON_HEADER.match(name):
            complain(match, f"src/stack knows nothing of Python, so no {name}")
        elif INTERNALS.match(name):
            if layer != "interp":
                complain(match, f"only src/interp includes CPython's internals, so no {name}")
        elif quote == '"':
            targets = [folder / name for folder in (path.parent, src)]
            target = next((each.resolve() for each in targets if each.exists()), None)
            if target is None and layer == "interp":
                continue  # CPython's opcode.h and its like
            if target is None or src.resolve() not in target.parents:
                complain(match, f"no {name} below src/")
                continue
            other = layer_of(target.relative_to(src.resolve()))
            if other != layer and other not in MAY_INCLUDE[layer]:
                complain(match, f"{layer} may not include {other}'s {name}")
    if layer != "interp":
        for match in VERSION_MACRO.finditer(text):
            complain(match, f"{match[0]}: versions are told apart in src/interp only")
    return complaints
