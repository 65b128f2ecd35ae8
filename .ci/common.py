"""What the scripts in this folder share: the tree, the interpreters, the text of C files."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where pythons.py puts the interpreters that it brings.
BROUGHT = ROOT / "build" / "pythons"
# The first minor whose debug builds are to be tested: from here on, the slots of a frame hold
# tagged references, and asserts of the interpreter tell whether a tag is right.
DEBUG_SINCE = 14

# Folders that are never part of the project, wherever they are.
NOT_OURS = {".git", "build", "dist", "__pycache__", ".hypothesis"}
NOT_OURS |= {".mypy_cache", ".pytest_cache", ".ruff_cache"}

PROBE = """
import importlib.util, json, os, sys, sysconfig
include = sysconfig.get_path("include")
perf = sysconfig.get_config_var("PY_HAVE_PERF_TRAMPOLINE")
jit = hasattr(sys, "_jit") and sys._jit.is_available()
print(json.dumps({
    "executable": sys.executable,
    "implementation": sys.implementation.name,
    "version": list(sys.version_info[:3]),
    "build": sys.version,
    "debug": hasattr(sys, "gettotalrefcount"),
    "nogil": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "include": include,
    "headers": os.path.exists(os.path.join(include, "internal", "pycore_frame.h")),
    "perf": bool(perf),
    "jit": jit,
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
}))
"""


class Failure(Exception):
    """Something that the person at the keyboard can put right, said in one line."""


def main(function):
    """Run FUNCTION() as a script: a Failure is one line on stderr and status 1."""
    try:
        status = function()
    except Failure as failure:
        print(f"pickletask: {failure}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("pickletask: interrupted", file=sys.stderr)
        status = 130
    sys.stdout.flush()
    sys.exit(status)


def supported_minors():
    """The supported minor versions of Python 3, as a range; pyproject.toml is where they stand."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    bounds = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', text, re.M)
    return range(int(bounds[1]), int(bounds[2]))


def project_files(root=ROOT):
    """The project's own files below ROOT, sorted: what git tracks or would, else all there are."""
    root = Path(root)
    if (root / ".git").exists():
        command = "git ls-files -z --cached --others --exclude-standard".split()
        try:
            listed = subprocess.run(command, cwd=root, capture_output=True)
        except OSError:
            listed = None
        if listed is not None and listed.returncode == 0:
            names = listed.stdout.decode().split("\0")
            return sorted(root / name for name in set(names) if name and (root / name).is_file())
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in NOT_OURS and "egg-info" not in name]
        files += [Path(folder) / name for name in names if not name.endswith((".so", ".o", ".pyc"))]
    return sorted(files)


class Interpreter:
    """One Python found on this machine: what its probe said, and whether it will do."""

    def __init__(self, facts):
        self.executable = facts["executable"]
        self.version = tuple(facts["version"])
        self.debug, self.perf, self.jit = facts["debug"], facts["perf"], facts["jit"]
        self.name = "{}.{}.{}".format(*self.version) + (" debug" if self.debug else "")
        self.include = facts["include"]
        self.identity = (facts["implementation"], facts["build"], facts["debug"], facts["nogil"])
        self.supported = (
            facts["implementation"] == "cpython"
            and self.version[0] == 3
            and self.version[1] in supported_minors()
            and not facts["nogil"]
        )
        version = "{}.{}".format(*self.version)
        if not facts["headers"]:
            self.lack = f"no headers in {self.include}; install python{version}-dev"
        elif not facts["venv"]:
            self.lack = f"no venv and ensurepip modules; install python{version}-venv"
        else:
            self.lack = None

    def __str__(self):
        return f"Python {self.name} ({self.executable})"


def probe(executable):
    """The Interpreter behind EXECUTABLE, or None if it doesn't run (as a pyenv shim may not)."""
    try:
        run = subprocess.run(
            [executable, "-c", PROBE], capture_output=True, stdin=subprocess.DEVNULL, timeout=60
        )
        return Interpreter(json.loads(run.stdout)) if run.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def candidate_paths():
    """Every path that may be a supported Python: on PATH, of pyenv, brought, in usual folders."""
    minors = supported_minors()
    names = ["python3", *(f"python3.{minor}{build}" for minor in minors for build in ("", "d"))]
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders += ["/usr/local/bin", "/usr/bin"]
    pyenv = os.environ.get("PYENV_ROOT", "")
    if shutil.which("pyenv"):
        run = subprocess.run(["pyenv", "root"], capture_output=True, text=True)
        pyenv = run.stdout.strip() or pyenv
    versions = Path(pyenv or Path.home() / ".pyenv") / "versions"
    if versions.is_dir():
        folders += [str(folder / "bin") for folder in sorted(versions.iterdir())]
    folders += sorted(map(str, BROUGHT.glob("3.*/usr/bin")))
    paths = (os.path.join(folder, name) for folder in folders if folder for name in names)
    return [path for path in dict.fromkeys(paths) if os.access(path, os.X_OK)]


def find_interpreters(named=()):
    """The supported Interpreters, oldest first, each build once.

    NAMED ones (paths or commands) must run and be supported, or Failure is raised; without them,
    the machine is searched and what is not supported passes in silence.
    """
    found = {}
    for path in named or candidate_paths():
        interpreter = probe(path)
        if named and (interpreter is None or not interpreter.supported):
            is_what = f"is Python {interpreter.name}" if interpreter else "does not run"
            raise Failure(f"{path} {is_what}: not a supported Python")
        if interpreter is not None and interpreter.supported:
            found.setdefault(interpreter.identity, interpreter)
    return sorted(found.values(), key=lambda interpreter: (interpreter.version, interpreter.name))


def blank_c(text):
    """C TEXT of equal length and lines, with comments and the inside of literals blanked out.

    Names in "#include" lines stay: they are no literals to the preprocessor.
    """
    token = re.compile(
        r"""^[ \t]*\#[ \t]*include\b[^\n]*
          | //[^\n]*
          | /\*.*?\*/
          | "(?:\\.|[^"\\\n])*"
          | '(?:\\.|[^'\\\n])*'""",
        re.M | re.S | re.X,
    )

    def blank(match):
        found = match[0]
        if found.lstrip().startswith("#"):
            return found
        return re.sub(r"[^\n]", " ", found)

    return token.sub(blank, text)
