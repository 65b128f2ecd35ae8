"""Loops over iterators that ask others, which suspend."""

from pickletask import schedule_remove as suspend


def _generate(n, step=1):
    for i in range(n):
        yield suspend(i) * step
    suspend("end")


class Stepper:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return suspend(self.n)


def _double(x):
    return 2 * suspend(x)


def _add(x, y, z=0):
    return suspend(x) + y + z


def loop_over_maps():
    log = []
    for x in map(str, _generate(2)):
        log.append(suspend(x))
    for x in map(_double, _generate(2)):
        log.append(x)
    for x in map(_add, _generate(3), [1, 2]):
        log.append(x)
    for x in map(_add, Stepper(2), range(3), [suspend(5), 6, 7]):
        log.append(x)
    return log


def loop_over_filters():
    log = []
    for x in filter(None, _generate(3)):
        log.append(suspend(x))
    for x in filter(bool, Stepper(3)):
        log.append(x)
    for x in filter(_is_even, _generate(4)):
        log.append(x)
    return log


def _is_even(x):
    return x % 2 == 0


def loop_over_zips():
    log = []
    for pair in zip(_generate(2), "abc"):  # noqa: B905
        log.append((*pair, suspend(len(log))))
    for x, y in zip(Stepper(3), [1, 2], strict=False):
        log.append((x, y))
    for lengths in ((2, 2, 2), (1, 2, 2), (1, 1, 2), (2, 1, 2), (2, 2, 1)):
        a, b, c = lengths
        try:
            for three in zip(_generate(a), range(b), "xyz"[:c], strict=True):
                log.append(three)
        except ValueError as error:
            log.append(str(error))
    return log


def loop_over_enumerations():
    log = []
    for i, x in enumerate(_generate(3)):
        log.append((i, suspend(x)))
    for i, x in enumerate(Stepper(2), start=2**70):
        log.append((i, x))
    return log, [(i, x) for i, x in enumerate(_generate(2))]


def share_iterators():
    log, source = [], _generate(6)
    mapped = map(str, source)
    for x in mapped:
        log.append((x, next(source)))
        if suspend(len(log)) == 2:
            break
    log.append(next(source, None))
    return log


def fail_in_sources():
    def generate():
        yield suspend(1)
        raise ValueError("source")

    log = []
    for make in range(4):
        try:
            g = generate()
            for x in (map(str, g), filter(None, g), zip(g, strict=True), enumerate(g))[make]:
                log.append(x)
        except ValueError as error:
            log.append(repr(error))
    return log
