"""A log that is followed, for programs that block."""

from __future__ import annotations

import socket
import time
from typing import final

from twisted_virtlog.client.closing import Closing
from twisted_virtlog.client.connecting import attempt, pauses, pauses_for_ever, receive
from twisted_virtlog.client.errors import Disconnected, TimedOut, Unreachable
from twisted_virtlog.client.follow_session import FollowSession
from twisted_virtlog.client.notifications import FollowedChunk
from twisted_virtlog.values import Position


@final
class BlockingFollowing(Closing):
    """A log that is followed, over a connection of its own: an iterator of its chunks.

    When it has been made, all that is written from then on will come. Nothing is read before it is
    asked for: what is not taken waits in the log. It connects again when the connection ends, for
    as long as it takes, and goes on from the end of the last chunk, so each byte comes once. Only
    one thread at a time may use it.
    """

    def __init__(
        self, socket_path: str, session: FollowSession, timeout: float | None, reconnect: bool
    ) -> None:
        """Follow; made by :meth:`.BlockingClient.follow`, which says what is raised."""
        self._path = socket_path
        self._session = session
        self._reconnect = reconnect
        self._ended: str | None = None
        #: What came together with the first answer.
        self._ahead: FollowedChunk | None = None
        self._pauses = pauses_for_ever()
        #: Without a connection: when to try to have one, by time.monotonic().
        self._try_at = 0.0
        self._socket: socket.socket | None = None
        waits = pauses(socket_path, timeout)
        while (sock := attempt(socket_path)) is None:
            time.sleep(next(waits))
        self._adopt(sock)
        try:
            self._start(timeout)
        except BaseException:
            self.close()
            raise

    @property
    def position(self) -> Position:
        """Where it began; with the inode number 0 if the log was not there yet."""
        position = self._session.position
        assert position is not None, "it has started"
        return position

    @property
    def ended(self) -> str | None:
        """Why nothing more comes; None while something may.

        ``closed`` is the end of the log, ``failed`` that of an error, and ``unfollowed`` is said
        after :meth:`close`.
        """
        return self._ended

    def next(self, timeout: float | None = None) -> FollowedChunk | None:
        """Wait for what comes next.

        :param timeout: seconds to wait; 0 takes what is there, None waits as long as it takes.
        :returns: None if nothing came in that time, or nothing comes any more: see :attr:`ended`.
        :raises RemoteError: the log cannot be followed any more.
        :raises Disconnected: the connection has ended, and it is not to connect again.
        """
        if self._ahead is not None:
            chunk, self._ahead = self._ahead, None
            return chunk
        if self._ended is not None:
            return None
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            return self._next(deadline)
        except (TimeoutError, BlockingIOError):
            return None
        except BaseException:
            self._end("failed")
            raise

    def close(self) -> None:
        """End it, and close its connection."""
        self._ahead = None
        self._end("unfollowed")

    def __iter__(self) -> BlockingFollowing:
        return self

    def __next__(self) -> FollowedChunk:
        while (chunk := self.next()) is None:
            if self._ended is not None:
                raise StopIteration
        return chunk

    def __del__(self) -> None:
        # (a loop that was left, over an iterator that has no name)
        if getattr(self, "_socket", None) is not None:
            self.close()

    def _start(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while not self._session.started:
                self._exchange(deadline)
                self._ahead = self._session.next()
        except (TimeoutError, BlockingIOError) as error:
            raise TimedOut(f"no answer to log.follow came within {timeout:g} seconds") from error

    def _next(self, deadline: float | None) -> FollowedChunk | None:
        while True:
            try:
                if (chunk := self._session.next()) is not None:
                    self._pauses = pauses_for_ever()
                    return chunk
                if self._session.ended is not None:
                    self._end(self._session.ended)
                    return None
                if self._socket is None:
                    self._connect_again(deadline)
                self._exchange(deadline)
            except Disconnected:
                if not self._reconnect:
                    raise
                self._disconnect()
                self._try_at = time.monotonic() + next(self._pauses)

    def _connect_again(self, deadline: float | None) -> None:
        wait = self._try_at - time.monotonic()
        if deadline is not None and wait > deadline - time.monotonic():
            time.sleep(max(deadline - time.monotonic(), 0))
            raise TimeoutError
        time.sleep(max(wait, 0))
        try:
            sock = attempt(self._path)
        except Unreachable as error:
            raise Disconnected(str(error)) from error
        if sock is None:
            raise Disconnected("the daemon's queue of connections is full")
        self._adopt(sock)

    def _adopt(self, sock: socket.socket) -> None:
        self._socket = sock
        self._session.connected()

    def _exchange(self, deadline: float | None) -> None:
        """Send what is to be sent, and receive once."""
        assert self._socket is not None, "there is a connection"
        try:
            # (for a socket, a timeout of 0 means not to block)
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if left != self._socket.gettimeout():
                self._socket.settimeout(left)
            if text := self._session.to_send():
                # (so little that the socket has room for it)
                self._socket.sendall(text)
            data, descriptors = receive(self._socket)
        except (TimeoutError, BlockingIOError):
            raise
        except OSError as error:
            raise Disconnected(f"the connection was lost: {error.strerror}") from error
        self._session.receive(data, descriptors)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._session.lost()

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._disconnect()
