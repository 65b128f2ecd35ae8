"""The demonstration: the count survives hops and deaths, failures are one line, nobody is left."""

import os
import pickle
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import SLOWDOWN, child_environment

import pickletask
from pickletask import __main__, demo, demo_relay, demo_report, demo_task, demo_worker

LETTERS = "abcdefgh"
QUOTE = "\N{RIGHT SINGLE QUOTATION MARK}"
ACCENTED = "\N{LATIN SMALL LETTER E WITH ACUTE}"


@pytest.fixture
def text(tmp_path):
    """A function that writes a file of so many words, on lines of unequal length; its path."""

    def write(words, name="text.txt"):
        source = random.Random(words)
        path = tmp_path / name
        with path.open("w", encoding="utf-8") as file:
            for number in range(words):
                file.write("".join(source.choices(LETTERS, k=2)))
                file.write("\n" * source.randrange(1, 4) if number % 7 == 6 else ", ")
        return path

    return write


def environment():
    """That of a demonstration. With -X importtime it would fill a pipe that nobody reads yet."""
    found = child_environment()
    found.pop("PYTHONPROFILEIMPORTTIME", None)
    return found


def start(*arguments, stdout=subprocess.PIPE, **options):
    """A started demonstration: the leader of a session of its own."""
    command = [sys.executable, "-P", "-X", "faulthandler", "-m", "pickletask"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
        **options,
    )


def finish(process, timeout=120):
    """Wait for a demonstration, (status, stdout, stderr); nobody of its session is left."""
    try:
        out, err = process.communicate(timeout=timeout * SLOWDOWN)
        assert_session_ends(process)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, err


def assert_session_ends(process):
    """All processes that PROCESS has started end by themselves, soon."""
    end = time.monotonic() + 30 * SLOWDOWN
    while session_lives(process.pid):
        if time.monotonic() > end:
            pytest.fail("a process of the demonstration is left")
        time.sleep(0.01)


def session_lives(leader):
    """Whether a process of the session is alive; one that nobody has waited for yet is not."""
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    if not stats:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return False
        return True
    for stat in stats:
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if session == str(leader) and state not in "ZX":
            return True
    return False


def run(*arguments, status=0, **options):
    """Run `python -m pickletask demo` to its end; what it printed, in lines."""
    found, out, err = finish(start("demo", *arguments, **options))
    assert (found, err) == (status, ""), out + err
    return out.splitlines()


def refuse(*arguments, status=2, **options):
    """Run a demonstration that fails; its one line."""
    found, _, err = finish(start("demo", *arguments, **options))
    assert found == status, err
    lines = err.splitlines()
    assert len(lines) == 1, err
    return lines[0]


def rows(lines):
    """The table in LINES: tuples (turn, worker, pid, words, the rest)."""
    pattern = re.compile(r" *(\d*) +(\d+):(\d+) +(-?[\d,]+|-\?)? +(.*)")
    matches = [pattern.fullmatch(line) for line in lines]
    return [
        (int(turn or 0), int(worker), int(pid), words and words.replace(",", ""), rest)
        for turn, worker, pid, words, rest in (match.groups() for match in matches if match)
    ]


def words_of_turns(lines):
    """The words that each finished turn has counted."""
    return [int(words) for *_, words, _ in rows(lines) if words and not words.startswith("-")]


def wait_for_line(process, pattern):
    """Read what PROCESS prints up to a line with PATTERN."""
    for line in process.stdout:
        if re.search(pattern, line):
            return
    pytest.fail(f"it did not print {pattern!r}: {process.communicate()[1]}")


# The count


def test_default_run_hops_kills_and_finds_the_same():
    lines = run()
    assert lines[-1] == "The results are the same."
    assert "With 9 hops in 3 processes, 1 killed on the way" in lines[-2]
    table = rows(lines)
    assert [turn for turn, *_ in table] == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10]
    assert "killed by SIGKILL at" in table[4][4]
    killed = table[4][2]
    assert killed not in [pid for _, _, pid, _, _ in table[5:]]
    assert len({pid for _, _, pid, _, _ in table}) == 3


def test_killed_worker_takes_down_its_turn_only(text):
    lines = run(text(1000), "--hops", 4, "--kill", 2)
    assert [(turn, words) for turn, _, _, words, _ in rows(lines)] == [
        (1, "200"),
        (2, "-100"),
        (2, "200"),
        (3, "200"),
        (4, "200"),
        (5, "200"),
    ]


