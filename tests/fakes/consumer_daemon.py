"""The consumer methods of a daemon, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class ConsumerDaemon:
    """What was acknowledged, and what is answered.

    :ivar acks: the paths and offsets of each acknowledgement, in order.
    :ivar rows: what ``consumer.list`` gives.
    :ivar error: with which acknowledgements are answered; None to take them.
    :ivar is_open: what comes is answered while this is set.
    """

    socket: str
    acks: list[dict[str, int]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    error: tuple[int, str] | None = None
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def acknowledged(self) -> dict[str, int]:
        """Up to which offsets logs are acknowledged."""
        return {path: offset for ack in self.acks for path, offset in ack.items()}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection."""
        self.writers.append(writer)
        decoder, text = json.JSONDecoder(), ""
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                text += data.decode()
                with contextlib.suppress(json.JSONDecodeError):
                    while text := text.lstrip():
                        request, end = decoder.raw_decode(text)
                        text = text[end:]
                        await self.is_open.wait()
                        writer.write(json.dumps(self._answer(request)).encode() + b"\n")

    def hang_up(self) -> None:
        """End all connections."""
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] == "consumer.list":
            return {**answer, "result": self.rows}
        assert request["method"] == "consumer.ack"
        params = request["params"]
        assert params["consumer"] == "nats"
        if self.error is not None:
            code, message = self.error
            return {**answer, "error": {"code": code, "message": message}}
        if params["acks"]:
            self.acks.append({one["path"]: one["position"]["offset"] for one in params["acks"]})
        return {**answer, "result": True}


@contextlib.asynccontextmanager
async def consumers_served(directory: Path) -> AsyncIterator[ConsumerDaemon]:
    """Have one inside the context."""
    daemon = ConsumerDaemon(str(directory / "sock"))
    daemon.is_open.set()
    server = await asyncio.start_unix_server(daemon.serve, daemon.socket)
    async with server:
        yield daemon
        daemon.hang_up()
