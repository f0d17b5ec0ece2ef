"""What a log handler tells whoever keeps its pipes, and what it does with logs that were kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, DRIVER, KIB, World, log_settings, of_the_direct_way
from tests.logs.test_failing import FULL_PIPE, fail, files_end_at, pass_time
from twisted_virtlog.errors import UnsupportedBackups
from twisted_virtlog.handover.keeper import NO_KEEPER
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.values import Position


class Notes:
    """A keeper that keeps all; it notes what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, OpenLogState | str | int]] = []

    def restored(self) -> Sequence[OpenLogState]:
        return ()

    def begin(self, logs: Sequence[OpenLogState]) -> None:
        self.told.append(("begin", ""))

    def opened(self, log: OpenLogState) -> None:
        self.told.append(("opened", log))

    def outage(self, log: OpenLogState) -> None:
        self.told.append(("outage", log))

    def closed(self, pipe: int) -> None:
        self.told.append(("closed", pipe))

    def keeps(self, pipe: int) -> bool:
        return True

    def settled(self) -> Callable[[], object]:
        return lambda: self.told.append(("settled", 0))

    def last(self, what: str) -> OpenLogState:
        """Return the last log that it was told this of."""
        found = [log for told, log in self.told if told == what]
        assert isinstance(found[-1], OpenLogState)
        return found[-1]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def kept(make_world: MakeWorld, notes: Notes) -> World:
    """A world whose logs are kept."""
    made = make_world(drops=True)
    made.handler.keeper = notes
    return made


def test_a_log_is_kept_when_its_opener_hears_of_it(kept: World, notes: Notes) -> None:
    """With all that it takes to go on."""
    kept.open()
    log = notes.last("opened")
    assert (log.path, log.driver, log.domain) == (kept.path, DRIVER, DOMAIN)
    assert log.details is not None
    assert log.details.opened_at == kept.status().opened_at
    assert log.details.file == kept.path


def test_a_log_is_let_go_when_all_is_written(kept: World, notes: Notes) -> None:
    """Its last byte is in the file by then."""
    guest = kept.open()
    guest.write(b"last")
    pipe = kept.status().pipe
    guest.end()
    kept.reactor.run()
    assert notes.told[-1] == ("closed", pipe)
    assert kept.text() == b"last"


@pytest.mark.parametrize("how", ["close", "truncate", "follow"])
def test_a_pipe_that_a_guest_has_is_closed_after_the_keeper_has_let_go_of_it(
    kept: World, notes: Notes, how: str
) -> None:
    """Whoever closes it last waits, if the guest has locked it: not the service manager."""
    kept.open()
    pipe = kept.status().pipe
    if how == "close":
        kept.handler.close_log(kept.path)
    else:
        kept.open(truncate=how == "truncate")
    kept.close_pipes()
    assert notes.told.index(("closed", pipe)) < notes.told.index(("settled", 0))


def test_when_the_daemon_stops_nothing_is_let_go(kept: World, notes: Notes) -> None:
    """The next process goes on with it."""
    kept.open()
    kept.handler.close()
    kept._closed = True
    assert [what for what, _ in notes.told] == ["opened"]


@of_the_direct_way
def test_what_the_file_does_not_take_is_not_lost_when_the_daemon_stops(
    kept: World, notes: Notes
) -> None:
    """It waits in the pipe for the next process, which counts and tells of it if it must."""
    with files_end_at(1000):
        fail(kept)
        read_end = os.dup(notes.last("opened").pipe)
        kept.close()
    assert len(os.read(read_end, FULL_PIPE)) == 2000
    os.close(read_end)
    assert kept.handler.counts().bytes_lost == 0


@of_the_direct_way
def test_dropped_bytes_are_noted_until_the_log_tells_of_them(kept: World, notes: Notes) -> None:
    """A process that is killed between leaves the count to the next one."""
    with files_end_at(1000):
        guest = fail(kept)
        guest.write(b"x" * (FULL_PIPE - 2000 - 4 * KIB))
        pass_time(kept, 1.05)
        lost = kept.status().lost_bytes
        log = notes.last("outage")
        assert log.details is not None
        assert log.details.outage is not None
        assert log.details.lost_bytes == log.details.outage.lost == lost > 0
    pass_time(kept, 1)
    log = notes.last("outage")
    assert log.details is not None
    assert log.details.outage is not None
    assert (log.details.lost_bytes, log.details.outage.lost) == (lost, 0)


