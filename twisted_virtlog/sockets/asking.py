"""What both protocols do with a request: ask the daemon, maybe wait, and reply in any case."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_virtlog.sockets.conversation import Conversation


class Entry(Protocol):
    """An entry in a protocol's table of what can be asked."""

    @property
    def ask(self) -> Callable[[Any, Any], Any]:
        """Return what asks: with a service and arguments, for an answer or a Deferred of it."""


Q = TypeVar("Q")
E = TypeVar("E", bound=Entry)
R = TypeVar("R")


class AskingConversation(Conversation, Generic[Q, E, R]):
    """A conversation whose requests (Q) call entries of a table (E) and get replies (R)."""

    def carry_out(self, request: Q, entry: E, service: object, arguments: Any) -> R | Deferred[R]:
        """Ask for what a request wants, and return the reply; later, if the answer comes later."""
        try:
            answer = entry.ask(service, arguments)
            if not isinstance(answer, Deferred):
                return self.present(answer, request, entry, arguments)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets a reply
            return self.fail(error, None, request, entry, arguments)
        later: Deferred[R] = answer.addCallback(self.present, request, entry, arguments)
        return later.addErrback(self._fail_later, request, entry, arguments)

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
        return self.fail(failure.value, failure, request, entry, arguments)
