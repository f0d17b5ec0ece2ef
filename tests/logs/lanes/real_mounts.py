"""What real mounts do to the table and to resolving; run by test_real_mounts.py, which says where.

Arguments: the name of a scenario, and an empty directory. It takes root and a mount namespace of
its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import succeed
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import capturedLogs, formatEvent

from harness.hung_mount import HungMount, hung_mount
from harness.mounting import mount, unmount
from harness.pass_mount import pass_mount
from tests.effort import examples
from tests.fakes.reactor import FakeReactor
from tests.logs.fakes import DOMAIN, DRIVER, descriptors
from tests.logs.lanes.test_all_logs import World
from twisted_virtlog.errors import NoAnswer, NotWritten
from twisted_virtlog.logs.files.cleaner import FIRST_SECONDS, Cleaner
from twisted_virtlog.logs.files.cleaning import Rules
from twisted_virtlog.logs.lanes import confined, resolving
from twisted_virtlog.logs.lanes.mounts import AUTOFS, UNKNOWN, Mount, Mounts
from twisted_virtlog.logs.lanes.resolving import Resolving, Table
from twisted_virtlog.logs.lanes.table import MountTable
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.syscalls import mount_number

_MS_BIND = 0x1000

#: A thread that is to end now.
_SECONDS = 60

#: So often several threads ask at once.
_ROUNDS = 300


def everywhere(mount: Mount) -> bool:
    """Touch any mount."""
    return True


def but(kind: str) -> Callable[[Mount], bool]:
    """Touch no mount of a type."""
    return lambda mount: mount.kind != kind


def only(kind: str) -> Callable[[Mount], bool]:
    """Touch mounts of a type alone."""
    return lambda mount: mount.kind == kind


def tmpfs(target: Path) -> None:
    """Mount an empty file system."""
    mount("tmpfs", target, "tmpfs")


def bind(source: Path, target: Path) -> None:
    """Have a directory, or a file, at a second place."""
    mount(str(source), target, "none", _MS_BIND)


@contextlib.contextmanager
def one_by_one() -> Iterator[None]:
    """Have no openat2(2)."""
    with patch.object(confined, "openat2", side_effect=OSError(errno.ENOSYS, "not there")):
        yield


def both_ways(check: Callable[[], None]) -> None:
    """Check something with openat2(2) and without."""
    check()
    with one_by_one():
        check()


def resolve(
    path: Path | str, table: Table, may_touch: Callable[[Mount], bool] = everywhere
) -> tuple[str, Mount]:
    """Resolve a path."""
    one = Resolving(str(path), table)
    refused = one.advance(may_touch)
    assert refused is None, refused
    return one.real, one.mount


def refused(path: Path | str, table: Table, may_touch: Callable[[Mount], bool]) -> str:
    """Return where the mount is that a path leads to and that is not to be touched."""
    found = Resolving(str(path), table).advance(may_touch)
    assert found is not None
    return found.point


# The table.


def notice(directory: Path) -> None:
    """A change is told once, in the reactor, and known to whoever asks before."""
    reactor = EPollReactor()
    table = MountTable(reactor)
    told: list[int] = []
    table.observe(lambda: told.append(len(table.now().all)))
    reactor.doIteration(0)
    assert told == []
    before = len(table.now().all)
    for number in range(1, 4):
        tmpfs(directory)
        # (whether it is asked for first or not)
        if number != 2:
            mounted = table.now().of(str(directory))
            assert mounted is not None
            assert mounted.kind == "tmpfs"
        reactor.doIteration(_SECONDS)
        assert told == [before + one for one in range(1, number + 1)]
        reactor.doIteration(0)
        assert len(told) == number
    mounts = table.now()
    (directory / "a/x").mkdir(parents=True)
    tmpfs(directory / "a/x")
    reactor.doIteration(_SECONDS)
    (directory / "a").rename(directory / "b")
    assert table.now().of(f"{directory}/a/x").kind == "tmpfs"  # type: ignore[union-attr]
    assert table.afresh() is not mounts
    reactor.removeReader(table)
    table.close()


def threads(directory: Path) -> None:
    """Whoever asks after a mount was made knows it, in whatever thread, though others ask too."""
    table = MountTable(FakeReactor())
    count = 4
    begin, end = threading.Barrier(count + 1), threading.Barrier(count + 1)
    expected, wrong = ["tmpfs"], list[str]()

    def ask() -> None:
        for _ in range(_ROUNDS):
            begin.wait(_SECONDS)
            mount = table.now().of(str(directory))
            if mount is None or mount.kind != expected[0]:
                wrong.append(str(mount))
            end.wait(_SECONDS)

    all_of_them = [threading.Thread(target=ask, daemon=True) for _ in range(count)]
    for one in all_of_them:
        one.start()
    for number in range(_ROUNDS):
        expected[0] = ("tmpfs", "ramfs")[number % 2]
        mount("", directory, expected[0])
        begin.wait(_SECONDS)
        end.wait(_SECONDS)
        unmount(directory)
    assert wrong == []
    table.close()


# Resolving.


def hung(directory: Path) -> None:
    """Nothing of a mount that does not answer is touched but by who may."""
    table = MountTable(FakeReactor())
    for name in ("hung", "other", "over", "inner"):
        (directory / name).mkdir()
    (directory / "over/x").touch()
    with hung_mount(directory / "hung", "fuse.sshfs") as it:
        (directory / "link").symlink_to("hung/logs")
        (directory / "far").symlink_to(f"{directory}/link/../../over/x")
        both_ways(lambda: _refuses(directory, table, it))
        bind(directory / "hung", directory / "other")
        second = table.now().of(f"{directory}/other/x")
        assert second is not None
        assert (second.point, second.device) == (f"{directory}/other", it.device)
        both_ways(lambda: _refuses_at(directory / "other/x", directory / "other", table))
        tmpfs(directory / "inner")
        (directory / "inner/y").symlink_to("../hung/../over")
        both_ways(lambda: _refuses_nothing(directory / "inner/y/x", directory / "over/x", table))
        _stale(directory, it)
        _reused(directory, it)
        # A directory in which a resolving is already.
        begun = Resolving(f"{directory}/over/../hung/x", table)
        assert begun.advance(but("fuse.sshfs")) is not None
        unmount(directory / "hung")
        assert begun.advance(but("fuse.sshfs")) is None
        assert begun.mount.point != f"{directory}/hung"
        assert not it.is_touched()
        bind(directory / "other", directory / "hung")
        # One over it hides it, and it is below.
        tmpfs(directory / "hung")
        both_ways(lambda: _is_on_tmpfs(directory / "hung/logs/x", table))
        unmount(directory / "hung")
        _enters(directory, table, it)
    table.close()


def _refuses(directory: Path, table: Table, it: HungMount) -> None:
    for path in ("hung/x", "hung/x/../../over", "link", "far", "over/../hung/logs/x"):
        _refuses_at(directory / path, directory / "hung", table)
    mount = resolve(directory / "hung", table, but("fuse.sshfs"))[1]
    assert (mount.point, mount.device) == (str(it.path), it.device)
    _refuses_nothing(directory / "hung/../over/x", directory / "over/x", table)
    # Not even where the table is not known to have changed: by the kernel's word.
    assert not it.is_touched()


def _refuses_at(path: Path, point: Path, table: Table) -> None:
    assert refused(path, table, but("fuse.sshfs")) == str(point)


def _refuses_nothing(path: Path, real: Path, table: Table) -> None:
    assert resolve(path, table, but("fuse.sshfs"))[0] == str(real)


def _is_on_tmpfs(path: Path, table: Table) -> None:
    real, mount = resolve(path, table, but("fuse.sshfs"))
    assert (real, mount.kind) == (str(path), "tmpfs")


class _Late:
    """A table that has not noticed yet what came a moment ago, until it looks again."""

    def __init__(self, mounts: Mounts, table: MountTable) -> None:
        self._mounts = mounts
        self._table = table

    def now(self) -> Mounts:
        return self._mounts

    def afresh(self) -> Mounts:
        self._mounts = self._table.now()
        return self._mounts


def _stale(directory: Path, it: HungMount) -> None:
    """A mount that has come since the table was read is not touched either."""
    table = MountTable(FakeReactor())
    before = table.now()
    bind(it.path, directory / "over")
    for path in ("over/x", "over/x/y/../z", "inner/y/x"):
        _refuses_at(directory / path, directory / "over", _Late(before, table))
    # One that has gone is looked for in vain; the table is read again then.
    with_it = table.now()
    unmount(directory / "over")
    real, mount = resolve(directory / "over/x", _Late(with_it, table))
    assert (real, mount) == (f"{directory}/over/x", table.now().of(str(directory)))
    tmpfs(directory / "over")
    (directory / "over/l").symlink_to("../inner")
    real, mount = resolve(directory / "over/l/n", _Late(with_it, table))
    assert (real, mount.kind) == (f"{directory}/inner/n", "tmpfs")
    unmount(directory / "over")
    # One that has come on the way to another.
    point = directory / "over/deep/there"
    point.mkdir(parents=True)
    tmpfs(point)
    begun = Resolving(f"{point}/x", _Late(table.now(), table))
    assert begun.advance(but("tmpfs")) is not None
    bind(it.path, directory / "over")
    found = begun.advance(but("fuse.sshfs"))
    assert found is not None
    assert found.point == f"{directory}/over"
    unmount(directory / "over")
    unmount(point)
    table.close()
    assert not it.is_touched()


class _LateOnce:
    """A table that changes just after it was asked for first."""

    def __init__(self, mounts: Mounts, table: MountTable) -> None:
        self._late: Mounts | None = mounts
        self._table = table

    def now(self) -> Mounts:
        late, self._late = self._late, None
        return late or self._table.now()

    def afresh(self) -> Mounts:
        return self._table.afresh()


def _reused(directory: Path, it: HungMount) -> None:
    """One that has come in place of another may have its number."""
    table = MountTable(FakeReactor())
    for _ in range(20):
        tmpfs(directory / "over")
        before = table.now()
        begun = Resolving(f"{directory}/over/x/y", _LateOnce(before, table))
        assert begun.advance(but("tmpfs")) is not None
        unmount(directory / "over")
        bind(it.path, directory / "over")
        numbers = {one.of(f"{directory}/over").number for one in (before, table.now())}  # type: ignore[union-attr]
        begun._table = _LateOnce(before, table)
        found = begun.advance(but("fuse.sshfs"))
        assert found is not None
        assert found.point == f"{directory}/over"
        unmount(directory / "over")
        if len(numbers) == 1:
            break
    table.close()
    assert not it.is_touched()


def _enters(directory: Path, table: Table, it: HungMount) -> None:
    """Who may touch it waits, so that the rest shows something."""
    found: list[tuple[str, Mount]] = []
    thread = threading.Thread(
        target=lambda: found.append(resolve(directory / "hung/x/y", table)), daemon=True
    )
    thread.start()
    assert it.is_touched(_SECONDS)
    assert found == []
    it.abort()
    thread.join(_SECONDS)
    ((real, mount),) = found
    assert (real, mount.device) == (f"{directory}/hung/x/y", it.device)


def storm(directory: Path) -> None:
    """While mounts come and go all the time, nothing of one that must not be touched is."""
    for path in ("a/b/c", "x/y", "plain", "hung"):
        (directory / path).mkdir(parents=True)
    (directory / "x/l").symlink_to("../a/b")
    (directory / "a/b/up").symlink_to("../../x")
    table = MountTable(FakeReactor())
    ended = threading.Event()

    def come_and_go(choice: random.Random) -> None:
        while not ended.is_set():
            point = directory / choice.choice(["a", "a/b", "x", "x/y", "a/b/c", "plain"])
            kind = choice.randrange(3)
            if kind == 0:
                bind(directory / "hung", point)
            elif kind == 1:
                tmpfs(point)
            else:
                bind(directory / choice.choice(["plain", "x", "a"]), point)
            ended.wait(choice.random() / 2000)
            unmount(point)

    paths = ["a/b/c/f", "x/l/c/f", "a/b/up/y/f", "x/l/up/l/up/l/c", "plain/f/../g", "x/y/../l/f"]
    refused = 0
    with hung_mount(directory / "hung", "fuse.sshfs") as it:
        thread = threading.Thread(target=come_and_go, args=(random.Random(1),))
        thread.start()
        before = descriptors()
        for number in range(examples(20_000)):
            one = Resolving(f"{directory}/{paths[number % len(paths)]}", table)
            refused += one.advance(but("fuse.sshfs")) is not None
            assert not it.is_touched()
        assert descriptors() == before
        ended.set()
        thread.join()
    assert refused
    table.close()


def lanes(directory: Path) -> None:
    """A path that leads from mount to mount goes on in the lane of each."""
    table = MountTable(FakeReactor())
    tmpfs(directory)
    (directory / "a/b").mkdir(parents=True)
    mount("ramfs", directory / "a/b", "ramfs")
    (directory / "a/b/deep/c").mkdir(parents=True)
    tmpfs(directory / "a/b/deep/c")
    (directory / "a/b/deep/c/up").symlink_to("../../../..")
    (directory / "file").touch()
    (directory / "a/b/bound").touch()
    bind(directory / "file", directory / "a/b/bound")

    def check() -> None:
        before = descriptors()
        one = Resolving(f"{directory}/a/b/deep/c/up/a/b/bound", table)
        visited = []
        next_mount = one.advance(lambda mount: False)
        while next_mount is not None:
            assert descriptors() == before
            visited.append(next_mount.point)
            own = next_mount
            with _Lane() as lane:
                next_mount = lane(lambda own=own: one.advance(lambda mount: mount == own))
        # (what leads up, and what is a mount itself, is not entered)
        points = [f"{directory}{point}" for point in ("", "/a/b", "/a/b/deep/c", "")]
        assert visited == ["/", *points]
        assert one.real == f"{directory}/a/b/bound"
        assert one.mount.point == one.real
        for path in ("a/b/deep/c", "a/b/bound"):
            _, above = resolve(directory / path, table)
            assert above.point == f"{directory}/{path}"
            last = Resolving(f"{directory}/{path}", table, follow_last=False)
            assert last.advance(everywhere) is None
            assert last.mount == above

    both_ways(check)
    table.close()


class _Lane:
    """A thread of its own for one call."""

    def __enter__(self) -> Callable[[Callable[[], Mount | None]], Mount | None]:
        return self._call

    def __exit__(self, *reason: object) -> None:
        pass

    def _call(self, call: Callable[[], Mount | None]) -> Mount | None:
        found: list[Mount | None] = []
        thread = threading.Thread(target=lambda: found.append(call()))
        thread.start()
        thread.join()
        return found[0]


def changing(directory: Path) -> None:
    """What was done is forgotten when something is mounted over it."""
    table = MountTable(FakeReactor())
    tmpfs(directory)
    (directory / "x/y").mkdir(parents=True)
    (directory / "other").mkdir()
    mount("ramfs", directory / "x/y", "ramfs")

    def check() -> None:
        one = Resolving(f"{directory}/x/y/z", table)
        assert one.advance(but("ramfs")) is not None
        tmpfs(directory / "x")
        (directory / "x/y").symlink_to("../other")
        assert one.advance(but("ramfs")) is None
        assert one.real == f"{directory}/other/z"
        unmount(directory / "x")

    both_ways(check)
    # (an absolute link leads from one mount to another)
    (directory / "x/y/other").symlink_to(directory / "other")
    both_ways(lambda: _is(directory / "x/y/other", directory / "other", directory, table))
    table.close()


def _is(path: Path, real: Path, point: Path, table: Table) -> None:
    found, mount = resolve(path, table)
    assert (found, mount.point) == (str(real), str(point))


def renamed(directory: Path) -> None:
    """The kernel tells nobody that a mount has another path since a directory was renamed."""
    tmpfs(directory)
    (directory / "a/m").mkdir(parents=True)
    mount("ramfs", directory / "a/m", "ramfs")
    table = MountTable(FakeReactor())
    (directory / "a").rename(directory / "b")
    (directory / "a/m").mkdir(parents=True)
    assert refused(directory / "b/m/x", table, only("tmpfs")) != f"{directory}/b/m"
    assert refused(directory / "b/m/x", table, but("ramfs")) == f"{directory}/b/m"
    table.close()
    (directory / "c").mkdir()
    (directory / "b").rename(directory / "c/b")
    table = MountTable(FakeReactor())
    (directory / "c/b").rename(directory / "d")
    (directory / "c/b/m").mkdir(parents=True)
    real, above = resolve(directory / "c/b/m/x", table)
    assert (real, above.kind) == (f"{directory}/c/b/m/x", "tmpfs")
    table.close()


def chroot(directory: Path) -> None:
    """A root directory that is no mount's own is on an unknown one."""
    tmpfs(directory)
    (directory / "root/inner/x").mkdir(parents=True)
    (directory / "root/proc").mkdir()
    mount("proc", directory / "root/proc", "proc")
    tmpfs(directory / "root/inner")
    (directory / "root/inner/up").symlink_to("/plain/../../link")
    (directory / "root/link").symlink_to("plain")
    (directory / "root/plain").mkdir()
    os.chroot(directory / "root")
    os.chdir("/")
    table = MountTable(FakeReactor())
    assert table.now().root is None

    def check() -> None:
        assert resolve("/inner/../inner/up/x", table) == ("/plain/x", UNKNOWN)
        assert resolve("inner/y", table)[1].kind == "tmpfs"
        assert refused("/inner/up", table, but("tmpfs")) == "/inner"
        assert Resolving("/inner/y", table).advance(lambda mount: mount is not UNKNOWN) is None
        assert Resolving("/plain/y", table).advance(lambda mount: False) is UNKNOWN

    both_ways(check)
    table.close()


