"""Random acts upon one log in this process: the real log handler on real files, time by hand.

Each round is one act of a guest, of a caller, of another program or of the disk, after which all
that is in the files is compared with what was written. Bounds come and go with SIGHUP; beside the
log is one of another guest, of which nothing may be removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from zope.interface import implementer

from bench import bystander
from bench.broken_disk import BrokenDisk
from bench.bystander import Bystander
from bench.ledger import Ledger, Mistake, Totals
from twisted_virtlog.errors import LogBusy, NotWritten, SystemFailure
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.handler import LogHandler, LogSettings
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.logs.policy import NO_BOUNDS, HostBounds, Policy
from twisted_virtlog.loop.guest_pipes import PipeWatch
from twisted_virtlog.values import Domain, OnWriteError

T = TypeVar("T")

#: How the rounds are counted in which the log was rotated.
ROLLED = "(with a rollover)"

#: How the rounds are counted in which a file was removed to keep within a bound.
BOUNDED = "(with a removal for a bound)"

#: The number of rounds with one log and its settings.
EPOCH_ROUNDS = 500

_DOMAIN = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
_PIPE_SIZES = (4096, 16384, 65536)
_MAX_SIZES = (0, 300, 1024, 1500, 5000, 20_000)
#: What may be bounded, and how much, in bytes on disk; 0 for not at all.
_QUOTAS = (0, 0, 8192, 20_000, 40_000, 70_000)
_MAX_USES = (0, 0, 0, 20_480, 40_000, 80_000)
_KEEP_FREE = 1 << 20
#: How much more than that is free.
_MORE_FREE = (-5000, 0, 3000, 10_000, 100_000)
#: What may be taken up beyond a bound: stranded bytes were counted, and are put back in any case.
_SLACK = 4096
#: A file is tried again after a second; the second time what does not fit may be dropped.
_RETRY_SECONDS = 1.01
_LARGEST_PIPE = 1 << 20
_OFTEN = 0.7
#: How often the time of a write is up when it looks.
_TIME_IS_UP = 0.25
_DEAD = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.EROFS)


@implementer(IReactorFDSet)
class _NoReactor:
    """Watches nothing: the rounds say when pipes are looked at."""

    def addReader(self, reader: object) -> None:  # noqa: N802 (Twisted's name; so below)
        pass

    def removeReader(self, reader: object) -> None:  # noqa: N802
        pass

    def addWriter(self, writer: object) -> None:  # noqa: N802
        pass

    def removeWriter(self, writer: object) -> None:  # noqa: N802
        pass

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:  # noqa: N802
        return []

    def getReaders(self) -> list[IReadDescriptor]:  # noqa: N802
        return []

    def getWriters(self) -> list[IWriteDescriptor]:  # noqa: N802
        return []


def _at_once(call: Callable[[], T]) -> Deferred[T]:
    """Run a call that may block without a thread."""
    return execute(call)


def _now(answer: Answer[T]) -> T:
    """Return what is there at once, as nothing is done in slices here."""
    assert not isinstance(answer, Deferred)
    return answer


@dataclass
class Outcome:
    """What came of many rounds.

    :ivar rounds: by act.
    :ivar mistakes: what went wrong, with the seed.
    """

    rounds: Counter[str] = field(default_factory=Counter)
    totals: Totals = field(default_factory=Totals)
    mistakes: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Sum up."""
        self.rounds.update(other.rounds)
        self.totals.add(other.totals)
        self.mistakes += other.mistakes


