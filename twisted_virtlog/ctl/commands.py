"""The subcommands of virtlogctl."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

import click
import msgspec

from twisted_virtlog import __version__
from twisted_virtlog.client import BlockingClient, Chunk, DaemonInfo, Domain, Position
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.administration import ADMINISTRATION
from twisted_virtlog.ctl.boots_command import boots
from twisted_virtlog.ctl.grep_command import grep
from twisted_virtlog.ctl.holders import find_holders
from twisted_virtlog.ctl.outcomes import Program, json_of, print_answer, warn
from twisted_virtlog.ctl.parameters import (
    Settings,
    common_options,
    log_path,
    origin_options,
    pass_settings,
    start_position,
)
from twisted_virtlog.ctl.parts import last_lines, read_range
from twisted_virtlog.ctl.progress import shown
from twisted_virtlog.ctl.ranges import Limits, Range, range_options
from twisted_virtlog.ctl.reading import CHUNK_BYTES, read_to_end
from twisted_virtlog.ctl.recording import (
    ReadAgain,
    Recording,
    base64_pieces,
    is_utf8,
    utf8_pieces,
)
from twisted_virtlog.ctl.running import become, find_command
from twisted_virtlog.ctl.tail_command import tail as tail_command
from twisted_virtlog.ctl.wait_command import wait

#: More than any request may have, so that what is cut off here is refused, not shortened.
_STDIN_BYTES = 16 * 1024 * 1024 + 1


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
    \b
    Exit status:
      0  success
      1  the daemon answered with an error
      2  the command line is wrong
      3  the daemon cannot be reached, or does not answer
      4  grep, wait: the daemon answered with an error
      124  wait: the time is over
      126, 127  exec: the command cannot be run, or was not found
      130, 141  interrupted; or nobody reads the output any more
    Once exec has started its command, the exit status is the command's.
    """,
)
@common_options
@click.version_option(__version__, prog_name="virtlogctl", message="%(prog)s %(version)s")
def virtlogctl() -> None:
    """Read, write and administer the logs of the virtual machine log daemon."""


@virtlogctl.command()
@common_options
@pass_settings
def info(settings: Settings) -> None:
    """Show the daemon's socket, version, limits and totals.

    "lanes" are the threads of file systems that may not answer, and "lane_oldest_s" is for how many
    seconds the longest of their operations has lasted.
    """
    with settings.connect() as client:
        answer = client.info()
    _print_info(settings, answer)


@virtlogctl.command()
@click.option(
    "--to-virtlogd",
    metavar="PATH",
    help="Hand over to libvirt's virtlogd at this path instead.",
)
@click.option(
    "--state-version",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write version N of the state, for an older release to take over; 1 is the oldest.",
)
@common_options
@pass_settings
def reexec(settings: Settings, to_virtlogd: str | None, state_version: int | None) -> None:
    """Make the daemon re-execute itself, as after an upgrade.

    The new image takes over all logs, sockets and clients; neither guests nor clients notice. If it
    cannot start, the daemon continues as it is, and the reason is printed. virtlogd takes over
    everything except the JSON-RPC socket and its clients.
    """
    with settings.connect() as client:
        client.reexec(os.path.abspath(to_virtlogd) if to_virtlogd else None, state_version)
        if to_virtlogd:
            if settings.json:
                click.echo("null")
            return
        # (the next image answers this, as soon as it serves)
        answer = client.info()
    _print_info(settings, answer)


@virtlogctl.command("list")
@click.option("--closed", is_flag=True, help="Also the known logs that are not open.")
@common_options
@pass_settings
def list_logs(settings: Settings, closed: bool) -> None:
    """List the open logs.

    POSITION is the end of the log's file, without what is still in the pipe. HOLDERS are the
    processes that can write to the pipe; root sees those of all users. THREAD, where a log has one,
    is the mount point of the file system whose own thread writes the log. With --closed, KEPT are
    the bytes in the log's files, as far as they are known.
    """
    with settings.connect() as client:
        logs = client.list(closed=closed)
    holders = find_holders({log.pipe for log in logs if log.pipe is not None})
    answer = [{**msgspec.to_builtins(log), "holders": holders.of(log.pipe)} for log in logs]
    print_answer(settings, answer, tables.logs_table(logs, holders, closed))


@virtlogctl.command()
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


