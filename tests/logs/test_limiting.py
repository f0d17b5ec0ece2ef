"""Logs that are kept to a rate: what a guest writes beyond it is dropped and told, or waits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, KIB, STRANGER, World, copied, log_settings
from tests.logs.test_failing import STAMP, files_end_at, pass_time
from tests.logs.test_keeper import Notes
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.logs.excess import LINE_BYTES
from twisted_virtlog.logs.observing import NoObserver
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.syscalls import bytes_waiting
from twisted_virtlog.values import DropReason, LogState, OnRate

RATE = 1000
LINE = b"123456789\n"
NOTICE = re.compile(
    rf"\[virtlogd: (\d+) bytes lost from {STAMP} to {STAMP}:"
    rf" over its rate of (\d+) bytes a second\]\n".encode()
)


def limit(
    rate: int = RATE, burst: int = 0, boot_burst: int = 0, on_rate: OnRate = OnRate.DROP
) -> Rate | None:
    return Rate.of(rate, burst, boot_burst, on_rate)


def blocking(rate: int = RATE, burst: int = 0) -> Rate | None:
    return limit(rate, burst, 0, OnRate.BLOCK)


@pytest.fixture
def limited(make_world: MakeWorld) -> World:
    """Logs that take 1000 bytes a second, and drop what is more."""
    return make_world(rate=limit())


def turn(world: World, turns: int = 4) -> None:
    """Let the daemon look at the pipes: for what is written, for a line's rest, for drops."""
    for _ in range(turns):
        world.reactor.turn()


def pieces(text: bytes) -> list[bytes | int]:
    """Return what a guest wrote, as pieces, and how many bytes are said to be missing between."""
    found: list[bytes | int] = []
    end = 0
    for notice in NOTICE.finditer(text):
        found += [text[end : notice.start()], int(notice.group(1))]
        end = notice.end()
    return [one for one in (*found, text[end:]) if one != b""]


def lost(text: bytes) -> int:
    return sum(one for one in pieces(text) if isinstance(one, int))


def kept(text: bytes) -> int:
    return len(NOTICE.sub(b"", text))


# Under drop.


def test_what_is_within_the_rate_is_written(limited: World) -> None:
    """Without any timer."""
    guest = limited.open()
    for number in range(20):
        guest.write(LINE * 50)
        turn(limited)
        assert limited.text() == LINE * 50 * (number + 1)
        assert not limited.clock.getDelayedCalls()
        limited.clock.advance(0.5)
    assert limited.status().lost_bytes == 0


def test_what_is_beyond_is_dropped_and_told(limited: World) -> None:
    """The pipe is emptied, and a second later the log goes on after a line that says so."""
    guest = limited.open()
    guest.write(LINE * 300)
    turn(limited)
    assert limited.text() == LINE * 100
    assert limited.status().lost_bytes == 2000
    assert limited.status().state is LogState.OPEN
    assert guest.write_without_blocking(LINE) == len(LINE)
    turn(limited)
    limited.clock.advance(1.0)
    assert pieces(limited.text()) == [LINE * 100, 2010]
    guest.write(b"and on\n")
    turn(limited)
    assert pieces(limited.text()) == [LINE * 100, 2010, b"and on\n"]
    assert limited.status().lost_bytes == 2010
    assert not limited.clock.getDelayedCalls()


def test_a_guest_that_says_no_more_hears_of_it_all_the_same(limited: World) -> None:
    """By the timer, when a second's bytes may be written."""
    limited.open().write(LINE * 101)
    turn(limited)
    limited.clock.advance(0.9)
    assert limited.text() == LINE * 100
    limited.clock.advance(0.11)
    assert pieces(limited.text()) == [LINE * 100, len(LINE)]


