"""Searches files for lines, in a process of its own that may be ended at any time.

It is run by its path, without the package, so that it begins at once. A regular expression can
take for ever; then this process is ended, and nothing else has waited.

On standard input is a JSON object: ``pattern``, ``is_regex``, ``ignore_case``, ``most`` (how many
lines), ``files``: descriptors, sizes, and whether they are compressed; and ``modules``: where the
modules are that these need. On standard output is a line for each line found: a JSON array of the
file's index, the offset of what is shown of the line in it, and that; null, for the rest of a file
that cannot be read.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import sys
from collections.abc import Iterable, Iterator

#: The exit status if the expression makes no sense; standard error says why.
BAD_PATTERN_STATUS = 2

_LONGEST_SHOWN = 400
#: So much of a compressed file is searched at once, up to the end of a line: nearly always all.
_PIECE_BYTES = 32 * 1024 * 1024
#: A line in it that is longer is searched in parts.
_LONGEST_LINE_BYTES = _PIECE_BYTES


def found(
    pattern: re.Pattern[bytes], data: mmap.mmap | bytes, size: int
) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of each line that matches.

    Of a long line they are those of what was found in it.

    :param size: the data ends there.
    """
    at = 0
    while at < size and (match := pattern.search(data, at, size)) is not None:
        start = data.rfind(b"\n", 0, match.start()) + 1
        if start == size:
            # (after the last line end is no line)
            return
        end = data.find(b"\n", match.start(), size)
        end = size if end < 0 else end
        shown = start if match.start() - start < _LONGEST_SHOWN else match.start()
        yield shown, data[shown : min(end, shown + _LONGEST_SHOWN)]
        at = end + 1


def found_in_pieces(
    pattern: re.Pattern[bytes], pieces: Iterable[bytes]
) -> Iterator[tuple[int, bytes]]:
    """Yield the same of a file that comes piece by piece, however it is cut.

    (But for what goes over a line end: it is missed where a file of more than a piece is cut.)
    """
    begin, rest = 0, b""
    for piece in pieces:
        data = rest + piece
        end = data.rfind(b"\n") + 1
        if not end and len(data) > _LONGEST_LINE_BYTES:
            end = len(data)
        for offset, line in found(pattern, data, end):
            yield begin + offset, line
        begin, rest = begin + end, data[end:]
    for offset, line in found(pattern, rest, len(rest)):
        yield begin + offset, line


def _unpacked(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield what is in a compressed file."""
    from twisted_virtlog.packed.reading import read_packed  # noqa: PLC0415 (others begin at once)

    at = 0
    while at < size:
        parts: list[bytes] = []
        length = 0
        try:
            while length < _PIECE_BYTES and (part := read_packed(descriptor, at + length, size)):
                parts.append(part)
                length += len(part)
        except OSError:
            # (what comes before that is searched)
            yield b"".join(parts)
            raise
        if not parts:
            return
        yield b"".join(parts)
        at += length


def _lines(
    pattern: re.Pattern[bytes], descriptor: int, size: int, compressed: bool
) -> Iterator[tuple[int, bytes] | None]:
    """Yield the lines of a file that match; None if it cannot be read on."""
    if compressed:
        try:
            yield from found_in_pieces(pattern, _unpacked(descriptor, size))
        except OSError:
            yield None
    elif size := min(size, os.fstat(descriptor).st_size):
        with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as data:
            yield from found(pattern, data, size)


def main() -> None:
    """Search what standard input says."""
    asked = json.load(sys.stdin)
    text = asked["pattern"].encode()
    flags = re.MULTILINE | (re.IGNORECASE if asked["ignore_case"] else 0)
    try:
        pattern = re.compile(text if asked["is_regex"] else re.escape(text), flags)
    except re.error as error:
        sys.stderr.write(str(error))
        sys.exit(BAD_PATTERN_STATUS)
    sys.path += asked["modules"]
    left = asked["most"]
    for index, file in enumerate(asked["files"]):
        for line in _lines(pattern, *file):
            told = None if line is None else [index, line[0], line[1].decode(errors="replace")]
            sys.stdout.write(f"{json.dumps(told)}\n")
            # (what was found is not lost if the rest takes too long)
            sys.stdout.flush()
            left -= line is not None
            if not left:
                return


if __name__ == "__main__":
    main()
