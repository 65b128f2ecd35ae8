"""What C functions still have to do when the Python function that they have called returns.

A task that waits below such a C function is saved with a frame of one of these in its place: the
call of ``_pending()`` stands for the call of the Python function. Each does what CPython's C code
does from there on, with the same results and errors; src/fiber/boundary.c says which C code, and
gives the parameters. The core takes their RESUME instructions away (src/fiber/bridge.c): frames
without one are invisible to tracebacks, debuggers and sys._getframe(), as C code is.

A restricted load (pickletask/allowing.py) takes such frames with whatever local variables they
have, and whatever may come back from inside of them. So what is looked up by a name from a variable
is checked (``getattr()``, ``_Functions``, ``_double()``), and used at once: the core lets frames
wait only where the result can't take its place (``bridge_may_wait()``).

Saved tasks refer to the code of these functions: changing it makes them unloadable.
"""

import _frozen_importlib as _bootstrap
import _imp
import builtins
import functools
import sys
import types

from pickletask._conversions import TABLE


def _pending():
    """Stands for what runs; is never called."""
    raise SystemError("a bridge was called, whose frames are only made")


def _checked(name, known):
    """Return a name that a saved task has brought; raises CorruptStateError for an unknown one."""
    if type(name) is not str or name not in known:
        # Not there yet when this module is imported.
        from pickletask._core import CorruptStateError

        raise CorruptStateError(
            f"can't go on: the task's state names {name!r:.100} as what C code would have called, "
            "which it never does"
        )
    return name


# Set by the core (src/fiber/awaitable.h, src/fiber/contexts.h).
_finish_step = None
_exit_context = None


# ---- calls of classes ----


def init(self):
    """A class called ``__init__`` of the object that it has made."""
    result = _pending()
    if result is not None:
        raise TypeError(f"__init__() should return None, not '{type(result).__name__}'")
    return self


def new(cls, args, kwargs):
    """A class called ``__new__``: ``__init__`` follows, if the result is an instance."""
    self = _pending()
    if cls in type(self).__mro__:
        result = type(self).__init__(self, *args, **kwargs)
        if result is not None:
            raise TypeError(f"__init__() should return None, not '{type(result).__name__}'")
    return self


def run_in_context(context):
    """``context.run()``, which has entered the context."""
    try:
        return _pending()
    finally:
        _exit_context(context)


# ---- calls of what resumes generators ----


def default(value):
    """``next(generator, value)``."""
    try:
        return _pending()
    except StopIteration:
        return value


def close(returns):
    """``generator.close()``, which returns what the generator returns since 3.13."""
    try:
        _pending()
    except StopIteration as stop:
        return stop.value if returns else None
    except GeneratorExit:
        return None
    raise RuntimeError("generator ignored GeneratorExit")


# ---- steps of asynchronous generators, and what is thrown through generators ----


def finish(awaitable):
    """A method of an awaitable that resumes a generator and makes something else of the result."""
    try:
        outcome = (_pending(),)
    except BaseException as error:
        outcome = (None, error)
    return _finish_step(awaitable, *outcome)


def close_step(awaitable):
    """``close()`` of such an awaitable."""
    try:
        outcome = (_pending(),)
    except BaseException as error:
        outcome = (None, error)
    try:
        _finish_step(awaitable, *outcome)
    except (StopIteration, StopAsyncIteration, GeneratorExit):
        return None
    raise RuntimeError("coroutine ignored GeneratorExit")


def closing(awaitable, error, message):
    """A generator that is closed has closed first what it delegates to; then it gets the error."""
    try:
        outcome = (_pending(),)
    except BaseException as failure:
        outcome = (None, failure)
    ends = (StopIteration, GeneratorExit)
    if awaitable is not None:
        ends += (StopAsyncIteration,)
    try:
        _finish_step(awaitable, *outcome)
    except ends:
        pass
    else:
        raise RuntimeError(message)
    raise error


# ---- attributes ----


