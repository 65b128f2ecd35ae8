"""Operators whose methods suspend, with what follows when a method returns NotImplemented."""

from pickletask import schedule_remove as suspend


class Value:
    """Every method suspends; those of operators answer for numbers and for their own class."""

    def __init__(self, n):
        self.n = n

    def __repr__(self):
        return f"{type(self).__name__}({self.n})"

    def calculate(self, symbol, other):
        suspend((symbol, self.n))
        if not isinstance(other, (int, Value)):
            return NotImplemented
        return f"{self.n}{symbol}{other}"

    def update(self, symbol, other):
        if suspend((symbol, other)) and other == "never":
            return NotImplemented
        self.n = f"{self.n}{symbol}{other}"
        return self


NAMES = "add sub mul truediv floordiv mod matmul and or xor lshift rshift pow".split()


def _method(symbol):
    def method(self, other):
        return self.calculate(symbol, other)

    return method


for _name in NAMES:
    setattr(Value, f"__{_name}__", _method(_name))
    setattr(Value, f"__r{_name}__", _method("r" + _name))


class Special(Value):
    """Its reflected methods come first."""


for _name in NAMES:
    setattr(Special, f"__r{_name}__", _method("special " + _name))


class Updated(Value):
    def __iadd__(self, other):
        return self.update("+=", other)

    def __isub__(self, other):
        return self.update("-=", other)

    def __ipow__(self, other):
        return self.update("**=", other)


def calculate():
    a, b = Value(1), Value(2)
    return [
        a + b, a - b, a * b, a / b, a // b, a % b, a @ b, a & b, a | b, a ^ b, a << b, a >> b,
        a**b, a + 1, a - 1, a**2, a + a, suspend(1) + a, (a + b) + 3,
    ]  # fmt: skip


def calculate_reflected():
    a = Value(1)
    return [
        1 + a, 1 - a, 1 * a, 1 / a, 1 // a, 1 % a, 1 @ a, 1 & a, 1 | a, 1 ^ a, 1 << a, 1 >> a,
        1**a,
    ]  # fmt: skip


def calculate_with_a_derived_class():
    a, b = Value(1), Special(2)
    return a + b, b + a, b + b, a**b, a - b


class Stubborn:
    """Leaves it to the other operand."""

    def __add__(self, other):
        return suspend(NotImplemented)

    __sub__ = __pow__ = __add__


class Foreign:
    def __radd__(self, other):
        return "foreign", suspend(type(other).__name__)

    def __rsub__(self, other):
        suspend("rsub")
        return NotImplemented


class Outsider:
    def __radd__(self, other):
        return suspend(NotImplemented)


class Heir(Stubborn):
    """Is asked first, but leaves it to the other."""

    def __radd__(self, other):
        suspend("heir")
        return NotImplemented


def leave_it_to_the_other_operand():
    log = [Stubborn() + Foreign()]
    for operation in (
        lambda: Stubborn() + 1,
        lambda: Stubborn() - Foreign(),
        lambda: Stubborn() + Stubborn(),
        lambda: Stubborn() + Heir(),
        lambda: 1 - Foreign(),
        lambda: Stubborn() ** 2,
        lambda: Value(1) + "text",
        lambda: Value(1) ** "text",
        lambda: [1] + Foreign(),
        lambda: (1,) + Outsider(),
    ):
        try:
            log.append(operation())
        except TypeError as error:
            log.append(str(error))
    return log


leave_it_to_the_other_operand.own_pickler = True


def calculate_in_place():
    a, b, c = Updated(1), Updated(2), Value(3)
    a += 1
    a -= suspend(2)
    b **= 3
    c += 4
    d = 5
    d += Value(6)
    return a, b, c, d


def calculate_in_place_as_a_last_resort():
    a = Updated(1)
    log = []
    try:
        a += "never"
    except TypeError as error:
        log.append(str(error))
    try:
        a -= "never"
    except TypeError as error:
        log.append(str(error))
    try:
        a **= "never"
    except TypeError as error:
        log.append(str(error))
    return log, a


class Bad:
    def __add__(self, other):
        raise ValueError(suspend("add"))

    def __neg__(self):
        return self + 1

    def __bool__(self):
        return suspend(2)


