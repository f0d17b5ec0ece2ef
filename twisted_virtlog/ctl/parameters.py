"""The parameters of the subcommands: paths, positions, and the options that all have."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from twisted_virtlog.client import BlockingClient, ClientError, Domain, Position
from twisted_virtlog.client.usual_socket import usual_socket
from twisted_virtlog.ctl.presence import connect

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_TIMEOUT_SECONDS = 30.0
#: Completion, after the tab key, waits no longer than this for the daemon.
COMPLETION_TIMEOUT_SECONDS = 1.0
SOCKET_VARIABLE = "VIRTLOGCTL_SOCKET"

#: The exit status where the daemon answers with an error, and that of commands whose status 1 says
#: something else.
REFUSED_STATUS = 1
OTHER_REFUSED_STATUS = 4


@dataclass
class Settings:
    """The options that all subcommands have, before or after the subcommand's name.

    :ivar timeout: seconds, 0 for no limit.
    :ivar refused_status: the exit status where the daemon answers with an error; a command sets it
        that says something else by the usual one.
    """

    socket: str | None = None
    json: bool = False
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    refused_status: int = REFUSED_STATUS

    @property
    def socket_path(self) -> str:
        """The socket that was named, or the default of this user."""
        return self.socket or usual_socket()

    def connect(self) -> BlockingClient:
        """Connect to the daemon."""
        return connect(self.socket_path, self.timeout or None)


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def common_options(function: F) -> F:
    """Add the options of :class:`Settings`."""
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help=f"How long to wait for an answer; 0 for ever.  [default: {DEFAULT_TIMEOUT_SECONDS:g}]",
        expose_value=False,
        callback=_store,
    )
    return connection_options(timeout(function))


def connection_options(function: F) -> F:
    """Add the same options, but for the time-out of an answer."""
    for option in (
        click.option(
            "--json",
            is_flag=True,
            help="Print JSON for programs, also for errors on standard error.",
            expose_value=False,
            callback=_store,
        ),
        click.option(
            "--socket",
            type=click.Path(),
            envvar=SOCKET_VARIABLE,
            help=f"The daemon's JSON-RPC socket.  [default: ${SOCKET_VARIABLE}, or the socket of"
            " this user's daemon]",
            expose_value=False,
            callback=_store,
        ),
    ):
        function = option(function)
    return function


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


def start_position(function: F) -> F:
    """Add the option ``--from``, in the form that ``position`` and ``append`` print."""
    return click.option(
        "--from",
        "start",
        metavar="INODE:OFFSET[:BIRTH]",
        callback=_parse_position,
        help="Begin here instead of at the oldest byte.",
    )(function)


def _store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    # (the default of the subcommand does not override what precedes its name)
    settings = ctx.ensure_object(Settings)
    source = ctx.get_parameter_source(param.name or "")
    of_environment = source is ParameterSource.ENVIRONMENT and settings.socket is None
    if param.name and (source is ParameterSource.COMMANDLINE or of_environment):
        setattr(settings, param.name, value)


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
