"""A stand-in for systemd as a daemon sees it: its sockets, notifications and descriptor store.

It does what systemd 252 does with the store: descriptors of one name may be several, one that is
there already is not added again, a full store drops silently, and all of it comes back after the
sockets when the daemon is started again. Without FDPOLL=0 a pipe goes when its writers do.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twisted_virtlog.systemd.names import pipe_inode

_SECONDS = 60.0

#: So often a daemon that says nothing is looked at.
_LOOK_SECONDS = 0.25
_LARGEST = 4096

_LAUNCH = 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"'


@dataclass(frozen=True)
class Stored:
    """A descriptor in the store."""

    name: str
    descriptor: int
    polled: bool


class ServiceManager:
    """Starts one daemon, again and again, and keeps what it stores.

    :ivar messages: all notifications, each a mapping of its assignments.
    :ivar store: what is stored now, in order.
    :ivar address: $NOTIFY_SOCKET.
    :ivar names_sockets: it says what descriptors are, as systemd always does.
    """

    def __init__(self, directory: Path, command: Sequence[str], most: int = 20000) -> None:
        """:param most: FileDescriptorStoreMax."""
        self.messages: list[Mapping[str, str]] = []
        self.store: list[Stored] = []
        self.command = list(command)
        self.environment: dict[str, str] = {}
        self.sockets: list[tuple[str, socket.socket]] = []
        self.log = directory / "daemon.log"
        self.names_sockets = True
        self.pid = 0
        self._most = most
        self._changed = threading.Condition()
        self.address = str(directory / "notify")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(self.address)
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def listen(self, name: str, path: Path) -> None:
        """Make a socket that the daemon is given by a name."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        sock.listen(64)
        self.sockets.append((name, sock))

    def start(self, watchdog_usec: int = 0, wait: bool = True) -> None:
        """Start the daemon, with all that is stored, and wait until it is ready."""
        with self._changed:
            given = [(name, sock.fileno()) for name, sock in self.sockets]
            given += [(one.name, one.descriptor) for one in self.store]
            self.messages.clear()
            self._spawn(given, watchdog_usec)
        if wait:
            self.wait_for(lambda: self.heard("READY"))

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End the daemon; tell its wait status."""
        os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the daemon's end."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return status

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that notifications change; the daemon must not end before."""
        deadline = time.monotonic() + _SECONDS
        with self._changed:
            while not self._changed.wait_for(condition, _LOOK_SECONDS):
                ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                late = time.monotonic() > deadline
                assert ended is None, self.log.read_text()
                assert not late, (self.messages, self.names, self.log.read_text())

    def settle(self) -> None:
        """Wait until all that was sent until now is obeyed."""
        with self._changed:
            before = len(self.messages)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"SETTLED=1", self.address)
        with self._changed:
            assert self._changed.wait_for(
                lambda: any("SETTLED" in message for message in self.messages[before:]), _SECONDS
            )

    def heard(self, assignment: str) -> bool:
        """Return whether a notification assigned something."""
        return any(assignment in message for message in self.messages)

    def pipes(self) -> list[str]:
        """The names of the stored pipes."""
        return [name for name in self.names if pipe_inode(name) is not None]

    @property
    def names(self) -> list[str]:
        """The names in the store."""
        return [one.name for one in self.store]

    def remove(self, name: str) -> None:
        """Lose what is stored by a name."""
        with self._changed:
            self._obey({"FDSTOREREMOVE": "1", "FDNAME": name}, [])

    def drop_store(self) -> None:
        """Forget what is stored, as ``systemctl stop`` does."""
        with self._changed:
            for one in self.store:
                os.close(one.descriptor)
            self.store.clear()

    def close(self) -> None:
        """End the daemon and all that there is."""
        if self.pid:
            self.kill()
        os.close(self._end)
        self._thread.join()
        os.close(self._ended)
        self._notify.close()
        self.drop_store()
        for _, sock in self.sockets:
            sock.close()

    def _spawn(self, given: Sequence[tuple[str, int]], watchdog_usec: int) -> None:
        environment = {**os.environ, **self.environment, "NOTIFY_SOCKET": self.address}
        if given:
            environment["LISTEN_FDS"] = str(len(given))
            if self.names_sockets:
                environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in given)
        if watchdog_usec:
            environment["WATCHDOG_USEC"] = str(watchdog_usec)
        # Above the numbers that the child's descriptors get, or one would take another's place.
        above = 3 + len(given)
        aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for _, descriptor in given]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_DUP2, source, 3 + at) for at, source in enumerate(aside)),
        ]
        try:
            self.pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", _LAUNCH, "sh", *self.command],
                environment,
                file_actions=actions,
            )
        finally:
            for descriptor in aside:
                os.close(descriptor)

    # Notifications.

    def _receive(self) -> None:
        poller = select.poll()
        poller.register(self._notify, select.POLLIN)
        poller.register(self._ended, select.POLLIN)
        while self._ended not in dict(poller.poll()):
            data, ancillary, _, _ = self._notify.recvmsg(
                _LARGEST, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
            )
            descriptors = array.array("i")
            for _, _, content in ancillary:
                descriptors.frombytes(content)
            pairs = [line.partition("=") for line in data.decode().split("\n")]
            message = {name: value for name, _, value in pairs}
            with self._changed:
                self.messages.append(message)
                self._obey(message, list(descriptors))
                self._changed.notify_all()

    def _obey(self, message: Mapping[str, str], descriptors: list[int]) -> None:
        name = message.get("FDNAME", "stored")
        if message.get("FDSTOREREMOVE") == "1":
            for one in [one for one in self.store if one.name == name]:
                os.close(one.descriptor)
                self.store.remove(one)
        if message.get("BARRIER") == "1":
            for descriptor in descriptors:
                os.close(descriptor)
            return
        if message.get("FDSTORE") != "1":
            assert not descriptors, message
            return
        for descriptor in descriptors:
            full = len(self.store) >= self._most
            if full or any(_same(descriptor, one.descriptor) for one in self.store):
                os.close(descriptor)
            else:
                self.store.append(Stored(name, descriptor, message.get("FDPOLL") != "0"))


def _same(one: int, other: int) -> bool:
    return os.path.sameopenfile(one, other)