def cleaning(directory: Path) -> None:
    """Old logs are removed beside a mount that does not answer; only its lane waits for it."""
    old = 1_000_000_000
    for name in ("a.log", "qemu/b.log", "hung/hidden.log", "other/c.log"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).touch()
        os.utime(directory / name, (old, old))
    now_ns = (old + 100 * 24 * 3600) * 10**9
    with hung_mount(directory / "hung", "fuse.sshfs") as it, capturedLogs() as logged:
        bind(it.path, directory / "other")
        world = World(directory, "auto")
        where = world.logs.places(lambda path: False)
        cleaner = Cleaner(
            world.clock,
            world.logs,
            where,
            lambda: succeed(()),
            at_once,
            lambda: now_ns,
            lambda: now_ns,
        )
        cleaner.set(Rules(str(directory), 30, 3))
        world.clock.advance(FIRST_SECONDS)
        assert it.is_touched(_SECONDS)
        world.fall_silent()
        world.turn_until(lambda: not (directory / "qemu/b.log").exists())
        cleaner.stop()
        it.abort()
        world.turn_until(lambda: not world.lane.lane.is_silent)
        unmount(directory / "other")
        world.end()
    said = [event for event in logged if event["log_namespace"].endswith((".Cleaner", ".Search"))]
    told = [formatEvent(event).replace(str(directory), "ROOT") for event in said]
    assert [line.partition(": ")[0] for line in told] == [
        "ROOT/hung",
        "removed ROOT/a.log",
        "removed ROOT/qemu/b.log",
        "old logs were removed, 2 files with 0 bytes in all",
    ], told
    left = [str(path.relative_to(directory)) for path in directory.rglob("*.log")]
    assert sorted(left) == ["hung/hidden.log", "other/c.log"]


