"""Random programs, run straight through and in copies made wherever they suspend: the same trace.

``make fuzz`` tries thousands. grammar.py writes the programs, differential.py runs them. One that
fails is made as small as possible, and written to a file that ``PICKLETASK_FUZZ_PROGRAM`` names to
try it again.
"""

import itertools
import os
import pickle
import random
import re
import sys
from pathlib import Path

import differential
import grammar
import programs
import pytest
from conftest import PROGRAMS, SEED
from hypothesis import HealthCheck, Phase, assume, given, note, seed, settings
from hypothesis import strategies as st

import pickletask

# Generators that are dropped while they suspend in a finally clause say so.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::RuntimeWarning",
    "ignore::DeprecationWarning",
)

COPIES = [
    (name, differential.copier(dumps, loads, protocol))
    for name, dumps, loads, protocol in programs.ways()
]
NUMBERS = itertools.count()
#: Of so many in one batch each process takes all to their next suspension.
BATCH = 250

quietly = settings(suppress_health_check=list(HealthCheck))


def check(source, copy, module=None, warm=0):
    """Compare the traces of one program."""
    expected = differential.reference(source, module)
    for _ in range(warm):
        trace = []
        task, outcome = differential.start(source, module)
        while programs.step(task, outcome, trace):
            pass
        assert trace == expected
    got = differential.run_and_resume(source, copy, module)
    assert got == expected, difference(got, expected)


def difference(got, expected):
    """Where two traces part."""
    for number, (a, b) in enumerate(itertools.zip_longest(got, expected)):
        if a != b:
            start = max(len(os.path.commonprefix([str(a), str(b)])) - 60, 0)
            return (
                f"step {number} of {len(expected)}, letter {start}:\n"
                f"  got      {str(a)[start:][:400]}\n  expected {str(b)[start:][:400]}"
            )


@pytest.mark.parametrize("place", ["by value", "in a module"])
@quietly
@given(data=st.data(), way=st.sampled_from(COPIES), warm=st.sampled_from([0, 0, 30]))
def test_program_resumes_in_copies_at_every_suspension(
    mode, place, tmp_path, monkeypatch, data, way, warm
):
    source = data.draw(grammar.sources(place == "in a module"))
    assume(differential.reference(source) is not None)
    note(f"{way[0]}, warmed up {warm} times, {sys.version}\n{source}")
    if place == "by value":
        check(source, way[1], None, warm)
        return
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"generated_{next(NUMBERS)}"
    differential.write_module(source, tmp_path, module)
    try:
        check(source, way[1], module, warm)
    finally:
        sys.modules.pop(module, None)


# ---- in fresh processes ---------------------------------------------------


def each_source(number, importable, examine, phases=(Phase.generate,), count=BATCH):
    """Call EXAMINE(source) for all the sources that follow from NUMBER."""

    @seed(number)
    @settings(quietly, max_examples=2 * count, database=None, phases=phases, derandomize=False)
    @given(grammar.sources(importable))
    def examine_all(source):
        trace = differential.reference(source)
        if trace is not None and 3 <= len(trace) <= 20:
            examine(source)

    examine_all()


def batch(number, importable, count=BATCH):
    """COUNT programs that suspend, always the same ones for a number."""
    found = {}
    each_source(number, importable, lambda source: found.setdefault(source), count=count)
    assert len(found) >= count // 3
    return list(found)[:count]


def entry_for(source, number, module, folder):
    if module:
        differential.write_module(source, folder, module)
    return {
        "source": source,
        "module": module,
        "dumps": ("C", "Python", "pickletask")[number % 3],
        "protocol": 2 + number // 3 % 4,
        "data": None,
        "trace": [],
    }


def entries_for(sources, importable, folder):
    return [
        entry_for(source, number, f"generated_{number}" if importable else None, folder)
        for number, source in enumerate(sources)
    ]


def complaint(entry):
    """What is wrong with a program that hop() brought to its end, or nothing."""
    if "error" in entry:
        return entry["error"]
    return difference(entry["trace"], differential.reference(entry["source"]))


def smallest(entry, number, importable, folder, hop):
    """The smallest program that fails as an entry does: shrunk by hypothesis, which made it."""
    failing = [entry]

    class Fails(Exception):
        pass

    def examine(source):
        again = {**entry_for(source, 0, entry["module"], folder), "dumps": entry["dumps"]}
        again["protocol"] = entry["protocol"]
        if source != entry["source"] and len(failing) == 1:
            return
        hop([again])
        if complaint(again):
            failing.append(again)
            raise Fails

    try:
        each_source(number, importable, examine, (Phase.generate, Phase.shrink))
    except Fails:
        return min(failing, key=lambda entry: len(entry["source"]))
    return entry


