"""The microthread of the demonstration: it counts words, and may be saved at every one of them.

Nothing here knows of pickling, processes or hops.  When :func:`pause` suspends the microthread it
stands in five calls, four loops, a ``with`` block and two generators::

    count_words     for path in paths: with TextFile(path)
      count_file      for word in words(...)
        words           generator: while line := ...: yield from words_in(...)
          words_in        generator: for word in the line
            pause           schedule(): back to whoever said run()
"""

import re

import pickletask

WORD = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W\d_]+)*")

# Bytes of a line that are read at once: a file may be larger than memory and have one line only.
LONGEST_LINE = 1 << 16


class NotText(ValueError):
    """A file holds something else than text; the message names it."""


class TextFile:
    """An open text file that can be pickled: it keeps its place, and opens there again.

    Use it with ``with``.  Whoever loads the pickle needs the same file under the same name.
    """

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self._file = None

    def __enter__(self):
        self._open()
        return self

    def __exit__(self, *exception):
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self):
        return {**vars(self), "_file": None}

    def _open(self):
        self._file = open(self.path, "rb")
        self._file.seek(self.offset)

    def read_line(self):
        """The next line, "" at the end; a very long one comes in pieces that end at a blank.

        OSError if the file can't be read, NotText if it is binary.
        """
        if self._file is None:
            self._open()
        line = self._file.readline(LONGEST_LINE)
        if b"\0" in line:
            zero = self.offset + line.index(b"\0")
            raise NotText(f"{self.path} is not a text: byte {zero} is zero")
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = line[: line.rfind(b" ") + 1] or line
            self._file.seek(self.offset + len(line))
        self.offset += len(line)
        return line.decode("utf-8", errors="replace")


class Tally:
    """What is counted so far, and where.

    ``counts`` has the words in lower case and how often each was found, ``words`` is the sum;
    ``path``, ``line`` and ``word`` are the place, the latter two counted from 1.
    """

    def __init__(self):
        self.counts = {}
        self.words = 0
        self.path = None
        self.line = 0
        self.word = 0


def count_words(paths, tally):
    """Count the words of all files; this is what the microthread runs."""
    for path in paths:
        tally.path = path
        with TextFile(path) as file:
            count_file(file, tally)


def count_file(file, tally):
    """Count the words of one open TextFile."""
    counts = tally.counts
    for word in words(file, tally):
        counts[word] = counts.get(word, 0) + 1
        tally.words += 1


def words(file, tally):
    """Generate the words of FILE."""
    tally.line = 0
    while line := file.read_line():
        tally.line += 1
        yield from words_in(line, tally)


def words_in(line, tally):
    """Generate the words of one line, with a pause before each."""
    for tally.word, word in enumerate(WORD.findall(line), 1):
        pause()
        yield word.lower()


def pause():
    """Let the others go on; without a microthread there are none, and this does nothing."""
    pickletask.schedule()
