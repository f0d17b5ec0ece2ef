"""The parts of a log that a command is about, by ``--since``, ``--until`` and ``--boot``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import click

from twisted_virtlog.client import BlockingClient, Position
from twisted_virtlog.ctl.time_options import time_options

F = TypeVar("F", bound=Callable[..., Any])


class NoSuchBoot(Exception):
    """A log was not opened as often as was asked for; the message says how often it was."""


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a log.

    :ivar start: None for the oldest byte kept.
    :ivar end: where the bytes after it begin; None for the end of the log.
    """

    start: Position | None = None
    end: Position | None = None


@dataclass(frozen=True)
class Limits:
    """What a command is about.

    :ivar since: an aware time or None; likewise ``until``.
    :ivar boot: which opening of the log; None for all.
    """

    since: datetime | None
    until: datetime | None
    boot: int | None

    @property
    def are_none(self) -> bool:
        """Whether all of a log is meant."""
        return self.since is None and self.until is None and self.boot is None

    def ranges(self, client: BlockingClient, path: str) -> Sequence[Range]:
        """Ask which parts of a log these are, oldest first.

        :raises NoSuchBoot: there is no such opening.
        """
        if self.boot is not None:
            return [_boot_range(client, path, self.boot)]
        if self.since is None and self.until is None:
            return [Range()]
        found = client.locate(path, self.since, self.until)
        return [Range(one.start, one.end) for one in found]


def range_options(function: F) -> F:
    """Add the options; the function gets ``limits``."""

    @time_options
    @click.option(
        "--boot",
        type=int,
        metavar="N",
        help="Only what came after the log was opened: 0 for the last time, -1 for the one before,"
        " 1 for the first that is kept.",
    )
    @functools.wraps(function)
    def with_limits(
        *args: Any, since: datetime | None, until: datetime | None, boot: int | None, **kwargs: Any
    ) -> Any:
        if boot is not None and (since is not None or until is not None):
            raise click.UsageError("--boot cannot be used together with --since or --until.")
        return function(*args, limits=Limits(since, until, boot), **kwargs)

    return with_limits  # type: ignore[return-value]


def _boot_range(client: BlockingClient, path: str, number: int) -> Range:
    boots = client.boots(path)
    index = number - 1 if number > 0 else len(boots) + number - 1
    if not 0 <= index < len(boots):
        raise NoSuchBoot(f"{path}: of the times that it was opened, {len(boots)} are kept")
    end = boots[index + 1].start if index + 1 < len(boots) else None
    return Range(boots[index].start, end)
