"""Takes what this process handed over when it was another image: this package's, or virtlogd."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress
from mmap import ACCESS_READ, mmap

from twisted.logger import Logger

from twisted_virtlog.handover.state import DaemonState, StateError, decode
from twisted_virtlog.handover.successor import VARIABLE
from twisted_virtlog.handover.trial import ACCEPTED, VERDICT

_logger = Logger()


def handed_over(environment: MutableMapping[str, str]) -> DaemonState | None:
    """Take what the former image handed over, and remove the variable from the environment.

    If the state has this process's number, its descriptors are this process's. Otherwise this is a
    trial, and the process is to end with status 0 where it would start to serve.

    :returns: None if there was no former image.
    :raises StateError: the state cannot be used.
    """
    text = environment.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        with open(int(text), "rb") as file:
            # (not copied, as it may have much that clients have not read)
            document = mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError) as error:
        raise StateError(f"{VARIABLE}={text}: {error}") from error
    with document:
        return decode(document)


def from_virtlogd(state_file: str, pid: int) -> DaemonState | None:
    """Take what this process handed over when it was a virtlogd, and remove the file.

    :returns: None if there is no file; as in virtlogd, that of another process is only removed.
    :raises StateError: the state cannot be used.
    """
    try:
        with open(state_file, "rb") as file:
            document = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{state_file}: {error.strerror}") from error
    with suppress(OSError):
        os.unlink(state_file)
    state = decode(document)
    if state.pid != pid:
        _logger.warn(
            "{file}: removed, as it belongs to process {pid}", file=state_file, pid=state.pid
        )
        return None
    return state


def accept(environment: MutableMapping[str, str]) -> None:
    """Tell the process that tries this one that it would take over, and that no end is awaited."""
    text = environment.pop(VERDICT, "")
    with suppress(OSError, ValueError):
        os.write(int(text), ACCEPTED)


def bury() -> None:
    """Fetch the status of processes that the former image has tried and that have ended since.

    To be called before this image starts any itself.
    """
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def own(state: DaemonState) -> None:
    """Keep the state's descriptors from programs that this process executes."""
    for descriptor in state.descriptors():
        with suppress(OSError):
            os.set_inheritable(descriptor, False)
