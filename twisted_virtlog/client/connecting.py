"""A client's socket: how to connect, how long to wait between attempts, and how to receive."""

from __future__ import annotations

import array
import errno
import socket
from collections.abc import Iterator, Sequence

from twisted_virtlog.client.errors import Unreachable
from twisted_virtlog.config.paths import too_long

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_WITHOUT_A_DAEMON_SECONDS = 1.0

_RECEIVE_BYTES = 256 * 1024
#: The most descriptors that the kernel passes at once (SCM_MAX_FD).
_ANCILLARY_BYTES = socket.CMSG_SPACE(253 * array.array("i").itemsize)


def attempt(path: str) -> socket.socket | None:
    """Connect, if that is possible without waiting.

    :returns: a non-blocking socket; None if the daemon's queue of connections is full. Try again
        then: the kernel does not report when there is room.
    :raises Unreachable: nobody listens there, or this user may not connect.
    """
    try:
        if fault := too_long(path):
            raise Unreachable(path, fault, errno.ENAMETOOLONG)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
    except BlockingIOError:
        return None
    except OSError as error:
        raise Unreachable(path, error.strerror or str(error), error.errno) from error
    except ValueError as error:
        raise Unreachable(path, str(error), None) from error
    return sock


def pauses(path: str, timeout: float | None) -> Iterator[float]:
    """Yield the seconds to wait after each attempt that found the queue full.

    :param timeout: seconds to wait in all; None for no limit.
    :raises Unreachable: that time has passed.
    """
    pause, waited = _FIRST_PAUSE_SECONDS, 0.0
    while timeout is None or waited < timeout:
        step = pause if timeout is None else min(pause, timeout - waited)
        yield step
        waited += step
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    raise Unreachable(
        path,
        f"its queue of connections was full for {timeout:g} seconds; the daemon is busy, stopped,"
        " or has reached its limit of clients",
        errno.EAGAIN,
    )


def pauses_for_ever() -> Iterator[float]:
    """Yield the seconds to wait before each attempt to connect again to a daemon that has gone."""
    yield 0.0
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE_WITHOUT_A_DAEMON_SECONDS)


def receive(sock: socket.socket) -> tuple[bytes, Sequence[int]]:
    """Receive what has arrived.

    :returns: the bytes, empty if the daemon has closed the connection; and the descriptors that
        came with them, close-on-exec, which the caller owns.
    :raises OSError: as recvmsg(2) fails.
    """
    data, ancillary, _flags, _address = sock.recvmsg(
        _RECEIVE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, descriptors.tolist()
