"""A client that blocks: for commands and scripts that ask one thing after another."""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar, final

from twisted_virtlog.client import admin_calls, calls
from twisted_virtlog.client.admin_calls import OwnLogging, ServerClients, ServerLimits
from twisted_virtlog.client.calls import DEFAULT_READ_BYTES, Call, Chunk, DaemonInfo, LogInfo
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import Disconnected, TimedOut, Unreachable
from twisted_virtlog.values import Closed, Domain, Opened, Position

R = TypeVar("R")

RECEIVE_BYTES = 256 * 1024
#: As many as the kernel passes at once (SCM_MAX_FD).
_ANCILLARY_BYTES = socket.CMSG_SPACE(253 * array.array("i").itemsize)


@final
class BlockingClient:
    """A connection to the daemon; each call waits for its answer.

    Every call raises :class:`RemoteError` for an error that the daemon answers,
    :class:`Disconnected` or :class:`TimedOut` when no answer comes, :class:`BadAnswer` for one that
    is none, and :class:`BadRequest` for what cannot be asked. After a Disconnected, a TimedOut or a
    BadAnswer that concerns the connection, all further calls raise Disconnected. One thread at a
    time may use it.
    """

    def __init__(self, path: str, timeout: float | None = None) -> None:
        """Connect.

        :param path: of the daemon's JSON-RPC socket.
        :param timeout: seconds that connecting and each call may take; None waits for ever.
        :raises Unreachable: nobody listens there, or it may not be reached.
        """
        self._dialogue = Dialogue()
        self._timeout = timeout
        self._gone: str | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            # (Python's own, as that a path is too long, have neither number nor reason.)
            raise Unreachable(path, error.strerror or str(error), error.errno) from error
        except ValueError as error:
            self._socket.close()
            raise Unreachable(path, str(error), None) from error

    def open(
        self, path: str, driver: str = "none", domain: Domain | None = None, truncate: bool = False
    ) -> Opened:
        """Open a log; the caller owns the write end of its pipe that comes in the result."""
        return self._perform(calls.open_log(path, driver, domain, truncate))

    def close_log(self, path: str) -> Closed:
        """Close a log, whoever holds its pipe, after writing what is in it.

        What is written to the pipe later is refused: its writers get EPIPE.
        """
        return self._perform(calls.close_log(path))

    def position(self, path: str) -> Position:
        """Tell the end of an open log, after all that was written to its pipe until now."""
        return self._perform(calls.tell_position(path))

    def read(
        self, path: str, position: Position | None = None, max_bytes: int = DEFAULT_READ_BYTES
    ) -> Chunk:
        """Read bytes from a position on; None is the oldest byte kept."""
        return self._perform(calls.read_log(path, position, max_bytes))

    def append(
        self, path: str, message: str, driver: str = "none", domain: Domain | None = None
    ) -> Position:
        """Write a message, as it is, after all that is in the pipe; tell the position after it."""
        return self._perform(calls.append_message(path, message, driver, domain))

    def list(self) -> Sequence[LogInfo]:
        """Tell of all open logs, sorted by path."""
        return self._perform(calls.list_logs())

    def info(self) -> DaemonInfo:
        """Tell what the daemon is."""
        return self._perform(calls.daemon_info())

    def clients(self, server: str | None = None) -> Sequence[ServerClients]:
        """Tell who is connected, by server; None for all servers."""
        return self._perform(admin_calls.list_clients(server))

    def disconnect(self, server: str, number: int) -> bool:
        """Close a client's connection; its logs stay open."""
        return self._perform(admin_calls.disconnect(server, number))

    def set_limits(self, server: str, max_clients: int) -> ServerLimits:
        """Let a server have so many clients at once."""
        return self._perform(admin_calls.set_limits(server, max_clients))

    def logging(self) -> OwnLogging:
        """Tell what the daemon logs of itself."""
        return self._perform(admin_calls.get_logging())

    def set_logging(
        self,
        level: str | None = None,
        filters: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> OwnLogging:
        """Log other things of the daemon itself, or elsewhere; None leaves a setting as it is.

        :param level: ``debug``, ``info``, ``warning`` or ``error``.
        :param filters: as ``1:logs``; empty for none.
        :param outputs: as ``3:stderr``; empty for the default.
        """
        return self._perform(admin_calls.set_logging(level, filters, outputs))

    def reexec(self, to_virtlogd: str | None = None) -> bool:
        """Let the daemon hand over to its next image, with all logs, sockets and clients.

        :param to_virtlogd: the path of libvirt's virtlogd, to hand over to that; then this
            connection ends.
        :returns: True once the next image was tried and takes over.
        """
        return self._perform(calls.reexec(to_virtlogd))

    def discover(self) -> dict[str, Any]:
        """Tell the OpenRPC document of the daemon's methods."""
        return self._perform(calls.discover())

    def close(self) -> None:
        """Close the connection; opened logs stay open."""
        self._break_off("the client was closed")

    def __enter__(self) -> BlockingClient:
        """Close the connection at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def _perform(self, call: Call[R]) -> R:
        if self._gone is not None:
            raise Disconnected(f"{call.method} cannot be asked: {self._gone}")
        _number, text = self._dialogue.request(call)
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            reply = self._exchange(call, text, deadline)
        except BaseException as error:
            # Nobody would take the answer out of the stream.
            self._break_off(str(error) or type(error).__name__)
            raise
        if reply.failed:
            for descriptor in reply.descriptors:
                os.close(descriptor)
            raise reply.outcome
        result: R = reply.outcome
        return result

    def _exchange(self, call: Call[Any], text: bytes, deadline: float | None) -> Reply:
        try:
            self._allow_until(deadline)
            self._socket.sendall(text)
            while True:
                self._allow_until(deadline)
                data = self._receive()
                if not data:
                    raise Disconnected(
                        f"the daemon closed the connection before it answered {call.method}"
                    )
                # Only one request waits, so there is no second reply.
                for reply in self._dialogue.receive(data):
                    return reply
        except TimeoutError as error:
            raise TimedOut(
                f"no answer to {call.method} came within {self._timeout:g} seconds"
            ) from error
        except OSError as error:
            raise Disconnected(
                f"the connection was lost before {call.method} was answered: {error.strerror}"
            ) from error

    def _allow_until(self, deadline: float | None) -> None:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                # (a timeout of 0 would mean "do not block")
                raise TimeoutError
            self._socket.settimeout(left)

    def _receive(self) -> bytes:
        data, ancillary, _flags, _address = self._socket.recvmsg(
            RECEIVE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array.array("i")
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
                for descriptor in descriptors:
                    self._dialogue.add_descriptor(descriptor)
        return data

    def _break_off(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._socket.close()
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
