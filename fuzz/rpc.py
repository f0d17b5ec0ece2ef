"""Feeds libvirt's protocol with bytes that atheris makes up, until it is stopped.

Needs ``pip install atheris``. From the top of the source::

    python -m fuzz.rpc [-max_total_time=SECONDS] [-max_len=BYTES] [CORPUS_FOLDER]

The first byte tells how the rest is split. It ends with a crash, and a file that holds the input,
if anything but a named error comes out, if what was read strictly is not written back to the byte,
or if the answers depend on the split.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import atheris

with atheris.instrument_imports(include=["twisted_virtlog"]):
    from tests.administration_fakes import FakeDaemon
    from tests.libvirt.fakes import AdminClient, AnyClient, Client
    from tests.libvirt.strict_xdr import decode, decode_leniently, encode
    from twisted_virtlog.errors import LogBusy, NoSuchLog
    from twisted_virtlog.libvirt.admin_program import ADMIN_PROGRAM
    from twisted_virtlog.libvirt.framing import HEADER_BYTES, FrameStream
    from twisted_virtlog.libvirt.log_program import LOG_PROGRAM
    from twisted_virtlog.libvirt.messages import ERROR_BODY, decode_header, encode_frame
    from twisted_virtlog.libvirt.xdr import XDRError, XDRType
    from twisted_virtlog.values import Excerpt, Position

_HERE = Position(7, 3)
_BUSY = LogBusy("/p", "qemu", None, datetime(2024, 2, 29, tzinfo=timezone.utc), 7)
_EXCERPT = Excerpt(b"data", _HERE, _HERE, gap=False, final=False)

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


def log_client() -> AnyClient:
    """Become a client of the log program."""
    return Client(open=_BUSY, position=_HERE, read=_EXCERPT, append=NoSuchLog("none"))


def admin_client() -> AnyClient:
    """Become a client of the admin program of a daemon without a log, which could open files."""
    daemon = FakeDaemon(has_own_log=False)
    daemon.connect(1, 2)
    return AdminClient(daemon)


def converse(client: AnyClient, data: bytes, size: int) -> bytes:
    """Send bytes in pieces of a size; return the answers."""
    for start in range(0, len(data), size):
        client.send(data[start : start + size])
        if client.connection.closed:
            break
    assert all(descriptors == () for _, descriptors in client.connection.sent)
    assert b"the daemon's log says more" not in client.connection.output
    return client.connection.output


def try_input(data: bytes) -> None:
    """Try one input of atheris."""
    if not data:
        return
    size, data = data[0] + 1, data[1:]
    try_codec(data)
    for client in (log_client, admin_client):
        assert converse(client(), data, size) == converse(client(), data, max(len(data), 1))


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
