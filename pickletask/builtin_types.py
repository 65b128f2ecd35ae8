"""Reducers of builtin types that hold one object or a few, and that pickle doesn't know."""

import collections
import copy
import copyreg
import enum
import functools
import gc
import operator
import sys
import types
import weakref

from pickletask import _awaitables, _core

__all__ = [
    "CACHED",
    "COPIERS",
    "DEEP_COPIERS",
    "REDUCERS",
    "DictOfClass",
    "await_coroutine",
    "cached",
    "dict_of_class",
    "enum_dict",
    "is_importable",
    "items_of",
    "keys_of",
    "method_of",
    "proxy_of",
    "proxy_of_class",
    "reduce_builtin",
    "reduce_cached_of_main",
    "rest_of_template",
    "reversed_deque",
    "stand_in_for_dict",
    "values_of",
]


def _held(obj):
    """What an object holds that doesn't tell it otherwise."""
    return gc.get_referents(obj)[0]


# ---- views of dicts ---------------------------------------------------------


def _type_of(mapping):
    """The type that makes a dict's views, whatever a subclass makes of them."""
    return collections.OrderedDict if isinstance(mapping, collections.OrderedDict) else dict


def keys_of(mapping):
    """The view of a dict's keys."""
    return _type_of(mapping).keys(mapping)


def values_of(mapping):
    """The view of a dict's values."""
    return _type_of(mapping).values(mapping)


def items_of(mapping):
    """The view of a dict's items."""
    return _type_of(mapping).items(mapping)


_VIEWS = {
    type(getattr(mapping, name)()): function
    for mapping in ({}, collections.OrderedDict())
    for name, function in (("keys", keys_of), ("values", values_of), ("items", items_of))
}


def _reduce_view(view):
    return _VIEWS[type(view)], (_held(view),)


# ---- cached functions -------------------------------------------------------

CACHED = type(functools.lru_cache(len))


def is_importable(obj):
    """Is it what an import finds by the name that pickle would look for?"""
    module = sys.modules.get(obj.__module__)
    try:
        return operator.attrgetter(obj.__reduce__())(module) is obj
    except AttributeError:
        return False


def cached(function, maxsize, typed):
    """A function with an empty cache of its results."""
    return functools.lru_cache(maxsize, typed)(function)


def _reduce_cached(function):
    """Reduce a cached function: by name if that finds it, else by value, without its cache."""
    return function.__reduce__() if is_importable(function) else _pack_cached(function)


def reduce_cached_of_main(function):
    """The same where what stands in ``__main__`` goes by value."""
    if function.__module__ == "__main__":
        return _pack_cached(function)
    return _reduce_cached(function)


def _pack_cached(function):
    inner = function.__wrapped__
    args = _core._substitute_for(inner), *function.cache_parameters().values()
    attributes = {
        name: _core._substitute_for(value)
        for name, value in vars(function).items()
        if name not in ("__wrapped__", "cache_parameters") and getattr(inner, name, None) != value
    }
    return cached, args, attributes or None


# ---- others -----------------------------------------------------------------


def proxy_of(mapping):
    """A read-only proxy of a mapping."""
    return types.MappingProxyType(mapping)


def proxy_of_class(cls):
    """The read-only proxy of a class's attributes."""
    return type.__dict__["__dict__"].__get__(cls)


def _class_of(mapping):
    """The class whose attributes a mapping is; None if it is no such mapping."""
    if type(mapping) is dict and ("__module__" in mapping or "__doc__" in mapping):
        for cls in _classes_with(mapping):
            if _held(proxy_of_class(cls)) is mapping:
                return cls
    return None


def _reduce_proxy(proxy):
    mapping = _held(proxy)
    cls = _class_of(mapping)
    return (proxy_of, (mapping,)) if cls is None else (proxy_of_class, (cls,))


