"""Suspended while exceptions are handled, raised and passed on."""

import sys
import traceback

from pickletask import schedule_remove as suspend


class Custom(Exception):
    """An exception with attributes of its own."""

    def __init__(self, message, code):
        super().__init__(message, code)
        self.code = code
        self.extra = None


def _fail(kind, *args):
    suspend("about to fail")
    raise kind(*args)


def suspend_in_an_except_block():
    try:
        raise ValueError(1)
    except ValueError as error:
        suspend("handling")
        return repr(error), repr(sys.exc_info()[1]), error is sys.exc_info()[1]


def forget_the_exception_after_its_block():
    log = []
    try:
        raise ValueError(1)
    except ValueError:
        suspend("handling")
    log.append(sys.exc_info())
    suspend("after")
    log.append(sys.exc_info())
    return log


def bind_and_unbind_the_name_of_an_exception():
    try:
        _fail(KeyError, "k")
    except KeyError as error:
        seen = suspend(error.args)
    try:
        error  # noqa: B018, F821
    except UnboundLocalError:
        return seen


def raise_again_what_is_handled():
    log = []
    try:
        try:
            raise Custom("message", 7)
        except Custom as error:
            error.extra = suspend("extra")
            raise
    except Custom as error:
        log.append((error.args, error.code, error.extra))
        suspend("outer")
    return log


def raise_again_in_a_callee_of_the_handler():
    def again():
        suspend("callee")
        raise  # noqa: PLE0704

    try:
        try:
            raise KeyError("k")
        except KeyError:
            again()
    except KeyError as error:
        return repr(error)


def see_the_context_of_a_new_exception():
    try:
        try:
            raise ValueError("first")
        except ValueError:
            suspend("handling")
            raise KeyError("second")  # noqa: B904
    except KeyError as error:
        return repr(error), repr(error.__context__), error.__cause__


def raise_in_a_callee_of_the_handler():
    try:
        try:
            raise ValueError("first")
        except ValueError:
            _fail(KeyError, "second")
    except KeyError as error:
        suspend("outer")
        return repr(error)


def raise_from_a_cause():
    try:
        try:
            raise ValueError("first")
        except ValueError as error:
            raise KeyError("second") from suspend(error)
    except KeyError as error:
        return repr(error), repr(error.__cause__), error.__suppress_context__


def keep_cause_and_context_of_what_is_handled():
    try:
        try:
            try:
                raise ValueError("context")
            except ValueError:
                raise KeyError("cause")  # noqa: B904
        except KeyError as error:
            raise TypeError("handled") from error
    except TypeError as error:
        suspend("handling")
        cause = error.__cause__
        return repr(cause), repr(cause and cause.__context__), error.__suppress_context__


def keep_the_traceback_of_what_is_handled():
    try:
        _fail(ValueError, 1)
    except ValueError as error:
        suspend("handling")
        names, tb = [], error.__traceback__
        while tb is not None:
            names.append((tb.tb_frame.f_code.co_name, tb.tb_lineno))
            tb = tb.tb_next
        return names


def show_where_what_is_handled_came_from():
    def inner(number):
        text = "of inner"
        suspend(text)
        return 1 / number

    try:
        try:
            inner(0)
        except ZeroDivisionError as error:
            error.add_note(suspend("a note"))
            raise KeyError("second") from error
    except KeyError as error:
        suspend("handling")
        return "".join(traceback.format_exception(error))


def show_where_the_exceptions_of_a_group_came_from():
    errors = []
    for number in range(2):
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError as error:
            errors.append(error)
            error.number = number
    try:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", errors), KeyError("k")])
    except* ZeroDivisionError as group:
        suspend("handling")
        text = "".join(traceback.format_exception(group))
    except* KeyError:
        suspend("the rest")
    return text


def keep_what_is_handled_one_with_its_traceback():
    try:
        _fail(ValueError, 1)
    except ValueError as error:
        kept = [error]
        tb = error.__traceback__
        suspend("handling")
        return kept[0] is error, tb is error.__traceback__, tb.tb_frame.f_lineno > 0


def suppress_the_context_of_a_new_exception():
    try:
        try:
            raise ValueError("first")
        except ValueError:
            raise KeyError("second") from None
    except KeyError as error:
        suspend("handling")
        return error.__suppress_context__, repr(error.__context__), error.__cause__


def be_the_cause_of_itself():
    try:
        error = KeyError("k")
        raise error from error
    except KeyError as error:
        suspend("handling")
        return error.__cause__ is error, error.__context__


def go_round_in_a_circle_of_causes():
    first, second = KeyError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    suspend("unraised")
    return first.__cause__ is second, second.__cause__ is first


def let_an_exception_that_was_kept_out_again():
    try:
        _fail(ValueError, 1)
    except ValueError as error:
        kept = error
    suspend("kept")
    try:
        raise kept
    except ValueError as error:
        suspend("again")
        return [entry.name for entry in traceback.extract_tb(error.__traceback__)]


