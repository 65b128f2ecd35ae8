"""Builtin functions and f-strings, which call a method and look at what it returns."""

import math
import operator
import os

from pickletask import schedule_remove as suspend


class Length:
    def __len__(self):
        return suspend(self.n)

    def __init__(self, n):
        self.n = n


class Number(Length):
    def __index__(self):
        return suspend(self.n)

    def __hash__(self):
        return suspend(self.n)

    def __abs__(self):
        return suspend(self.n)

    def __round__(self, *digits):
        return suspend((self.n, digits))

    def __trunc__(self):
        return suspend(self.n)

    __ceil__ = __floor__ = __trunc__


class Exact(Number):
    def __int__(self):
        return suspend(self.n)

    def __float__(self):
        return suspend(self.n)

    def __complex__(self):
        return suspend(self.n)

    def __bool__(self):
        return suspend(self.n)

    def __bytes__(self):
        return suspend(self.n)

    def __fspath__(self):
        return suspend(self.n)


class Text:
    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return suspend(self.text)


class Shown(Text):
    def __str__(self):
        return suspend(self.text)


class Formatted(Shown):
    def __format__(self, spec):
        return suspend(self.text) and suspend(self.text + spec)


def take_the_length():
    log = []
    for n in (3, 0, True, 2**70, -1, "text", None, 1.5):
        length = Length(n)
        try:
            log.append(len(length))
        except (TypeError, ValueError, OverflowError) as error:
            log.append(repr(error))
        try:
            log.append(bool(length))
        except (TypeError, ValueError, OverflowError) as error:
            log.append(repr(error))
    return log, len(Length(suspend(2))) + len(Length(1))


def _convert_0(way, number, exact):
    match way:
        case 0:
            return int(number)
        case 1:
            return float(number)
        case 2:
            return complex(number)
        case 3:
            return int(exact)
        case 4:
            return float(exact)
        case 5:
            return complex(exact)
        case 6:
            return operator.index(number)
        case 7:
            return bin(number)
        case 8:
            return oct(number)
        case 9:
            return hex(number)
        case 10:
            return chr(number)
        case 11:
            return bool(exact)


def make_numbers():
    log = []
    for n in (5, 65, -1, 2.5, "text", 1j, None):
        number, exact = Number(n), Exact(n)
        for way in range(12):
            try:
                log.append(_convert_0(way, number, exact))
            except (TypeError, ValueError, OverflowError) as error:
                log.append(repr(error))
    return log


def _convert_1(way, number):
    match way:
        case 0:
            return hash(number)
        case 1:
            return abs(number)
        case 2:
            return round(number)
        case 3:
            return round(number, suspend(2))
        case 4:
            return math.trunc(number)
        case 5:
            return math.floor(number)
        case 6:
            return math.ceil(number)


def round_and_hash():
    log = []
    # None at last: up to 3.13, CPython never lets go of what __hash__ returns if it is no number.
    for n in (5, -1, 2**80, None):
        number = Number(n)
        for way in range(7):
            try:
                log.append(_convert_1(way, number))
            except (TypeError, ValueError, OverflowError) as error:
                log.append(repr(error))
    return log


def _convert_2(way, thing):
    match way:
        case 0:
            return str(thing)
        case 1:
            return repr(thing)
        case 2:
            return ascii(thing)
        case 3:
            return format(thing)
        case 4:
            return format(thing, suspend(">9"))


def make_texts():
    log = []
    for text in ("täxt", 5, None):
        for kind in (Text, Shown, Formatted):
            thing = kind(text)
            for way in range(5):
                try:
                    log.append(_convert_2(way, thing))
                except TypeError as error:
                    log.append(repr(error))
    return log


def _convert_3(way, thing, width):
    match way:
        case 0:
            return f"{thing}"
        case 1:
            return f"a{thing}b{suspend(1)}{thing}"
        case 2:
            return f"{thing!s}{thing!r}{thing!a}"
        case 3:
            return f"{thing!s:>{suspend(width)}}|{thing!r:9}|{thing!a:<9}"
        case 4:
            return f"{thing:x}{thing:{width}}"
        case 5:
            return f"{thing=}"