def passing(directory: Path) -> None:
    """What is mounted below a file system with a lane is served in that lane.

    Whoever opens it passes that file system.
    """
    for name in ("shown", "point", "far"):
        (directory / name).mkdir()
    (directory / "shown/inner").mkdir()
    with pass_mount(directory / "shown", directory / "point") as fuse:
        inner = directory / "point/inner"
        tmpfs(inner)
        tmpfs(directory / "far")
        (directory / "far/link").symlink_to(inner)
        world = World(directory, "auto")
        path, link = str(inner / "guest.log"), str(directory / "far/link/guest.log")
        os.write(world.open(path), b"line\n")
        assert world.position(link).offset == 5
        assert world.status(path).thread == str(directory / "point")
        place = world.result(world.logs.places(lambda path: False)(str(directory / "far/link")))
        assert (place.path, place.keeps_reactor) == (str(inner), False)
        # (it stays there)
        world.clock.advance(60.0)
        world.turn_until(lambda: world.logs._rearranging is None)
        assert world.status(path).thread == str(directory / "point")
        with fuse.stopped():
            opened = world.logs.open(str(inner / "other.log"), DRIVER, DOMAIN, False)
            world.turn_until(lambda: world.lane.lane.busy_seconds() > 0)
            world.fall_silent()
            assert isinstance(world.error(opened), NoAnswer)
        world.turn_until(lambda: not world.lane.lane.is_silent)
        world.settle()
        world.end()
        unmount(inner)


