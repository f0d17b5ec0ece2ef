"""A collector of OTLP in the test's own event loop, which answers as it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_ENDS = (asyncio.IncompleteReadError, asyncio.CancelledError, OSError)


@dataclass
class Collector:
    """What came, and what is answered.

    :ivar requests: heads and bodies of the requests, in order.
    :ivar answers: whole answers to the next requests; an empty one ends the connection instead.
    :ivar refuses: a text; a request that has it is answered with 400.
    :ivar status: with which all requests are answered; None for how else it is said.
    :ivar is_open: what comes is answered while this is set.
    :ivar connections: how many were made.
    """

    requests: list[tuple[str, bytes]] = field(default_factory=list)
    answers: deque[bytes] = field(default_factory=deque)
    refuses: bytes = b"\0no line has this"
    status: int | None = None
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self.scheme}://127.0.0.1:{self.port}/v1/logs"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection."""
        self.connections += 1
        with contextlib.closing(writer), contextlib.suppress(*_ENDS):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
                body = await reader.readexactly(size)
                await self.is_open.wait()
                self.requests.append((head, body))
                answer = self._answer(body)
                if not answer:
                    return
                writer.write(answer)

    def _answer(self, body: bytes) -> bytes:
        if self.status is not None:
            return answered(self.status)
        if self.refuses in body:
            return answered(400)
        return self.answers.popleft() if body and self.answers else answered(200)


def answered(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Return an answer."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def collecting(tls: ssl.SSLContext | None = None) -> AsyncIterator[Collector]:
    """Have one inside the context."""
    collector = Collector(scheme="http" if tls is None else "https")
    collector.is_open.set()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0, ssl=tls)
    collector.port = server.sockets[0].getsockname()[1]
    async with server:
        yield collector