def make_f_strings():
    log = []
    for text in ("täxt", 5, None):
        for kind in (Text, Shown, Formatted):
            thing, width = kind(text), 7
            for way in range(6):
                try:
                    log.append(_convert_3(way, thing, width))
                except TypeError as error:
                    log.append(repr(error))
    return log


def _convert_4(way, exact):
    match way:
        case 0:
            return bytes(exact)
        case 1:
            return os.fspath(exact)


def make_bytes_and_paths():
    log = []
    for n in (b"bytes", "text", 5, None):
        exact = Exact(n)
        for way in range(2):
            try:
                log.append(_convert_4(way, exact))
            except TypeError as error:
                log.append(repr(error))
    return log


class Iterated:
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return suspend(self.items)

    def __reversed__(self):
        return suspend(self.items)

    def __aiter__(self):
        return suspend(self.items)

    def __dir__(self):
        return suspend(self.items)


class Steps:
    """An iterator of both kinds."""

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    async def __anext__(self):
        raise StopAsyncIteration

    def __repr__(self):
        return "steps"


def _convert_5(way, iterated):
    match way:
        case 0:
            return iter(iterated)
        case 1:
            return reversed(iterated)
        case 2:
            return aiter(iterated)
        case 3:
            return dir(iterated)


def make_iterators():
    log = []
    for items in (Steps(), ["b", "a"], 5, [1, "a"]):
        iterated = Iterated(items)
        for way in range(4):
            try:
                log.append(_convert_5(way, iterated))
            except TypeError as error:
                log.append(repr(error))
    return log


class Kind(type):
    def __instancecheck__(cls, instance):
        return suspend(instance)

    def __subclasscheck__(cls, subclass):
        return suspend(subclass) is int


class Kinder(metaclass=Kind):
    pass


def ask_for_classes():
    log = []
    for thing in (5, 0, "", [1]):
        log.append(isinstance(thing, Kinder))
        log.append(not isinstance(thing, Kinder))
        log.append(issubclass(type(thing), Kinder))
    return log


class Operand:
    def __init__(self, answer):
        self.answer = answer

    def __divmod__(self, other):
        return suspend(self.answer)

    def __rdivmod__(self, other):
        return suspend(("r", self.answer))

    __pow__, __rpow__ = __divmod__, __rdivmod__


class Special(Operand):
    def __rdivmod__(self, other):
        return suspend(NotImplemented)

    def __rpow__(self, other):
        return suspend("special")


def _convert_6(way, left, right):
    match way:
        case 0:
            return divmod(left, right)
        case 1:
            return pow(left, right)


def divide_and_raise():
    log, one, none = [], Operand(1), Operand(NotImplemented)
    for left, right in [
        (one, 2),
        (2, one),
        (none, one),
        (one, none),
        (none, 2),
        (one, Special(3)),
        (none, Special(3)),
        (2, none),
    ]:
        for way in range(2):
            try:
                log.append(_convert_6(way, left, right))
            except TypeError as error:
                log.append(repr(error))
    return log


class Failing:
    def __len__(self):
        suspend("len")
        raise ValueError("no length")

    def __str__(self):
        suspend("str")
        raise KeyError("no text")

    def __instancecheck__(self, instance):
        suspend("instance")
        raise OSError("no class")


def _convert_7(way, failing):
    match way:
        case 0:
            return len(failing)
        case 1:
            return str(failing)
        case 2:
            return f"{failing}"
        case 3:
            return isinstance(1, failing)
        case 4:
            return bool(failing)


def fail_to_convert():
    failing, log = Failing(), []
    for way in range(5):
        try:
            _convert_7(way, failing)
        except (ValueError, LookupError, OSError) as error:
            names, traceback = [], error.__traceback__
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            log.append((repr(error), names[1:], repr(error.__context__)))
    return log


def convert_below_converting():
    return str(Nested(Nested(Text("x")))), len(Length(len(Length(2))))


class Nested:
    def __init__(self, inner):
        self.inner = inner

    def __str__(self):
        return suspend(f"<{self.inner}>" + str(self.inner))

    __repr__ = __str__
