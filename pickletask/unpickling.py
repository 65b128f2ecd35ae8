"""Unpicklers: those of the standard library, which may be told what to take.

Tasks need no unpickler of their own.  This one restricts what a pickle may name, and checks seals.
"""

import io
import pickle
import sys

from pickletask import envelope
from pickletask.errors import SealError

__all__ = ["Unpickler", "load", "loads"]


class Unpickler(pickle.Unpickler):
    """An unpickler that can be told what a pickle may name.

    Parameters are those of :class:`pickle.Unpickler`, and

    * ``allow``: None for no restriction; an iterable of dotted names: ``"app.work"`` allows one
      function or class, ``"app.*"`` all that module ``app`` itself defines; or a callable that
      gets (module, name) and returns whether that is allowed.

    With ``allow``, code is taken by reference only, so the pickle has to be written with
    ``code="reference"``.  Loading raises :exc:`~pickletask.NotAllowedError` for everything else.
    What is allowed may be called with any arguments by whoever wrote the pickle.

    A subclass may override ``find_class()`` and ``persistent_load()`` as usual.
    """

    def __init__(
        self,
        file,
        *,
        allow=None,
        fix_imports=True,
        encoding="ASCII",
        errors="strict",
        buffers=None,
    ):
        super().__init__(
            file, fix_imports=fix_imports, encoding=encoding, errors=errors, buffers=buffers
        )
        self._policy = None
        if allow is not None:
            # Not needed for anything else.
            from pickletask.allowing import Policy

            self._policy = Policy(allow)
        self._fix_imports = fix_imports

    def find_class(self, module, name):
        """Return the function or class with this name; raises NotAllowedError if it may not be."""
        if self._policy is None:
            return self._find(module, name)[0]
        if self._fix_imports:
            # As pickle does for the protocols of Python 2: what is checked must be what is loaded.
            import _compat_pickle

            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
            module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        defined_in = self._policy.check(module, name)
        found, is_there = self._find(module, name)
        if is_there:
            self._policy.check_found(module, name, found, defined_in)
        return self._policy.protect(found)

    def _find(self, module, name):
        """What a name means, or what the hook of on_code_changed() says; and whether it's there."""
        try:
            return super().find_class(module, name), True
        except (AttributeError, ImportError):
            supplied = _references().supply(module, name) if _has_hook() else None
            if supplied is None:
                raise
        return supplied, False


def _references():
    """The module for code by reference, which is not needed for anything else."""
    from pickletask import references

    return references


def _has_hook():
    """Is there a hook to be asked about names that aren't there any more?"""
    return "pickletask.references" in sys.modules and _references().has_hook()


def load(file, *, key=None, allow=None, **options):
    """Read a pickle from a binary file and return the object.

    Parameters and errors are those of :func:`loads`; only the pickle itself is read.
    """
    if key is not None:
        return loads(envelope.read(file, key), allow=allow, **options)
    try:
        if allow is None and not _has_hook():
            return pickle.load(file, **options)
        return Unpickler(file, allow=allow, **options).load()
    except pickle.UnpicklingError as error:
        if envelope.BEGIN in str(error):
            raise _needs_key() from None
        raise


def loads(data, /, *, key=None, allow=None, **options):
    """Return the object in a pickle.

    Parameters:

    * ``data``: a bytes-like object.
    * ``key``: the key with which :func:`~pickletask.dumps` has sealed it. The seal is checked
      before anything is unpickled; SealError says what is wrong with it.
    * ``allow``: what the pickle may name, as for :class:`Unpickler`.
    * ``fix_imports``, ``encoding``, ``errors``, ``buffers``: as for :func:`pickle.loads`.

    Raises RestoreError for a task that can't be restored here, and what :func:`pickle.loads`
    raises. Constructors of the objects' classes run; no task does.
    """
    if key is not None:
        data = envelope.unseal(data, key)
    elif envelope.is_sealed(data):
        raise _needs_key()
    if allow is None and not _has_hook():
        return pickle.loads(data, **options)
    return Unpickler(io.BytesIO(data), allow=allow, **options).load()


def _needs_key():
    """The error for a sealed pickle that was to be loaded without a key."""
    return SealError("this pickle is sealed: it needs the key it was written with")
