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
from dataclasses import dataclass
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


@dataclass
class Subscription:
    """A log that a connection follows, or a watch.

    :ivar offset: what comes next begins there; None of a watch.
    """

    number: int
    connection: socket.socket
    path: str
    offset: int | None
    until: str | None = None


class FakeDaemon:
    """Serves any number of connections, each in a thread, one request of all at a time.

    :ivar answers: method to function from params to result; a test replaces what it wants.
    :ivar requests: all requests received, in order.
    :ivar logs: path to content.
    :ivar chunk_bytes: what it tells at once of a log that is followed.
    """

    def __init__(self, path: Path, logs: dict[str, bytes] | None = None) -> None:
        self.path = path
        self.requests: list[dict[str, Any]] = []
        self.logs: dict[str, bytes] = {} if logs is None else logs
        self.chunk_bytes = 65536
        self.answers: dict[str, Answerer] = {
            "log.open": self._open,
            "log.close": lambda params: {"position": self._position(params), "dropped": 0},
            "log.remove": self._remove,
            "log.position": self._position,
            "log.read": self._read,
            "log.append": self._append,
            "log.list": lambda _params: [],
            "log.follow": self._follow,
            "log.unfollow": self._unfollow,
            "log.watch": self._watch,
            "log.ledger": lambda _params: LEDGER,
            "log.policy": lambda _params: POLICY,
            "daemon.info": lambda _params: INFO,
            "daemon.metrics": lambda _params: {"text": 'virtlogd_logs_open{a="\u202e"} 1.0\n'},
            "rpc.discover": lambda _params: {"openrpc": "1.2.6", "methods": []},
        }
        #: (read end, path) of the pipes made.
        self.pipes: list[tuple[int, str]] = []
        #: By number.
        self.subscriptions: dict[int, Subscription] = {}
        #: How many connections were taken, and which of them are open.
        self.accepted = 0
        self.connections: set[socket.socket] = set()
        self._last_subscription = 0
        self._descriptors: list[int] = []
        self._lock = threading.RLock()
        #: What is notified of when a connection comes or goes, and a request has been answered.
        self._changed = threading.Condition(self._lock)
        self._asker: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, and close what is left; once more does nothing."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._listener.close()
        self.crash()
        for read_end, _path in self.pipes:
            os.close(read_end)
        self.pipes.clear()

    def crash(self) -> None:
        """Close all connections; new ones are served."""
        with self._lock:
            for connection in self.connections:
                # (its client may have gone)
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()

    def wait_for(self, condition: Callable[[FakeDaemon], bool]) -> None:
        """Wait until something is so, after a connection or a request."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), 60)

    def written(self) -> bytes:
        """Return what was written into the last pipe, once its last write end is closed."""
        read_end, _path = self.pipes.pop()
        with open(read_end, "rb") as pipe:
            return pipe.read()

    def drain(self, read_end: int, path: str) -> None:
        """Move what a pipe holds into its log; it must hold something."""
        self.logs[path] += os.read(read_end, 65536)

    def write(self, path: str, data: bytes) -> None:
        """Add bytes to a log, and tell them to who follows it."""
        with self._lock:
            self.logs[path] = self.logs.get(path, b"") + data
            for subscription in list(self.subscriptions.values()):
                self._pump(subscription)

    def end(self, path: str, reason: str, **members: Any) -> None:
        """End all that follows a log."""
        with self._lock:
            for subscription in list(self.subscriptions.values()):
                if subscription.path == path:
                    self._end(subscription, reason, **members)

    def notify(self, subscription: int, method: str, **members: Any) -> None:
        """Tell a subscription something."""
        with self._lock:
            told = {"subscription": subscription, **members}
            text = json.dumps({"jsonrpc": "2.0", "method": method, "params": told}).encode()
            with contextlib.suppress(OSError):
                self.subscriptions[subscription].connection.sendall(text + b"\n")

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
            thread = threading.Thread(target=self._attend, args=(connection,), daemon=True)
            with self._changed:
                self.connections.add(connection)
                self.accepted += 1
                self._threads.append(thread)
                self._changed.notify_all()
            thread.start()

    def _attend(self, connection: socket.socket) -> None:
        # A test's client may go whenever it likes.
        with connection, contextlib.suppress(ConnectionError):
            self._converse(connection)
        with self._changed:
            self.connections.discard(connection)
            for number, subscription in list(self.subscriptions.items()):
                if subscription.connection is connection:
                    del self.subscriptions[number]
            self._changed.notify_all()

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                with self._changed:
                    self.requests.append(request)
                    self._asker = connection
                    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
                    params = request.get("params", {})
                    answerer = self.answers.get(request["method"], _no_such_method)
                    try:
                        answer["result"] = answerer(params)
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
                    if request["method"] == "log.follow" and "result" in answer:
                        self._pump(self.subscriptions[answer["result"]["subscription"]])
                    self._changed.notify_all()

    def _subscribe(self, path: str, offset: int | None, until: str | None = None) -> int:
        assert self._asker is not None
        self._last_subscription += 1
        number = self._last_subscription
        self.subscriptions[number] = Subscription(number, self._asker, path, offset, until)
        return number

    def _follow(self, params: Params) -> Any:
        assert params["encoding"] == "base64"
        path, position = params["path"], params.get("position")
        there = path in self.logs
        offset = position["offset"] if position else len(self.logs.get(path, b""))
        number = self._subscribe(path, offset, params.get("until"))
        inode = INODE if there else 0
        return {"subscription": number, "position": {"inode": inode, "offset": offset, "birth": ""}}

    def _unfollow(self, params: Params) -> Any:
        self._end(self.subscriptions[params["subscription"]], "unfollowed")
        return True

    def _watch(self, _params: Params) -> Any:
        return {"subscription": self._subscribe("", None)}

    def _end(self, subscription: Subscription, reason: str, **members: Any) -> None:
        self.notify(subscription.number, "log.end", reason=reason, **members)
        del self.subscriptions[subscription.number]

    def _pump(self, subscription: Subscription) -> None:
        if subscription.offset is None:
            return
        content = self.logs.get(subscription.path, b"")
        while data := content[subscription.offset : subscription.offset + self.chunk_bytes]:
            start, subscription.offset = subscription.offset, subscription.offset + len(data)
            self.notify(
                subscription.number,
                "log.data",
                data=base64.b64encode(data).decode(),
                encoding="base64",
                start={"inode": INODE, "offset": start, "birth": ""},
                end={"inode": INODE, "offset": subscription.offset, "birth": ""},
                gap=False,
                missed=None,
            )

    def _open(self, params: Params) -> Any:
        read_end, write_end = os.pipe()
        self.pipes.append((read_end, params["path"]))
        self._descriptors.append(write_end)
        self.logs.setdefault(params["path"], b"")
        return {"position": self.position(params["path"]), "fds": 1}

    def _position(self, params: Params) -> Any:
        return self.position(self._known(params))

    def _remove(self, params: Params) -> Any:
        content = self.logs.pop(self._known(params))
        return {"files": 1, "bytes": len(content)}

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
        self.write(params["path"], params["message"].encode())
        return self.position(params["path"])

    def _known(self, params: Params) -> str:
        path: str = params["path"]
        if path not in self.logs:
            raise Refusal(1002, f"{path} is not open", {"path": path})
        return path


def _no_such_method(_params: Params) -> Any:
    raise Refusal(-32601, "no such method")


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

POLICY: dict[str, Any] = {
    "max_size": {"value": 2097152, "from": "default"},
    "on_rate": {"value": "block", "from": "on_rate"},
    "rate": {"value": 262144, "from": "policies[1]", "entry": "domain:\u202e rate=262144"},
    "of a newer daemon": {"value": 1, "from": "default", "more": True},
}

#: Two bytes are missing in what guests wrote, and one is too many in the files.
LEDGER: dict[str, Any] = {
    "since": "2024-02-29T12:00:00Z",
    "intake": {
        "received": 20,
        "dropped": {"write_error": 1, "rate": 2, "quota": 3, "stopped": 4},
        "pending": 5,
    },
    "written": {"guest": 3, "appended": 6, "notices": 7},
    "storage": {
        "found": 100,
        "kept": 50,
        "held": 0,
        "removed": {"rotation": 60, "age": 1, "quota": 2, "truncate": 3, "asked": 4},
        "outside": {"cut": 8, "removed": 9, "added": 20},
    },
    "unread": {"shipper": 11},
    "holds": False,
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
