"""Find the socket at which this user reaches a daemon, if none is named."""

from __future__ import annotations

import os

from twisted_virtlog.client.connecting import attempt
from twisted_virtlog.client.errors import Unreachable
from twisted_virtlog.config.paths import default_paths

#: Where the system's daemon serves a group that only reads.
SYSTEM_READ_ONLY = default_paths(0, "", {}).jsonrpc_ro_socket


def own_socket() -> str:
    """Return the socket of the daemon that this user would start."""
    home = os.path.expanduser("~")
    return default_paths(os.geteuid(), home, os.environ).jsonrpc_socket


def usual_socket() -> str:
    """Return the socket of this user's daemon, or the system's read-only socket.

    The latter if the former does not exist, does not admit this user, or has been left behind by a
    daemon that was killed; and the latter admits him. (The system's other socket serves root alone,
    whatever its mode is, and it is root's own.)
    """
    own = own_socket()
    if not os.access(SYSTEM_READ_ONLY, os.W_OK):
        return own
    return own if _is_served(own) else SYSTEM_READ_ONLY


def _is_served(path: str) -> bool:
    try:
        probe = attempt(path)
    except Unreachable:
        return False
    if probe is not None:
        probe.close()
    return True
