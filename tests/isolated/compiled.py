"""Saves each case in a loop that CPython has compiled to machine code, wherever it suspends.

The copies have to do what the case does in any task. Arguments are the cases to check; none means
all.
"""

import opcode
import pickle
import sys
import types

import programs

import pickletask

# A few more than it takes until a loop is compiled.
ROUNDS = 4300
SUSPENSIONS = 12  # more take too long
# They change what their copies, which all go on from somewhere else, have in common.
SHARING = {
    "attributes:use_attributes_of_classes",
    "calls:replace_a_builtin_by_a_global",
    "calls:unbind_a_global",
    "classes:call_singletons",
}

ENTER = opcode._specialized_opmap.get("ENTER_EXECUTOR", opcode.opmap.get("ENTER_EXECUTOR"))


def repeat(function, rounds, outcome):
    for _ in range(rounds):
        end = None
        try:
            end = function()
        except Exception as error:
            end = error
    outcome.append(programs.raised(end) if isinstance(end, Exception) else ("returned", repr(end)))


def is_compiled(code):
    return ENTER in code._co_code_adaptive[::2]


def rest(task, outcome):
    """The trace of a task from here to its end."""
    trace = []
    while programs.step(task, outcome, trace):
        pass
    return trace[:-1] + outcome


def check(case):
    """Whether the case was compiled, or None if it isn't suited."""
    function = programs.find(case)
    expected = programs.run_to_the_end(function)
    suspensions = len(expected) - 1
    if not 0 < suspensions <= SUSPENSIONS or programs.run_to_the_end(function) != expected:
        return None
    # No other case has compiled it yet.
    loop = types.FunctionType(repeat.__code__.replace(), globals())
    outcome = []
    task = pickletask.tasklet(loop)(function, ROUNDS, outcome)
    task.remove()
    for _ in range(suspensions * (ROUNDS - 1)):
        task.run()
    compiled = is_compiled(loop.__code__)
    own = hasattr(function, "own_pickler")
    pickles = []
    for _ in range(suspensions):
        task.run()
        pickles.append((pickletask.dumps if own else pickle.dumps)((task, outcome)))
    assert rest(task, outcome)[-1:] == expected[-1:]
    for number, data in enumerate(pickles, 1):
        assert rest(*pickle.loads(data)) == expected[number:]
    return compiled


def main(cases):
    assert sys._jit.is_enabled()
    sys.unraisablehook = lambda unraisable: None
    failed, found = [], []
    for case in cases or sorted(set(programs.cases()) - SHARING):
        print(case, file=sys.stderr, flush=True)
        try:
            compiled = check(case)
        except Exception as error:
            failed.append(f"{case}: {type(error).__name__} {error}")
        else:
            found += [] if compiled is None else [compiled]
    assert not failed, f"{len(failed)} failed\n" + "\n".join(failed)
    print("checked", len(found), "compiled", sum(found))


main(sys.argv[1:])
