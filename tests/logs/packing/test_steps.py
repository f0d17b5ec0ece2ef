"""One backup is packed, step by step, with all that may happen between two of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World, content_of, descriptors, place
from tests.logs.packing import by_hand
from twisted_virtlog.logs.files import reuse, standing
from twisted_virtlog.logs.files.lineage import GAP_ATTRIBUTE
from twisted_virtlog.logs.files.log_directory import BY_PATH
from twisted_virtlog.logs.packing import steps
from twisted_virtlog.values import Outside, Position

SIZE = 16 * 1024


def lines(begin: int, end: int) -> bytes:
    """Return lines of 16 bytes, of which 1024 fill a file."""
    return b"".join(b"%015d\n" % number for number in range(begin, end))


ALL = lines(0, 4000)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Make a log with three full backups and a current file."""
    world = make_world(SIZE, 3, pack_from=1)
    guest = world.open()
    guest.write(ALL)
    world.reactor.run()
    return world


def names(world: World) -> set[str]:
    """Return what is added to the log's path in the names of its files."""
    return {name.removeprefix("guest.log") for name in os.listdir(world.directory)}


def more(world: World, begin: int, end: int) -> None:
    """Write more."""
    world._guests[0].write(lines(begin, end))
    world.reactor.run()


def positions(world: World) -> list[Position]:
    """Return the positions of the middles of all files, oldest first."""
    return [place(world.path + suffix, SIZE // 3) for suffix in world.files()]


def test_the_first_backup_stays_as_it_is(world: World) -> None:
    assert by_hand.pack_all(world) == 2
    assert names(world) == {"", ".0", ".1.zst", ".2.zst"}
    assert world.whole() == ALL


def test_nobody_who_reads_sees_a_difference(world: World) -> None:
    before, whole = positions(world), world.read()
    libvirts = [Position(one.inode, one.offset) for one in before]
    expected = [world.read(one) for one in before]
    by_hand.pack_all(world)
    assert positions(world) == before
    assert world.read() == whole
    assert [world.read(one) for one in before] == expected
    assert [world.read(one).data for one in libvirts] == [one.data for one in expected]
    assert [world.read(one, 100).data for one in before] == [one.data[:100] for one in expected]
    world.check_ledgers()


def test_what_is_told_of_the_files(world: World) -> None:
    before = world.handler.kept_files(world.path)
    by_hand.pack_all(world)
    after = world.handler.kept_files(world.path)
    assert [file.is_packed for file in after] == [True, True, False, False]
    for file, former in zip(after, before, strict=True):
        assert (file.inode, file.birth, file.size) == (former.inode, former.birth, former.size)
        assert (file.modified_at, file.parted) == (former.modified_at, former.parted)
    opened = world.handler.files(world.path, None).files
    assert [one.kept.is_packed for one in opened] == [True, True, False, False]
    for one in opened:
        os.close(one.descriptor)


@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.parametrize("rotations", [0, 1, 2, 3])
def test_whoever_is_killed_after_a_step_loses_nothing(
    make_world: MakeWorld, world: World, last: int, rotations: int
) -> None:
    """Neither does another rotation, nor another one who packs all."""
    assert by_hand.pack_one(world, last=last)
    both = {".1.zst"} if last == 2 else set()
    raw = set() if last == 3 else {".1"}
    assert names(world) - {"", ".0", ".2", ".1.zst"} == raw
    assert both <= names(world)
    assert world.read().data == ALL
    more(world, 4000, 4000 + 1024 * rotations)
    whole = lines(0, 4000 + 1024 * rotations)
    kept = 3 * SIZE + len(whole) % SIZE
    assert world.read().data == whole[-kept:]
    if last < 3 and rotations:
        assert names(world) == {"", ".0", ".1", ".2"}
    assert world.handler.ledger(world.path).storage.outside == Outside()
    world.check_ledgers()
    world.close()
    other = make_world(SIZE, 3, pack_from=0)
    assert other.read().data == whole[-kept:]
    other.open()
    by_hand.pack_all(other)
    assert names(other) == {"", ".0.zst", ".1.zst", ".2.zst"}
    assert other.read().data == whole[-kept:]


def test_a_packed_file_moves_up_and_goes_as_any_other(world: World) -> None:
    by_hand.pack_all(world)
    oldest, middle, *_ = positions(world)
    more(world, 4000, 5024)
    assert names(world) == {"", ".0", ".1", ".2.zst"}
    assert world.read().data == lines(1024, 5024)
    assert world.read(oldest).gap
    assert not world.read(middle).gap
    assert world.handler.ledger(world.path).storage.removed.rotation == SIZE
    more(world, 5024, 6048)
    assert names(world) == {"", ".0", ".1", ".2"}


def test_no_new_file_gets_the_number_of_a_packed_one(
    make_world: MakeWorld, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the files are replaced, by whoever has the log then."""
    by_hand.pack_all(world)
    monkeypatch.setattr(reuse, "_CALM_SECONDS", 0.0)
    former: list[int] = []
    for number in range(4096, 40000, 1024):
        alive = {one.inode for one in positions(world)}
        assert len(alive) == 4
        more(world, number, number + 1024)
        assert os.stat(world.path).st_ino not in {*alive, *former[-8:]}
        former += alive
        alive = {one.inode for one in positions(world)}
        by_hand.pack_all(world)
        assert {one.inode for one in positions(world)} == alive
    world.close()
    os.unlink(world.path)
    packed = {one.inode for one in positions(world)[:2]}
    other = make_world(SIZE, 3)
    other.open()
    assert os.stat(world.path).st_ino not in packed


@pytest.mark.parametrize("last", [1, 2])
def test_a_backup_that_moves_up_meanwhile(world: World, last: int) -> None:
    """Before it is named it is found again; after that, the packing is given up."""
    job = by_hand.begin(world)
    assert job is not None
    if last == 2:
        assert by_hand.name(world, job)
    more(world, 4000, 5024)
    if last == 1:
        assert by_hand.name(world, job)
        assert names(world) == {"", ".0", ".1", ".2", ".2.zst"}
    assert by_hand.finish(world, job) == (last == 1)
    job.close()
    assert names(world) == {"", ".0", ".1", ".2.zst" if last == 1 else ".2"}
    assert world.read().data == lines(1024, 5024)


def test_a_backup_that_is_removed_meanwhile(world: World) -> None:
    job = by_hand.begin(world)
    assert job is not None
    more(world, 4000, 4000 + 3 * 1024)
    assert not by_hand.name(world, job)
    job.close()
    assert names(world) == {"", ".0", ".1", ".2"}


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("change", ["cut", "appended", "written", "replaced"])
def test_a_backup_that_another_program_changes_meanwhile(
    world: World, change: str, last: int
) -> None:
    job = by_hand.begin(world)
    assert job is not None
    if last == 2:
        assert by_hand.name(world, job)
    backup = Path(f"{world.path}.1")
    data = backup.read_bytes()
    if change == "cut":
        os.truncate(backup, 100)
    elif change == "appended":
        backup.write_bytes(data + b"!")
    elif change == "written":
        backup.write_bytes(b"!" + data[1:])
        os.utime(backup, ns=(0, job.status.st_mtime_ns + 1))
    else:
        backup.unlink()
        backup.write_bytes(data)
    step = by_hand.name if last == 1 else by_hand.finish
    assert not step(world, job)
    job.close()
    assert backup.exists()


def test_owner_mode_time_and_marks_go_over(world: World) -> None:
    backup = Path(f"{world.path}.1")
    backup.chmod(0o640)
    os.setxattr(backup, GAP_ATTRIBUTE, b"1")
    os.utime(backup, ns=(10**18, 10**18 + 7))
    before = backup.stat()
    assert by_hand.pack_one(world)
    packed = Path(f"{backup}.zst")
    after = packed.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip
    assert (after.st_mtime_ns, after.st_nlink) == (before.st_mtime_ns, 1)
    assert os.getxattr(packed, GAP_ATTRIBUTE) == b"1"


def test_a_file_that_cannot_have_its_mode_is_not_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(f"{world.path}.1").chmod(0o640)
    job = by_hand.begin(world)
    assert job is not None

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(PermissionError):
        by_hand.name(world, job)
    job.close()
    assert names(world) == {"", ".0", ".1", ".2"}


def test_what_gains_nothing_stays_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with another name, and one that takes up no more than a block."""
    os.link(f"{world.path}.1", world.directory / "other")
    assert by_hand.pack_all(world) == 1
    assert names(world) == {"", ".0", ".1", ".2.zst", "other"}
    os.unlink(world.directory / "other")
    monkeypatch.setattr(steps, "_SMALL_BYTES", SIZE)
    assert by_hand.pack_all(world) == 0


def test_one_that_was_written_just_now_waits(world: World) -> None:
    now_ns = os.stat(f"{world.path}.1").st_mtime_ns + 10 * 10**9
    found = by_hand.with_files(
        world, world.path, lambda files: steps.begin(files, 60, now_ns, frozenset())
    )
    assert found.job is None
    assert found.wait is not None
    assert 49 < found.wait <= 50


def test_a_file_that_is_none_of_ours_is_left_alone(world: World) -> None:
    """Neither is it read, nor does it move, nor is it replaced."""
    foreign = Path(f"{world.path}.1.zst")
    foreign.write_bytes(b"somebody's")
    job = by_hand.begin(world)
    assert job is not None
    with pytest.raises(FileExistsError):
        by_hand.name(world, job)
    job.close()
    more(world, 4000, 5024)
    os.unlink(f"{world.path}.1")
    assert world.read().data == lines(3072, 5024)
    assert foreign.read_bytes() == b"somebody's"


def test_a_link_is_no_packed_file(world: World) -> None:
    assert by_hand.pack_one(world)
    packed = Path(f"{world.path}.1.zst")
    packed.rename(world.directory / "elsewhere")
    packed.symlink_to(world.directory / "elsewhere")
    assert content_of(f"{world.path}.1")
    assert world.read().data == ALL[2 * SIZE :]


def test_names_move_without_a_descriptor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a packed file says is known, as it was seen before."""
    by_hand.pack_all(world)

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(standing, "open_packed", none_left)
        more(world, 4000, 5024)
    assert names(world) == {"", ".0", ".1", ".2.zst"}
    assert world.read().data == lines(1024, 5024)


def test_where_it_must_be_opened_and_cannot_nothing_moves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand.pack_all(world)

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(standing, "_seen", {})
        patched.setattr(standing, "open_packed", none_left)
        more(world, 4000, 5024)
        assert {".1.zst", ".2.zst"} <= names(world)
    world.clock.advance(1)
    world.reactor.run()
    assert world.read().data == lines(1024, 5024)


def test_a_log_that_is_not_open(world: World) -> None:
    world._guests[0].end()
    world.reactor.run()
    assert not world.is_open()
    before = descriptors()
    assert by_hand.pack_all(world) == 2
    assert world.read().data == ALL
    assert descriptors() == before
    world.append(lines(4000, 5024))
    assert world.read().data == lines(1024, 5024)
    assert by_hand.pack_all(world) == 1


def test_all_files_are_removed_with_the_log(world: World) -> None:
    by_hand.pack_one(world)
    by_hand.pack_one(world, last=2)
    assert names(world) == {"", ".0", ".1.zst", ".2", ".2.zst"}
    world._guests[0].end()
    world.reactor.run()
    assert world.handler.remove(world.path).files == 5
    assert names(world) == set()


def test_a_truncating_open_removes_packed_files(world: World) -> None:
    by_hand.pack_all(world)
    world._guests[0].end()
    world.reactor.run()
    world.open(truncate=True)
    assert names(world) == {""}
    storage = world.handler.ledger(world.path).storage
    assert storage.removed.truncate == storage.found == len(ALL)


def test_files_without_a_name_are_not_there_everywhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(type(BY_PATH), "make_unnamed", refuse)
    with pytest.raises(OSError, match="not supported"):
        by_hand.begin(world)
    assert world.read().data == ALL


def test_a_broken_packed_file_is_reported(world: World) -> None:
    by_hand.pack_all(world)
    packed = f"{world.path}.2.zst"
    size = os.path.getsize(packed)
    with open(packed, "r+b") as file:
        file.seek(size // 2)
        byte = file.read(1)
        file.seek(size // 2)
        file.write(bytes([byte[0] ^ 255]))
    with pytest.raises(Exception, match=r"guest\.log\.2\.zst") as caught:
        world.read()
    assert getattr(caught.value, "errno", None) == errno.EIO


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_what_a_roll_over_leaves_in_the_middle(
    world: World, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """A packed file that does not count yet does not come to count when the backup moves."""
    by_hand.pack_one(world, last=2)
    left = renames

    def rename(source: str, target: str) -> None:
        nonlocal left
        if not left:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        left -= 1
        os.rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(type(BY_PATH), "rename", staticmethod(rename))
        more(world, 4000, 5024)
        assert world.status().state.value == "failing"
        # (the oldest one goes first)
        whole = world.read().data
        assert whole == ALL[SIZE:] + lines(4000, 4096)
        assert world.whole() == whole
    world.clock.advance(1)
    world.reactor.run()
    assert world.read().data == lines(1024, 5024)
    assert world.handler.ledger(world.path).storage.outside == Outside()
