"""Keeps the reactor reading what is its one way to many descriptors, whatever one of them does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.logger import Logger


class _Logs(Protocol):
    _logger: Logger


S = TypeVar("S", bound=_Logs)


def guarded(what: str) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
    """Let a doRead log its exceptions: Twisted never again asks a reader that raised one.

    :param what: what failed, for the log.
    """

    def decorate(do_read: Callable[[S], None]) -> Callable[[S], None]:
        def doRead(reader: S) -> None:
            try:
                do_read(reader)
            except Exception:  # noqa: BLE001 (as said above)
                reader._logger.failure(what)  # noqa: SLF001 (this is a method of the reader)

        doRead.__doc__ = do_read.__doc__
        return doRead

    return decorate