class Epoch:
    """One log from its first guest until all that was written is accounted for."""

    def __init__(self, directory: Path, chance: random.Random, disk: BrokenDisk) -> None:
        self._chance = chance
        self._disk = disk
        self._directory = directory
        self._path = str(directory / "guest.log")
        self._drops = chance.random() < 0.5
        limits = Limits(chance.choice(_MAX_SIZES), chance.randrange(4))
        # (without newlines of the guest's, those of the daemon are known as such)
        self._ledger = Ledger(self._path, limits.max_backups, b";" if self._drops else b"\n")
        self._clock = Clock()
        self._watch = PipeWatch(_NoReactor(), rest_seconds=0)
        pipe_size = chance.choice(_PIPE_SIZES)
        pipes = Pipes(pipe_size, PipeLimits(_LARGEST_PIPE, None))
        on_write_error = OnWriteError.DROP if self._drops else OnWriteError.BLOCK
        self._pipe_size = pipe_size
        self._policy = Policy(limits, on_write_error)
        self._bounds = NO_BOUNDS
        settings = LogSettings(self._policy_of)
        self._handler = LogHandler(self._clock, _at_once, self._watch, pipes, settings)
        self._bystander = Bystander(directory)
        self._used = self._least = 0
        self._rotation = True
        self._removed: set[int] = set()
        self._moved = 0
        self._rolled = 0
        self._bounded = 0
        self._has_removed = False
        self.rounds: Counter[str] = Counter()
        # With how often each comes in a hundred rounds.
        self._acts: list[tuple[int, Callable[[], bool]]] = [
            (50, self.write),
            (5, self.append),
            (6, self.position),
            (4, self.copytruncate),
            (4, self.copytruncate_in_a_write),
            (2, self.truncating_open),
            (3, self.reopen),
            (3, self.remove),
            (3, self.rename),
            (6, self.disk_full),
            (4, self.dead_descriptor),
            (3, self.refused_names),
            (7, self.heal),
            (5, self.sighup),
        ]
        disk.heal()
        self._bystander.open(self._handler)
        disk.removing = self._removing
        self._pipe = self._open()

    def run(self, rounds: int) -> Totals:
        """Make a number of rounds, and sum up.

        :raises Mistake: a byte is not accounted for.
        """
        weights, acts = zip(*self._acts, strict=True)
        try:
            while rounds:
                (act,) = self._chance.choices(acts, weights)
                before, free = self._handler.counts().rollovers, self._free()
                self._has_removed = False
                done = act()
                self._ledger.observe()
                self._check_counts()
                self._check_bounds(None if act == self.sighup else free)
                if not done:
                    continue
                self.rounds[act.__name__] += 1
                self._rolled += self._handler.counts().rollovers > before
                self._bounded += self._has_removed
                rounds -= 1
            return self._finish()
        finally:
            self._disk.heal()
            self._disk.removing = lambda _: None
            os.close(self._pipe)
            self._bystander.close()
            self._handler.close()

    def _finish(self) -> Totals:
        self._settle()
        self.position()
        lost = self._handler.counts().bytes_lost
        totals = self._ledger.finish()
        if totals.lost != lost:
            raise Mistake(f"{self._path}: {lost} bytes are reported lost, and {totals.lost} noted")
        self.rounds[ROLLED] += self._rolled
        self.rounds[BOUNDED] += self._bounded
        return totals

    def _check_counts(self) -> None:
        """See that the daemon accounts for every byte, whatever has just happened."""
        for log in self._handler.open_logs():
            counted = log.ledger()
            gaps = counted.intake_gap, counted.storage_gap
            if any(gaps):
                raise Mistake(f"{self._path}: the counts do not agree: {gaps}: {counted}")
        together = _now(self._handler.ledger(None))
        ours = self._ledger.totals.written + self._bystander.written
        theirs = together.intake.received + together.written.appended
        if theirs != ours:
            raise Mistake(f"{self._path}: {ours} bytes were written, and {theirs} are counted")

    def _check_bounds(self, free: int | None) -> None:
        """See that no bound is passed by what was written, and only this guest paid for it.

        :param free: what was free on the disk before; None for plenty, or if nobody knew.
        """
        self._bystander.check()
        before, self._used = self._used, self._on_disk()
        if self._used > before:
            # (what is above a bound when that is set may stay above it)
            quota, most = self._policy.quota, self._bounds.max_use
            if quota and self._used > max(quota, self._least) + _SLACK:
                raise Mistake(f"{self._path}: takes up {self._used} bytes of a quota of {quota}")
            others = self._bystander.on_disk
            if most and self._used > max(most - others, self._least) + _SLACK:
                raise Mistake(f"{self._path}: takes up {self._used} bytes of {most - others} left")
        self._least = min(self._least, self._used)
        left, keep = self._free(), self._bounds.keep_free
        if free is not None and left is not None and left < min(free, keep) - _SLACK:
            raise Mistake(f"{self._path}: {left} bytes are left free of {keep}")

    def _free(self) -> int | None:
        """Return what the disk says is free; None for plenty."""
        return None if self._disk.free is None else self._disk.free()

    def _on_disk(self) -> int:
        """Return what the log's files take up, but for those that were moved away."""
        sizes = 0
        for path in self._ledger.names:
            with contextlib.suppress(FileNotFoundError):
                sizes += os.stat(path).st_blocks * 512
        return sizes

    # What guests and callers do. Each tells whether it could be done.

    def write(self) -> bool:
        """A guest writes, as much as its pipe takes; sometimes somebody looks at the pipe."""
        self._write(self._chance.choice((20, 100, 1000, 5000)))
        if self._chance.random() < _OFTEN:
            self._turn()
        return True

    def append(self) -> bool:
        """A caller has a message written, which is refused while the file fails."""
        self._disk.heal()
        message = self._ledger.next(self._chance.randint(1, 200))
        with contextlib.suppress(NotWritten):
            # What the guest has written comes first.
            self._handler.position(self._path)
            rollovers = self._handler.counts().rollovers
            self._ledger.wrote(len(message))
            try:
                self._handler.append(self._path, message, "stress", None)
            except NotWritten:
                self._ledger.observe()
                rest = self._ledger.totals.written - self._ledger.front
                # (what a rollover has moved away cannot be taken back)
                if rest < len(message) and self._handler.counts().rollovers == rollovers:
                    raise Mistake(f"{self._path}: a part of a refused message stays") from None
                self._ledger.wrote(-rest)
                raise
        return True

    def position(self) -> bool:
        """A caller asks for a position: all that was written must be in the files, or lost."""
        try:
            position = _now(self._handler.position(self._path))
        except NotWritten:
            return True
        self._ledger.observe()
        if self._ledger.front != self._ledger.totals.written:
            raise Mistake(f"{self._path}: a position does not cover what was written before")
        newest = self._ledger.files[-1] if self._ledger.files else None
        where = (position.inode, position.offset)
        # (a file that was removed is not replaced before there is something to write)
        if position.inode not in self._removed and (
            newest is None or where != (newest.inode, len(newest.content))
        ):
            raise Mistake(f"{self._path}: {position} is not the end of the log")
        return True

    def reopen(self) -> bool:
        """Another guest comes in the place of one that is gone, with or without an outage."""
        os.close(self._pipe)
        try:
            self._pipe = self._open()
        except LogBusy:
            # Too many have left something in their pipes.
            self._settle()
            self._pipe = self._open()
        return True

    def truncating_open(self) -> bool:
        """Let another guest truncate the log, with what former ones left in their pipes."""
        self._disk.heal()
        self._ledger.observe()
        os.close(self._pipe)
        self._rotation = False
        try:
            self._pipe = self._open(truncate=True)
        except LogBusy:
            self._settle()
            self._pipe = self._open(truncate=True)
        finally:
            self._rotation = True
        self._ledger.observe()
        self._ledger.skip_lost(self._handler.counts().bytes_lost - self._ledger.totals.lost)
        self._ledger.skip_cut(self._ledger.totals.written - self._ledger.front)
        return True

    # What other programs do.

    def copytruncate(self) -> bool:
        """A program cuts the file, mostly to nothing, after it has copied it."""
        self._ledger.observe()
        file = self._ledger.at(self._path)
        if file is None or file is not self._ledger.files[-1]:
            return False
        size = self._chance.choice((0, 0, self._chance.randint(0, len(file.content))))
        os.truncate(self._path, size)
        self._ledger.cut(file, size)
        return True

    def copytruncate_in_a_write(self) -> bool:
        """The same, between the daemon's look at the file's size and its write."""
        done = False

        def cut() -> None:
            nonlocal done
            done = self.copytruncate()

        self._disk.between = cut
        self._write(self._chance.choice((20, 1000)))
        with contextlib.suppress(NotWritten):
            self._handler.position(self._path)
        self._disk.between = None
        return done

    def remove(self) -> bool:
        """A program removes a file of the log."""
        if not self._ledger.files:
            return False
        path = self._chance.choice([self._path, self._chance.choice(self._ledger.files).path])
        if self._ledger.at(path) is None:
            return False
        self._remove(path)
        return True

    def rename(self) -> bool:
        """A program moves the file away, which the daemon writes on until it begins another."""
        for file in self._ledger.files[:-1]:
            if ".moved" in file.path:
                self._remove(file.path)
        if self._ledger.at(self._path) is None:
            return False
        self._moved += 1
        target = f"{self._path}.moved{self._moved}"
        self._disk.move(self._path, target)
        self._ledger.moved(self._path, target)
        return True

    # What the disk does.

    def disk_full(self) -> bool:
        """There is room for a few bytes more."""
        self._disk.room = self._chance.choice((0, self._chance.randint(0, 1000)))
        return self._until_it_fails()

    def dead_descriptor(self) -> bool:
        """The file's descriptor fails from now on, while its path is fine."""
        self._disk.dead = self._chance.choice(_DEAD)
        return self._until_it_fails()

    def refused_names(self) -> bool:
        """Files can be neither renamed nor removed, a few times."""
        self._disk.names = self._chance.randint(1, 3)
        return self._until_it_fails()

    def heal(self) -> bool:
        """All is well again, and the file is tried again, at once or later."""
        self._disk.heal()
        if self._chance.random() < _OFTEN:
            self._turn()
        return True

    def _until_it_fails(self) -> bool:
        self._write(self._chance.choice((20, 1000, 20_000)))
        self._turn()
        return True

    # What administrators do.

    def sighup(self) -> bool:
        """Other bounds hold; what was free on the disk is known anew."""
        quota, keep_free = self._chance.choice(_QUOTAS), self._chance.choice((0, _KEEP_FREE))
        max_use = self._chance.choice(_MAX_USES)
        self._disk.free = None
        if keep_free:
            free = keep_free + self._chance.choice(_MORE_FREE) + self._all_on_disk()
            self._disk.free = lambda: free - self._all_on_disk()
        self._bound(quota, HostBounds(keep_free, max_use, quota > 0))
        return True

    def _bound(self, quota: int, bounds: HostBounds) -> None:
        self._policy = msgspec.structs.replace(self._policy, quota=quota)
        self._used = self._least = self._on_disk()
        self._bounds = bounds
        settings = LogSettings(self._policy_of, bounds=bounds)
        self._handler.reload(settings, self._pipe_size)

    def _policy_of(self, path: str, driver: str | None, domain: Domain | None) -> Policy:
        return bystander.POLICY if path == self._bystander.path else self._policy

    def _all_on_disk(self) -> int:
        """Return what all files take up, in bytes."""
        return sum(entry.stat().st_blocks * 512 for entry in os.scandir(self._directory))

    # Parts of these.

    def _open(self, truncate: bool = False) -> int:
        pipe = _now(self._handler.open(self._path, "stress", _DOMAIN, truncate)).write_end
        os.set_blocking(pipe, False)
        return pipe

    def _write(self, count: int) -> None:
        with contextlib.suppress(BlockingIOError):
            data = self._ledger.next(self._chance.randint(1, count))
            self._ledger.wrote(os.write(self._pipe, data))

    def _remove(self, path: str) -> None:
        self._removed.add(os.stat(path).st_ino)
        self._ledger.removing(path, rotation=False)
        self._disk.remove(path)

    def _turn(self) -> None:
        self._watch.doRead()
        if self._is_failing:
            self._clock.advance(_RETRY_SECONDS)

    @property
    def _is_failing(self) -> bool:
        return self._handler.counts().failing_logs > 0

    def _settle(self) -> None:
        """Wait until the log is written again, with room for all."""
        self._disk.heal()
        self._bound(0, NO_BOUNDS)
        for _ in range(2):
            self._clock.advance(_RETRY_SECONDS)
        if self._is_failing:
            errors = [status.error for status in _now(self._handler.logs()) if status.error]
            raise Mistake(f"{self._path}: fails still: {errors}")

    def _removing(self, path: str) -> None:
        """Observe what the daemon is about to remove."""
        self._ledger.observe()
        file = self._ledger.at(path)
        if self._rotation and file is not None and path != self._ledger.oldest:
            is_bounded = self._policy.quota or self._bounds.max_use
            if file.guests and not (is_bounded and path == self._ledger.oldest_backup):
                raise Mistake(f"{path} is removed, and is not the oldest")
            self._has_removed = True
        self._ledger.removing(path, self._rotation)


