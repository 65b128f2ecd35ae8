"""A dialogue in which each answer can be taken back.

    python examples/undo.py

The dialogue is a plain function that asks. Before each answer the task that runs it is pickled; the
answer "back" loads the last pickle.
"""

import pickle
import sys

import pickletask


def ask(question):
    """Return the answer to a question."""
    return pickletask.schedule_remove(question)


def order():
    """Ask what to deliver."""
    basket = {}
    while True:
        thing = ask("What do you want? (nothing to end)")
        if not thing:
            break
        basket[thing] = basket.get(thing, 0) + int(ask(f"How many {thing}?"))
    print("ordered:", ", ".join(f"{number} {thing}" for thing, number in basket.items()))


def main(answers):
    """Lead the dialogue; the answers are lines."""
    history = []
    task = pickletask.tasklet(order)()
    pickletask.run()
    while task.alive:
        # What the task said when it paused; and, once replaced, what ask() returns to it.
        print(task.tempval)
        answer = next(answers, "").strip()
        if answer != "back":
            history.append(pickle.dumps(task))
            task.tempval = answer
            task.run()
        elif history:
            task = pickle.loads(history.pop())


if __name__ == "__main__":
    main(iter(sys.stdin))
