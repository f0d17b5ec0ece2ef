"""All that is kept of a log, as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from twisted_virtlog.client import Chunk, Position
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.answering import Drain, without_encoder
from twisted_virtlog.web.files import Files
from twisted_virtlog.web.windows import extent_of

_PIECE_BYTES = 256 * 1024


class Incomplete(Exception):
    """Bytes were rotated away while they were downloaded."""


async def download(
    request: Request,
    clock: IReactorTime,
    client: Client,
    files: Files,
    path: str,
    patience: float,
) -> None:
    """Answer with the bytes of a log, up to the end that it has now.

    If bytes are lost meanwhile, the connection is broken off rather than that they are left out.
    Gaps that are in what is kept are not: it is all that there is.
    """
    extent = await extent_of(client, files, path)
    at = extent.position(0)
    request.setHeader(b"Content-Type", b"application/octet-stream")
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(
        b"Content-Disposition", b'attachment; filename="%b"' % _file_name(path).encode()
    )
    without_encoder(request)
    request.setHeader(b"Content-Length", b"%d" % extent.size)
    if request.method == b"HEAD":
        return
    drain = Drain(request, clock, patience)
    request.registerProducer(drain, True)
    inodes = [part.inode for part in extent.parts]
    left = extent.size
    try:
        while left and at is not None:
            chunk = await client.read(path, at, min(_PIECE_BYTES, left))
            if not chunk.data or (chunk.gap and _is_lost(chunk, inodes, at)):
                raise Incomplete(f"bytes of {path} were rotated away while it was downloaded")
            left -= len(chunk.data)
            at = chunk.end
            request.write(chunk.data)
            await drain.ready()
    finally:
        drain.stopProducing()
        if request.channel is not None:
            request.unregisterProducer()


def _is_lost(chunk: Chunk, inodes: Sequence[int], at: Position) -> bool:
    """Return whether a gap is one that was not there at the beginning."""
    if at.inode not in inodes or chunk.start.inode not in inodes:
        return True
    return inodes.index(chunk.start.inode) > inodes.index(at.inode) + 1 or chunk.start.offset > 0


def _file_name(path: str) -> str:
    """Return what a browser is to call the file: nothing that means something elsewhere."""
    name = path.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)[:200].lstrip(".") or "log"