@pytest.mark.parametrize("turn", [1, 5])
def test_worker_is_killed_in_first_and_last_turn(text, turn):
    lines = run(text(1000), "--hops", 4, "--kill", turn)
    assert lines[-1] == "The results are the same."
    assert (turn, "-100") in [(row[0], row[3]) for row in rows(lines)]


def test_task_stands_deep_in_calls_and_generators(text):
    lines = run(text(100), "--hops", 1)
    first = lines.index("At its first hop, the task stood in these calls:")
    functions = [line.split()[0] for line in lines[first + 1 : first + 6]]
    assert functions == ["count_words", "count_file", "words", "words_in", "pause"]


@pytest.mark.parametrize("kill", [["--no-kill"], []], ids=["all live", "one killed"])
@pytest.mark.parametrize(("workers", "hops"), [(1, 0), (1, 3), (4, 1), (2, 0), (2, 12)])
def test_any_number_of_workers_and_hops(text, workers, hops, kill):
    lines = run(text(300), "--workers", workers, "--hops", hops, *kill)
    assert lines[-1] == "The results are the same."
    turns = words_of_turns(lines)
    assert len(turns) == hops + 1
    assert sum(turns) == 300
    assert max(turns) - min(turns) <= 1


def test_single_worker_that_is_killed_is_replaced(text):
    lines = run(text(300), "--workers", 1, "--hops", 2)
    assert lines[-1] == "The results are the same."
    assert any("is new: no other worker is left" in line for line in lines)


@pytest.mark.parametrize("words", [0, 1, 2, 3])
def test_text_with_fewer_words_than_hops_has_fewer_hops(text, words):
    lines = run(text(words), "--hops", 5)
    assert lines[-1] == "The results are the same."
    assert len(words_of_turns(lines)) == max(words, 1)
    killed = any("killed by SIGKILL" in line for line in lines)
    assert killed == (words > 1)
    assert killed or any("No worker was killed" in line for line in lines)


def test_empty_text_among_others(text):
    lines = run(text(0, "a.txt"), text(50, "b.txt"), text(0, "c.txt"), "--hops", 3)
    assert lines[-1] == "The results are the same."


def test_line_longer_than_a_block(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("word other " * 30_000)
    lines = run(path, "--hops", 3)
    assert any("60,000 words, 2 of them different" in line for line in lines)


def test_names_and_words_that_the_terminal_cannot_show(tmp_path):
    path = tmp_path / f"{ACCENTED}\nx\udcff"
    path.write_text("\N{GREEK SMALL LETTER ALPHA} b " * 5, encoding="utf-8")
    env = {**environment(), "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-P", "-m", "pickletask", "demo", path]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u03b1 5" in done.stdout


# What can go wrong


def test_missing_file_is_one_line(text, tmp_path):
    assert refuse(text(5), tmp_path / "none.txt").endswith("none.txt: No such file or directory")


def test_folder_is_one_line(tmp_path):
    assert refuse(tmp_path).endswith("it is a folder")


def test_named_pipe_is_one_line_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refuse(tmp_path / "pipe").endswith("it is not a regular file")


def test_unreadable_file_is_one_line(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert refuse(tmp_path / "loop").startswith("pickletask demo: cannot read ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file_is_one_line(text):
    path = text(5)
    path.chmod(0)
    assert refuse(path).endswith("Permission denied")


def test_binary_file_is_one_line():
    assert re.search(r"is not a text: byte \d+ is zero$", refuse(sys.executable))


def test_binary_file_among_texts_is_named(text, tmp_path):
    (tmp_path / "binary").write_bytes(b"text\nand\0more")
    assert refuse(text(5), tmp_path / "binary").endswith("binary is not a text: byte 8 is zero")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--hops", "-1"],
        ["--hops", "x"],
        ["--workers", "0"],
        ["--workers", "101"],
        ["--kill", "0"],
        ["--what"],
    ],  # fmt: skip
    ids=" ".join,
)
def test_wrong_option_is_explained(arguments):
    status, out, err = finish(start("demo", *arguments))
    assert (status, out) == (2, "")
    assert arguments[0] in err.splitlines()[-1]


def test_turn_to_kill_beyond_the_last_is_one_line(text):
    line = refuse(text(50), "--hops", 2, "--kill", 4)
    assert line == "pickletask demo: --kill 4: the last turn is number 3"


def test_more_hops_than_any_text_has_words_are_no_burden(text):
    lines = run(text(5), "--hops", 10**15)
    assert "4 hops" in lines[-2]


def test_full_disk_under_the_output_is_one_line(text):
    with open("/dev/full", "w") as full:
        process = start("demo", text(50), stdout=full)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert err == "pickletask demo: No space left on device\n"


def test_closed_output_does_no_harm(text):
    demo = shlex.join([sys.executable, "-P", "-m", "pickletask", "demo", str(text(50))])
    done = subprocess.run(
        demo + " >&-", shell=True, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["demo", "--help"]], ids=" ".join)