def raise_in_operators():
    log = []
    for operation in (lambda x: x + 1, lambda x: -x, lambda x: not x):
        try:
            operation(Bad())
        except (ValueError, TypeError) as error:
            log.append(repr(error))
    return log


raise_in_operators.own_pickler = True


class Signed:
    def __neg__(self):
        return suspend("neg")

    def __pos__(self):
        return suspend("pos")

    def __invert__(self):
        return suspend("invert")


def use_unary_operators():
    s = Signed()
    return -s, +s, ~s, [-s, (+s, ~s)]


class Ordered:
    __hash__ = None

    def __init__(self, n):
        self.n = n

    def compare(self, symbol, other):
        suspend((symbol, self.n))
        if not isinstance(other, Ordered):
            return NotImplemented
        return self.n if self.n < other.n else ""

    def __lt__(self, other):
        return self.compare("<", other)

    def __le__(self, other):
        return self.compare("<=", other)

    def __eq__(self, other):
        return self.compare("==", other)

    def __ne__(self, other):
        return self.compare("!=", other)

    def __gt__(self, other):
        return self.compare(">", other)

    def __ge__(self, other):
        return self.compare(">=", other)


class Derived(Ordered):
    def __gt__(self, other):
        suspend("derived")
        return NotImplemented


def compare():
    a, b = Ordered(1), Ordered(2)
    log = [a < b, b < a, a <= b, a == b, a != b, a > b, a >= b, a < a, a == a]
    log += [a < Derived(3), a > Derived(3), Derived(4) > a, Derived(5) < Derived(6)]
    log += [a == 1, 1 == a, a != 1, 1 != a]
    for operation in (lambda: a < 1, lambda: 1 < a, lambda: a >= "x", lambda: Derived(1) > 2):
        try:
            log.append(operation())
        except TypeError as error:
            log.append(str(error))
    return log


compare.own_pickler = True


def compare_in_conditions():
    a, b = Ordered(1), Ordered(2)
    log = []
    if a < b:
        log.append("a < b")
    if b < a:
        log.append("b < a")
    if a == 1:
        log.append("a == 1")
    while not a >= b:
        log.append("not a >= b")
        break
    log.append([x.n for x in (a, b) if x != a])
    log.append("yes" if suspend(1) and a < b else "no")
    log.append(a < b < Ordered(3))
    return log


class Container:
    def __init__(self, *items):
        self.items = items

    def __contains__(self, item):
        return suspend(self.items.count(item))

    def __iter__(self):
        suspend("iter")
        return iter(self.items)

    def __getitem__(self, key):
        return suspend(self.items[key])


def ask_for_members():
    c = Container(1, 1, 2)
    log = [1 in c, 3 in c, 1 not in c, 3 not in c]
    if 2 in c:
        log.append("2")
    if 2 not in c:
        log.append("not 2")
    return log + [c[0], c[1:], c[suspend(2)]]


class Stepper:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        self.n -= 1
        if suspend(self.n) < 0:
            raise StopIteration("end")
        if self.n == 7:
            raise LookupError(7)
        return self.n


def _twice(x, y=0):
    return 2 * suspend(x) + y


def loop_over_iterators():
    log = []
    for x in Stepper(3):
        log.append(suspend(x))
    for x in Stepper(3):
        if x == 1:
            break
    else:
        log.append("no else")
    for x in Stepper(0):
        log.append(x)
    else:
        log.append("else")
    for x in Stepper(2):
        for y in Stepper(x + 1):
            log.append((x, y))
    try:
        for x in Stepper(9):
            log.append(x)
    except LookupError as error:
        log.append(repr(error))
    return log + [x for x in Stepper(2)]  # noqa: C416


def loop_over_maps():
    log = []
    for x in map(_twice, [1, 2]):
        log.append(suspend(x))
    for x in map(_twice, [1, 2], range(3)):
        log.append(x)
    return log


def step_iterators():
    s = Stepper(2)
    m = map(_twice, [5])
    log = [next(s), next(s, "default"), next(s, "default"), next(m), next(m, "end")]
    try:
        next(s)
    except StopIteration as stop:
        log.append(stop.args)
    return log


def _delegate(n):
    for x in Stepper(n):  # noqa: UP028
        yield x


def loop_over_iterators_in_generators():
    log = []
    for x in _delegate(2):
        log.append(suspend(x))
    g = _delegate(2)
    return log, next(g), next(g, None), next(g, None), next(g, None)
