"""Who is at the other end of a UNIX socket, as the kernel says."""

from __future__ import annotations

import socket
import struct

from msgspec import Struct

_UCRED = struct.Struct("iII")


class PeerCredentials(Struct, frozen=True):
    """The process that connected, as it was then (SO_PEERCRED of unix(7))."""

    pid: int
    uid: int
    gid: int


def peer_credentials(sock: socket.socket) -> PeerCredentials:
    """Ask the kernel who connected."""
    option = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return PeerCredentials(*_UCRED.unpack(option))
