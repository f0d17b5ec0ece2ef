"""A file system that does not answer: FUSE, whose server is here and says nothing.

Whoever looks up, opens or asks for anything on it waits until it is aborted. So it shows that
something is not touched: a request that waits is a touch. It needs root, and should be mounted in a
mount namespace of one's own, so that nothing of it stays when the process is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

from harness import fuse
from harness.fuse import Operation
from harness.mounting import device_at, unmount


class HungMount:
    """A file system that is mounted and does not answer.

    :ivar path: where it is mounted.
    :ivar device: ``MAJOR:MINOR`` of it.
    """

    def __init__(self, path: Path, kind: str = "fuse") -> None:
        """Mount it.

        :param kind: the type in mountinfo, ``fuse`` or ``fuse.NAME``.
        """
        self.path = path
        self._file = fuse.mounted(path, kind)
        try:
            self._begin()
            device = device_at(path)
            assert device is not None
        except BaseException:
            self.abort()
            raise
        self.device = device

    def is_touched(self, seconds: float = 0) -> bool:
        """Return whether anybody asks for anything and waits for the answer.

        :param seconds: how long to wait for somebody to do so.
        """
        waiting = select.poll()
        waiting.register(self._file, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def take(self) -> int:
        """Take a request, which there must be, and do not answer.

        As of then not even SIGKILL ends who waits for it.

        :returns: what is asked for, see :class:`harness.fuse.Operation`.
        """
        return fuse.request(self._read()).operation

    def abort(self) -> None:
        """Let all who wait fail, as if the server had died: ENOTCONN, or ECONNABORTED."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _begin(self) -> None:
        """Answer the first request, which the kernel makes by itself."""
        data = self._read()
        head = fuse.request(data)
        assert head.operation == Operation.INIT
        os.write(self._file, fuse.answer(head.unique, 0, fuse.init(data[fuse.REQUEST.size :])))

    def _read(self) -> bytes:
        return os.read(self._file, fuse.BUFFER_BYTES)


@contextlib.contextmanager
def hung_mount(path: Path, kind: str = "fuse") -> Iterator[HungMount]:
    """Have a file system that does not answer; nobody waits any more in the end.

    :param path: a directory.
    :param kind: see :class:`HungMount`.
    """
    hung = HungMount(path, kind)
    try:
        yield hung
    finally:
        hung.abort()
        # (it may be unmounted already)
        with contextlib.suppress(OSError):
            unmount(path)
