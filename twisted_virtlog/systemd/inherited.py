"""Takes charge of descriptors that the service manager handed over, and sorts them."""

from __future__ import annotations

import os
import select
import stat
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from twisted.logger import Logger

from twisted_virtlog.errors import ListenError
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.syscalls import bytes_waiting
from twisted_virtlog.systemd.activation import Activation
from twisted_virtlog.systemd.journal import VERSION, Left, choose
from twisted_virtlog.systemd.names import pipe_name

_PROCESS_ENVIRONMENT = "/proc/self/environ"

_logger = Logger()


@dataclass(frozen=True, slots=True)
class Stored:
    """What was in the store.

    :ivar logs: the logs to go on with, each with its pipe.
    :ivar useless: the names of pipes and journals that are not needed; they are closed.
    :ivar journal: the name of the journal that counts; None if there is none.
    :ivar left: the names of pipes of a newer release, which stay in the store.
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
    named = {descriptor: pipe_name(inode) for descriptor, inode in activation.pipes.items()}
    for descriptor, name in {**named, **activation.unclaimed}.items():
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
    pipes: dict[int, int] = {}
    useless = list(choice.useless)
    for descriptor, inode in activation.pipes.items():
        if inode in pipes or not _is_pipe(descriptor, inode):
            useless.append(pipe_name(inode))
            close_all([descriptor])
        else:
            pipes[inode] = descriptor
    logs = [
        msgspec.structs.replace(log, pipe=pipes.pop(inode))
        for inode, log in journal.logs.items()
        if inode in pipes
    ]
    rest = [pipe_name(inode) for inode in pipes]
    if choice.left is None:
        for inode, descriptor in pipes.items():
            _report_orphan(inode, descriptor)
        useless += rest
    else:
        _logger.error(
            "{pipes} pipes are left in the service manager's store: their journal is of version"
            " {version}, made by a newer release, and this one reads versions up to {known}; the"
            " newer release goes on with them when it is started again, and their guests wait when"
            " they are full",
            pipes=len(rest),
            version=choice.left.version,
            known=VERSION,
        )
    close_all(list(pipes.values()))
    left = tuple(rest) if choice.left else ()
    return Stored(tuple(logs), tuple(useless), choice.name, left, choice.left)


def _is_pipe(descriptor: int, inode: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_ISFIFO(status.st_mode) and status.st_ino == inode


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)


def _report_orphan(inode: int, descriptor: int) -> None:
    """Warn about a pipe without a record, unless nothing is lost with it."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    events = dict(poller.poll(0)).get(descriptor, 0)
    if events & select.POLLHUP and not events & select.POLLIN:
        return
    _logger.warn(
        "pipe {inode} of the service manager's store is closed with {waiting} bytes in it: the"
        " journal of open logs does not say whose it is",
        inode=inode,
        waiting=bytes_waiting(descriptor),
    )