def covered(directory: Path) -> None:
    """A log whose directory something is mounted over goes there, and nobody looks before.

    Whether it was written until then, or failed.
    """
    for name in ("shown", "point", "full"):
        (directory / name).mkdir()
    tmpfs(directory / "point")
    mount("full", directory / "full", "tmpfs", data="size=64k")
    _cover(directory, "point", failing=False)
    _cover(directory, "full", failing=True)


def _cover(directory: Path, name: str, failing: bool) -> None:
    world = World(directory, "auto")
    path = str(directory / name / "guest.log")
    end = world.open(path)
    if failing:
        with contextlib.suppress(OSError):
            (directory / name / "rest").write_bytes(b"x" * 65536)
    os.write(end, b"before\n")
    assert (_error_of(world, path) is not None) == failing
    with pass_mount(directory / "shown", directory / name) as fuse:
        with fuse.stopped():
            os.write(end, b"then\n")
            world.clock.advance(1.0)
            world.tick(lambda: world.logs._lanes and world.lane.lane.busy_seconds() > 0)
            world.fall_silent()
            assert _error_of(world, path) is not None
        world.turn_until(lambda: not world.lane.lane.is_silent)
        world.tick(lambda: _error_of(world, path) is None)
        assert world.status(path).thread == str(directory / name)
        os.write(end, b"more\n")
        world.position(path)
        text = (directory / "shown/guest.log").read_bytes()
        assert text.endswith(b"before\nthen\nmore\n" if failing else b"more\n"), text
        world.end()
    (directory / "shown/guest.log").unlink()