def test_a_flood_has_its_rate_in_the_file_and_a_notice_a_second(limited: World) -> None:
    """Within one part in a hundred, in whole lines; and each byte is accounted for."""
    guest = limited.open()
    written = 0
    for _ in range(1000):
        written += guest.write_without_blocking(LINE * 100)
        turn(limited, 1)
        limited.clock.advance(0.01)
    turn(limited)
    limited.clock.advance(1.0)
    text = limited.text()
    assert kept(text) + lost(text) == written
    assert lost(text) == limited.status().lost_bytes
    assert abs(kept(text) - RATE - 10 * RATE) <= 0.01 * 10 * RATE + LINE_BYTES
    assert 9 <= len(NOTICE.findall(text)) <= 11
    assert set(NOTICE.sub(b"", text).splitlines(keepends=True)) == {LINE}
    assert {one % len(LINE) for one in pieces(text) if isinstance(one, int)} == {0}


def test_more_at_once_after_an_opening(make_world: MakeWorld) -> None:
    """Once."""
    world = make_world(rate=limit(boot_burst=5000))
    guest = world.open()
    guest.write(LINE * 500)
    turn(world)
    assert world.text() == LINE * 500
    world.clock.advance(60)
    guest.write(LINE * 500)
    turn(world)
    assert kept(world.text()) == 6000


def test_a_burst_of_more_than_a_second(make_world: MakeWorld) -> None:
    """It comes back in time, while the guest writes little."""
    world = make_world(rate=limit(burst=5000))
    guest = world.open()
    for _ in range(2):
        before = world.status().bytes_written
        guest.write(LINE * 500)
        turn(world)
        assert world.status().bytes_written == before + 5000
        assert world.status().lost_bytes == 0
        world.clock.advance(5)


# Whole lines.


def test_a_line_that_was_begun_is_written_to_its_end(make_world: MakeWorld) -> None:
    """That takes a little more than the rate; it is paid back."""
    world = make_world(rate=limit(rate=995))
    guest = world.open()
    guest.write(LINE * 300)
    turn(world)
    assert world.text() == LINE * 100
    world.clock.advance(0.999)
    assert world.text() == LINE * 100
    world.clock.advance(0.01)
    assert pieces(world.text()) == [LINE * 100, 2000]


def test_a_line_whose_end_has_not_come_yet(limited: World) -> None:
    """It is waited for."""
    guest = limited.open()
    guest.write(b"x" * 1000)
    turn(limited)
    guest.write(b"yy")
    turn(limited)
    guest.write(b"zz\nwwww\n")
    turn(limited)
    assert limited.text() == b"x" * 1000 + b"yyzz\n"
    assert limited.status().lost_bytes == 5


def test_a_line_without_end_is_cut(limited: World) -> None:
    """The daemon's own line begins a new one all the same."""
    guest = limited.open()
    guest.write(b"x" * 9000)
    turn(limited, 6)
    assert limited.text() == b"x" * (RATE + LINE_BYTES)
    guest.write(b"rest\n")
    turn(limited)
    limited.clock.advance(6)
    assert pieces(limited.text()) == [b"x" * (RATE + LINE_BYTES) + b"\n", 9005 - RATE - LINE_BYTES]


def test_the_log_goes_on_with_a_whole_line(limited: World) -> None:
    """What is left of one that was dropped in part is dropped too, if it comes soon."""
    guest = limited.open()
    guest.write(LINE * 100 + b"begin")
    turn(limited)
    limited.clock.advance(1.0)
    assert limited.text() == LINE * 100, "it is to be dropped to a line's end"
    guest.write(b" of it\nanother\n")
    turn(limited)
    assert pieces(limited.text()) == [LINE * 100, len("begin of it\n"), b"another\n"]


def test_the_log_goes_on_in_a_line_that_does_not_end(limited: World) -> None:
    """A prompt is not waited for, nor is a line of many bytes skipped."""
    guest = limited.open()
    guest.write(LINE * 100 + b"begin")
    turn(limited)
    limited.clock.pump([1.0, 1.0])
    assert pieces(limited.text()) == [LINE * 100, 5]
    guest.write(b"login: ")
    turn(limited)
    assert pieces(limited.text()) == [LINE * 100, 5, b"login: "]


