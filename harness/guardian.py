"""A process beside a test, which undoes what the test did even when the test is killed.

It is a module of this package that is run as a program. It says ``ready`` and what else is to be
known on a line, works until its standard input ends, and undoes then what it has done. The end of
whoever started it is the end of its input, whatever ended it. Unless a thread of that waits for
what it has stopped: then it cannot end, and closes nothing. So the guardian looks for that as well.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]

#: How long a test may hold what it has stopped: longer than anything in a test takes. A test that
#: waits in the kernel for what it has stopped itself cannot be ended, not by a signal either.
LONGEST_SECONDS = 90.0

_END_SECONDS = 30.0
_LOOK_SECONDS = 1.0


class GuardianFailed(Exception):
    """It could not do what it should; the text is what it says."""


class Guardian:
    """Such a process, as the test sees it.

    :ivar told: what it said when it was ready, in words.
    """

    def __init__(self, module: str, arguments: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        """Start it and wait until it is ready.

        :param module: in this package, and ``arguments`` what it gets.
        :param pass_fds: descriptors that it inherits.
        :raises GuardianFailed: it ended.
        """
        # In a session of its own: what ends the tests from the terminal must not end it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"harness.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=_CHECKOUT,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        begun, *self.told = self._process.stdout.readline().decode().split() or [""]
        if begun != "ready":
            _, said = self._process.communicate()
            raise GuardianFailed(said.decode(errors="replace"))

    def tell(self, message: bytes) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(message)
        self._process.stdin.flush()

    def end(self) -> None:
        """Have it undo all, and wait for that.

        :raises GuardianFailed: it could not.
        """
        if self._process.returncode is not None:
            return
        _, said = self._process.communicate(timeout=_END_SECONDS)
        if self._process.returncode:
            raise GuardianFailed(said.decode(errors="replace"))


def say_ready(*words: object) -> None:
    """Say so, with what else is to be known; for the process itself."""
    print("ready", *words, flush=True)  # noqa: T201 (this is how it speaks)


def until_end(heard: Callable[[bytes], object], look: Callable[[], object]) -> None:
    """Work until standard input ends, or its writer is to end; for the process itself.

    :param heard: is called with what comes, ``look`` once a second.
    """
    parent = os.getppid()
    while os.getppid() == parent and not _is_ending(parent):
        if select.select([0], [], [], _LOOK_SECONDS)[0]:
            message = os.read(0, 4096)
            if not message:
                return
            heard(message)
        look()


def _is_ending(pid: int) -> bool:
    """Return whether a process was killed, though a thread of it may wait in the kernel."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    fields = dict(line.partition(":")[::2] for line in status.splitlines())
    pending = int(fields["SigPnd"], 16)
    return fields["State"].split()[0] in "ZX" or bool(pending & 1 << (signal.SIGKILL - 1))


class Patience:
    """Notices when something lasts too long; for the process itself."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> None:
        """It has begun; if it had already, that counts."""
        if self._since is None:
            self._since = time.monotonic()

    def end(self) -> None:
        """It has ended."""
        self._since = None

    @property
    def is_over(self) -> bool:
        """Whether it lasts too long."""
        return self._since is not None and time.monotonic() - self._since > LONGEST_SECONDS
