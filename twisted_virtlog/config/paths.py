"""Where the daemon's files are by default, as libvirt has them for root and for other users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paths:
    """The default paths of one daemon.

    :ivar config: the configuration file.
    :ivar run_directory: where the sockets are.
    :ivar run_mode: the directory's mode when it is made.
    :ivar own_log: the log of a daemon in the background that has no journal.
    """

    config: str
    run_directory: str
    run_mode: int
    own_log: str

    @property
    def jsonrpc_socket(self) -> str:
        """The socket of JSON-RPC clients."""
        return f"{self.run_directory}/virtlogd-jsonrpc-sock"

    @property
    def log_socket(self) -> str:
        """The socket of libvirt's log-manager program."""
        return f"{self.run_directory}/virtlogd-sock"


def default_paths(uid: int, home: str, environment: Mapping[str, str]) -> Paths:
    """Tell the default paths.

    :param uid: the effective user id; 0 is the system's daemon, any other a session's.
    :param home: the user's home directory.
    """
    if uid == 0:
        log = "/var/log/libvirt/virtlogd.log"
        return Paths("/etc/libvirt/virtlogd.conf", "/run/libvirt", 0o755, log)
    run = environment.get("XDG_RUNTIME_DIR") or f"{home}/.cache"
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    cache = environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    log = f"{cache}/libvirt/virtlogd.log"
    return Paths(f"{config}/libvirt/virtlogd.conf", f"{run}/libvirt", 0o700, log)
