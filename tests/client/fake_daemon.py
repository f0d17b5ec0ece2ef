"""A daemon in a thread behind a real UNIX socket; it answers what a test tells it to.

It keeps its logs in memory, one "file" a log, and knows nothing of the product's own code, so that
a mistake in the codec is not made on both sides.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Params = dict[str, Any]
Answerer = Callable[[Params], Any]

INODE = 77


class Refusal(Exception):
    """An error to answer with."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": data}


class FakeDaemon:
    """Serves one connection after another.

    :ivar answers: method to function from params to result; a test replaces what it wants.
    :ivar requests: all requests received, in order.
    :ivar logs: path to content.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[dict[str, Any]] = []
        self.logs: dict[str, bytes] = {}
        self.answers: dict[str, Answerer] = {
            "log.open": self._open,
            "log.close": lambda params: {"position": self._position(params), "dropped": 0},
            "log.position": self._position,
            "log.read": self._read,
            "log.append": self._append,
            "log.list": lambda _params: [],
            "daemon.info": lambda _params: INFO,
            "rpc.discover": lambda _params: {"openrpc": "1.2.6", "methods": []},
        }
        #: (read end, path) of the pipes made.
        self.pipes: list[tuple[int, str]] = []
        self._descriptors: list[int] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, and close what is left."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for read_end, _path in self.pipes:
            os.close(read_end)
        self.pipes.clear()

    def written(self) -> bytes:
        """Return what was written into the last pipe, once its last write end is closed."""
        read_end, _path = self.pipes.pop()
        with open(read_end, "rb") as pipe:
            return pipe.read()

    def drain(self, read_end: int, path: str) -> None:
        """Move what a pipe holds into its log; it must hold something."""
        self.logs[path] += os.read(read_end, 65536)

    def passes(self, descriptor: int) -> None:
        """Send a descriptor with the answer under way; it is closed here then."""
        self._descriptors.append(descriptor)

    def position(self, path: str) -> dict[str, int]:
        """Return the end of a log."""
        return {"inode": INODE, "offset": len(self.logs[path])}

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            # A test's client may go whenever it likes.
            with connection, contextlib.suppress(ConnectionError):
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                self.requests.append(request)
                answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
                try:
                    answer["result"] = self.answers[request["method"]](request.get("params", {}))
                except Refusal as refusal:
                    answer["error"] = refusal.error
                except ConnectionAbortedError:
                    return
                text = json.dumps(answer).encode() + b"\n"
                descriptors, self._descriptors = self._descriptors, []
                if descriptors:
                    socket.send_fds(connection, [text[:1]], descriptors)
                    text = text[1:]
                for descriptor in descriptors:
                    os.close(descriptor)
                connection.sendall(text)

    def _open(self, params: Params) -> Any:
        read_end, write_end = os.pipe()
        self.pipes.append((read_end, params["path"]))
        self._descriptors.append(write_end)
        self.logs.setdefault(params["path"], b"")
        return {"position": self.position(params["path"]), "fds": 1}

    def _position(self, params: Params) -> Any:
        return self.position(self._known(params))

    def _read(self, params: Params) -> Any:
        content = self.logs[self._known(params)]
        start = (params["position"] or {"offset": 0})["offset"]
        data = content[start : start + params["max_bytes"]]
        return {
            "data": base64.b64encode(data).decode(),
            "encoding": params["encoding"],
            "start": {"inode": INODE, "offset": start},
            "end": {"inode": INODE, "offset": start + len(data)},
            "gap": False,
        }

    def _append(self, params: Params) -> Any:
        path = params["path"]
        self.logs[path] = self.logs.get(path, b"") + params["message"].encode()
        return self.position(path)

    def _known(self, params: Params) -> str:
        path: str = params["path"]
        if path not in self.logs:
            raise Refusal(1002, f"{path} is not open", {"path": path})
        return path


INFO: dict[str, Any] = {
    "name": "virtlogd",
    "version": "1.2.3",
    "pid": 42,
    "started_at": "2024-02-29T12:00:00Z",
    "uptime_s": 90.25,
    "limits": {"max_size": 2097152},
    "counts": {"open_logs": 1},
    "of a newer daemon": True,
}

LOG: dict[str, Any] = {
    "path": "/var/log/web.log",
    "driver": "qemu",
    "domain": {"uuid": "c7a5fdbd-edaf-9455-926a-d65c16db1809", "name": "web"},
    "position": {"inode": 5, "offset": 1234},
    "opened_at": "2024-02-29T13:00:00+01:00",
    "bytes": 1234,
    "rollovers": 0,
    "state": "open",
    "pipe": 4321,
    "pending": 0,
    "thread": None,
    "of a newer daemon": {},
}


@contextlib.contextmanager
def running_daemon(folder: Path) -> Iterator[FakeDaemon]:
    """Run a daemon on the socket ``sock`` in a folder."""
    daemon = FakeDaemon(folder / "sock")
    try:
        yield daemon
    finally:
        daemon.stop()
