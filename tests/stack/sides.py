"""Starts virtlogd and this daemon with the same paths, and acts out the same scenes with both.

Each runs in a mount namespace of its own, where /run and the log directory are in memory and all
else can only be read. From outside it is reached through /proc, so that a scene needs no process
in there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, final

from harness.daemon import CHECKOUT, file_threads
from tests.stack.rpc_client import (
    APPEND,
    OPEN,
    PONG,
    POSITION,
    READ,
    Answer,
    Closed,
    Connection,
    Failure,
    Place,
    append_arguments,
    frame,
    open_arguments,
    position_arguments,
    read_arguments,
)
from tests.stack.stack import VIRTLOGD, twisted_virtlog

LOGS = "/var/log/libvirt"
_SOCKET = "/run/libvirt/virtlogd-sock"
_CONFIG = "/run/virtlogd.conf"
#: A call that is answered with an error; that it is says that all before it was dealt with.
_SIGN_OF_LIFE = 0xA11FE
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0

# A path that a test got wrong must not leave a file on this machine.
_ENTER = f"""
set -e
mount -o remount,bind,ro /
for directory in /run {LOGS}; do mount -t tmpfs -o mode=755 side "$directory"; done
printf %s "$1" > {_CONFIG}
cd {LOGS}
shift
exec "$@"
"""


@dataclass(frozen=True)
class Side:
    """One daemon that answers."""

    process: subprocess.Popen[bytes]
    said: Path

    def outside(self, path: str) -> Path:
        """Name a file as it is seen from outside."""
        return Path(f"/proc/{self.process.pid}/root{path}")

    def connect(self) -> Connection:
        """Become its client."""
        return Connection(str(self.outside(_SOCKET)))

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """Let it find all at once what comes meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running(directory: Path, command: Sequence[str], settings: Sequence[str]) -> Iterator[Side]:
    """Run a daemon.

    :param directory: where to keep what it says.
    :param command: how it is started; its configuration is added.
    :param settings: lines of its configuration file.
    """
    program = shutil.which(command[0], path=f"/usr/sbin:{os.environ.get('PATH', os.defpath)}")
    assert program is not None
    said = directory / f"{Path(program).name}.log"
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
    # (virtlogd ignores keys that it does not know)
    config = "".join(f"{line}\n" for line in (*settings, *file_threads()))
    with said.open("ab") as log:
        process = subprocess.Popen(
            [*enter, config, program, *command[1:], "--config", _CONFIG],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    side = Side(process, said)
    with process:
        try:
            _until_it_answers(side)
            yield side
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _until_it_answers(side: Side) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            # Before it has entered its namespace, this machine's own daemon would answer.
            if not os.path.samestat(side.outside("/run").stat(), Path("/run").stat()):
                with side.connect():
                    return
        except OSError:
            if side.process.poll() is not None or time.monotonic() > deadline:
                raise ChildProcessError(f"it does not answer: {side.said.read_text()}") from None
        time.sleep(0.005)


class Pair(NamedTuple):
    """Both daemons."""

    theirs: Side
    ours: Side


@contextlib.contextmanager
def both(directory: Path, *settings: str) -> Iterator[Pair]:
    """Run both daemons with the same settings."""
    with (
        running(directory, VIRTLOGD, settings) as theirs,
        running(directory, twisted_virtlog(), settings) as ours,
    ):
        yield Pair(theirs, ours)


class File(NamedTuple):
    """What a directory holds.

    :ivar number: stands for the inode; files of one number were one file all the time.
    """

    name: str
    number: int
    mode: str
    data: bytes


@final
@dataclass
class Scene:
    """What one client does with one daemon, in a directory of its own, and what comes of it.

    Inodes are told as numbers in the order in which they are first seen, as all else is the same.

    :ivar told: each act and what came of it.
    """

    side: Side
    name: str
    told: list[tuple[str, object]] = field(default_factory=list)
    _inodes: dict[int, int] = field(default_factory=dict)
    _guests: dict[str, int] = field(default_factory=dict)
    _client: Connection | None = None
    _serial: int = 0

    def __enter__(self) -> Scene:
        self.outside("").mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        for guest in self._guests.values():
            os.close(guest)

    def path(self, name: str) -> str:
        """Name a file of the scene's directory; one that begins with / is meant so."""
        return name if name.startswith("/") else f"{LOGS}/{self.name}/{name}"

    def outside(self, name: str) -> Path:
        """Name it as it is seen from outside."""
        return self.side.outside(self.path(name))

    def bytes_of(self, name: str) -> bytes:
        """Name it as a client does."""
        return os.fsencode(self.path(name))

    def guest(self, log: str) -> int:
        """Give the pipe that a guest writes to."""
        return self._guests[log]

    def has_open(self, log: str) -> bool:
        """Return whether a guest has a log."""
        return log in self._guests

    # Acts.

    def open(self, log: str, flags: int = 0, uuid: bytes = bytes(16)) -> None:
        """Open a log; its guest keeps the pipe."""
        answer = self._call(OPEN, open_arguments(self.bytes_of(log), flags, uuid=uuid))
        self._tell(f"open {log} {flags:#x}", answer)
        self._take(log, answer)

    def write(self, log: str, *pieces: bytes, then: tuple[int, bytes] | None = None) -> None:
        """Let the guest write pieces, and send a call, before the daemon sees any.

        :param then: a procedure and its arguments; None asks for the position.
        """
        procedure, arguments = then or (POSITION, self._path_arguments(log, 0))
        with self.side.asleep():
            # To be ignored; so that the client is ready before the pipe is, and its call is
            # dispatched before the pipe is looked at.
            self._connected().send(PONG)
            for piece in pieces:
                assert os.write(self._guests[log], piece) == len(piece)
            self._send(procedure, arguments)
        self._tell(f"write {log} {list(map(len, pieces))}", self._receive())

    def reopen(self, log: str, last: bytes) -> None:
        """Let the guest write its last and go, and another open the log, all at once."""
        with self.side.asleep():
            os.write(self._guests[log], last)
            os.close(self._guests.pop(log))
            self._send(OPEN, open_arguments(self.bytes_of(log)))
        answer = self._receive()
        self._tell(f"reopen {log}", answer)
        self._take(log, answer)

    def end(self, log: str, last: bytes = b"") -> None:
        """Let the guest write its last and go; wait until the log is closed."""
        with self.side.asleep():
            os.write(self._guests[log], last)
            os.close(self._guests.pop(log))
        deadline = time.monotonic() + _STOP_SECONDS
        serial = self._serial
        arguments = self._path_arguments(log, 0)
        while not isinstance((answer := self._call(POSITION, arguments)).result, Failure):
            assert time.monotonic() < deadline, f"{log} stays open"
            self._serial = serial
        self._tell(f"end {log}", answer)

    def position(self, log: str, flags: int = 0) -> None:
        """Ask for a position."""
        self.call(f"position {log} {flags:#x}", POSITION, self._path_arguments(log, flags))

    def read(self, log: str, start: str, offset: int, maxlen: int, flags: int = 0) -> None:
        """Read from an offset of a file on.

        :param start: the file's name.
        """
        inode = self.outside(start).stat().st_ino
        self._number(inode)
        arguments = read_arguments(self.bytes_of(log), inode, offset, maxlen, flags)
        self.call(f"read {log} from {start}:{offset}, {maxlen} bytes", READ, arguments)

    def append(self, log: str, message: bytes, flags: int = 0) -> None:
        """Append a message."""
        act = f"append {len(message)} bytes to {log} {flags:#x}"
        self.call(act, APPEND, append_arguments(self.bytes_of(log), message, flags))

    def call(self, act: str, procedure: int, arguments: bytes) -> None:
        """Call any procedure; what is opened is closed again."""
        answer = self._call(procedure, arguments)
        self._tell(act, answer)
        self._take(None, answer)

    def send(self, act: str, data: bytes, descriptors: int = 0, last: bool = False) -> None:
        """Send any bytes; tell all answers, and whether the connection lives on.

        :param descriptors: how many follow.
        :param last: send no more then; otherwise a sign of life is asked for.
        """
        self._connected().send(data)
        self._hear(act, descriptors, last)

    def trickle(self, act: str, data: bytes) -> None:
        """Send bytes one by one, and tell all answers."""
        for byte in data:
            self._connected().send(bytes([byte]))
        self._hear(act, 0, last=False)

    def _hear(self, act: str, descriptors: int, last: bool) -> None:
        client = self._connected()
        for _ in range(descriptors):
            client.send_descriptor()
        if last:
            client.end_input()
        else:
            client.send(frame(0, serial=_SIGN_OF_LIFE))
        answers: list[object] = []
        try:
            while (answer := client.receive()).header.serial != _SIGN_OF_LIFE:
                answers.append(self._comparable(answer))
                self._take(None, answer)
        except Closed:
            answers.append("closed")
            self._leave()
        self.told.append((act, answers))

    def look(self) -> None:
        """Return what files there are."""
        self.told.append(("look", self.files()))

    def files(self) -> list[File]:
        """Give what files there are."""
        found = []
        for path in sorted(self.outside("").iterdir()):
            status = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            mode = stat.filemode(status.st_mode)
            found.append(File(path.name, self._number(status.st_ino), mode, data))
        return found

    # How.

    def _path_arguments(self, log: str, flags: int) -> bytes:
        return position_arguments(self.bytes_of(log), flags)

    def _connected(self) -> Connection:
        if self._client is None:
            self._client = self.side.connect()
        return self._client

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(self, procedure: int, arguments: bytes) -> None:
        self._serial += 1
        self._connected().send(frame(procedure, arguments, serial=self._serial))

    def _receive(self) -> Answer:
        return self._connected().receive()

    def _call(self, procedure: int, arguments: bytes) -> Answer:
        self._send(procedure, arguments)
        return self._receive()

    def _take(self, log: str | None, answer: Answer) -> None:
        """Keep the pipe that came with an answer, or close it if it is nobody's."""
        for descriptor in answer.descriptors:
            if log is None:
                os.close(descriptor)
                continue
            os.set_blocking(descriptor, False)
            self._guests[log] = descriptor

    def _tell(self, act: str, answer: Answer) -> None:
        self.told.append((act, self._comparable(answer)))

    def _comparable(self, answer: Answer) -> object:
        result: object = answer.result
        if isinstance(result, Place):
            result = Place(self._number(result.inode), result.offset)
        elif isinstance(result, Failure):
            message, detail = map(self._without_inode, (result.message, result.str2))
            result = result._replace(message=message, str2=detail)
        return answer.header, result, [_kind(descriptor) for descriptor in answer.descriptors]

    def _number(self, inode: int) -> int:
        return self._inodes.setdefault(inode, len(self._inodes))

    def _without_inode(self, text: bytes | None) -> bytes | None:
        for inode, number in self._inodes.items():
            text = text and text.replace(b"inode %d " % inode, b"inode no. %d " % number)
        return text


def _kind(descriptor: int) -> str:
    """Return what a client got."""
    kind = stat.filemode(os.fstat(descriptor).st_mode)[0]
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    access = {os.O_RDONLY: "read", os.O_WRONLY: "write", os.O_RDWR: "both"}[flags & os.O_ACCMODE]
    return f"{kind} {access} {'waits' if os.get_blocking(descriptor) else 'does not wait'}"
