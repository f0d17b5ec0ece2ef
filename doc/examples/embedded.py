"""A management application that runs the log daemon inside itself.

It opens a log of its own through the API, without a socket, writes a program's output to it, and
serves JSON-RPC clients at the same time. Run it with a directory for its socket and its log:

    python embedded.py /tmp/demo
"""

from __future__ import annotations

import os
import sys

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.utils import getProcessOutput

from twisted_virtlog.config.settings import Settings
from twisted_virtlog.service import Endpoints, VirtlogService


async def manage(directory: str) -> None:
    """Be the application: start its services, use a log, stop."""
    application = MultiService()
    daemon = VirtlogService(
        Settings(max_size=1 << 20, max_backups=2),
        Endpoints(jsonrpc=f"unix:{directory}/virtlogd-jsonrpc-sock:mode=600"),
        reactor,
    )
    daemon.setServiceParent(application)
    application.startService()

    path = f"{directory}/greeting.log"
    opened = daemon.handler.open(path, driver="embedded", domain=None, truncate=False)
    # Any program would do; a real guest would get the descriptor as its standard output.
    os.write(opened.write_end, await getProcessOutput("/bin/echo", ["hello from a guest"]))
    position = daemon.handler.position(path)
    os.close(opened.write_end)
    print(f"{path} reaches to {position.offset} of inode {position.inode}")

    stopped = application.stopService()
    if isinstance(stopped, Deferred):
        await stopped


if __name__ == "__main__":
    react(lambda _reactor, directory: Deferred.fromCoroutine(manage(directory)), sys.argv[1:])
