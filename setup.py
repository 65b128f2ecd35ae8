"""Build of the C core; everything else stands in pyproject.toml."""
from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "pickletask._core",
            sources=sorted(glob("src/*.c") + glob("src/*/*.c") + glob("src/stack/*.S")),
            depends=glob("src/*.h") + glob("src/*/*.h"),
            include_dirs=["src"],
            extra_compile_args=[
                "-std=gnu11",
                "-fvisibility=hidden",
                "-ftls-model=initial-exec",
                "-Werror=undef",
                "-Werror=implicit-function-declaration",
            ],
        )
    ]
)