def test_what_was_dropped_of_a_line_while_it_was_skipped(limited: World) -> None:
    """It is skipped up to a number of bytes."""
    guest = limited.open()
    guest.write(LINE * 100 + b"begin")
    turn(limited)
    limited.clock.advance(0.5)
    guest.write(b"x" * (LINE_BYTES + 700))
    limited.clock.advance(0.5)
    turn(limited)
    text = limited.text()
    assert pieces(text) == [LINE * 100, 5 + LINE_BYTES, b"x" * 700]


# Who asks.


def test_a_position_drops_nothing_and_is_paid_back(limited: World) -> None:
    """It covers all that was written before, and then nothing is written for as long."""
    guest = limited.open()
    guest.write(LINE * 300)
    assert limited.position().offset == 3000
    assert limited.status().lost_bytes == 0
    guest.write(LINE)
    turn(limited)
    for _ in range(29):
        limited.clock.advance(0.1)
        turn(limited)
        assert limited.text() == LINE * 300
    limited.clock.advance(0.2)
    turn(limited)
    assert pieces(limited.text()) == [LINE * 300, 10]


@pytest.mark.parametrize("ask", ["position", "read", "append", "close", "long"])
def test_what_was_dropped_is_told_before_what_came_later(ask: str, limited: World) -> None:
    """Whoever asks: the notice stands where the bytes are missing."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    later = b"later\n" * (40 * KIB if ask == "long" else 1)
    os.set_blocking(guest.write_end, False)
    later = later[: os.write(guest.write_end, later)]
    if ask == "append":
        limited.append(b"")
    elif ask == "close":
        limited.handler.close_log(limited.path)
    elif ask == "read":
        assert limited.read(max_bytes=1 << 20).data == limited.text()
    else:
        limited.position()
    assert pieces(limited.text()) == [LINE * 100, 500, later]


def test_a_message_takes_none_of_the_guests_bytes(limited: World) -> None:
    """Nor does the daemon's own line."""
    guest = limited.open()
    message = b"m" * 900 + b"\n"
    limited.append(message)
    guest.write(LINE * 110)
    turn(limited)
    assert limited.text() == message + LINE * 100
    limited.append(message)
    assert pieces(limited.text()) == [message + LINE * 100, 100, message]
    limited.clock.advance(1.0)
    guest.write(LINE * 100)
    turn(limited)
    assert limited.text().endswith(message + LINE * 100)
    assert limited.status().lost_bytes == 100


# The end.


def test_what_a_guest_leaves_that_is_gone_is_written(limited: World) -> None:
    """However much it is; what it said last matters most."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    guest.write(LINE * 400)
    guest.end()
    turn(limited)
    assert not limited.is_open()
    assert pieces(limited.text()) == [LINE * 100, 500, LINE * 400]
    assert not limited.clock.getDelayedCalls() or limited.clock.advance(2) is None


def test_a_guest_that_ends_after_drops(limited: World) -> None:
    """The notice is the last line."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    guest.end()
    turn(limited)
    assert not limited.is_open()
    assert pieces(limited.text()) == [LINE * 100, 500]


