"""The group of all subcommands: what went wrong becomes a message and an exit status here."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from typing import Any, NoReturn

import click
import msgspec

from twisted_virtlog.client import BadRequest, ClientError, RemoteError, Unreachable
from twisted_virtlog.ctl.parameters import Settings, default_socket
from twisted_virtlog.ctl.running import CannotRun

REFUSED_STATUS = 1
USAGE_STATUS = 2
UNREACHABLE_STATUS = 3
#: What a shell reports of a command that the signals ended, as they end most.
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141

#: JSON readers that hold numbers as doubles are exact up to here.
MAX_EXACT_NUMBER = 2**53


class Program(click.Group):
    """Runs a subcommand and ends as the documentation of the exit statuses says."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        settings = ctx.ensure_object(Settings)
        try:
            result = super().invoke(ctx)
            # What is still buffered may fail too, and would do so with a traceback at the end.
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # The reader has seen enough, as head. Nothing may be written there at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE_STATUS)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED_STATUS)
        except CannotRun as error:
            _fail(ctx, error.status, str(error))
        except RemoteError as error:
            _fail(ctx, REFUSED_STATUS, error.message, error.code, error.data)
        except BadRequest as error:
            _fail(ctx, USAGE_STATUS, str(error))
        except Unreachable as error:
            _fail(ctx, UNREACHABLE_STATUS, f"{error}. {_advice(settings.socket, error)}")
        except ClientError as error:
            _fail(ctx, UNREACHABLE_STATUS, f"{error} (socket {settings.socket_path})")


def print_answer(settings: Settings, answer: Any, text: str) -> None:
    """Print what the daemon answered, in JSON if that was asked for.

    :param text: the same for people.
    """
    click.echo(json_of(answer) if settings.json else text)


def json_of(answer: Any) -> bytes:
    """Return an answer in JSON; numbers that not every reader takes are strings of digits."""
    return msgspec.json.encode(_exact(msgspec.to_builtins(answer)))


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_exact(member) for member in value]
    return str(value) if isinstance(value, int) and value > MAX_EXACT_NUMBER else value


def _fail(
    ctx: click.Context, status: int, message: str, code: int | None = None, data: Any = None
) -> NoReturn:
    """End with a message, in JSON if that was asked for."""
    if ctx.ensure_object(Settings).json:
        document = {"error": {"code": code, "message": message, "data": data}}
        click.echo(msgspec.json.encode(document), err=True)
    else:
        click.echo(f"virtlogctl: {message}", err=True)
    ctx.exit(status)


def _advice(socket: str | None, error: Unreachable) -> str:
    if error.errno == errno.EACCES:
        return "The daemon serves the user that it runs as, and root."
    command = "twistd -n virtlogd"
    if socket is not None and os.path.abspath(socket) != default_socket():
        path = os.path.abspath(socket).replace("\\", "\\\\").replace(":", "\\:")
        command += " --jsonrpc " + shlex.quote(f"unix:{path}:mode=600")
    return f"This starts a daemon there: {command}"
