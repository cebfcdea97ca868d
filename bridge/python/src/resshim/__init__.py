"""Names a program's own resources in the report of resshim.

    with resshim.tracked("data-source", self, label="orders"):
        ...

    @resshim.tracked("job")
    async def job(): ...

A kind is any word. What stands for a resource is an object or a number that the program has for it. Where the
program does not run under resshim, every call returns at once. When the interpreter begins to tear itself
down, the phase ``exit`` begins: what is released after it was still open at exit. It is registered with
``atexit``, which runs the first registered last: import this before what cleans up at exit.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from . import _names, _shim
from ._guard import Tracked

__all__ = [
    "Resource",
    "Tracked",
    "depends",
    "expect",
    "is_on",
    "open_files",
    "phase",
    "release",
    "state",
    "status",
    "track",
    "tracked",
]
__version__ = "0.1.0"


class Resource(NamedTuple):
    """One live resource: its kind, its number within the kind, its path, address or name."""

    kind: str
    handle: int
    label: str


def is_on() -> bool:
    """Whether the program runs under resshim."""
    return _names.shim is not None


def tracked(kind: str, obj: object = None, *, label: str = "") -> Tracked:
    """A guard: the resource is live inside ``with``, ``async with``, or a call of what it decorates.

    Without ``obj`` each time is a resource of its own.
    """
    return Tracked(kind, obj, label=label)


def track(kind: str, obj: object, label: str = "") -> None:
    """A resource begins that ``release`` ends; an object that is dropped without it is a leak."""
    _names.acquire(kind, obj, label)


def release(kind: str, obj: object) -> None:
    """It ends."""
    if _names.shim is not None:
        _names.release_handle(kind, obj, _names.handle(kind, obj))


def state(kind: str, obj: object, name: str) -> None:
    """It goes to another state."""
    if _names.shim is not None:
        _names.state_handle(kind, _names.handle(kind, obj), name)


def depends(from_kind: str, from_obj: object, to_kind: str, to_obj: object, relation: str) -> None:
    """One resource needs another; ``relation`` is a word such as ``waits-for``."""
    if _names.shim is not None:
        one, other = _names.handle(from_kind, from_obj), _names.handle(to_kind, to_obj)
        text = _names.text
        _names.shim.depends(text(from_kind), one, text(to_kind), other, text(relation))


def phase(name: str) -> None:
    """A phase of the program begins; ``exit`` is reserved."""
    if _names.shim is not None:
        _names.shim.phase(_names.text(name))


def expect(kind: str, seconds: float) -> None:
    """What is acquired of this kind here is expected to live no longer than this."""
    if _names.shim is not None:
        _names.shim.expect(_names.text(kind), seconds)


def status(kind: Optional[str] = None) -> List[Resource]:
    """What is live now, of one kind or of all."""
    if _names.shim is None:
        return []
    found: List[Resource] = []

    def one(_: None, kind: bytes, handle: int, label: bytes) -> int:
        found.append(Resource(kind.decode("utf-8", "replace"), handle, label.decode("utf-8", "replace")))
        return 0

    asked = None if kind is None else _names.text(kind)
    _names.shim.each(asked, _names.shim.visitor(one), None)
    return found


def open_files() -> List[Resource]:
    """The files that are open now: descriptor and path."""
    return status("file")


if _names.shim is not None and _shim.is_main_interpreter():
    import atexit

    atexit.register(phase, "exit")
