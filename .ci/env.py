"""Makes or refreshes this interpreter's own environment in build/ and runs a command in it.

    python .ci/env.py [--asserts] [--tool NAME] [--extras test,bench,check] -- COMMAND [ARG ...]

An environment is a folder of one interpreter and one kind of build, shared with no other:

    build/<version>-<hash of the interpreter>-<release|asserts|asan|valgrind>/
        venv/       the virtual environment, pickletask installed in it
        objects/    what the compiler made
        stamps.json what the three steps were last done for: venv, extras, build
        lock        held while a step runs, so that two makes don't meet
        log         what pip printed last

Each step is done again when the text of its stamp differs, so nothing is done for an unchanged
tree, and then no registry is needed. "asserts" compiles with -UNDEBUG; CFLAGS are added to both
(setuptools would have them replace the flags that Python was built with).
"""

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib

import common
from common import ROOT, Failure

# What pip says when the registry, not the project, is at fault.
REGISTRY_WORDS = (
    "No matching distribution found",
    "Could not find a version",
    "Connection",
    "connection",
    "Temporary failure in name resolution",
    "timed out",
    "SSLError",
    "ProxyError",
)


def digest(*parts):
    """A short hash over the texts PARTS."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def source_digest():
    """A hash over everything that the installed package is made of."""
    hasher = hashlib.sha256()
    built = [path for path in common.project_files() if is_source(path.relative_to(ROOT))]
    for path in built:
        data = path.read_bytes()
        hasher.update(f"{path.relative_to(ROOT)}\0{len(data)}\0".encode() + data)
    return hasher.hexdigest()[:12]


def is_source(path):
    """Whether PATH, relative to the root, is a part of what gets built and installed."""
    return path.parts[0] in ("src", "pickletask") or str(path) in (
        "setup.py",
        "pyproject.toml",
        "README.rst",
        "LICENSE",
    )


class Environment:
    """One folder below build/, see the heading."""

    def __init__(self, interpreter, asserts, tool=""):
        self.interpreter = interpreter
        kind = tool or ("asserts" if asserts else "release")
        version = "{}.{}.{}".format(*interpreter.version)
        identity = digest(interpreter.executable, *map(str, interpreter.identity))[:6]
        self.folder = ROOT / "build" / f"{version}-{identity}-{kind}"
        self.bin = self.folder / "venv" / "bin"
        self.log = self.folder / "log"
        self.cflags = " ".join(filter(None, ["-UNDEBUG" * asserts, os.environ.get("CFLAGS", "")]))
        self.settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        self.stamps = {}

    def make(self, extras):
        """Bring the environment up to date; Failure if a step fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self.stamps = json.loads((self.folder / "stamps.json").read_text())
            except (OSError, ValueError):
                self.stamps = {}
            self.step("venv", digest(*map(str, self.interpreter.identity)), self.make_venv)
            wanted = sorted({*extras, *self.stamps.get("extras", "").split(":")[0].split(",")})
            names = ",".join(filter(None, wanted))
            needs = self.requirements(names)
            self.step("extras", f"{names}:{digest(*needs)}", lambda: self.install(needs))
            # Objects of other flags would pass for new: only a file's age is looked at.
            flags = digest(self.cflags, os.environ.get("CC", ""), os.environ.get("LDFLAGS", ""))
            self.step("flags", flags, self.forget_objects)
            self.step("build", f"{source_digest()} {flags}", self.build)

    def step(self, name, stamp, action):
        """Do ACTION unless it was done for STAMP; whatever follows it is then to be done again."""
        if self.stamps.get(name) == stamp:
            return
        self.stamps.pop(name, None)
        self.save_stamps()
        action()
        self.stamps[name] = stamp
        self.save_stamps()

    def save_stamps(self):
        """Write the stamps in one move: an interrupted write leaves the old ones."""
        new = self.folder / "stamps.new"
        new.write_text(json.dumps(self.stamps, indent=1))
        new.replace(self.folder / "stamps.json")

    def requirements(self, extras):
        """What pip is to install for the build and EXTRAS (names joined with commas)."""
        needs = list(self.settings["build-system"]["requires"])
        optional = self.settings["project"]["optional-dependencies"]
        for extra in filter(None, extras.split(",")):
            if extra not in optional:
                raise Failure(f"no extra {extra!r}; there are {', '.join(optional)}")
            needs += optional[extra]
        return list(dict.fromkeys(needs))

    def make_venv(self):
        """A new, empty virtual environment; all other steps are then to be done again."""
        self.stamps.clear()
        self.save_stamps()
        shutil.rmtree(self.folder / "venv", ignore_errors=True)
        say(f"{self.interpreter}: making {self.folder.relative_to(ROOT)}")
        self.run(
            [self.interpreter.executable, "-m", "venv", str(self.folder / "venv")],
            "cannot make a virtual environment",
        )

    def install(self, needs):
        """Install NEEDS from the registry."""
        say(f"{self.interpreter}: installing {', '.join(needs)}")
        command = [self.bin / "python", "-m", "pip", "install", "--quiet", "--no-input", *needs]
        self.run(command, "cannot install " + ", ".join(needs), blame_registry=True)

    def forget_objects(self):
        """Remove what was compiled before."""
        shutil.rmtree(self.folder / "objects", ignore_errors=True)

    def build(self):
        """Compile and install the package as `pip install .` does, outside of the source tree."""
        say(f"{self.interpreter}: building" + f" with {self.cflags}" * bool(self.cflags))
        objects = self.folder / "objects"
        # Python files that are gone would be installed from here again.
        for old in objects.glob("lib*/**/*"):
            if old.is_file() and old.suffix != ".so":
                old.unlink()
        objects.mkdir(exist_ok=True)
        config = self.folder / "build.cfg"
        config.write_text(f"[build]\nbuild_base={objects}\n[egg_info]\negg_base={objects}\n")
        command = [self.bin / "python", "-m", "pip", "install", "--no-input", "--no-deps"]
        command += ["--no-build-isolation", "--force-reinstall", str(ROOT)]
        self.run(command, "cannot build pickletask", DIST_EXTRA_CONFIG=str(config))

    def run(self, command, what, blame_registry=False, **variables):
        """Run COMMAND quietly; Failure with one line, its output before it where that says more."""
        variables = {**self.variables(), **variables, "PICKLETASK_CFLAGS": self.cflags}
        variables.pop("CFLAGS", None)
        with open(self.log, "wb") as log:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                cwd=ROOT,
            )
        if done.returncode == 0:
            return
        text = self.log.read_text(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        for line in lines:
            if line.startswith("pickletask: "):
                raise Failure(line.removeprefix("pickletask: "))
        where = self.log.relative_to(ROOT)
        errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:] or ["nothing"]
        if blame_registry and any(word in text for word in REGISTRY_WORDS):
            raise Failure(
                f"{what}: is the package registry reachable? pip said: "
                f"{errors[-1].removeprefix('ERROR: ')} (all of it is in {where})"
            )
        # What came before the compiler is about packaging, and no news.
        print(text[max(text.find("building 'pickletask"), 0) :], file=sys.stderr, flush=True)
        raise Failure(f"{what}: see above, or {where}")

    def variables(self):
        """The environment variables of a command that is to see this environment only."""
        variables = dict(os.environ)
        for name in "PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__":
            variables.pop(name, None)
        variables["PATH"] = os.pathsep.join([str(self.bin), variables.get("PATH", os.defpath)])
        variables["VIRTUAL_ENV"] = str(self.folder / "venv")
        variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        return variables


