"""What a packed file looks like: frames of zstd with a table of them at the end.

It is the seekable format that zstd's own sources describe (contrib/seekable_format), so that any
zstdcat reads it::

    skippable frame     what file of a log this was: see Origin
    frame, frame, ...   each of FRAME_BYTES of the log, the last one of the rest; with a checksum
    skippable frame     the seek table: of each frame above, how many bytes it has packed and not

The first one is in the table like the others, as a frame of no bytes. Nothing here packs or unpacks
anything: there are only sizes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

#: Bytes of the log in each frame but the last one.
FRAME_BYTES = 256 * 1024

#: The most that a frame has packed: what cannot be made smaller becomes a little larger.
MOST_PACKED_BYTES = FRAME_BYTES + 1024

_SKIPPABLE = struct.Struct("<II")
_ORIGIN_MAGIC = 0x184D2A5D
_TABLE_MAGIC = 0x184D2A5E
_SEEKABLE_MAGIC = 0x8F92EAB1

_ORIGIN_MARK = b"virtlog\x01"
_origin = struct.Struct("<8sQQH")

#: Bytes that a file begins with, of which :func:`parse_origin` needs no more.
ORIGIN_BYTES = 512
_MOST_BIRTH_BYTES = ORIGIN_BYTES - _SKIPPABLE.size - _origin.size

_entry = struct.Struct("<II")
_entry_with_checksum = struct.Struct("<III")
_footer = struct.Struct("<IBI")
FOOTER_BYTES = _footer.size
_CHECKSUMS = 0x80
_RESERVED = 0x7C


class NotPacked(ValueError):
    """A file is not what is described here."""


class Origin(Struct, frozen=True):
    """Which file of a log was packed.

    :ivar inode: its number.
    :ivar birth: what told it apart from others; see Position.
    :ivar size: its bytes.
    """

    inode: int
    birth: str
    size: int


def origin_frame(origin: Origin) -> bytes:
    """Return what a packed file begins with.

    :raises ValueError: the birth is too long.
    """
    birth = origin.birth.encode()
    if len(birth) > _MOST_BIRTH_BYTES:
        raise ValueError(f"a birth of {len(birth)} bytes")
    content = _origin.pack(_ORIGIN_MARK, origin.inode, origin.size, len(birth)) + birth
    return _SKIPPABLE.pack(_ORIGIN_MAGIC, len(content)) + content


def parse_origin(begin: bytes) -> tuple[Origin, int]:
    """Return which file was packed, and how long the frame is that says so.

    :param begin: what the packed file begins with, :data:`ORIGIN_BYTES` if it has so many.
    :raises NotPacked: it is no packed file of a log.
    """
    try:
        magic, length = _SKIPPABLE.unpack_from(begin)
        mark, inode, size, birth_length = _origin.unpack_from(begin, _SKIPPABLE.size)
    except struct.error as error:
        raise NotPacked("it is too short") from error
    start = _SKIPPABLE.size + _origin.size
    if magic != _ORIGIN_MAGIC or mark != _ORIGIN_MARK or length != _origin.size + birth_length:
        raise NotPacked("it does not say which file it was")
    birth = begin[start : start + birth_length]
    if len(birth) < birth_length or not birth.isascii():
        raise NotPacked("what it says of its file is broken")
    return Origin(inode, birth.decode(), size), start + birth_length


class Frame(Struct, frozen=True):
    """A frame that holds bytes of the log.

    :ivar start: the offset in the log's file of its first byte.
    :ivar size: how many bytes it holds.
    :ivar at: where it is in the packed file.
    :ivar packed: how many bytes it has there.
    """

    start: int
    size: int
    at: int
    packed: int


def frame_sizes(size: int) -> list[int]:
    """Return how many bytes of a log's file go into each frame.

    :param size: of the file, in bytes.
    """
    whole, rest = divmod(size, FRAME_BYTES)
    return [FRAME_BYTES] * whole + ([rest] if rest else [])


def table_frame(origin_length: int, packed: Sequence[int], size: int) -> bytes:
    """Return what a packed file ends with.

    :param origin_length: of the frame that it begins with, in bytes.
    :param packed: how many bytes each of the others has.
    :param size: bytes of the log in them.
    """
    entries = [(origin_length, 0), *zip(packed, frame_sizes(size), strict=True)]
    content = b"".join(_entry.pack(*entry) for entry in entries)
    content += _footer.pack(len(entries), 0, _SEEKABLE_MAGIC)
    return _SKIPPABLE.pack(_TABLE_MAGIC, len(content)) + content


def table_bytes(footer: bytes, file_size: int) -> int:
    """Return how long the seek table is.

    :param footer: the last :data:`FOOTER_BYTES` of the packed file.
    :param file_size: of the packed file, in bytes.
    :raises NotPacked: there is none.
    """
    if len(footer) != FOOTER_BYTES:
        raise NotPacked("it is too short")
    count, descriptor, magic = _footer.unpack(footer)
    if magic != _SEEKABLE_MAGIC or descriptor & _RESERVED:
        raise NotPacked("it has no seek table")
    length = int(_SKIPPABLE.size + count * _struct_of(descriptor).size + FOOTER_BYTES)
    if length > file_size:
        raise NotPacked("its seek table is longer than the file")
    return length


def parse_table(table: bytes, origin: Origin, origin_length: int, file_size: int) -> list[Frame]:
    """Return the frames that hold the log.

    :param table: as many of the packed file's last bytes as :func:`table_bytes` says.
    :param origin: what :func:`parse_origin` returns, as ``origin_length``.
    :param file_size: of the packed file, in bytes.
    :raises NotPacked: something in it is not as it was made.
    """
    count, descriptor, _ = _footer.unpack(table[-FOOTER_BYTES:])
    magic, length = _SKIPPABLE.unpack_from(table)
    if magic != _TABLE_MAGIC or length != len(table) - _SKIPPABLE.size:
        raise NotPacked("its seek table does not begin where it should")
    entries = [
        entry[:2]
        for entry in _struct_of(descriptor).iter_unpack(table[_SKIPPABLE.size : -FOOTER_BYTES])
    ]
    if len(entries) != count or not entries or entries[0] != (origin_length, 0):
        raise NotPacked("its seek table does not begin with which file it was")
    packed = [entry[0] for entry in entries[1:]]
    sizes = [entry[1] for entry in entries[1:]]
    if sizes != frame_sizes(origin.size) or max(packed, default=0) > MOST_PACKED_BYTES:
        raise NotPacked("its frames are not of the usual size")
    places = list(accumulate(packed, initial=origin_length))
    if places[-1] + len(table) != file_size:
        raise NotPacked("its frames are not all that is in it")
    return [
        Frame(number * FRAME_BYTES, size, at, length)
        for number, (size, at, length) in enumerate(zip(sizes, places, packed, strict=False))
    ]


def _struct_of(descriptor: int) -> struct.Struct:
    """Return what parses an entry of the seek table."""
    return _entry_with_checksum if descriptor & _CHECKSUMS else _entry
