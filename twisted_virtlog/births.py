"""Tells files apart that had the same inode number, by the ``birth`` of positions in them.

A birth is ``KIND.FILE`` or ``KIND.FILE+CUT``. FILE comes from the file itself, and KIND says how;
CUT is there when another program was seen to cut the file, and says when. Both are opaque.
"""

from __future__ import annotations

_KIND_END = "."
_CUT_BEGIN = "+"


def with_cut(birth: str, cut: str) -> str:
    """Return the birth of a file after a cut.

    :param birth: of the file itself, without a cut.
    :param cut: "" if none was seen.
    """
    return f"{birth}{_CUT_BEGIN}{cut}" if birth and cut else birth


def without_cut(birth: str) -> str:
    """Return the part of a birth that comes from the file itself."""
    return birth.partition(_CUT_BEGIN)[0]


def name_other_file(of_position: str, of_file: str) -> bool:
    """Return whether a position is known to lie in another file.

    :param of_position: the birth in the position; "" where it has none.
    :param of_file: the birth of a file with the position's inode number.
    """
    position_file, file = without_cut(of_position), without_cut(of_file)
    # Those of different kinds cannot be compared.
    return position_file != file and _kind(position_file) == _kind(file)


def differ(of_position: str, of_file: str) -> bool:
    """Return whether a position is known to lie in another file, or before the file was cut.

    :param of_position: the birth in the position; "" where it has none.
    :param of_file: the birth of a file with the position's inode number, as known now. If it has no
        cut, none is known any more, and that of the position decides nothing.
    """
    if name_other_file(of_position, of_file):
        return True
    cut = of_file.partition(_CUT_BEGIN)[2]
    cut_since = cut not in {"", of_position.partition(_CUT_BEGIN)[2]}
    return cut_since and _kind(of_position) == _kind(of_file)


def _kind(birth: str) -> str:
    return birth.partition(_KIND_END)[0]
