"""Browsers that follow logs, as far as the page's program can tell; run as a program of its own.

python -m bench.page_readers ADDRESS TOKEN PATH...

Each path is followed once, by a connection of its own. "ready" is said when all are; then a line of
standard input is waited for, until which all is read, and for how long each line was under way is
told, in seconds, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

import pybase64

from bench.page_program import Program
from bench.printing import DIGITS, LINE_BYTES

_DATA = re.compile(rb'"data":"([A-Za-z0-9+/=]*)"')
_BEGUN = b"event: begin"
_RECEIVED_BYTES = 256 * 1024


class Readers:
    """Reads as fast as one thread can.

    :ivar late: for each line that came, how long it was under way, in seconds.
    """

    def __init__(self, address: str, token: str, paths: Sequence[str]) -> None:
        host, _, port = address.rpartition(":")
        self._sockets: dict[int, socket.socket] = {}
        self._rest: dict[int, bytes] = {}
        self._waits = select.epoll()
        self._begun = 0
        self.late: list[float] = []
        for path in paths:
            one = socket.create_connection((host, int(port)))
            one.sendall(request(address, token, path))
            self._sockets[one.fileno()] = one
            self._rest[one.fileno()] = b""
            self._waits.register(one, select.EPOLLIN)
        while self._begun < len(paths):
            self._read()
        self.late.clear()

    def run(self, until: int) -> None:
        """Read until a descriptor can be read."""
        self._waits.register(until, select.EPOLLIN)
        while until not in self._read():
            """All else is what comes."""

    def _read(self) -> set[int]:
        ready = {number for number, _ in self._waits.poll()}
        for number in ready & set(self._sockets):
            data = self._sockets[number].recv(_RECEIVED_BYTES)
            if not data:
                raise EOFError("the program ended an answer")
            now = time.monotonic_ns()
            events = (self._rest[number] + data).split(b"\n\n")
            self._rest[number] = events.pop()
            for event in events:
                self._begun += _BEGUN in event
                for found in _DATA.finditer(event):
                    self._take(pybase64.b64decode(found[1]), now)
        return ready

    def _take(self, data: bytes, now: int) -> None:
        for at in range(0, len(data) - LINE_BYTES + 1, LINE_BYTES):
            self.late.append((now - int(data[at : at + DIGITS])) / 1e9)


def request(address: str, token: str, path: str) -> bytes:
    """Return a request for what comes to a log from now on."""
    return (
        f"GET /api/follow?{urlencode({'path': path})} HTTP/1.1\r\nHost: {address}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


@contextlib.contextmanager
def reading(program: Program, paths: Sequence[str]) -> Iterator[list[float]]:
    """Follow logs in another process; in the end the list has how long lines were under way."""
    late: list[float] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.page_readers", program.address, program.token, *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield late
            process.stdin.write(b"\n")
            process.stdin.flush()
            late += json.loads(process.stdout.readline())
        finally:
            process.kill()


def main(arguments: Sequence[str]) -> None:
    """Follow logs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    address, token, *paths = arguments
    readers = Readers(address, token, paths)
    print("ready", flush=True)
    readers.run(sys.stdin.fileno())
    print(json.dumps(readers.late), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
