"""Makes packed files in memory."""

from __future__ import annotations

import os

from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.making import pack


def packed_file(data: bytes, origin: Origin | None = None) -> int:
    """Return a descriptor of a packed file, which the caller closes."""
    source, target = os.memfd_create("source"), os.memfd_create("packed")
    try:
        os.pwrite(source, data, 0)
        for _ in pack(source, target, origin or Origin(5, "h1.x", len(data))):
            pass
    finally:
        os.close(source)
    return target
