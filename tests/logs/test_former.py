"""Logs that get a new guest before all that the former one wrote is in the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, STRANGER, Guest, World, copied, of_the_direct_way
from tests.logs.test_failing import fail, files_end_at, not_written, pass_time
from tests.logs.test_keeper import Notes
from twisted_virtlog.errors import LogBusy, SystemFailure
from twisted_virtlog.handover.state import MOST_FORMER, NO_UUID, OpenLogState, by_log
from twisted_virtlog.syscalls import pipe_number
from twisted_virtlog.values import Domain, LogState, Position

BUSY_GUESTS = [None, Domain(NO_UUID, "web"), STRANGER]


@contextmanager
def next_image(world: World, order: int = 1, **settings: Any) -> Iterator[World]:
    """Let another image take over, as after an exec; the former one is left as it is.

    :param order: -1 if the pipes of each log are told in the wrong order.
    """
    with ExitStack() as stack:
        other = World(world.directory, **{"drops": False, **settings})
        stack.callback(other.close)
        states = [copied(state) for state in world.handler.suspended()]
        for *former, current in by_log(states[::order]):
            other.handler.adopt(current, former)
        other.handler.write_former()
        yield other


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world in which guests wait while a file fails."""
    return make_world(drops=False)


def follow(world: World, data: bytes, **more: Any) -> Guest:
    """Start a guest that writes and is gone."""
    guest = world.open(**more)
    guest.write(data)
    guest.end()
    return guest


def test_a_guest_that_is_gone_does_not_keep_its_log_busy(world: World) -> None:
    """While the disk is full its successor gets the log; what it wrote itself comes later."""
    with files_end_at(1000):
        fail(world).end()
        successor = world.open(domain=STRANGER)
        successor.write(b"second\n")
        pass_time(world, 5)
        assert world.text() == b"x" * 1000
        for call in (world.position, lambda: world.append(b"message")):
            assert not_written(call).pending_bytes == 2007
        status = world.status()
        assert (status.state, status.domain) == (LogState.FAILING, STRANGER)
        assert (status.bytes_written, status.lost_bytes) == (0, 0)
        assert world.handler.counts().bytes_written == 1000
        assert world.handler.counts().open_logs == 1
    pass_time(world, 2)
    successor.write(b"more\n")
    assert world.position().offset == 3012
    assert world.text() == b"x" * 3000 + b"second\nmore\n"
    assert world.status().bytes_written == 2012
    counts = world.handler.counts()
    assert (counts.opened_logs, counts.bytes_written) == (2, 3012)
    successor.end()
    world.reactor.run()
    assert not world.is_open()


def test_many_guests_in_a_row(world: World) -> None:
    """Up to a limit; guests that wrote nothing do not count, nor do they cost a descriptor."""
    with files_end_at(1000):
        fail(world).end()
        world.open().end()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(MOST_FORMER + 5):
            world.open().end()
        assert len(os.listdir("/proc/self/fd")) == before
        for number in range(MOST_FORMER):
            follow(world, b"%d\n" % number)
        with pytest.raises(LogBusy, match=f"output of {MOST_FORMER} guests before it waits"):
            world.open(domain=STRANGER)
        assert world.handler.suspended()[0].order == 0
    pass_time(world, 2)
    numbers = b"".join(b"%d\n" % number for number in range(MOST_FORMER))
    world.reactor.run()
    assert world.text() == b"x" * 3000 + numbers
    assert not world.is_open()


def test_the_file_fails_again_in_the_middle(world: World) -> None:
    """What was written is not written twice."""
    with files_end_at(1000):
        fail(world).end()
        for letter in (b"a", b"b", b"c"):
            follow(world, letter * 1000)
    for size in (1500, 3200, 4100):
        with files_end_at(size):
            pass_time(world, 2)
            assert len(world.text()) == size
            waiting = 6000 - size
            assert not_written(world.position).pending_bytes == waiting
    pass_time(world, 2)
    world.reactor.run()
    assert world.text() == b"x" * 3000 + b"a" * 1000 + b"b" * 1000 + b"c" * 1000


def test_a_guest_that_lives_keeps_its_log(world: World) -> None:
    """Whatever its file does, another guest does not get it."""
    with files_end_at(1000):
        fail(world)
        with pytest.raises(LogBusy):
            world.open(domain=STRANGER)


def test_another_spelling_gets_the_log_too(world: World) -> None:
    """It is found by both afterwards."""
    link = str(world.directory / "link.log")
    Path(link).symlink_to(world.path)
    with files_end_at(1000):
        fail(world).end()
        successor = world.open(link)
        successor.write(b"second\n")
        assert [log.path for log in world.logs()] == [link]
    pass_time(world, 2)
    assert world.position().offset == world.position(link).offset == 3007
    successor.end()
    world.reactor.run()
    assert world.logs() == []
    assert world.text() == b"x" * 3000 + b"second\n"


