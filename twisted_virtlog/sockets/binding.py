"""Binds UNIX sockets that only their owner can reach, in place of those of dead daemons.

Dead is also a daemon that cannot end, as a thread of it waits for a file system.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from twisted.logger import Logger

from twisted_virtlog.config.paths import too_long
from twisted_virtlog.errors import ListenError
from twisted_virtlog.loop.processes import is_dying
from twisted_virtlog.sockets.left_behind import find_dying_listener
from twisted_virtlog.sockets.peer_credentials import PeerCredentials, peer_credentials

#: As many clients may wait as the kernel allows (net.core.somaxconn). virtlogd lets 30 wait, but a
#: client with a time-out is turned away at once when the queue is full.
BACKLOG = socket.SOMAXCONN

_logger = Logger()


def bind(path: str, mode: int, group: int | None = None) -> socket.socket:
    """Return a socket that listens at a path, in place of one whose daemon is dead.

    :param mode: of the socket's file.
    :param group: of the file; None for that of the process.
    :raises ListenError: a live process has it, or it cannot be made.
    """
    if fault := too_long(path):
        raise ListenError(f"cannot listen on {path}: {fault}")
    try:
        with _locked(f"{path}.lock"):
            _remove_stale(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # The file never has more rights than its owner's, not even for a moment.
                umask = os.umask(0o177)
                try:
                    sock.bind(path)
                finally:
                    os.umask(umask)
                if group is not None:
                    _give(path, group)
                os.chmod(path, mode)
                sock.listen(BACKLOG)
            except BaseException:
                sock.close()
                raise
            return sock
    except OSError as error:
        raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from error


def _give(path: str, group: int) -> None:
    """Give a socket's file to a group.

    :raises ListenError: the process may not.
    """
    try:
        os.chown(path, -1, group)
    except PermissionError as error:
        with suppress(OSError):
            os.unlink(path)
        raise ListenError(
            f"cannot listen on {path}: the daemon may not give it to the group {group}; under"
            " systemd, a socket unit does: virtlogd-jsonrpc-ro.socket or virtlogd-metrics.socket"
        ) from error


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {path}: it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            # A daemon that stops removed it just now.
            return
        except BlockingIOError:
            # Its queue is full: another daemon is there, or was.
            dying = find_dying_listener(path)
            if dying is None:
                raise ListenError(f"cannot listen on {path}: another daemon has it") from None
        else:
            # (of a socket that listens the kernel says who made it do so)
            peer = peer_credentials(probe)
            if not is_dying(peer.pid):
                raise ListenError(f"cannot listen on {path}: {_name(peer)} has it")
            dying = peer.pid
    os.unlink(path)
    _logger.warn(
        "{path}: the socket of process {pid}, which waits for a file system and cannot end, gives"
        " way to a new one",
        path=path,
        pid=dying,
    )


def _name(peer: PeerCredentials) -> str:
    try:
        with open(f"/proc/{peer.pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"process {peer.pid} ({file.read().strip()})"
    except OSError:
        return f"process {peer.pid}"


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Keep another daemon that starts now from removing the socket that was just made.

    :param path: of a file for this purpose alone. The socket's directory would not do: whoever may
        read it could lock it, and so keep the daemon from starting.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # If the process that had the lock has removed its file, this lock keeps nobody out.
            if file_of(path) == _identity(os.fstat(descriptor)):
                try:
                    yield
                finally:
                    with suppress(OSError):
                        os.unlink(path)
                return
        finally:
            os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def file_of(path: str) -> tuple[int, int] | None:
    """Return the device and inode of the file at a path; None if there is no file."""
    try:
        return _identity(os.lstat(path))
    except OSError:
        return None
