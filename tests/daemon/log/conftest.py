"""Messages of the daemon, and what has become of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket
from typing import Any

import pytest
from twisted.logger import LogEvent, LogLevel

from twisted_virtlog.daemon.log import observer
from twisted_virtlog.daemon.log.output_thread import flush

MakeEvent = Callable[..., LogEvent]

#: How long a test waits for a thread, which has to be done long before.
PATIENCE = 60.0


def write_all() -> None:
    """Wait until all that was logged is written."""
    assert flush(PATIENCE) == []


@pytest.fixture
def event() -> MakeEvent:
    """Make an event; everything of it can be said otherwise."""

    def make(text: str = "hello", level: Any = LogLevel.warn, **more: Any) -> LogEvent:
        return {
            "log_level": level,
            "log_namespace": "twisted_virtlog.logs.handler",
            "log_format": "{text}",
            "text": text,
            "log_time": 1700000000.5,
            **more,
        }

    return make


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a disk that is busy with other tests have the time that it takes to open a file."""
    for name in ("OPEN_SECONDS", "START_SECONDS"):
        monkeypatch.setattr(observer, name, PATIENCE)


class Receiver:
    """A daemon that takes datagrams, and may be gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.come()

    def come(self) -> None:
        """Be there, with nothing received."""
        self._socket = socket(AF_UNIX, SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)

    def go(self) -> None:
        """End."""
        self._socket.close()
        self.path.unlink()

    def received(self) -> list[bytes]:
        """Give what came since the last time."""
        datagrams = []
        while True:
            try:
                datagrams.append(self._socket.recv(1 << 20))
            except BlockingIOError:
                return datagrams

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A daemon at a socket."""
    one = Receiver(tmp_path / "socket")
    yield one
    one.close()


def journal_fields(datagram: bytes) -> list[tuple[str, bytes]]:
    """Read a message of the journal's native protocol."""
    found = []
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            found.append((name.decode(), value))
            datagram = rest
        else:
            (length,) = struct.unpack_from("<Q", rest)
            value, end = rest[8 : 8 + length], rest[8 + length : 9 + length]
            assert (len(value), end) == (length, b"\n")
            found.append((name.decode(), value))
            datagram = rest[9 + length :]
    return found