def attribute(owner, name):
    """Reading an attribute of an object whose class has ``__getattr__`` as well."""
    try:
        return _pending()
    except AttributeError:
        pass
    return type(owner).__getattr__(owner, name)


def fetched(owner, name, falls_back, defaults):
    """``getattr()``; defaults are what else it was given. falls_back: ``__getattr__`` is next."""
    try:
        return _pending()
    except AttributeError:
        if not falls_back:
            if not defaults:
                raise
            return defaults[0]
    try:
        return type(owner).__getattr__(owner, name)
    except AttributeError:
        if not defaults:
            raise
        return defaults[0]


def found(owner, name, falls_back):
    """``hasattr()``."""
    try:
        _pending()
        return True
    except AttributeError:
        if not falls_back:
            return False
    try:
        type(owner).__getattr__(owner, name)
        return True
    except AttributeError:
        return False


def nothing():
    """``setattr()`` and ``delattr()``, which don't care for what comes back."""
    _pending()


# ---- functions that convert what a method returns ----


def conversion(function, name, arguments):
    """A function of the table, which called this method of one of its arguments."""
    result = _pending()
    call, place = _FUNCTIONS[function]
    double = _double(type(arguments[place]), name, result)
    return call(*arguments[:place], double, *arguments[place + 1 :])


def _double(kind, name, result):
    """An object whose method gives the result, of a type that looks like this one in errors."""
    answer = staticmethod(functools.partial(_give, result))
    name = _checked(name, _CONVERTING)
    names = {name: answer, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (), names)()


def _give(result, *arguments):
    return result


def _format_str(value, spec):
    return format(str(value), spec)


def _format_repr(value, spec):
    return format(repr(value), spec)


def _format_ascii(value, spec):
    return format(ascii(value), spec)


class _Functions(dict):
    """By name: the function, and the place of the argument."""

    def __missing__(self, name):
        _checked(name, self)


_FUNCTIONS = _Functions(
    {
        # Each of these is one instruction of Python 3.11 and 3.12.
        "!s": (_format_str, 0),
        "!r": (_format_repr, 0),
        "!a": (_format_ascii, 0),
    }
)
_CONVERTING = {"__format__", "__str__", "__repr__"}
for _function, _place, _name, *_ in TABLE:
    _FUNCTIONS[_function.__name__] = _function, _place
    _CONVERTING.add(_name)


# ---- operators ----

_OPERATORS = {"__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__"}
for _name in "add and floordiv lshift matmul mul mod or pow rshift sub truediv xor divmod".split():
    _OPERATORS |= {f"__{_name}__", f"__r{_name}__", f"__i{_name}__"}


def getattr(kind, name):
    """Return the method of an operator; saved tasks know this function by the builtin's name."""
    return builtins.getattr(kind, _checked(name, _OPERATORS))


def operation(left, right, symbol, attempts):
    """A binary operator; attempts are what follows NotImplemented: receiver, argument, method."""
    result = _pending()
    for receiver, argument, name in attempts:
        if result is not NotImplemented:
            break
        if _has(type(receiver), name):
            result = getattr(type(receiver), name)(receiver, argument)
    if result is not NotImplemented:
        return result
    raise TypeError(
        f"unsupported operand type(s) for {symbol}: '{type(left).__name__}' and "
        f"'{type(right).__name__}'"
    )


def _has(kind, name):
    for base in kind.__mro__:
        if name in base.__dict__:
            return True
    return False


def comparison(left, right, symbol, attempts):
    """A comparison; attempts as above."""
    result = _pending()
    return _compared(result, left, right, symbol, attempts)


def condition(left, right, symbol, attempts):
    """A comparison of which the interpreter wants a bool."""
    result = _pending()
    if _compared(result, left, right, symbol, attempts):
        return True
    return False


