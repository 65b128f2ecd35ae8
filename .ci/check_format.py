"""The format: ruff for Python; for C 79 columns, no tabs, and lengths that a reader can hold.

ruff is left out where it isn't installed, and says so.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from common import blank_c, project_files

C_SUFFIXES = (".c", ".h", ".S")
TEXT_SUFFIXES = (*C_SUFFIXES, ".py", ".pyi", ".rst", ".toml", ".md", ".sh", ".yml", ".cfg")
C_COLUMNS = 79
FILE_LINES = 900
FUNCTION_LINES = 100


def check(root):
    """The complaints about the tree at ROOT."""
    return check_text(root) + check_ruff(root)


def check_text(root):
    """The complaints that need no tool."""
    complaints = []
    for path in project_files(root):
        if path.suffix in TEXT_SUFFIXES or path.name in ("Makefile", "run", "python", "LICENSE"):
            name = path.relative_to(root)
            complaints += [f"{name}:{what}" for what in complaints_of(path)]
    return complaints


def complaints_of(path):
    """Pairs "line: what" about one text file."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"1: not UTF-8: {error.reason} at byte {error.start}"]
    found = []
    if b"\r" in data:
        found.append("1: carriage returns; lines end with LF alone")
    if data and not data.endswith(b"\n"):
        found.append(f"{text.count(chr(10)) + 1}: no newline at the end")
    if data.endswith(b"\n\n"):
        found.append(f"{text.count(chr(10))}: blank lines at the end")
    is_c = path.suffix in C_SUFFIXES
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            found.append(f"{number}: trailing blanks")
        if is_c and "\t" in line:
            found.append(f"{number}: a tab")
        if is_c and len(line) > C_COLUMNS:
            found.append(f"{number}: {len(line)} columns, more than {C_COLUMNS}")
    if is_c:
        # A test may be as long as what it has to try.
        if len(lines) - 1 > FILE_LINES and "tests" not in path.parts:
            found.append(f"{FILE_LINES + 1}: {len(lines) - 1} lines, more than {FILE_LINES}")
        if path.suffix != ".S":
            for name, first, last in functions(text):
                if last - first + 1 > FUNCTION_LINES:
                    found.append(f"{first}: {name}() has {last - first + 1} lines, too many")
    return found


def functions(text):
    """(name, first line, last line) of each function defined in C TEXT, body only."""
    # Continued preprocessor lines may hold single braces; blanked, they keep the line numbers.
    text = re.sub(
        r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
        lambda match: re.sub(r"[^\n]", " ", match[0]),
        blank_c(text),
        flags=re.M,
    )
    depth, opened, since = 0, None, 0
    for match in re.finditer(r"[{};]", text):
        if match[0] == "{":
            if depth == 0:
                head = text[since : match.start()].rstrip()
                name = re.search(r"(\w+)\s*\([^{}]*\)$", head)
                opened = (name[1] if name else "?", match.start()) if head.endswith(")") else None
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0 and opened is not None:
                name, start = opened
                yield name, text.count("\n", 0, start) + 1, text.count("\n", 0, match.start()) + 1
                opened = None
        if depth == 0:
            since = match.end()


def check_ruff(root):
    """The complaints of ruff, about style and about format."""
    beside = Path(sys.executable).parent / "ruff"
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    if ruff is None:
        print("check format: ruff is not installed: Python files left out")
        return []
    status, style = run_ruff(root, ruff, "check", "--quiet", "--output-format=concise")
    complaints = style if status else []
    status, diff = run_ruff(root, ruff, "format", "--diff")
    names = [line.removeprefix("--- ") for line in diff if line.startswith("--- ")]
    if status:
        complaints += [f"{name}: not formatted; make format does it" for name in names] or diff
    return complaints


def run_ruff(root, ruff, *arguments):
    """The status and the lines of output of RUFF over ROOT."""
    run = subprocess.run(
        [ruff, *arguments, "--no-cache", "."],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return run.returncode, [line for line in run.stdout.splitlines() if line.strip()]