def test_help_is_printed(arguments):
    status, out, err = finish(start(*arguments))
    assert (status, err) == (0, "")
    assert out.startswith("usage: python -m pickletask")


def test_reader_that_goes_away_is_no_error(text):
    process = start("demo", text(20_000), "--hops", 300)
    wait_for_line(process, "^ *1 ")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1
    assert_session_ends(process)


# Signals


@pytest.mark.parametrize("moment", [" is process ", "^ *1 ", "^ *7 "])
@pytest.mark.parametrize("to", ["group", "parent"])
def test_interrupt_ends_all_processes(text, to, moment):
    process = start("demo", text(100_000), "--hops", 2000, "--workers", 4)
    wait_for_line(process, moment)
    if to == "group":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    status, _, err = finish(process)
    assert (status, err) == (130, "pickletask demo: interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("to", ["group", "parent"])
def test_interrupt_at_any_time_leaves_no_process(text, to):
    path = text(200_000)
    source = random.Random(5)
    for number in range(30):
        process = start("demo", path, "--hops", 50_000, "--workers", 4)
        if number % 2:
            # The keeper has begun, its workers are about to.
            wait_for_line(process, " is process ")
            time.sleep(source.uniform(0, 0.3))
        else:
            time.sleep(source.uniform(0.1, 0.4))
        if to == "group":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        _, _, err = finish(process)
        if number % 2:
            assert err == "pickletask demo: interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_when_the_keeper_is_killed(text, number):
    process = start("demo", text(400_000), "--hops", 3, "--workers", 4)
    wait_for_line(process, "^ *1 ")
    process.send_signal(number)
    assert finish(process)[0] == -number


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_by_others_do_not_change_the_result(text, seed):
    source = random.Random(seed)
    process = start("demo", text(30_000), "--hops", 400, "--workers", 3, "--no-kill")
    lines = []
    pids = set()
    killed = 0
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        pids |= {pid for _, _, pid, _, _ in rows(lines[-1:])}
        if killed < 5 and len(lines) > 10 and source.random() < 0.1:
            # It may be dead already, or idle.
            victim = source.choice(sorted(pids))
            number = source.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
            try:
                os.kill(victim, number)
                killed += 1
            except ProcessLookupError:
                pass
            pids.discard(victim)
    assert finish(process)[0] == 0
    assert lines[-1] == "The results are the same."
    assert any(" died of SIG" in line for line in lines)
    assert sum(words_of_turns(lines)) == 30_000


# The relay, with tasks of its own


class Silent:
    """A Report that reports nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


def relay_of(function, *arguments):
    """A Relay of a task that runs FUNCTION(*ARGUMENTS, tally) in a single turn."""
    tally = demo_task.Tally()
    task = pickletask.tasklet().bind(function, (*arguments, tally))
    return demo_relay.Relay(demo_worker.save(task, tally), [None], 0, None)


def die(tally):
    """A task that is the end of every worker."""
    os._exit(3)


def fail(tally):
    """A task that fails."""
    raise LookupError("what it says")


def test_state_that_costs_too_many_workers_is_given_up():
    relay = relay_of(die)
    with pytest.raises(demo_relay.Failure, match="5 workers died") as caught:
        with demo_relay.Crew(2) as crew:
            relay.run(crew, Silent())
    assert caught.value.status == 1
    assert not crew.workers


def test_failing_task_is_reported_with_its_traceback():
    relay = relay_of(fail)
    with pytest.raises(demo_relay.Failure, match="the task failed") as caught:
        with demo_relay.Crew(1) as crew:
            relay.run(crew, Silent())
    assert "LookupError: what it says" in caught.value.detail


def test_file_that_vanishes_on_the_way_is_bad_input(tmp_path):
    relay = relay_of(demo_task.count_words, [str(tmp_path / "gone")])
    with pytest.raises(demo_relay.Failure, match="gone: No such file") as caught:
        with demo_relay.Crew(1) as crew:
            relay.run(crew, Silent())
    assert caught.value.status == 2


def test_workers_that_cannot_be_started_are_one_line(monkeypatch):
    monkeypatch.setattr(demo_relay.Worker, "__init__", refuse_to_start)
    with pytest.raises(demo_relay.Failure, match="cannot start worker 1: Resource"):
        demo_relay.Crew(1).__enter__()


def refuse_to_start(self, number):
    """What a full system says."""
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_different_results_are_shown(capsys):
    tally, expected = demo_task.Tally(), demo_task.Tally()
    tally.counts, expected.counts = {"a": 1, "b": 2}, {"b": 3, "c": 1}
    assert demo_report.Report().verdict(tally, expected) == 1
    assert "  b: 3 without a hop, 2 with hops\n" in capsys.readouterr().out


def test_goals_share_the_words_evenly():
    assert demo.goals_of(10, 4) == [2, 4, 6, 8, None]
    assert demo.goals_of(10, 0) == [None]
    assert demo.goals_of(0, 3) == [None]
    assert demo.goals_of(2, 9) == [1, None]


# The texts


def test_default_texts_are_sorted_and_readable():
    texts = demo.default_texts()
    assert texts == sorted(texts)
    assert demo.count_here(texts).words > 1000


def test_default_texts_of_a_stripped_installation_are_modules(tmp_path):
    (tmp_path / "os.py").write_text("# something")
    (tmp_path / "LICENSE.txt").touch()
    assert demo.default_texts(tmp_path) == [str(tmp_path / "os.py")]


def test_default_texts_count_a_link_once(tmp_path):
    (tmp_path / "LICENSE.txt").write_text("something")
    (tmp_path / "LICENSE").symlink_to("LICENSE.txt")
    assert len(demo.default_texts(tmp_path)) == 1


def test_no_default_texts_is_bad_input(tmp_path):
    with pytest.raises(demo_relay.Failure, match="name some files") as caught:
        demo.default_texts(tmp_path)
    assert caught.value.status == 2


# The task


def test_count_agrees_with_a_simpler_one(text):
    path = text(5000)
    expected = Counter(re.findall(r"[a-z]+", path.read_text()))
    tally = demo.count_here([str(path)])
    assert tally.counts == expected
    assert tally.words == 5000


def test_words_are_those_of_the_language():
    line = f"It's 3 o{QUOTE}clock, _not_ 4th.{ACCENTED}"
    assert demo_task.WORD.findall(line) == ["It's", f"o{QUOTE}clock", "not", "th", ACCENTED]


@pytest.mark.usefixtures("mode")
def test_task_saved_at_every_word_finds_the_same(text, pickler, protocol):
    paths = [str(text(30, "a.txt")), str(text(0, "b.txt")), str(text(31, "c.txt"))]
    expected = demo.count_here(paths)
    tally = demo_task.Tally()
    task = pickletask.tasklet().bind(demo_task.count_words, (paths, tally))
    saved = 0
    while True:
        task.run()
        if not task.alive:
            break
        data = pickler.dumps((task, tally), protocol)
        task.kill()
        task, tally = pickler.loads(data)
        saved += 1
    assert saved == 61
    assert (tally.words, tally.counts) == (61, expected.counts)


def test_text_file_opens_again_where_it_was(text):
    path = text(100)
    with demo_task.TextFile(path) as file:
        lines = [file.read_line(), file.read_line()]
        copy = pickle.loads(pickle.dumps(file))
    with copy:
        while line := copy.read_line():
            lines.append(line)
    assert "".join(lines) == path.read_text()


def test_text_file_cuts_long_lines_at_blanks(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("abc " * demo_task.LONGEST_LINE)
    with demo_task.TextFile(path) as file:
        pieces = []
        while line := file.read_line():
            pieces.append(line)
    assert len(pieces) > 1
    assert set(piece[-1] for piece in pieces) == {" "}
    assert "".join(pieces) == path.read_text()


def test_text_file_cuts_words_longer_than_a_line(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("a" * (2 * demo_task.LONGEST_LINE + 5))
    assert demo.count_here([str(path)]).words == 3


def test_main_without_a_command_prints_help(capsys):
    assert __main__.main([]) == 0
    assert "demo" in capsys.readouterr().out
