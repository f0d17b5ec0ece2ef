"""Which file systems have a lane: by their type, by name, or because they were slow."""

from __future__ import annotations

from twisted_virtlog.logs.lanes.mounts import AUTOFS, UNKNOWN, Mount
from twisted_virtlog.values import FileThreads

#: One that was slow has a lane until so many seconds have passed without a slow operation.
REMEMBERED_SECONDS = 600.0

_FUSE = "fuse"
_FUSE_ON_A_DISK = "fuseblk"
_ALL_KINDS = ".*"

#: Types that wait for a server or another process.
WAITING_TYPES = (
    "nfs", "nfs4", "cifs", "smb3", "ceph", _FUSE, "9p", "virtiofs", "glusterfs", "lustre", "gfs2",
    "ocfs2", "afs", AUTOFS,
)  # fmt: skip


_WAITING = frozenset({*WAITING_TYPES, _FUSE_ON_A_DISK})


class Choice:
    """What ``file_threads`` means, and which file systems were slow."""

    def __init__(self, words: str | tuple[str, ...]) -> None:
        """Remember no file system.

        :param words: a value of FileThreads, or else types of file systems and absolute mount
            points; ``fuse`` and ``fuse.*`` stand for all types of FUSE.
        :raises ValueError: a string is no value of FileThreads.
        """
        mode = FileThreads(words) if isinstance(words, str) else None
        self._has_all = mode is FileThreads.ALWAYS
        self._learns = mode is FileThreads.AUTO
        if isinstance(words, str):
            words = WAITING_TYPES if self._learns else ()
        self._points = {word.rstrip("/") or "/" for word in words if word.startswith("/")}
        self._types = {word.removesuffix(_ALL_KINDS) for word in words if not word.startswith("/")}
        if _FUSE in self._types:
            self._types.add(_FUSE_ON_A_DISK)
        # When a file system was slow last, by its device.
        self._slow: dict[str, float] = {}

    def has_lane(self, mount: Mount, now: float) -> bool:
        """Return whether operations on a mount belong in a lane.

        :param now: seconds of a clock that never steps back, as for :meth:`slow`.
        """
        if self._has_all:
            return True
        kind = mount.kind
        if kind in self._types or kind.partition(".")[0] in self._types:
            return True
        if self._points:
            return mount.point in self._points and mount is not UNKNOWN
        return self.is_slow(mount, now)

    def may_wait(self, mount: Mount) -> bool:
        """Return whether a mount is of a type that waits for others, or one that was named."""
        kind = mount.kind
        return (
            kind in _WAITING
            or kind.partition(".")[0] in _WAITING
            or kind in self._types
            or kind.partition(".")[0] in self._types
            or mount.point in self._points
        )

    def is_slow(self, mount: Mount, now: float) -> bool:
        """Return whether an operation on a mount took long lately; see :meth:`has_lane`."""
        slow_at = self._slow.get(mount.device)
        return slow_at is not None and now - slow_at < REMEMBERED_SECONDS

    def slow(self, mount: Mount, now: float) -> None:
        """Note that an operation on a mount took long, in its lane or not."""
        if not self._learns or mount is UNKNOWN:
            return
        slow = self._slow
        slow[mount.device] = now
        # (devices of mounts come and go)
        for device in [one for one, at in slow.items() if now - at >= REMEMBERED_SECONDS]:
            del slow[device]