def test_what_is_truncated_is_not_written_later(world: World) -> None:
    """The former guest's output came before it, so it goes with the files."""
    with files_end_at(1000):
        fail(world).end()
        successor = world.open(truncate=True)
        successor.write(b"anew\n")
        world.reactor.run()
        assert world.text() == b"anew\n"
    assert (world.status().lost_bytes, world.handler.counts().failing_logs) == (0, 0)


def test_a_truncation_that_fails_loses_nothing(world: World) -> None:
    """The log is as it was."""
    with files_end_at(1000):
        fail(world).end()
        Path(f"{world.path}.0").mkdir()
        with pytest.raises(SystemFailure):
            world.open(truncate=True)
        Path(f"{world.path}.0").rmdir()
    pass_time(world, 2)
    assert world.whole() == b"x" * 2000


@of_the_direct_way
def test_dropping_begins_with_those_that_are_gone(make_world: MakeWorld) -> None:
    """Under drop a successor need not wait for the first retry; what is lost is told."""
    world = make_world(drops=True)
    with files_end_at(1000):
        fail(world).end()
        successor = world.open()
        successor.write(b"second\n")
        pass_time(world, 3)
        assert (world.status().lost_bytes, not_written(world.position).pending_bytes) == (2000, 7)
    pass_time(world, 2)
    notice, second = world.text()[1000:].split(b"\n", 1)[1].split(b"\n", 1)
    assert notice.startswith(b"[virtlogd: 2000 bytes lost from ")
    assert second == b"second\n"


def test_closing_by_force_counts_them_all(world: World) -> None:
    """And closes them all."""
    with files_end_at(1000):
        fail(world).end()
        world.open().write(b"second\n")
        assert world.handler.close_log(world.path).dropped == 2007
    assert world.handler.counts().bytes_lost == 2007


def test_stopping_writes_what_it_can(world: World) -> None:
    """In order."""
    with files_end_at(1000):
        fail(world).end()
        follow(world, b"second\n")
        world.open().write(b"third\n")
    world.close()
    assert world.text() == b"x" * 3000 + b"second\nthird\n"


# The same guest, whose former pipe somebody still holds.


def test_the_same_guest_gets_its_log_again(world: World) -> None:
    """A helper that inherited the pipe does not matter; what it writes from then on is refused."""
    helper = world.open()
    helper.write(b"before\n")
    guest = world.open(domain=Domain(DOMAIN.uuid.upper(), "renamed"))
    assert guest.position.offset == 7
    assert world.text() == b"before\n"
    world.close_pipes()
    with pytest.raises(BrokenPipeError):
        helper.write(b"after\n")
    guest.write(b"again\n")
    assert world.position().offset == 13
    assert world.handler.counts().open_logs == 1


@pytest.mark.parametrize("domain", BUSY_GUESTS)
def test_only_the_same_guest_does(world: World, domain: Domain | None) -> None:
    """Not another one, nor one that has no name of its own, nor another driver."""
    world.open()
    with pytest.raises(LogBusy):
        world.open(domain=domain)
    with pytest.raises(LogBusy):
        world.handler.open(world.path, "xen", DOMAIN, False)
    link = str(world.directory / "link.log")
    Path(link).symlink_to(world.path)
    with pytest.raises(LogBusy):
        world.open(link)


@pytest.mark.parametrize("domain", BUSY_GUESTS[:2])
def test_who_has_no_name_is_never_the_same(world: World, domain: Domain | None) -> None:
    """Two programs may well open a log without one."""
    world.open(domain=domain)
    with pytest.raises(LogBusy):
        world.open(domain=domain)


def test_what_a_helper_writes_later_is_not_written(world: World) -> None:
    """While the file fails its pipe is kept for what was in it, and no more."""
    with files_end_at(1000):
        helper = fail(world)
        guest = world.open()
        helper.write(b"later\n")
        guest.write(b"again\n")
        assert not_written(world.position).pending_bytes == 2006
        with next_image(world) as other:
            assert not_written(other.position).pending_bytes == 2006
    pass_time(world, 2)
    assert world.text() == b"x" * 3000 + b"again\n"
    world.close_pipes()
    with pytest.raises(BrokenPipeError):
        helper.write(b"refused\n")


def test_the_same_guest_may_truncate_its_log(world: World) -> None:
    """As it may when it is alone."""
    helper = world.open()
    helper.write(b"before\n")
    guest = world.open(truncate=True)
    guest.write(b"again\n")
    assert (world.position().offset, world.text()) == (6, b"again\n")
    world.close_pipes()
    with pytest.raises(BrokenPipeError):
        helper.write(b"after\n")


