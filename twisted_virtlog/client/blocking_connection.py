"""A connection on which one thread asks, and waits for what the daemon tells."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar, final

from twisted_virtlog.client.call import Call
from twisted_virtlog.client.connecting import attempt, pauses, receive
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import Disconnected, TimedOut
from twisted_virtlog.client.notifications import Notification

R = TypeVar("R")


@final
class BlockingConnection:
    """A connection to the daemon.

    It reads no more than it needs: what the daemon tells and nobody takes waits in the socket, and
    then in the daemon.
    """

    def __init__(self, path: str, timeout: float | None) -> None:
        """Connect.

        :param path: the path of the daemon's JSON-RPC socket.
        :param timeout: seconds that connecting and each question may take; None for no limit.
        :raises Unreachable: nobody listens there, or this user may not connect.
        """
        self._dialogue = Dialogue()
        self._timeout = timeout
        self._gone: str | None = None
        #: What was received and is not taken apart yet.
        self._coming: Iterator[Reply | Notification] = iter(())
        #: What was told before an answer that was waited for.
        self._told: deque[Notification] = deque()
        waits = pauses(path, timeout)
        while (sock := attempt(path)) is None:
            time.sleep(next(waits))
        self._socket = sock

    def ask(self, call: Call[R]) -> R:
        """Send a request, and wait for its result.

        After a Disconnected, a TimedOut, or a BadAnswer that leaves the connection unusable, it is
        closed.

        :raises ClientError: as a client's calls.
        """
        if self._gone is not None:
            raise Disconnected(f"{call.method} cannot be asked: {self._gone}")
        _number, text = self._dialogue.request(call)
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            reply = self._exchange(call, text, deadline)
        except BaseException as error:
            # The answer would be left in the stream, and taken for that of the next request.
            self._break_off(error)
            raise
        if reply.failed:
            for descriptor in reply.descriptors:
                os.close(descriptor)
            raise reply.outcome
        result: R = reply.outcome
        return result

    def next(self, timeout: float | None) -> Notification | None:
        """Wait for what the daemon tells next.

        :param timeout: seconds to wait; 0 takes what is there, None waits as long as it takes.
        :returns: None if nothing came in that time.
        :raises Disconnected: the connection has ended, and all that came before was taken.
        :raises BadAnswer: what came makes no sense; the connection is closed.
        """
        if self._told:
            return self._told.popleft()
        if self._gone is not None:
            raise Disconnected(f"nothing comes any more: {self._gone}")
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while isinstance(said := self._said(deadline), Reply):
                # (there is none, as no request is pending)
                pass
        except (TimeoutError, BlockingIOError):
            return None
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            lost = Disconnected(f"the connection was lost: {reason}")
            self._break_off(lost)
            raise lost from error
        except BaseException as error:
            # Half of something may have been taken.
            self._break_off(error)
            raise
        return said

    def fileno(self) -> int:
        """Return the socket's descriptor, which is readable when something comes; -1 if closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection; what was told and not taken is gone."""
        self._told.clear()
        self._break_off("the client was closed")

    def _exchange(self, call: Call[Any], text: bytes, deadline: float | None) -> Reply:
        try:
            self._allow_until(deadline)
            self._socket.sendall(text)
            while not isinstance(said := self._said(deadline), Reply):
                self._told.append(said)
        except (TimeoutError, BlockingIOError) as error:
            raise TimedOut(
                f"no answer to {call.method} came within {self._timeout:g} seconds"
            ) from error
        except OSError as error:
            raise Disconnected(
                f"the connection was lost before {call.method} was answered: {error.strerror}"
            ) from error
        except EOFError as error:
            raise Disconnected(
                f"the daemon closed the connection before it answered {call.method}"
            ) from error
        # (only one request is pending, so it is this one's)
        return said

    def _said(self, deadline: float | None) -> Reply | Notification:
        while (said := next(self._coming, None)) is None:
            self._allow_until(deadline)
            data, descriptors = receive(self._socket)
            self._dialogue.add_descriptors(descriptors)
            if not data:
                raise EOFError("the daemon closed the connection")
            self._coming = self._dialogue.receive(data)
        return said

    def _allow_until(self, deadline: float | None) -> None:
        # (for a socket, a timeout of 0 means not to block)
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        if left != self._socket.gettimeout():
            self._socket.settimeout(left)

    def _break_off(self, reason: BaseException | str) -> None:
        self._gone = self._gone or str(reason) or type(reason).__name__
        self._socket.close()
        self._coming = iter(())
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
