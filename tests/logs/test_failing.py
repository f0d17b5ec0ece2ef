"""Files that cannot be written: the pipe stays open, and what is lost is counted and said."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, Guest, World, of_the_direct_way
from twisted_virtlog.errors import NotWritten, SystemFailure
from twisted_virtlog.values import LogState

FULL_PIPE = 64 * KIB
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+00:00"
NOTICE = re.compile(
    rf"\[virtlogd: (\d+) bytes lost from {STAMP} to {STAMP}: File too large\]\n".encode()
)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Be a process whose files can be no larger, for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fail(world: World, data: bytes = b"x" * 3000) -> Guest:
    """Open a log whose guest writes more than its file takes."""
    guest = world.open()
    guest.write(data)
    # One turn for what fits, and one that meets the failure.
    world.reactor.turn()
    world.reactor.turn()
    assert world.status().state is LogState.FAILING
    return guest


def fill(guest: Guest) -> int:
    """Fill the guest's pipe.

    :returns: how many bytes it took.
    """
    return guest.write_without_blocking(b"y" * 2 * FULL_PIPE)


def pass_time(world: World, seconds: float) -> None:
    """Let time pass in steps in which guests are looked after."""
    world.clock.pump([0.05] * round(seconds / 0.05))


def not_written(call: Callable[[], object]) -> NotWritten:
    """Call what answers that the log is not written; give the answer."""
    with pytest.raises(NotWritten) as caught:
        call()
    return caught.value


def test_the_pipe_keeps_what_the_file_does_not_take(make_world: MakeWorld) -> None:
    """As much as fits is written; position and append tell why no more is, and what waits."""
    world = make_world()
    with files_end_at(1000):
        guest = fail(world)
        assert world.text() == b"x" * 1000
        for call in (world.position, lambda: world.append(b"message")):
            error = not_written(call)
            assert (error.errno, error.pending_bytes) == (errno.EFBIG, 2000)
            assert error.path == world.path
            assert "Unable to write to file" in str(error)
        status = world.status()
        assert status.error is not None
        assert status.error.endswith("File too large")
        assert (status.bytes_written, status.lost_bytes) == (1000, 0)
        assert world.handler.counts().failing_logs == 1
        assert world.read().data == b"x" * 1000
        assert not len(world.watch), "it would be told without end that the pipe is ready"
    assert guest.write_without_blocking(b"y") == 1


def test_a_request_that_finds_the_failure_first(make_world: MakeWorld) -> None:
    """The pipe's readiness of the same turn is stale then."""
    world = make_world()
    guest = world.open()
    guest.write(b"x" * 3000)
    with files_end_at(1000):
        error = world.reactor.turn_after(lambda: not_written(world.position))
        assert error is not None
        assert error.pending_bytes == 2000
        assert world.status().state is LogState.FAILING
    pass_time(world, 1)
    assert world.position().offset == 3000


def test_other_logs_go_on(make_world: MakeWorld) -> None:
    """One full file is no other's concern."""
    world = make_world()
    other = str(world.directory / "other.log")
    with files_end_at(1000):
        fail(world)
        modest = world.open(other)
        modest.write(b"fine")
        world.reactor.turn()
        assert world.text(other) == b"fine"
        pass_time(world, 2)
        modest.write(b", still")
        assert world.position(other).offset == 11
        assert world.append(b".", other).offset == 12
    assert world.status(other).state is LogState.OPEN


@pytest.mark.parametrize("drops", [True, False])
def test_a_short_failure_loses_nothing(drops: bool, make_world: MakeWorld) -> None:
    """What waited in the pipe is written when there is room; no line is added."""
    world = make_world(drops=drops)
    with files_end_at(1000):
        guest = fail(world)
        pass_time(world, 5)
        guest.write(b"y" * 1000)
    pass_time(world, 1)
    assert world.text() == b"x" * 3000 + b"y" * 1000
    status = world.status()
    assert (status.state, status.error, status.lost_bytes) == (LogState.OPEN, None, 0)
    assert world.handler.counts().failing_logs == 0
    guest.write(b"z")
    world.reactor.turn()
    assert world.position().offset == 4001


def test_the_file_is_tried_once_a_second(make_world: MakeWorld) -> None:
    """A disk in trouble is not stormed."""
    world = make_world()
    with files_end_at(1000):
        fail(world)
        pass_time(world, 1)
    pass_time(world, 0.95)
    assert world.status().state is LogState.FAILING
    assert len(world.text()) == 1000
    pass_time(world, 0.1)
    assert world.status().state is LogState.OPEN