def _compared(result, left, right, symbol, attempts):
    for receiver, argument, name in attempts:
        if result is not NotImplemented:
            break
        result = getattr(type(receiver), name)(receiver, argument)
    if result is not NotImplemented:
        return result
    if symbol == "==":
        return left is right
    if symbol == "!=":
        return left is not right
    raise TypeError(
        f"'{symbol}' not supported between instances of '{type(left).__name__}' and "
        f"'{type(right).__name__}'"
    )


def membership(invert):
    """``in`` and ``not in``, which make a bool of what ``__contains__`` returns."""
    if _pending():
        return False if invert else True
    return True if invert else False


def truth(operand, invert):
    """``__bool__``, for a condition or ``not``."""
    result = _pending()
    if type(result) is not bool:
        raise TypeError(_not_a_bool(type(operand), type(result)))
    return result is not invert


def _not_a_bool(kind, wrong):
    if sys.version_info < (3, 15):
        return f"__bool__ should return bool, returned {wrong.__name__}"
    return (
        f"{kind.__module__}.{kind.__qualname__}.__bool__() must return a bool, not {wrong.__name__}"
    )


def iterator():
    """``__iter__`` in a for statement."""
    result = _pending()
    if _has(type(result), "__next__"):
        return result
    raise TypeError(f"iter() returned non-iterator of type '{type(result).__name__}'")


def steps(iterator):
    """``__next__`` in a for statement: a generator that takes the place of the iterator."""
    try:
        value = _pending()
        while True:
            yield value
            value = next(iterator)
    except StopIteration:
        pass
    except BaseException as error:
        # Frames of generators can't be hidden.
        error.__traceback__ = error.__traceback__.tb_next
        raise


# These generators take the place of what C code asks an iterator for. It isn't used any more.


def applied(function, sources):
    """``map()`` has called its function."""
    try:
        result = _pending()
    except StopIteration:
        return
    while True:
        yield result
        try:
            values = _taken(sources)
            result = function(*values)
        except StopIteration:
            return


def mapped(function, sources):
    """``map()`` has asked its first iterator."""
    try:
        value = _pending()
        while True:
            values = value, *_taken(sources[1:])
            yield function(*values)
            value = next(sources[0])
    except StopIteration:
        return


def _taken(sources):
    taken = []
    for source in sources:
        taken.append(next(source))
    return taken


def filtered(function, sources):
    """``filter()`` has asked its iterator."""
    try:
        value = _pending()
        while True:
            if value if function is None or function is bool else function(value):
                yield value
            value = next(sources[0])
    except StopIteration:
        return


def zipped(strict, sources):
    """``zip()`` has asked its first iterator."""
    try:
        value = _pending()
    except StopIteration:
        _check_ends(strict, sources)
        return
    while True:
        values, number = [value], 1
        for source in sources[1:]:
            try:
                values.append(next(source))
            except StopIteration:
                if strict:
                    raise ValueError(
                        f"zip() argument {number + 1} is shorter than {_arguments(number)}"
                    ) from None
                return
            number += 1
        yield tuple(values)
        try:
            value = next(sources[0])
        except StopIteration:
            _check_ends(strict, sources)
            return


def _check_ends(strict, sources):
    number = 1
    for source in sources[1:] if strict else ():
        try:
            next(source)
        except StopIteration:
            number += 1
        else:
            raise ValueError(f"zip() argument {number + 1} is longer than {_arguments(number)}")


def _arguments(number):
    return "argument 1" if number == 1 else f"arguments 1-{number}"


def counted(source, index):
    """``enumerate()`` has asked its iterator."""
    try:
        value = _pending()
    except StopIteration:
        return
    while True:
        yield index, value
        index += 1
        try:
            value = next(source)
        except StopIteration:
            return


# ---- classes ----