def test_the_daemon_ends(limited: World) -> None:
    """It says what it has dropped."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    limited.close()
    assert pieces(limited.text()) == [LINE * 100, 500]
    guest.end()


def test_another_guest_begins_with_all_that_it_may(make_world: MakeWorld) -> None:
    """What the one before wrote is not its; what was dropped of that is told first."""
    world = make_world(rate=limit(boot_burst=2000))
    guest = world.open()
    guest.write(LINE * 250)
    turn(world)
    guest.write(LINE * 300)
    guest.end()
    other = world.open(domain=STRANGER)
    other.write(LINE * 200)
    turn(world)
    assert pieces(world.text()) == [LINE * 200, 500, LINE * 500]


# Under block.


def test_a_guest_waits(make_world: MakeWorld) -> None:
    """In its pipe; nothing is lost, and the pipe is not watched meanwhile."""
    world = make_world(rate=blocking())
    guest = world.open()
    guest.write(LINE * 400)
    turn(world)
    assert world.text() == LINE * 100
    assert not len(world.watch)
    for seconds in range(1, 4):
        for _ in range(10):
            world.clock.advance(0.1)
            turn(world)
        assert abs(len(world.text()) - 1000 * (seconds + 1)) <= RATE // 10
    world.clock.advance(1.0)
    turn(world)
    assert world.text() == LINE * 400
    assert world.status().lost_bytes == 0


def test_a_position_of_a_guest_that_waits(make_world: MakeWorld) -> None:
    """All is written, and it waits longer."""
    world = make_world(rate=blocking())
    guest = world.open()
    guest.write(LINE * 400)
    turn(world)
    assert world.position().offset == 4000
    guest.write(LINE)
    world.clock.pump([0.5] * 5)
    turn(world)
    assert len(world.text()) == 4000
    world.clock.pump([0.5, 0.5])
    turn(world)
    assert len(world.text()) == 4010


def test_a_message_to_the_log_of_a_guest_that_waits(make_world: MakeWorld) -> None:
    """It goes on in time all the same."""
    world = make_world(rate=blocking())
    guest = world.open()
    guest.write(LINE * 100)
    turn(world)
    world.append(b"a message\n")
    guest.write(LINE * 100)
    turn(world)
    assert not len(world.watch)
    world.append(b"another\n")
    guest.write(LINE)
    world.clock.pump([0.5] * 10)
    turn(world)
    assert world.text() == LINE * 100 + b"a message\n" + LINE * 100 + b"another\n" + LINE
    assert world.status().lost_bytes == 0


def test_an_empty_message_to_the_log_of_a_guest_that_waits(make_world: MakeWorld) -> None:
    """Neither does a message that says nothing make it wait for ever."""
    world = make_world(rate=blocking())
    guest = world.open()
    guest.write(LINE * 150)
    turn(world)
    world.append(b"")
    assert not len(world.watch)
    guest.write(LINE)
    world.clock.pump([0.5] * 10)
    turn(world)
    assert world.text() == LINE * 151


def test_a_guest_that_waits_and_is_gone(make_world: MakeWorld) -> None:
    """Its log ends within a second."""
    world = make_world(rate=blocking(rate=1))
    guest = world.open()
    guest.write(LINE * 400)
    turn(world)
    guest.end()
    world.clock.advance(1.0)
    turn(world)
    assert world.text() == LINE * 400
    assert not world.is_open()


# Failing files.


def test_an_outage_has_its_own_rules(limited: World) -> None:
    """What waits is written when it is over, whatever the rate; each notice says its own."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    with files_end_at(1000):
        guest.write(LINE)
        with pytest.raises(NotWritten):
            limited.position()
        assert limited.status().state is LogState.FAILING
        guest.write(LINE * 200)
        pass_time(limited, 0.5)
        assert bytes_waiting_of(limited) == 2010
    pass_time(limited, 1.1)
    assert limited.status().state is LogState.OPEN
    assert pieces(limited.text()) == [LINE * 100, 500, LINE * 201]
    assert limited.status().lost_bytes == 500
    guest.write(LINE)
    turn(limited)
    pass_time(limited, 0.8)
    assert kept(limited.text()) == 3010, "it pays back"


def bytes_waiting_of(world: World) -> int:
    log = world.handler.log_of(world.path)
    assert log is not None
    return bytes_waiting(log.pipe) + world.handler.source.staged(log.pipe)


