"""Find the socket at which this user reaches a daemon, if none is named."""

from __future__ import annotations

import os

from twisted_virtlog.config.paths import default_paths

#: Where the system's daemon serves a group that only reads.
SYSTEM_READ_ONLY = default_paths(0, "", {}).jsonrpc_ro_socket


def own_socket() -> str:
    """Return the socket of the daemon that this user would start."""
    home = os.path.expanduser("~")
    return default_paths(os.geteuid(), home, os.environ).jsonrpc_socket


def usual_socket() -> str:
    """Return the socket of this user's daemon, or the system's read-only socket.

    The latter if the former does not exist or does not admit this user, and the latter does.
    """
    own = own_socket()
    if os.access(own, os.W_OK) or not os.access(SYSTEM_READ_ONLY, os.W_OK):
        return own
    return SYSTEM_READ_ONLY
