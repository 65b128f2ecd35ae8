"""Build of the C core; everything else stands in pyproject.toml.

What can be wrong with the machine is looked for before the compiler starts, so that it is said in
one line: another Python than the supported ones, no C compiler, no Python headers.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from glob import glob

import setuptools
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = os.path.dirname(os.path.abspath(__file__))


def check_python():
    """Raise SystemExit unless the core can be built for the running Python.

    Not before something is to be built: pip asks for the metadata first, and refuses another
    version in a line of its own.
    """
    with open(os.path.join(HERE, "pyproject.toml"), encoding="utf-8") as file:
        bounds = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', file.read(), re.M)
    first, end = map(int, bounds.groups())
    name = sys.implementation.name
    found = "{} {}.{}.{}".format(name, *sys.version_info)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        found += " without the GIL"
    elif name == "cpython" and (3, first) <= sys.version_info[:2] < (3, end):
        return
    raise SystemExit(
        f"pickletask: needs CPython 3.{first} to 3.{end - 1} with the GIL; "
        f"{sys.executable} is {found}"
    )


class BuildCore(build_ext):
    """build_ext that checks the tool chain first and knows .S files on every setuptools."""

    def build_extensions(self):
        """Compile the core; raises SystemExit with one line where no compiler can."""
        check_python()
        self.check_tool_chain()
        # Debian's debug builds link to the headers of the release build, all but one. gcc would
        # follow the links, and find the wrong one beside where they lead.
        flag = "-fno-canonical-system-headers"
        for extension in self.extensions if self.knows(flag) else []:
            extension.extra_compile_args.insert(0, flag)
        self.compiler.src_extensions = [*self.compiler.src_extensions, ".S"]
        super().build_extensions()

    def knows(self, flag):
        """Does the compiler know the flag?"""
        command = [*self.compiler.compiler_so, flag, "-Werror", "-fsyntax-only", "-x", "c", "-"]
        done = subprocess.run(
            command, input=b"", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return done.returncode == 0

    def check_tool_chain(self):
        """Raise SystemExit unless the compiler runs and finds Python's headers."""
        if sys.platform == "win32":
            raise SystemExit("pickletask: Windows is not supported")
        command = self.compiler.compiler_so
        name = shlex.quote(command[0])
        if shutil.which(command[0]) is None:
            raise SystemExit(
                f"pickletask: no C compiler: {name} not found; install gcc or clang, or set CC"
            )
        include = sysconfig.get_path("include")
        version = "{}.{}".format(*sys.version_info)
        for header in "Python.h", "internal/pycore_frame.h":
            if not os.path.exists(os.path.join(include, header)):
                raise SystemExit(
                    f"pickletask: no Python headers: {include} lacks {header}; install Python's "
                    f"development files (python{version}-dev or python{version}-devel)"
                )
        probe = subprocess.run(
            [*command, "-I" + include, "-fsyntax-only", "-x", "c", "-"],
            input=b"#include <Python.h>\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if probe.returncode != 0:
            lines = probe.stdout.decode(errors="replace").splitlines() or ["no message"]
            error = next((line for line in lines if "error" in line), lines[0]).strip()
            raise SystemExit(
                f"pickletask: {name} cannot compile a file that includes Python.h: {error}"
            )


if int(setuptools.__version__.partition(".")[0]) < 77:
    # Older ones print pages about pyproject.toml. pip install fetches a newer one by itself.
    raise SystemExit(
        f"pickletask: needs setuptools 77 or newer, not {setuptools.__version__}; use pip "
        "install ., or make, or pip install -U setuptools in a virtual environment"
    )
os.chdir(HERE)
setup(
    cmdclass={"build_ext": BuildCore},
    ext_modules=[
        Extension(
            "pickletask._core",
            sources=sorted(glob("src/*.c") + glob("src/*/*.c") + glob("src/stack/*.S")),
            depends=["setup.py", *sorted(glob("src/*.h") + glob("src/*/*.h"))],
            include_dirs=["src"],
            extra_compile_args=[
                "-std=gnu11",
                "-fvisibility=hidden",
                "-ftls-model=initial-exec",
                # Python's own headers use undefined macros: as system headers they may.
                "-isystem",
                sysconfig.get_path("include"),
                # What these two let through is wrong code, not style, with every compiler.
                "-Werror=undef",
                "-Werror=implicit-function-declaration",
                # Last, so that it wins over the flags that Python was built with: -UNDEBUG.
                *shlex.split(os.environ.get("PICKLETASK_CFLAGS", "")),
            ],
        )
    ],
)
