"""What the path of a UNIX socket may be, and what to say of one that is too long."""

from __future__ import annotations

import os

#: ``sun_path`` has 108 bytes, the last one for the NUL; see unix(7).
MAX_PATH_BYTES = 107


def too_long(path: str) -> str | None:
    """Return what is wrong with the length of a socket's path; None: nothing.

    :raises ValueError: no file can have this path.
    """
    length = len(os.fsencode(path))
    if length <= MAX_PATH_BYTES:
        return None
    return (
        f"the path is too long: {length} bytes, where a socket's may have {MAX_PATH_BYTES};"
        " make a symbolic link to its directory, and write the path through that"
    )