@virtlogctl.command()
@log_path
@start_position
@range_options
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option(
    "--bytes", "max_bytes", type=click.IntRange(min=1), metavar="N", help="At most N bytes."
)
@common_options
@pass_settings
def read(
    settings: Settings,
    *,
    path: str,
    start: Position | None,
    limits: Limits,
    tail: int | None,
    max_bytes: int | None,
) -> None:
    """Copy the exact bytes of a log to standard output.

    This includes everything written before the command started, from the oldest file of the
    rotation to the newest. A message on standard error says if bytes after --from are missing
    because they were rotated away.

    With --json: an object with "data" in "encoding" (utf-8, or base64 if that would not be exact),
    "start" (without --tail), "end" and "gap".
    """
    if tail is not None and max_bytes is not None:
        raise click.UsageError("--tail and --bytes cannot be used together.")
    if not limits.are_none and (start is not None or max_bytes is not None):
        raise click.UsageError(
            "--from and --bytes cannot be used together with --since, --until or --boot."
        )
    with settings.connect() as client:
        if limits.are_none:
            chunks = read_to_end(client, path, start, max_bytes)
        else:
            chunks = _read_ranges(client, path, limits.ranges(client, path))

        def read_again(position: Position, length: int) -> Chunk:
            return client.read(path, position, min(length, CHUNK_BYTES))

        if settings.json:
            _print_excerpt(_record(chunks, tail), read_again, with_start=tail is None)
        elif tail is None:
            _copy(_with_gaps(chunks, path))
        else:
            _print_tail(_record(_with_gaps(chunks, path), tail), read_again, path)


@virtlogctl.command()
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


@virtlogctl.command()
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


@virtlogctl.command()
@common_options
@pass_settings
def discover(settings: Settings) -> None:
    """Print the OpenRPC document of the daemon's methods, in JSON."""
    with settings.connect() as client:
        document = client.discover()
    click.echo(json.dumps(document, indent=None if settings.json else 2))


@virtlogctl.command(
    "exec",
    short_help="Run a command with its output in a log.",
    epilog="""
    Example: virtlogctl exec /var/log/guest.log --append-stderr -- qemu-system-x86_64 -nographic
    """,
)
@log_path
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--append-stderr",
    is_flag=True,
    help="Write standard error to the log too; by default it is left alone.",
)
@click.option("--truncate", is_flag=True, help="Begin with an empty log, and remove its backups.")
@origin_options
@common_options
@pass_settings
def execute(
    settings: Settings,
    *,
    path: str,
    command: tuple[str, ...],
    append_stderr: bool,
    truncate: bool,
    driver: str,
    domain: Domain | None,
) -> None:
    """Open a log and run COMMAND with its standard output in the log.

    Write -- before COMMAND if it has options. virtlogctl becomes COMMAND: process id, signals and
    exit status are the command's. The log is closed when all processes that hold its output have
    ended.
    """
    # Before the log is opened, and possibly truncated, in vain.
    file = find_command(command[0])
    with settings.connect() as client:
        opened = client.open(path, driver, domain, truncate)
    become(file, command, opened.write_end, append_stderr)


for _command in (boots, tail_command, wait, grep, *ADMINISTRATION):
    virtlogctl.add_command(_command)


def _read_ranges(client: BlockingClient, path: str, ranges: Sequence[Range]) -> Iterator[Chunk]:
    """Read parts of a log; where there are none, nothing at its end."""
    chunk = None
    for one in ranges:
        for chunk in read_range(client, path, one):
            yield chunk
    if chunk is None:
        end = last_lines(client, path, 0).end
        yield Chunk(b"", end, end, gap=False)


def _copy(chunks: Iterable[Chunk]) -> None:
    # (on a terminal the data itself shows the progress)
    for chunk in chunks if sys.stdout.isatty() else shown(chunks, sys.stderr):
        sys.stdout.buffer.write(chunk.data)


def _with_gaps(chunks: Iterable[Chunk], path: str) -> Iterator[Chunk]:
    for chunk in chunks:
        if chunk.gap:
            oldest = tables.position_text(chunk.start)
            warn(f"{path}: bytes are missing: rotated away before {oldest}")
        yield chunk


def _record(chunks: Iterable[Chunk], tail: int | None) -> Recording:
    recording = Recording(tail)
    for chunk in shown(chunks, sys.stderr):
        recording.add(chunk)
    return recording


def _print_tail(recording: Recording, read_again: ReadAgain, path: str) -> None:
    was_complete = not recording.gap
    for data in recording.content(read_again):
        sys.stdout.buffer.write(data)
    if was_complete and recording.gap:
        warn(f"{path}: bytes are missing: rotated away in the meantime")


def _print_excerpt(recording: Recording, read_again: ReadAgain, with_start: bool) -> None:
    """Print what was read as one JSON text, a piece at a time."""
    as_text = is_utf8(recording.content(read_again))
    content = recording.content(read_again)
    beginning: dict[str, object] = {"encoding": "utf-8" if as_text else "base64"}
    if with_start:
        beginning["start"] = recording.start
    click.echo(json_of(beginning)[:-1] + ',"data":"', nl=False)
    for piece in utf8_pieces(content) if as_text else base64_pieces(content):
        click.echo(json_of(piece)[1:-1], nl=False)
    ending = {"end": recording.end, "gap": recording.gap}
    click.echo('",' + json_of(ending)[1:])


def _print_info(settings: Settings, info: DaemonInfo) -> None:
    socket = os.path.abspath(settings.socket_path)
    answer = {"socket": socket, **msgspec.to_builtins(info)}
    print_answer(settings, answer, tables.info_table(info, socket))


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
