"""Runs a program to find out whether it would take over, without waiting for its end.

The program says so by a pipe, or else by how it ends; an earlier release knows the second way
only. It might not end: a child closes what it got from this process at its exec, and waits in that
if a file is on a file system that does not answer. Before its exec it closes nothing, as this
process, with all its threads, waits for it until then. A child that was killed and still waits ends
when the file system answers, and its status is fetched some time later.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from msgspec import Struct

from twisted_virtlog.loop.processes import wait_for_end

#: Names the descriptor of the pipe by which a program that is tried says that it would take over.
VERDICT = "TWISTED_VIRTLOG_VERDICT"

#: What it says.
ACCEPTED = b"\0"

#: How much of what it prints is kept, from the end, and is read at once.
_MOST_OUTPUT = 65536

#: How often what is left in its output is read once it has ended; another process may go on.
_MOST_READS = 16

#: How long the end of a program that has said yes, or was killed, is waited for.
_END_SECONDS = 1.0

# Those that have not ended when nobody waited for them any more.
_left: list[subprocess.Popen[bytes]] = []


class Result(Struct, frozen=True):
    """What a program came to.

    :ivar status: its exit status as :class:`subprocess.Popen` has it; 0 also if it has said that it
        would take over.
    :ivar output: the end of what it has printed.
    """

    status: int
    output: str


def run(
    program: str,
    arguments: Sequence[str],
    directory: str,
    environment: Mapping[str, str],
    seconds: float,
) -> Result:
    """Run a program until it says that it would take over, or ends.

    It gets the descriptors of this process that an exec leaves open. That it is started may take
    for ever, if what is closed on the way to it does not answer.

    :param program: the path of its executable.
    :param arguments: with its name first.
    :param seconds: how long it has for that.
    :raises OSError: it cannot be started, or, as a TimeoutError, it takes longer.
    """
    reap()
    deadline = time.monotonic() + seconds
    with ExitStack() as undo:
        told, tell = os.pipe2(os.O_CLOEXEC)
        undo.callback(os.close, told)
        with ExitStack() as started:
            started.callback(os.close, tell)
            os.set_inheritable(tell, True)
            process = subprocess.Popen(
                arguments,
                executable=program,
                cwd=directory,
                env={**environment, VERDICT: str(tell)},
                # (the child would close them before this process goes on)
                close_fds=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        undo.callback(_end, process)
        assert process.stdout is not None
        output = undo.enter_context(process.stdout).fileno()
        ended = os.pidfd_open(process.pid)
        undo.callback(os.close, ended)
        return _follow(process, output, told, ended, deadline)


def reap() -> None:
    """Fetch the status of programs that have ended since nobody waited for them any more."""
    _left[:] = [process for process in _left if process.poll() is None]


def _follow(
    process: subprocess.Popen[bytes], output: int, told: int, ended: int, deadline: float
) -> Result:
    poller = select.poll()
    for descriptor in (output, told, ended):
        poller.register(descriptor, select.POLLIN)
    text = b""
    while (left := deadline - time.monotonic()) > 0:
        ready = {descriptor for descriptor, _ in poller.poll(left * 1000)}
        if output in ready:
            data = os.read(output, _MOST_OUTPUT)
            text = (text + data)[-_MOST_OUTPUT:]
            if not data:
                poller.unregister(output)
        if told in ready:
            if os.read(told, 1) == ACCEPTED:
                # (most end by themselves)
                _has_ended(process)
                return Result(0, _text(text))
            poller.unregister(told)
        if ended in ready:
            text += _rest(output)
            return Result(process.wait(), _text(text[-_MOST_OUTPUT:]))
    raise TimeoutError("it has neither said that it would take over nor ended in time")


def _rest(output: int) -> bytes:
    """Return what is in the output of a program that has ended."""
    os.set_blocking(output, False)
    text = b""
    for _ in range(_MOST_READS):
        try:
            data = os.read(output, _MOST_OUTPUT)
        except BlockingIOError:
            break
        if not data:
            break
        text = (text + data)[-_MOST_OUTPUT:]
    return text


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have a program ended that has nothing to do any more, but do not wait for it for long."""
    if process.returncode is None:
        process.kill()
        if not _has_ended(process):
            _left.append(process)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a program's end for a while; fetch its status if it has ended."""
    if process.poll() is None:
        wait_for_end(process.pid, _END_SECONDS)
    return process.poll() is not None
