"""A task that can't be saved where it stands, and the same in a form that can.

    python examples/refused.py

The task is refused while C code waits for its function, and saved when a Python loop does.
"""

import pickle

import pickletask


def price(thing):
    """Return a price, after a pause in which somebody could look it up."""
    return pickletask.schedule_remove(len(thing))


def sort_in_c(things):
    """Sort by price: while price() waits, sorted() stands on the C stack."""
    return sorted(things, key=price)


def sort_in_python(things):
    """Ask for the prices in a Python loop; sort when they are known."""
    prices = {}
    for thing in things:
        prices[thing] = price(thing)
    return sorted(things, key=prices.get)


def run(function):
    """Run a function as a task, and save it at each pause if that is possible."""
    result = []

    def body():
        sorted_things = function(["bread", "tea", "milk"])
        result.append(sorted_things)

    saved = refused = 0
    task = pickletask.tasklet(body)()
    task.run()
    while task.alive:
        try:
            pickle.dumps(task)
        except pickletask.NotPicklableError as error:
            if not refused:
                print(error)
            refused += 1
        else:
            saved += 1
        # Whether it was saved or refused: the task goes on.
        task.run()
    print(f"{function.__name__}: saved {saved} times, refused {refused} times: {result[0]}")


if __name__ == "__main__":
    run(sort_in_c)
    run(sort_in_python)
