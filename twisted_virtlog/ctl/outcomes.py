"""The group of all subcommands, which turns errors into messages and exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
import msgspec

from twisted_virtlog.client import BadRequest, ClientError, RemoteError, Unreachable
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.advice import advice
from twisted_virtlog.ctl.holders import find_holders
from twisted_virtlog.ctl.parameters import REFUSED_STATUS, Settings
from twisted_virtlog.ctl.ranges import NoSuchBoot
from twisted_virtlog.ctl.running import CannotRun
from twisted_virtlog.ctl.selecting import NothingSelected
from twisted_virtlog.escaping import visible, visible_json

LOG_BUSY = 1001

USAGE_STATUS = 2
UNREACHABLE_STATUS = 3
#: What a shell reports for a command that SIGINT or SIGPIPE ended.
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141

#: JSON readers that hold numbers as doubles are exact up to here.
MAX_EXACT_NUMBER = 2**53


class Program(click.Group):
    """Runs a subcommand and exits with one of the documented statuses."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program; see :class:`click.Command`. Usage errors too may be written in JSON."""
        arguments = sys.argv[1:] if args is None else list(args)
        try:
            status = super().main(arguments, prog_name, complete_var, False, **extra)
        except click.UsageError as error:
            if not standalone_mode:
                raise
            _show(error, _wants_json(arguments))
            sys.exit(USAGE_STATUS)
        except click.Abort:
            if not standalone_mode:
                raise
            sys.exit(INTERRUPTED_STATUS)
        if standalone_mode:
            sys.exit(status if isinstance(status, int) else 0)
        return status

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        settings = ctx.ensure_object(Settings)
        try:
            result = super().invoke(ctx)
            # Writing what is still buffered may fail too, and would do so with a traceback at exit.
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # The reader, such as head, has gone. Nothing may be written there at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE_STATUS)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED_STATUS)
        except CannotRun as error:
            _fail(ctx, error.status, str(error))
        except (NothingSelected, NoSuchBoot) as error:
            _fail(ctx, REFUSED_STATUS, str(error))
        except RemoteError as error:
            report(settings, error)
            ctx.exit(settings.refused_status)
        except BadRequest as error:
            _fail(ctx, USAGE_STATUS, str(error))
        except Unreachable as error:
            what_to_do = advice(settings.socket_path, error)
            message = f"{error}. {what_to_do}" if what_to_do else str(error)
            _fail(ctx, UNREACHABLE_STATUS, message)
        except ClientError as error:
            _fail(ctx, UNREACHABLE_STATUS, f"{error} (socket {settings.socket_path})")


def print_answer(settings: Settings, answer: Any, text: str) -> None:
    """Print what the daemon answered, in JSON if that was requested.

    :param text: the answer for people.
    """
    click.echo(json_of(answer) if settings.json else text)


def json_of(answer: Any) -> str:
    """Return an answer in JSON that is harmless on a terminal.

    Numbers that not every reader holds exactly become strings of digits.
    """
    return visible_json(msgspec.json.encode(_exact(msgspec.to_builtins(answer))).decode())


def warn(message: str) -> None:
    """Print a message for people to standard error."""
    click.echo(f"virtlogctl: {visible(message)}", err=True)


def report(settings: Settings, error: RemoteError) -> None:
    """Print what the daemon answered in place of a result, in JSON if that was requested."""
    message, data = _busy(error)
    _tell(settings, message, error.code, data)


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_exact(member) for member in value]
    return str(value) if isinstance(value, int) and value > MAX_EXACT_NUMBER else value


def _fail(ctx: click.Context, status: int, message: str) -> NoReturn:
    """Exit with a message, in JSON if that was requested."""
    _tell(ctx.ensure_object(Settings), message)
    ctx.exit(status)


def _tell(settings: Settings, message: str, code: int | None = None, data: Any = None) -> None:
    if settings.json:
        click.echo(_error_json(message, code, data), err=True)
    else:
        warn(message)


def _show(error: click.UsageError, as_json: bool) -> None:
    # (without a command, click shows the help)
    bare = error.ctx is not None and error.message == error.ctx.get_help()
    message = "Missing command." if bare else error.format_message()
    if as_json:
        click.echo(_error_json(message), err=True)
    elif bare:
        error.show()
    else:
        # What it quotes from the command line may contain anything.
        click.UsageError(visible(message), error.ctx).show()


def _error_json(message: str, code: int | None = None, data: Any = None) -> str:
    return json_of({"error": {"code": code, "message": message, "data": data}})


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line that cannot be parsed asks for JSON."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _busy(error: RemoteError) -> tuple[str, Any]:
    """Return the message and the data of an error, with the holders of the pipe that it names."""
    pipe = error.data.get("pipe") if isinstance(error.data, dict) else None
    if error.code != LOG_BUSY or not isinstance(pipe, int):
        return error.message, error.data
    holders = find_holders([pipe]).of(pipe)
    data = {**error.data, "holders": holders}
    if holders is None:
        return f"{error.message}; only root can see which process holds its pipe", data
    held = tables.holders_text(holders) if holders else "no process"
    return f"{error.message}; its pipe is held by {held}", data
