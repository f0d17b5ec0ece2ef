"""Loads in which logs are followed: when a client has what a guest writes, and at what price."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import quantiles

import msgspec
import pybase64

from bench.figures import (
    CPU_PER_GIB,
    GIB,
    LONGEST_WRITE,
    MIB,
    THROUGHPUT,
    Figures,
    Stand,
)
from bench.others import DAEMON_BUSY
from bench.printing import DIGITS, LINE_BYTES, printing
from bench.writing import Wrong, check, opened, throughput

#: From a write until the client has it.
HALF, MOST, WORST = "p50 ms", "p99 ms", "longest ms"
#: What the daemon takes more while logs are followed.
MORE_MEMORY = "more MiB"
#: Throughput beside those who do not read, over that without them.
TIMES = "x MiB/s"

_RECEIVED_BYTES = 256 * 1024
_PATIENCE_SECONDS = 30.0
_WRITE_BYTES = 64 * 1024
_FLOOD_BYTES = 256 * MIB


class _Position(msgspec.Struct):
    inode: int
    offset: int


class _Data(msgspec.Struct):
    """What a notification carries."""

    data: str
    start: _Position
    end: _Position
    gap: bool


class _Text(msgspec.Struct):
    """An answer or a notification."""

    method: str | None = None
    params: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class Followers:
    """Clients that follow logs, as fast as one thread can."""

    def __init__(self, address: str, paths: Sequence[str], connections: int) -> None:
        """Follow each log once, over so many connections in turn.

        :raises Wrong: the daemon refuses.
        """
        self._sockets = [_connected(address) for _ in range(connections)]
        self._rest = {one.fileno(): bytearray() for one in self._sockets}
        self._by_number = {one.fileno(): one for one in self._sockets}
        self._waits = select.epoll()
        for one in self._sockets:
            self._waits.register(one, select.EPOLLIN)
        self._texts = msgspec.json.Decoder(_Text)
        self._data = msgspec.json.Decoder(_Data)
        for number, path in enumerate(paths):
            params = {"path": path, "encoding": "base64"}
            request = {"jsonrpc": "2.0", "id": number, "method": "log.follow", "params": params}
            self._sockets[number % connections].sendall(msgspec.json.encode(request) + b"\n")
        answered = 0
        while answered < len(paths):
            for text in self._received(_PATIENCE_SECONDS):
                if bytes(text.error):
                    raise Wrong(f"a log cannot be followed: {bytes(text.error).decode()}")
                answered += text.method is None

    def read(self, seconds: float) -> Iterator[bytes]:
        """Yield what comes within some seconds, as one notification after another has it.

        :raises Wrong: a gap is told, or the log is not followed any more.
        """
        for text in self._received(seconds):
            if text.method == "log.data":
                found = self._data.decode(text.params)
                if found.gap:
                    raise Wrong("bytes are missing in what was followed")
                yield pybase64.b64decode(found.data)
            elif text.method is not None:
                raise Wrong(f"the daemon sent {text.method}: {bytes(text.params).decode()}")

    def _received(self, seconds: float) -> Iterator[_Text]:
        for number, _ in self._waits.poll(seconds):
            rest = self._rest[number]
            data = self._by_number[number].recv(_RECEIVED_BYTES)
            if not data:
                raise Wrong("the daemon closed the connection of a follower")
            rest += data
            *texts, left = bytes(rest).split(b"\n")
            self._rest[number] = bytearray(left)
            yield from map(self._texts.decode, texts)

    def close(self) -> None:
        """Close the connections."""
        self._waits.close()
        for one in self._sockets:
            one.close()


def fleet(stand: Stand, logs: int, lines: int, connections: int) -> Figures:
    """Follow logs while a line is written to one after another, so many a second in all."""
    seconds = 3 * stand.seconds
    expected = int(lines * seconds)
    with opened(stand, logs) as (paths, pipes):
        before = stand.target.rss()
        with _following(stand, paths, connections) as followers:
            used = stand.target.cpu()
            begun = time.monotonic()
            with printing(pipes, lines, seconds):
                late = _latencies(followers, expected)
            used = stand.target.cpu() - used
            taken = time.monotonic() - begun
            memory = stand.target.rss() - before
    hundredths = quantiles(late, n=100)
    return {
        HALF: hundredths[49] * 1e3,
        MOST: hundredths[98] * 1e3,
        WORST: max(late) * 1e3,
        DAEMON_BUSY: used / taken,
        MORE_MEMORY: memory / MIB,
    }


def _latencies(followers: Followers, expected: int) -> list[float]:
    """Read so many lines; return for how long each was under way, in seconds.

    :raises Wrong: they do not come.
    """
    found: list[float] = []
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(found) < expected:
        for data in followers.read(1.0):
            now = time.monotonic_ns()
            found += [
                (now - int(data[begin : begin + DIGITS])) / 1e9
                for begin in range(0, len(data), LINE_BYTES)
            ]
            deadline = time.monotonic() + _PATIENCE_SECONDS
        if time.monotonic() > deadline:
            raise Wrong(f"{len(found)} of {expected} lines came to those who follow")
    return found


def flood(stand: Stand) -> Figures:
    """Follow a log that is written to at full speed, by a client that reads all of it.

    Rotation would take away what the client has not read yet: the files here are larger.
    """
    with opened(stand, 1) as (paths, pipes), _following(stand, paths, 1) as followers:
        used = stand.target.cpu()
        begun = time.monotonic()
        stand.generator.write(pipes, _WRITE_BYTES, 60.0, most_bytes=_FLOOD_BYTES)
        total = 0
        while total < _FLOOD_BYTES:
            total += sum(map(len, followers.read(_PATIENCE_SECONDS)))
        taken = time.monotonic() - begun
        used = stand.target.cpu() - used
    return {THROUGHPUT: total / MIB / taken, CPU_PER_GIB: used / total * GIB}


def stuck(stand: Stand, followers: int) -> Figures:
    """Write lines at full speed while so many follow the log and never read, and without them."""
    figures: dict[str, float] = {}

    def write(suffix: str, context: Callable[[], contextlib.AbstractContextManager[object]]) -> int:
        with opened(stand, 1) as (paths, pipes), stand.target.client() as client, context():
            before = stand.target.rss()
            used = stand.target.cpu()
            written = stand.generator.write(pipes, LINE_BYTES, stand.seconds)
            client.positions(paths)
            landed = time.monotonic()
            used = stand.target.cpu() - used
            check(paths, written.records, LINE_BYTES)
            for name, value in throughput(written, LINE_BYTES, landed, used).items():
                if name in (THROUGHPUT, CPU_PER_GIB, LONGEST_WRITE):
                    figures[f"{name}{suffix}"] = value
            return stand.target.rss() - before

    write(" alone", contextlib.nullcontext)
    path = str(stand.target.logs / "busy0.log")
    memory = write("", lambda: _following(stand, [path] * followers, followers))
    figures[MORE_MEMORY] = memory / MIB
    figures[TIMES] = figures[THROUGHPUT] / figures[f"{THROUGHPUT} alone"]
    return figures


@contextlib.contextmanager
def _following(stand: Stand, paths: Sequence[str], connections: int) -> Iterator[Followers]:
    assert stand.target.jsonrpc is not None
    followers = Followers(stand.target.jsonrpc, paths, connections)
    try:
        yield followers
    finally:
        followers.close()


def _connected(address: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.connect(address)
    return one
