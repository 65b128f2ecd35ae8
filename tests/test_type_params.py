"""Type parameters and type aliases: by name, by value, of classes, copied, damaged.

What tasks keep of them is tested with the cases of cases/syntax_312.py and cases/syntax_313.py.
"""

import copy
import pickle
import sys

import pytest

import pickletask
from pickletask import CorruptStateError, _core, type_params

if sys.version_info < (3, 12):
    pytest.skip("before there were type parameters", allow_module_level=True)

import typing

SOURCE = """
type Known[T] = list[T]

def local(Bound):
    def first[T: Bound, U: (Bound, None), *Ts, **P](x: T) -> U:
        return x

    type Alias[T: Bound] = dict[T, Bound]
    return first, Alias

def classes():
    class Base[T]:
        def take[U: T](self, u: U) -> T:
            return u

    class Derived[T: Base](Base[T]):
        pass

    return Base, Derived

def evaluated():
    asked = []
    type Alias = asked.append(1)
    return asked, Alias
"""
exec(SOURCE)

picklers = pytest.mark.parametrize(
    "dumps",
    [
        pickle.dumps,
        pickle._dumps,
        pickletask.dumps,
        lambda obj: pickletask.dumps(obj, code="reference"),
    ],
    ids=["C", "Python", "pickletask", "reference"],
)

FIELDS = "__name__ __module__ __bound__ __constraints__ __covariant__ __infer_variance__".split()


def told(param):
    """What one can see of a type parameter."""
    return repr(param), [getattr(param, field, None) for field in FIELDS]


def made_by_constructors():
    T = typing.TypeVar("T", bound=int, covariant=True)
    T.mark = "set by hand"
    return [T, typing.TypeVar("U", int, str), typing.ParamSpec("P"), typing.TypeVarTuple("Ts")]


@picklers
def test_those_that_a_name_finds_go_by_name(dumps):
    for obj in (Known, typing.AnyStr):  # noqa: F821
        assert pickle.loads(dumps(obj)) is obj
        assert b"pickletask" not in dumps(obj)


def test_parameters_go_by_value_and_stay_shared():
    first, _ = local(int)  # noqa: F821
    for dumps in (pickletask.dumps, lambda obj: pickletask.dumps(obj, code="reference")):
        loaded, params = pickletask.loads(dumps((first, first.__type_params__)))
        assert loaded.__type_params__ is params or loaded.__type_params__ == params
        assert loaded.__annotations__ == {"x": params[0], "return": params[1]}
        assert list(map(told, params)) == list(map(told, first.__type_params__))
        assert not set(params) & set(first.__type_params__)


def test_restricted_loads_take_them():
    params = [local(int)[0].__type_params__[0], *made_by_constructors()]  # noqa: F821
    data = pickletask.dumps(params, code="reference")
    # The bound of a ParamSpec is type(None) up to 3.13.
    loaded = pickletask.loads(data, allow=[f"{__name__}.local", "builtins.type"])
    assert list(map(told, loaded)) == list(map(told, params))
    assert not set(loaded) & set(params)


@picklers
def test_what_constructors_make_keeps_all_attributes(dumps):
    params = made_by_constructors()
    for _ in range(2):
        loaded = pickle.loads(dumps(params))
        assert list(map(told, loaded)) == list(map(told, params))
        assert loaded[0].mark == "set by hand"
        params = loaded


@picklers
def test_values_are_computed_when_somebody_asks_and_once(dumps):
    asked, alias = pickle.loads(dumps(evaluated()))  # noqa: F821
    assert asked == []
    assert alias.__value__ is None and asked == [1]
    asked, alias = pickle.loads(dumps((asked, alias)))
    assert alias.__value__ is None and asked == [1]


DEFAULTS = """
def with_defaults():
    def first[T: object = Later, *Ts = *tuple[int, str], **P = [int]](x: T) -> T:
        return x

    def set_later(value):
        nonlocal Later
        Later = value

    Later = None
    return first, set_later
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before there were defaults")
def test_defaults_are_computed_when_somebody_asks():
    names = {"__name__": __name__}
    exec(DEFAULTS, names)
    first, set_later = pickletask.loads(pickletask.dumps(names["with_defaults"]()))
    set_later(int)
    defaults = [param.__default__ for param in first.__type_params__]
    assert defaults[0] is int and defaults[2] == [int] and len(defaults) == 3
    assert repr(defaults[1]) == "*tuple[int, str]"


@picklers
def test_aliases_of_functions_go_by_value(dumps):
    _, alias = local(int)  # noqa: F821
    for _ in range(2):
        alias = pickle.loads(dumps(alias))
        (T,) = alias.__type_params__
        assert alias.__value__ == dict[T, int] and alias.__module__ == __name__
        assert alias[str].__origin__ is alias
        assert repr(alias) == repr(local(int)[1])  # noqa: F821


def test_generic_classes_by_value():
    pytest.importorskip("cloudpickle")
    base, derived = pickletask.loads(pickletask.dumps(classes(), classes="value"))  # noqa: F821
    (T,) = derived.__type_params__
    assert derived.__parameters__ == (T,) and T.__bound__ is base
    assert derived.__orig_bases__[0] == base[T]
    (U,) = base.take.__type_params__
    assert U.__bound__ is base.__type_params__[0]
    assert derived[int]().take(3) == 3


def test_copies_are_the_same():
    for obj in (*made_by_constructors(), *local(int)[0].__type_params__, local(int)[1]):  # noqa: F821
        assert copy.copy(obj) is obj and copy.deepcopy(obj) is obj


def test_those_of_main_go_by_value_on_request(run_isolated, tmp_path):
    path = tmp_path / "pickle"
    written = f"""
import pickletask
type Tree[T: Leaf] = dict[T, Tree[T]] | Leaf
class Leaf: pass
def told():
    return Tree.__value__, Tree.__type_params__[0].__bound__
open({str(path)!r}, "wb").write(pickletask.dumps((told, Tree), main="value"))
"""
    pytest.importorskip("cloudpickle")
    run_isolated(written)
    loaded = f"""
import pickletask
told, Tree = pickletask.loads(open({str(path)!r}, "rb").read())
value, bound = told()
assert value is Tree.__value__ and bound.__name__ == "Leaf"
tree, leaf = value.__args__
assert tree.__args__[1].__origin__ is Tree and leaf is bound
"""
    run_isolated(loaded)


def test_damaged_states():
    def first():
        pass

    wrong = {"no such field": 1, "attributes": 1, "variance": (1, 2), "type_params": [1]}
    wrong |= dict.fromkeys(["evaluate_bound", "evaluate_default", "compute_value", "qualname"], len)
    for obj in (*made_by_constructors(), *local(int)[0].__type_params__, local(int)[1]):  # noqa: F821
        seen = told(obj)
        state = _core._type_param_state(obj)
        damaged = [{**state, field: value} for field, value in wrong.items()]
        damaged += [{}, {"value": 1, "bound": first}, {**state, "variance": "abc"}]
        if isinstance(obj, typing.TypeAliasType):
            rest = {key: value for key, value in state.items() if "value" not in key}
            damaged.append(rest)
        for bad in damaged:
            if bad != state:
                with pytest.raises(CorruptStateError, match="is damaged"):
                    _core._set_type_param(obj, bad)
        assert told(obj) == seen
    with pytest.raises(CorruptStateError, match="no kind"):
        type_params.new_type_param("Unknown", "T")
    for function in (_core._type_param_state, lambda obj: _core._set_type_param(obj, {})):
        with pytest.raises(TypeError, match="expected a type parameter"):
            function(int)
