"""Takes charge of descriptors that the service manager handed over, and sorts them."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct
from twisted.logger import Logger

from twisted_virtlog.errors import ListenError
from twisted_virtlog.handover.ownership import owners
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.syscalls import bytes_waiting, pipe_events
from twisted_virtlog.systemd.activation import Activation
from twisted_virtlog.systemd.journal import VERSION, Journal, Left, choose
from twisted_virtlog.systemd.names import dropping_name, pipe_name, staging_name

_PROCESS_ENVIRONMENT = "/proc/self/environ"

_logger = Logger()


class Stored(Struct, frozen=True):
    """What was in the store.

    :ivar logs: the logs to go on with, each with its pipe, and with that which has what is staged.
    :ivar useless: the names of all that is not needed; it is closed. What lanes recorded is needed
        until the journal says the same.
    :ivar journal: the name of the journal that counts; None if there is none.
    :ivar left: the names of what is a newer release's, and stays in the store.
    :ivar left_journal: their journal.
    """

    logs: tuple[OpenLogState, ...] = ()
    useless: tuple[str, ...] = ()
    journal: str | None = None
    left: tuple[str, ...] = ()
    left_journal: Left | None = None


def started_environment() -> dict[str, str]:
    """Return the environment with which the process was started.

    :data:`os.environ` no longer has all of it: twisted.internet.endpoints removes LISTEN_PID and
    LISTEN_FDS when it is imported, which twistd does before any plugin.
    """
    with open(_PROCESS_ENVIRONMENT, "rb") as file:
        pairs = [line.partition(b"=") for line in file.read().split(b"\0")]
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if name}


def take(activation: Activation, strictly: bool) -> None:
    """Keep the descriptors from programs that this process executes.

    :param strictly: whether nobody else looks for sockets among them.
    :raises ListenError: one is not there, or a socket is for nobody; libvirt's virtlogd also ends
        then.
    """
    if activation.mistake is not None:
        _logger.error("{mistake}; the daemon binds sockets itself", mistake=activation.mistake)
    for descriptor in activation.descriptors:
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            raise ListenError(
                f"descriptor {descriptor} should have been handed over, as LISTEN_FDS says, and"
                f" cannot be used: {error.strerror}"
            ) from error
    # (if anybody needed them, they have been read)
    close_all(activation.configurations)
    named = {
        **{descriptor: pipe_name(inode) for descriptor, inode in activation.pipes.items()},
        **{descriptor: staging_name(inode) for descriptor, inode in activation.staging.items()},
        **{descriptor: dropping_name(inode) for descriptor, inode in activation.dropping.items()},
        **activation.lanes,
        **activation.unclaimed,
    }
    for descriptor, name in named.items():
        if strictly and _is_socket(descriptor):
            raise ListenError(
                f"descriptor {descriptor} was handed over with the name {name!r}, and nobody"
                " listens on it; FileDescriptorName= of a socket unit is virtlogd.socket,"
                " virtlogd-admin.socket, virtlogd-jsonrpc.socket or virtlogd-jsonrpc-ro.socket"
            )
    for descriptor, name in activation.unclaimed.items():
        if _is_socket(descriptor):
            continue
        _logger.warn(
            "descriptor {name} of the service manager's store is unknown, and is closed", name=name
        )
        close_all([descriptor])


def last_configuration(activation: Activation) -> bytes | None:
    """Return the text of the last configuration that was right; None if it is not in the store."""
    for descriptor in activation.configurations:
        with suppress(OSError):
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return None


def in_drop_pipes(activation: Activation) -> Mapping[int, int]:
    """Return how many bytes are in each drop pipe, by inode numbers, and close them."""
    found: dict[int, int] = {}
    for descriptor, inode in activation.dropping.items():
        if _is_pipe(descriptor, inode):
            found[inode] = bytes_waiting(descriptor)
        close_all([descriptor])
    return found


def stored(activation: Activation) -> Stored:
    """Find the logs of a former process, and close pipes and journals that are not needed."""
    contents = []
    for descriptor, name in activation.journals.items():
        with suppress(OSError), open(descriptor, "rb") as file:
            file.seek(0)
            contents.append((name, file.read()))
    choice = choose(contents)
    journal = choice.journal
    if journal.unreadable:
        _logger.error(
            "{lines} lines of the journal of open logs cannot be read", lines=journal.unreadable
        )
    # (whoever counts what is in drop pipes does so before they are removed)
    useless = [*choice.useless, *map(dropping_name, activation.dropping.values())]
    pipes = _pipes(activation.pipes, pipe_name, useless)
    staging = _pipes(activation.staging, staging_name, useless)
    records = {name: _record(descriptor) for descriptor, name in activation.lanes.items()}
    staged = _staged(journal, records.values(), staging)
    logs = [
        _resumed(log, pipes.pop(inode), staging.pop(staged.get(inode, -1), None))
        for inode, log in journal.logs.items()
        if inode in pipes
    ]
    left: list[str] = []
    if choice.left is None:
        for inode, descriptor in pipes.items():
            _report_orphan(inode, descriptor)
        for inode, descriptor in staging.items():
            _report_staged(inode, descriptor)
    else:
        _logger.error(
            "{pipes} pipes are left in the service manager's store: their journal is of version"
            " {version}, made by a newer release, and this one reads versions up to {known}; the"
            " newer release goes on with them when it is started again, and their guests wait when"
            " they are full",
            pipes=len(pipes),
            version=choice.left.version,
            known=VERSION,
        )
        left = [*map(pipe_name, pipes), *_left_of_lanes(staging, records)]
    rest = {*map(pipe_name, pipes), *map(staging_name, staging), *records}
    useless += rest.difference(left)
    close_all([*pipes.values(), *staging.values()])
    return Stored(tuple(logs), tuple(useless), choice.name, tuple(left), choice.left)


def _pipes(
    given: Mapping[int, int], name_of: Callable[[int], str], useless: list[str]
) -> dict[int, int]:
    """Return pipes by their inode numbers; close what is there twice, or is something else.

    :param useless: gets the names of those.
    """
    found: dict[int, int] = {}
    for descriptor, inode in given.items():
        if inode in found or not _is_pipe(descriptor, inode):
            useless.append(name_of(inode))
            close_all([descriptor])
        else:
            found[inode] = descriptor
    return found


def _record(descriptor: int) -> Mapping[int, int] | None:
    """Read the record of a lane, and close it; None if it is not understood."""
    try:
        return owners(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    except OSError:
        return None
    finally:
        close_all([descriptor])


def _staged(
    journal: Journal, records: Iterable[Mapping[int, int] | None], staging: Mapping[int, int]
) -> Mapping[int, int]:
    """Find the staging pipe of each log that has one, both by inode numbers.

    An empty one counts as well if the log has a lane: the former process may not be gone, and a
    thread of it may yet move into it what it was about to take. And nothing but poll(2) asks a
    staging pipe: that thread may have it locked.
    """
    # (what the journal says is older: it is of what another process had staged)
    whose = {log.staged: pipe for pipe, log in journal.logs.items() if log.staged is not None}
    for record in records:
        whose.update(record or {})
    found: dict[int, int] = {}
    for number, pipe in whose.items():
        log, descriptor = journal.logs.get(pipe), staging.get(number)
        if log is None or descriptor is None:
            continue
        has_lane = log.details is not None and log.details.lane is not None
        # (one that was emptied may still be there)
        is_only = pipe not in found or not _has_bytes(staging[found[pipe]])
        if _has_bytes(descriptor) or (has_lane and is_only):
            found[pipe] = number
    return found


def _left_of_lanes(
    staging: Mapping[int, int], records: Mapping[str, Mapping[int, int] | None]
) -> Iterator[str]:
    """Yield the names of what a newer release needs of its lanes: what is staged, and whose it is.

    :param staging: those of which it is not known whose they are.
    """
    guess = None in records.values()
    needed = {number for number, pipe in staging.items() if guess or _has_bytes(pipe)}
    yield from map(staging_name, needed)
    for name, record in records.items():
        if record is None or needed & record.keys():
            yield name


def _resumed(log: OpenLogState, pipe: int, staged: int | None) -> OpenLogState:
    details = log.details and msgspec.structs.replace(log.details, staged=staged)
    return msgspec.structs.replace(log, pipe=pipe, details=details)


def _has_bytes(pipe: int) -> bool:
    return bool(pipe_events(pipe) & select.POLLIN)


def _is_pipe(descriptor: int, inode: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_ISFIFO(status.st_mode) and status.st_ino == inode


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)


def _report_orphan(inode: int, descriptor: int) -> None:
    """Warn about a pipe without a record, unless nothing is lost with it."""
    events = pipe_events(descriptor)
    if events & select.POLLHUP and not events & select.POLLIN:
        return
    _logger.warn(
        "pipe {inode} of the service manager's store is closed with {waiting} bytes in it: the"
        " journal of open logs does not say whose it is",
        inode=inode,
        waiting=bytes_waiting(descriptor),
    )


def _report_staged(inode: int, descriptor: int) -> None:
    """Warn about a staging pipe without a log, unless it is empty."""
    if _has_bytes(descriptor):
        _logger.warn(
            "{name} of the service manager's store is closed with bytes in it: they were on the"
            " way from a guest's pipe to the file of a log, and that is not open or not known",
            name=staging_name(inode),
        )