def test_what_cannot_be_told_is_told_later(limited: World) -> None:
    """The file fails when the notice is written."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    with files_end_at(1000):
        limited.clock.advance(1.0)
        assert limited.status().state is LogState.FAILING
    pass_time(limited, 1.1)
    guest.write(LINE)
    turn(limited)
    assert pieces(limited.text()) == [LINE * 100, 500, LINE]


# Other settings.


def test_another_rate_holds_at_once(limited: World) -> None:
    """For logs that are open, also while they drop, or wait."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    limited.handler.reload(log_settings(0, 3), 64 * KIB)
    limited.clock.advance(0.01)
    guest.write(LINE * 900)
    turn(limited)
    assert pieces(limited.text()) == [LINE * 100, 500, LINE * 900]
    limited.handler.reload(log_settings(0, 3, rate=blocking(500)), 64 * KIB)
    guest.write(LINE * 100)
    turn(limited)
    assert kept(limited.text()) == 10_500
    limited.handler.reload(log_settings(0, 3, rate=limit(100)), 64 * KIB)
    limited.clock.advance(0.01)
    turn(limited)
    # (a byte may be written by then, and so the whole line is)
    assert limited.status().lost_bytes == 990
    limited.handler.reload(log_settings(0, 3, rate=blocking(100)), 64 * KIB)
    limited.clock.advance(0.01)
    turn(limited)
    assert lost(limited.text()) == 990
    guest.write(LINE)
    turn(limited)
    assert not len(limited.watch)
    limited.handler.reload(log_settings(0, 3), 64 * KIB)
    limited.clock.advance(0.01)
    turn(limited)
    assert limited.text().endswith(b"]\n" + LINE)
    assert not limited.clock.getDelayedCalls()


# The next image.


@pytest.fixture
def successor() -> Iterator[Callable[..., World]]:
    """Make another image in the same directory, with the first one's logs."""
    with ExitStack() as stack:

        def make(
            world: World,
            *,
            rate: Rate | None,
            change: Callable[[OpenLogState], OpenLogState] = lambda state: state,
            killed: bool = False,
        ) -> World:
            other = World(world.directory, rate=rate)
            stack.callback(other.close)
            states = world.handler.snapshot() if killed else world.handler.suspended()
            other.clock.advance(world.clock.seconds())
            for state in states:
                take: Any = other.handler.restore if killed else other.handler.adopt
                take(change(copied(state)))
            return other

        yield make


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("rate", [RATE, 0])
def test_the_next_image_tells_what_this_one_dropped(
    killed: bool, rate: int, limited: World, successor: Callable[..., World]
) -> None:
    """And goes on with as many bytes as were left, also if there is no rate any more."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    limited.clock.advance(0.5)
    other = successor(limited, rate=limit(rate), killed=killed)
    assert other.status().lost_bytes == 500
    other.clock.advance(0.51)
    assert pieces(other.text()) == [LINE * 100, 500]
    guest.write(LINE)
    turn(other)
    assert pieces(other.text()) == [LINE * 100, 500, LINE]


def test_what_comes_before_it_is_told(limited: World, successor: Callable[..., World]) -> None:
    """The order holds over a hand-over."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    other = successor(limited, rate=limit())
    guest.write(LINE)
    other.position()
    assert pieces(other.text()) == [LINE * 100, 500, LINE]


def test_what_an_image_gives_that_knows_no_rates(
    limited: World, successor: Callable[..., World]
) -> None:
    """A burst, and not what is for an opening."""

    def forget(state: OpenLogState) -> OpenLogState:
        assert state.details is not None
        return msgspec.structs.replace(
            state, details=msgspec.structs.replace(state.details, rate=None)
        )

    guest = limited.open()
    other = successor(limited, rate=limit(boot_burst=5000), change=forget)
    guest.write(LINE * 200)
    turn(other)
    assert other.text() == LINE * 100