@of_the_direct_way
def test_a_restored_log_tells_of_bytes_that_were_dropped_before(
    kept: World, notes: Notes, make_world: MakeWorld
) -> None:
    """And then goes on with what is in its pipe."""
    with files_end_at(1000):
        guest = fail(kept)
        guest.write(b"x" * (FULL_PIPE - 2000 - 4 * KIB))
        pass_time(kept, 1.05)
        lost = kept.status().lost_bytes
        guest.write(b"kept\n")
        log = notes.last("outage")
        state = msgspec.structs.replace(log, pipe=os.dup(log.pipe))
        kept.handler.close()
        kept._closed = True
    following = make_world(drops=True)
    following.handler.restore(state)
    pass_time(following, 1)
    text = following.text()
    assert text.count(b"bytes lost from") == 1
    assert f"[virtlogd: {lost} bytes lost".encode() in text
    assert text.endswith(b"]\nkept\n")
    assert following.status().lost_bytes == lost


def test_a_restored_log_ends_an_interrupted_rollover(
    kept: World, notes: Notes, make_world: MakeWorld
) -> None:
    """No backup is pushed out that would have been kept."""
    guest = kept.open()
    guest.write(b"3" * 100)
    kept.reactor.run()
    for number, name in ((2, ".1"), (1, ".2")):
        Path(kept.path + name).write_bytes(b"%d" % number * 100)
    log = notes.last("opened")
    state = msgspec.structs.replace(log, pipe=os.dup(log.pipe))
    kept.handler.close()
    kept._closed = True
    following = make_world(100)
    following.handler.restore(state)
    guest.write(b"4")
    following.reactor.run()
    assert following.files() == {
        ".2": b"1" * 100,
        ".1": b"2" * 100,
        ".0": b"3" * 100,
        "": b"4",
    }


def test_a_log_that_may_not_be_restored_is_given_up(
    kept: World, notes: Notes, make_world: MakeWorld
) -> None:
    """Its guest sees that, and does not wait for ever."""
    guest = kept.open()
    log = notes.last("opened")
    state = msgspec.structs.replace(log, pipe=os.dup(log.pipe))
    kept.handler.close()
    kept._closed = True
    world = make_world(100, 33)
    with pytest.raises(UnsupportedBackups):
        world.handler.restore(state)
    world.close_pipes()
    with pytest.raises(BrokenPipeError):
        guest.write(b"x")


def test_without_a_keeper_nothing_is_kept(world: World) -> None:
    """As in an application that embeds the daemon."""
    guest = world.open()
    assert world.handler.keeper is NO_KEEPER
    assert not NO_KEEPER.keeps(world.path)
    assert NO_KEEPER.restored() == ()
    guest.end()
    world.reactor.run()
    assert not world.is_open()


def test_a_cut_is_known_to_whoever_restores_the_log(
    kept: World, notes: Notes, make_world: MakeWorld
) -> None:
    """A position from before it is not taken for one after it, though the daemon was killed."""
    guest = kept.open()
    guest.write(b"before the cut")
    before = kept.position()
    os.truncate(kept.path, 0)
    guest.write(b"after the cut, which is longer")
    after = kept.position()
    log = notes.last("outage")
    state = msgspec.structs.replace(log, pipe=os.dup(log.pipe))
    kept.handler.close()
    kept._closed = True
    following = make_world()
    following.handler.restore(state)
    assert following.position() == after
    assert following.read(before).gap
    assert (
        following.read(Position(after.inode, 3, after.birth)).data == b"er the cut, which is longer"
    )


def test_a_restored_log_does_not_trust_what_it_knew_of_ends(
    kept: World, notes: Notes, make_world: MakeWorld
) -> None:
    """Files may have been rotated away since the last record, and with them bytes."""
    kept.handler.reload(log_settings(10, 0), 64 * KIB)
    guest = kept.open()
    guest.write(b"a" * 10)
    end = kept.position()
    guest.write(b"b" * 10)
    kept.position()
    log = kept.handler.suspended()[0]
    assert kept.read(end).gap is False
    state = msgspec.structs.replace(log, pipe=os.dup(log.pipe))
    guest.write(b"c" * 10)
    kept.position()
    kept.handler.close()
    kept._closed = True
    following = make_world(10, 0)
    following.handler.restore(state)
    assert following.read(end).gap


def test_a_cut_that_nobody_saw_ends_a_log_well(kept: World) -> None:
    """Whoever keeps the log is told of nothing more when its guest is gone."""
    guest = kept.open()
    guest.write(b"x")
    kept.position()
    os.truncate(kept.path, 0)
    guest.end()
    kept.reactor.run()
    assert not kept.is_open()
