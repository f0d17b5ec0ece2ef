"""The socket of libvirt's admin program, of virtlogd or of this daemon."""

from __future__ import annotations

import time

from tests.stack.rpc_client import ADMIN_PROGRAM, Connection, frame
from tests.stack.sides import Side

ADMIN_SOCKET = "/run/libvirt/virtlogd-admin-sock"

GET_LIB_VERSION = 3
_START_SECONDS = 60.0


def connect(side: Side) -> Connection:
    """Become a client of it."""
    return Connection(str(side.outside(ADMIN_SOCKET)))


def wait_until_it_answers(side: Side) -> None:
    """Wait for a daemon that has just made its first socket to serve this one too."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with connect(side) as client:
                client.send(frame(GET_LIB_VERSION, program=ADMIN_PROGRAM))
                client.receive()
                return
        except OSError:
            if side.process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
