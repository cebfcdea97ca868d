"""A live resource as a context manager and as a decorator."""

from __future__ import annotations

import functools
import inspect
from types import TracebackType
from typing import Any, AsyncGenerator, Callable, Generator, List, Optional, Type, TypeVar, cast

from . import _names

_F = TypeVar("_F", bound=Callable[..., Any])
_Self = TypeVar("_Self", bound="Tracked")


class Tracked:
    """Live inside ``with``, ``async with``, or a call of the function that it decorates.

    One guard can be entered again, also while it is entered: without an object each time is a resource of
    its own. A function that it decorates gives it its name where it has no label.
    """

    __slots__ = ("_kind", "_obj", "_label", "_entered")

    def __init__(self, kind: str, obj: object = None, *, label: str = "") -> None:
        self._kind, self._obj, self._label = kind, obj, label
        self._entered: List[int] = []

    def __enter__(self: _Self) -> _Self:
        self._entered.append(_names.acquire(self._kind, self._obj, self._label))
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        _names.release_handle(self._kind, self._obj, self._entered.pop())

    async def __aenter__(self: _Self) -> _Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def state(self, name: str) -> None:
        """What was entered last goes to another state."""
        if self._entered:
            _names.state_handle(self._kind, self._entered[-1], name)

    def __call__(self, function: _F) -> _F:
        """Each call of the function is a resource, from its beginning to its end."""
        label = self._label or getattr(function, "__qualname__", "")
        return cast(_F, _decorated(function, lambda: Tracked(self._kind, self._obj, label=label)))


def _decorated(function: Callable[..., Any], guard: Callable[[], Tracked]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with guard():
                return await function(*args, **kwargs)

        return coroutine
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            with guard():
                inner = function(*args, **kwargs)
                # As `yield from` does it, which asynchronous generators do not have (PEP 380, PEP 525).
                try:
                    value = await inner.__anext__()
                    while True:
                        try:
                            sent = yield value
                        except GeneratorExit:
                            await inner.aclose()
                            raise
                        except BaseException as error:
                            value = await inner.athrow(error)
                        else:
                            value = await inner.asend(sent)
                except StopAsyncIteration:
                    return

        return async_generator
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with guard():
                return (yield from function(*args, **kwargs))

        return generator

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with guard():
            return function(*args, **kwargs)

    return plain