def _error_of(world: World, path: str) -> NotWritten | None:
    """Ask for a position; return what is wrong."""
    try:
        world.position(path)
    except NotWritten as error:
        return error
    return None


# Automatic mounts.

_AUTOFS_IOC_READY = 0x9360
_AUTOFS_IOC_FAIL = 0x9361
# struct autofs_v5_packet, without the name at its end.
_packet = struct.Struct("=iiIIQIIIII")
_PACKET_SIZE = 304

#: Directories that are there before they are entered.
_LISTED = ("listed", "other")


def automatic(directory: Path) -> None:
    """A directory that is mounted when it is entered is mounted by who may touch autofs alone."""
    (directory / "net").mkdir()
    read_end, write_end = os.pipe()
    ready, is_ready = os.pipe()
    server = os.fork()
    if not server:
        try:
            os.close(ready)
            _serve(directory / "net", read_end, write_end, is_ready)
        finally:
            os._exit(1)
    os.close(write_end)
    os.close(is_ready)
    try:
        assert os.read(ready, 1) == b"x"
        _mounts_automatically(directory / "net")
    finally:
        os.kill(server, 9)
        os.waitpid(server, 0)


def _mounts_automatically(net: Path) -> None:
    table = MountTable(FakeReactor())

    def check(name: str) -> None:
        path = f"{net}/{name}/logs/a.log"
        one = Resolving(path, table)
        automount = one.advance(but(AUTOFS))
        assert automount is not None
        assert (automount.kind, automount.point) == (AUTOFS, str(net))
        assert table.afresh().of(path) == automount
        mounted = one.advance(only(AUTOFS))
        assert mounted is not None
        assert (mounted.kind, mounted.point) == ("tmpfs", f"{net}/{name}")
        assert table.now().leading_to(mounted)[-2:] == (automount, mounted)
        assert one.advance(only("tmpfs")) is None
        assert (one.real, one.mount) == (path, mounted)
        # What there is no server for.
        real, mount = resolve(net / "none/x", table)
        assert (real, mount) == (f"{net}/none/x", automount)

    # (as other file systems do that mount something when a directory is entered)
    with patch.object(resolving, "AUTOFS", "none"):
        check("new")
        check(_LISTED[0])
    with one_by_one():
        check("newer")
        check(_LISTED[1])
    table.close()


