"""The subcommands that ask one thing of a log: ``position``, ``append``, ``close``, ``remove``."""

from __future__ import annotations

import sys

import click
import msgspec

from twisted_virtlog.client import BlockingClient, Domain, RemoteError
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.outcomes import print_answer, report
from twisted_virtlog.ctl.parameters import log_path, normal_paths, origin_options
from twisted_virtlog.ctl.settings import (
    REFUSED_STATUS,
    Settings,
    common_options,
    pass_settings,
)

#: More than any request may have, so that what is cut off here is refused, not shortened.
_STDIN_BYTES = 16 * 1024 * 1024 + 1


@click.command()
@log_path
@common_options
@pass_settings
def position(settings: Settings, path: str) -> None:
    """Print the end of an open log as INODE:OFFSET[:BIRTH].

    Everything written to the log before is in its file, below the offset.
    """
    with settings.connect() as client:
        answer = client.position(path)
    print_answer(settings, answer, tables.position_text(answer))


@click.command()
@log_path
@common_options
@pass_settings
def close(settings: Settings, path: str) -> None:
    """Close a log by force, whoever holds its pipe.

    What is in the pipe is written first. The processes that hold it, which "virtlogctl list" shows,
    get EPIPE if they write later. Use it for a log that a process keeps open by mistake.
    """
    with settings.connect() as client:
        answer = client.close_log(path)
    print_answer(settings, answer, tables.closed_text(path, answer))


@click.command()
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(), callback=normal_paths
)
@common_options
@pass_settings
@click.pass_context
def remove(ctx: click.Context, settings: Settings, paths: tuple[str, ...]) -> None:
    """Remove all files of logs that the daemon knows and that are not open, without asking.

    With --json: an object on each line, with "path", "files" and "bytes".
    """
    failed = False
    with settings.connect() as client:
        for path in paths:
            try:
                answer = client.remove(path)
            except RemoteError as error:
                # (as rm(1) goes on with the others)
                report(settings, error)
                failed = True
                continue
            members = {"path": path, **msgspec.to_builtins(answer)}
            print_answer(settings, members, tables.removed_text(path, answer))
    if failed:
        ctx.exit(REFUSED_STATUS)


@click.command()
@log_path
@click.argument("message")
@click.option(
    "-n", "as_it_is", is_flag=True, help="Write exactly MESSAGE, without adding newlines."
)
@origin_options
@common_options
@pass_settings
def append(
    settings: Settings,
    *,
    path: str,
    message: str,
    as_it_is: bool,
    driver: str,
    domain: Domain | None,
) -> None:
    """Append MESSAGE to a log, as a line, and print the position after it.

    It follows everything written to the log before, and begins a new line even if that does not end
    with a newline. The log need not be open. If MESSAGE is -, standard input is written unchanged.
    """
    text = _standard_input() if message == "-" else _utf8(message)
    with settings.connect() as client:
        if message != "-" and not as_it_is:
            text = f"{_line_end(client, path, driver, domain)}{text}\n"
        answer = client.append(path, text, driver, domain)
    print_answer(settings, answer, tables.position_text(answer))


def _line_end(client: BlockingClient, path: str, driver: str, domain: Domain | None) -> str:
    """Return what a log lacks at its end for a new line to begin there."""
    # Appending nothing also returns the end of a log that is not open.
    end = client.append(path, "", driver, domain)
    if end.offset == 0:
        return ""
    last_byte = msgspec.structs.replace(end, offset=end.offset - 1)
    return "" if client.read(path, last_byte, 1).data == b"\n" else "\n"


def _utf8(message: str) -> str:
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise click.UsageError("MESSAGE is not UTF-8, which JSON-RPC requires.") from error
    return message


def _standard_input() -> str:
    data = sys.stdin.buffer.read(_STDIN_BYTES)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"Standard input is not UTF-8 at byte {error.start}, which JSON-RPC requires; use"
            " virtlogctl exec PATH -- cat for arbitrary bytes."
        ) from error