def test_a_pipe_that_cannot_be_watched_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one goes on."""
    helper = world.open()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(world.watch, "add", refuse)
        with pytest.raises(SystemFailure):
            world.open()
    helper.write(b"still here\n")
    world.reactor.run()
    assert world.text() == b"still here\n"


# Whoever goes on with them.


@pytest.mark.parametrize("order", [1, -1])
def test_the_next_image_has_them_in_order(world: World, order: int) -> None:
    """However the state names them."""
    with files_end_at(1000):
        fail(world).end()
        follow(world, b"second\n")
        guest = world.open(domain=STRANGER)
        guest.write(b"third\n")
        before = world.status()
        with next_image(world, order) as other:
            # (where its file ends is not known before it can be opened, nor what waits before it
            # is counted)
            unknown = msgspec.structs.replace(before, position=Position(0, 0), pending=None)
            assert other.status() == unknown
            states = other.handler.suspended()
            assert [state.order for state in states] == [0, 1, 2]
            assert {state.log for state in states} == {world.path}
            assert len({state.path for state in states}) == 3
            guest.end()
            # (the pipes are the test's, so that the former image sees no more of them)
            with files_end_at(1 << 20):
                pass_time(other, 2)
                other.reactor.run()
            assert other.text() == b"x" * 3000 + b"second\nthird\n"
            assert not other.is_open()


def test_the_keeper_has_each_pipe_before_it_is_needed(make_world: MakeWorld) -> None:
    """The successor is kept before its opener hears of it; a pipe goes once all is written."""
    world, notes = make_world(drops=False), Notes()
    world.handler.keeper = notes
    with files_end_at(1000):
        fail(world).end()
        first = world.status().pipe
        notes.told.clear()
        world.open(domain=STRANGER)
        (_, opened), (_, outage) = notes.told
        assert isinstance(opened, OpenLogState)
        assert isinstance(outage, OpenLogState)
        assert (opened.path, opened.order, opened.domain) == (world.path, 1, STRANGER)
        assert (outage.log, outage.order, outage.domain) == (world.path, 0, DOMAIN)
        assert outage.details is not None
        assert outage.details.left == 2000
        assert [what for what, _ in notes.told] == ["opened", "outage"]
        pass_time(world, 2)
        assert notes.told[-1][0] == "outage"
    pass_time(world, 2)
    assert notes.told[-1] == ("closed", first)


class Kept(Notes):
    """Knows what a journal would say."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[int, OpenLogState] = {}

    def opened(self, log: OpenLogState) -> None:
        self.records[pipe_number(log.pipe)] = log

    outage = opened

    def closed(self, pipe: int) -> None:
        del self.records[pipe]


class Story:
    """One log, what happens to it, and what must be in its file in the end.

    :ivar expected: all that guests wrote, in order.
    """

    def __init__(self, directory: str, stack: ExitStack) -> None:
        self.directory = Path(directory)
        self.stack = stack
        self.expected = b""
        self.limits = ExitStack()
        self.begin()
        self.guest = self.world.open()
        stack.callback(self.limits.close)

    def begin(self) -> None:
        """Start a daemon."""
        self.world = World(self.directory, drops=False)
        # Former images have the same descriptors, and see nothing more.
        self.stack.callback(self.world.close)
        self.kept = Kept()
        self.world.handler.keeper = self.kept

    def write(self, size: int) -> None:
        data = bytes([97 + size % 26]) * size
        self.expected += data[: self.guest.write_without_blocking(data)]

    def restart(self, _: int) -> None:
        self.guest.end()
        self.guest = self.world.open(domain=STRANGER)

    def again(self, size: int) -> None:
        """The same guest comes again, and a helper holds its former pipe, and writes."""
        (domain,) = (log.domain for log in self.world.logs())
        helper, self.guest = self.guest, self.world.open(domain=domain)
        with suppress(BrokenPipeError):
            helper.write_without_blocking(b"!" * size)
        self.stack.callback(helper.end)

    def fail(self, size: int) -> None:
        self.heal(0)
        self.limits.enter_context(files_end_at(max(1, len(self.world.text()) + size - 300)))

    def heal(self, _: int) -> None:
        self.limits.close()

    def wait(self, _: int) -> None:
        pass_time(self.world, 1.2)
        self.world.reactor.run()

    def hand_over(self, _: int) -> None:
        self.go_on(list(self.world.handler.suspended()))

    def kill(self, size: int) -> None:
        states = [self._with_staged(state) for state in self.kept.records.values()]
        self.go_on(states if size % 2 else states[::-1])

    def _with_staged(self, state: OpenLogState) -> OpenLogState:
        """Add what the store has of a log beside what it was told."""
        assert state.details is not None
        staged = self.world.handler.source.handed_over(state.pipe)
        details = msgspec.structs.replace(state.details, staged=staged)
        return msgspec.structs.replace(state, details=details)

    def go_on(self, states: list[OpenLogState]) -> None:
        self.begin()
        own = [copied(state) for state in states]
        for *former, current in by_log(own):
            self.world.handler.restore(current, former)
        for state in self.world.handler.suspended():
            self.kept.opened(state)
        self.world.handler.write_former()


ACTS = ("write", "write", "restart", "again", "fail", "heal", "wait", "hand_over", "kill")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(1, 900)), max_size=25))
def test_every_byte_is_there_once_and_in_order(acts: Sequence[tuple[str, int]]) -> None:
    """Guests that come and go, helpers that keep pipes, outages, hand-overs and kills."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        story = Story(directory, stack)
        for act, size in acts:
            getattr(story, act)(size)
        story.heal(0)
        story.guest.end()
        story.wait(0)
        assert story.world.text() == story.expected
        assert not story.world.is_open()