def say(text):
    """Tell the person who waits what is going on."""
    print(f"pickletask: {text}", file=sys.stderr, flush=True)


def find_compiler():
    """The C compiler's command; Failure if there's plainly none: pip would take a minute for it."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(command[0]) is None:
        raise Failure(f"no C compiler: {command[0]} not found; install gcc or clang, or set CC")
    return command


def main():
    """Make the environment and become the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--asserts", action="store_true", help="build with asserts on")
    parser.add_argument("--tool", default="", help="build for this tool, by CFLAGS and LDFLAGS")
    parser.add_argument("--extras", default="", help="extras of pyproject.toml to install")
    parser.add_argument("command", nargs="+", help="what to run, looked for in the venv first")
    options = parser.parse_args()
    interpreter = common.probe(sys.executable)
    if interpreter is None or not interpreter.supported:
        raise Failure(f"{interpreter or sys.executable} is not a supported Python")
    if interpreter.lack:
        raise Failure(f"{interpreter} has {interpreter.lack}")
    find_compiler()
    environment = Environment(interpreter, options.asserts, options.tool)
    environment.make(filter(None, options.extras.split(",")))
    program, *arguments = options.command
    if (environment.bin / program).exists():
        program = str(environment.bin / program)
    try:
        os.execvpe(program, [program, *arguments], environment.variables())
    except OSError as error:
        raise Failure(f"cannot run {program}: {error.strerror}") from None


if __name__ == "__main__":
    common.main(main)