def build_class(name, bases, namespace, keywords):
    """The body of a class statement."""
    cell = _pending()
    keywords = dict(keywords)
    meta = keywords.pop("metaclass", type(bases[0]) if bases else type)
    if isinstance(meta, type):
        for base in bases:
            if issubclass(type(base), meta):
                meta = type(base)
    if sys.version_info < (3, 14):
        # What a metaclass gets can be saved if it is a variable.
        arguments = name, bases, namespace
        made = meta(*arguments, **keywords)
    else:
        # It needs none; a namespace that a class was made of may hold what can't be saved.
        spaces = [namespace]
        del namespace
        made = meta(name, bases, spaces.pop(), **keywords)
    _check_class(made, name, cell)
    return made


def build_derived_class(name, originals, namespace, keywords):
    """The body of a class statement whose bases tell what to derive from: ``Generic[T]``."""
    cell = _pending()
    bases = types.resolve_bases(originals)
    if bases is not originals:
        namespace["__orig_bases__"] = originals
    # The rest is that of build_class(), which no longer can be changed.
    keywords = dict(keywords)
    meta = keywords.pop("metaclass", type(bases[0]) if bases else type)
    if isinstance(meta, type):
        for base in bases:
            if issubclass(type(base), meta):
                meta = type(base)
    if sys.version_info < (3, 14):
        arguments = name, bases, namespace
        made = meta(*arguments, **keywords)
    else:
        spaces = [namespace]
        del namespace
        made = meta(name, bases, spaces.pop(), **keywords)
    _check_class(made, name, cell)
    return made


def metaclass(name, cell):
    """A class statement called ``__new__`` of its metaclass."""
    made = _pending()
    _check_class(made, name, cell)
    return made


def _check_class(made, name, cell):
    if isinstance(made, type) and type(cell) is types.CellType:
        try:
            found = cell.cell_contents
        except ValueError:
            raise RuntimeError(
                f"__class__ not set defining {name!r} as {made!r}. Was __classcell__ propagated "
                "to type.__new__?"
            ) from None
        if found is not made:
            raise TypeError(f"__class__ set to {found!r} defining {name!r} as {made!r}")


def instead(made):
    """``type.__new__()`` called ``__init_subclass__`` of the class that it has made."""
    _pending()
    return made


# ---- imports ----

_import = builtins.__import__


class TakenImport:
    """A module that is being imported: ``name``, ``module`` and ``spec`` of importlib.

    Where it has been loaded it has no lock yet, and isn't in sys.modules.
    """

    lock = None
    siblings = None
    loaded = False

    def __reduce__(self):
        from pickletask import _core

        name, module = self.name, self.module
        if (
            module.__name__ != name
            or not _core._is_being_imported(module)
            or not (self.loaded or sys.modules.get(name) is module)
        ):
            raise _core.NotPicklableError(
                f"cannot pickle this task: it imports module {name!r}, whose code has changed its "
                "__name__, its __spec__, or what is in sys.modules in its place"
            )
        state = {"module": _core._substitute_for(module), "spec": self.spec, "loaded": True}
        return TakenImport, (), {"name": name, **state}

    def __deepcopy__(self, memo):
        raise TypeError(
            "can't copy this task: it is in the middle of an import, and two tasks can't go on "
            "with the same one"
        )


def importing(taken):
    """importlib runs the code of a module."""
    try:
        _pending()
    except BaseException:
        _give_up(taken)
        raise
    return _finish_import(taken)


def _finish_import(taken):
    if taken.lock is None:
        raise _not_arrived(taken)
    name = taken.spec.name
    try:
        try:
            module = sys.modules.pop(name)
            sys.modules[name] = module
        finally:
            _end_initializing(taken)
        _bind(taken.name, module)
    finally:
        _release(taken)
    return module


def _end_initializing(taken):
    taken.spec._initializing = False
    if taken.siblings is not None:
        taken.siblings.pop()


def _bind(name, module):
    parent, _, child = name.rpartition(".")
    if parent:
        try:
            builtins.setattr(sys.modules[parent], child, module)
        except AttributeError:
            _warn(f"Cannot set an attribute on {parent!r} for child module {child!r}")
    if sys.version_info >= (3, 15):
        try:
            _imp._set_lazy_attributes(module, name)
        except Exception as error:
            _warn(f"Cannot set lazy attributes on {name!r}: {error!r}")


