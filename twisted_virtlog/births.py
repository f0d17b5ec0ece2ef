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


def differ(of_position: str, of_file: str) -> bool:
    """Return whether a position is known to lie in another file, or before the file was cut.

    :param of_position: the birth in the position; "" where it has none.
    :param of_file: the birth of a file with the position's inode number, as known now. Without a
        cut none is known, and that of the position decides nothing.
    """
    if not of_position or not of_file:
        return False
    position_file, _, position_cut = of_position.partition(_CUT_BEGIN)
    file, _, cut = of_file.partition(_CUT_BEGIN)
    if position_file.partition(_KIND_END)[0] != file.partition(_KIND_END)[0]:
        # Those of different kinds cannot be compared.
        return False
    return position_file != file or cut not in {"", position_cut}
