"""Become the command whose output goes to a log."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Sequence
from typing import NoReturn

#: The statuses that shells use.
NOT_FOUND_STATUS = 127
NOT_EXECUTABLE_STATUS = 126

_STDOUT, _STDERR = 1, 2


class CannotRun(Exception):
    """The command cannot be started.

    :ivar status: the exit status that says so.
    """

    def __init__(self, command: str, reason: str, status: int) -> None:
        super().__init__(f"cannot run {command}: {reason}")
        self.status = status


def find_command(command: str) -> str:
    """Find a command as a shell does.

    :returns: the path of its file.
    :raises CannotRun: it does not exist, or may not be run.
    """
    if found := shutil.which(command):
        return found
    if shutil.which(command, os.F_OK):
        raise CannotRun(command, "it is not executable", NOT_EXECUTABLE_STATUS)
    where = "" if os.sep in command else " in PATH"
    raise CannotRun(command, f"no such file{where}", NOT_FOUND_STATUS)


def become(file: str, arguments: Sequence[str], write_end: int, append_stderr: bool) -> NoReturn:
    """Replace this process with a command that writes to a pipe.

    The command thus has this process's id, and nobody needs to pass on its signals and exit status.
    No other write end is left, so the log is closed when the command ends.

    :param arguments: those of the command, beginning with its name.
    :param write_end: the write end of the log's pipe, close-on-exec.
    :raises CannotRun: the system refuses; standard output and standard error are unchanged.
    """
    targets = [_STDOUT, _STDERR] if append_stderr else [_STDOUT]
    # The parent process may have closed the standard descriptors, so this may be one of them.
    write_end = fcntl.fcntl(write_end, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    saved = {target: _copy_of(target) for target in targets}
    for target in targets:
        os.dup2(write_end, target)
    # Python ignores these signals; a command that inherits this would continue without a reader.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(file, list(arguments))
    except (OSError, ValueError) as error:
        for target, copy in saved.items():
            if copy is None:
                os.close(target)
            else:
                os.dup2(copy, target)
        missing = isinstance(error, FileNotFoundError)
        reason = getattr(error, "strerror", None) or str(error)
        status = NOT_FOUND_STATUS if missing else NOT_EXECUTABLE_STATUS
        raise CannotRun(arguments[0], reason, status) from error


def _copy_of(descriptor: int) -> int | None:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    except OSError:
        return None
