"""What logs take up, guest by guest, and who may have more."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.effort import examples
from twisted_virtlog.handover.state import NO_UUID
from twisted_virtlog.logs.bounds.leases import BLOCK_BYTES, LEASE_BYTES
from twisted_virtlog.logs.bounds.usage import (
    MOST_TAKEN_BACK,
    TAKE_BACK_SECONDS,
    Backup,
    FilesOfLog,
    Reached,
    Usage,
    UsageOfLog,
    guest_of,
)
from twisted_virtlog.logs.policy import HostBounds
from twisted_virtlog.values import Domain

BLOCK = BLOCK_BYTES
NOTHING = FilesOfLog()


class Log:
    """Writes a log, whose file grows as far as it may.

    :ivar grown: bytes since it asked last.
    """

    def __init__(self, usage: Usage, path: str, guest: str, quota: int) -> None:
        self.usage = usage
        self.grown = 0
        self.left = 0
        self.files = NOTHING
        self.usage_of_it = usage.open(path, guest, quota, NOTHING, self)

    def take_back(self) -> int:
        """See Holder."""
        self.left = 0
        grown, self.grown = self.grown, 0
        return grown

    def grow(self, count: int) -> int:
        """Write blocks, as many as there is a lease for; return how many bytes that was."""
        count = min(count, self.left)
        self.left -= count
        self.grown += count
        self.files = FilesOfLog(self.files.current + count, self.files.backups)
        return count

    def ask(self) -> int:
        """Ask for a lease."""
        self.usage.set_files(self.usage_of_it, self.files)
        self.grown = 0
        self.left = self.usage.ask(self.usage_of_it)
        return self.left

    def have(self, current: int, *backups: tuple[int, int]) -> None:
        """Have files: the bytes of the current one; the bytes and the age of each backup."""
        found = [
            Backup(len(backups) - place - 1, size, age) for place, (size, age) in enumerate(backups)
        ]
        self.files = FilesOfLog(current, tuple(found))
        self.usage.set_files(self.usage_of_it, self.files)


@pytest.fixture
def usage() -> Usage:
    """Know nothing yet."""
    return Usage()


def names(logs: Iterable[UsageOfLog]) -> list[str]:
    """Return the paths of logs."""
    return [log.path for log in logs]


def test_who_a_log_counts_to() -> None:
    """To a guest by its UUID, however that is written; without one, to itself."""
    domain = Domain("C7A5FDBD-edaf-9455-926a-d65c16db1809", "web")
    assert guest_of(domain, "/a.log") == "c7a5fdbd-edaf-9455-926a-d65c16db1809"
    assert guest_of(Domain(NO_UUID, "web"), "/a.log") == "/a.log"
    assert guest_of(None, "/a.log") == "/a.log"


def test_without_a_bound_all_is_granted(usage: Usage) -> None:
    """However much there is."""
    log = Log(usage, "/a", "web", 0)
    log.have(1 << 50, (1 << 50, 1))
    assert log.ask() == LEASE_BYTES
    assert usage.reached(log.usage_of_it) is None


def test_the_smallest_number_holds(usage: Usage) -> None:
    """Of the logs that have one, as long as they are there."""
    one = Log(usage, "/a", "web", 0)
    two = Log(usage, "/b", "web", 10 * BLOCK)
    three = Log(usage, "/c", "web", 4 * BLOCK)
    one.have(4 * BLOCK)
    assert one.ask() == 0
    assert usage.reached(one.usage_of_it) == Reached(4 * BLOCK, of_host=False)
    usage.close(three.usage_of_it, three, NOTHING)
    assert two.ask() > 0
    two.have(6 * BLOCK)
    assert one.ask() == 0
    assert usage.reached(one.usage_of_it) == Reached(10 * BLOCK, of_host=False)
    assert Log(usage, "/d", "db", 0).ask() == LEASE_BYTES


def test_closed_logs_count(usage: Usage) -> None:
    """Whether this process had them open or not; those that are open are not found."""
    log, other = Log(usage, "/a", "web", 10 * BLOCK), Log(usage, "/b", "web", 0)
    usage.close(other.usage_of_it, other, FilesOfLog(3 * BLOCK))
    usage.found("/c", "web", 0, FilesOfLog(3 * BLOCK, (Backup(0, 3 * BLOCK, 1),)))
    usage.found("/a", "web", 0, FilesOfLog(1 << 40))
    assert log.ask() == BLOCK
    assert names(usage.closed()) == ["/b", "/c"]
    usage.found("/c", "web", 0, NOTHING)
    assert log.ask() == 7 * BLOCK
    assert names(usage.closed()) == ["/b"]


def test_leases_of_others_count_and_are_taken_back(usage: Usage) -> None:
    """As far as they were not used; not for each that is refused."""
    one, two = (Log(usage, path, "web", 100 * BLOCK) for path in ("/a", "/b"))
    lease = one.ask()
    assert lease == 12 * BLOCK
    one.grow(BLOCK)
    two.have((100 - 12) * BLOCK)
    assert two.ask() == 0
    assert usage.take_back(two.usage_of_it, 0.0)
    assert (one.left, usage.leased) == (0, 0)
    left = 0
    while two.ask():
        left += two.grow(100 * BLOCK)
    assert left == 11 * BLOCK
    one.have(0)
    one.ask()
    two.have(100 * BLOCK)
    assert two.ask() == 0
    assert not usage.take_back(two.usage_of_it, TAKE_BACK_SECONDS / 2)
    assert usage.take_back(two.usage_of_it, TAKE_BACK_SECONDS)


def test_all_logs_together(usage: Usage) -> None:
    """Those of other guests too; their leases are taken back, and not their files."""
    usage.set(HostBounds(max_use=10 * BLOCK))
    one, two = Log(usage, "/a", "web", 0), Log(usage, "/b", "db", 0)
    two.have(5 * BLOCK, (3 * BLOCK, 1))
    assert two.ask() == BLOCK
    one.have(BLOCK)
    assert one.ask() == 0
    assert usage.reached(one.usage_of_it) == Reached(10 * BLOCK, of_host=True)
    assert usage.oldest(one.usage_of_it.guest) == []
    assert usage.take_back(one.usage_of_it, 0.0)
    assert one.ask() == BLOCK
    usage.set(HostBounds(max_use=20 * BLOCK))
    assert two.ask() > 0


def test_of_all_logs_leases_are_taken_back_in_parts(usage: Usage) -> None:
    """Those first that have been idle for the longest, as there may be many logs."""
    usage.set(HostBounds(max_use=100_000 * BLOCK))
    logs = [Log(usage, f"/{number}", f"{number}", 0) for number in range(MOST_TAKEN_BACK + 50)]
    for log in logs:
        assert log.ask()
    writer = logs[0]
    usage.set(HostBounds(max_use=usage.leased))
    assert writer.grow(1 << 20)
    assert writer.ask() == 0
    assert usage.take_back(writer.usage_of_it, 0.0)
    assert writer.ask() > 0
    assert [bool(log.left) for log in logs[1:]] == [
        number > MOST_TAKEN_BACK for number in range(1, len(logs))
    ]


def test_the_oldest_goes_first(usage: Usage) -> None:
    """Of all logs of the guest, open or not, and of no other."""
    one, two = Log(usage, "/a", "web", 1), Log(usage, "/b", "web", 1)
    Log(usage, "/c", "db", 1).have(0, (BLOCK, 0))
    one.have(0, (BLOCK, 5), (BLOCK, 8))
    two.have(0, (BLOCK, 6))
    usage.found("/d", "web", 0, FilesOfLog(BLOCK, (Backup(0, BLOCK, 4),)))
    usage.found("/e", "web", 0, FilesOfLog(BLOCK))
    assert names(usage.oldest(one.usage_of_it.guest)) == ["/d", "/a", "/b"]


def test_another_guest_has_the_log(usage: Usage) -> None:
    """What its files take up is that one's from then on."""
    first = Log(usage, "/a", "web", 10 * BLOCK)
    first.have(8 * BLOCK)
    first.ask()
    second = Log(usage, "/a", "db", 10 * BLOCK)
    second.have(8 * BLOCK)
    # (the former one's end is told later)
    usage.close(first.usage_of_it, first, FilesOfLog(8 * BLOCK))
    assert Log(usage, "/b", "web", 10 * BLOCK).ask() == 10 * BLOCK
    assert second.ask() == 2 * BLOCK
    assert (usage.used, usage.leased) == (8 * BLOCK, 12 * BLOCK)


