"""A log that is flooded is lent to a thread, and nobody who asks for it finds a difference."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, Guest, World, of_the_direct_way
from tests.logs.test_former import next_image
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.logs.pipes import mover
from twisted_virtlog.logs.policy import Policy
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES
from twisted_virtlog.syscalls import bytes_waiting
from twisted_virtlog.values import OnRate, Outside, Position

# In the thread of a file system nothing is lent to another.
pytestmark = of_the_direct_way

_SIZE = 1024 * KIB


@pytest.fixture
def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    """A handler that lends logs, for as long as nobody wants them back."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 600.0)
    monkeypatch.setattr(mover, "_LITTLE_BYTES", -1)
    return make_world(_SIZE, 3, pipe_size=512 * KIB, lends=True)


def log_of(world: World) -> OpenLog:
    """Return the log."""
    (log,) = world.handler.open_logs()
    return log


def lend(world: World) -> OpenLog:
    """Have the log lent."""
    log = log_of(world)
    # (a log that is flooded was written to before, by the rules)
    log.writer.ready()
    log.pipe_floods()
    assert log.lent is not None
    return log


def done(world: World, answer: Any) -> Any:
    """Return what is answered in the end."""
    return world.reactor.result(answer) if isinstance(answer, Deferred) else answer


def outside_of(log: OpenLog) -> Outside:
    """Return what other programs did to its files, by the ledger, which holds."""
    ledger = log.ledger()
    assert ledger.intake_gap == ledger.storage_gap == 0
    assert ledger.storage is not None
    return ledger.storage.outside


def test_the_position_covers_what_was_written(world: World) -> None:
    """Also what the thread has not seen yet."""
    guest = world.open()
    written = 0
    for number in range(50):
        lend(world)
        text = b"%07d\n" % number * 100
        guest.write(text)
        written += len(text)
        assert done(world, world.position()).offset == written
        assert log_of(world).lent is None
    assert world.status().bytes_written == written


def test_what_is_asked_comes_in_its_order(world: World) -> None:
    """Reading, appending, and positions; each sees what was asked for before."""
    guest = world.open()
    lend(world)
    guest.write(b"a guest\n")
    first, second = world.position(), world.append(b"a client\n")
    guest.write(b"a guest again\n")
    third = world.position()
    found = world.handler.read(world.path, Position(0, 0), 100)
    positions = [done(world, one).offset for one in (first, second, third)]
    # (what was written after a call may be covered, too)
    assert positions[0] in {8, 22}
    assert done(world, found).data == world.text()
    assert positions[1] <= positions[2] == 31
    assert world.text().replace(b"a client\n", b"") == b"a guest\na guest again\n"


def test_the_log_is_closed_by_force(world: World) -> None:
    """All that was written is in its file."""
    guest = world.open()
    lend(world)
    guest.write(b"x" * 300_000)
    closed = done(world, world.handler.close_log(world.path))
    assert closed.position.offset == 300_000
    assert world.text() == b"x" * 300_000
    assert not world.handler.logs()


