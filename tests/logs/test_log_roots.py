"""Logs that may be below some directories only."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, World, copied, log_settings
from tests.logs.test_failing import not_written
from twisted_virtlog.errors import LeadsOut, NotAllowed, SystemFailure
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.logs.files.roots import Roots
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.values import LogState


class Tenancy:
    """Logs below a root, of which a tenant has a directory; and one outside.

    :ivar own: the tenant's directory.
    :ivar log: a log in it.
    """

    def __init__(self, world: World, base: Path, max_size: int, max_backups: int) -> None:
        self.world, self.max_size, self.max_backups = world, max_size, max_backups
        self.root, self.outside = base / "root", base / "outside"
        self.own = self.root / "tenant"
        self.own.mkdir(parents=True)
        self.outside.mkdir()
        self.secret = self.outside / "guest.log"
        self.secret.write_bytes(b"secret")
        self.log = str(self.own / "guest.log")

    def confine(self, *roots: Path) -> None:
        """Let logs be below some directories only, from now on."""
        settings = log_settings(self.max_size, self.max_backups)
        names = [str(root) for root in roots]
        self.world.handler.reload(replace(settings, roots=Roots(names)), 64 * KIB)

    def refused(self, call: Callable[[], object]) -> NotAllowed | LeadsOut:
        """Expect that something is refused, and nothing outside is touched."""
        before = self.secret.stat()
        with pytest.raises((NotAllowed, LeadsOut), match="log_roots") as caught:
            call()
        assert list(caught.value.roots) == [str(self.root)]
        assert os.listdir(self.outside) == ["guest.log"]
        after = self.secret.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert self.secret.read_bytes() == b"secret"
        return caught.value


MakeTenancy = Callable[..., Tenancy]


@pytest.fixture
def make_tenancy(make_world: MakeWorld, tmp_path: Path) -> MakeTenancy:
    """Make logs below a root."""

    def make(max_size: int = 0, max_backups: int = 2) -> Tenancy:
        world = make_world(max_size, max_backups)
        tenancy = Tenancy(world, tmp_path, max_size, max_backups)
        tenancy.confine(tenancy.root)
        return tenancy

    return make


@pytest.fixture
def tenancy(make_tenancy: MakeTenancy) -> Tenancy:
    """Make logs below a root, without rotation."""
    return make_tenancy()


def every_call(world: World, path: str) -> list[Callable[[], object]]:
    """Return all that looks at the files of a log that is not open, or makes them."""
    handler = world.handler
    return [
        lambda: world.open(path),
        lambda: world.open(path, truncate=True),
        lambda: world.append(b"more", path),
        lambda: world.read(path=path),
        lambda: handler.kept_files(path),
        lambda: handler.files(path, None),
    ]


@pytest.mark.parametrize("path", ["{0}/outside/guest.log", "{0}/root/../outside/guest.log"])
def test_what_is_outside_is_refused(tenancy: Tenancy, path: str) -> None:
    """By its path alone."""
    for call in every_call(tenancy.world, path.format(tenancy.root.parent)):
        tenancy.refused(call)
    tenancy.refused(lambda: tenancy.world.handler.remove(str(tenancy.secret)))
    assert not tenancy.world.handler.is_known(str(tenancy.secret))
    assert tenancy.world.logs() == []


@pytest.mark.parametrize("is_inside", [False, True])
@pytest.mark.parametrize("place", ["directory", "file"])
def test_no_link_below_a_root_is_followed(tenancy: Tenancy, is_inside: bool, place: str) -> None:
    """Nor one that stays below it; a truncating open does not remove it either."""
    other = tenancy.root / "other"
    other.mkdir()
    (other / "guest.log").write_bytes(b"another's")
    target = other if is_inside else tenancy.outside
    if place == "directory":
        tenancy.own.rmdir()
        tenancy.own.symlink_to(target)
    else:
        os.symlink(target / "guest.log", tenancy.log)
    for call in every_call(tenancy.world, tenancy.log):
        tenancy.refused(call)
    assert (other / "guest.log").read_bytes() == b"another's"
    assert os.listdir(other) == ["guest.log"]
    assert os.path.islink(tenancy.own if place == "directory" else tenancy.log)


def test_a_file_with_another_name_is_refused(tenancy: Tenancy) -> None:
    """It would be written to, or read, elsewhere."""
    os.link(tenancy.secret, tenancy.log)
    for call in every_call(tenancy.world, tenancy.log):
        assert "hard link" in str(tenancy.refused(call))
    os.unlink(tenancy.log)
    os.link(tenancy.secret, f"{tenancy.log}.0")
    tenancy.world.append(b"mine", tenancy.log)
    tenancy.refused(lambda: tenancy.world.read(path=tenancy.log))


def test_all_is_as_usual_below_a_root(make_tenancy: MakeTenancy) -> None:
    """Logs are opened, rotated, read, closed and removed."""
    tenancy = make_tenancy(20, 2)
    world, log = tenancy.world, tenancy.log
    guest = world.open(f"{tenancy.root}/./tenant/../tenant/guest.log")
    guest.write(b"a line\n" * 8)
    world.position(log)
    assert world.files(log) == {".1": b"a line\n" * 2, ".0": b"a line\n" * 2, "": b"a line\n" * 2}
    assert world.read(path=log).data == b"a line\n" * 6
    assert world.handler.is_known(log)
    assert world.handler.real_path(f"{tenancy.root}//tenant/guest.log") == log
    guest.end()
    world.reactor.run()
    assert world.append(b"more\n", log).offset == 19
    world.open(log, truncate=True)
    assert world.files(log) == {"": b""}


def test_a_log_that_is_outside_when_roots_are_set_goes_on(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    """Nothing of it is lost, and it is read, until its guest ends; then it is refused."""
    world = make_world(20, 2)
    tenancy = Tenancy(world, tmp_path, 20, 2)
    outside, inside = str(tenancy.outside / "old.log"), tenancy.log
    os.unlink(tenancy.secret)
    guest, other = world.open(outside), world.open(inside)
    tenancy.confine(tenancy.root)
    for one in (guest, other):
        one.write(b"a line\n" * 5)
    for path in (outside, inside):
        world.position(path)
        assert world.files(path) == {
            ".1": b"a line\n" * 2,
            ".0": b"a line\n" * 2,
            "": b"a line\n",
        }
        assert world.read(path=path).data == b"a line\n" * 5
    world.append(b"more\n", outside)
    assert not world.handler.is_known(outside)
    assert world.handler.is_known(inside)
    with pytest.raises(NotAllowed):
        world.open(outside)
    guest.end()
    world.reactor.run()
    for call in every_call(world, outside):
        with pytest.raises((NotAllowed, LeadsOut)):
            call()
    # Without roots all is as before.
    tenancy.confine()
    assert world.read(path=outside).data == b"a line\n" * 5 + b"more\n"
    other.write(b"a line\n" * 2)
    world.position(inside)


def test_a_directory_that_becomes_a_link_is_an_outage(make_tenancy: MakeTenancy) -> None:
    """At the next roll-over; when the directory is back, the log goes on, and nothing is lost."""
    tenancy = make_tenancy(20, 2)
    world, log, own = tenancy.world, tenancy.log, tenancy.own
    guest = world.open(log)
    guest.write(b"a line\n")
    world.position(log)
    moved = own.rename(tenancy.root / "moved")
    own.symlink_to(tenancy.outside)
    guest.write(b"a line\n" * 3)
    failure = not_written(lambda: world.position(log))
    assert failure.errno == errno.ELOOP
    assert "log_roots" in str(failure)
    assert world.status(log).state is LogState.FAILING
    assert tenancy.secret.read_bytes() == b"secret"
    assert os.listdir(tenancy.outside) == ["guest.log"]
    own.unlink()
    moved.rename(own)
    world.clock.pump([0.5] * 4)
    assert world.status(log).state is LogState.OPEN
    assert world.whole(log) == b"a line\n" * 4


def test_a_file_with_another_name_is_an_outage_later(
    make_tenancy: MakeTenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody puts it there in the middle of a roll-over."""
    tenancy = make_tenancy(20, 1)
    world, log = tenancy.world, tenancy.log
    guest = world.open(log)
    rename = os.rename

    def renamed_and_linked(source: str, target: str, **directories: int) -> None:
        rename(source, target, **directories)
        if target == "guest.log.0":
            os.link(tenancy.secret, log)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", renamed_and_linked)
        guest.write(b"a line\n" * 3)
        assert not_written(lambda: world.position(log)).errno == errno.EMLINK
    assert tenancy.secret.read_bytes() == b"secret"
    os.unlink(log)
    world.clock.pump([0.5] * 4)
    assert world.whole(log) == b"a line\n" * 3


