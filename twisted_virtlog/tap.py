"""The twistd plugin: options, and the service that they make.

Only this module and the command twisted-virtlogd use the global reactor and the environment. An
application that embeds the daemon uses :mod:`twisted_virtlog.service` instead.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, cast

from twisted.python import usage

from twisted_virtlog.daemon.twistd import forget_dying

if TYPE_CHECKING:
    from twisted_virtlog.daemon.process import DaemonService
    from twisted_virtlog.service import IDaemonReactor


class Options(usage.Options):
    """What ``twistd virtlogd`` and ``twist virtlogd`` take."""

    synopsis = "[options]"
    longdesc = (
        "Writes what guests print into size-rotated files, in the place of libvirt's virtlogd. An"
        " ENDPOINT is the path of a UNIX socket, or a Twisted server endpoint of one, as"
        " unix:/path:mode=600 or systemd:domain=UNIX:name=virtlogd.socket, or none. By default the"
        " configuration is /etc/libvirt/virtlogd.conf and the sockets are in /run/libvirt for root;"
        " for other users $XDG_CONFIG_HOME/libvirt/virtlogd.conf and $XDG_RUNTIME_DIR/libvirt."
    )
    optFlags: ClassVar = [
        ["check", None, "Report all mistakes in the configuration and exit."],
    ]
    optParameters: ClassVar = [
        ["config", None, None, "Configuration file, instead of libvirt's virtlogd.conf."],
        ["jsonrpc", None, None, "Endpoint for JSON-RPC, instead of virtlogd-jsonrpc-sock."],
        [
            "jsonrpc-ro",
            None,
            None,
            "Endpoint for JSON-RPC clients that only read, who are of the group jsonrpc_ro_group.",
        ],
        ["libvirt", None, None, "Endpoint for libvirt's drivers, instead of virtlogd-sock."],
        ["admin", None, None, "Endpoint for virt-admin, instead of virtlogd-admin-sock."],
        ["metrics", None, None, "Endpoint for Prometheus; there is none by default."],
    ]

    def postOptions(self) -> None:
        """Let a process that cannot end not keep twistd from starting another."""
        forget_dying(self.parent or {})


def makeService(options: Options) -> DaemonService:
    """Make the service for twistd and twist.

    A mistake in the configuration ends the process with status 1 and one line that says it.
    """
    # (what is imported here is most of the daemon)
    with _no_search_for_garbage():
        # Importing the reactor installs it, which only a process of our own may do.
        from twisted.internet import reactor  # noqa: PLC0415

        from twisted_virtlog.daemon.plugin import service_of  # noqa: PLC0415

        return service_of(options, cast("IDaemonReactor", reactor))


@contextlib.contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Keep Python from looking for garbage in what is imported meanwhile: there is none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # (else it would look at all of it at once now; the service does the same when it starts)
        gc.freeze()
        if was_enabled:
            gc.enable()
