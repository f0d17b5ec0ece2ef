"""Bytes that go to their file by way of a staging pipe: in order, once, whatever happens."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.effort import examples
from tests.locked_pipe import locked
from tests.logs.fakes import descriptors
from twisted_virtlog.handover.ownership import owners
from twisted_virtlog.logs.accounts.accounts import account_alone
from twisted_virtlog.logs.pipes.drops import Drops
from twisted_virtlog.logs.pipes.sources import PipeSource
from twisted_virtlog.logs.pipes.staging import StagedSource
from twisted_virtlog.syscalls import bytes_waiting, pipe_number
from twisted_virtlog.values import DropReason

_SPLICE, _PWRITE = os.splice, os.pwrite

KIB = 1024


def drop(source: StagedSource, pipe: int, most: int) -> int | None:
    """Drop bytes as the reactor's thread does, that has no drop pipe."""
    drops = Drops()
    try:
        return source.drop(pipe, most, drops, account_alone())
    finally:
        drops.close()


def lose(source: StagedSource, count: int) -> int:
    """Drop bytes as the lane's thread does."""
    return source.lose(count, account_alone(), DropReason.RATE)


class Killed(BaseException):
    """The process was killed here."""


class Store:
    """What a service manager has: it outlives whoever stores something.

    :ivar pipes: read ends, by their inode numbers.
    :ivar sent: those that it has not got yet.
    :ivar records: descriptors, likewise.
    :ivar journal: whose pipes those are that a former process left, both by inode numbers.
    """

    def __init__(self) -> None:
        self.journal: dict[int, int] = {}
        self.pipes: dict[int, int] = {}
        self.sent: dict[int, int] = {}
        self.records: dict[int, int] = {}
        self.waited = 0
        #: Called before anything is asked of it.
        self.asked: Callable[[], object] = lambda: None

    # Keeper.

    def lane(self, record: int) -> None:
        self.asked()
        self.records[os.fstat(record).st_ino] = os.dup(record)

    def lane_ended(self, number: int) -> None:
        self.asked()
        os.close(self.records.pop(number))

    def staging(self, read_end: int) -> Callable[[], object]:
        self.asked()
        assert not bytes_waiting(read_end)
        number = pipe_number(read_end)
        self.sent[number] = os.dup(read_end)

        def wait() -> None:
            # The manager is as slow as it may be.
            self.asked()
            self.waited += 1
            self.pipes[number] = self.sent.pop(number)

        return wait

    def unstaging(self, number: int) -> None:
        self.asked()
        for pipes in (self.pipes, self.sent):
            if number in pipes:
                assert not bytes_waiting(pipes[number])
                os.close(pipes.pop(number))

    # The next start.

    def found(self) -> dict[int, int]:
        """Give read ends of what is staged, by the inode numbers of the guests' pipes.

        They stay in the store, and nothing else does.
        """
        whose = self.journal
        for record in self.records.values():
            named = owners(os.pread(record, 1 << 20, 0))
            assert named is not None
            whose.update(named)
            os.close(record)
        found: dict[int, int] = {}
        self.journal = {}
        for number, read_end in list(self.pipes.items()):
            if not bytes_waiting(read_end):
                os.close(self.pipes.pop(number))
                continue
            assert whose[number] not in found, "in two at once"
            found[whose[number]] = os.dup(read_end)
            self.journal[number] = whose[number]
        for read_end in self.sent.values():
            os.close(read_end)
        self.sent.clear()
        self.records.clear()
        return found

    def close(self) -> None:
        for kept in (self.pipes, self.sent, self.records):
            for descriptor in kept.values():
                os.close(descriptor)


