"""The logs that a command is about: by path, host and guest; and which of them are one history."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

import click

from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.ctl.parameters import COMPLETION_TIMEOUT_SECONDS, logs_parameters
from twisted_virtlog.fleet.errors import NoServer, NotThere
from twisted_virtlog.fleet.settings import FleetSettings, NoExtra
from twisted_virtlog.fleet.stored import Log
from twisted_virtlog.ship.subjects import NOBODY, token
from twisted_virtlog.values import Position

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

_ANY = "*"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Entry:
    """A log that the stream has.

    :ivar last: when its last message came, by its host; aware.
    :ivar end: up to where it is stored.
    :ivar sequence: the number of its last message.
    """

    log: Log
    last: datetime
    end: Position
    sequence: int


@dataclass(frozen=True)
class History:
    """A log of a guest, on whichever hosts it was; or a log of a host that belongs to no guest."""

    entries: tuple[Entry, ...]

    @property
    def newest(self) -> Entry:
        """Where it grew last."""
        return max(self.entries, key=lambda entry: (entry.last, entry.sequence))

    def pattern(self, prefix: str) -> str:
        """Return the subjects that it has, also on hosts to which the guest has yet to move."""
        log = self.newest.log
        if log.uuid is None:
            return log.subject
        return _pattern(prefix, _ANY, log.uuid, token(log.path))


@dataclass(frozen=True)
class Selection:
    """Which logs.

    :ivar paths: of logs, each once, in the order in which they were named; none for all.
    :ivar domain: a pattern for names of guests, or a UUID; None for all logs.
    :ivar host: a pattern for names of hosts; None for all.
    """

    paths: tuple[str, ...] = ()
    domain: str | None = None
    host: str | None = None

    def patterns(self, prefix: str) -> list[str]:
        """Return patterns for their subjects, no wider than need be; others may match, too."""
        host = _ANY if self.host is None or _WILDCARDS & set(self.host) else token(self.host)
        uuid = _ANY
        if self.domain is not None and _UUID.fullmatch(self.domain):
            uuid = self.domain.lower()
        if not self.paths:
            return [_pattern(prefix, host, uuid, _ANY)]
        return [_pattern(prefix, host, uuid, token(path)) for path in self.paths]

    def has(self, log: Log) -> bool:
        """Return whether a log is one of these."""
        if self.host is not None and not fnmatchcase(log.host, self.host):
            return False
        if self.paths and log.path not in self.paths:
            return False
        if self.domain is None:
            return True
        return log.uuid is not None and (
            fnmatchcase(log.domain or "", self.domain) or log.uuid == self.domain.lower()
        )

    def histories(self, entries: Iterable[Entry]) -> list[History]:
        """Return those of some logs that are these, in the order in which paths were named.

        :raises NotThere: none is.
        """
        found: dict[tuple[str, ...], list[Entry]] = {}
        for entry in sorted(entries, key=self._order):
            log = entry.log
            if self.has(log):
                key = (log.host, log.path) if log.uuid is None else (log.uuid, log.path, "")
                found.setdefault(key, []).append(entry)
        if not found:
            raise NotThere(self._absence())
        return [History(tuple(one)) for one in found.values()]

    def one(self, entries: Iterable[Entry]) -> History:
        """Return the history that is meant, where it must be one.

        :raises NotThere: it is none, or several.
        """
        found = self.histories(entries)
        if len(found) > 1:
            hosts = ", ".join(sorted({one.newest.log.host for one in found}))
            raise NotThere(f"{self.paths[0]} is {len(found)} logs, on {hosts}; choose by --host")
        return found[0]

    def _order(self, entry: Entry) -> tuple[int, str, str]:
        path = entry.log.path
        place = self.paths.index(path) if path in self.paths else 0
        return place, entry.log.host, path

    def _absence(self) -> str:
        where = "" if self.host is None else f" of a host {self.host}"
        if self.paths:
            return f"nothing is stored{where} of {', '.join(self.paths)}"
        if self.domain is not None:
            return f"no log{where} is one of a guest {self.domain}"
        return f"no log{where} is stored"


def selection(function: F) -> F:
    """Add the arguments PATH... and ``--domain``, ``--host``; the function gets ``selected``."""

    @logs_parameters(complete_path)
    @host_option
    @functools.wraps(function)
    def with_selection(
        *args: Any, paths: tuple[str, ...], domain: str | None, host: str | None, **kwargs: Any
    ) -> Any:
        return function(*args, selected=Selection(paths, domain, host), **kwargs)

    return with_selection  # type: ignore[return-value]


def host_option(function: F) -> F:
    """Add the option ``--host``."""
    return click.option(
        "--host", metavar="GLOB", help="The logs of hosts whose names match, such as 'rack4-*'."
    )(function)


def complete_path(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return what a path may go on with after the tab key: logs that are stored."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    settings = ctx.ensure_object(FleetSettings)
    settings.timeout = COMPLETION_TIMEOUT_SECONDS
    try:
        with settings.connect() as fleet:
            paths = {entry.log.path for entry in fleet.entries(Selection())}
    except (ConfigError, NoExtra, NoServer):
        # (nobody is told anything while he types)
        paths = set()
    # (a newline would end the path for the shell, and the terminal would obey other characters)
    fitting = [path for path in sorted(paths) if path.startswith(incomplete)]
    return [CompletionItem(path) for path in fitting if path.isprintable()]


def covering(patterns: Sequence[str]) -> str:
    """Return a pattern that matches whatever some match."""
    by_token = zip(*(pattern.split(".") for pattern in patterns), strict=True)
    return ".".join(tokens[0] if len(set(tokens)) == 1 else _ANY for tokens in by_token)


def _pattern(prefix: str, host: str, uuid: str, log: str) -> str:
    return f"{prefix}.{host}.{uuid or NOBODY}.{log}"
