"""The daemon is killed at any store and after any system call, and every byte is accounted for.

A kill is an exception that nothing here stops. From then on what the process stores in memory is
lost, as it is with a process; what it does with descriptors on the way out changes no file.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from tests.effort import examples
from tests.logs.fakes import KIB, STAGED, Guest, World, descriptors
from tests.logs.test_failing import files_end_at, pass_time
from twisted_virtlog.handover.keeper import NoKeeper
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.history.records import Progress
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.drop_record import count_dropped
from twisted_virtlog.logs.accounts.memory import Memory
from twisted_virtlog.logs.consumers.consumers import Consumers, HoldSettings
from twisted_virtlog.logs.files.held import HELD_FILES
from twisted_virtlog.logs.files.names import parse_held
from twisted_virtlog.logs.files.placeholders import placeholders
from twisted_virtlog.logs.handler import LogHandler
from twisted_virtlog.logs.pipes.drops import Drops
from twisted_virtlog.logs.pipes.sources import PipeSource
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.syscalls import bytes_waiting
from twisted_virtlog.values import Excerpt, Ledger, OnRate, Position

_BOOT = 5

#: What a file takes that is full.
_FULL_BYTES = 50

#: What changes pipes and files.
_CALLS = ("splice", "read", "rename", "unlink", "open", "pwrite")


class Killed(BaseException):
    """The process is no more."""


class Process:
    """Counts what a process does, and kills it at a time."""

    def __init__(self) -> None:
        self.left = -1
        self.is_dead = False

    def step(self) -> None:
        """Take note that something was done."""
        if self.left == 0 and not self.is_dead:
            self.is_dead = True
            raise Killed
        self.left -= 1


class Words:
    """Memory that outlives a process, which stores there only while it lives."""

    def __init__(self, words: memoryview, process: Process) -> None:
        self._words = words
        self._process = process

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, at: Any) -> Any:
        return self._words[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        self._process.step()
        if not self._process.is_dead:
            self._words[at] = value


class Kept(NoKeeper):
    """Keeps pipes for the next process."""

    def __init__(self) -> None:
        self.logs: dict[int, OpenLogState] = {}
        self.drop_pipes: dict[int, int] = {}
        self.process = Process()

    def opened(self, log: OpenLogState) -> None:
        if self.process.is_dead:
            return
        number = os.fstat(log.pipe).st_ino
        former = self.logs.get(number)
        pipe = os.dup(log.pipe) if former is None else former.pipe
        self.logs[number] = msgspec.structs.replace(log, pipe=pipe)

    outage = opened

    def closed(self, pipe: int) -> None:
        if not self.process.is_dead:
            os.close(self.logs.pop(pipe).pipe)

    def keeps(self, pipe: int) -> bool:
        return True

    def dropping(self, read_end: int) -> Callable[[], bool] | None:
        self.drop_pipes[os.fstat(read_end).st_ino] = os.dup(read_end)
        return lambda: True

    def in_drop_pipes(self) -> dict[int, int]:
        """Return how many bytes are in each."""
        return {number: bytes_waiting(pipe) for number, pipe in self.drop_pipes.items()}

    def remove(self, numbers: Iterable[int]) -> None:
        """Let go of drop pipes."""
        for number in numbers:
            os.close(self.drop_pipes.pop(number))


class KilledWorld(World):
    """A daemon that counts where its successor does."""

    kept: Kept
    accounts: Accounts
    consumers: Consumers

    def make_handler(self, *arguments: Any, **more: Any) -> LogHandler:
        more["source"] = PipeSource(Drops(self.accounts, self.kept))
        more |= {"accounts": self.accounts, "consumers": self.consumers}
        return LogHandler(*arguments, **more, keeper=self.kept)


class Noted:
    """Remembers for the next process what a consumer has read."""

    def __init__(self, process: Process, known: dict[tuple[str, str], Progress]) -> None:
        self._process = process
        self._known = known

    def acknowledged(self, path: str, consumer: str, progress: Progress) -> None:
        self._process.step()
        if not self._process.is_dead:
            self._known[path, consumer] = progress

    def forget_consumer(self, consumer: str | None, path: str | None) -> None:
        raise AssertionError("nobody is forgotten here")


class Host:
    """Where one daemon comes after another, and one guest has one log."""

    def __init__(self, directory: Path, chance: random.Random, rate: Rate | None = None) -> None:
        self.rate = rate
        self.directory = directory
        self.chance = chance
        self.memory = Memory()
        self.process = Process()
        self.kept = Kept()
        self.max_size = chance.choice([0, 100, 300, 1000])
        self.backups = chance.choice([0, 1, 2])
        self.guest: Guest | None = None
        self.progress: dict[tuple[str, str], Progress] = {}
        self.written = 0
        self.dropped = 0
        self.kills = 0
        self.start()

    def start(self, left: int = -1) -> None:
        """Start a daemon, which goes on with what is kept.

        :param left: after how many steps it is killed; -1 for never.
        """
        self.process = self.kept.process = Process()
        self.process.left = left
        # (a process has not listed any directory before it)
        HELD_FILES._parent = ""
        memory = Memory()
        memory.words = Words(self.memory.words, self.process)  # type: ignore[assignment]
        former = self.kept.in_drop_pipes()
        count_dropped(memory.words, former)
        consumers = Consumers(Noted(self.process, self.progress))
        consumers.load((path, name, one) for (path, name), one in self.progress.items())
        consumers.settings = HoldSettings({"reader": "root"}, 0, 0)
        parts = {"kept": self.kept, "accounts": Accounts(memory, _BOOT), "consumers": consumers}
        made = type("Made", (KilledWorld,), parts)
        self.world: World = made(self.directory, self.max_size, self.backups, rate=self.rate)
        self.kept.remove(former)
        logs = list(self.kept.logs.values())
        for log in logs:
            self.world.handler.restore(msgspec.structs.replace(log, pipe=os.dup(log.pipe)))
        self.world.handler.accounts.keep_only(set(self.kept.logs))
        self.process.left = -1

    def kill(self, steps: int, act: Callable[[], None]) -> None:
        """Do something, kill the daemon in the middle of it, and start another one."""
        before = descriptors()
        self.process.left = steps
        with suppress(Killed), self._mortal():
            act()
        self._bury(before)
        while True:
            before = descriptors()
            try:
                # (the next one may be killed as it starts, too)
                self.start(self.chance.choice([-1, -1, self.chance.randrange(12)]))
            except Killed:
                self._bury(before)
            else:
                break
        if self.guest is not None and not self.world.is_open():
            # (its opener did not hear of it)
            self.guest.end()
            self.guest = None

    def _bury(self, before: Mapping[str, str]) -> None:
        """Let go of what the kernel would close."""
        self.kills += self.process.is_dead
        self.process.is_dead = True
        with suppress(Exception):
            self.world.handler.abandon_all()
        self.world.close_pipes()
        placeholders().release_all()
        kept = {*(log.pipe for log in self.kept.logs.values()), *self.kept.drop_pipes.values()}
        if self.guest is not None:
            kept.add(self.guest.write_end)
        for name in descriptors().keys() - before.keys():
            if int(name) not in kept:
                with suppress(OSError):
                    os.close(int(name))

    @contextmanager
    def _mortal(self) -> Iterator[None]:
        """Let system calls be where the process is killed."""
        with pytest.MonkeyPatch.context() as patch:
            for name in _CALLS:
                patch.setattr(os, name, self._counted(getattr(os, name)))
            yield

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any, **more: Any) -> Any:
            if self.process.is_dead:
                # (who catches all exceptions goes on)
                raise Killed
            result = call(*arguments, **more)
            self.process.step()
            return result

        return do

    # What happens.

    def write(self) -> None:
        """The guest writes, and all of it is written."""
        self.put()
        self.world.reactor.run()

    def put(self) -> None:
        """The guest writes."""
        if self.guest is not None:
            data = self.chance.choice([b"x", b"x\n"]) * self.chance.randrange(1, 400)
            # (a pipe may be full whose file is)
            self.written += self.guest.write_without_blocking(data)

    def append(self) -> None:
        """A message is appended, to the log or to another one."""
        path = self.world.path if self.chance.random() < 0.8 else f"{self.world.path}-other"
        self.world.append(b"m" * self.chance.randrange(1, 200), path)

    def open(self) -> None:
        """A guest opens the log, if it is not open."""
        if self.guest is None:
            self.guest = self.world.open(truncate=self.chance.random() < 0.3)

    def end(self) -> None:
        """The guest ends."""
        if self.guest is not None:
            guest, self.guest = self.guest, None
            guest.end()
            self.world.reactor.run()

    def fill(self) -> None:
        """The guest writes more than the file takes, until its pipe is full, and waits."""
        if self.guest is None:
            return
        with files_end_at(_FULL_BYTES):
            self.put()
            self.world.reactor.turn()
            self.world.reactor.turn()
            self.written += self.guest.write_without_blocking(b"y" * 128 * KIB)
            pass_time(self.world, 1.2)

    def wait(self) -> None:
        """Time passes, in which a log that is over its rate may go on."""
        pass_time(self.world, self.chance.choice([0.5, 2]))

    def read(self) -> None:
        """A consumer reads some of the log, and says so; what is held for it goes."""
        if self.guest is None or not self.world.is_open():
            return
        handler, path = self.world.handler, self.world.path
        position = handler.position(path)
        assert isinstance(position, Position)
        known = self.progress.get((os.path.realpath(path), "reader"))
        if known is not None and known.position is not None:
            excerpt = handler.read(path, known.position, self.chance.randrange(1, 3000))
            assert isinstance(excerpt, Excerpt)
            position = excerpt.end
        handler.acknowledge(path, "reader", position, datetime.now(timezone.utc))
        handler.settle(path)

    def turn(self) -> None:
        """The reactor turns."""
        self.world.reactor.turn()

    # What must be so.

    def check(self, drops: bool = False, outside: bool = False) -> None:
        """See that every byte that a guest wrote is accounted for, of the log and of all.

        :param drops: whether any may be lost.
        :param outside: whether other programs did something to the files.
        """
        handler = self.world.handler
        if any(log.outage is not None for log in handler.open_logs()):
            # (what the file got that failed before is found when it is tried)
            pass_time(self.world, 0.1)
        together = handler.ledger(None)
        assert isinstance(together, Ledger)
        assert together.intake_gap == 0
        assert together.intake.received == self.written
        self.dropped = together.intake.dropped.total
        assert drops or not self.dropped
        for log in handler.open_logs():
            ledger = log.ledger()
            assert (ledger.intake_gap, ledger.storage_gap) == (0, 0), ledger
            assert ledger.storage is not None
            assert outside or not any(msgspec.structs.astuple(ledger.storage.outside)), ledger

    def check_held(self) -> None:
        """See that nothing went before the consumer had read it, and the rest adjoins."""
        path = os.path.realpath(self.world.path)
        progress = self.progress.get((path, "reader"))
        if progress is None:
            return
        assert progress.unread == 0
        directory = Path(path).parent
        held = [parse_held(one.name) for one in directory.iterdir()]
        numbers = sorted(one[1] for one in held if one is not None)
        assert not numbers or numbers == list(range(numbers[0], numbers[-1] + 1))
        backups = [Path(f"{path}.{number}").exists() for number in range(self.backups)]
        # (who opens a log does not finish the roll-over of a message for which nobody had it open)
        is_whole = backups == sorted(backups, reverse=True)
        if progress.position is not None and self.world.is_open() and is_whole:
            (status,) = self.world.handler.consumed(path, datetime.now(timezone.utc))
            kept = self.world.handler.kept_files(path)
            assert not isinstance(kept, Deferred)
            assert status.lag_bytes is not None
            assert status.lag_bytes <= sum(one.size for one in kept)

    def close(self) -> None:
        """Stop the daemon and the guest."""
        self.world.close()
        for log in self.kept.logs.values():
            os.close(log.pipe)
        self.kept.remove(list(self.kept.drop_pipes))


@pytest.mark.skipif(STAGED, reason="the way by a staging pipe is killed as a real process")
@pytest.mark.parametrize("seed", range(examples(20)))
def test_a_kill_loses_no_count(seed: int) -> None:
    """What the next process says is what was written."""
    chance = random.Random(seed)
    before = descriptors()
    with tempfile.TemporaryDirectory() as directory:
        host = Host(Path(directory), chance)
        host.open()
        for _ in range(20):
            act = chance.choice(
                [host.write, host.write, host.put, host.append, host.open, host.end, host.turn]
            )
            if chance.random() < 0.6:
                host.kill(chance.randrange(chance.choice([8, 50])), act)
            else:
                act()
            host.check()
        assert host.kills
        host.close()
    close_others(before)


@pytest.mark.skipif(STAGED, reason="likewise")
@pytest.mark.parametrize("seed", range(examples(20)))
def test_a_kill_loses_nothing_that_is_held(seed: int) -> None:
    """All that a consumer has not read is there, and counted."""
    chance = random.Random(seed)
    before = descriptors()
    with tempfile.TemporaryDirectory() as directory:
        host = Host(Path(directory), chance)
        host.open()
        host.read()
        for _ in range(30):
            acts = [host.write, host.write, host.append, host.open, host.end, host.read]
            act = chance.choice(acts)
            if chance.random() < 0.6:
                host.kill(chance.randrange(chance.choice([8, 50])), act)
            else:
                act()
            host.check()
            host.check_held()
        host.close()
    close_others(before)


@pytest.mark.skipif(STAGED, reason="likewise")
@pytest.mark.parametrize("seed", range(examples(20)))
def test_a_kill_in_the_middle_of_a_drop_loses_no_count(seed: int) -> None:
    """What is dropped at that moment is counted by the next process, once."""
    chance = random.Random(seed)
    before = descriptors()
    rate = Rate(50, 100, 0, OnRate.DROP) if chance.random() < 0.7 else None
    with tempfile.TemporaryDirectory() as directory:
        host = Host(Path(directory), chance, rate)
        host.open()
        for _ in range(20):
            host.open()
            act = chance.choice([host.write, host.write, host.put, host.fill, host.wait])
            if chance.random() < 0.7:
                host.kill(chance.randrange(chance.choice([8, 20, 60])), act)
            else:
                act()
            host.check(drops=True)
        assert host.kills
        assert host.dropped
        host.close()
    close_others(before)


def killed_after_each_step(
    rate: Rate | None, prepare: Callable[[Host], None], data: bytes, **checks: bool
) -> int:
    """Kill a daemon in the middle of a turn, in which it takes what its guest wrote.

    :param prepare: what happens before, with a log that is open.
    :param data: what the guest writes.
    :param checks: of :meth:`Host.check`.
    :returns: after how many steps it was.
    """
    before = descriptors()
    steps = 0
    while True:
        with tempfile.TemporaryDirectory() as directory:
            host = Host(Path(directory), random.Random(1), rate)
            host.open()
            prepare(host)
            assert host.guest is not None
            host.guest.write(data)
            host.written += len(data)
            host.kill(steps, host.turn)
            host.check(**checks)
            kills = host.kills
            host.close()
        close_others(before)
        if not kills:
            return steps
        steps += 1


@pytest.mark.skipif(STAGED, reason="likewise")
def test_a_drop_is_killed_after_each_step() -> None:
    """Whichever store or system call is the last one."""

    def exceed(host: Host) -> None:
        assert host.guest is not None
        for _ in range(2):
            # (at first as much is written as may be)
            host.guest.write(b"x\n" * 500)
            host.written += 1000
            host.world.reactor.run()
        host.check(drops=True)
        assert host.dropped

    rate = Rate(50, 100, 0, OnRate.DROP)
    # (the record, splice(2), the count, the record, and splice(2) and read(2) to throw it away)
    assert killed_after_each_step(rate, exceed, b"x\n" * 500, drops=True) >= 11


@pytest.mark.skipif(STAGED, reason="likewise")
def test_a_kill_in_the_middle_of_a_write_into_a_renamed_file() -> None:
    """What it got and was not counted is found where another program has put the file."""

    def rename(host: Host) -> None:
        host.write()
        os.rename(host.world.path, f"{host.world.path}.moved")

    # (splice(2), and the count)
    assert killed_after_each_step(None, rename, b"x\n" * 20, outside=True) >= 2


def close_others(before: Mapping[str, str]) -> None:
    """Close what a kill has kept from being closed."""
    for name in descriptors().keys() - before.keys():
        with suppress(OSError):
            os.close(int(name))
