"""Feeds libvirt's protocol with bytes that atheris makes up, until it is stopped.

Needs ``pip install atheris``. From the top of the source::

    python -m fuzz.rpc [-max_total_time=SECONDS] [-max_len=BYTES] [CORPUS_FOLDER]

The first byte tells how the rest is split. It ends with a crash, and a file that holds the input,
if anything but a named error comes out, if what was read strictly is not written back to the byte,
or if the answers depend on the split.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NoReturn, cast

import atheris
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

with atheris.instrument_imports(include=["twisted_virtlog"]):
    from harness.strict_xdr import decode, decode_leniently, encode
    from twisted_virtlog.administration import Administration
    from twisted_virtlog.config.settings import Settings
    from twisted_virtlog.errors import LogBusy, NoSuchLog
    from twisted_virtlog.interfaces import IConnection, IConversation, ILogHandler
    from twisted_virtlog.libvirt.admin_program import ADMIN_PROGRAM
    from twisted_virtlog.libvirt.framing import HEADER_BYTES, FrameStream
    from twisted_virtlog.libvirt.log_program import LOG_PROGRAM
    from twisted_virtlog.libvirt.messages import ERROR_BODY, decode_header, encode_frame
    from twisted_virtlog.libvirt.program import Served, serving
    from twisted_virtlog.libvirt.protocol import LibvirtConversation
    from twisted_virtlog.libvirt.xdr import XDRError, XDRType
    from twisted_virtlog.loop.slices import at_once
    from twisted_virtlog.sockets.connection import Connection
    from twisted_virtlog.sockets.peer_credentials import PeerCredentials
    from twisted_virtlog.sockets.server import Client, Server
    from twisted_virtlog.values import Counts, Excerpt, LogStatus, Position, Start

_HERE = Position(7, 3)

_TYPES: list[XDRType[Any]] = [ERROR_BODY]
for _procedure in (*LOG_PROGRAM.procedures.values(), *ADMIN_PROGRAM.procedures.values()):
    _TYPES += [_procedure.arguments, _procedure.results]


def try_codec(data: bytes) -> None:
    """Read frames, and their payloads as every type that there is."""
    stream = FrameStream()
    stream.feed(data)
    while True:
        try:
            frame = stream.next_frame()
        except XDRError:
            return
        if frame is None:
            return
        header = decode_header(frame)
        assert encode_frame(header, [frame[HEADER_BYTES:]]) == frame
        for kind in _TYPES:
            try_type(kind, frame)


def try_type(kind: XDRType[Any], frame: bytes) -> None:
    """Read a payload; what a strict reader takes must be written back as it was."""
    with suppress(XDRError):
        decode_leniently(kind, frame, HEADER_BYTES)
    try:
        value = decode(kind, frame, HEADER_BYTES)
    except XDRError:
        return
    assert encode(kind, value) == frame[HEADER_BYTES:]


@implementer(IConnection)
class Output:
    """Keeps what a conversation sends.

    :ivar closed: it is to be closed.
    """

    congested = False

    def __init__(self) -> None:
        self.output = b""
        self.closed = False

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        assert not descriptors
        self.output += data

    def close_when_sent(self) -> None:
        self.closed = True

    abort = close_when_sent

    def gather(self) -> None:
        """There is nobody to send it to."""

    flush = pause_reading = resume_reading = gather


@implementer(ILogHandler)
class Logs:
    """Answers without a file or a pipe."""

    def open(self, *_: object, truncate: bool) -> NoReturn:
        raise LogBusy("/p", "qemu", None, datetime(2024, 2, 29, tzinfo=timezone.utc), 7)

    def append(self, *_: object) -> NoReturn:
        raise NoSuchLog("none")

    def position(self, path: str) -> Position:
        return _HERE

    def read(self, path: str, position: Position | None, max_bytes: int) -> Excerpt:
        return Excerpt((b"data",), _HERE, _HERE, gap=False, final=False)

    def close_log(self, path: str) -> NoReturn:
        raise NoSuchLog("none")

    def logs(self) -> Sequence[LogStatus]:
        return []

    def is_known(self, path: str) -> bool:
        return True

    def counts(self) -> Counts:
        return Counts(0, 0, 0, 0, 0, 0, 0)


class Cut:
    """In the place of a connection that an administrator may close."""

    def __init__(self, server: Server, number: int) -> None:
        self._server = server
        self._number = number

    def abort(self) -> None:
        del self._server.clients[self._number]


def no_conversation() -> IConversation:
    """Take the place of what makes a conversation, where nobody connects."""
    raise NotImplementedError


def administration() -> Administration:
    """Administer two servers, of which one has clients, and no log, which could open files."""
    servers = [Server(name, {0}, 1024, no_conversation) for name in ("virtlogd", "admin")]
    for number in (1, 2):
        connection = cast(Connection, Cut(servers[0], number))
        peer = PeerCredentials(2168, 0, 0)
        servers[0].clients[number] = Client(number, 1_700_000_000, peer, connection)
    return Administration(
        Start(datetime(2024, 2, 29, tzinfo=timezone.utc), 0.0),
        Settings,
        cast(Any, Logs()),
        servers,
        lambda: ThreadPool(0, 10),
        lambda _: None,
        None,
        lambda: None,
    )


def converse(served: Served[Any], data: bytes, size: int) -> bytes:
    """Send bytes in pieces of a size; return the answers."""
    conversation = LibvirtConversation(serving(served), at_once)
    connection = Output()
    conversation.connection_made(connection)
    for start in range(0, len(data), size):
        conversation.data_received(data[start : start + size])
        if connection.closed:
            break
    assert b"the daemon's log says more" not in connection.output
    return connection.output


#: What clients of each program ask, made again for each of them.
SERVED: list[Callable[[], Served[Any]]] = [
    lambda: Served(LOG_PROGRAM, Logs()),
    lambda: Served(ADMIN_PROGRAM, administration()),
]


def try_input(data: bytes) -> None:
    """Try one input of atheris."""
    if not data:
        return
    size, data = data[0] + 1, data[1:]
    try_codec(data)
    for served in SERVED:
        assert converse(served(), data, size) == converse(served(), data, max(len(data), 1))


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
