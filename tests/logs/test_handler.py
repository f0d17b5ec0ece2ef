"""Opening, appending and naming logs; nothing is left behind when a step fails."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, DRIVER, STRANGER, World
from twisted_virtlog.errors import (
    LimitReached,
    LogBusy,
    NoSuchLog,
    ShuttingDown,
    SystemFailure,
    UnsupportedBackups,
)
from twisted_virtlog.interfaces import ILogHandler
from twisted_virtlog.logs import handler
from twisted_virtlog.values import Counts, LogState


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Be a process that may open so many descriptors more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(count + 1)]
    highest = max(spare)
    for descriptor in spare[1:]:
        os.close(descriptor)
    low = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest)]
    # All numbers below the limit are used, but for those that the test is to have.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(low) + 1, hard))
    for descriptor in low[:count]:
        os.close(descriptor)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in [spare[0], *low[count:]]:
            os.close(descriptor)


def test_it_is_a_log_handler(world: World) -> None:
    """Protocols get what the interface promises."""
    assert verifyObject(ILogHandler, world.handler)


def test_an_open_log_is_listed(world: World) -> None:
    """What an operator sees of a log: who writes it, where, and how much."""
    assert world.logs() == []
    guest = world.open()
    guest.write(b"12345")
    world.reactor.turn()
    other = world.open(str(world.directory / "another.log"))
    another, status = world.logs()
    assert (another.path, status.path) == (str(world.directory / "another.log"), world.path)
    assert (status.driver, status.domain) == (DRIVER, DOMAIN)
    assert (status.position, status.bytes_written) == (world.position(), 5)
    assert (status.state, status.error, status.lost_bytes) == (LogState.OPEN, None, 0)
    assert status.opened_at.tzinfo is not None
    other.end()
    world.reactor.run()
    assert len(world.logs()) == 1


def test_totals_outlive_their_logs(make_world: MakeWorld) -> None:
    """Counts are those since the daemon started, messages to closed logs included."""
    world = make_world(100, 1)
    guest = world.open()
    guest.write(b"x" * 250)
    world.reactor.turn()
    during = world.handler.counts()
    assert during == Counts(
        open_logs=1,
        failing_logs=0,
        opened_logs=1,
        bytes_written=250,
        bytes_lost=0,
        rollovers=2,
        known_logs=1,
    )
    guest.end()
    world.reactor.run()
    world.append(b"y" * 100)
    assert world.handler.counts() == Counts(
        open_logs=0,
        failing_logs=0,
        opened_logs=1,
        bytes_written=350,
        bytes_lost=0,
        rollovers=3,
        known_logs=1,
    )


def test_the_write_end_is_the_guests_alone(world: World) -> None:
    """It blocks, and no child of the daemon inherits it."""
    guest = world.open()
    assert os.get_blocking(guest.write_end)
    assert not os.get_inheritable(guest.write_end)


@pytest.mark.parametrize("spelling", ["{dir}/guest.log", "{dir}//guest.log", "{dir}/./guest.log"])
def test_a_log_that_is_open_is_refused_and_its_holder_named(spelling: str, world: World) -> None:
    """Nobody gets a second pipe into one file; the refusal tells who has the first."""
    world.open()
    path = spelling.format(dir=world.directory)
    with pytest.raises(LogBusy) as caught:
        world.open(path, domain=STRANGER)
    busy = caught.value
    assert (busy.path, busy.driver, busy.domain) == (path, DRIVER, DOMAIN)
    assert busy.opened_at == world.status().opened_at
    assert str(busy).startswith(f"{path} is open already, by driver 'qemu', guest 'web', since 2")


@pytest.mark.parametrize("how", ["slashes", "link", "link to directory", "relative"])
def test_other_spellings_are_the_same_log(
    how: str, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log is found by any name of its file, after a rollover too."""
    world = make_world(20, 2)
    (world.directory / "dir").symlink_to(world.directory)
    (world.directory / "link.log").symlink_to(world.path)
    monkeypatch.chdir(world.directory)
    spelling = {
        "slashes": f"{world.directory}///guest.log",
        "link": str(world.directory / "link.log"),
        "link to directory": str(world.directory / "dir" / "guest.log"),
        "relative": "guest.log",
    }[how]
    for first, second in [(world.path, spelling), (spelling, world.path)]:
        guest = world.open(first)
        begin = guest.position
        with pytest.raises(LogBusy):
            world.open(second, domain=STRANGER)
        guest.write(b"before a rollover ")
        world.append(b"and after it. ", second)
        with pytest.raises(LogBusy):
            world.open(second, domain=STRANGER)
        assert world.position(second) == world.position(first)
        assert world.read(begin, path=second).data == b"before a rollover and after it. "
        assert world.read(begin, path=first).data == b"before a rollover and after it. "
        guest.end()
        world.reactor.run()


