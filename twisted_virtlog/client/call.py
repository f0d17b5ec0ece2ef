"""What a call of the daemon is, and how one definition serves clients that wait in different ways.

A client inherits the calls (:class:`.Calls`) and brings ``_perform``, which sends one and returns
its result in the client's own way: blocking, as a Deferred, as a future. At run time :func:`call`
makes a plain method of a definition; to type checkers that method is an :class:`Asked`, which
returns what the client that it is called on returns.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import msgspec

if TYPE_CHECKING:
    from asyncio import Future

    from twisted.internet.defer import Deferred

P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W")


@dataclass(frozen=True)
class Call(Generic[R]):
    """One request, not yet sent.

    :ivar decode: turns the JSON text of the result and its descriptors into the value that the
        caller gets. If it raises :class:`msgspec.MsgspecError` or :class:`.BadAnswer`, it has
        taken no descriptor.
    :ivar descriptors: the number of descriptors that come with the result.
    """

    method: str
    decode: Callable[[bytes | msgspec.Raw, Sequence[int]], R]
    params: Mapping[str, object] = field(default_factory=dict)
    descriptors: int = 0


class Performer(Generic[W]):
    """The base of all clients.

    The type argument says how a client returns results: ``None`` is as they are, after blocking,
    and ``Deferred[Any]``, ``asyncio.Future[Any]`` and ``Call[Any]`` are in one of these.
    """

    def _perform(self, call: Call[R]) -> Any:
        """Send a request and return its result, or what will have it."""
        raise NotImplementedError


class Asked(Protocol[P, R]):
    """A client's method, for type checkers."""

    @overload
    def __get__(self, client: None, owner: object) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, client: Performer[None], owner: object) -> Callable[P, R]: ...
    @overload
    def __get__(
        self, client: Performer[Deferred[Any]], owner: object
    ) -> Callable[P, Deferred[R]]: ...
    @overload
    def __get__(self, client: Performer[Future[Any]], owner: object) -> Callable[P, Future[R]]: ...
    @overload
    def __get__(self, client: Performer[Call[Any]], owner: object) -> Callable[P, Call[R]]: ...


def call(define: Callable[Concatenate[Any, P], Call[R]]) -> Asked[P, R]:
    """Make a method that performs a call of the function that defines it.

    The method has the function's name, parameters and documentation.
    """

    def method(self: Performer[Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self._perform(define(self, *args, **kwargs))

    functools.update_wrapper(method, define)
    method.__signature__ = inspect.signature(define).replace(  # type: ignore[attr-defined]
        return_annotation=inspect.Signature.empty
    )
    return method  # type: ignore[return-value]  # (a function is a descriptor of one type only)


#: By type: those that were needed, as a command needs one or two.
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(result: type[R]) -> msgspec.json.Decoder[R]:
    """Return the decoder of results of a type."""
    found = _decoders.get(result)
    if found is None:
        # Not strict: numbers that not every JSON reader holds exactly come as strings of digits.
        found = _decoders[result] = msgspec.json.Decoder(result, strict=False)
    return found


def plain(result: type[R]) -> Callable[[bytes | msgspec.Raw, Sequence[int]], R]:
    """Return a ``decode`` for results of a type that come without descriptors."""
    return lambda text, _descriptors: decoder(result).decode(text)
