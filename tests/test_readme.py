"""The examples in README.rst do what they say."""

import doctest
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.rst"


@pytest.mark.skipif(not README.exists(), reason="not in a checkout")
def test_readme_examples_print_what_they_say(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    results = doctest.testfile(
        str(README),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        encoding="utf-8",
    )
    if results.attempted == 0:
        pytest.skip("README.rst has no examples yet")
    assert results.failed == 0