@of_the_direct_way
def test_bytes_are_dropped_when_the_guest_is_blocked(make_world: MakeWorld) -> None:
    """Not before a retry failed, and not while there is room in the pipe; then it says so."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        lost = 2000 + fill(guest)
        pass_time(world, 0.95)
        assert world.status().lost_bytes == 0
        pass_time(world, 0.1)
        assert world.status().lost_bytes == lost
        guest.write(b"x" * (FULL_PIPE - 4 * KIB))
        pass_time(world, 3)
        assert world.status().lost_bytes == lost
        lost += FULL_PIPE - 4 * KIB + fill(guest)
        pass_time(world, 0.1)
        assert world.status().lost_bytes == lost
        guest.write(b"kept\n")
        pass_time(world, 3)
        assert world.status().lost_bytes == lost
        assert not_written(world.position).pending_bytes == 5
    pass_time(world, 1)
    first, *rest = world.text().partition(b"\n")
    assert first == b"x" * 1000
    notice = NOTICE.fullmatch(rest[1].partition(b"kept")[0])
    assert notice is not None
    assert int(notice[1]) == lost
    assert rest[1].endswith(b"]\nkept\n")
    assert world.status().lost_bytes == lost == world.handler.counts().bytes_lost
    guest.write(b"more\n")
    assert world.position().offset == len(world.text())
    assert world.text().endswith(b"]\nkept\nmore\n")


@of_the_direct_way
def test_a_guest_that_never_stops_is_not_blocked(make_world: MakeWorld) -> None:
    """After the first second a guest writes on, at the rate at which its pipe is looked at."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        pass_time(world, 1)
        written = 2000
        for _ in range(100):
            taken = fill(guest)
            assert taken > FULL_PIPE // 2
            written += taken
            pass_time(world, 0.05)
        guest.write(b"y" * 100)
        pending = not_written(world.position).pending_bytes
        assert world.status().lost_bytes == written + 100 - pending
    pass_time(world, 1)
    lost = sum(int(count) for count in NOTICE.findall(world.text()))
    assert lost == world.status().lost_bytes
    assert world.text().endswith(b"y" * pending)


@of_the_direct_way
def test_nothing_is_dropped_when_the_guest_is_to_wait(make_world: MakeWorld) -> None:
    """Under "block" the pipe fills and every byte is written in the end."""
    world = make_world(drops=False)
    with files_end_at(1000):
        guest = fail(world)
        pass_time(world, 1)
        taken = guest.write_without_blocking(b"y" * 2 * FULL_PIPE)
        assert taken < FULL_PIPE
        pass_time(world, 10)
        assert guest.write_without_blocking(b"y" * 4 * KIB) == 0
        assert world.status().lost_bytes == 0
    pass_time(world, 1)
    assert world.text() == b"x" * 3000 + b"y" * taken
    assert guest.write_without_blocking(b"z") == 1


@of_the_direct_way
@pytest.mark.parametrize(("data", "before"), [(b"x" * 999 + b"\n", b""), (b"x" * 1000, b"\n")])
def test_the_notice_is_a_line_of_its_own(data: bytes, before: bytes, make_world: MakeWorld) -> None:
    """A line that was cut is ended first; one that was not is not followed by an empty one."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world, data + b"y" * 40 * KIB)
        fill(guest)
        pass_time(world, 1)
        guest.write(b"next\n")
    pass_time(world, 1)
    assert NOTICE.fullmatch(world.text().removeprefix(data + before).removesuffix(b"next\n"))


@of_the_direct_way
def test_each_loss_is_told_where_it_happened(make_world: MakeWorld) -> None:
    """A file that takes the notice but not all that follows fails on, and tells of that later."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world, b"x" * 50 * KIB)
        lost = 50 * KIB - 1000 + fill(guest)
        pass_time(world, 1)
        guest.write(b"y" * 20 * KIB)
    with files_end_at(2000):
        pass_time(world, 1)
        assert world.status().state is LogState.FAILING
        assert len(world.text()) == 2000
        more = fill(guest)
        pass_time(world, 1)
    pass_time(world, 1)
    first, second = (int(count) for count in NOTICE.findall(world.text()))
    written = NOTICE.sub(b"", world.text()).replace(b"\n", b"")
    assert first == lost
    assert first + second == world.status().lost_bytes
    assert len(written) + second == 1000 + 20 * KIB + more


