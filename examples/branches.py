"""A search that copies a running generator at each choice.

    python examples/branches.py [SIZE]

The generator describes one try to put queens on a board, without a word about going back: it asks
for a column, and gives up when two queens attack one another. The search copies it for each answer.
"""

import copy
import sys


def place_queens(size):
    """Yield the columns to choose from, row by row; return the choices, or None."""
    columns = []
    for row in range(size):
        column = yield range(size)
        for above, taken in enumerate(columns):
            if column == taken or abs(column - taken) == row - above:
                return None
        columns.append(column)
    return columns


def search(generator, choices):
    """Yield what a suspended generator returns for all combinations of choices."""
    for choice in choices:
        branch = copy.deepcopy(generator)
        try:
            more = branch.send(choice)
        except StopIteration as end:
            if end.value is not None:
                yield end.value
        else:
            yield from search(branch, more)


def main(size):
    """Print all solutions."""
    generator = place_queens(size)
    for columns in search(generator, next(generator)):
        print(*columns)


if __name__ == "__main__":
    # Importing pickletask makes generators copyable.
    import pickletask  # noqa: F401

    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