def test_roll_overs_in_slices_notice_another_directory(
    make_tenancy: MakeTenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps of one, its directory is put away."""
    tenancy = make_tenancy(20, 2)
    log, own = tenancy.log, tenancy.own
    roots = Roots([str(tenancy.root)])
    writer = Writer(
        log,
        log_settings(20, 2).policy_of(log, None, None).limits,
        directory=roots.directory_of(log),
    )
    writer.append(b"1" * 20)
    times = iter(range(1000))
    monkeypatch.setattr(Writer, "seconds", lambda: float(next(times)))
    slices = writer.append_in_slices(b"2" * 20)
    next(slices)
    assert writer.steps_left
    own.rename(tenancy.root / "moved")
    own.mkdir()
    (own / "guest.log").write_bytes(b"there\n")
    (own / "guest.log.0").write_bytes(b"before\n")
    for _ in slices:
        pass
    writer.close()
    assert {one.name: one.read_bytes() for one in own.iterdir()} == {
        "guest.log": b"2" * 20,
        "guest.log.0": b"there\n",
        "guest.log.1": b"before\n",
    }


def gone_on(tenancy: Tenancy) -> OpenLogState:
    """Return the log as another image of the daemon gets it."""
    (state,) = tenancy.world.handler.suspended()
    return copied(state)


@pytest.mark.parametrize("call", ["adopt", "restore"])
@pytest.mark.parametrize("is_inside", [False, True])
def test_a_log_that_is_taken_over_goes_on(
    make_world: MakeWorld,
    tmp_path: Path,
    logged: Callable[[], str],
    call: str,
    is_inside: bool,
) -> None:
    """One that is outside by now too, with a warning, as its guest runs."""
    tenancy = Tenancy(make_world(20, 1), tmp_path, 20, 1)
    os.unlink(tenancy.secret)
    path = tenancy.log if is_inside else str(tenancy.secret)
    guest = tenancy.world.open(path)
    guest.write(b"a line\n" * 2)
    tenancy.world.position(path)
    state = gone_on(tenancy)
    tenancy.world = make_world(20, 1)
    tenancy.confine(tenancy.root)
    getattr(tenancy.world.handler, call)(state)
    guest.write(b"a line\n" * 2)
    tenancy.world.position(path)
    assert tenancy.world.whole(path) == b"a line\n" * 4
    assert ("is not below log_roots" in logged()) != is_inside
    if is_inside:
        tenancy.own.rename(tenancy.root / "moved")
        tenancy.own.symlink_to(tenancy.outside)
        guest.write(b"a line\n" * 3)
        with pytest.raises(SystemFailure, match="log_roots"):
            tenancy.world.position(path)
        assert os.listdir(tenancy.outside) == []
