"""Where pickletask refuses to be imported, and that it says why."""

import sys
import types

import pytest

from pickletask import _supported

SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

script = '''
try:
    import pickletask
except ImportError as error:
    text = str(error)
else:
    text = "imported"
import os
os.write({write}, text.encode())
'''

import os
import warnings

warnings.simplefilter("ignore")
read, write = os.pipe()
interpreter = interpreters.create(*{arguments})
if hasattr(interpreters, "exec"):
    interpreters.exec(interpreter, script.format(write=write))
else:
    interpreters.run_string(interpreter, script.format(write=write))
print(os.read(read, 1000).decode())
"""


def test_check_accepts_this_interpreter():
    _supported.check()
    assert sys.version_info[:2] in _supported.MINORS


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 16, 0), (4, 0, 0)])
def test_check_refuses_another_minor(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(ImportError) as raised:
        _supported.check()
    assert "CPython {}.{}".format(*version) in str(raised.value)
    assert "3.11, 3.12, 3.13, 3.14, 3.15" in str(raised.value)


def test_check_refuses_another_implementation(monkeypatch):
    monkeypatch.setattr(sys, "implementation", types.SimpleNamespace(name="pypy"))
    with pytest.raises(ImportError, match="does not run on pypy; supported are"):
        _supported.check()


def test_check_refuses_a_free_threaded_build(monkeypatch):
    monkeypatch.setattr(sys, "abiflags", sys.abiflags + "t")
    with pytest.raises(ImportError, match="free-threaded builds; supported are"):
        _supported.check()


# Since 3.13 a legacy one sets modules up in the main interpreter, where nothing is wrong.
@pytest.mark.parametrize("arguments", [(), *([("legacy",)] if sys.version_info >= (3, 13) else [])])
def test_import_refuses_a_subinterpreter(run_isolated, arguments):
    said = run_isolated(SUBINTERPRETER.replace("{arguments}", repr(arguments))).stdout
    said = said if isinstance(said, str) else said.decode()
    assert "imported" not in said
    assert "subinterpreter" in said or "loading in subinterpreters" in said


def test_import_that_is_refused_registers_nothing(run_isolated):
    run_isolated(
        """
import copyreg
import sys

version = sys.version_info
before = dict(copyreg.dispatch_table)
sys.version_info = (3, 10, 0)
try:
    import pickletask
except ImportError:
    pass
else:
    raise SystemExit("imported")
sys.version_info = version
assert copyreg.dispatch_table == before
assert "pickletask._core" not in sys.modules
import pickletask
assert len(copyreg.dispatch_table) > len(before)
"""
    )
