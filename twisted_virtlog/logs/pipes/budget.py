"""Decides how large each pipe may be, where the kernel limits what a user's pipes hold together.

Without CAP_SYS_RESOURCE and CAP_SYS_ADMIN all pipes of a user share a soft limit in pages
(/proc/sys/fs/pipe-user-pages-soft, pipe(7)); beyond it new ones shrink to two pages. A daemon
that made its first pipes large would starve those of later guests, so each gets a fair share and
large ones give back when more logs are opened.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

#: What the kernel gives a new pipe when the limit is reached; a share is never chosen smaller.
SMALLEST_SHARE_BYTES = 8192

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Grant(Generic[K]):
    """An answer of the budget.

    :ivar size: what the new pipe should hold, in bytes.
    :ivar shrink: pipes to make smaller first, each with its new size.
    """

    size: int
    shrink: tuple[tuple[K, int], ...] = ()


@dataclass(slots=True)
class PipeBudget(Generic[K]):
    """Shares a total of bytes among pipes.

    :ivar pipe_size: the largest size that a pipe gets, a power of two.
    :ivar total: bytes for all pipes together; None if the kernel sets no limit.
    """

    pipe_size: int
    total: int | None = None
    _sizes: dict[K, int] = field(default_factory=dict)
    # The pipes that could give something back, oldest first, so that opening stays cheap with many.
    _large: dict[K, int] = field(default_factory=dict)
    _used: int = 0

    def fair_share(self, pipes: int) -> int:
        """Return the size that each of N pipes may have: a power of two within the total."""
        share = self.pipe_size
        if self.total is not None:
            while share > SMALLEST_SHARE_BYTES and share * pipes > self.total:
                share //= 2
        return share

    def add(self, pipe: K) -> Grant[K]:
        """Find room for one more pipe; report to :meth:`resize` what was done."""
        share = self.fair_share(len(self._sizes) + 1)
        shrink: list[tuple[K, int]] = []
        if self.total is not None:
            missing = self._used + share - self.total
            for other, size in self._large.items():
                if missing <= 0:
                    break
                if size > share:
                    shrink.append((other, share))
                    missing -= size - share
        self.resize(pipe, share)
        return Grant(share, tuple(shrink))

    def resize(self, pipe: K, size: int) -> None:
        """Record what a pipe really holds; the kernel may refuse to make it larger or smaller."""
        if self.total is None:
            return
        self.remove(pipe)
        self._sizes[pipe] = size
        self._used += size
        if size > SMALLEST_SHARE_BYTES:
            self._large[pipe] = size

    def remove(self, pipe: K) -> None:
        """Forget a pipe that was closed."""
        self._used -= self._sizes.pop(pipe, 0)
        self._large.pop(pipe, None)
