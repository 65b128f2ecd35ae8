"""The repository: checks pass and can fail, what is said twice agrees, failures are one line."""

import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import SLOWDOWN, without_import_times

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Nobody listens there.
CLOSED_PORT = "http://127.0.0.1:9/simple"


@pytest.fixture
def tool(monkeypatch):
    """A function that gives the module .ci/<name>.py."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    return importlib.import_module


@pytest.fixture
def checkout(tmp_path, tool):
    """A copy of the project's files, as a fresh checkout has them, without git."""
    for path in tool("common").project_files(ROOT):
        copy = tmp_path / "checkout" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path / "checkout"


def run(command, cwd, **variables):
    """Run COMMAND with VARIABLES, without this machine's pip settings; (status, all output)."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    environment.update(PIP_CONFIG_FILE=os.devnull, **variables)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300 * SLOWDOWN,
    )
    return done.returncode, without_import_times(done.stdout)


def assert_one_line(result, pattern):
    """RESULT of run() is a failure whose whole output is one line that matches PATTERN."""
    status, output = result
    assert status != 0
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.startswith("pickletask: ")]
    assert output.splitlines()[-1:] == lines[-1:], output
    assert re.search(pattern, lines[-1]), lines


# The checks


def test_layers_pass_on_this_tree(tool):
    assert tool("check_layers").check(ROOT) == []


def test_text_format_passes_on_this_tree(tool):
    assert tool("check_format").check_text(ROOT) == []


def test_words_pass_on_this_tree(tool):
    assert tool("check_words").check(ROOT) == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("stack/a.c", "#include <Python.h>\n", "nothing of Python"),
        ("stack/a.c", '#include "interp/b.h"\n', "stack may not include interp"),
        ("stack/a.c", '#include "module.h"\n', "stack may not include module"),
        ("interp/a.c", '#include "stack/b.h"\n', "interp may not include stack"),
        ("interp/a.c", '#include "../fiber/b.h"\n', "interp may not include fiber"),
        ("fiber/a.c", '#include "tasks/b.h"\n', "fiber may not include tasks"),
        ("tasks/a.c", '#include "reduce/b.h"\n', "tasks may not include reduce"),
        ("tasks/a.c", '#include "stack/b.h"\n', "tasks may not include stack"),
        ("reduce/a.c", '#  include "tasks/b.h"\n', "reduce may not include tasks"),
        ("reduce/a.c", '#include "internal/pycore_frame.h"\n', "CPython's internals"),
        ("fiber/a.c", "#include <internal/pycore_frame.h>\n", "CPython's internals"),
        ("fiber/a.c", "#if PY_VERSION_HEX >= 0x030c0000\n#endif\n", "src/interp only"),
        ("module.c", "int minor = PY_MINOR_VERSION;\n", "src/interp only"),
        ("tasks/a.c", '#include "nowhere.h"\n', "no nowhere.h"),
        ("other/a.c", "", "src/other/ is no layer"),
        ("stack/b.c", "", "same object file"),
    ],
)
def test_layers_reject(tool, tmp_path, name, text, complaint):
    write_layers(tmp_path, **{name: text})
    complaints = tool("check_layers").check(tmp_path)
    assert len(complaints) == 1
    assert complaint in complaints[0]
    assert complaints[0].startswith(f"src/{name}") or "b.S" in complaints[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("interp/a.c", '#include "internal/pycore_frame.h"\n#include "opcode.h"\n'),
        ("interp/a.c", '#if PY_VERSION_HEX\n#endif\n#include "module.h"\n'),
        ("fiber/a.c", '#include "b.h"\n#include "stack/b.h"\n#include "interp/b.h"\n'),
        ("fiber/a.c", '/* PY_VERSION_HEX, #include "tasks/b.h" */\n// PY_MINOR_VERSION\n'),
        ("reduce/a.c", '#include "fiber/b.h"\nchar *s = "PY_VERSION_HEX";\n'),
        ("module.c", '#include "tasks/b.h"\n#include "reduce/b.h"\n'),
    ],
)
def test_layers_accept(tool, tmp_path, name, text):
    write_layers(tmp_path, **{name: text})
    assert tool("check_layers").check(tmp_path) == []


def write_layers(root, **texts):
    """A src/ with a header b.h in each layer, an assembly file, and the files TEXTS."""
    names = [f"{layer}/b.h" for layer in ("stack", "interp", "fiber", "tasks", "reduce")]
    for name, text in [(name, "") for name in [*names, "module.h", "stack/b.S"]] + [*texts.items()]:
        path = root / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


FUNCTION = "static int\nf(void)\n{{\n{}    return '}}';\n}}\n"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.c", "int a;\t\n", "1: trailing blanks"),
        ("a.c", "int\ta;\n", "1: a tab"),
        ("a.c", "int a;", "1: no newline at the end"),
        ("a.c", "int a;\r\n", "1: carriage returns"),
        ("a.h", f"/* {'x' * 74} */\n", "1: 80 columns"),
        ("a.S", "nop\n" * 901, "901: 901 lines"),
        ("a.c", FUNCTION.format("    ;\n" * 98), "3: f() has 101 lines"),
        ("a.py", "a = 1 \n", "1: trailing blanks"),
    ],
)
def test_format_rejects(tool, tmp_path, name, text, complaint):
    (tmp_path / name).write_bytes(text.encode())
    complaints = tool("check_format").check_text(tmp_path)
    assert any(each.startswith(f"{name}:{complaint}") for each in complaints), complaints


@pytest.mark.parametrize(
    "text",
    [
        "/* x */\n" * 900,
        f"/* {'x' * 73} */\n",
        FUNCTION.format("    ;\n" * 97),
        "#define BEGIN \\\n    {\n" + FUNCTION.format("    ;\n" * 90) + "int table[] = {\n};\n",
    ],
)
def test_format_accepts(tool, tmp_path, text):
    (tmp_path / "a.c").write_text(text)
    assert tool("check_format").check_text(tmp_path) == []


@pytest.mark.parametrize(
    "word", ["/ro{}ot/x", "(/wo{}rk/y)", "https://pypi{}.org", "python{}hosted"]
)
def test_words_reject(tool, tmp_path, word):
    (tmp_path / "notes.rst").write_text("one\nsee " + word.format("") + "\n")
    complaints = tool("check_words").check(tmp_path)
    assert len(complaints) == 1
    assert complaints[0].startswith("notes.rst:2: names ")


def test_words_accept_parts_of_other_words(tool, tmp_path):
    (tmp_path / "notes.rst").write_text("a frame" + "/work" + "/flow, build" + "/root" + "/tree\n")
    assert tool("check_words").check(tmp_path) == []


def test_stubs_name_what_all_names(tool, tmp_path, monkeypatch):
    (tmp_path / "stubbed_module.py").write_text("__all__ = ['a', 'b']\na = b = 1\n")
    stub = tmp_path / "stubbed_module.pyi"
    stub.write_text("from x import c as c, d\na: int\n_hidden: int\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    complaints = tool("check_stubs").check_all("stubbed_module", stub)
    assert [each.split(" of ")[0] for each in complaints] == [
        "stubbed_module.pyi",
        "stubbed_module.pyi",
    ]
    assert "lacks b of" in complaints[0]
    assert "has c, not in" in complaints[1]


# What is said in two places


def supported():
    """The supported minors by requires-python."""
    bounds = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", SETTINGS["project"]["requires-python"])
    return [f"3.{minor}" for minor in range(int(bounds[1]), int(bounds[2]))]


def test_supported_versions_agree():
    classifiers = SETTINGS["project"]["classifiers"]
    named = [re.search(r":: (3\.\d+)$", each) for each in classifiers]
    assert [each[1] for each in named if each] == supported()
    readme = (ROOT / "README.rst").read_text(encoding="utf-8")
    assert f"CPython {supported()[0]} to {supported()[-1]}," in readme


def test_each_supported_version_has_its_header():
    headers = {path.stem for path in (ROOT / "src" / "interp").glob("interp_3*.h")}
    assert {f"interp_{version.replace('.', '')}" for version in supported()} <= headers


def test_installed_version_is_the_one_of_this_tree():
    try:
        version = importlib.metadata.version("pickletask")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pickletask is used without being installed")
    assert version == SETTINGS["project"]["version"]


def test_readme_names_goals_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.M))
    readme = (ROOT / "README.rst").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:``|\$ )make ([a-z0-9-]+)", readme))
    assert named >= {"demo", "test", "test-all", "bench"}
    assert named <= goals
    assert set(re.findall(r"'make ([a-z0-9-]+) ", makefile)) == goals - {"help"}


def test_change_fragments_have_a_known_type():
    types = {each["directory"] for each in SETTINGS["tool"]["towncrier"]["type"]}
    for path in (ROOT / "CHANGES").iterdir():
        if path.name != "README.rst":
            assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({'|'.join(types)})(\.\d+)?\.rst", path.name)


@pytest.mark.parametrize(("shell", "name"), [("bash", "run"), ("sh", "python")])
def test_shell_scripts_parse(shell, name):
    path = ROOT / ".ci" / name
    assert os.access(path, os.X_OK)
    assert run([shell, "-n", path], ROOT) == (0, "")


def test_source_distribution_is_complete(checkout, tool):
    pytest.importorskip("setuptools", "77")
    status, output = run([sys.executable, "setup.py", "-q", "sdist"], checkout)
    assert status == 0, output
    (archive,) = (checkout / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    files = {str(path.relative_to(ROOT)) for path in tool("common").project_files(ROOT)}
    assert {name for name in files if not name.startswith(".git")} <= packed


# One line for what is wrong with the machine


def test_setup_without_compiler_says_so_in_one_line(checkout):
    pytest.importorskip("setuptools", "77")
    command = [sys.executable, "setup.py", "-q", "build_ext"]
    assert_one_line(run(command, checkout, CC="/nonexistent/cc"), "no C compiler: /nonexistent/cc")


def test_setup_without_headers_says_so_in_one_line(checkout, tmp_path):
    pytest.importorskip("setuptools", "77")
    hide = (
        "import sys, sysconfig, runpy\n"
        "found = sysconfig.get_path\n"
        f"sysconfig.get_path = lambda name, *a: {str(tmp_path)!r} if name == 'include' else "
        "found(name, *a)\n"
        "sys.argv = ['setup.py', '-q', 'build_ext']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    result = run([sys.executable, "-c", hide], checkout)
    assert_one_line(result, r"no Python headers: .* lacks Python\.h; install")


def test_setup_with_unsupported_python_says_so_in_one_line(checkout):
    pytest.importorskip("setuptools", "77")
    settings = checkout / "pyproject.toml"
    bounds = SETTINGS["project"]["requires-python"]
    settings.write_text(settings.read_text().replace(bounds, ">=3.7,<3.9"))
    result = run([sys.executable, "setup.py", "-q", "build_ext"], checkout)
    assert_one_line(result, r"needs CPython 3\.7 to 3\.8 with the GIL; .* is cpython 3\.\d+\.\d+$")


def test_make_with_a_python_that_does_not_run_says_so_in_one_line(checkout):
    result = run(["sh", ".ci/python", "-V"], checkout, PYTHON="/nonexistent/python")
    assert_one_line(result, "needs CPython .* PYTHON=/nonexistent/python does not run")


def test_make_with_an_unsupported_python_says_so_in_one_line(checkout):
    old = checkout / "python3"
    old.write_text("#!/bin/sh\necho cpython 3.8.1\nexit 1\n")
    old.chmod(0o755)
    result = run(["sh", ".ci/python", "-V"], checkout, PYTHON=str(old))
    assert_one_line(result, "needs CPython .* PYTHON=.*/python3 is cpython 3.8.1$")


def test_make_without_compiler_says_so_in_one_line(checkout):
    command = [sys.executable, ".ci/env.py", "--", "true"]
    assert_one_line(run(command, checkout, CC="/nonexistent/cc"), "no C compiler: /nonexistent/cc")


def test_asan_without_its_library_says_so_in_one_line(checkout, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    command = [sys.executable, ".ci/test_tool.py", "asan"]
    result = run(command, checkout, CC=str(compiler))
    assert_one_line(result, "/cc cannot link for AddressSanitizer: install its run-time library")


def test_valgrind_without_valgrind_says_so_in_one_line(checkout, tmp_path):
    command = [sys.executable, ".ci/test_tool.py", "valgrind"]
    assert_one_line(run(command, checkout, PATH=str(tmp_path)), "valgrind not found: install it")
    program = tmp_path / "bin" / "valgrind"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    result = run(command, checkout, PATH=str(program.parent))
    assert_one_line(result, "no .*/include/valgrind/memcheck.h: install valgrind's development")


def test_make_without_ensurepip_says_so_in_one_line(checkout, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'ensurepip' else found(name, *a)\n"
    )
    command = [sys.executable, ".ci/env.py", "--", "true"]
    result = run(command, checkout, PYTHONPATH=str(tmp_path))
    assert_one_line(result, r"has no venv and ensurepip modules; install python3\.\d+-venv$")


def test_make_without_registry_says_so_in_one_line(checkout):
    command = [sys.executable, ".ci/env.py", "--", "true"]
    result = run(command, checkout, PIP_INDEX_URL=CLOSED_PORT, PIP_RETRIES="0")
    assert_one_line(result, "cannot install setuptools.*is the package registry reachable")


def test_test_all_without_any_python_fails_in_one_line(checkout):
    command = [sys.executable, ".ci/test_all.py", "--pythons", "/nonexistent/python"]
    assert_one_line(run(command, checkout), "/nonexistent/python does not run")


@pytest.mark.parametrize(
    ("lack", "message"),
    [
        ("x86-64", "emulates on Linux on x86-64, this is Linux on aarch64; try make test$"),
        ("root", "needs root"),
        ("apt-get", "needs Debian.* no apt-get here$"),
        ("wget", "wget not found; apt-get install wget$"),
    ],
)
def test_test_arm64_says_what_the_machine_lacks(tool, monkeypatch, lack, message):
    found = {"x86-64": "x86_64", "root": 0, "apt-get": "/apt-get", "wget": "/wget"}
    found[lack] = {"x86-64": "aarch64", "root": 1000}.get(lack)
    arm64 = tool("arm64")
    monkeypatch.setattr(arm64.platform, "machine", lambda: found["x86-64"])
    monkeypatch.setattr(arm64.os, "geteuid", lambda: found["root"])
    monkeypatch.setattr(arm64.shutil, "which", lambda name: found.get(name, f"/{name}"))
    with pytest.raises(tool("common").Failure, match=message):
        arm64.check_machine()


def test_test_arm64_says_that_the_kernel_refuses(tool, monkeypatch, tmp_path):
    """A program that can't be opened is refused by any kernel, and no kernel has a table here."""
    arm64 = tool("arm64")
    monkeypatch.setattr(arm64, "tool", lambda package, program: tmp_path / program)
    with pytest.raises(tool("common").Failure, match="^the kernel cannot .* by binfmt_misc: .+"):
        with arm64.emulation():
            pass