def _warn(message):
    import warnings

    warnings.warn(message, ImportWarning, stacklevel=1)


def _give_up(taken):
    if taken.lock is None:
        return
    try:
        if taken.spec.name in sys.modules:
            del sys.modules[taken.spec.name]
        _end_initializing(taken)
    finally:
        _release(taken)


def _release(taken):
    lock = taken.lock
    taken.lock = None
    lock.release()


def imported(name, names, level, absolute):
    """``import name``, or ``from name import names``: importlib has found and run the module."""
    module = _pending()
    if names:
        return _with_submodules(module, names) if hasattr(module, "__path__") else module
    front, dot, rest = name.partition(".")
    if not dot:
        return module
    if level == 0:
        return _import(front)
    front = absolute[: -len(rest) - 1]
    if front not in sys.modules:
        raise KeyError(f"{front!r} not in sys.modules as expected")
    return sys.modules[front]


def inside(name):
    """importlib imports the package of a module first."""
    _pending()
    _import(name)
    return sys.modules[name]


def submodules(module, names, name):
    """``from module import names``: one of these is a module, with this full name."""
    try:
        _pending()
    except ModuleNotFoundError as error:
        if error.name != name or sys.modules.get(name, module) is None:
            raise
        names = _without(module, names, name)
    return _with_submodules(module, names)


def _without(module, names, name):
    kept = []
    for each in names:
        for found in module.__all__ if each == "*" and hasattr(module, "__all__") else (each,):
            if found != "*" and f"{module.__name__}.{found}" != name:
                kept.append(found)
    return kept


def _with_submodules(module, names):
    if sys.modules.get(module.__name__) is module:
        # It leaves importlib's own frames out of tracebacks.
        _import(module.__name__, None, None, names, 0)
    else:
        _bootstrap._handle_fromlist(module, names, _import)
    return module


def entering(modules):
    """What suspended inside of modules that were being imported, outermost first."""
    try:
        value = _pending()
    except BaseException:
        try:
            _enter_all(modules)
        except Exception:
            pass
        raise
    _enter_all(modules)
    return value


def _enter_all(modules):
    entered = []
    try:
        # A package comes before its modules.
        for taken in sorted(modules, key=_name_of):
            if taken.lock is None:
                _enter(taken)
                entered.append(taken)
    except BaseException:
        while entered:
            _give_up(entered.pop())
        raise


def _name_of(taken):
    return taken.name


def _enter(taken):
    spec = taken.spec
    parent, _, child = taken.name.rpartition(".")
    if parent and parent not in sys.modules:
        _import(parent)
    if sys.modules.get(taken.name) is taken.module:
        # The unpickler that brought it is still alive.
        from pickletask.imports import close

        close(taken.module)
    lock = _bootstrap._get_module_lock(taken.name)
    lock.acquire()
    if taken.name in sys.modules or spec.name in sys.modules:
        lock.release()
        raise _not_arrived(taken)
    taken.lock = lock
    taken.loaded = False
    try:
        siblings = None
        if parent:
            siblings = builtins.getattr(
                sys.modules[parent].__spec__, "_uninitialized_submodules", None
            )
        # Those that it imports follow.
        if builtins.getattr(spec, "_uninitialized_submodules", None):
            spec._uninitialized_submodules.clear()
        spec._initializing = True
        sys.modules[spec.name] = taken.module
        if siblings is not None:
            siblings.append(child)
            taken.siblings = siblings
    except BaseException:
        _give_up(taken)
        raise


def _not_arrived(taken):
    # Not there yet when this module is imported.
    from pickletask._core import RestoreError

    return RestoreError(
        f"this task was saved while it imported module {taken.name!r}, and can't go on with that "
        "here: the module is in sys.modules already; let the task go on where it isn't imported yet"
    )