_DESCRIPTORS = (
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


def _classes_with(namespace):
    """Classes whose attributes these may be; those that the attributes name come first."""
    for value in namespace.values():
        if type(value) in _DESCRIPTORS:
            yield value.__objclass__
            break
    for referrer in gc.get_referrers(namespace):
        if isinstance(referrer, type):
            yield referrer


def dict_of_class(cls):
    """The dict of a class's attributes."""
    return _held(proxy_of_class(cls))


class DictOfClass:
    """Pickles as the dict of a class, where that can be pickled, else as a dict like it."""

    __slots__ = ("_class",)

    def __init__(self, cls):
        self._class = cls

    def __deepcopy__(self, memo):
        return dict_of_class(self._class)

    def __reduce__(self):
        if "<locals>" not in self._class.__qualname__:
            return self.reduce_class()
        items = dict_of_class(self._class).items()
        kept = [(name, _core._substitute_for(value)) for name, value in items if name not in _OWN]
        return dict, (), None, None, iter(kept)

    def reduce_class(self):
        """Reduce to the class's own dict."""
        return dict_of_class, (self._class,)


# Attributes that each class makes for itself, and that have another's name since 3.15.
_OWN = ("__dict__", "__weakref__")


def stand_in_for_dict(namespace):
    """What stands for a dict in a cell: the dict itself if it is not that of a class."""
    cls = _class_of(namespace)
    return namespace if cls is None else DictOfClass(cls)


def await_coroutine(coroutine):
    """The iterator that ``await`` uses of a coroutine."""
    return types.CoroutineType.__await__(coroutine)


def _reduce_parts(obj):
    """Reduce an object as its type does, local functions among its parts included."""
    function, args, *rest = obj.__reduce__()
    return function, tuple(map(_core._substitute_for, args)), *rest


def _reduce_wrapper(method):
    return type(method), (_core._substitute_for(method.__func__),)


def _reduce_property(prop):
    parts = (prop.fget, prop.fset, prop.fdel, prop.__doc__)
    return property, tuple(map(_core._substitute_for, parts))


# Attributes of a super object itself: it hands on all others.
_this_class = super.__dict__["__thisclass__"].__get__
_self = super.__dict__["__self__"].__get__


def _reduce_super(obj):
    instance = _self(obj)
    return super, (_this_class(obj),) if instance is None else (_this_class(obj), instance)


def _reduce_anext(awaitable):
    return _awaitables.default_of, tuple(map(_core._substitute_for, gc.get_referents(awaitable)))


def reversed_deque(deque, passed):
    """The iterator that goes backwards over a deque, and has passed so many of its items."""
    return type(reversed(deque))(deque, passed)


def _reduce_reversed_deque(iterator):
    return reversed_deque, iterator.__reduce__()[1]


def _reduce_weak_dict(table):
    """Reduce to the items that are still there; they go again if nothing else holds them."""
    return type(table), (), None, None, iter(list(table.items()))


def _reduce_weak_set(table):
    return type(table), (list(table),)


# The namespace of an enum whose class statement is under way.  It is no builtin type, but what
# pickle makes of it runs into its checks.
_EnumDict = type(enum.EnumType.__prepare__("", ()))


def enum_dict(items, attributes):
    """The namespace of an enum's class statement."""
    space = _EnumDict.__new__(_EnumDict)
    dict.update(space, items)
    vars(space).update(attributes)
    return space


def _reduce_enum_dict(space):
    items = [(name, _core._substitute_for(value)) for name, value in dict.items(space)]
    return enum_dict, (items, vars(space))


_ANEXT, _WRAPPER = map(type, _awaitables.examples()[2:])

# Types whose methods pickle looks for in vain, by the names that it knows of them.
_NAMELESS = {
    cls.__name__: cls
    for cls in (
        types.GeneratorType,
        types.CoroutineType,
        types.AsyncGeneratorType,
        *_core._AWAITABLES,
        _ANEXT,
        _WRAPPER,
    )
}


def method_of(name, method):
    """A method of a type that no module has, such as that of generators."""
    found = vars(_NAMELESS[name]).get(method) if name in _NAMELESS else None
    if type(found) is not types.MethodDescriptorType:
        raise _core.CorruptStateError(f"there is no method {name}.{method} to load")
    return found


def _reduce_method(method):
    cls = method.__objclass__
    if _NAMELESS.get(cls.__name__) is cls:
        return method_of, (cls.__name__, method.__name__)
    return method.__reduce__()


# ---- template strings -------------------------------------------------------

if sys.version_info >= (3, 14):
    # string.templatelib has these types, but is slow to import.
    _TEMPLATE = eval('t"{0}"')
    _INTERPOLATION, _TEMPLATE_ITERATOR = type(_TEMPLATE.interpolations[0]), type(iter(_TEMPLATE))
    _TEMPLATES = (_INTERPOLATION,)
else:
    _TEMPLATES = ()


def rest_of_template(template):
    """The iterator over a template."""
    return iter(template)


def _reduce_template_iterator(iterator):
    """Reduce what goes over a template: to a template of what is left of it."""
    strings, interpolations = map(list, map(copy.copy, gc.get_referents(iterator)))
    # Strings and interpolations take turns, and a string is the last one.
    parts = [part for pair in zip(interpolations, strings, strict=False) for part in pair]
    if len(strings) > len(interpolations):
        pairs = zip(strings, [*interpolations, ""], strict=False)
        parts = [part for pair in pairs for part in pair]
    return rest_of_template, (type(_TEMPLATE)(*parts),)


# -----------------------------------------------------------------------------

_ITERATORS = (map, filter, zip, enumerate, reversed, type(iter(int, 1)))

REDUCERS = {
    **dict.fromkeys(_ITERATORS, _reduce_parts),
    **dict.fromkeys(_VIEWS, _reduce_view),
    **dict.fromkeys((weakref.WeakKeyDictionary, weakref.WeakValueDictionary), _reduce_weak_dict),
    weakref.WeakSet: _reduce_weak_set,
    type(reversed(collections.deque())): _reduce_reversed_deque,
    CACHED: _reduce_cached,
    types.MappingProxyType: _reduce_proxy,
    types.MethodDescriptorType: _reduce_method,
    _WRAPPER: lambda wrapper: (await_coroutine, (_held(wrapper),)),
    _ANEXT: _reduce_anext,
    _EnumDict: _reduce_enum_dict,
    staticmethod: _reduce_wrapper,
    classmethod: _reduce_wrapper,
    property: _reduce_property,
    **dict.fromkeys(_TEMPLATES, _reduce_parts),
}
if _TEMPLATES:
    REDUCERS[_TEMPLATE_ITERATOR] = _reduce_template_iterator
if super not in copyreg.dispatch_table:  # CPython has a reducer of its own since 3.14
    REDUCERS[super] = _reduce_super


def reduce_builtin(obj):
    """Reduce an object of one of these types."""
    return REDUCERS.get(type(obj), _reduce_super)(obj)


# Shallow copies share functions, and need no stand-ins for them.  An empty name says that
# copy.copy() returns the object itself.


def _refuse_copy(awaitable):
    """Refuse, as for the coroutine itself: two can't go on with the same frame."""
    what = "what a coroutine's __await__() returns"
    if type(awaitable) is not _WRAPPER:
        what = "a step of an asynchronous generator"
    raise TypeError(
        f"can't make a shallow copy of {what}: its frame can't be shared; use copy.deepcopy()"
    )


COPIERS = {
    **dict.fromkeys((_WRAPPER, _ANEXT, *_core._AWAITABLES), _refuse_copy),
    **dict.fromkeys((*_ITERATORS, *_TEMPLATES), lambda obj: obj.__reduce__()),
    **dict.fromkeys((staticmethod, classmethod, property), lambda obj: ""),
}


def _deepcopy(obj, memo):
    """Copy an object of these types with the functions that it holds."""
    return copy._reconstruct(obj, memo, *reduce_builtin(obj))


def _deepcopy_cached(function, memo):
    """Copy a cached function if what it calls has variables that are copied."""
    inner = _core._substitute_for(function.__wrapped__)
    if copy.deepcopy(inner, memo) is function.__wrapped__:
        return function
    # One of these variables may have been the function itself.
    return memo[id(function)] if id(function) in memo else _deepcopy(function, memo)


DEEP_COPIERS = {
    **dict.fromkeys(
        (*_ITERATORS, *_TEMPLATES, staticmethod, classmethod, _WRAPPER, _ANEXT), _deepcopy
    ),
    CACHED: _deepcopy_cached,
}