@pytest.mark.parametrize("place", ["by value", "in a module"])
def test_programs_resume_in_fresh_processes_at_every_suspension(place, tmp_path, run_isolated):
    importable = place == "in a module"
    suspended = refused = tried = 0

    def hop(entries, mode="kept"):
        environment = {"GENERATED": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        programs.hop(entries, folder, run_isolated, mode=mode, env=environment, timeout=600)

    for number in itertools.count(SEED * 1000 + importable * 500):
        count = min(BATCH, -(-PROGRAMS // 2) - tried)
        if count <= 0:
            break
        folder = tmp_path / str(number)
        folder.mkdir()
        entries = entries_for(batch(number, importable, count), importable, folder)
        hop(entries, mode=("kept", "soft")[number % 2])
        for entry in filter(complaint, entries):
            entry = smallest(entry, number, importable, folder, hop)
            place = tmp_path / "program.py"
            place.write_text(entry["source"])
            pytest.fail(
                f"{entry['source']}\n{complaint(entry)}\nwith the pickler {entry['dumps']}, "
                f"protocol {entry['protocol']}; to try it again: make test "
                f"PICKLETASK_FUZZ_PROGRAM={place} ARGS='-k program_of_a_file'",
                pytrace=False,
            )
        tried += len(entries)
        suspended += sum(len(entry["trace"]) - 1 for entry in entries)
        refused += sum(entry.get("refused", 0) for entry in entries)
    print(f"{tried} programs, saved {suspended - refused} times, {refused} times where they can't")
    assert refused < suspended / 4


@pytest.mark.skipif("PICKLETASK_FUZZ_PROGRAM" not in os.environ, reason="no program is named")
def test_program_of_a_file(tmp_path, run_isolated):
    source = Path(os.environ.get("PICKLETASK_FUZZ_PROGRAM")).read_text(encoding="utf-8")
    modules = ["generated", None]
    entries = [
        entry_for(source, number, module, tmp_path) for number in range(12) for module in modules
    ]
    programs.hop(entries, tmp_path, run_isolated, env={"GENERATED": str(tmp_path)})
    for entry in entries:
        assert not complaint(entry), (entry["dumps"], entry["protocol"], complaint(entry))


# ---- the harness itself ---------------------------------------------------


class Thorough(grammar.Writer):
    """Takes what it hasn't taken before, for which it needs no hypothesis."""

    used = set()
    random = random.Random(0)

    def pick(self, things):
        return self.random.choice(things)

    def number(self, low, high):
        return self.random.randint(low, high)

    def maybe(self):
        return self.number(0, 1)

    def several(self, things, low, high, unique=False):
        return self.random.sample(list(things), self.number(low, high))

    def choose(self, templates, scope):
        found = self.fitting(templates, scope)
        chosen = self.pick([each for each in found if each not in self.used] or found)
        self.used.add(chosen)
        return chosen


def test_every_template_is_used():
    """No statement is out of reach for lack of a flag, or doesn't compile."""
    for number in range(200):
        differential.namespace_of(Thorough(None, number % 2).program())
    writer = grammar.Writer
    tables = [writer.EXPRESSIONS, writer.ITERABLES, writer.PAIRS, writer.GENERATORS]
    known = {
        template
        for table in (*tables, writer.SIMPLE, writer.COMPOUND)
        for needs, template in table
        if {flag for flag in needs if re.match(r"\d", flag)} <= grammar.VERSIONS
    }
    assert known == Thorough.used


SMALL = "def program(suspend, log):\n    log.append(1)\n    log.append(suspend(2))\n    return 3\n"


def test_harness_notices_a_difference():
    """A copy that goes wrong is found: here one that forgets the last entry of the log."""

    def forget(pair):
        task, outcome = pickle.loads(pickle.dumps(pair))
        frame = task.frame
        while "log" not in frame.f_locals:
            frame = frame.f_back
        del frame.f_locals["log"][-1:]
        return task, outcome

    with pytest.raises(AssertionError, match="expected"):
        check(SMALL, forget)
    check(SMALL, differential.copier(pickletask.dumps, pickletask.loads))