def test_the_daemon_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once; and nothing touches the descriptors later."""
    guest = world.open()
    lend(world)
    guest.write(b"x" * 200_000)
    # (which would have it given back)
    monkeypatch.setattr(world, "check_ledgers", lambda: None)
    world.close()
    assert world.text() == b"x" * 200_000


def test_the_daemon_ends_and_others_are_served_meanwhile(world: World) -> None:
    """Likewise."""
    guest = world.open()
    lend(world)
    guest.write(b"x" * 200_000)
    world.reactor.result(world.handler.finish())
    assert world.text() == b"x" * 200_000


def test_the_log_ends_with_its_guest(world: World) -> None:
    """That is noticed, and it is written before."""
    guest = world.open()
    lend(world)
    guest.write(b"last words")
    guest.end()
    world.reactor.run_until(lambda: not world.handler.logs())
    assert world.text() == b"last words"


def test_another_image_goes_on(world: World) -> None:
    """With a log that nobody has lent."""
    guest = world.open()
    lend(world)
    guest.write(b"before ")
    (state,) = world.handler.suspended()
    assert log_of(world).lent is None
    assert state.details is not None
    guest.write(b"after")
    with next_image(world) as following:
        following.position(world.path)
    assert world.text() == b"before after"


def test_files_are_let_go_and_taken_again(world: World) -> None:
    """As for a hand-over that fails; nothing is lent while they are closed."""
    guest = world.open()
    log = lend(world)
    guest.write(b"before ")
    world.reactor.run_until(lambda: os.path.getsize(world.path) == 7)
    world.handler.pause()
    assert not log.writer.is_open
    world.reactor.run()
    assert not log.writer.is_open
    world.handler.go_on()
    guest.write(b"after")
    assert done(world, world.position()).offset == 12
    assert world.text() == b"before after"


def test_what_is_known_is_told_without_waiting(world: World) -> None:
    """Of a log that is lent, that is what it was when it was lent; the ledger has it given back."""
    guest = world.open()
    guest.write(b"before")
    world.position()
    log = lend(world)
    guest.write(b" after")
    known = world.status().position
    assert (known.offset, bool(known.birth)) == (6, True)
    assert log.lent is not None
    ledger = log.ledger()
    assert log.lent is None
    assert ledger.intake.received == 12
    assert outside_of(log) == Outside()
    guest.write(b"!")
    assert done(world, world.position()).offset == 13


def test_the_ledger_of_all_has_each_byte_once(world: World) -> None:
    """What the thread moves is not missed between two sums."""
    guest = world.open()
    log = lend(world)
    guest.write(b"x" * 300_000)
    ledger = done(world, world.handler.ledger(None))
    assert log.lent is None
    assert ledger.intake.received == 300_000
    assert ledger.intake_gap == 0


def test_who_reads_takes_nothing_for_another_s(world: World) -> None:
    """A look at the file does not count what the thread has written."""
    guest = world.open()
    log = lend(world)
    guest.write(b"x" * 1000)
    world.reactor.run_until(lambda: os.path.getsize(world.path) == 1000)
    log.writer.see_size(1000)
    assert done(world, world.position()).offset == 1000
    assert log.ledger().intake.received == 1000
    assert outside_of(log) == Outside()


def test_a_rate_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that may not write as much as it likes is not lent."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 1e-9)
    guest = world.open()
    log = lend(world)
    rate = Rate(1 << 20, 1 << 20, 1 << 20, OnRate.BLOCK)
    log.set_policy(Policy(Limits(_SIZE, 3), rate=rate))
    guest.write(b"x")
    world.reactor.run_until(lambda: log.order is None)
    assert log.lent is None
    log.pipe_floods()
    assert log.lent is None


def test_nothing_is_lent_where_no_thread_is_to_write(world: World) -> None:
    """As ``file_threads = "never"`` says."""
    world.open()
    world.handler.flooding.is_allowed = False
    log_of(world).pipe_floods()
    assert log_of(world).order is None


def test_little_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe is watched again."""
    monkeypatch.setattr(mover, "_LITTLE_BYTES", 1)
    world.open()
    log = lend(world)
    world.reactor.run_until(lambda: log.order is None)
    assert log.lent is None


def test_nobody_who_asks_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood that keeps nobody waiting is written by the reactor's thread."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 1e-9)
    guest = world.open()
    log = lend(world)
    monkeypatch.setattr(world.handler.flooding, "_are_asking", lambda: False)
    guest.write(b"x" * 2 * PIECE_BYTES)
    world.reactor.run_until(lambda: log.order is None)


