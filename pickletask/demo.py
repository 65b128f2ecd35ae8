"""The demonstration: a running microthread hops from process to process, and survives a SIGKILL.

``python -m pickletask demo`` counts the words of some texts twice: first here, by plain calls,
then as a microthread that several worker processes share, and compares.  It has five files:

    demo.py         the command line, the texts, the comparison
    demo_task.py    the microthread, which knows nothing of all this
    demo_worker.py  a worker process: load, run for a turn, save
    demo_relay.py   the keeper of the saved state: who is next, and what if a worker dies
    demo_report.py  what is printed
"""

import argparse
import os
import stat
import sys
import sysconfig
import time
from pathlib import Path

from pickletask import tasklet
from pickletask.demo_relay import Crew, Failure, Relay
from pickletask.demo_report import Report, shown
from pickletask.demo_task import NotText, Tally, count_words
from pickletask.demo_worker import reason, save

# Below the standard library. Not every installation has all of them.
DOCUMENTS = ("LICENSE*", "email/*.rst", "idlelib/*.txt", "idlelib/*/*.txt", "lib2to3/*.txt")
DOCUMENTS += ("turtledemo/*.txt", "site-packages/README*")
# Where an installation has none: modules that are documentation for the most part.
MODULES = ("pydoc_data/topics.py", "argparse.py", "optparse.py", "os.py", "site.py", "this.py")

# More processes than this would only be a burden.
WORKERS = 100


def main(options):
    """Run the demonstration with the OPTIONS that argparse found; the status for the shell."""
    for stream in sys.stdout, sys.stderr:
        # Words and file names may be such that the terminal can't show them.
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")
    try:
        return demonstrate(options)
    except Failure as failure:
        if failure.detail:
            print(failure.detail, file=sys.stderr)
        print(f"pickletask demo: {shown(str(failure))}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        print("pickletask demo: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Nobody reads any more. What is still buffered has to go somewhere when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"pickletask demo: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def demonstrate(options):
    """Count without a hop, count with hops, compare; the status for the shell."""
    paths = options.files or default_texts()
    started = time.perf_counter()
    expected = count_here(paths)
    seconds = time.perf_counter() - started
    goals = goals_of(expected.words, options.hops)
    relay = Relay(first_state(paths), goals, expected.words, turn_to_kill(options, len(goals)))

    report = Report()
    report.texts(paths, expected, seconds)
    if len(goals) <= options.hops:
        report.short_text(options.hops, len(goals) - 1)
    with Crew(options.workers) as crew:
        report.crew(crew)
        tally = relay.run(crew, report)
    report.result(relay, tally)
    return report.verdict(tally, expected)


def first_state(paths):
    """The saved microthread before its first turn."""
    tally = Tally()
    return save(tasklet().bind(count_words, (paths, tally)), tally)


def goals_of(words, hops):
    """The tally's words at the end of each turn, None for the last; no turn is without a word."""
    hops = min(hops, words)
    goals = {hop * words // (hops + 1) for hop in range(1, hops + 1)}
    return [*sorted(goals - {0}), None]


def turn_to_kill(options, turns):
    """The turn whose worker is to be killed, counted from 1, or None."""
    if options.no_kill:
        return None
    if options.kill is not None and options.kill > turns:
        raise Failure(f"--kill {options.kill}: the last turn is number {turns}", 2)
    return options.kill or (turns + 1) // 2


# The texts


def default_texts(library=None):
    """Paths of text files that come with the running Python, sorted.

    LIBRARY is the folder of the standard library.  Failure if nothing is there.
    """
    library = Path(library or sysconfig.get_path("stdlib"))
    for patterns in DOCUMENTS, MODULES:
        found = [path for pattern in patterns for path in library.glob(pattern)]
        # LICENSE may be a link to the LICENSE.txt beside it.
        texts = {path.resolve(): str(path) for path in found if is_readable(path)}
        if texts:
            return sorted(texts.values())
    raise Failure(f"there are no texts in {library}: name some files", 2)


def is_readable(path):
    """Whether PATH is a file that may be read, and has something in it."""
    return path.is_file() and path.stat().st_size > 0 and os.access(path, os.R_OK)


def count_here(paths):
    """The Tally of the texts at PATHS, counted by plain calls; Failure if one can't be read."""
    tally = Tally()
    try:
        for path in paths:
            mode = os.stat(path).st_mode
            if not stat.S_ISREG(mode):
                what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
                raise Failure(f"cannot read {path}: it is {what}", 2)
        count_words(paths, tally)
    except (OSError, NotText) as error:
        raise Failure(reason(error), 2) from None
    return tally


# The command line


def whole_number(least, most=sys.maxsize):
    """A converter for argparse: an int from LEAST to MOST."""

    def convert(text):
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        if number > most:
            raise argparse.ArgumentTypeError(f"{number} is more than {most}")
        return number

    return convert


def add_arguments(parser):
    """Add the options of the demonstration to an argparse PARSER."""
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="text to count (default: Python's own documents)"
    )
    parser.add_argument(
        "--hops",
        type=whole_number(0),
        default=9,
        metavar="N",
        help="how often the task goes on to the next worker (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(1, WORKERS),
        default=3,
        metavar="N",
        help="how many processes share the task (default: %(default)s)",
    )
    kill = parser.add_mutually_exclusive_group()
    kill.add_argument(
        "--kill",
        type=whole_number(1),
        metavar="TURN",
        help="kill the worker that has the task in this turn (default: the one in the middle)",
    )
    kill.add_argument("--no-kill", action="store_true", help="let all workers live")
