"""What the demonstration prints: plain text in columns, each line at once."""

import os
import platform
import textwrap

COLUMNS = (
    ("turn", 4),
    ("worker:process", 14),
    ("words", 10),
    ("then stands at", -30),
    ("deep", 4),
    ("bytes", 8),
    ("task only", 9),
    ("load ms", 7),
    ("run ms", 7),
    ("save ms", 7),
)
NAME_WIDTH = 16
# More texts than this are not named.
MOST_NAMES = 24


def shown(text):
    """TEXT as one line that does nothing to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def amount(number, what):
    """NUMBER of WHAT, in words: "1 hop", "2,000 hops"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def place_text(place):
    """A demo_worker.Place in short."""
    if place.path is None:
        return "its beginning"
    name = shown(os.path.basename(place.path))
    if len(name) > NAME_WIDTH:
        name = name[: NAME_WIDTH - 2] + ".."
    return f"{name}:{place.line} word {place.word}"


def say(line=""):
    """Print a LINE, now: who looks on wants to see it when it happens."""
    print(line, flush=True)


def say_row(*cells):
    """Print CELLS below the COLUMNS; the last one may be longer than its column."""
    texts = []
    for cell, (_, width) in zip(cells, COLUMNS, strict=False):
        texts.append(f"{cell:<{-width}}" if width < 0 else f"{cell:>{width}}")
    say("  ".join(texts).rstrip())


class Report:
    """Tells what happens to a task on its way."""

    def texts(self, paths, expected, seconds):
        """What is to be counted, and the Tally EXPECTED."""
        size = sum(os.path.getsize(path) for path in paths)
        say(f"Python {platform.python_version()} counts {texts_of(paths, size)}")
        say(f"Without a hop, it finds {found(expected)}, in {seconds:.2f} s.")

    def short_text(self, asked, hops):
        """Say that there are fewer HOPS than the user ASKED for."""
        say(f"There are not words enough for {amount(asked, 'hop')}: {hops}.")

    def crew(self, crew):
        """Say who works, and print the head of the table."""
        pids = ", ".join(f"{worker.number} is process {worker.pid}" for worker in crew.workers)
        say(f"{amount(crew.size, 'worker')}: {pids}.")
        say()
        say_row(*(name for name, _ in COLUMNS))

    def turn(self, turn, worker, place, words, times, *answer):
        """A turn is over: it has counted some more WORDS, and the task is saved or done."""
        who = f"{worker.number}:{worker.pid}"
        load, run, *save = (f"{1000 * seconds:,.1f}" for seconds in times)
        if save:
            state, size, _ = answer
            stands = place_text(place), place.depth, f"{len(state):,}", f"{size:,}"
        else:
            stands = "its end", "", "", ""
        say_row(turn, who, f"{words:,}", *stands, load, run, *save)

    def died(self, turn, worker, place, cause, saved):
        """A worker is dead; PLACE is where its task stood, if that is known."""
        who = f"{worker.number}:{worker.pid}"
        if place is None:
            say_row(turn, who, "-?", f"died of {cause}; back to the last saved state")
        else:
            what = f"killed by SIGKILL at {place_text(place)}; back to the last saved state"
            say_row(turn, who, f"-{place.words - saved:,}", what)

    def started(self, worker):
        """A new worker takes the place of dead ones."""
        say_row("", f"{worker.number}:{worker.pid}", "", "is new: no other worker is left")

    def result(self, relay, tally):
        """The end: how the task got there, and what it found."""
        if relay.stack:
            say()
            say("At its first hop, the task stood in these calls:")
            functions = max(len(call.function) for call in relay.stack)
            lines = max(len(call.file) + len(str(call.line)) for call in relay.stack) + 1
            for call in relay.stack:
                place = f"{call.file}:{call.line}"
                say(f"  {call.function:<{functions}}  {place:<{lines}}  {call.source}")
        say()
        most = sorted(tally.counts.items(), key=lambda item: (-item[1], item[0]))[:6]
        say("Most frequent: " + ", ".join(f"{word} {count:,}" for word, count in most) + ".")
        if relay.kill is not None and not relay.killed:
            say("No worker was killed: there are not words enough to do it on the way.")
        processes = len(set(relay.pids))
        hops = len(relay.pids) - 1 - relay.deaths
        way = f"{amount(hops, 'hop')} in {processes} process{'es' * (processes > 1)}"
        if relay.deaths:
            way += f", {relay.deaths} killed on the way"
        say(f"With {way}, it finds {found(tally)}.")

    def verdict(self, tally, expected):
        """Compare the TALLY with the one EXPECTED; the status for the shell."""
        if (tally.words, tally.counts) == (expected.words, expected.counts):
            say("The results are the same.")
            return 0
        say("THE RESULTS DIFFER:")
        words = sorted(tally.counts.keys() | expected.counts.keys())
        counts = [(word, expected.counts.get(word, 0), tally.counts.get(word, 0)) for word in words]
        for word, without, with_hops in [each for each in counts if each[1] != each[2]][:10]:
            say(f"  {word}: {without:,} without a hop, {with_hops:,} with hops")
        return 1


def found(tally):
    """What is in a demo_task.Tally, in words."""
    return f"{amount(tally.words, 'word')}, {len(tally.counts):,} of them different"


def texts_of(paths, size):
    """What the texts are, in words; more than one line."""
    if len(paths) == 1:
        return f"the words of {shown(paths[0])}, {amount(size, 'byte')}."
    what = f"the words of {len(paths)} texts, {amount(size, 'byte')}"
    if len(paths) > MOST_NAMES:
        return what + "."
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    names = ", ".join(os.path.relpath(path, folder) for path in paths)
    lines = textwrap.fill(shown(names), 98, initial_indent="  ", subsequent_indent="  ")
    return f"{what}, in {shown(folder)}:\n{lines}"
