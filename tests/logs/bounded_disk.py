"""Guests with bounds on a small disk that fails at random; run by test_bounded_disk.py.

After each act of one guest the files of the others are what they were, no bound is passed by what
was written, and each ledger holds. In the end there is room for all, and each log goes on.

Arguments: the type of a file system, a directory to mount it in, a seed, and how many acts.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.logs.fakes import DOMAIN, DRIVER, KIB, STRANGER, Guest, World
from tests.logs.file_systems import mounted
from tests.logs.test_failing import pass_time
from twisted_virtlog.errors import NotWritten, SystemFailure
from twisted_virtlog.logs.bounds.on_disk import files_on_disk
from twisted_virtlog.logs.bounds.usage import guest_of as bounds_guest_of
from twisted_virtlog.logs.files.log_directory import BY_PATH
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import HostBounds, Policy
from twisted_virtlog.values import Domain, LogState, OnWriteError

BLOCK = 4 * KIB
DISK_KIB = {"tmpfs": 1024, "ext4": 8 * 1024}

#: By the names of logs; a log without one is a guest of its own.
DOMAINS: dict[str, Domain | None] = {
    "web.log": DOMAIN,
    "web-agent.log": DOMAIN,
    "db.log": STRANGER,
    "db-agent.log": STRANGER,
    "alone.log": None,
    "alone-too.log": None,
}

#: What may be bounded, and how much; 0 for not at all.
QUOTAS = (0, 24 * KIB, 64 * KIB, 100 * KIB, 150 * KIB)
MAX_USES = (0, 0, 120 * KIB, 300 * KIB)


def guest_of(name: str) -> str:
    """Return whose log a file belongs to."""
    log = name.partition(".log")[0] + ".log"
    domain = DOMAINS[log]
    return log if domain is None else domain.name


class Disk:
    """Guests, a disk, and what spoils it.

    :ivar acts: how often each was done, and how often something was refused.
    """

    def __init__(self, kind: str, point: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.acts: Counter[str] = Counter()
        self._slack = 0 if kind == "tmpfs" else BLOCK
        self._point = point
        self._logs = point / "logs"
        self._logs.mkdir()
        drops = self.chance.random() < 0.7
        self._on_write_error = OnWriteError.DROP if drops else OnWriteError.BLOCK
        self._world = World(self._logs, 16 * KIB, 3, drops=drops)
        self._guests: dict[str, Guest] = {}
        self._stuck = False
        self.change_settings()

    # What is on the disk.

    def files(self) -> dict[str, tuple[int, int, int]]:
        """Return all files of logs: what each takes up, its size, and its number."""
        found = {}
        for path in self._logs.iterdir():
            status = path.stat()
            found[path.name] = status.st_blocks * 512, status.st_size, status.st_ino
        return found

    def of_guest(
        self, guest: str, files: dict[str, tuple[int, int, int]]
    ) -> dict[str, tuple[int, int, int]]:
        """Return those of one guest."""
        return {name: one for name, one in files.items() if guest_of(name) == guest}

    def free(self) -> int:
        """Return the bytes that are free for others than root."""
        room = os.statvfs(self._point)
        return room.f_bavail * room.f_frsize

    @contextlib.contextmanager
    def watched(self, *guests: str) -> Iterator[None]:
        """See that what happens meanwhile is done to these guests' files, within all bounds."""
        before, free = self.files(), self.free()
        yield
        after = self.files()
        for guest in {guest_of(name) for name in DOMAINS}:
            mine, its = self.of_guest(guest, after), self.of_guest(guest, before)
            if guest not in guests:
                assert mine == its, (guest, its, mine)
            used, was = (sum(one[0] for one in files.values()) for files in (mine, its))
            if self._quota and used > was:
                assert used <= self._quota + self._slack * 2, (guest, its, mine)
        used, was = (sum(one[0] for one in files.values()) for files in (after, before))
        if self._max_use and used > was:
            assert used <= self._max_use + self._slack * len(guests) * 2, (before, after)
        if self._keep_free and self._is_known and self.free() < free:
            assert self.free() >= self._keep_free - self._slack * 2
        self._world.check_ledgers()

    def failing(self) -> set[str]:
        """Return the guests of logs that are tried again."""
        return {
            guest_of(os.path.basename(log.path))
            for log in self._world.logs()
            if log.state is LogState.FAILING
        }

    # Acts.

    def run(self, acts: int) -> None:
        """Do acts at random, and end."""
        choices: list[tuple[int, Callable[[], None]]] = [
            (50, self.write),
            (10, self.append),
            (8, self.open_or_close),
            (8, self.wait),
            (4, self.change_settings),
            (4, self.remove_backup),
            (3, self.cut),
            (4, self.fill),
            (2, self.forbid),
            (8, self.allow),
            (2, self.hand_over),
        ]
        weights = [weight for weight, _ in choices]
        for _ in range(acts):
            ((_, act),) = self.chance.choices(choices, weights)
            self.acts[act.__name__] += 1
            act()
        self.recover()

    def write(self) -> None:
        """A guest writes, and it may be asked how far."""
        name = self.chance.choice(sorted(DOMAINS))
        with self.watched(guest_of(name)):
            guest = self.opened(name)
            if guest is None:
                return
            guest.write_without_blocking(b"a line\n" * self.chance.choice((1, 100, 1000, 3000)))
            self._world.reactor.run()
            with self.refused():
                self._world.position(self.path(name))

    def append(self) -> None:
        """A client writes, to a log that may not be open."""
        name = self.chance.choice(sorted(DOMAINS))
        message = b"m" * self.chance.choice((10, 5000, 20_000))
        with self.watched(guest_of(name)), self.refused():
            self._world.handler.append(self.path(name), message, DRIVER, DOMAINS[name])

    def open_or_close(self) -> None:
        """A guest ends, or is started again, perhaps with an empty log."""
        name = self.chance.choice(sorted(DOMAINS))
        guest = self._guests.pop(name, None)
        with self.watched(guest_of(name)):
            if guest is not None:
                guest.end()
                self._world.reactor.run()
            elif self.chance.random() < 0.2:
                self.opened(name, truncate=True)

    def wait(self) -> None:
        """Time passes, and what failed is tried again."""
        with self.watched(*self.failing()):
            pass_time(self._world, self.chance.choice((0.3, 1.1, 2.2)))

    def change_settings(self) -> None:
        """Other bounds hold."""
        self._quota = self.chance.choice(QUOTAS)
        self._max_use = self.chance.choice(MAX_USES)
        free = max(0, self.free() - self.chance.choice((0, 20 * KIB, 100 * KIB)))
        self._keep_free = self.chance.choice((0, 0, free))
        self._set()

    def _set(self) -> None:
        policy = Policy(Limits(16 * KIB, 3), self._on_write_error, quota=self._quota)

        def policy_of(file: str, driver: str | None, domain: Domain | None) -> Policy:
            return policy

        self._is_known = True
        bounds = HostBounds(self._keep_free, self._max_use, self._quota > 0)
        with self.watched():
            self._world.handler.reload(LogSettings(policy_of, bounds=bounds), 64 * KIB)
            if bounds.counts:
                self._find_closed()

    def _find_closed(self) -> None:
        """Do what a survey does."""
        usage = self._world.handler._usage
        for name, domain in DOMAINS.items():
            path = self.path(name)
            files = files_on_disk(BY_PATH, path, 3, lambda _: False)
            usage.found(path, bounds_guest_of(domain, path), self._quota, files)

    def remove_backup(self) -> None:
        """Somebody removes the oldest file of a log."""
        backups = sorted(name for name in self.files() if not name.endswith(".log"))
        if backups and not self._stuck:
            log = self.chance.choice(backups).rpartition(".")[0]
            oldest = max(name for name in backups if name.rpartition(".")[0] == log)
            (self._logs / oldest).unlink()
            self._world.handler.look_at_files()

    def cut(self) -> None:
        """Another program cuts a file."""
        names = [name for name in self.files() if name.endswith(".log")]
        if names:
            os.truncate(self._logs / self.chance.choice(names), 0)

    def fill(self) -> None:
        """Another program fills the disk, or makes room."""
        # (leases from before may be used before it is noticed)
        self._is_known = False
        ballast = self._point / "ballast"
        if ballast.exists():
            ballast.unlink()
        elif not self._stuck:
            left = self.chance.choice((0, 0, 30 * KIB, 200 * KIB))
            with contextlib.suppress(OSError), ballast.open("wb") as file:
                while self.free() > left:
                    file.write(b"b" * BLOCK)
                    file.flush()

    def forbid(self) -> None:
        """Nothing can be removed or renamed for a while."""
        self._stuck = True
        subprocess.run(["chattr", "+i", self._logs], check=True)

    def allow(self) -> None:
        """It can again."""
        if self._stuck:
            self._stuck = False
            subprocess.run(["chattr", "-i", self._logs], check=True)

    def hand_over(self) -> None:
        """Another handler goes on with a log, and finds what its files take up."""
        if not self._guests:
            return
        name = self.chance.choice(sorted(self._guests))
        with self.watched(guest_of(name)):
            state = self._world.handler.leave(self.path(name))
            if state is not None:
                self._world.handler.adopt(state)

    def recover(self) -> None:
        """Let there be room for all: every log goes on."""
        self.allow()
        (self._point / "ballast").unlink(missing_ok=True)
        self._quota = self._max_use = self._keep_free = 0
        self._set()
        pass_time(self._world, 2.2)
        for status in self._world.logs():
            assert status.state is LogState.OPEN, status
            self._world.position(status.path)
        self._world.check_ledgers()

    def path(self, name: str) -> str:
        """Return the path of a log."""
        return str(self._logs / name)

    def opened(self, name: str, truncate: bool = False) -> Guest | None:
        """Return the guest of a log, which is opened if need be; None if it cannot be."""
        if name not in self._guests:
            with self.refused():
                path = self.path(name)
                self._guests[name] = self._world.open(path, truncate, domain=DOMAINS[name])
        return self._guests.get(name)

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        """Count what is refused, by why."""
        try:
            yield
        except (NotWritten, SystemFailure) as failure:
            self.acts[f"({failure.reason.rpartition(': ')[2]})"] += 1

    def close(self) -> None:
        """End everything."""
        self._world.close()


def main(kind: str, directory: Path, seed: int, acts: int) -> None:
    """Mount a disk, and use it."""
    image, point = directory / "image", directory / "mounted"
    point.mkdir()
    size = DISK_KIB[kind] * KIB
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", kind, "-o", f"size={size}", kind, point], check=True)
    else:
        with open(image, "wb") as file:
            file.truncate(size)
        subprocess.run([f"mkfs.{kind}", "-q", "-m", "0", image], check=True)
    unmount = contextlib.ExitStack()
    if kind == "tmpfs":
        unmount.callback(subprocess.run, ["umount", point], check=True)
    else:
        unmount.enter_context(mounted(kind, image, point))
    with unmount:
        disk = Disk(kind, point, seed)
        try:
            disk.run(acts)
        finally:
            disk.close()
    sys.stdout.write(f"{kind}, seed {seed}: {dict(disk.acts)}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
