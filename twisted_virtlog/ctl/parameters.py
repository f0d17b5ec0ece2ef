"""The parameters of the subcommands: paths, positions, and who writes."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import UUID

import click

from twisted_virtlog.client import BlockingClient, ClientError, Domain, Position
from twisted_virtlog.ctl.settings import Settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

#: Returns what a word may go on with after the tab key, as click asks for it.
Complete: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]"

#: Completion, after the tab key, waits no longer than this for the daemon.
COMPLETION_TIMEOUT_SECONDS = 1.0


def origin_options(function: F) -> F:
    """Add the options that say who writes; the function gets ``driver`` and ``domain``."""

    @click.option("--driver", default="none", show_default=True, help="Who writes, such as qemu.")
    @click.option("--domain-name", metavar="NAME", help="The guest's name; with --domain-uuid.")
    @click.option("--domain-uuid", type=click.UUID, help="The guest's UUID; with --domain-name.")
    @functools.wraps(function)
    def with_domain(
        *args: Any, domain_name: str | None, domain_uuid: UUID | None, **kwargs: Any
    ) -> Any:
        if (domain_name is None) != (domain_uuid is None):
            raise click.UsageError("--domain-name and --domain-uuid go together.")
        named = domain_name is not None and domain_uuid is not None
        domain = Domain(uuid=str(domain_uuid), name=str(domain_name)) if named else None
        return function(*args, domain=domain, **kwargs)

    return with_domain  # type: ignore[return-value]


def log_path(function: F) -> F:
    """Add the argument PATH, made absolute and normalised; completed from open logs and files."""

    def normal(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
        return normal_path(value)

    return click.argument("path", callback=normal, shell_complete=complete_path)(function)


def optional_log_path(function: F) -> F:
    """Add the same argument, which is None where it is not given."""

    def normal(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
        return None if value is None else normal_path(value)

    return click.argument("path", required=False, callback=normal, shell_complete=complete_path)(
        function
    )


def logs_parameters(complete: Complete) -> Callable[[F], F]:
    """Add the arguments PATH... and the option ``--domain``, of which only one may be given.

    :param complete: completes a path.
    :returns: a decorator; the function gets ``paths`` and ``domain``.
    """

    def add(function: F) -> F:
        @click.argument(
            "paths",
            metavar="[PATH]...",
            nargs=-1,
            callback=normal_paths,
            shell_complete=complete,
        )
        @click.option(
            "--domain",
            metavar="GLOB",
            help="The logs of guests whose names match, such as 'web*', or of one by its UUID.",
        )
        @functools.wraps(function)
        def checked(*args: Any, paths: tuple[str, ...], domain: str | None, **kwargs: Any) -> Any:
            if paths and domain is not None:
                raise click.UsageError("PATH and --domain cannot be used together.")
            return function(*args, paths=paths, domain=domain, **kwargs)

        return checked  # type: ignore[return-value]

    return add


def start_position(function: F) -> F:
    """Add the option ``--from``, in the form that ``position`` and ``append`` print."""
    return click.option(
        "--from",
        "start",
        metavar="INODE:OFFSET[:BIRTH]",
        callback=_parse_position,
        help="Begin here instead of at the oldest byte.",
    )(function)


def normal_paths(
    _ctx: click.Context, _param: click.Parameter, values: Sequence[str]
) -> tuple[str, ...]:
    """Return paths that were given as the daemon wants them, each once; a callback of click's."""
    return tuple(dict.fromkeys(map(normal_path, values)))


def normal_path(value: str) -> str:
    """Return a path that was given as the daemon wants it: absolute and normalised.

    :raises click.BadParameter: that cannot be.
    """
    if not value:
        raise click.BadParameter("the path of a log is empty")
    try:
        # (abspath keeps two leading slashes, to which POSIX allows a meaning)
        path: str = "/" + os.path.abspath(value).lstrip("/")
        path.encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter(f"{value!r} is not UTF-8, which JSON-RPC requires") from error
    except OSError as error:
        raise click.BadParameter(f"{value!r} cannot be made absolute: {error.strerror}") from error
    return path


def complete_path(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return what a path may go on with after the tab key: open logs, or else files."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    path = ctx.ensure_object(Settings).socket_path
    try:
        with BlockingClient(path, COMPLETION_TIMEOUT_SECONDS) as client:
            paths = [log.path for log in client.list() if log.path.startswith(incomplete)]
        # (a newline would end the path for the shell, and the terminal would obey other characters)
        logs = [path for path in paths if path.isprintable()]
    except ClientError:
        logs = []
    return [CompletionItem(log) for log in logs] or [CompletionItem(incomplete, type="file")]


def parse_position(value: str) -> Position:
    """Return a position in the form that ``position`` and ``append`` print.

    :raises click.BadParameter: it is none.
    """
    if match := re.fullmatch(r"([0-9]{1,40}):([0-9]{1,40})(?::([!-~]{1,256}))?", value):
        inode, offset = int(match[1]), int(match[2])
        for what, number, limit in (("inode", inode, 1 << 64), ("offset", offset, 1 << 63)):
            if number >= limit:
                raise click.BadParameter(
                    f"the {what} in {value!r} is out of range; the highest is {limit - 1}"
                )
        return Position(inode, offset, match[3] or "")
    raise click.BadParameter(
        f"{value!r} is not a position; write INODE:OFFSET[:BIRTH], such as 262147:4096"
    )


def _parse_position(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> Position | None:
    return None if value is None else parse_position(value)


def match_options(function: F) -> F:
    """Add the options that say how lines match, and how they are shown."""
    for option in (
        click.option("--raw", is_flag=True, help="Let the terminal obey what guests print."),
        click.option("-c", "--count", is_flag=True, help="Print how many lines match in each log."),
        click.option("-i", "--ignore-case", is_flag=True, help="Let case make no difference."),
        click.option(
            "-C",
            "--context",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Show N lines before and after each line that matches, too.",
        ),
    ):
        function = option(function)
    return function


def tail_options(lines: int) -> Callable[[F], F]:
    """Add the options that say which lines are shown, and whether more that come.

    :param lines: so many, unless it is said where to begin.
    """

    def add(function: F) -> F:
        for option in (
            click.option("--timestamps", is_flag=True, help="Print before each line when it came."),
            click.option(
                "-n",
                "--lines",
                type=click.IntRange(min=0),
                metavar="N",
                help=f"The last N lines.  [default: {lines}; all if a beginning is given]",
            ),
        ):
            function = option(function)
        return function

    return add


def wait_timeout(function: F) -> F:
    """Add the option ``--timeout`` of those who wait for something to come."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long to wait in all.  [default: for ever]",
    )(function)


def wanted_options(function: F) -> F:
    """Add the options ``--for`` and ``--not``; the function gets ``wanted`` and ``unwanted``."""
    for option in (
        click.option("--not", "unwanted", metavar="REGEX", help="Give up as soon as this comes."),
        click.option(
            "--for",
            "wanted",
            metavar="REGEX",
            required=True,
            help="What to wait for, a regular expression of Python's.",
        ),
    ):
        function = option(function)
    return function
