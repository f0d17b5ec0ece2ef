"""The options ``--since`` and ``--until``: times as people write them, in the caller's zone."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_NOW = f"{__name__}.now"


def time_options(function: F) -> F:
    """Add both options; the function gets ``since`` and ``until``, each an aware time or None.

    What both are relative to, if they are, is the same moment.
    """

    @since_option
    @click.option(
        "--until", metavar="TIME", callback=_parse, help="Only what came until this time."
    )
    @functools.wraps(function)
    def in_order(*args: Any, since: datetime | None, until: datetime | None, **kwargs: Any) -> Any:
        if since is not None and until is not None and until < since:
            raise click.UsageError("--until is before --since.")
        return function(*args, since=since, until=until, **kwargs)

    return in_order  # type: ignore[return-value]


def since_option(function: F) -> F:
    """Add ``--since`` alone."""
    return click.option(
        "--since",
        metavar="TIME",
        callback=_parse,
        help='Only what came since this time, such as "10 min ago" or 14:05.',
    )(function)


def _parse(ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    # (not loaded by commands without a time)
    from twisted_virtlog.ctl.times import NotATime, local_zone, parse_time  # noqa: PLC0415

    now = ctx.meta.setdefault(_NOW, datetime.now(timezone.utc))
    try:
        return parse_time(value, now, local_zone(os.environ))
    except NotATime as error:
        raise click.BadParameter(str(error)) from error