def test_a_file_that_fails_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log fails as it does anywhere, and goes on when the file can be written."""
    guest = world.open()
    log = lend(world)
    splice = os.splice

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "splice", refuse)
    guest.write(b"waits")
    world.reactor.run_until(lambda: log.outage is not None)
    assert log.lent is None
    monkeypatch.setattr(os, "splice", splice)
    world.clock.advance(1)
    world.reactor.run()
    assert log.outage is None
    assert world.text() == b"waits"


def test_another_program_cuts_the_file(world: World) -> None:
    """What is written is at its end, as always."""
    guest = world.open()
    log = lend(world)
    guest.write(b"x" * 1000)
    world.reactor.run_until(lambda: os.path.getsize(world.path) == 1000)
    os.truncate(world.path, 10)
    guest.write(b"after")
    assert done(world, world.position()).offset == 15
    assert outside_of(log) == Outside(cut=990)
    assert world.text() == b"x" * 10 + b"after"


def test_another_program_cuts_the_file_in_the_middle_of_a_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the thread has written behind the hole is written where the file ends."""
    guest = world.open()
    log = lend(world)
    guest.write(b"x" * 1000)
    world.reactor.run_until(lambda: os.path.getsize(world.path) == 1000)
    splice, cuts = os.splice, [10]

    def splice_after_a_cut(*arguments: Any, **options: Any) -> int:
        if cuts and arguments[0] == log.pipe:
            # (only if there is something to be written)
            if not bytes_waiting(log.pipe):
                raise BlockingIOError
            os.truncate(world.path, cuts.pop())
        return splice(*arguments, **options)

    monkeypatch.setattr(os, "splice", splice_after_a_cut)
    guest.write(b"after")
    assert done(world, world.position()).offset == 15
    assert world.text() == b"x" * 10 + b"after"
    assert outside_of(log) == Outside(cut=990)


@pytest.fixture
def stuck(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[OpenLog, list[str]]]:
    """A log with which the thread waits in the kernel, and what is told of that."""
    told: list[str] = []
    monkeypatch.setattr(OpenLog, "pipe_slow", lambda log: told.append(f"{log.path} slow"))
    monkeypatch.setattr(OpenLog, "pipe_locked", lambda log: told.append(f"{log.path} locked"))
    world.open()
    log = lend(world)
    world.reactor.run_until(lambda: log.lent is not None and log.lent.has_begun)
    yield log, told
    monkeypatch.undo()
    done(world, world.position())


def be_stuck(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: float, where: str | None
) -> None:
    """Have the thread wait in a function of the kernel, for all that the test asks."""
    thread = world.handler.flooding._mover
    assert thread is not None
    monkeypatch.setattr(thread, "stuck_seconds", lambda: seconds)
    monkeypatch.setattr(thread, "waits_in", lambda: where)
    world.clock.advance(0.1)