@pytest.mark.parametrize(
    ("line", "is_closing"),
    [
        ("======= 12 passed, 1 skipped in 3.45s =======", True),
        ("=== 1 failed, 12 passed in 72.10s (0:01:12) ===", True),
        ("12 passed in 0.05s", True),
        ("no tests ran in 0.01s", True),
        ("======= short test summary info =======", False),
        ("tests/test_x.py ....s", False),
    ],
)
def test_test_all_knows_the_closing_line(tool, line, is_closing):
    assert bool(tool("test_all").CLOSING_LINE.match(line)) == is_closing


# Which Pythons are tested, and how


@pytest.fixture
def fake_python(tmp_path):
    """A function that writes a script which prints TEXT instead of a Python; as Suite has it."""

    def write(text, status=0):
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        script.chmod(0o755)
        return SimpleNamespace(executable=str(script), name="3.99.1", debug=False)

    return write


@pytest.mark.parametrize(
    ("text", "status", "failed"),
    [
        ("===== 3 passed in 1.00s =====", 0, False),
        ("===== 1 failed in 1.00s =====", 1, True),
        ("===== 3 passed in 1.00s =====", -11, True),
        ("nothing", 0, True),
    ],
)
def test_suite_passes_on_what_was_said(tool, fake_python, capsys, text, status, failed):
    output = f"import time:   1 | 2 | os\none\n{text}"
    suite = tool("test_all").Suite(fake_python(output, status % 256), "dev")
    suite.run(["-q"])
    assert capsys.readouterr().out == f"3.99.1 dev | one\n3.99.1 dev | {text}\n"
    assert suite.failed is failed
    assert str(suite).startswith("FAILED" if failed else "passed")


