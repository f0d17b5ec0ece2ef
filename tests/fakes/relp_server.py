"""A server of RELP in the test's own event loop, which answers as it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from twisted_virtlog.ship.relp_frames import Frame, FrameReader

_OFFERS = b"200 OK\nrelp_version=0\nrelp_software=fake\ncommands=syslog\n"


@dataclass
class RelpServer:
    """What came, and what is answered.

    :ivar commands: all frames, in order.
    :ivar offers: the answer to ``open``.
    :ivar refuses: a text; a message that has it is answered with 500.
    :ivar takes: so many messages are answered, then the connection ends; None for no end.
    :ivar is_open: messages are answered while this is set.
    """

    commands: list[Frame] = field(default_factory=list)
    offers: bytes = _OFFERS
    refuses: bytes = b"\0no line has this"
    takes: int | None = None
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    sessions: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"relp://127.0.0.1:{self.port}"

    def texts(self) -> list[bytes]:
        """Return the lines that came, as often as they did."""
        return [one.data.partition(b"] ")[2] for one in self.commands if one.command == b"syslog"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection."""
        self.sessions += 1
        frames = FrameReader()
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                for frame in frames.feed(data):
                    self.commands.append(frame)
                    answer = await self._answer(frame)
                    if answer is None:
                        return
                    writer.write(Frame(frame.number, b"rsp", answer).encode())
                    if frame.command == b"close":
                        writer.write(Frame(0, b"serverclose").encode())
                        return

    async def _answer(self, frame: Frame) -> bytes | None:
        if frame.command == b"open":
            return self.offers
        if frame.command == b"syslog":
            await self.is_open.wait()
            if self.refuses in frame.data:
                return b"500 it is poison"
            if self.takes is not None:
                self.takes -= 1
                if self.takes < 0:
                    self.takes = None
                    return None
        return b"200 OK"


@contextlib.asynccontextmanager
async def relp_serving() -> AsyncIterator[RelpServer]:
    """Have one inside the context."""
    one = RelpServer()
    one.is_open.set()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        yield one
