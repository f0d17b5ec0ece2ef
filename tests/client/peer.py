"""The daemon's end of one connection, whose bytes a test chooses."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class Peer:
    """Listens, and answers the first request of the first connection.

    :ivar connection: once it is there, the daemon's end of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen()
        self.connection = self.listener

    def serve(self, answer: bytes) -> threading.Thread:
        """Send some bytes in a thread, once anything was asked."""

        def run() -> None:
            self.connection, _address = self.listener.accept()
            self.connection.recv(65536)
            self.connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def close(self) -> None:
        """End it all."""
        self.connection.close()
        self.listener.close()
