"""Memory of the page's program: what was needed for a moment goes back to the system."""

from __future__ import annotations

import ctypes

#: From mallopt(3).
_M_MMAP_THRESHOLD = -3

#: A piece of a log that is passed on is larger in each form that it has on its way.
_LARGE_BYTES = 64 * 1024


def return_what_is_large() -> None:
    """Have what is large returned as soon as it is not used, where the C library knows how.

    It would be kept otherwise: some hundred KiB for a browser that reads nothing, although what is
    held for it is less than a hundred.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