@contextlib.contextmanager
def _times_that_are_up(chance: random.Random) -> Iterator[None]:
    """Let writes stop in the middle, as if their time were up; the next one goes on there."""
    now = 0.0

    def seconds() -> float:
        nonlocal now
        now += chance.random() < _TIME_IS_UP
        return now

    before = Writer.seconds
    Writer.seconds = seconds
    try:
        yield
    finally:
        Writer.seconds = before


def run(directory: Path, rounds: int, seed: str, loses: bool = False) -> Outcome:
    """Make a number of rounds with one log after the other.

    :param directory: an empty one; its files are removed.
    :param loses: let a byte be lost now and then, which must be noticed.
    """
    outcome = Outcome()
    disk = BrokenDisk(loses)
    with disk.installed(), _times_that_are_up(random.Random(f"{seed}, time")):
        for number in range(-(-rounds // EPOCH_ROUNDS)):
            name = f"{seed}-{number}"
            epoch = Epoch(directory, random.Random(name), disk)
            try:
                outcome.totals.add(epoch.run(min(EPOCH_ROUNDS, rounds - number * EPOCH_ROUNDS)))
            except (Mistake, SystemFailure) as mistake:
                outcome.mistakes.append(f"{name}: {mistake}")
            outcome.rounds.update(epoch.rounds)
            for file in directory.iterdir():
                file.unlink()
    return outcome
