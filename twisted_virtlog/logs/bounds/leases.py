"""Decides how far a file may grow before it is asked again whether there is room: its lease."""

from __future__ import annotations

#: What is granted at once where there is much room: so much is written between two questions.
LEASE_BYTES = 1024 * 1024

#: Grants are whole blocks, as what a file takes up is counted in blocks.
BLOCK_BYTES = 4096

#: All leases together are to be less than this part of the room.
PART = 4


def lease(left: int, logs: int) -> int:
    """Return how many bytes a file may grow by.

    :param left: how many bytes all may still write.
    :param logs: how many logs there are to write them; at least 1.
    :returns: whole blocks; 0 if there is not a whole block left.
    """
    share = left if logs == 1 else left // (PART * logs)
    granted = min(LEASE_BYTES, max(share, BLOCK_BYTES), left)
    return max(0, granted // BLOCK_BYTES * BLOCK_BYTES)


def is_scarce(left: int, logs: int) -> bool:
    """Return whether there is less room than all of some logs may have been granted."""
    return left < PART * logs * LEASE_BYTES