def nest_handlers():
    log = []
    try:
        raise ValueError(1)
    except ValueError:
        log.append(suspend(repr(sys.exc_info()[1])))
        try:
            raise KeyError(2)
        except KeyError:
            log.append(suspend(repr(sys.exc_info()[1])))
            try:
                _fail(TypeError, 3)
            except TypeError:
                log.append(suspend(repr(sys.exc_info()[1])))
            log.append(suspend(repr(sys.exc_info()[1])))
        log.append(suspend(repr(sys.exc_info()[1])))
    log.append(suspend(repr(sys.exc_info()[1])))
    return log


def handle_in_each_of_nested_calls():
    log = []

    def inner(depth):
        try:
            raise ValueError(depth)
        except ValueError:
            log.append(suspend(repr(sys.exc_info()[1])))
            if depth:
                inner(depth - 1)
            log.append(suspend(repr(sys.exc_info()[1])))

    inner(3)
    log.append(repr(sys.exc_info()[1]))
    return log


def choose_among_handlers():
    log = []
    for kind in (ValueError, KeyError, LookupError, ZeroDivisionError):
        try:
            _fail(kind, 1)
        except ValueError:
            log.append(suspend("value"))
        except (KeyError, IndexError) as error:
            log.append(suspend(error.args))
        except LookupError:
            log.append(suspend("lookup"))
        except Exception as error:
            log.append(suspend(type(error).__name__))
        else:
            log.append("never")
        finally:
            log.append(suspend("finally"))
    return log


def pass_an_else_block():
    try:
        suspend("try")
    except ValueError:
        return "never"
    else:
        result = suspend("else")
    finally:
        suspend("finally")
    return result


def evaluate_the_type_of_a_handler():
    try:
        _fail(KeyError, 1)
    except suspend(ValueError):
        return "never"
    except suspend(KeyError):
        return suspend("found")


def let_an_exception_out():
    suspend(1)
    raise Custom("out", suspend(2))


def let_an_exception_out_of_nested_calls():
    def middle():
        try:
            return _fail(ZeroDivisionError, "deep")
        finally:
            suspend("cleaning up")

    return middle() + 1


def let_an_exception_of_the_interpreter_out():
    items = [1]
    return items[suspend(5)]


def handle_groups():
    log = []
    try:
        raise ExceptionGroup("group", [ValueError(1), KeyError(2), TypeError(3), ValueError(4)])
    except* ValueError as group:
        log.append(suspend([repr(e) for e in group.exceptions]))
    except* KeyError as group:
        log.append(suspend([repr(e) for e in group.exceptions]))
    except* TypeError:
        log.append(suspend("type"))
    log.append(suspend("after"))
    return log


def raise_again_from_groups():
    log = []
    try:
        try:
            raise ExceptionGroup("group", [ValueError(1), KeyError(2), OSError(3)])
        except* ValueError:
            log.append(suspend("value"))
            raise
        except* KeyError:
            log.append(suspend("key"))
            raise TypeError(4) from None
    except ExceptionGroup as group:
        flat, rest = [], [group]
        while rest:
            e = rest.pop()
            rest += e.exceptions if isinstance(e, ExceptionGroup) else []
            flat += [] if isinstance(e, ExceptionGroup) else [repr(e)]
        log.append(suspend(sorted(flat)))
    return log


def raise_in_one_of_the_blocks_for_a_group():
    log = []
    try:
        try:
            raise ExceptionGroup("group", [ValueError(1), KeyError(2)])
        except* ValueError:
            raise OSError(3)  # noqa: B904
        except* KeyError:
            log.append(suspend("key"))
    except (OSError, ExceptionGroup) as error:
        log.append(suspend(type(error).__name__))
    return log


def handle_a_naked_exception_as_a_group():
    log = []
    try:
        raise ValueError(1)
    except* ValueError as group:
        log.append(suspend([repr(e) for e in group.exceptions]))
    return log


def retry_until_it_works():
    tries = 0
    while True:
        tries += 1
        try:
            if tries < 3:
                _fail(OSError, tries)
            return suspend(tries)
        except OSError as error:
            suspend(error.args)
            continue


def break_out_of_a_handler():
    log = []
    for i in range(3):
        try:
            raise ValueError(i)
        except ValueError:
            if suspend(i) == 1:
                break
        finally:
            log.append(suspend("finally"))
    log.append(sys.exc_info()[1])
    return log


def hold_an_exception_in_a_local():
    try:
        raise Custom("kept", 1)
    except Custom as error:
        kept = error
    suspend("kept")
    try:
        raise kept
    except Custom as error:
        return error is kept, error.args


def stop_iteration_in_a_generator():
    def generator():
        yield suspend(1)
        raise StopIteration("inside")

    log = []
    try:
        for x in generator():
            log.append(suspend(x))
    except RuntimeError as error:
        log.append((repr(error), repr(error.__cause__)))
    return log
