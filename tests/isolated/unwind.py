"""Suspends tasks in generators that CPython closes because an exception drops them.

Each program has two loops, one in the other, over iterators of all kinds, and a body that fails
with operands on its stack. What is dropped suspends in a finally clause, and so the task stands
where operands of the pending instruction are gone already: it is saved there, or refused, goes on,
or is killed. The argument N has every Nth program tried.
"""

import itertools
import pickle
import sys

import programs

from pickletask import schedule_remove, tasklet


def generate():
    try:
        yield 1
        yield 2
    finally:
        schedule_remove()


def delegate():
    yield from generate()


class Pause:
    def __await__(self):
        yield 1


async def wait():
    try:
        await Pause()
    finally:
        schedule_remove()


async def wait_and_fail():
    await Pause()
    raise KeyError


def fail(*args, **kwargs):
    raise KeyError


def fail_at_last():
    yield 1
    raise KeyError


def started(generator):
    next(generator)
    return generator


class Steps:
    def __init__(self):
        self.generator = generate()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.generator)


class Failing:
    """Holds what suspends when it goes; fails whatever one does with it."""

    def __init__(self):
        self.held = started(generate())

    def __enter__(self):
        return self

    def __exit__(self, *details):
        return False

    __call__ = __add__ = __getitem__ = __eq__ = __bool__ = __next__ = fail
    __hash__ = None

    @property
    def value(self):
        raise KeyError


ITERATORS = """
    generate()
    delegate()
    Steps()
    map(str, generate())
    zip(generate(), delegate())
    enumerate(generate())
    wait().__await__()
    (x for x in generate())
    itertools.chain(generate())
    filter(None, generate())
    fail_at_last()
    wait_and_fail().__await__()
    [1]
""".split("\n")[1:-1]

BODIES = """
    fail()
    Failing()()
    Failing() + 1
    Failing()[1]
    Failing().value
    not Failing()
    Failing() == 1
    fail(started(generate()), started(delegate()))
    fail(*[started(generate())])
    fail(**{"held": started(generate())})
    [started(generate()), fail()]
    (started(generate()), started(delegate()), fail())
    f"{fail(started(generate()))}"
    started(generate()).throw(KeyError)
    started(delegate()).throw(KeyError)
    getattr(started(generate()), "throw")(KeyError)
    getattr(started(generate()), "send")(fail())
    started(generate()).send(fail())
    started(generate()).close()
    started(delegate()).close()
    next(started(generate()), object())
    next(started(started(generate())), Failing())
    next(fail_at_last(), started(generate()))
    next(Failing(), started(generate()))
    sorted([1, 2], key=lambda x: fail())
    list(fail_at_last())
    x = started(generate())
    1 / 0
""".split("\n")[1:-1]

SHAPES = (
    """
def program():
    try:
        for x in {outer}:
            for y in {inner}:
                {body}
    except (KeyError, ZeroDivisionError):
        pass
""",
    """
def program():
    for x in {outer}:
        try:
            for y in {inner}:
                {body}
        except (KeyError, ZeroDivisionError):
            pass
        break
""",
    """
def program():
    with Failing():
        for x in {outer}:
            for y in {inner}:
                {body}
""",
)


def end(task, resume):
    """Run a task to its end, or kill it at every second step; save it on its way."""
    for number in range(40):
        if not task.alive:
            return
        try:
            if resume or number % 2:
                task.run()
            else:
                task.kill()
        except Exception:
            pass
        except BaseException as error:
            assert type(error).__name__ in ("TaskletExit", "GeneratorExit"), error
        if task.alive:
            try:
                data = pickle.dumps(task)
            except Exception as error:
                assert type(error).__name__ in ("NotPicklableError", "TypeError"), error
            else:
                # What resumes the copy doesn't save it again.
                programs.end(pickle.loads(data))
    raise AssertionError(f"{task} survives")


def main(step):
    # Generators that are dropped while they suspend say so, and so do coroutines.
    sys.unraisablehook = lambda unraisable: None
    texts = itertools.product(SHAPES, ITERATORS, ITERATORS, BODIES)
    tried = 0
    for shape, outer, inner, body in itertools.islice(texts, 0, None, step):
        parts = {"outer": outer.strip(), "inner": inner.strip(), "body": body.strip()}
        exec(shape.format(**parts), globals())
        for resume in True, False:
            task = tasklet(program)()  # noqa: F821
            task.remove()
            end(task, resume)
        tried += 1
    print("tried", tried)


if __name__ == "__main__":
    main(int(sys.argv[1]))