def _serve(point: Path, read_end: int, write_end: int, is_ready: int) -> None:
    """Mount a tmpfs at each name that is asked for; it may do so, as a process group of its own."""
    os.setpgid(0, 0)
    data = f"fd={write_end},pgrp={os.getpgrp()},minproto=5,maxproto=5,indirect"
    mount("map", point, AUTOFS, data=data)
    root = os.open(point, os.O_RDONLY)
    for name in _LISTED:
        (point / name).mkdir()
    os.write(is_ready, b"x")
    while packet := os.read(read_end, _PACKET_SIZE):
        fields = _packet.unpack_from(packet)
        token, length = fields[2], fields[9]
        name = os.fsdecode(packet[_packet.size : _packet.size + length])
        if name == "none":
            fcntl.ioctl(root, _AUTOFS_IOC_FAIL, token)
            continue
        (point / name).mkdir(exist_ok=True)
        tmpfs(point / name)
        (point / name / "logs").mkdir()
        fcntl.ioctl(root, _AUTOFS_IOC_READY, token)


# Anything.

_names = st.sampled_from(["a", "b", "c", ".."])
_paths = st.lists(_names, min_size=1, max_size=5).map("/".join)
_things = st.lists(
    st.tuples(st.sampled_from(["directory", "link", "file", "tmpfs", "bind"]), _paths, _paths),
    max_size=14,
)


