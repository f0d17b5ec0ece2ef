"""How values stand in the tables of the index: pure."""

from __future__ import annotations

from datetime import datetime

from twisted_virtlog.history.moments import wall_time
from twisted_virtlog.values import Domain, Position

#: How many pieces a file's marks may be in.
PIECE_BITS = 24

#: Numbers of inodes are signed in SQLite, and of 64 bits.
_SIGN = 1 << 63


def pieces(file: int) -> tuple[int, int]:
    """Return the first id of a file's pieces, and the one after the last."""
    return file << PIECE_BITS, (file + 1) << PIECE_BITS


def place_of(position: Position) -> tuple[int, int, str]:
    """Return a position as three columns."""
    inode = position.inode
    return inode - 2 * _SIGN if inode >= _SIGN else inode, position.offset, position.birth


def position_of(inode: int, offset: int, birth: str) -> Position:
    """Return the position of three columns."""
    return Position(inode % (2 * _SIGN), offset, birth)


def text_of(text: str) -> bytes:
    """Return text as a column; there may be surrogates in it."""
    return text.encode("utf-8", "surrogatepass")


def of_text(text: bytes) -> str:
    """Return the text of a column."""
    return text.decode("utf-8", "surrogatepass")


def names_of(domain: Domain | None) -> tuple[bytes | None, bytes | None]:
    """Return a guest as two columns."""
    return (None, None) if domain is None else (text_of(domain.uuid), text_of(domain.name))


def domain_of(uuid: bytes | None, name: bytes | None) -> Domain | None:
    """Return the guest of two columns."""
    return None if uuid is None or name is None else Domain(of_text(uuid), of_text(name))


def time_of(ms: int | None) -> datetime | None:
    """Return the time of a column that may be NULL."""
    return None if ms is None else wall_time(ms)
