"""Prints what the daemon answered, for people or for programs."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from twisted_virtlog.client import RemoteError
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.holders import find_holders
from twisted_virtlog.ctl.naming import program_name
from twisted_virtlog.ctl.settings import Settings
from twisted_virtlog.escaping import visible, visible_json

LOG_BUSY = 1001

#: JSON readers that hold numbers as doubles are exact up to here.
MAX_EXACT_NUMBER = 2**53


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
    click.echo(f"{program_name()}: {visible(message)}", err=True)


def report(settings: Settings, error: RemoteError) -> None:
    """Print what the daemon answered in place of a result, in JSON if that was requested."""
    message, data = _busy(error)
    tell(settings, message, error.code, data)


def tell(settings: Settings, message: str, code: int | None = None, data: Any = None) -> None:
    """Print to standard error what went wrong, in JSON if that was requested."""
    if settings.json:
        click.echo(error_json(message, code, data), err=True)
    else:
        warn(message)


def error_json(message: str, code: int | None = None, data: Any = None) -> str:
    """Return what went wrong in JSON.

    :param code: the daemon's, if it said so.
    """
    return json_of({"error": {"code": code, "message": message, "data": data}})


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_exact(member) for member in value]
    return str(value) if isinstance(value, int) and value > MAX_EXACT_NUMBER else value


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