@pytest.mark.parametrize(("killed", "count"), [(False, 5000), (True, 1000)])
def test_what_is_for_an_opening_comes_once(
    killed: bool, count: int, make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """What was noted then may be long gone when the daemon is killed."""
    world = make_world(rate=limit(boot_burst=5000))
    guest = world.open()
    other = successor(world, rate=limit(boot_burst=5000), killed=killed)
    guest.write(LINE * 600)
    turn(other)
    assert kept(other.text()) == count


def test_a_log_that_goes_to_another_thread(limited: World, make_world: MakeWorld) -> None:
    """It says there what was dropped here, and has no timer here."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    state = limited.handler.leave(limited.path)
    assert state is not None
    other = make_world(rate=limit())
    other.handler.adopt(state)
    limited.clock.advance(2)
    assert limited.text() == LINE * 100
    other.clock.advance(2)
    assert pieces(limited.text()) == [LINE * 100, 500]
    guest.write(LINE)
    turn(other)
    assert pieces(limited.text()) == [LINE * 100, 500, LINE]


def test_the_keeper_hears_of_what_is_dropped_and_of_the_notice(limited: World) -> None:
    """So that a daemon that is killed leaves neither unsaid, nor says it twice."""
    notes = Notes()
    limited.handler.keeper = notes
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    details = notes.last("outage").details
    assert details is not None
    assert details.rate is not None
    assert (details.rate.lost, details.rate.rate, details.lost_bytes) == (500, RATE, 500)
    for _ in range(20):
        guest.write(LINE)
        turn(limited)
    assert [told for told, _ in notes.told] == ["opened", "outage"]
    limited.clock.advance(1.0)
    details = notes.last("outage").details
    assert details is not None
    assert details.rate is not None
    assert (details.rate.lost, details.lost_bytes) == (0, 700)
    limited.handler.keeper = limited.handler.keeper


class Drops(NoObserver):
    """Notes why bytes were dropped."""

    def __init__(self) -> None:
        self.counts: dict[DropReason, int] = {}

    def dropped(self, log: OpenLog, count: int, reason: DropReason) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + count


def test_why_they_were_dropped(limited: World) -> None:
    """No file has failed."""
    drops = Drops()
    limited.handler.observer = drops
    limited.open().write(LINE * 150)
    turn(limited)
    assert drops.counts == {DropReason.RATE: 500}
    limited.close()
    assert drops.counts == {DropReason.RATE: 500}


def test_a_log_that_is_occupied_waits_with_what_is_to_be_told(limited: World) -> None:
    """Whoever occupies it, it is not forgotten."""
    guest = limited.open()
    guest.write(LINE * 150)
    turn(limited)
    log = limited.handler.log_of(limited.path)
    assert log is not None
    limited.slices.later = True
    work = limited.handler.log_in_order(log, nothing_for_a_while())
    limited.clock.advance(1.0)
    assert (work, limited.text()) == (None, LINE * 100)
    limited.slices.take_all()
    assert log.order is None
    pass_time(limited, 0.1)
    assert pieces(limited.text()) == [LINE * 100, 500]


def nothing_for_a_while() -> Iterator[None]:
    """Occupy a log."""
    yield
    yield


def test_many_logs_share_one_timer(make_world: MakeWorld) -> None:
    """And are looked at in parts of the time."""
    world = make_world(rate=limit())
    paths = [str(world.directory / f"{number}.log") for number in range(20)]
    for number, path in enumerate(paths):
        world.open(path, domain=DOMAIN).write(LINE * 150)
        turn(world, 1)
        world.clock.advance(0.01 * (number % 3))
    turn(world)
    assert len(world.handler.limiting) == len(paths)
    assert len(world.clock.getDelayedCalls()) == 1
    world.clock.advance(2)
    world.clock.pump([0.01] * 10)
    assert [lost(world.text(path)) for path in paths] == [500] * len(paths)
    assert not world.clock.getDelayedCalls()
