"""What to do if no daemon answers: which command starts one, if any does."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
from collections.abc import Iterable

from twisted_virtlog.client import Unreachable
from twisted_virtlog.client.usual_socket import own_socket
from twisted_virtlog.config.endpoint_strings import quoted
from twisted_virtlog.ctl.presence import NOBODY, libvirt_socket, listened_on

_UNIT = "virtlogd-jsonrpc.socket"
_SYSTEMD_RUNS = "/run/systemd/system"
_UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


def advice(socket: str, error: Unreachable) -> str:
    """Return what a person can do about a daemon that cannot be reached; may be empty."""
    if error.errno == errno.EACCES:
        return "The daemon serves only root and the user that it runs as."
    if error.errno not in NOBODY:
        return ""
    if listened_on(served := libvirt_socket(socket)):
        return (
            f"A daemon serves {served}: either it is libvirt's own, which has no JSON-RPC"
            " socket, or its JSON-RPC socket is elsewhere (--socket)."
        )
    command = _start_command(os.path.abspath(socket))
    return f"To start a daemon there: {command}" if command else ""


def _start_command(socket: str) -> str | None:
    is_default = socket == own_socket()
    if is_default and os.geteuid() == 0 and _unit_installed():
        return f"systemctl start {_UNIT}"
    twistd = _command("twistd")
    if not is_default:
        # (twisted-virtlogd does not have this option, as virtlogd does not)
        listening = f" --jsonrpc {shlex.quote(quoted(socket))}"
        return f"{twistd} -n --pidfile= virtlogd{listening}" if twistd else None
    if twistd and os.sep not in twistd:
        return f"{twistd} -n --pidfile= virtlogd"
    return _command("twisted-virtlogd")


def _unit_installed() -> bool:
    return os.path.isdir(_SYSTEMD_RUNS) and any(
        os.path.exists(os.path.join(directory, _UNIT)) for directory in _UNIT_DIRECTORIES
    )


def _command(name: str) -> str | None:
    """Return how to call a command that was installed with this one; None if it was not."""
    found = shutil.which(name)
    for directory in _own_directories():
        own = os.path.join(directory, name)
        if found and os.path.realpath(found) == os.path.realpath(own):
            return name
        if os.access(own, os.X_OK):
            return shlex.quote(own)
    return None


def _own_directories() -> Iterable[str]:
    """Return where commands of the same installation may be."""
    yield os.path.dirname(sys.executable)
    if os.path.isabs(sys.argv[0]) or os.sep in sys.argv[0]:
        yield os.path.dirname(os.path.abspath(sys.argv[0]))
    elif own := shutil.which(sys.argv[0]):
        yield os.path.dirname(own)
