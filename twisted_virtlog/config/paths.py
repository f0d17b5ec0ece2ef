"""Where the daemon's files are by default, as in libvirt, and what a socket's path may be."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

#: ``sun_path`` has 108 bytes, the last one for the NUL; see unix(7).
MAX_PATH_BYTES = 107


class Paths(Struct, frozen=True):
    """The default paths of one daemon.

    :ivar config: the configuration file.
    :ivar run_directory: where the sockets are.
    :ivar run_mode: the directory's mode when it is made.
    :ivar own_log: the log of a daemon in the background that has no journal.
    :ivar pid_file: libvirt's pid file; not in the run directory for root.
    :ivar restart_state: where virtlogd looks for the state of its former image.
    :ivar state: the directory of what the daemon keeps beside the logs.
    """

    config: str
    run_directory: str
    run_mode: int
    own_log: str
    pid_file: str
    restart_state: str
    state: str

    @property
    def jsonrpc_socket(self) -> str:
        """The socket of JSON-RPC clients."""
        return f"{self.run_directory}/virtlogd-jsonrpc-sock"

    @property
    def jsonrpc_ro_socket(self) -> str:
        """The socket of JSON-RPC clients that only read."""
        return read_only_path(self.jsonrpc_socket)

    @property
    def log_socket(self) -> str:
        """The socket of libvirt's log-manager program."""
        return f"{self.run_directory}/virtlogd-sock"

    @property
    def lanes(self) -> str:
        """The directory of the locks of lanes, in which each daemon has one of its own."""
        return f"{self.run_directory}/virtlogd-lanes"

    @property
    def admin_socket(self) -> str:
        """The socket of libvirt's admin program."""
        return f"{self.run_directory}/virtlogd-admin-sock"


def read_only_path(jsonrpc_socket: str) -> str:
    """Return where the read-only socket is that belongs to a socket of JSON-RPC clients."""
    return f"{jsonrpc_socket}-ro"


def default_paths(uid: int, home: str, environment: Mapping[str, str]) -> Paths:
    """Return the default paths.

    :param uid: the effective user id; 0 is the system's daemon, any other a session's.
    :param home: the user's home directory.
    """
    if uid == 0:
        return Paths(
            config="/etc/libvirt/virtlogd.conf",
            run_directory="/run/libvirt",
            run_mode=0o755,
            own_log="/var/log/libvirt/virtlogd.log",
            pid_file="/run/virtlogd.pid",
            restart_state="/run/virtlogd-restart-exec.json",
            state="/var/lib/libvirt/virtlogd",
        )
    run = environment.get("XDG_RUNTIME_DIR") or f"{home}/.cache"
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    cache = environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    state = environment.get("XDG_STATE_HOME") or f"{home}/.local/state"
    return Paths(
        config=f"{config}/libvirt/virtlogd.conf",
        run_directory=f"{run}/libvirt",
        run_mode=0o700,
        own_log=f"{cache}/libvirt/virtlogd.log",
        pid_file=f"{run}/libvirt/virtlogd.pid",
        restart_state=f"{run}/libvirt/virtlogd-restart-exec.json",
        state=f"{state}/libvirt/virtlogd",
    )


def too_long(path: str) -> str | None:
    """Return what is wrong with the length of a socket's path; None: nothing.

    :raises ValueError: no file can have this path.
    """
    length = len(os.fsencode(path))
    if length <= MAX_PATH_BYTES:
        return None
    return (
        f"the path is too long: {length} bytes, where a socket's may have {MAX_PATH_BYTES};"
        " make a symbolic link to its directory, and write the path through that"
    )