def test_suite_hands_the_flavour_to_pytest_alone(tool, tmp_path):
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "$PYTHONHASHSEED" "$@" >"$0.said"\n')
    script.chmod(0o755)
    fake = SimpleNamespace(executable=str(script), name="3.99.1", debug=False)
    tool("test_all").Suite(fake, "importtime").run(["-x"])
    said = (tmp_path / "python.said").read_text()
    assert said.endswith("--extras test -- env PYTHONPROFILEIMPORTTIME=1 pytest --color=no -x\n")


def test_flavours_are_known_by_name(tool):
    test_all = tool("test_all")
    assert test_all.flavour_names("all") == list(test_all.FLAVOURS)
    assert test_all.flavour_names("jit,dev") == ["jit", "dev"]
    with pytest.raises(tool("common").Failure, match="no flavour 'fast'; there are dev, "):
        test_all.flavour_names("dev,fast")
    without = SimpleNamespace(perf=False, jit=False)
    having = [name for name in test_all.FLAVOURS if test_all.has_flavour(without, name)]
    assert having == ["dev", "importtime", "hashseed"]


def test_ci_fails_where_a_python_lacks(tool, monkeypatch):
    common, test_all = tool("common"), tool("test_all")
    monkeypatch.setattr(common, "supported_minors", lambda: range(12, 15))
    monkeypatch.setattr(common, "DEBUG_SINCE", 14)
    builds = [(12, False), (13, True), (13, False), (14, False), (14, True)]
    found = [SimpleNamespace(version=(3, minor, 1), debug=debug) for minor, debug in builds]
    test_all.check_complete(found)
    with pytest.raises(common.Failure, match="CI=true, and Python 3.12 not found"):
        test_all.check_complete(found[1:])
    with pytest.raises(common.Failure, match="CI=true, and a debug build of 3.14 not found"):
        test_all.check_complete(found[:-1])


