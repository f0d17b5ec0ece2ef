"""Logs below roots that lie on file systems with threads of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure

from tests.logs.fakes import DOMAIN, DRIVER, KIB
from tests.logs.lanes.test_all_logs import TIMEOUT, World
from twisted_virtlog.errors import LeadsOut, NoAnswer, NotAllowed
from twisted_virtlog.logs.all_logs import LaneSettings
from twisted_virtlog.logs.files.places import Place
from twisted_virtlog.logs.files.roots import Roots

MakeConfined = Callable[..., World]


@pytest.fixture(params=["always", "never"])
def make_confined(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeConfined]:
    """Make all logs, which have lanes or none, and confine them to directories."""
    worlds = []

    def make(*roots: Path) -> World:
        world = World(tmp_path, request.param)
        worlds.append(world)
        settings = replace(world.settings, roots=Roots([str(root) for root in roots]))
        world.logs.reload(settings, 64 * KIB, LaneSettings(request.param, TIMEOUT))
        world.settings = settings
        return world

    yield make
    for world in worlds:
        world.end()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root, beside which lies what is secret."""
    root = tmp_path / "root"
    (root / "tenant").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "guest.log").write_bytes(b"secret")
    return root


def refused(world: World, call: Callable[[], object]) -> BaseException:
    """Expect that something is refused, now or later."""
    result = world.reactor.result(maybeDeferred(call))
    assert isinstance(result, Failure)
    assert isinstance(result.value, (NotAllowed, LeadsOut))
    return result.value


def calls(world: World, path: str) -> list[Callable[[], object]]:
    """Return all that looks at the files of a log that is not open, or makes them."""
    logs = world.logs
    return [
        lambda: logs.open(path, DRIVER, DOMAIN, False),
        lambda: logs.open(path, DRIVER, DOMAIN, True),
        lambda: logs.append(path, b"more", DRIVER, DOMAIN),
        lambda: logs.read(path, None, 100),
        lambda: logs.kept_files(path),
        lambda: logs.files(path, None),
    ]


def test_what_is_outside_is_refused_by_whoever_is_asked(
    make_confined: MakeConfined, root: Path, tmp_path: Path
) -> None:
    """Nothing of it is touched."""
    world = make_confined(root)
    for call in calls(world, str(tmp_path / "outside" / "guest.log")):
        refused(world, call)
    assert not world.result(world.logs.is_known(str(tmp_path / "outside" / "guest.log")))
    assert os.listdir(tmp_path / "outside") == ["guest.log"]


@pytest.mark.parametrize("target", ["outside", "root/other"])
@pytest.mark.parametrize("link", ["root/tenant", "root/tenant/guest.log"])
def test_no_link_below_a_root_is_followed(
    make_confined: MakeConfined, root: Path, tmp_path: Path, link: str, target: str
) -> None:
    """Also where the path is resolved first, to find out in which thread its log is."""
    world = make_confined(root)
    (root / "other").mkdir()
    (root / "other" / "guest.log").write_bytes(b"another's")
    place = tmp_path / link
    if place.is_dir():
        place.rmdir()
        place.symlink_to(tmp_path / target)
    else:
        place.symlink_to(tmp_path / target / "guest.log")
    for call in calls(world, str(root / "tenant" / "guest.log")):
        refused(world, call)
    assert (tmp_path / target / "guest.log").read_bytes() in {b"another's", b"secret"}
    assert os.listdir(tmp_path / target) == ["guest.log"]


def test_a_root_may_be_a_link_itself(
    make_confined: MakeConfined, root: Path, tmp_path: Path
) -> None:
    """Its logs are the same, whichever of its names their paths begin with."""
    link = tmp_path / "link"
    link.symlink_to(root)
    world = make_confined(link)
    by_link, by_target = str(link / "tenant" / "guest.log"), str(root / "tenant" / "guest.log")
    world.turn_until(lambda: world.settings.roots.real_path(by_target))
    end = world.open(by_link)
    os.write(end, b"a line\n")
    assert world.position(by_target) == world.position(by_link)
    assert world.result(world.logs.read(by_target, None, 100)).data == b"a line\n"
    assert world.result(world.logs.real_path(by_link)) == by_target
    assert world.result(world.logs.is_known(by_target))
    assert world.result(world.logs.is_known(by_link))


def test_old_logs_are_looked_for_below_roots(
    make_confined: MakeConfined, root: Path, tmp_path: Path
) -> None:
    """And in them."""
    world = make_confined(root)
    where = world.logs.places(lambda path: False)
    for path in (root, root / "tenant"):
        place: Place = world.result(where(str(path)))
        assert place.path == str(path)
    for path in (tmp_path, tmp_path / "outside"):
        refused(world, lambda path=path: where(str(path)))


def test_what_is_outside_is_refused_while_no_lane_answers(root: Path) -> None:
    """Nobody waits for a file system to hear that."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as outside:
        world = World(root, "always")
        try:
            world.open()
            settings = replace(world.settings, roots=Roots([str(root)]))
            world.hang()
            world.logs.reload(settings, 64 * KIB, LaneSettings("always", TIMEOUT))
            world.fall_silent()
            refused(world, lambda: world.logs.open(f"{outside}/a.log", DRIVER, DOMAIN, False))
            asked = world.logs.open(str(root / "b.log"), DRIVER, DOMAIN, False)
            assert isinstance(world.error(asked), NoAnswer)
        finally:
            world.end()
