"""What pages of other origins get from the program, in a browser that has both open."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.web.browser import looking
from tests.web.conftest import Web

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.chromium,
]

_TRIES = """
async (address) => {
  const tried = {};
  const fetched = async (name, options) => {
    tried[name] = await fetch(address, options).then((answer) => answer.type, () => "refused");
  };
  await fetched("simple", {});
  await fetched("without asking", { mode: "no-cors", credentials: "include" });
  await fetched("with a header", { headers: { Authorization: "Bearer x" } });
  await fetched("with a method", { method: "POST", mode: "no-cors" });
  const loaded = async (name, element, property) => {
    element[property] = address;
    tried[name] = await new Promise((resolve) => {
      element.onload = () => resolve("loaded");
      element.onerror = () => resolve("refused");
      document.body.append(element);
    });
  };
  await loaded("script", document.createElement("script"), "src");
  await loaded("picture", document.createElement("img"), "src");
  tried.stream = await new Promise((resolve) => {
    const stream = new EventSource(address);
    stream.onopen = () => resolve("opened");
    stream.onerror = () => {
      stream.close();
      resolve("refused");
    };
  });
  return tried;
}
"""


class _Page(BaseHTTPRequestHandler):
    """A page without a policy."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><body>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Relay(socketserver.ThreadingTCPServer):
    """A port that leads to a UNIX socket, as that of ``ssh -L``.

    :ivar statuses: of all that was answered.
    """

    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.statuses: list[str] = []
        super().__init__(("127.0.0.1", 0), _Relayed)


class _Relayed(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Relay)
        with socket.socket(socket.AF_UNIX) as inner:
            inner.connect(self.server.path)
            asking = threading.Thread(target=self._ask, args=(inner,), daemon=True)
            asking.start()
            with contextlib.suppress(OSError):
                while data := inner.recv(65536):
                    found = re.findall(rb"^HTTP/1\.1 (\d+)", data, re.MULTILINE)
                    self.server.statuses += [one.decode() for one in found]
                    self.request.sendall(data)

    def _ask(self, inner: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                inner.sendall(data)
            inner.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _served(server: socketserver.TCPServer) -> Iterator[str]:
    """Let a server work, and return where."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host, port = server.server_address[:2]
    try:
        yield f"{host!s}:{port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("what", ["api/list", "api/follow?path=/a.log", "api/window?path=/a.log"])
def test_another_site_gets_nothing(what: str, browser: Browser, web: Web) -> None:
    """Not even another port of this machine, where no token is needed: all is refused at once."""
    relay = _Relay(web.where)
    page = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    with _served(relay) as where, _served(page) as other:
        with looking(browser, Web(web.process, where, None)) as look:
            look.open()
            look.wait_for_text("#totals", "found")
        assert set(relay.statuses) == {"200"}
        relay.statuses.clear()
        with looking(browser, web) as look:
            look.page.goto(f"http://{other}/")
            tried = look.evaluate(_TRIES, f"http://{where}/{what}")
        assert set(tried.values()) == {"refused"}, tried
        assert len(relay.statuses) >= len(tried)
        assert set(relay.statuses) <= {"403", "405"}
