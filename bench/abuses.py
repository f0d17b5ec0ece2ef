"""What a client or a guest may do that is not meant for one alone: the abuses, each by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.abuser import Stream, talking
from bench.figures import MIB, Stand
from bench.rpc import Place, ping, position_request, read_request
from bench.writing import files

#: What the daemon takes as one batch, and as one text.
BATCH_BYTES, TEXT_BYTES = MIB, 16 * MIB
#: A batch of two million, which is refused.
_LONG_BATCH_ENTRIES = 2_000_000

#: Enough of each for the socket to be full of them.
_REQUESTS = 1000
_READS = 64
_READ_BYTES = 4 * MIB
WRITE_BYTES = 64 * 1024


@dataclass
class Scene:
    """Where an abuse happens.

    :ivar path: a log of the abuser's own, which has some MiB, and ``pipe`` the write end of it.
    :ivar moved: bytes that the abuser wrote, sent and was sent; known afterwards.
    """

    stand: Stand
    path: str
    pipe: int
    moved: list[int] = field(default_factory=list)

    @property
    def jsonrpc(self) -> str:
        """The daemon's socket for JSON-RPC."""
        if self.stand.target.jsonrpc is None:
            raise ValueError("this daemon has no JSON-RPC")
        return self.stand.target.jsonrpc

    @property
    def libvirt(self) -> str:
        """The daemon's socket for libvirt's drivers."""
        return self.stand.target.socket

    def start(self) -> Place:
        """Give the oldest byte of the log."""
        return Place(files(self.path)[0].stat().st_ino, 0)


#: Abuses inside the context.
Abuse = Callable[[Scene], AbstractContextManager[None]]


def stream(make: Callable[[Scene], Stream]) -> Abuse:
    """Give the abuse of a client that sends a stream without end, and reads what it is answered."""

    @contextmanager
    def abuse(scene: Scene) -> Iterator[None]:
        with talking(scene.stand.generator, make(scene)) as seen:
            yield
        (talked,) = seen
        scene.moved.append(talked.sent + talked.received)

    return abuse


def together(*abuses: Abuse) -> Abuse:
    """Give several abuses at once, each from a process of its own."""

    @contextmanager
    def all_of_them(scene: Scene) -> Iterator[None]:
        with ExitStack() as stack:
            for abuse in abuses:
                stack.enter_context(abuse(scene))
            yield

    return all_of_them


# JSON-RPC.


def _call(method: str, params: dict[str, Any], notify: bool = False) -> bytes:
    request: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if not notify:
        request["id"] = 1
    return json.dumps(request, separators=(",", ":")).encode()


