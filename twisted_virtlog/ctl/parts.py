"""Reads parts of a log: a range of it, or its last lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twisted_virtlog.client import BlockingClient, Chunk, LogFile, Position, RemoteError
from twisted_virtlog.ctl.log_files import are_readable, read_at
from twisted_virtlog.ctl.ranges import Range
from twisted_virtlog.ctl.reading import read_to_end
from twisted_virtlog.ctl.recording import Recording
from twisted_virtlog.values import is_outdated

_BLOCK_BYTES = 64 * 1024

#: What an older daemon, or another kind of connection, answers to log.files.
_NO_FILES = frozenset({-32601, 1012})


@dataclass(frozen=True)
class Part:
    """Bytes of a log.

    :ivar start: where they begin; None if that is not known.
    :ivar end: where the bytes after them begin.
    """

    data: bytes
    start: Position | None
    end: Position


def read_range(client: BlockingClient, path: str, wanted: Range) -> Iterator[Chunk]:
    """Read a range of a log, but nothing that is written after the call."""
    count = None if wanted.end is None else _count(client, path, wanted.start, wanted.end)
    if count == 0:
        return
    yield from read_to_end(client, path, wanted.start, count)


def _count(client: BlockingClient, path: str, start: Position | None, end: Position) -> int | None:
    """Return how many bytes lie between two positions; None if nobody knows."""
    found = client.files(path, start)
    _close(found.files)
    total = 0
    for number, file in enumerate(found.files):
        begin = start.offset if start is not None and not number and _is_in(start, file) else 0
        if _is_in(end, file):
            return total + max(0, end.offset - begin)
        total += max(0, file.size - begin)
    return None


def _is_in(position: Position, file: LogFile) -> bool:
    return position.inode == file.inode and not is_outdated(position.birth, file.birth)


def last_lines(client: BlockingClient, path: str, count: int) -> Part:
    """Read the last lines of a log, one that has no end yet included.

    The files are read here, from their ends on, which costs the daemon nothing.
    """
    try:
        found = client.files(path)
    except RemoteError as error:
        if error.code not in _NO_FILES:
            raise
        return _last_of_all(client, path, count)
    try:
        if not are_readable(found.files):
            return _last_of_all(client, path, count)
        return _last_of(found.files, count)
    finally:
        _close(found.files)


def _last_of(files: Sequence[LogFile], count: int) -> Part:
    last = files[-1]
    end = Position(last.inode, last.size, last.birth)
    blocks: list[bytes] = []
    # (the newline that ends the last line ends no line before it)
    wanted = count + 1
    for file in reversed(files):
        offset = file.size
        while offset and count:
            length = min(_BLOCK_BYTES, offset)
            block = read_at(file, offset - length, length)
            if not blocks and not block.endswith(b"\n"):
                wanted -= 1
            newlines = block.count(b"\n")
            if newlines < wanted:
                wanted -= newlines
                blocks.append(block)
                offset -= length
                continue
            at = len(block)
            for _ in range(wanted):
                at = block.rindex(b"\n", 0, at)
            blocks.append(block[at + 1 :])
            start = Position(file.inode, offset - length + at + 1, file.birth)
            return Part(b"".join(reversed(blocks)), start, end)
    first = files[0]
    start = end if not count else Position(first.inode, 0, first.birth)
    return Part(b"".join(reversed(blocks)), start, end)


def _last_of_all(client: BlockingClient, path: str, count: int) -> Part:
    recording = Recording(count)
    for chunk in read_to_end(client, path, None, None):
        recording.add(chunk)
    content = recording.content(lambda start, length: client.read(path, start, length))
    data = b"".join(content)
    assert recording.end is not None
    return Part(data, None, recording.end)


def _close(files: Sequence[LogFile]) -> None:
    for file in files:
        os.close(file.descriptor)
