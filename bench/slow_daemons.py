"""Daemons that are killed and hand over while a file system is slow, or does not answer at times.

What killed_daemons.py does, with logs on a FUSE mount whose writes take a while. Between two rounds
it is stopped, one of its operations is held, all that need room are refused, it is taken away and
mounted again, or the logs get or lose the thread of their file system. What stops goes on a moment
later, whatever became of the daemon; a successor may be started beside one that cannot end before.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

from bench.enduring import configure
from bench.fault_rounds import Outcome
from bench.killed_daemons import SETTINGS, Rounds, Task, endured
from harness.pass_mount import PassMount, pass_mount
from harness.service_manager import ServiceManager

_WRITE_SECONDS = 0.02
#: For how long the mount does not answer, at most.
_HUNG_SECONDS = 0.6
#: Of an operation to be the one that is held.
_CHANCE = 0.1
#: An operation that is chosen is held by then.
_HOLDING_SECONDS = 0.05
#: A hand-over that was refused, as the mount did not answer, is asked for again.
_AGAIN_SECONDS = 2.0


class SlowRounds(Rounds):
    """One daemon with logs on such a mount, and one beside it."""

    def __init__(
        self, directory: Path, seed: str, manager: ServiceManager, mount: PassMount
    ) -> None:
        self._mount = mount
        mount.delay(_WRITE_SECONDS)
        places = [(mount.point / name, mount.directory / name) for name in ("0.log", "1.log")]
        super().__init__(directory, seed, manager, [*places, (directory / "2.log",) * 2])
        self._acts += [
            (4, self.stop),
            (4, self.hold),
            (3, self.refuse),
            (2, self.mount_anew),
            (2, self.change_threads),
        ]
        self._going_on: threading.Timer | None = None
        self._asked_at = 0.0
        self._have_threads = True

    # What happens between two rounds.

    def stop(self, _guest: object) -> None:
        """The mount answers nothing for a while."""
        self._mount.stop()
        self._go_on_later()

    def hold(self, _guest: object) -> None:
        """One operation, whichever, takes long; it has been done by then, or has not."""
        self._mount.hold(chance=_CHANCE, done=self._chance.random() < 0.5)
        self._go_on_later()

    def refuse(self, _guest: object) -> None:
        """The file system is full until the end of the round."""
        self._mount.refuse()

    def mount_anew(self, _guest: object) -> None:
        """It is mounted again; files that are open stay open, or fail the next time."""
        self._mount.end_former()
        # (where the path leads to the disk below, a log goes on there, and is hidden afterwards)
        os.kill(self._manager.pid, signal.SIGSTOP)
        self._mount.unmount_lazily()
        self._mount.mount_anew()
        os.kill(self._manager.pid, signal.SIGCONT)
        self._mount.delay(_WRITE_SECONDS)

    def change_threads(self, _guest: object) -> None:
        """All logs get threads, or none has one any more."""
        self._have_threads = not self._have_threads
        threads = "always" if self._have_threads else "never"
        configure(self._directory, [*SETTINGS, f'file_threads = "{threads}"'])
        os.kill(self._manager.pid, signal.SIGHUP)

    def _go_on_later(self) -> None:
        seconds = self._chance.uniform(0, _HUNG_SECONDS)
        self._going_on = threading.Timer(seconds, self._go_on)
        self._going_on.start()

    def _go_on(self) -> None:
        self._mount.hold(chance=0.0)
        self._mount.resume()
        if self._mount.held(_HOLDING_SECONDS) is not None:
            self._mount.release()

    def _recover(self) -> None:
        if self._going_on is not None:
            self._going_on.join()
            self._going_on = None
        self._mount.refuse(0)

    # How a round ends.

    def kill(self) -> None:
        """The daemon is killed; its successor may be ready before it has ended."""
        if self._chance.random() < 0.5:
            super().kill()
            return
        former = self._manager.pid
        os.kill(former, signal.SIGKILL)
        self._manager.settle()
        self._manager.start()
        os.waitpid(former, 0)

    def hand_over(self) -> None:
        """The daemon executes itself, once the mount answers."""
        self._asked_at = time.monotonic()
        super().hand_over()

    def _meanwhile(self) -> None:
        super()._meanwhile()
        if time.monotonic() > self._asked_at + _AGAIN_SECONDS:
            self._asked_at = time.monotonic()
            os.kill(self._manager.pid, signal.SIGUSR1)


def run(task: Task) -> Outcome:
    """Start a daemon and let it endure."""
    directory = Path(task.directory)
    directory.mkdir()
    shown, point = directory / "shown", directory / "slow"
    shown.mkdir()
    point.mkdir()
    with pass_mount(shown, point) as mount:
        return endured(task, partial(SlowRounds, mount=mount))