@pytest.mark.parametrize(
    ("seconds", "where", "expected"),
    [
        (0.0, None, None),
        (0.2, "folio_wait_bit_common", "slow"),
        (0.2, "pipe_lock", None),
        (0.3, "pipe_lock", "locked"),
        # (others have the processor)
        (0.3, None, None),
    ],
)
def test_a_thread_that_is_stuck_is_told(
    world: World,
    stuck: tuple[OpenLog, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    where: str | None,
    expected: str | None,
) -> None:
    """Whoever gives slow file systems threads is, or that a guest keeps its pipe locked."""
    log, told = stuck
    be_stuck(world, monkeypatch, seconds, where)
    assert told == ([] if expected is None else [f"{log.path} {expected}"])


def test_nobody_waits_for_a_thread_that_is_stuck(
    world: World, stuck: tuple[OpenLog, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other logs come back, and none is lent; nor does rotation leave anything to it."""
    path = str(world.directory / "other.log")
    guest = world.open(path)
    other = world.handler.open_logs()[-1]
    other.writer.ready()
    other.pipe_floods()
    assert other.lent is not None
    flooding = world.handler.flooding
    be_stuck(world, monkeypatch, 2.0, "pipe_lock")
    world.reactor.run_until(lambda: other.order is None)
    guest.write(b"text")
    other.pipe_floods()
    assert other.lent is None
    assert world.position(path).offset == 4
    assert flooding._mover is not None
    assert not flooding._mover.is_busy
    assert world.handler.hung() == ["the thread that moves what floods a log waits"]


def test_a_ledger_does_not_wait_for_ever(
    world: World, stuck: tuple[OpenLog, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is known."""
    log, _ = stuck
    monkeypatch.setattr(mover.Loan, "wait", lambda _, seconds: seconds < 0)
    ledger = log.ledger()
    assert ledger.intake.received == 0
    assert log.lent is not None


def test_who_cannot_watch_the_thread_lends_nothing(world: World) -> None:
    """And is not taken for one who does, the next time."""
    guest = world.open()
    log = log_of(world)
    log.writer.ready()
    world.reactor.refuses = True
    for _ in range(2):
        log.pipe_floods()
        assert log.lent is None
        world.clock.advance(2)
    world.reactor.refuses = False
    guest.write(b"text")
    assert world.position().offset == 4


def test_a_mistake_of_ours_blocks_no_guest(
    world: World, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """The log fails, and goes on by the rules after a second."""
    expected_failures.append("a mistake")
    guest = world.open()
    log = lend(world)

    def fail(*_: object) -> None:
        raise ValueError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(type(log.writer), "give_back", fail)
        guest.write(b"text")
        world.reactor.run_until(lambda: bool(log.lent and log.lent.moved))
        answer = world.position()
        world.reactor.run_until(lambda: log.outage is not None)
        with pytest.raises(NotWritten):
            raise done(world, answer).value
    log.writer.give_back()
    world.clock.advance(1)
    world.reactor.run()
    assert log.outage is None


def test_a_thread_that_is_starved_gets_nothing_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold the interpreter's lock while others have its processor."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 1e-9)
    monkeypatch.setattr(mover, "_STARVED_SECONDS", -1.0)
    guest = world.open()
    log = lend(world)
    guest.write(b"x" * 4 * PIECE_BYTES)
    world.reactor.run_until(lambda: log.order is None)
    log.pipe_floods()
    assert log.lent is None
    world.clock.advance(1)
    log.pipe_floods()
    assert log.lent is not None


def test_small_files_are_not_lent(make_world: MakeWorld) -> None:
    """They are full so soon that it is not worth while."""
    world = make_world(256 * KIB, 3, lends=True)
    world.open()
    log_of(world).pipe_floods()
    assert log_of(world).order is None


def test_another_thread_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is wanted there comes back, and is not lent again before it has gone."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 1e-9)
    guest = world.open()
    log = lend(world)
    guest.write(b"x" * 4 * PIECE_BYTES)
    assert world.handler.leave(world.path) is None
    world.reactor.run_until(lambda: log.order is None)
    log.pipe_floods()
    assert log.lent is None
    world.position()
    state = world.handler.leave(world.path)
    assert state is not None
    assert world.text() == b"x" * 4 * PIECE_BYTES
    os.close(state.pipe)


def test_only_some_are_lent_at_once(world: World) -> None:
    """The others are written by the reactor's thread."""
    for number in range(6):
        world.open(str(world.directory / f"{number}.log"))
    for log in world.handler.open_logs():
        log.writer.ready()
        log.pipe_floods()
    assert sum(log.lent is not None for log in world.handler.open_logs()) == 4


@contextmanager
def flood(guest: Guest, count: int) -> Iterator[None]:
    """Write numbered lines as fast as they are taken."""
    text = b"".join(b"%07d\n" % number for number in range(count))

    def write() -> None:
        view = memoryview(text)
        os.set_blocking(guest.write_end, True)
        while view:
            view = view[os.write(guest.write_end, view[:PIECE_BYTES]) :]

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("seed", range(4))
def test_no_byte_is_lost_or_exchanged(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """A flood over many roll-overs, while it is asked for all kinds of things."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 0.0005)
    world = make_world(_SIZE, 32, pipe_size=256 * KIB, lends=True)
    chance = random.Random(seed)
    guest = world.open()
    log, lent = log_of(world), 0
    with flood(guest, 2 * KIB * KIB):
        while log.writer.written < 16 * _SIZE:
            if log.order is None:
                log.pipe_floods()
            lent += log.lent is not None
            world.reactor.turn()
            kind = chance.randrange(200)
            if kind == 0:
                position = done(world, world.position())
                assert os.stat(world.path).st_size >= position.offset
            elif kind == 1:
                log.ledger()
            elif kind == 2:
                world.status()
            elif kind == 3:
                done(world, world.handler.read(world.path, Position(0, 0), 1000))
            elif kind == 4:
                world.handler.suspended()
    done(world, world.position())
    assert lent
    text = b"".join(world.files()[name] for name in sorted(world.files(), key=_age))
    assert text == b"".join(b"%07d\n" % number for number in range(2 * KIB * KIB))
    ledger = log.ledger()
    assert ledger.intake.received == len(text)
    assert outside_of(log) == Outside()


def _age(name: str) -> int:
    """Return what sorts the names of a log's files, the oldest first."""
    return -int(name[1:]) if name else 1
