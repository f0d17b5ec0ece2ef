"""Decides how large each new pipe may be, where the kernel limits a user's pipes together.

Without CAP_SYS_RESOURCE and CAP_SYS_ADMIN all pipes of a user share a soft limit in pages
(/proc/sys/fs/pipe-user-pages-soft, pipe(7)); beyond it new ones shrink to two pages. A pipe that
was given away keeps its size, as its guest could make any change of it wait for ever. So no pipe
takes more than a part of what is left, and half of all is kept for pipes of the usual size: early
guests get large ones, and late ones do not starve.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from msgspec import Struct, field

#: What the kernel gives a new pipe when the limit is reached; a share is never chosen smaller.
SMALLEST_SHARE_BYTES = 8192

#: What a pipe holds unless asked otherwise; see pipe(7).
USUAL_PIPE_BYTES = 65536

#: A pipe takes at most one part in so many of what is left.
_PARTS = 8

K = TypeVar("K", bound=Hashable)


class PipeBudget(Struct, Generic[K]):
    """Shares a total of bytes among pipes.

    :ivar pipe_size: the largest size that a pipe gets unless another is wished, a power of two.
    :ivar total: bytes for all pipes together; None if the kernel sets no limit.
    """

    pipe_size: int
    total: int | None = None
    _sizes: dict[K, int] = field(default_factory=dict)
    _used: int = 0

    def share(self, wished: int | None = None) -> int:
        """Return the size in bytes that one more pipe may have: a power of two.

        :param wished: the largest that it gets, likewise; None for that of all.
        """
        size = self.pipe_size if wished is None else wished
        if self.total is not None:
            left = self.total - self._used
            left_for_large = left - self.total // 2
            while size > SMALLEST_SHARE_BYTES and size * _PARTS > (
                left_for_large if size > USUAL_PIPE_BYTES else left
            ):
                size //= 2
        return size

    def add(self, pipe: K, size: int) -> None:
        """Count a pipe with what it really holds; the kernel may refuse to make it larger."""
        if self.total is not None:
            self._sizes[pipe] = size
            self._used += size

    def remove(self, pipe: K) -> None:
        """Forget a pipe that was closed."""
        self._used -= self._sizes.pop(pipe, 0)
