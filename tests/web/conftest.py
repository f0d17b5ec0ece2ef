"""A real daemon, the page's program beside it, and somebody who asks over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from harness.daemon import CHECKOUT, Daemon, running
from twisted_virtlog.client import BlockingClient, Domain

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.web.browser import Look

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"

_PROGRAM = ("-m", "twisted_virtlog.web")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self._path)


@dataclass
class Answer:
    """What was answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> object:
        """What it says."""
        return json.loads(self.body)


@dataclass
class Event:
    """One event of a stream."""

    kind: str
    number: str | None
    value: dict[str, object]


class Stream:
    """An event stream that is read as it comes."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def next(self) -> Event:
        """Wait for the next event."""
        fields: dict[str, str] = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                raise EOFError
            line = line.rstrip("\n")
            if not line and "event" in fields:
                number = fields.get("id")
                return Event(fields["event"], number, json.loads(fields["data"]))
            name, _, value = line.partition(": ")
            fields[name] = value


@dataclass
class Web:
    """The page's program, which answers."""

    process: subprocess.Popen[bytes]
    where: str
    token: str | None

    def connection(self) -> http.client.HTTPConnection:
        """Connect to it."""
        if self.where.startswith("/"):
            return UnixConnection(self.where)
        return http.client.HTTPConnection(self.where, timeout=120)

    @property
    def own_headers(self) -> dict[str, str]:
        """What it needs to know of whoever asks."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for something, with headers whose names have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, target, headers={**self.own_headers, **named})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def ask(self, what: str, **query: object) -> Answer:
        """Ask the daemon something, by the page."""
        return self.get(f"/api/{what}?{urlencode(query, doseq=True)}")

    @contextlib.contextmanager
    def stream(
        self, what: str, headers: dict[str, str] | None = None, **query: object
    ) -> Iterator[Stream]:
        """Read an event stream."""
        with contextlib.closing(self.connection()) as connection:
            target = f"/api/{what}?{urlencode(query)}"
            connection.request("GET", target, headers={**self.own_headers, **(headers or {})})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield Stream(response)


StartWeb = Callable[..., Web]


@contextlib.contextmanager
def serving(*options: str) -> Iterator[Web]:
    """Run the program with options."""
    process = subprocess.Popen(
        [sys.executable, *_PROGRAM, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline().decode().strip()
        address, _, token = said.removeprefix("http://").partition("/#token=")
        yield Web(process, said if not token else address, token or None)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(120)


def write(client: BlockingClient, path: str, data: bytes) -> None:
    """Let a guest write to a log, and close it."""
    opened = client.open(path, "test")
    with open(opened.write_end, "wb", buffering=0) as pipe:
        pipe.write(data)
        # (while it is open, as nobody else closes it then)
        client.close_log(path)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with small files, which all tests of a module share."""
    directory = tmp_path_factory.mktemp("daemon")
    with running(directory, ["max_size = 65536", "max_backups = 3"]) as started:
        yield started


@pytest.fixture
def client(daemon: Daemon) -> Iterator[BlockingClient]:
    """A client of the daemon."""
    with daemon.client() as connected:
        yield connected


@pytest.fixture
def serve(daemon: Daemon) -> Iterator[StartWeb]:
    """Start the program for the daemon."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(serving("--daemon", daemon.socket, *options))


@pytest.fixture(scope="module")
def web(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The program, at a UNIX socket, which all tests of a module share."""
    path = tmp_path_factory.mktemp("web") / "sock"
    with serving("--daemon", daemon.socket, "--socket", str(path)) as started:
        yield started


@pytest.fixture(scope="module")
def listening(daemon: Daemon) -> Iterator[Web]:
    """The program, at a port."""
    with serving("--daemon", daemon.socket, "--listen", "127.0.0.1:0") as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests of a module, which have sessions of their own."""
    from tests.web.browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture
def look(browser: Browser, listening: Web) -> Iterator[Look]:
    """A page, which goes wrong in no test, and asks nobody else for anything."""
    from tests.web.browser import looking

    with looking(browser, listening) as made:
        yield made
        assert made.wrong == []
        assert {address.partition("/api")[0].rpartition("/")[0] for address in made.asked} <= {
            f"http://{listening.where}",
            f"http://{listening.where}/vendor/xterm",
            "http:/",
            "blob:http:/",
        }


@pytest.fixture
def pipe(client: BlockingClient, tmp_path: Path) -> Iterator[int]:
    """A guest's console, whose log is ``a.log``."""
    opened = client.open(str(tmp_path / "a.log"), "qemu", Domain(UUID, "<i>guest</i>"))
    yield opened.write_end
    os.close(opened.write_end)
