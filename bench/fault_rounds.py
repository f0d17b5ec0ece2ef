"""Random acts upon one log in this process: the real log handler on real files, time by hand.

Each round is one act of a guest, of a caller, of another program or of the disk, after which all
that is in the files is compared with what was written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from zope.interface import implementer

from bench.broken_disk import BrokenDisk
from bench.ledger import Ledger, Mistake, Totals
from twisted_virtlog.errors import LogBusy, NotWritten, SystemFailure
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.handler import LogHandler, LogSettings
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.logs.policy import Policy, one_for_all
from twisted_virtlog.loop.guest_pipes import PipeWatch
from twisted_virtlog.values import Domain, LogStatus, OnWriteError

T = TypeVar("T")

#: How the rounds are counted in which the log was rotated.
ROLLED = "(with a rollover)"

#: The number of rounds with one log and its settings.
EPOCH_ROUNDS = 500

_DOMAIN = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
_PIPE_SIZES = (4096, 16384, 65536)
_MAX_SIZES = (0, 300, 1024, 1500, 5000, 20_000)
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
        settings = LogSettings(one_for_all(Policy(limits, on_write_error)))
        self._handler = LogHandler(self._clock, _at_once, self._watch, pipes, settings)
        self._rotation = True
        self._removed: set[int] = set()
        self._moved = 0
        self._rolled = 0
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
        ]
        disk.heal()
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
                before = self._handler.counts().rollovers
                done = act()
                self._ledger.observe()
                self._check_counts()
                if not done:
                    continue
                self.rounds[act.__name__] += 1
                self._rolled += self._handler.counts().rollovers > before
                rounds -= 1
            return self._finish()
        finally:
            self._disk.heal()
            self._disk.removing = lambda _: None
            os.close(self._pipe)
            self._handler.close()

    def _finish(self) -> Totals:
        self._settle()
        self.position()
        lost = self._handler.counts().bytes_lost
        totals = self._ledger.finish()
        if totals.lost != lost:
            raise Mistake(f"{self._path}: {lost} bytes are reported lost, and {totals.lost} noted")
        self.rounds[ROLLED] += self._rolled
        return totals

    def _check_counts(self) -> None:
        """See that the daemon accounts for every byte, whatever has just happened."""
        for log in self._handler.open_logs():
            counted = log.ledger()
            gaps = counted.intake_gap, counted.storage_gap
            if any(gaps):
                raise Mistake(f"{self._path}: the counts do not agree: {gaps}: {counted}")
        together = _now(self._handler.ledger(None))
        ours = self._ledger.totals.written
        theirs = together.intake.received + together.written.appended
        if theirs != ours:
            raise Mistake(f"{self._path}: {ours} bytes were written, and {theirs} are counted")

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
            self._ledger.wrote(len(message))
            try:
                self._handler.append(self._path, message, "stress", None)
            except NotWritten:
                self._ledger.wrote(-len(message))
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
        """Wait until the log is written again."""
        self._disk.heal()
        for _ in range(2):
            self._clock.advance(_RETRY_SECONDS)
        if self._is_failing:
            (status,) = cast("Sequence[LogStatus]", self._handler.logs())
            raise Mistake(f"{self._path}: fails still: {status.error}")

    def _removing(self, path: str) -> None:
        """Observe what the daemon is about to remove."""
        self._ledger.observe()
        file = self._ledger.at(path)
        if self._rotation and file is not None and file.guests and path != self._ledger.oldest:
            raise Mistake(f"{path} is removed, and is not the oldest")
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
