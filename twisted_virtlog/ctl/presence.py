"""Detect whether a daemon is there, and wait for one that is starting."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import TypeVar

from twisted_virtlog.client import Unreachable

C = TypeVar("C")

#: How connecting fails if nobody listens.
NOBODY = (errno.ENOENT, errno.ECONNREFUSED)

#: How long a daemon may take to replace its own image, or virtlogd, on a slow machine.
COMING_SECONDS = 5.0
_PAUSE_SECONDS = 0.05

_LISTENS = 0x10000


def connect(path: str, timeout: float | None, client: Callable[[str, float | None], C]) -> C:
    """Connect to the daemon; wait a little for one that is starting.

    One is if somebody listens where the daemon of this socket serves libvirt: when virtlogd has
    handed over, the JSON-RPC socket follows a moment later.

    :param timeout: seconds, for this and for each call; None for no limit.
    :param client: connects, given the two.
    :raises Unreachable: nobody listens there, or this user may not connect.
    """
    deadline = time.monotonic() + min(COMING_SECONDS, timeout or COMING_SECONDS)
    while True:
        try:
            return client(path, timeout)
        except Unreachable as error:
            waits = error.errno in NOBODY and time.monotonic() < deadline
            if not waits or not listened_on(libvirt_socket(path)):
                raise
        time.sleep(_PAUSE_SECONDS)


def libvirt_socket(jsonrpc_socket: str) -> str:
    """Return where the daemon of a JSON-RPC socket serves libvirt by default."""
    return os.path.join(os.path.dirname(os.path.abspath(jsonrpc_socket)), "virtlogd-sock")


def listened_on(path: str, table: str = "/proc/net/unix") -> bool:
    """Return whether somebody listens on a UNIX socket.

    This does not connect, which would start a service that is activated by its socket.
    """
    wanted = _resolved(path)
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.rstrip("\n").split(maxsplit=7) for line in file]
    except OSError:
        return False
    # Num RefCount Protocol Flags Type St Inode Path
    return any(
        len(row) == 8 and int(row[3], 16) & _LISTENS and _resolved(row[7]) == wanted
        for row in rows[1:]
    )


def _resolved(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name) if name == "virtlogd-sock" else path
