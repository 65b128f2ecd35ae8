"""Runs the fast checks, all or the named ones, and says which failed.

    python .ci/check.py [layers] [format] [words] [stubs] [warnings]

A check is a module check_<name> with check(root), which returns the complaints as a list of lines
and may print what it left out.
"""

import importlib
import sys

import common
from common import ROOT, Failure

NAMES = ("layers", "format", "words", "stubs", "warnings")


def main():
    """Run them; the status for the shell."""
    names = sys.argv[1:] or NAMES
    failed = False
    for name in names:
        if name not in NAMES:
            raise Failure(f"no check {name!r}; there are {', '.join(NAMES)}")
        complaints = importlib.import_module(f"check_{name}").check(ROOT)
        for complaint in complaints:
            print(complaint)
        print(f"check {name}: {'FAILED' if complaints else 'ok'}", flush=True)
        failed = failed or bool(complaints)
    return 1 if failed else 0


if __name__ == "__main__":
    common.main(main)