def test_brought_pythons_are_found(tool, tmp_path, monkeypatch):
    common = tool("common")
    newest = f"3.{common.supported_minors()[-1]}"
    paths = [tmp_path / f"{newest}{build}/usr/bin/python{newest}{build}" for build in ("", "d")]
    half = tmp_path / f"new-{newest}/usr/bin/python{newest}"
    for path in [*paths, half]:
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
    monkeypatch.setattr(common, "BROUGHT", tmp_path)
    found = common.candidate_paths()
    assert all(str(path) in found for path in paths)
    assert str(half) not in found


def test_candidates_that_do_not_run_are_passed_over(tool, tmp_path, monkeypatch):
    shim = tmp_path / f"python3.{sys.version_info.minor}"
    shim.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    common = tool("common")
    assert str(shim) in common.candidate_paths()
    assert common.probe(str(shim)) is None
    same = [sys.executable, sys.executable]
    assert [each.version for each in common.find_interpreters(same)] == [sys.version_info[:3]]


# Bringing Pythons

NEWEST = supported()[-1]


@pytest.fixture
def pythons(tool, tmp_path, monkeypatch):
    """The module .ci/pythons.py, with a folder of its own to bring Pythons into."""
    module = tool("pythons")
    monkeypatch.setattr(module, "BROUGHT", tmp_path)
    return module


