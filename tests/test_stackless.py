"""pickletask.stackless is pickletask under the names of Stackless Python."""

import inspect

import pytest

import pickletask
import pickletask.stackless as stackless


def test_names_are_those_of_pickletask():
    for name in stackless.__all__:
        assert getattr(stackless, name) is getattr(pickletask, name)


def test_names_are_complete():
    pickling = {"Pickler", "Unpickler", "dump", "dumps", "load", "loads", "register", "unregister"}
    pickling |= {"CodeChange", "on_code_changed", "register_resource", "inspect", "Inspection"}
    pickling |= {"SavedFrame", "SavedGenerator", "SavedTask", "SavedValue"}
    errors = {name for name in pickletask.__all__ if name.endswith("Error")}
    own = {"set_parked_limit"}
    assert set(stackless.__all__) == set(pickletask.__all__) - pickling - errors - own


@pytest.mark.parametrize("holder", [pickletask, pickletask.tasklet, pickletask.channel])
def test_functions_have_signatures(holder):
    functions = {
        name: value
        for name, value in vars(holder).items()
        if not name.startswith("_") and inspect.isroutine(value)
    }
    assert len(functions) > 5
    for name, function in functions.items():
        assert inspect.signature(function), name