class Disk:
    """What files take, in place of the kernel: os.splice and os.pwrite of regular files.

    :ivar takes: at most so many bytes at once; 0 refuses with ENOSPC, None takes all.
    :ivar splices: whether splice(2) works.
    :ivar before: called before each call that moves bytes or writes.
    """

    def __init__(self) -> None:
        self.takes: int | None = None
        self.splices = True
        self.before: Callable[[], object] = lambda: None

    def splice(self, source: int, target: int, count: int, *place: int, **options: int) -> int:
        self.before()
        if stat.S_ISREG(os.fstat(target).st_mode):
            if not self.splices:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            count = self._taken(count)
        return _SPLICE(source, target, count, *place, **options)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        self.before()
        is_record = os.readlink(f"/proc/self/fd/{file}").startswith("/memfd:lane")
        return _PWRITE(file, data if is_record else data[: self._taken(len(data))], offset)

    def _taken(self, count: int) -> int:
        if self.takes is None:
            return count
        if not self.takes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return min(count, self.takes)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "splice", disk.splice)
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    return disk


class Log:
    """A guest with its pipe, and its file.

    :ivar pending: what is to come out, in order.
    :ivar dropped: bytes that were dropped and not taken note of.
    """

    def __init__(self, directory: Path | None = None, packets: bool = False) -> None:
        flags = os.O_NONBLOCK | (os.O_DIRECT if packets else 0)
        self.pipe, self.write_end = os.pipe2(flags)
        self.number = pipe_number(self.pipe)
        if directory is None:
            self.file = os.memfd_create("log")
        else:
            self.file = os.open(directory / "log", os.O_RDWR | os.O_CREAT)
        self.pending = b""
        self.dropped = 0
        self._sent = 0

    def write(self, count: int) -> None:
        """Write as much as fits, in which each byte is known again."""
        numbers = range(self._sent, self._sent + count)
        data = bytes((number * 7 + number // 256) % 256 for number in numbers)
        with contextlib.suppress(BlockingIOError):
            count = os.write(self.write_end, data)
            self._sent += count
            self.pending += data[:count]

    @property
    def size(self) -> int:
        return os.fstat(self.file).st_size

    def text(self) -> bytes:
        return os.pread(self.file, 1 << 24, 0)

    def close(self) -> None:
        for descriptor in (self.pipe, self.write_end, self.file):
            os.close(descriptor)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.close()


@pytest.fixture
def source(store: Store) -> Iterator[StagedSource]:
    made = StagedSource(store)
    yield made
    made.close()


class Staging(RuleBasedStateMachine):
    """Some guests of one lane, whose process is killed and handed over now and then."""

    logs = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.disk = Disk()
        self.patch.setattr(os, "splice", self.disk.splice)
        self.patch.setattr(os, "pwrite", self.disk.pwrite)
        self.store = Store()
        self.before = descriptors()
        self.source = StagedSource(self.store)
        self.open: list[Log] = []

    @initialize(packets=st.booleans())
    def begin(self, packets: bool) -> None:
        self.open = [Log(), Log(), Log(packets=packets)]

    @rule(log=logs, count=st.integers(1, 300) | st.integers(1, 70_000))
    def write(self, log: int, count: int) -> None:
        self.open[log].write(count)

    @rule(
        takes=st.none() | st.sampled_from([0, 1, 7, 100, 5000]),
        splices=st.booleans(),
    )
    def change(self, takes: int | None, splices: bool) -> None:
        self.disk.takes, self.disk.splices = takes, splices

    @rule(log=logs, count=st.integers(1, 100) | st.integers(1, 65536))
    def move(self, log: int, count: int) -> None:
        self._move(self.open[log], count)

    def _move(self, log: Log, count: int) -> None:
        self.source.pipe = log.pipe
        staged, size = self.source.staged(log.pipe), log.size
        moved = 0
        try:
            moved = self.source.move(log.file, size, count)
        except BlockingIOError:
            assert not log.pending
        except TimeoutError:
            assert log.dropped
            assert not staged
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            assert self.disk.takes == 0
        assert 0 <= moved <= count
        assert log.size == size + moved
        self._written(log, size)
        if moved and self.source.staged(log.pipe):
            assert self.disk.takes is not None or not self.disk.splices or moved == count

    def _written(self, log: Log, size: int) -> None:
        """What is in the file came out of the pipe in order."""
        new = os.pread(log.file, 1 << 20, size)
        assert log.pending.startswith(new)
        log.pending = log.pending[len(new) :]

    @rule(log=logs, count=st.integers(1, 80))
    def look(self, log: int, count: int) -> None:
        one = self.open[log]
        self.source.pipe = one.pipe
        try:
            shown = self.source.look(count)
        except TimeoutError:
            assert one.dropped
            assert not self.source.staged(one.pipe)
            return
        except BlockingIOError:
            assert not one.pending
            return
        assert 0 < len(shown) <= count
        assert one.pending.startswith(shown)
        staged = self.source.staged(one.pipe)
        if one.dropped:
            assert len(shown) <= staged
        elif one is not self.open[2]:
            # (of packets only some are shown)
            assert len(shown) == min(count, len(one.pending))

    @rule(log=logs, most=st.integers(1, 70_000))
    def drop(self, log: int, most: int) -> None:
        """Another thread drops; what is staged stays."""
        one = self.open[log]
        staged = self.source.staged(one.pipe)
        dropped = drop(self.source, one.pipe, most)
        assert dropped == min(most, len(one.pending) - staged)
        assert self.source.staged(one.pipe) == staged
        one.pending = one.pending[:staged] + one.pending[staged + dropped :]
        one.dropped += dropped

    @rule(log=logs)
    def hear(self, log: int) -> None:
        one = self.open[log]
        assert self.source.take_dropped(one.pipe) == one.dropped
        one.dropped = 0

    @rule(log=logs, count=st.integers(1, 70_000))
    def discard(self, log: int, count: int) -> None:
        """The lane's own thread drops."""
        one = self.open[log]
        self.source.pipe = one.pipe
        staged = self.source.staged(one.pipe)
        gone = lose(self.source, count)
        assert gone == min(count, len(one.pending) - staged)
        one.pending = one.pending[:staged] + one.pending[staged + gone :]

    @rule(log=logs)
    def end(self, log: int) -> None:
        """A log ends, and another gets the number of its pipe."""
        one = self.open[log]
        staged = self.source.staged(one.pipe)
        assert self.source.release(one.pipe) == staged
        one.close()
        # (the lowest numbers that are free)
        self.open[log] = Log(packets=log == 2 and staged % 2 == 0)

    @rule()
    def hand_over(self) -> None:
        """To the next image, which makes a record and staging pipes of its own."""
        staged = {log: self.source.handed_over(log.pipe) for log in self.open}
        kept = {log: os.dup(read_end) for log, read_end in staged.items() if read_end is not None}
        for read_end in self.store.found().values():
            os.close(read_end)
        assert len(self.store.pipes) == len(kept)
        self._begin_anew()
        for log, read_end in kept.items():
            self.source.adopt(log.pipe, read_end)

    @rule()
    def kill(self) -> None:
        self._restore()

    @rule(log=logs, count=st.integers(1, 65536), steps=st.integers(0, 12))
    def kill_in_the_middle(self, log: int, count: int, steps: int) -> None:
        # (between copying and taking out bytes would be doubled)
        self.disk.splices = True
        one = self.open[log]
        size = one.size
        left = steps

        def step() -> None:
            nonlocal left
            if not left:
                raise Killed
            left -= 1

        self.disk.before = self.store.asked = step
        try:
            self._move(one, count)
        except Killed:
            self._written(one, size)
        finally:
            self.disk.before = self.store.asked = lambda: None
        self._restore()

    def _restore(self) -> None:
        """Go on with what the store has."""
        found = self.store.found()
        self._begin_anew()
        by_number = {log.number: log for log in self.open}
        for number, read_end in found.items():
            self.source.adopt(by_number[number].pipe, read_end)

    def _begin_anew(self) -> None:
        # All descriptors of a process end with it.
        silent = Store()
        self.source._keeper, before = silent, self.source._keeper
        assert before is self.store
        silent.lane_ended = lambda _: None  # type: ignore[method-assign]
        self.source.close()
        self.source = StagedSource(self.store)
        for log in self.open:
            # (what was dropped was told of)
            log.dropped = 0

    @invariant()
    def nothing_is_missing(self) -> None:
        for log in self.open:
            self.source.pipe = log.pipe
            staged = self.source.staged(log.pipe)
            assert staged + bytes_waiting(log.pipe) == len(log.pending)
            if not log.dropped:
                assert self.source.waiting() == len(log.pending)
            elif staged:
                assert self.source.waiting() == staged
            else:
                with pytest.raises(TimeoutError):
                    self.source.waiting()
            assert (self.source.handed_over(log.pipe) is not None) == bool(staged)

    def teardown(self) -> None:
        self.disk.takes, self.disk.splices = None, True
        for log in self.open:
            self.source.take_dropped(log.pipe)
            log.dropped = 0
            while log.pending:
                self._move(log, 65536)
            assert self.source.release(log.pipe) == 0
            log.close()
        self.source.close()
        assert not self.store.records
        for read_end in self.store.pipes.values():
            assert not bytes_waiting(read_end)
        self.store.close()
        self.patch.undo()


Staging.TestCase.settings = settings(
    max_examples=examples(60), stateful_step_count=30, deadline=None
)
TestStaging = Staging.TestCase


def test_a_lane_leaves_nothing_behind(store: Store, disk: Disk) -> None:
    """Neither descriptors nor anything in the store, also after files that refused."""
    before = descriptors()
    source = StagedSource(store)
    logs = [Log() for _ in range(5)]
    disk.takes = 0
    for log in logs:
        log.write(100)
        source.pipe = log.pipe
        with pytest.raises(OSError, match="No space left"):
            source.move(log.file, 0, 100)
    assert len(store.pipes) == 5
    disk.takes = None
    for log in logs:
        source.pipe = log.pipe
        assert source.move(log.file, 0, 100) == 100
        assert source.release(log.pipe) == 0
        log.close()
    # The one that is filled.
    assert len(store.pipes) == 1
    source.close()
    assert (store.pipes, store.records) == ({}, {})
    assert descriptors().keys() - before.keys() <= {"0"}


def test_one_staging_pipe_serves_one_log_after_the_other(
    source: StagedSource, store: Store
) -> None:
    """The keeper is waited for once, and the record is written when the log changes."""
    logs = [Log(), Log()]
    for turn in range(20):
        log = logs[turn // 10]
        log.write(10)
        source.pipe = log.pipe
        assert source.move(log.file, log.size, 10) == 10
    assert store.waited == 1
    (record,) = store.records.values()
    assert list((owners(os.pread(record, 4096, 0)) or {}).values()) == [logs[1].number]
    for log in logs:
        source.release(log.pipe)
        log.close()


def test_what_the_file_refused_goes_with_what_came_later(
    source: StagedSource, log: Log, disk: Disk
) -> None:
    """In one write, over the boundary, and so does a look."""
    source.pipe = log.pipe
    log.write(50)
    disk.takes = 0
    with pytest.raises(OSError, match="No space left"):
        source.move(log.file, 0, 50)
    log.write(30)
    disk.takes = None
    expected = log.pending
    assert source.look(80) == expected
    assert source.look(60) == expected[:60]
    assert source.look(20) == expected[:20]
    assert source.move(log.file, 0, 70) == 70
    assert source.look(80) == expected[70:]
    assert source.move(log.file, 70, 80) == 10
    assert log.text() == expected


def test_what_is_staged_is_told_when_the_log_ends(
    source: StagedSource, log: Log, store: Store, disk: Disk
) -> None:
    """It is lost then; the staging pipe serves others."""
    source.pipe = log.pipe
    log.write(50)
    disk.takes = 7
    assert source.move(log.file, 0, 50) == 7
    assert source.staged(log.pipe) == 43
    assert source.release(log.pipe) == 43
    assert source.staged(log.pipe) == 0
    assert source.handed_over(log.pipe) is None
    assert not any(map(bytes_waiting, store.pipes.values()))


def test_another_pipe_with_the_same_number_has_another_owner(
    source: StagedSource, store: Store, disk: Disk
) -> None:
    """A log ends, and the next one gets the descriptor's number."""
    first = Log()
    first.write(10)
    source.pipe = first.pipe
    assert source.move(first.file, 0, 10) == 10
    assert source.release(first.pipe) == 0
    first.close()
    second = Log()
    assert second.pipe == first.pipe
    second.write(10)
    disk.takes = 0
    with pytest.raises(OSError, match="No space left"):
        source.move(second.file, 0, 10)
    (record,) = store.records.values()
    whose = owners(os.pread(record, 4096, 0)) or {}
    staged = source.handed_over(second.pipe)
    assert staged is not None
    assert whose[pipe_number(staged)] == second.number
    assert source.release(second.pipe) == 10
    second.close()


def test_a_closed_lane_leaves_what_is_staged_to_its_successor(
    store: Store, log: Log, disk: Disk
) -> None:
    """With the record that says whose it is."""
    source = StagedSource(store)
    source.pipe = log.pipe
    log.write(50)
    disk.takes = 0
    with pytest.raises(OSError, match="No space left"):
        source.move(log.file, 0, 50)
    source.close()
    assert len(store.records) == 1
    found = store.found()
    assert list(found) == [log.number]
    source = StagedSource(store)
    source.adopt(log.pipe, found[log.number])
    source.pipe = log.pipe
    assert source.waiting() == 50
    disk.takes = None
    assert source.move(log.file, 0, 80) == 50
    assert log.text() == log.pending
    source.close()


def test_an_empty_pipe_is_adopted_and_closed(source: StagedSource, log: Log) -> None:
    """Its last byte was written before the process ended; what is no pipe is refused."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    source.adopt(log.pipe, read_end)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_end)
    assert source.handed_over(log.pipe) is None
    other = os.memfd_create("other")
    with pytest.raises(OSError, match="not a pipe"):
        source.adopt(log.pipe, other)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(other)


class Hanging:
    """A lane's thread in a file system that does not answer."""

    def __init__(self, source: StagedSource, log: Log, disk: Disk) -> None:
        self.entered, self.answer = threading.Event(), threading.Event()
        self.moved = -1
        self._source, self._log, self._disk = source, log, disk
        source.pipe = log.pipe
        # (after the staging pipe was made)
        assert source.waiting()
        self._thread = threading.Thread(target=self._run)
        disk.before = self._hang
        self._thread.start()
        assert self.entered.wait(60)

    def _hang(self) -> None:
        # In the second move: the first one was from the guest.
        if self._source.staged(self._log.pipe):
            self._disk.before = lambda: None
            self.entered.set()
            assert self.answer.wait(60)

    def _run(self) -> None:
        self.moved = self._source.move(self._log.file, self._log.size, 65536)

    def end(self) -> int:
        """Answer; give how many bytes were written."""
        self.answer.set()
        self._thread.join()
        return self.moved


def test_the_reactor_drops_while_the_file_hangs(source: StagedSource, log: Log, disk: Disk) -> None:
    """It waits for nobody; the lane's thread is told, after what it had taken before."""
    log.write(1000)
    hanging = Hanging(source, log, disk)
    assert bytes_waiting(log.pipe) == 0
    log.write(70_000)
    disk_before = disk.before
    expected = log.pending[:1000]
    assert drop(source, log.pipe, 5000) == 5000
    assert drop(source, log.pipe, 1 << 20) == len(log.pending) - 6000
    assert drop(source, log.pipe, 1 << 20) == 0
    assert disk.before is disk_before
    log.write(30)
    assert hanging.end() == 1000
    for call in (source.waiting, lambda: source.look(1), lambda: source.move(log.file, 1000, 30)):
        with pytest.raises(TimeoutError):
            call()
    assert source.take_dropped(log.pipe) == len(log.pending) - 1030
    assert source.take_dropped(log.pipe) == 0
    assert source.move(log.file, 1000, 100) == 30
    assert log.text() == expected + log.pending[-30:]


def test_three_threads_lose_nothing_that_is_not_told_of(source: StagedSource, log: Log) -> None:
    """A guest writes, the lane's thread moves, the reactor's drops, all at once."""
    sent = b"".join(b"%07d\n" % number for number in range(50_000))
    gaps: list[tuple[int, int]] = []
    dropped: list[int | None] = []
    done = threading.Event()

    def write() -> None:
        os.set_blocking(log.write_end, True)
        left = sent
        while left:
            left = left[os.write(log.write_end, left[:3000]) :]

    def move() -> None:
        written = lost = 0
        source.pipe = log.pipe
        while written + lost < len(sent):
            try:
                written += source.move(log.file, written, 10_000)
            except BlockingIOError:
                os.sched_yield()
            except TimeoutError:
                gap = source.take_dropped(log.pipe)
                gaps.append((written, gap))
                lost += gap
        done.set()

    threads = [threading.Thread(target=call) for call in (write, move)]
    for thread in threads:
        thread.start()
    while not done.is_set():
        dropped.append(drop(source, log.pipe, 1000))
        os.sched_yield()
    for thread in threads:
        thread.join()
    assert sum(one or 0 for one in dropped) == sum(gap for _, gap in gaps)
    expected, at = b"", 0
    for written, gap in gaps:
        kept = written - len(expected)
        expected += sent[at : at + kept]
        at += kept + gap
    assert log.text() == expected + sent[at:]


def test_other_logs_are_not_told_of_a_drop(source: StagedSource, log: Log) -> None:
    """Only what is in one guest's pipe is affected."""
    other = Log()
    log.write(10)
    other.write(10)
    assert drop(source, other.pipe, 10) == 10
    source.pipe = log.pipe
    assert source.waiting() == 10
    assert source.move(log.file, 0, 10) == 10
    assert source.release(other.pipe) == 0
    # (another pipe with that number was not dropped from)
    source.pipe = other.pipe
    assert source.waiting() == 0
    other.close()


@pytest.mark.parametrize("call", ["waiting", "look", "move", "lose"])
def test_a_guest_that_locks_its_pipe_does_not_stop_the_reactor(
    call: str, source: StagedSource, log: Log
) -> None:
    """Only the lane's thread waits for it, which has to take from it."""
    log.write(10)
    source.pipe = log.pipe
    # (the staging pipe is made before)
    assert source.move(log.file, 0, 10) == 10
    log.write(10)
    calls: dict[str, Callable[[], object]] = {
        "waiting": source.waiting,
        "look": lambda: source.look(10),
        "move": lambda: source.move(log.file, 10, 10),
        "lose": lambda: lose(source, 10),
    }
    with locked(log.write_end):
        thread = threading.Thread(target=calls[call])
        thread.start()
        while not source._taking.locked():
            os.sched_yield()
        for _ in range(100):
            assert drop(source, log.pipe, 10) is None
        assert not source.stop()
        assert thread.is_alive()
    thread.join()
    assert source.stop()


def test_an_empty_pipe_that_is_locked_holds_up_nobody(source: StagedSource, log: Log) -> None:
    """It is not asked."""
    with locked(log.write_end):
        source.pipe = log.pipe
        assert source.waiting() == 0
        assert drop(source, log.pipe, 10) == 0


def test_nothing_is_taken_any_more_when_the_process_ends(
    source: StagedSource, log: Log, disk: Disk
) -> None:
    """The guests' pipes are closed then, and their numbers may be others'."""
    log.write(100)
    hanging = Hanging(source, log, disk)
    log.write(50)
    assert source.stop()
    assert hanging.end() == 100
    for call in (
        source.waiting,
        lambda: source.look(1),
        lambda: source.move(log.file, 100, 30),
        lambda: lose(source, 1),
    ):
        with pytest.raises(OSError, match=os.strerror(errno.ECANCELED)):
            call()
    assert drop(source, log.pipe, 100) == 0
    assert bytes_waiting(log.pipe) == 50


def test_without_descriptors_nothing_is_taken(
    source: StagedSource, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest's pipe keeps the bytes."""

    def refuse(_flags: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    log.write(10)
    source.pipe = log.pipe
    monkeypatch.setattr(os, "pipe2", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        source.move(log.file, 0, 10)
    assert bytes_waiting(log.pipe) == 10
    monkeypatch.undo()
    assert source.move(log.file, 0, 10) == 10


def test_inline_nothing_is_staged(log: Log) -> None:
    """A log without a lane has the same source, as far as anybody can tell."""
    source = PipeSource()
    assert source.staged(log.pipe) == source.take_dropped(log.pipe) == source.release(log.pipe) == 0
    assert source.handed_over(log.pipe) is None
    other = os.memfd_create("other")
    with pytest.raises(OSError, match="not supported"):
        source.adopt(log.pipe, other)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(other)
    source.close()
