"""The process that packs files, as the daemon sees it: a socket on the reactor; see packed.worker.

It is nobody's child, as it leaves the one that was started. So there is no status of it to be
asked for, neither here nor in the daemon's next image.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.messages import (
    MOST_BYTES,
    SYNC,
    Answer,
    pack_request,
    parse_answer,
)

#: How soon another one is started when one has ended: longer and longer, as long as none has done
#: anything.
_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 300.0

#: What is run: the path of its modules is that of the daemon.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:];from twisted_virtlog.packed.worker import main; main()"
)


class PackerGone(Exception):
    """The process has ended, or cannot be started."""


@implementer(IReadDescriptor)
class PackingProcess:
    """One process at a time, which does one thing at a time.

    :ivar pid: its number; 0 while there is none that is ready.
    """

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet, clock: Clock) -> None:
        """Start nothing yet."""
        self.pid = 0
        self._reactor = reactor
        self._clock = clock
        self._socket: socket.socket | None = None
        self._child = 0
        self._waiting: Deferred[int] | None = None
        self._again: IDelayedCall | None = None
        self._wait = _FIRST_SECONDS
        self._has_told = False
        self._is_wanted = False

    def begin(self) -> None:
        """Start it, unless it is there; and again when it has ended."""
        self._is_wanted = True
        if self._socket is None and self._again is None:
            self._start()

    def close(self) -> None:
        """Let it end, whatever it does."""
        self._is_wanted = False
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._end()

    @property
    def is_ready(self) -> bool:
        """Whether something can be asked of it now."""
        return bool(self.pid) and self._waiting is None

    def pack(self, source: int, target: int, origin: Origin) -> Deferred[int]:
        """Have a file packed into another one, and that written to the disk.

        :param source: its descriptor.
        :param target: a descriptor of an empty one.
        :param origin: what is to be known of the file.
        :returns: the size of the packed file; fails with OSError or :class:`PackerGone`.
        """
        return self._ask(pack_request(origin), (source, target))

    def sync(self, target: int) -> Deferred[int]:
        """Have a packed file written to the disk once more, with its name.

        :returns: its size; fails as for :meth:`pack`.
        """
        return self._ask(SYNC, (target,))

    def _ask(self, packet: bytes, files: Sequence[int]) -> Deferred[int]:
        connection = self._socket
        if connection is None or not self.is_ready:
            return fail(PackerGone("it is not there"))
        try:
            socket.send_fds(connection, [packet], files)
        except OSError as error:
            # (its end is seen by itself)
            return fail(PackerGone(str(error)))
        self._waiting = Deferred()
        return self._waiting

    # The process.

    def _start(self) -> None:
        self._again = None
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setblocking(False)
            # (a child that is forked would close what waits for a file system before its exec, and
            # its parent wait with it)
            self._child = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-c", _PROGRAM, *sys.path],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, its.fileno(), 0)],
                setsigmask=(),
            )
        except OSError as error:
            ours.close()
            self._ended(f"it cannot be started: {error}")
            return
        finally:
            its.close()
        self._socket = ours
        self._reactor.addReader(self)

    def _end(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            self._reactor.removeReader(self)
            connection.close()
        self._fetch_status()
        self.pid = 0
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(PackerGone("it has ended"))

    def _fetch_status(self) -> None:
        """Fetch the status of the process that was started, which is left at once."""
        if self._child:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._child, os.WNOHANG)[0] == 0:
                    return
            self._child = 0

    def _ended(self, why: str) -> None:
        self._end()
        if not self._is_wanted:
            return
        if not self._has_told:
            self._has_told = True
            self._logger.warn("the process that compresses backups has ended: {why}", why=why)
        self._again = self._clock.callLater(self._wait, self._start)
        self._wait = min(2 * self._wait, _LONGEST_SECONDS)

    # For the reactor.

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """Return what Twisted's own messages begin with."""
        return "packing"

    def doRead(self) -> None:
        """Take an answer."""
        if self._socket is None:
            return
        try:
            packet = self._socket.recv(MOST_BYTES)
            answer = parse_answer(packet) if packet else None
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self._ended(str(error))
            return
        if answer is None:
            self._ended("it was killed, or could not go on")
        else:
            self._take(answer)

    def _take(self, answer: Answer) -> None:
        if not self.pid:
            self.pid = answer.pid
            self._fetch_status()
            if answer.error:
                self._logger.warn(
                    "backups are compressed at the priority of everything else: {reason}",
                    reason=os.strerror(answer.error),
                )
            return
        self._wait, self._has_told = _FIRST_SECONDS, False
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if answer.error == errno.ENOPKG:
            waiting.errback(OSError(errno.ENOPKG, "there is no zstd"))
        elif answer.error:
            waiting.errback(OSError(answer.error, os.strerror(answer.error)))
        else:
            waiting.callback(answer.size)

    def connectionLost(self, reason: object) -> None:
        """Take note that the socket is broken."""
        self._ended("its socket is broken")
