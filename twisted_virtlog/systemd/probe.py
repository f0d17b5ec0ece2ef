"""Finds out whether a service manager that does not say so keeps descriptors at all.

For a unit with ``FileDescriptorStoreMax=0``, such as libvirt's own, systemd warns about each
descriptor that it is sent, and closes it. So one is sent whose other end shows whether it was
closed.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import ExitStack

#: The name of the tried descriptor, while it is in the store. (No pipe's name has a hyphen.)
_NAME = "FDNAME=probe-a"

#: How long to wait for the manager, in milliseconds; it answers sooner unless it is busy.
_PATIENCE_MS = 2000


def keeps_descriptors(address: str) -> bool:
    """Return whether the manager takes descriptors; blocks for two seconds at most.

    :param address: see :func:`notify.parse_address`.
    :returns: also True if it does not answer, as it may keep them all the same.
    """
    with ExitStack() as undo:
        tried, barrier = [_pipe(undo) for _ in range(2)]
        try:
            sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            sock.setblocking(False)
            sock.connect(address)
            _send(sock, f"FDSTORE=1\n{_NAME}\nFDPOLL=0", tried)
            # Closed when all before it is obeyed (sd_notify_barrier(3)).
            _send(sock, "BARRIER=1", barrier)
            answered = _is_closed(barrier[0], _PATIENCE_MS)
            kept = not _is_closed(tried[0], 0)
            if kept:
                sock.send(f"FDSTOREREMOVE=1\n{_NAME}".encode())
        except OSError:
            return True
        return kept or not answered


def _pipe(undo: ExitStack) -> tuple[int, int]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    undo.callback(os.close, read_end)
    return read_end, write_end


def _send(sock: socket.socket, message: str, pipe: tuple[int, int]) -> None:
    """Send a message with the write end of a pipe, and close that."""
    try:
        socket.send_fds(sock, [message.encode()], [pipe[1]])
    finally:
        os.close(pipe[1])


def _is_closed(read_end: int, milliseconds: int) -> bool:
    poller = select.poll()
    poller.register(read_end, 0)
    return bool(poller.poll(milliseconds))
