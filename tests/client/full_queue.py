"""A listening socket whose queue of connections is full."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def full_queue(path: Path) -> Iterator[socket.socket]:
    """Listen at a path, where connections wait that nobody has accepted.

    :returns: the listener; each connection accepted makes room for another one.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(path))
        listener.listen(0)
        try:
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting.setblocking(False)
                waiting.connect(str(path))
        except BlockingIOError:
            pass
        yield listener