@pytest.fixture
def fake_apt(tmp_path):
    """A function that puts an apt-get of the lines SCRIPT on a PATH of its own; the PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in "apt-get", "apt-cache", "dpkg", "dpkg-deb", "tar":
        (folder / name).write_text("#!/bin/sh\necho amd64\n")
        (folder / name).chmod(0o755)

    def write(script):
        (folder / "apt-get").write_text(f"#!/bin/sh\n{script}\n")
        return f"{folder}{os.pathsep}{os.environ['PATH']}"

    return write


class FakeSuite:
    """A suite that has the Pythons OFFERED and brings empty ones."""

    def __init__(self, *offered):
        self.offered = offered
        self.done = []

    def update(self):
        self.done.append("update")

    def names(self):
        return list(self.offered)

    def unpack(self, name, folder):
        self.done.append(name)
        path = folder / "usr/bin" / f"python{name}"
        path.parent.mkdir(parents=True)
        path.touch()

    def forget(self):
        self.done.append("forget")


def test_pythons_without_apt_says_so_in_one_line(checkout, tmp_path):
    command = [sys.executable, ".ci/pythons.py", NEWEST]
    result = run(command, checkout, PATH=str(tmp_path))
    assert_one_line(result, "apt-get not found, and this takes Debian's tools")


def test_pythons_without_keys_says_so(pythons, tool, tmp_path, fake_apt, monkeypatch):
    monkeypatch.setenv("PATH", fake_apt("exit 1"))
    monkeypatch.setattr(pythons, "KEYRINGS", [tmp_path / "none"])
    with pytest.raises(tool("common").Failure, match="install debian-archive-keyring"):
        pythons.Suite(tmp_path / "apt").update()


@pytest.mark.parametrize(
    ("targets", "pattern"),
    [
        ("http://m.test/d/ main Debian/Debian", "no suite sid of Debian at http://m.test/d/: apt-"),
        ("http://m.test/s/ main Debian/Debian-Security", "is set up with no Debian mirror"),
    ],
)
def test_pythons_without_a_mirror_says_so(
    pythons, tool, tmp_path, fake_apt, monkeypatch, targets, pattern
):
    script = f'[ "$1" = indextargets ] && echo "{targets}" && exit\necho E: no network >&2; exit 1'
    monkeypatch.setenv("PATH", fake_apt(script))
    monkeypatch.setattr(pythons, "KEYRINGS", [tmp_path])
    with pytest.raises(tool("common").Failure, match=pattern):
        pythons.Suite(tmp_path / "apt").update()


def test_pythons_of_another_version_says_so_in_one_line(checkout):
    command = [sys.executable, ".ci/pythons.py", "3.2"]
    assert_one_line(run(command, checkout), f"no supported Python is named '3.2'; .* {NEWEST}d$")


def test_pythons_takes_the_mirrors_of_apt(pythons, fake_apt, monkeypatch):
    lines = [
        "http://other.test/ main $(ORIGIN)/$(LABEL)",
        "http://s.test/ main Debian/Debian-Security",
        "http://d.test/ main Debian/Debian",
        "http://d.test/ contrib Debian/Debian",
        "http://d.test/ main Debian/Debian",
    ]
    monkeypatch.setenv("PATH", fake_apt(f"cat <<'END'\n{chr(10).join(lines)}\nEND"))
    assert pythons.mirrors() == ["http://d.test/", "http://other.test/"]


def test_pythons_plans_what_is_needed(pythons, tmp_path, monkeypatch):
    asked = []
    plan = [
        "Reading package lists...",
        "Inst libc6 (2.43-7 Debian:unstable [amd64]) []",
        "Inst libc6-dev (2.43-7 Debian:unstable [amd64])",
        "Inst libpython3.14-dev (3.14.10-1 Debian:unstable [amd64])",
        "Inst zlib1g (1:1.3-4 Debian:unstable [amd64])",
        "Conf zlib1g (1:1.3-4 Debian:unstable [amd64])",
    ]
    said = "\n".join(plan)
    monkeypatch.setattr(pythons, "run", lambda command, what: asked.append(command) or said)
    assert pythons.Suite(tmp_path).packages("3.14d") == {
        "libc6=2.43-7": tmp_path / "libc6_2.43-7_amd64.deb",
        "libpython3.14-dev=3.14.10-1": tmp_path / "libpython3.14-dev_3.14.10-1_amd64.deb",
        "zlib1g=1:1.3-4": tmp_path / "zlib1g_1%3a1.3-4_amd64.deb",
    }
    pythons.Suite(tmp_path).packages("3.14")
    assert ["python3.14-dbg" in command for command in asked] == [True, False]


def test_pythons_brings_what_lacks_once(pythons, tmp_path, monkeypatch):
    monkeypatch.setattr(pythons, "relocate", lambda staged, folder: None)
    monkeypatch.setattr(pythons, "is_there", lambda name: pythons.executable(name).exists())
    suite = FakeSuite("3.13", "3.14", "3.14d")
    pythons.bring_all(suite, ["3.12", "3.13", "3.14"], named=False)
    assert suite.done == ["update", "3.13", "3.14", "forget"]
    pythons.bring_all(suite, ["3.12", "3.13", "3.14"], named=False)
    assert suite.done[4:] == []
    pythons.executable("3.14").unlink()
    pythons.bring_all(suite, ["3.13", "3.14", "3.14d"], named=False)
    assert suite.done[4:] == ["update", "3.14", "3.14d", "forget"]


def test_pythons_says_what_the_suite_has(pythons, tool):
    with pytest.raises(tool("common").Failure, match="has no Python 3.12; it has 3.13, 3.14"):
        pythons.bring_all(FakeSuite("3.13", "3.14"), ["3.12"], named=True)


def test_pythons_is_repeated_after_an_interruption(pythons, tmp_path, monkeypatch):
    monkeypatch.setattr(pythons, "is_there", lambda name: pythons.executable(name).exists())

    def interrupt(staged, folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(pythons, "relocate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pythons.bring_all(FakeSuite("3.14"), ["3.14"], named=False)
    assert not pythons.executable("3.14").exists()
    monkeypatch.setattr(pythons, "relocate", lambda staged, folder: None)
    pythons.bring_all(FakeSuite("3.14"), ["3.14"], named=False)
    assert pythons.executable("3.14").exists()
    assert not list(tmp_path.glob("new-*"))


def test_pythons_that_do_not_run_are_told(pythons, tool, monkeypatch):
    monkeypatch.setattr(pythons, "relocate", lambda staged, folder: None)
    with pytest.raises(tool("common").Failure, match="3.14 was brought and does not run"):
        pythons.bring_all(FakeSuite("3.14"), ["3.14"], named=False)


def test_brought_pythons_run_with_what_lies_beside_them(tool):
    folders = sorted(tool("common").BROUGHT.glob("3.*"))
    if not folders:
        pytest.skip("none was brought: make pythons")
    code = (
        "import ctypes, sqlite3, ssl, subprocess, sys\n"
        "print(sys.executable, sys.prefix, ssl.OPENSSL_VERSION_INFO >= (3,))\n"
        "with open('/proc/self/maps') as maps:\n"
        "    libraries = [line.split()[-1] for line in maps if '.so' in line]\n"
        "print(*{path for path in libraries if not path.startswith(sys.prefix)})\n"
        "if len(sys.argv) == 1:\n"
        "    subprocess.run([sys.executable, sys.argv[0], 'again'], check=True)\n"
    )
    for folder in folders:
        path = folder / "usr/bin" / f"python{folder.name}"
        script = folder / "script.py"
        script.write_text(code)
        line = f"{path} {folder / 'usr'} True\n\n"
        assert run([path, "-I", script], folder) == (0, line * 2)
        script.unlink()


# The helpers of conftest.py


def test_run_isolated_gives_output_and_finds_the_package(run_isolated):
    code = "import sys, conftest, pickletask\nprint(sys.argv[1:], sys.stdin.read())"
    done = run_isolated(code, 1, "two", input=b"three")
    assert done.stdout == "['1', 'two'] three\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os\nprint('said', flush=True)\nos.abort()", r"crashed: SIGABRT(?s:.*)said"),
        ("raise ValueError('why')", r"exited with status 1(?s:.*)ValueError: why"),
        ("import time\ntime.sleep(3600)  # here", r"hung(?s:.*)script.py\", line 2 in <module>"),
    ],
)
def test_run_isolated_fails_with_the_output(run_isolated, code, message):
    with pytest.raises(pytest.fail.Exception, match=message):
        run_isolated(code, timeout=3)


def test_run_isolated_accepts_the_expected_status(run_isolated):
    assert run_isolated("import os\nos.abort()", expect=-6).returncode == -6
    assert run_isolated("raise SystemExit(3)", expect=None).returncode == 3
    with pytest.raises(pytest.fail.Exception, match="crashed"):
        run_isolated("import os\nos.abort()", expect=None)


def test_resume_in_fresh_process_gives_what_was_printed(resume_in_fresh_process, pickler, protocol):
    data = pickler.dumps([1, "two"], protocol)
    resume = "for value in task: print(value)"
    assert resume_in_fresh_process(data, resume).splitlines() == ["1", "two"]
