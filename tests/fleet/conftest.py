"""A stream with logs of hosts, in a real server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import nats
import pytest
from click.testing import Result
from nats.js.api import StreamConfig

from tests.ctl.runner import runner
from tests.ship.test_nats import Server
from twisted_virtlog.fleet.program import main
from twisted_virtlog.ship import headers as names
from twisted_virtlog.ship.headers import position_text
from twisted_virtlog.ship.subjects import subject
from twisted_virtlog.values import Position

#: When everything began.
NOON = datetime(2026, 11, 27, 12, 0, tzinfo=timezone.utc)

WEB = "11111111-1111-4111-8111-111111111111"
DB = "22222222-2222-4222-8222-222222222222"


@dataclass
class Line:
    """A message to be stored.

    :ivar seconds: after noon, by the clock of its host.
    :ivar said: more headers.
    """

    host: str
    path: str
    data: bytes
    uuid: str | None = None
    domain: str | None = None
    seconds: float = 0.0
    said: dict[str, str] | None = None


class Shelf:
    """A stream that is filled as a shipper does it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._offsets: dict[str, int] = {}

        async def make(client: nats.NATS) -> None:
            await client.jetstream().add_stream(
                StreamConfig(name="virtlog", subjects=["virtlog.>"])
            )

        server.run(make)

    def put(self, lines: Sequence[Line]) -> None:
        """Store messages."""

        async def store(client: nats.NATS) -> None:
            stream = client.jetstream()
            for line in lines:
                await stream.publish(*self.message(line)[:2], headers=self.message(line)[2])
                self._offsets[self.message(line)[0]] = self.end(line).offset

        self.server.run(store)

    def readers(self) -> int:
        """Return how many read the stream now."""

        async def count(client: nats.NATS) -> int:
            return (await client.jetstream().stream_info("virtlog")).state.consumer_count

        found = self.server.run(count)
        assert isinstance(found, int)
        return found

    def end(self, line: Line) -> Position:
        """Return where a message will end."""
        where = subject("virtlog", line.host, line.uuid, line.path)
        offset = self._offsets.get(where, 0)
        return Position(7, offset + len(line.data), "h1.x")

    def message(self, line: Line) -> tuple[str, bytes, dict[str, str]]:
        """Return subject, data and headers."""
        end = self.end(line)
        start = Position(end.inode, end.offset - len(line.data), end.birth)
        said = {
            names.START: position_text(start),
            names.END: position_text(end),
            names.HOST: line.host,
            names.PATH: line.path,
            names.DRIVER: "qemu",
            names.TIME: (NOON + timedelta(seconds=line.seconds)).isoformat(timespec="milliseconds"),
            **(line.said or {}),
        }
        if line.domain is not None:
            said[names.DOMAIN] = line.domain
        return subject("virtlog", line.host, line.uuid, line.path), line.data, said

    def run(self, *arguments: str, **extra: Any) -> Result:
        """Run the program in this process."""
        return runner().invoke(main, ["--server", self.server.url, *arguments], **extra)

    def bare(self, env: dict[str, str]) -> Result:
        """Run the program without arguments, as shells do for completion."""
        return runner().invoke(main, [], prog_name="virtlog-fleet", env=env)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run one."""
    one = Server(tmp_path / "nats")
    yield one
    one.kill()


@pytest.fixture
def shelf(server: Server) -> Shelf:
    """Have an empty stream."""
    return Shelf(server)
