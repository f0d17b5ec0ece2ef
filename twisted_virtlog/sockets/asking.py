"""What both protocols do with a request: ask the daemon, maybe wait, and reply in any case."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_virtlog.loop.durations import BOUNDS, ByName
from twisted_virtlog.sockets.conversation import Conversation


class Entry(Protocol):
    """An entry in a protocol's table of what can be asked."""

    @property
    def name(self) -> str:
        """Return its name, by which it is counted."""

    @property
    def ask(self) -> Callable[[Any, Any], Any]:
        """Return what asks: with a service and arguments, for an answer or a Deferred of it."""


class _AreLater(dict[type, bool]):
    """Whether the values of a type are Deferreds.

    Deferred is an abstract base class, and to ask whether something is one costs as much as what
    many requests ask for.
    """

    def __missing__(self, kind: type) -> bool:
        """Find it out the first time."""
        found = self[kind] = issubclass(kind, Deferred)
        return found


_IS_LATER = _AreLater()

Q = TypeVar("Q")
E = TypeVar("E", bound=Entry)
R = TypeVar("R")


class AskingConversation(Conversation, Generic[Q, E, R]):
    """A conversation whose requests (Q) call entries of a table (E) and get replies (R).

    :param calls: how long those of all clients took; None if nobody wants to know.
    """

    def __init__(self, calls: ByName | None = None) -> None:
        super().__init__()
        self._calls = ByName() if calls is None else calls

    def carry_out(self, request: Q, entry: E, service: object, arguments: Any) -> R | Deferred[R]:
        """Ask for what a request wants, and return the reply; later, if the answer comes later."""
        try:
            answer = entry.ask(service, arguments)
            if not _IS_LATER[type(answer)]:
                reply = self.present(answer, request, entry, arguments)
                if _IS_LATER[type(reply)] and isinstance(reply, Deferred):
                    return reply.addBoth(self._carried_out, entry, self._begun)
                # (a method of its own would be called for each request)
                measured = self._calls[entry.name]
                seconds = monotonic() - self._begun
                measured.counts[bisect_left(BOUNDS, seconds)] += 1
                measured.seconds += seconds
                return reply
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets a reply
            self._calls[entry.name].failed += 1
            self._carried_out(None, entry, self._begun)
            return self.fail(error, None, request, entry, arguments)
        later: Deferred[R] = answer.addCallback(self.present, request, entry, arguments)
        later.addErrback(self._fail_later, request, entry, arguments)
        return later.addBoth(self._carried_out, entry, self._begun)

    def _carried_out(self, result: Any, entry: E, begun: float) -> Any:
        """Count a request whose answer came later, or that failed."""
        self._calls[entry.name].add(monotonic() - begun)
        return result

    @abstractmethod
    def present(self, answer: Any, request: Q, entry: E, arguments: Any) -> R | Deferred[R]:
        """Make the reply of what the daemon answered; a Deferred of a long one does not fail."""

    @abstractmethod
    def fail(
        self,
        error: BaseException | None,
        failure: Failure | None,
        request: Q,
        entry: E,
        arguments: Any,
    ) -> R:
        """Make the reply that says what went wrong.

        :param failure: what a Deferred came with; None if the error is being handled.
        """

    def _fail_later(self, failure: Failure, request: Q, entry: E, arguments: Any) -> R:
        self._calls[entry.name].failed += 1
        return self.fail(failure.value, failure, request, entry, arguments)