def test_a_guest_that_ends_while_its_file_fails(
    make_world: MakeWorld, logged: Callable[[], str]
) -> None:
    """After one retry the rest is lost, counted and told to the operator; the path is free."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        guest.end()
        pass_time(world, 0.95)
        assert world.is_open()
        pass_time(world, 0.1)
        assert not world.is_open()
        assert f"{world.path}: 2000 bytes lost, as the log ends" in logged()
    counts = world.handler.counts()
    assert (counts.bytes_lost, counts.failing_logs, counts.open_logs) == (2000, 0, 0)
    world.open()


def test_a_guest_that_ended_has_its_last_words_when_there_is_room(make_world: MakeWorld) -> None:
    """Within the second before the retry nothing is lost; then the log closes."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        guest.end()
    pass_time(world, 1)
    world.reactor.run()
    assert not world.is_open()
    assert world.text() == b"x" * 3000
    assert world.handler.counts().bytes_lost == 0


def test_a_guest_that_ended_is_waited_for_when_nothing_may_be_dropped(
    make_world: MakeWorld,
) -> None:
    """Under "block" its bytes stay in the pipe until there is room, however long."""
    world = make_world(drops=False)
    with files_end_at(1000):
        guest = fail(world)
        guest.end()
        pass_time(world, 30)
        assert world.is_open()
    pass_time(world, 1)
    world.reactor.run()
    assert not world.is_open()
    assert world.text() == b"x" * 3000


def test_a_daemon_that_stops_tries_once_more(
    make_world: MakeWorld, logged: Callable[[], str]
) -> None:
    """What the file then takes is written; what not is lost, and told to the operator."""
    world = make_world()
    with files_end_at(1000):
        fail(world)
    with files_end_at(1500):
        world.close()
    assert world.text() == b"x" * 1500
    assert world.handler.counts().bytes_lost == 1500
    assert f"{world.path}: 1500 bytes lost, as the log ends" in logged()


def test_a_daemon_that_stops_says_what_was_lost(make_world: MakeWorld) -> None:
    """The line about lost bytes is written when the log ends, if the file takes it."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world, b"x" * 50 * KIB)
        fill(guest)
        pass_time(world, 1)
        guest.write(b"last\n")
    world.close()
    assert NOTICE.search(world.text())
    assert world.text().endswith(b"]\nlast\n")


def test_a_log_that_failed_may_fail_again(make_world: MakeWorld, logged: Callable[[], str]) -> None:
    """Each failure and each recovery is told to the operator once."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        pass_time(world, 5)
    pass_time(world, 1)
    with files_end_at(4000):
        guest.write(b"x" * 3000)
        world.reactor.turn()
        world.reactor.turn()
        assert world.status().state is LogState.FAILING
        pass_time(world, 5)
    pass_time(world, 1)
    assert world.text() == b"x" * 6000
    assert logged().count("its output waits in the pipe") == 2
    assert logged().count("the file is written again") == 2


# Messages.


@pytest.mark.parametrize("is_open", [True, False])
def test_a_message_that_does_not_fit_leaves_nothing(is_open: bool, make_world: MakeWorld) -> None:
    """A message is in the log as a whole or not at all, and the log itself goes on."""
    world = make_world()
    guest = world.open()
    guest.write(b"before. ")
    world.position()
    if not is_open:
        guest.end()
        world.reactor.run()
    with files_end_at(10), pytest.raises(SystemFailure) as caught:
        world.append(b"too long a message")
    assert caught.value.errno == errno.EFBIG
    assert isinstance(caught.value, NotWritten) == is_open
    assert world.text() == b"before. "
    assert world.handler.counts().bytes_written == 8
    if is_open:
        assert world.status().state is LogState.OPEN
        guest.write(b"after")
        world.reactor.turn()
        assert world.text() == b"before. after"


# Rollovers.


def test_a_backup_that_is_in_the_way_is_not_overwritten(make_world: MakeWorld) -> None:
    """The output waits in the pipe until the way is clear."""
    world = make_world(100, 2)
    obstacle = world.directory / "guest.log.1"
    obstacle.mkdir()
    Path(world.path + ".0").write_bytes(b"backup")
    guest = world.open()
    guest.write(b"x" * 150)
    world.reactor.turn()
    error = not_written(world.position)
    assert error.pending_bytes == 50
    assert "Unable to rename" in str(error)
    pass_time(world, 3)
    assert world.text() == b"x" * 100
    assert Path(world.path + ".0").read_bytes() == b"backup"
    obstacle.rmdir()
    pass_time(world, 1)
    assert world.files() == {".1": b"backup", ".0": b"x" * 100, "": b"x" * 50}


