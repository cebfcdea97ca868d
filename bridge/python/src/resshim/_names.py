"""Which number stands for an object, and the calls that need it.

Numbers are themselves; strings and bytes, which have no identity, are what they say, as ``hash`` gives it. Any
other object is its address, as ``id`` gives it. Python gives the address of a dead object to the next one, so an
object that was dropped without a release would hide behind its successor: who takes the address of a live
resource of the same kind gets a number of its own.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any, Dict, Optional, Tuple

from . import _shim

shim = _shim.find()

_MASK = 2**64 - 1
_next = itertools.count(1)

# Live resources that are objects: (kind, address) → number, and what tells whether the object is still the same.
_live: Dict[Tuple[str, int], Tuple[int, Optional["weakref.ref[Any]"]]] = {}


def text(words: str) -> bytes:
    return words.encode("utf-8", "replace")


def _reference(obj: object) -> Optional["weakref.ref[Any]"]:
    try:
        return weakref.ref(obj)
    except TypeError:
        return None


def _number(obj: object) -> Optional[int]:
    """The number of what has no identity."""
    if isinstance(obj, int):
        return obj & _MASK
    if isinstance(obj, (str, bytes)):
        return hash(obj) & _MASK
    return None


def _known(kind: str, obj: object) -> Optional[int]:
    """The number under which this very object is live."""
    known = _live.get((kind, id(obj)))
    # Without a reference nobody can tell: then it is the same.
    is_same = known is not None and (known[1] is None or known[1]() is obj)
    return known[0] if known is not None and is_same else None


def handle(kind: str, obj: object) -> int:
    """The number of an object that may be live."""
    for number in (_number(obj), _known(kind, obj)):
        if number is not None:
            return number
    return id(obj)


def acquire(kind: str, obj: object, label: str) -> int:
    """The resource begins; its number."""
    if shim is None:
        return 0
    number = next(_next) if obj is None else _number(obj)
    if number is None:
        key = (kind, id(obj))
        number = _known(kind, obj)
        if number is None:
            number = next(_next) if key in _live else id(obj)
        _live[key] = (number, _reference(obj))
    shim.acquire(text(kind), number, text(label))
    return number


def release_handle(kind: str, obj: object, number: int) -> None:
    """The resource of this number ends, which ``obj`` began."""
    if shim is None:
        return
    key = (kind, id(obj))
    known = _live.get(key)
    if known is not None and known[0] == number:
        _live.pop(key, None)
    shim.release(text(kind), number)


def state_handle(kind: str, number: int, name: str) -> None:
    if shim is not None:
        shim.state(text(kind), number, text(name))