def _batch_of(entry: bytes, size: int = BATCH_BYTES) -> bytes:
    """Return an array of as many entries as fit into a number of bytes."""
    return b"[" + b",".join([entry] * ((size - 1) // (len(entry) + 1))) + b"]\n"


def text_of(entry: bytes, size: int) -> bytes:
    """Return an object that is not a request and has an array of at most this size."""
    beginning, end = b'{"a":', b"}\n"
    return beginning + _batch_of(entry, size - len(beginning) - len(end))[:-1] + end


def ones(scene: Scene) -> Stream:
    """Batches of as many ``1`` as are accepted; each of them is answered by an error."""
    return Stream(scene.jsonrpc, _batch_of(b"1"))


def two_million_ones(scene: Scene) -> Stream:
    """A batch that is too long."""
    return Stream(scene.jsonrpc, _batch_of(b"1", 2 * _LONG_BATCH_ENTRIES + 1))


def position_batches(scene: Scene, connections: int = 1) -> Stream:
    """Batches of calls that are right."""
    call = _call("log.position", {"path": scene.path})
    return Stream(scene.jsonrpc, _batch_of(call), connections)


def notifications(scene: Scene) -> Stream:
    """Notifications that each read 4 MiB, which nobody gets."""
    params = {"path": scene.path, "max_bytes": _READ_BYTES}
    return Stream(scene.jsonrpc, (_call("log.read", params, notify=True) + b"\n") * _READS)


def reads(scene: Scene, encoding: str, connections: int = 1) -> Stream:
    """Calls that each read 4 MiB, without waiting for the answers."""
    params = {"path": scene.path, "max_bytes": _READ_BYTES, "encoding": encoding}
    return Stream(scene.jsonrpc, (_call("log.read", params) + b"\n") * _READS, connections)


def lists(scene: Scene) -> Stream:
    """Calls that list all logs, without waiting for the answers."""
    return Stream(scene.jsonrpc, (_call("log.list", {}) + b"\n") * _REQUESTS)


def discoveries(scene: Scene) -> Stream:
    """Calls for the description of all methods, without waiting for the answers."""
    return Stream(scene.jsonrpc, (_call("rpc.discover", {}) + b"\n") * _REQUESTS)


def garbage(scene: Scene, connections: int = 1) -> Stream:
    """Lines that are no JSON; each is answered by an error."""
    return Stream(scene.jsonrpc, b"no JSON at all\n" * _REQUESTS, connections)


def numbers(scene: Scene) -> Stream:
    """One text as long as is accepted, of numbers, again and again."""
    return Stream(scene.jsonrpc, text_of(b"1", TEXT_BYTES))


def brackets(scene: Scene) -> Stream:
    """Texts as long as are accepted, with a bracket nearly everywhere."""
    return Stream(scene.jsonrpc, text_of(b"[]", TEXT_BYTES))


def scattered(scene: Scene) -> Stream:
    """Such texts, some bytes at a time."""
    return Stream(scene.jsonrpc, text_of(b"[]", MIB), chunk=1000)


def small_texts(scene: Scene) -> Stream:
    """Many short texts on one line."""
    return Stream(scene.jsonrpc, b"{}" * (MIB // 2) + b"\n")


def deep_texts(scene: Scene) -> Stream:
    """Texts as deep as is accepted, many on one line, and some that are deeper."""
    deep = b"[" * 500 + b"]" * 500
    return Stream(scene.jsonrpc, deep * 500 + b"\n" + b"[" * 1000 + b"]" * 1000 + b"\n")


def posts(scene: Scene) -> Stream:
    """HTTP requests without waiting for the answers."""
    body = _call("log.position", {"path": scene.path})
    head = ["POST / HTTP/1.1", "Host: x", "Content-Type: application/json"]
    head += [f"Content-Length: {len(body)}", "", ""]
    return Stream(scene.jsonrpc, ("\r\n".join(head).encode() + body) * _REQUESTS)


# Libvirt's protocol.


def rpc_positions(scene: Scene, connections: int = 1) -> Stream:
    """Calls for a position, without waiting for the answers."""
    return Stream(scene.libvirt, position_request(scene.path) * _REQUESTS, connections)


def rpc_reads(scene: Scene) -> Stream:
    """Calls that each read 4 MiB, without waiting for the answers."""
    return Stream(scene.libvirt, read_request(scene.path, scene.start(), _READ_BYTES) * _READS)


def pings(scene: Scene) -> Stream:
    """Keepalive pings, each of which is answered."""
    return Stream(scene.libvirt, ping() * _REQUESTS)


def asking(window: int, jsonrpc: bool) -> Abuse:
    """Give the abuse of a client that asks for a position as fast as it can.

    :param window: requests that it sends at once, before it waits for all answers.
    """

    @contextmanager
    def abuse(scene: Scene) -> Iterator[None]:
        if jsonrpc:
            socket, request = scene.jsonrpc, _call("log.position", {"path": scene.path}) + b"\n"
        else:
            socket, request = scene.libvirt, position_request(scene.path)
        with scene.stand.generator.calling(socket, [request], window, jsonrpc) as seen:
            yield
        (called,) = seen
        scene.moved.append(called.calls * len(request) + called.received)

    return abuse


# Guests.


@contextmanager
def writing(scene: Scene) -> Iterator[None]:
    """Write 64 KiB at once, without end."""
    with scene.stand.generator.flooding(scene.pipe, WRITE_BYTES) as seen:
        yield
    (written,) = seen
    scene.moved.append(sum(written.records) * WRITE_BYTES)


# Others' questions about a log whose pipe is locked.


@contextmanager
def locked_reads(scene: Scene) -> Iterator[None]:
    """Ask for the position of the log and read it over both protocols, and list the logs."""
    start = Place(0, 0)
    requests = position_request(scene.path) + read_request(scene.path, start, WRITE_BYTES)
    with ExitStack() as stack:
        stack.enter_context(talking(scene.stand.generator, Stream(scene.libvirt, requests)))
        if scene.stand.target.jsonrpc is not None:
            params = {"path": scene.path}
            calls = [_call(name, params) for name in ("log.position", "log.read")]
            calls.append(_call("log.list", {}))
            stream = Stream(scene.jsonrpc, b"\n".join([*calls, b""]))
            stack.enter_context(talking(scene.stand.generator, stream))
        yield
