"""Scrapes a daemon's metrics over HTTP on a UNIX socket, as Prometheus does by way of a proxy."""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from typing import final

_SECONDS = 60.0


@final
class Scraper(HTTPConnection):
    """A connection that stays open."""

    def __init__(self, path: str) -> None:
        """:param path: of the socket."""
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)

    def __enter__(self) -> Scraper:
        """Connect when something is asked."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def get(self, accept: str = "*/*") -> str:
        """Return the metrics."""
        self.request("GET", "/metrics", headers={"Accept": accept})
        response = self.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {text}")
        return text
