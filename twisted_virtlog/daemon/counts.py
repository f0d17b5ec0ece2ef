"""Finds the memory in which logs are counted: that of a former process or image, or a new one."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from twisted.logger import Logger

from twisted_virtlog.handover.state import DaemonState
from twisted_virtlog.logs.accounts.drop_record import count_dropped
from twisted_virtlog.logs.accounts.memory import Memory
from twisted_virtlog.systemd.activation import Activation
from twisted_virtlog.systemd.inherited import in_drop_pipes
from twisted_virtlog.systemd.supervision import Supervisor

_logger = Logger()

_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def memory_of_counts(
    state: DaemonState | None,
    activation: Activation,
    supervision: Supervisor,
    directory: str | None,
) -> Memory:
    """Return the memory in which a former process or image counted, or another.

    :param state: what the daemon's former image handed over.
    :param activation: what the service manager handed over.
    :param supervision: keeps the memory, if it can.
    :param directory: of this daemon and those that follow it, where the memory is a file that
        outlives the process if nobody keeps it; None for nowhere.
    """
    handed_over = state.details.counts if state is not None and state.details else None
    stored, *others = activation.counts or (None,)
    for one in others:
        os.close(one)
    dropped = in_drop_pipes(activation)
    try:
        if handed_over is not None:
            memory = Memory(handed_over)
        elif stored is not None:
            memory = Memory(stored)
            count_dropped(memory.words, dropped)
        else:
            memory = Memory(_made(directory if not supervision.keeps_anything else None))
    except OSError as error:
        _logger.warn(
            "what is counted of logs begins anew, and ends with this process: {error}", error=error
        )
        return Memory()
    if memory.file is not None:
        supervision.keep_counts(memory.file, stored is not None)
    return memory


def _made(directory: str | None) -> int:
    """Return a descriptor of memory in which nobody else counts.

    :raises OSError: there is none.
    """
    if directory is not None:
        with suppress(OSError):
            return _locked(os.path.join(directory, "counts"))
    return os.memfd_create("counts", os.MFD_CLOEXEC)


def _locked(path: str) -> int:
    """Open a file that no other process may have.

    :raises OSError: it cannot be opened, or another one has it.
    """
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    file = os.open(path, _FILE_FLAGS, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(file)
        raise
    return file
