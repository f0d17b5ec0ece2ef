"""The options that all subcommands have, and the exit statuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from twisted_virtlog.client import BlockingClient

F = TypeVar("F", bound=Callable[..., Any])

#: Takes note of what an option says, as a callback of click's.
Store: TypeAlias = "Callable[[click.Context, click.Parameter, Any], None]"

DEFAULT_TIMEOUT_SECONDS = 30.0
SOCKET_VARIABLE = "VIRTLOGCTL_SOCKET"

#: The exit status where the daemon answers with an error, and that of commands whose status 1 says
#: something else.
REFUSED_STATUS = 1
OTHER_REFUSED_STATUS = 4

USAGE_STATUS = 2
UNREACHABLE_STATUS = 3
#: What a shell reports for a command that SIGINT or SIGPIPE ended.
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141


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
        # (the help does not wait for this)
        from twisted_virtlog.client.usual_socket import usual_socket  # noqa: PLC0415

        return self.socket or usual_socket()

    def connect(self) -> BlockingClient:
        """Connect to the daemon."""
        # (nor for this)
        from twisted_virtlog.client import BlockingClient  # noqa: PLC0415
        from twisted_virtlog.ctl.presence import connect  # noqa: PLC0415

        return connect(self.socket_path, self.timeout or None, BlockingClient)


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def common_options(function: F) -> F:
    """Add the options of :class:`Settings`."""
    return connection_options(timeout_option(_store)(function))


def connection_options(function: F) -> F:
    """Add the same options, but for the time-out of an answer."""
    for option in (
        json_option(_store),
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


def timeout_option(store: Store) -> Callable[[F], F]:
    """Return the option that says how long to wait for an answer.

    :param store: puts it into the program's settings; see :func:`storing`.
    """
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help=f"How long to wait for an answer; 0 for ever.  [default: {DEFAULT_TIMEOUT_SECONDS:g}]",
        expose_value=False,
        callback=store,
    )


def json_option(store: Store) -> Callable[[F], F]:
    """Return the option that says to print JSON; see :func:`timeout_option`."""
    return click.option(
        "--json",
        is_flag=True,
        help="Print JSON for programs, also for errors on standard error.",
        expose_value=False,
        callback=store,
    )


def storing(kind: type) -> Store:
    """Return a callback of click's that puts what an option says into the program's settings.

    :param kind: of the settings, which have a member of the option's name.
    """

    def store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        # (the default of the subcommand does not override what precedes its name)
        settings: object = ctx.ensure_object(kind)
        name = param.name or ""
        source = ctx.get_parameter_source(name)
        of_environment = source is ParameterSource.ENVIRONMENT and not getattr(settings, name)
        if source is ParameterSource.COMMANDLINE or of_environment:
            setattr(settings, name, value)

    return store


_store = storing(Settings)
