"""The table of the results: a figure a row, its ratios to its rivals in columns."""

from statistics import median
from typing import NamedTuple

# What the ratios are to; "pickle" is plain pickle of the same objects.
RIVALS = ("generator", "greenlet", "asyncio", "pickle")
HEAD = ("", "absolute", *RIVALS)
UNITS = {
    "second": ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
    "byte": ((1, "B"),),
}


class Row(NamedTuple):
    """A figure: what it is called, and what it is compared with."""

    label: str
    figure: str  # the name of a measure
    rivals: dict  # column -> name of a measure
    goals: dict = {}  # name of a measure (None: the figure itself counts) -> the most it may be


class Results(NamedTuple):
    """What was measured of a subject: UNIT, and name -> lists of values, a list a process."""

    unit: str
    values: dict

    def figure(self, name):
        """The least value of NAME in each process, and of these the median."""
        return median(min(values) for values in self.values[name])

    def ratio(self, name, rival):
        """The same for the ratio of the figures of NAME and RIVAL in one process."""
        pairs = zip(self.values[name], self.values[rival], strict=True)
        return median(min(values) / min(others) for values, others in pairs)


def short(number):
    """A ratio in three digits."""
    digits = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.3f}" if number < 0.1 else f"{number:,.{digits}f}"


def with_unit(value, unit):
    """A VALUE in the largest unit that leaves something before the point."""
    fitting = [each for each in UNITS[unit] if value >= each[0]]
    size, name = fitting[0] if fitting else UNITS[unit][-1]
    digits = 0 if value >= 100 * size or unit == "byte" else 1
    return f"{value / size:,.{digits}f} {name}"


def table(subjects):
    """The lines of the table: SUBJECTS are pairs (rows, Results)."""
    cells = []
    for rows, results in subjects:
        for row in rows:
            line = [row.label, with_unit(results.figure(row.figure), results.unit)]
            for column in RIVALS:
                rival = row.rivals.get(column)
                line.append("" if rival is None else short(results.ratio(row.figure, rival)))
            cells.append(line)
        cells.append(None)
    return grid(HEAD, cells[:-1])


def grid(head, cells):
    """The lines of a simple table of reStructuredText; None in CELLS is an empty line."""
    texts = [line for line in (head, *cells) if line is not None]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = [rule, aligned(head, widths), rule]
    # An empty first cell continues the row above, so that blank lines need no mark.
    lines += ["" if line is None else aligned(line, widths) for line in cells]
    return [*lines, rule]


def aligned(cells, widths):
    """One line: the first cell to the left, the others to the right."""
    first, *others = zip(cells, widths, strict=True)
    texts = [first[0].ljust(first[1])] + [text.rjust(width) for text, width in others]
    return "  ".join(texts).rstrip()


def goals(subjects):
    """Lines that say which goals of the rows are met."""
    cells = []
    for rows, results in subjects:
        for row in rows:
            for rival, bound in row.goals.items():
                if rival is None:
                    found, what = results.figure(row.figure), results.unit + "s"
                else:
                    found, what = results.ratio(row.figure, rival), f"x {rival}"
                is_met = "met" if found <= bound else "MISSED"
                cells.append((row.label, f"<= {bound:g} {what}", short(found), is_met))
    return grid(("goal", "at most", "found", ""), cells) if cells else []
