"""The logs that a command for several is about: PATH..., or those of guests by ``--domain``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from twisted_virtlog.client import BlockingClient, LogInfo, RemoteError
from twisted_virtlog.ctl.parameters import complete_path, logs_parameters

F = TypeVar("F", bound=Callable[..., Any])

#: JSON-RPC's own code for parameters that a daemon does not know.
_INVALID_PARAMS = -32602


class NothingSelected(Exception):
    """No log is one of those that were asked for; the message says so."""


@dataclass(frozen=True)
class Selection:
    """Which logs.

    :ivar paths: of logs, each once, in the order in which they were named.
    :ivar domain: a pattern for names of guests, or a UUID; None for all logs, if no path was named.
    """

    paths: tuple[str, ...]
    domain: str | None

    @property
    def is_one(self) -> bool:
        """Whether it is one log by name, so that nobody need be told which one a line is from."""
        return len(self.paths) == 1

    def find(self, client: BlockingClient) -> Sequence[str]:
        """Return the paths of the logs, also of those that are not open but known.

        :raises NothingSelected: there is none.
        """
        if self.paths:
            return self.paths
        found = [log.path for log in _known_logs(client) if self.has(log)]
        if not found and self.domain is not None:
            raise NothingSelected(f"no log is one of a guest {self.domain}")
        if not found:
            raise NothingSelected("there are no logs")
        return found

    def has(self, log: LogInfo) -> bool:
        """Return whether a log is one of these, by its guest."""
        if self.domain is None:
            return True
        guest = log.domain
        return guest is not None and (
            fnmatchcase(guest.name, self.domain) or guest.uuid == self.domain.lower()
        )


def selection(function: F) -> F:
    """Add the arguments PATH... and the option ``--domain``; the function gets ``selected``."""

    @logs_parameters(complete_path)
    @functools.wraps(function)
    def with_selection(
        *args: Any, paths: tuple[str, ...], domain: str | None, **kwargs: Any
    ) -> Any:
        return function(*args, selected=Selection(paths, domain), **kwargs)

    return with_selection  # type: ignore[return-value]


def _known_logs(client: BlockingClient) -> Sequence[LogInfo]:
    try:
        return client.list(closed=True)
    except RemoteError as error:
        # (an older daemon tells open ones only)
        if error.code != _INVALID_PARAMS:
            raise
    return client.list()
