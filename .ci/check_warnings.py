"""Every C file compiles without a warning, with gcc and clang, for each supported minor found.

src/stack and the C tests are compiled once and without Python's headers on the path. What passed
is noted in build/, so that an unchanged tree is not compiled again.
"""

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import find_interpreters

FLAGS = """
    -std=gnu11 -O2 -fPIC -fvisibility=hidden -ftls-model=initial-exec -Wall -Wextra -Wundef
    -Wstrict-prototypes -Wno-unused-parameter -Wno-missing-field-initializers
    -Wno-cast-function-type -Werror
""".split()
COMPILERS = ("gcc", "clang")


def check(root):
    """The complaints of all compilers found about the C files of the tree at ROOT."""
    root = Path(root)
    sources = sorted(path for path in (root / "src").rglob("*") if path.suffix in (".c", ".S"))
    bare = [path for path in sources if path.parent.name == "stack"]
    sources = [path for path in sources if path not in bare]
    bare += sorted((root / "tests").rglob("*.c"))
    compilers = [name for name in COMPILERS if shutil.which(name)]
    for name in COMPILERS:
        if name not in compilers:
            print(f"check warnings: {name} not found: left out")
    if not compilers:
        return ["no C compiler: neither gcc nor clang found"]
    found = [each for each in find_interpreters() if not each.lack]
    # The newest one of each minor, the debug build only where there is no other.
    minors = {each.version[1]: each for each in sorted(found, key=lambda each: not each.debug)}
    if not minors:
        return ["no supported Python with headers found"]
    # The asserts are part of the code, and without them variables may be unused: both ways.
    ways = [(compiler, define) for compiler in compilers for define in ("-UNDEBUG", "-DNDEBUG")]
    jobs = []
    for compiler, define in ways:
        for path in bare:
            jobs.append(([compiler, *FLAGS, define, f"-I{root / 'src'}"], path, "without Python"))
        for interpreter in minors.values():
            system = ["-isystem", interpreter.include]
            command = [compiler, *FLAGS, define, f"-I{root / 'src'}", *system]
            for path in sources:
                jobs.append((command, path, f"Python {interpreter.name}"))
    return run_jobs(root, jobs, versions(compilers) + headers(root))


def versions(compilers):
    """What the compilers say they are, as a part of what a note stands for."""
    texts = [subprocess.run([name, "--version"], capture_output=True) for name in compilers]
    return b"".join(each.stdout for each in texts)


def headers(root):
    """The text of all headers, likewise."""
    paths = [path for top in ("src", "tests") for path in sorted((root / top).rglob("*.h"))]
    return b"".join(path.read_bytes() for path in paths)


def run_jobs(root, jobs, common):
    """Compile what isn't noted as good in build/warnings; the complaints."""
    notes = root / "build" / "warnings"
    notes.mkdir(parents=True, exist_ok=True)

    def compile_one(job):
        command, path, what = job
        hasher = hashlib.sha256(common + repr((command, str(path), what)).encode())
        note = notes / hashlib.sha256(hasher.digest() + path.read_bytes()).hexdigest()[:24]
        if note.exists():
            return []
        run = subprocess.run(
            [*command, "-c", str(path), "-o", os.devnull],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if run.returncode == 0:
            note.touch()
            return []
        head = f"{path.relative_to(root)}: {command[0]}, {what}:"
        return [head, *("    " + line for line in run.stdout.splitlines())]

    with ThreadPoolExecutor(max_workers=2) as pool:
        return [line for lines in pool.map(compile_one, jobs) for line in lines]
