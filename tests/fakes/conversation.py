"""A conversation that keeps what has come from its client, for tests to say what becomes of it."""

from __future__ import annotations

from twisted_virtlog.sockets.conversation import Conversation


class Buffered(Conversation):
    """Keeps what has come; a subclass takes its requests out of :attr:`buffer`."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = b""

    @property
    def held_bytes(self) -> int:
        return len(self.buffer)

    @property
    def is_done(self) -> bool:
        return not self.buffer

    def discard(self) -> None:
        self.buffer = b""

    def feed(self, data: bytes) -> None:
        self.buffer += data
