"""Reads files of logs by the descriptors that a daemon gives, compressed ones too."""

from __future__ import annotations

import os
from collections.abc import Iterable

from twisted_virtlog.client import LogFile
from twisted_virtlog.packed.codec import has_zstd
from twisted_virtlog.packed.reading import read_packed


def are_readable(files: Iterable[LogFile]) -> bool:
    """Return whether files can be read here: there may be no zstd for those that are compressed."""
    return not any(file.compressed for file in files) or has_zstd()


def read_at(file: LogFile, offset: int, count: int) -> bytes:
    """Read a part of a file.

    :returns: so many bytes; fewer, where another program has cut it.
    :raises OSError: it cannot be read.
    """
    if not file.compressed:
        return os.pread(file.descriptor, count, offset)
    parts = []
    while count > 0 and (data := read_packed(file.descriptor, offset, count)):
        parts.append(data)
        offset += len(data)
        count -= len(data)
    return b"".join(parts)