@pytest.mark.parametrize("fills", [b"y" * 40, b"y" * 19 + b"\n"])
@pytest.mark.parametrize("step", range(4))
def test_a_rollover_goes_on_where_it_failed(
    step: int, fills: bytes, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No backup is moved up twice, whichever step of the rollover fails."""
    world = make_world(100, 3)
    for number in range(3):
        Path(f"{world.path}.{number}").write_bytes(b"%d" % number)
    guest = world.open()
    guest.write(b"x" * 60)
    world.position()
    fails = _fail_at(step, monkeypatch)
    guest.write(fills + b"z" * 30)
    world.reactor.turn()
    assert not_written(world.position).pending_bytes == 30
    pass_time(world, 3)
    assert len(fails) >= 3, "it was tried again"
    monkeypatch.undo()
    pass_time(world, 1)
    assert world.files() == {".2": b"1", ".1": b"0", ".0": b"x" * 60 + fills, "": b"z" * 30}
    assert world.status().rollovers == 1


def _fail_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make one step of a rollover fail: a rename, or last the new file."""
    rename, open_file = os.rename, os.open
    names = ["guest.log.1", "guest.log.0", "guest.log"]
    fails: list[str] = []

    def failing_rename(source: str, target: str) -> None:
        if step < len(names) and os.path.basename(source) == names[step]:
            fails.append(source)
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        rename(source, target)

    def failing_open(path: str, flags: int, mode: int = 0o777) -> int:
        if step == len(names) and flags & os.O_CREAT:
            fails.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "rename", failing_rename)
    monkeypatch.setattr(os, "open", failing_open)
    return fails


def test_a_message_across_a_failing_rollover(make_world: MakeWorld) -> None:
    """What cannot be written of a message is not written when the way is clear, either."""
    world = make_world(100, 1)
    obstacle = world.directory / "guest.log.0"
    obstacle.mkdir()
    guest = world.open()
    world.append(b"x" * 60)
    error = not_written(lambda: world.append(b"y" * 60))
    assert "Unable to rename" in str(error)
    obstacle.rmdir()
    guest.write(b"z")
    world.position()
    assert world.whole().count(b"z") == 1
    assert world.whole().endswith(b"z")
    assert world.whole().startswith(b"x" * 60)


def test_a_message_whose_rollover_leaves_no_file(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position does not ask a descriptor that is not open; the log fails until it has a file."""
    world = make_world(100, 1)
    world.open()
    world.append(b"x" * 100)
    open_file = os.open

    def no_descriptors(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open_file(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_descriptors)
        assert not_written(lambda: world.append(b"y")).errno == errno.EMFILE
        assert not_written(world.position).errno == errno.EMFILE
        pass_time(world, 3)
        assert world.status().state is LogState.FAILING
    pass_time(world, 1.1)
    assert world.position().offset == 0
    assert world.files() == {".0": b"x" * 100, "": b""}


def test_a_file_that_cannot_be_asked_for_its_size_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing waits to be written, as with ESTALE of NFS: it is tried again."""
    world.open()

    def stale(*_: object) -> int:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "lseek", stale)
        assert not_written(world.position).errno == errno.ESTALE
        assert world.status().state is LogState.FAILING
    pass_time(world, 1.1)
    assert world.position().offset == 0


def test_a_removed_backup_directory_entry_is_not_needed(make_world: MakeWorld) -> None:
    """Without backups a file that somebody removed meanwhile is no failure."""
    world = make_world(100, 0)
    guest = world.open()
    guest.write(b"x" * 100)
    world.position()
    os.unlink(world.path)
    guest.write(b"y")
    world.position()
    assert world.files() == {"": b"y"}


def test_the_list_says_how_many_bytes_waited_when_they_were_counted_last(
    make_world: MakeWorld,
) -> None:
    """It does not ask the pipe, which its guest may have locked."""
    world = make_world(drops=False)
    with files_end_at(1000):
        guest = fail(world)
        assert world.status().pending is None
        assert not_written(world.position).pending_bytes == 2000
        guest.write(b"x" * 10)
        assert world.status().pending == 2000
        pass_time(world, 1.1)
        assert world.status().pending == 2010
    pass_time(world, 1.1)
    assert world.status().pending == 0


@of_the_direct_way
def test_what_is_dropped_does_not_wait(make_world: MakeWorld) -> None:
    """What came after it does."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        fill(guest)
        pass_time(world, 1.5)
        assert world.status().pending == 0
        guest.write(b"x" * 10)
        pass_time(world, 0.1)
        assert world.status().pending == 10
