"""Shows a directory at another place through FUSE, by a server that can be stopped and delayed.

A mount whose server is stopped is one that does not answer, as NFS without its server. What waits
for it waits in the kernel, in state D. It ends when the server goes on, or is ended: at the latest
with whoever mounted it, or when it was stopped for longer than a test may take. So a test that
waits for its own mount fails in the end. Needs root and /dev/fuse.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness.fuse import Operation
from harness.guardian import Guardian
from harness.mounting import mount, unmount, unmount_device
from harness.pass_server import Wishes

#: Operations that a full disk refuses.
NEED_ROOM = (
    Operation.WRITE,
    Operation.CREATE,
    Operation.MKDIR,
    Operation.SYMLINK,
    Operation.LINK,
)
_ABORTING = Path("/sys/fs/fuse/connections")


class _Server:
    """One mount with its server.

    :ivar pid: of the server.
    :ivar device: major and minor number of the mount, as mountinfo has them.
    """

    def __init__(self, directory: Path, point: Path, kind: str) -> None:
        with ExitStack() as stack:
            memory = os.memfd_create("wishes")
            stack.callback(os.close, memory)
            os.truncate(memory, Wishes.BYTES)
            self.wishes = Wishes(memory)
            self._held, held = os.pipe()
            release, self._release = os.pipe()
            for end in (held, release):
                stack.callback(os.close, end)
            given = (memory, held, release)
            arguments = [str(directory), str(point), kind, *map(str, given)]
            self._guardian = Guardian("pass_server", arguments, given)
        self.pid, self.device = int(self._guardian.told[0]), self._guardian.told[1]

    def held(self, seconds: float | None) -> Operation | None:
        """Wait until an operation is held, or for a time."""
        if not select.select([self._held], [], [], seconds)[0]:
            return None
        (number,) = os.read(self._held, 1)
        return Operation(number)

    def release(self) -> None:
        """Let an operation go on that is held."""
        os.write(self._release, b"!")

    def close(self) -> None:
        """End it, and all that waits for it; the mount goes."""
        self._guardian.end()
        os.close(self._held)
        os.close(self._release)


class PassMount:
    """A directory that is shown at another place.

    :ivar point: where it is mounted.
    :ivar directory: what is there; it answers in any case.
    """

    def __init__(self, directory: Path, point: Path, kind: str) -> None:
        """Mount it; see :func:`pass_mount`."""
        self.directory = directory
        self.point = point
        self._kind = kind
        self._servers = [_Server(directory, point, kind)]

    @property
    def pid(self) -> int:
        """Of the process that serves it."""
        return self._servers[-1].pid

    @property
    def device(self) -> str:
        """Major and minor number of the mount, as mountinfo has them."""
        return self._servers[-1].device

    # The server.

    def stop(self) -> None:
        """Let it answer nothing any more; what it has been asked may be half done."""
        os.kill(self.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")
        while any(_state(thread) != "T" for thread in threads.iterdir()):
            os.sched_yield()

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it answer nothing inside the context."""
        self.stop()
        try:
            yield
        finally:
            self.resume()

    def kill(self) -> None:
        """End it, as a crash would; the mount stays, and refuses everything with ENOTCONN."""
        os.kill(self.pid, signal.SIGKILL)

    # What it does, from now on, also if it is stopped.

    def delay(self, seconds: float, *operations: Operation) -> None:
        """Let operations take some time; 0 for none.

        :param operations: which; if none are named, writes.
        """
        for operation in operations or (Operation.WRITE,):
            self._servers[-1].wishes.delay[operation] = seconds

    def refuse(self, error: int = errno.ENOSPC, *operations: Operation) -> None:
        """Refuse operations.

        :param error: an errno; 0 to refuse them no more.
        :param operations: which; if none are named, those that a full disk refuses.
        """
        for operation in operations or NEED_ROOM:
            self._servers[-1].wishes.error[operation] = error

    def hold(self, *operations: Operation, chance: float = 1.0, done: bool = False) -> None:
        """Let one operation take until it is released, and none after it.

        :param operations: one of these; if none are named, any.
        :param chance: of each to be the one, from 0 to 1; with 0 none will be.
        :param done: it has been done when it is held, but for the answer.
        """
        for operation in operations or tuple(Operation):
            if operation is not Operation.INIT:
                self._servers[-1].wishes.chance[operation] = -chance if done else chance

    def held(self, seconds: float | None = None) -> Operation | None:
        """Wait until an operation is held.

        :param seconds: to wait at most.
        :returns: the operation; None if there is none.
        """
        return self._servers[-1].held(seconds)

    def release(self) -> None:
        """Let the operation go on that is held."""
        self._servers[-1].release()

    # The mount.

    def abort(self) -> None:
        """Have the kernel refuse all that waits and all that comes, as an operator does."""
        number = self.device.partition(":")[2]
        with _connections() as connections:
            (connections / number / "abort").write_text("1")

    def unmount_lazily(self) -> None:
        """Take it away, as ``umount -l`` does: what is open stays, served as before."""
        unmount_device(self.device)

    def mount_anew(self) -> None:
        """Mount it at the same place by another server, with no wishes; what is open stays."""
        self._servers.append(_Server(self.directory, self.point, self._kind))

    def end_former(self) -> None:
        """End the servers of the mounts before the present one, and what is open there."""
        while len(self._servers) > 1:
            self._servers.pop(0).close()

    def close(self) -> None:
        """End all servers, and all that waits for them."""
        with ExitStack() as stack:
            while self._servers:
                stack.callback(self._servers.pop().close)


@contextmanager
def pass_mount(directory: Path, point: Path, kind: str = "fuse.pass") -> Iterator[PassMount]:
    """Show a directory at another place inside the context; both are there already.

    Nothing is kept by the kernel but what it reads: the server is asked each time.

    :param kind: the type, as mountinfo is to show it.
    :raises GuardianFailed: it cannot be mounted.
    """
    mounted = PassMount(directory, point, kind)
    try:
        yield mounted
    finally:
        mounted.close()


def _state(thread: Path) -> str:
    with suppress(OSError):
        return (thread / "stat").read_text().rpartition(") ")[2][:1]
    return "T"


@contextmanager
def _connections() -> Iterator[Path]:
    """Find the directory by which connections are aborted, where it is mounted or not."""
    if any(_ABORTING.iterdir()):
        yield _ABORTING
        return
    with tempfile.TemporaryDirectory() as directory:
        point = Path(directory)
        mount("harness", point, "fusectl")
        try:
            yield point
        finally:
            unmount(point)
