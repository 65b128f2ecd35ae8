"""Context variables by name, and contexts by value.

A context holds what a whole program has put into its variables: it is saved on request only, by
``contexts="value"`` of pickletask's own picklers.
"""

import contextvars
import sys
import types

from pickletask import _core

__all__ = [
    "copy_context",
    "decimal_variable",
    "new_context",
    "reduce_context",
    "reduce_variable",
    "refuse_context",
    "set_context",
]


def reduce_variable(variable):
    """Reduce a context variable: to the name under which a module has it."""
    name = _find(variable)
    if name is None and "_decimal" in sys.modules and variable is decimal_variable():
        return decimal_variable, ()
    if name is None:
        raise _core.NotPicklableError(
            f"cannot pickle context variable {variable.name!r}: no module has it as a global "
            "variable, or in a class, so that it could not be found again"
        )
    return name


def _find(variable):
    """The qualified name of a variable in some module, its own name first; or None."""
    spaces = [vars(m) for m in list(sys.modules.values()) if isinstance(m, types.ModuleType)]
    for space in spaces:
        if space.get(variable.name) is variable:
            return variable.name
    for space in spaces:
        for name, value in list(space.items()):
            if value is variable:
                return name
            if isinstance(value, type):
                for inner, attribute in list(vars(value).items()):
                    if attribute is variable and value.__qualname__ == name:
                        return f"{name}.{inner}"
    return None


def decimal_variable():
    """The variable of the context of arithmetic, which the module decimal keeps to itself."""
    import decimal

    context = contextvars.Context()
    context.run(decimal.getcontext)
    return next(iter(context))


def refuse_context(context):
    """Refuse a context, where it was not asked for."""
    raise _core.NotPicklableError(
        "cannot pickle a context of contextvars: it is saved by pickletask.dumps(..., "
        'contexts="value") only, with the values of all of its variables'
    )


def reduce_context(context):
    """Reduce a context, with all of its variables."""
    return new_context, (), dict(context.items()), None, None, set_context


def new_context():
    """Make an empty context."""
    return contextvars.Context()


def set_context(context, items):
    """Give an empty context its variables; a task that was loaded may have entered it."""
    if type(context) is not contextvars.Context or len(context) > 0 or type(items) is not dict:
        raise TypeError("only an empty context gets variables, from a dict")
    filled = contextvars.Context()
    for variable, value in items.items():
        if type(variable) is not contextvars.ContextVar:
            raise TypeError("a context has values of context variables only")
        filled.run(variable.set, value)
    _core._fill_context(context, filled)


def copy_context(context, memo):
    """Copy a context as contextvars does: the copy has the same values."""
    copy = memo[id(context)] = context.copy()
    return copy