def test_nothing_is_kept_that_nobody_needs(usage: Usage) -> None:
    """Whoever still has one may write, and changes nothing."""
    usage.set(HostBounds(quotas=True))
    log = Log(usage, "/a", "web", BLOCK)
    log.have(BLOCK)
    assert log.ask() == 0
    usage.set(HostBounds())
    assert log.ask() == LEASE_BYTES
    log.have(3 * BLOCK)
    usage.close(log.usage_of_it, log, FilesOfLog(3 * BLOCK))
    assert (usage.used, usage.leased, usage.of("/a")) == (0, 0, None)
    empty = Log(usage, "/c", "web", 0)
    usage.set(HostBounds())
    again = Log(usage, "/c", "web", 0)
    usage.close(empty.usage_of_it, empty, NOTHING)
    assert usage.of("/c") is again.usage_of_it
    assert Log(usage, "/b", "web", 0).ask() == LEASE_BYTES


PATHS = {"/a": "web", "/b": "web", "/c": "db", "/d": "/d"}


class Bounded(RuleBasedStateMachine):
    """Logs that grow, roll over and end at random: none passes its bounds."""

    @initialize(
        quota=st.integers(0, 3000),
        max_use=st.integers(0, 3000),
    )
    def begin(self, quota: int, max_use: int) -> None:
        """Choose the bounds."""
        self.now = 0.0
        self.quota, self.max_use = quota * BLOCK, max_use * BLOCK
        self.usage = Usage()
        self.usage.set(HostBounds(max_use=self.max_use, quotas=True))
        self.logs: dict[str, Log] = {}
        self.closed: dict[str, FilesOfLog] = {}

    def used(self, guest: str | None = None) -> int:
        """Return what the files take up, of one guest or of all."""
        files = {path: log.files for path, log in self.logs.items()} | self.closed
        return sum(one.size for path, one in files.items() if guest is None or PATHS[path] == guest)

    @rule(path=st.sampled_from(sorted(PATHS)))
    def open(self, path: str) -> None:
        """Open a log, or have another holder go on with it."""
        before = self.logs.get(path)
        files = self.closed.pop(path, NOTHING) if before is None else before.files
        log = self.logs[path] = Log(self.usage, path, PATHS[path], self.quota)
        log.files = files
        self.usage.set_files(log.usage_of_it, files)

    @precondition(lambda self: self.logs)
    @rule(data=st.data(), more=st.floats(0, 2))
    def write(self, data: st.DataObject, more: float) -> None:
        """Write to a log, more or less than it has a lease for."""
        log = self.logs[data.draw(st.sampled_from(sorted(self.logs)))]
        wanted = int(more * 64) * BLOCK
        while wanted:
            wanted -= log.grow(wanted)
            if not wanted or not (log.ask() or self.make_room(log)):
                break
        if wanted:
            reached = self.usage.reached(log.usage_of_it)
            assert reached is not None
            used = self.used(None if reached.of_host else log.usage_of_it.guest.name)
            leased = sum(other.left for other in self.logs.values() if other is not log)
            assert used + leased + BLOCK > reached.limit
            assert not self.usage.oldest(log.usage_of_it.guest)

    def make_room(self, log: Log) -> int:
        """Do what is done when a log may not grow."""
        guest = log.usage_of_it.guest
        before = {path: one.files for path, one in self.logs.items()} | self.closed
        self.usage.take_back(log.usage_of_it, self.now)
        while not log.ask():
            oldest = self.usage.oldest(guest)
            if not oldest:
                return 0
            path = oldest[0].path
            ages = [
                one.backups[0].modified_ns
                for other, one in before.items()
                if PATHS[other] == guest.name and one.backups
            ]
            files = before[path]
            assert files.backups[0].modified_ns == min(ages)
            files = before[path] = FilesOfLog(files.current, files.backups[1:])
            current = oldest[0].files.current
            self.usage.set_files(oldest[0], FilesOfLog(current, files.backups))
            if path in self.logs:
                self.logs[path].files = files
            else:
                self.closed[path] = files
        return log.left

    @precondition(lambda self: self.logs)
    @rule(data=st.data())
    def roll_over(self, data: st.DataObject) -> None:
        """Begin a new file; it asks before it grows."""
        log = self.logs[data.draw(st.sampled_from(sorted(self.logs)))]
        self.now += 1.0
        backups = [
            Backup(one.number + 1, one.size, one.modified_ns) for one in log.files.backups[-2:]
        ]
        backups.append(Backup(0, log.files.current, int(self.now)))
        log.files = FilesOfLog(0, tuple(backups))
        log.ask()

    @precondition(lambda self: self.logs)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        """End a log."""
        path = data.draw(st.sampled_from(sorted(self.logs)))
        log = self.logs.pop(path)
        self.usage.close(log.usage_of_it, log, log.files)
        if log.files != NOTHING:
            self.closed[path] = log.files

    @rule()
    def look(self) -> None:
        """Look at the files of closed logs."""
        for path, files in self.closed.items():
            self.usage.found(path, PATHS[path], self.quota, files)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @invariant()
    def bounds_hold(self) -> None:
        """What is on disk, and may be by the leases, is within all bounds."""
        if not hasattr(self, "logs"):
            return
        left = sum(log.left for log in self.logs.values())
        if self.max_use:
            assert self.used() + left <= self.max_use
        if self.quota:
            for guest in set(PATHS.values()):
                of_it = [log for path, log in self.logs.items() if PATHS[path] == guest]
                assert self.used(guest) + sum(log.left for log in of_it) <= self.quota

    @invariant()
    def sums_are_right(self) -> None:
        """What is counted is what the logs have been seen to have, and were granted."""
        if hasattr(self, "logs"):
            grown = sum(log.grown for log in self.logs.values())
            assert self.usage.used + grown == self.used()
            assert self.usage.leased == grown + sum(log.left for log in self.logs.values())


TestUsage = pytest.mark.lengthy(Bounded.TestCase)
TestUsage.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