def test_a_link_stays_a_link(make_world: MakeWorld) -> None:
    """The file that the link leads to is rotated, and all its names still hold."""
    world = make_world(10, 1)
    link = world.directory / "link.log"
    link.symlink_to(world.path)
    world.append(b"0123456789", str(link))
    guest = world.open(str(link))
    guest.write(b"abc")
    assert world.position(str(link)).offset == 3
    assert link.is_symlink()
    assert world.files() == {".0": b"0123456789", "": b"abc"}
    with pytest.raises(LogBusy):
        world.open(f"{world.directory}//link.log")
    guest.end()
    world.reactor.run()
    assert world.read(path=str(link)).data == b"0123456789abc"


@pytest.mark.parametrize("backups", [0, 2])
def test_truncating_through_a_link_removes_nothing_that_it_leads_to(
    backups: int, make_world: MakeWorld
) -> None:
    """Who may write to the link's directory could name any file of anybody by it."""
    world = make_world(10, backups)
    theirs, mine = world.directory / "theirs", world.directory / "mine"
    theirs.mkdir()
    mine.mkdir()
    kept = {"shadow": b"kept", "shadow.0": b"kept too", "shadow.1": b"and this", "other": b"also"}
    for name, data in kept.items():
        (theirs / name).write_bytes(data)
    log = mine / "guest.log"
    log.symlink_to(theirs / "shadow")
    (mine / "guest.log.0").symlink_to(theirs / "other")
    (mine / "guest.log.1").write_bytes(b"a backup")
    guest = world.open(str(log), truncate=True)
    guest.write(b"0123456789abc")
    position = world.position(str(log))
    assert (position.inode, position.offset) == (log.stat().st_ino, 3)
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == kept
    assert not log.is_symlink()
    assert world.read(path=str(log)).data.endswith(b"abc")
    # It is another log than the one that the link led to.
    with pytest.raises(LogBusy):
        world.open(f"{mine}//guest.log", domain=STRANGER)
    other = world.open(str(theirs / "shadow"))
    other.write(b"!")
    assert world.position(str(theirs / "shadow")).offset == 5