def anything(directory: Path) -> None:
    """Trees with links and mounts are resolved as by realpath, and to the kernel's mount."""
    table = MountTable(FakeReactor())
    counts = {"tmpfs": 0, "bind": 0, "on others": 0}

    @settings(
        max_examples=examples(150),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(_things, st.lists(_paths, min_size=1, max_size=8), st.randoms(use_true_random=False))
    def check(
        things: Sequence[tuple[str, str, str]], paths: Sequence[str], choice: random.Random
    ) -> None:
        root = Path(tempfile.mkdtemp(dir=directory))
        for path in ("a/b/c", "a/c", "b/a", "b/c/a", "c"):
            (root / path).mkdir(parents=True)
        made = list(_made(root, things, counts))
        try:
            before = descriptors()
            for path in paths:
                both_ways(lambda path=path: _check(f"{root}/{path}", root, table, choice, counts))
            assert descriptors() == before
        finally:
            for point in reversed(made):
                unmount(point)

    check()
    assert all(counts.values()), counts
    table.close()


def _made(
    root: Path, things: Sequence[tuple[str, str, str]], counts: dict[str, int]
) -> Iterator[Path]:
    """Make what there is room for; yield where something was mounted."""
    for kind, path, other in things:
        place = root / path
        if not os.path.realpath(place).startswith(f"{root}/"):
            continue
        try:
            if kind == "directory":
                place.mkdir()
            elif kind == "link":
                if place.is_dir():
                    place.rmdir()
                place.symlink_to(root / other[3:] if other.startswith("../") else other)
            elif kind == "file":
                place.touch(exist_ok=False)
            else:
                point = Path(os.path.realpath(place))
                tmpfs(point) if kind == "tmpfs" else bind(root / other, point)
                counts[kind] += 1
                yield point
        except OSError:
            continue


def _check(
    path: str, root: Path, table: MountTable, choice: random.Random, counts: dict[str, int]
) -> None:
    one = Resolving(path, table)
    if not _ends(one, choice):
        assert _fails(path)
        return
    assert one.real == os.path.realpath(path), path
    # Where it is, by the kernel's word; where nothing is, where it would be.
    place = one.real
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    file = os.open(place, os.O_PATH | os.O_NOFOLLOW)
    number = mount_number(file)
    os.close(file)
    assert one.mount.number == number, path
    counts["on others"] += one.mount.point.startswith(f"{root}/")


def _ends(one: Resolving, choice: random.Random) -> bool:
    """Go on now here and now there until it is done; return whether there are too many links."""
    try:
        while (refused := one.advance(lambda mount: choice.random() < 0.5)) is not None:
            if one.advance(lambda mount, own=refused: mount == own) is None:
                break
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False
    return True


def _fails(path: str) -> bool:
    try:
        os.path.realpath(path, strict=True)
    except OSError:
        return True
    return False


SCENARIOS = (
    notice,
    threads,
    hung,
    storm,
    lanes,
    changing,
    renamed,
    chroot,
    cleaning,
    passing,
    covered,
    automatic,
    anything,
)

if __name__ == "__main__":
    {one.__name__: one for one in SCENARIOS}[sys.argv[1]](Path(os.path.realpath(sys.argv[2])))
