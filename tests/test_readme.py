"""The examples in README.rst and docs/ do what they say, and what these pages name exists."""

import re
from pathlib import Path

import pytest
from conftest import run_isolated

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.rst"
PAGES = [README, *sorted((ROOT / "docs").glob("*.rst")), ROOT / "src" / "README.rst"]

LINK = re.compile(r"<([\w./-]+\.rst)>`_")
FOLDERS = (r"\.ci", "benchmarks", "docs", "examples", "pickletask", "src", "tests")

pytestmark = pytest.mark.skipif(not README.exists(), reason="not in a checkout")

# Each page has a process of its own: its examples leave tasklets behind. They run in __main__
# itself, as when somebody types them in: what tasks find there goes into pickles by reference.
DOCTEST = """
import doctest, sys
with open(sys.argv[1], encoding="utf-8") as file:
    test = doctest.DocTestParser().get_doctest(file.read(), {}, sys.argv[1], sys.argv[1], 0)
test.globs = vars(sys.modules["__main__"])
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
runner.run(test, clear_globs=False)
sys.exit(runner.summarize().failed != 0)
"""


def name_of(page):
    """The page's name in a list of tests."""
    return str(page.relative_to(ROOT))


def pages_with_examples():
    """Those of PAGES that have something to run."""
    return [page for page in PAGES if page.exists() and ">>> " in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("switching", ["kept", "soft"])
@pytest.mark.parametrize("page", pages_with_examples(), ids=name_of)
def test_examples_print_what_they_say(page, switching):
    run_isolated(DOCTEST, page, mode=switching)


def test_the_readme_has_examples():
    assert README in pages_with_examples()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_file_names_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link for link in LINK.findall(text)]
    assert [link for link in links if not link.exists()] == []
    # Names like ``src/fiber/chain.h`` start at the top; those of folders end with a slash.
    names = re.findall(rf"``((?:{'|'.join(FOLDERS)})/[\w./*-]*)``", text)
    assert [name for name in names if not list(ROOT.glob(name.rstrip("/")))] == []


def test_the_index_lists_all_pages():
    listed = set(LINK.findall((ROOT / "docs" / "index.rst").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.rst")} - {"index.rst"} <= listed


def test_the_readme_of_src_names_each_file():
    src = ROOT / "src"
    text = (src / "README.rst").read_text(encoding="utf-8")
    files = {path.stem for suffix in "chS" for path in src.rglob(f"*.{suffix}")}
    assert sorted(stem for stem in files if not re.search(rf"\b{stem}\.[chS]\b", text)) == []