def test_a_link_to_a_log_that_is_open_may_be_truncated(world: World) -> None:
    """The log is not touched."""
    guest = world.open()
    guest.write(b"first")
    link = world.directory / "link.log"
    link.symlink_to(world.path)
    other = world.open(str(link), truncate=True)
    other.write(b"second")
    guest.write(b" and on")
    world.position()
    world.position(str(link))
    assert world.text() == b"first and on"
    assert link.read_bytes() == b"second"


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize(
    ("size", "backups", "length", "fits"),
    [
        (10, 1, 253, True), (10, 1, 254, False), (10, 10, 253, True), (10, 10, 254, False),
        (10, 11, 252, True), (10, 11, 253, False), (10, 11, 255, False), (0, 11, 255, True),
        (10, 0, 255, True),
    ],
)  # fmt: skip
def test_a_name_that_leaves_no_room_for_backups_is_refused(
    size: int, backups: int, length: int, fits: bool, truncate: bool, make_world: MakeWorld
) -> None:
    """It would fail at each rollover, for ever."""
    world = make_world(size, backups)
    path = str(world.directory / ("\u00e4" * (length // 2) + "x" * (length % 2)))
    if fits:
        world.open(path, truncate)
        for _ in range(3):
            world.append(b"0123456789", path)
        assert world.status(path).error is None
        return
    most = 255 - len(f".{backups - 1}")
    with pytest.raises(SystemFailure, match=f"{length} bytes, and at most {most} ") as caught:
        world.open(path, truncate)
    assert caught.value.errno == errno.ENAMETOOLONG
    with pytest.raises(SystemFailure):
        world.append(b"x", path)
    assert not world.is_open(path)
    assert not os.path.lexists(path)


def test_appending_to_a_log_that_is_not_open(world: World) -> None:
    """The file is made, written and closed; the log is not open afterwards."""
    before = len(os.listdir("/proc/self/fd"))
    position = world.append(b"by hand")
    assert (position.inode, position.offset) == (os.stat(world.path).st_ino, 7)
    assert world.append(b", twice").offset == 14
    assert world.append(b"").offset == 14
    assert world.text() == b"by hand, twice"
    assert not world.is_open()
    assert len(os.listdir("/proc/self/fd")) == before


def test_only_open_logs_have_a_position(world: World) -> None:
    """A file alone is not enough."""
    world.append(b"x")
    with pytest.raises(NoSuchLog, match="No open log file"):
        world.position()


def test_a_daemon_that_stops_opens_no_more(world: World) -> None:
    """Logs that are open go on until the end."""
    guest = world.open()
    world.handler.refuse_opens()
    with pytest.raises(ShuttingDown):
        world.open(str(world.directory / "late.log"))
    guest.write(b"x")
    assert world.position().offset == 1


def test_so_many_logs_and_no_more(make_world: MakeWorld) -> None:
    """max_open_logs is kept, and named when it is reached."""
    world = make_world(max_open_logs=2)
    first = world.open(str(world.directory / "1.log"))
    world.open(str(world.directory / "2.log"))
    with pytest.raises(LimitReached, match="2 logs are open") as caught:
        world.open()
    assert caught.value.limit == "max_open_logs"
    assert not Path(world.path).exists()
    first.end()
    world.reactor.run()
    world.open()


def test_too_many_backups_are_refused_at_each_call(make_world: MakeWorld) -> None:
    """virtlogd does so too."""
    world = make_world(100, 33)
    with pytest.raises(UnsupportedBackups):
        world.open()
    with pytest.raises(UnsupportedBackups):
        world.append(b"x")


# Failures half way. That nothing leaks is what the fixture _nothing_leaks looks at; here that the
# path is free afterwards.


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("{dir}/missing/a.log", errno.ENOENT),
        ("{dir}", errno.EISDIR),
        ("{dir}/file/a.log", errno.ENOTDIR),
        ("{dir}/" + "x" * 300, errno.ENAMETOOLONG),
        ("", errno.ENOENT),
    ],
)
def test_a_file_that_cannot_be_opened(path: str, reason: int, world: World) -> None:
    """The answer names the file and the reason, and all descriptors are given back."""
    (world.directory / "file").touch()
    path = path.format(dir=world.directory)
    before = len(os.listdir("/proc/self/fd"))
    for call in (lambda: world.open(path), lambda: world.append(b"x", path)):
        with pytest.raises(SystemFailure, match="Unable to open file: ") as caught:
            call()
        assert (caught.value.errno, caught.value.path) == (reason, path)
    assert len(os.listdir("/proc/self/fd")) == before
    assert world.logs() == []
    assert not len(world.watch)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_without_descriptors_a_log_is_not_opened(count: int, world: World) -> None:
    """The limit is named, with what raises it, and the log can be opened later."""
    with descriptors_left(count), pytest.raises(LimitReached, match="LimitNOFILE") as caught:
        world.open()
    assert caught.value.limit == "open_files"
    assert world.logs() == []
    world.open().write(b"x")
    assert world.position().offset == 1


def test_without_descriptors_a_closed_log_is_neither_read_nor_written(world: World) -> None:
    """Reading and appending name the limit too."""
    world.append(b"x")
    with descriptors_left(0):
        with pytest.raises(LimitReached):
            world.append(b"y")
        with pytest.raises(LimitReached):
            world.read()
    assert world.read().data == b"x"


def test_a_kernel_that_watches_no_more_pipes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe and the file are closed, and the path is free."""

    def refuse(pipe: int, reader: object) -> None:
        raise OSError(errno.ENOSPC, "no watches left")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(world.watch, "add", refuse)
    with pytest.raises(SystemFailure, match=r"Unable to open file: .*No space left"):
        world.open()
    assert len(os.listdir("/proc/self/fd")) == before
    monkeypatch.undo()
    world.open()


def test_a_backup_that_cannot_be_removed_fails_the_truncation(make_world: MakeWorld) -> None:
    """An open with truncation tells what is in its way."""
    world = make_world(100, 2)
    (world.directory / "guest.log.1").mkdir()
    with pytest.raises(SystemFailure, match=r"Unable to delete file .*guest\.log\.1"):
        world.open(truncate=True)
    assert world.logs() == []


def test_a_path_of_some_megabytes_is_no_log(world: World) -> None:
    """It is answered at once; to resolve it part by part would keep all others waiting."""
    world.open()
    with pytest.raises(NoSuchLog):
        world.handler.position("/a" * 2_000_000)


@pytest.mark.parametrize(
    "path",
    [
        "file",
        "missing",
        "directory/missing/below",
        "file/below",
        "directory/file",
        "link",
        "link/file",
        "link/missing",
        "directory/dangling",
        "directory/../file",
        "directory/./file",
        "directory//file",
        "directory/.hidden",
        "directory/",
        "loop/file",
    ],
)
def test_a_path_is_resolved_as_by_realpath(tmp_path: Path, path: str) -> None:
    """Of one without links, without asking twice."""
    root = os.path.realpath(tmp_path)
    os.mkdir(f"{root}/directory")
    for name in ("file", "directory/file", "directory/.hidden"):
        Path(root, name).touch()
    os.symlink("directory", f"{root}/link")
    os.symlink("nowhere", f"{root}/directory/dangling")
    os.symlink("loop", f"{root}/loop")
    whole = f"{root}/{path}"
    assert handler._real_path(whole) == os.path.realpath(whole)
