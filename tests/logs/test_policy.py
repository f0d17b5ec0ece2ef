"""Logs that are kept by policies of their own."""

from __future__ import annotations

from pathlib import Path

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, KIB, Guest, World, log_settings
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import Policy, one_for_all
from twisted_virtlog.values import Domain

SHORT, LONG = Policy(Limits(10, 1)), Policy(Limits(1000, 3))


def by_driver(file: str, driver: str | None, domain: Domain | None) -> Policy:
    """Keep little of what one driver's guests write; where nobody knows the driver, more."""
    return SHORT if driver == "lxc" else LONG


def opened(world: World, path: str, driver: str) -> Guest:
    """Open a log."""
    return Guest(world.handler.open(path, driver, DOMAIN, False))


def test_each_log_has_that_of_its_own(make_world: MakeWorld, tmp_path: Path) -> None:
    """It is asked for when a log is opened, and when one is appended to that is not."""
    world = make_world()
    world.handler.reload(LogSettings(by_driver), 64 * KIB)
    short, long = str(tmp_path / "short.log"), str(tmp_path / "long.log")
    guests = [opened(world, short, "lxc"), opened(world, long, "qemu")]
    for guest in guests:
        guest.write(b"a line\n" * 4)
    world.reactor.run()
    assert world.files(short) == {".0": b"a line\n", "": b"a line\n"}
    assert world.files(long) == {"": b"a line\n" * 4}
    for guest in guests:
        guest.end()
    world.reactor.run()
    world.handler.append(short, b"more\n", "lxc", None)
    assert world.files(short) == {".0": b"a line\nmor", "": b"e\n"}
    assert world.read(path=short).data == b"a line\nmore\n"


def test_another_configuration_holds_for_open_logs(make_world: MakeWorld, tmp_path: Path) -> None:
    """All of them are asked for again."""
    world = make_world()
    path = str(tmp_path / "a.log")
    guest = opened(world, path, "lxc")
    guest.write(b"a line\n" * 4)
    world.reactor.run()
    world.handler.reload(LogSettings(by_driver), 64 * KIB)
    guest.write(b"another\n" * 2)
    world.reactor.run()
    assert world.files(path) == {".0": b"another\n", "": b"another\n"}
    guest.end()


def test_who_follows_a_guest_brings_a_policy(make_world: MakeWorld, tmp_path: Path) -> None:
    """As another driver's may be another."""
    world = make_world()
    world.handler.reload(LogSettings(by_driver), 64 * KIB)
    path = str(tmp_path / "a.log")
    first = opened(world, path, "qemu")
    first.end()
    second = opened(world, path, "lxc")
    second.write(b"a line\n" * 4)
    world.reactor.run()
    assert world.files(path) == {".0": b"a line\n", "": b"a line\n"}
    second.end()


def test_one_object_is_enough_for_all(make_world: MakeWorld) -> None:
    """Whatever the log is."""
    world = make_world()
    world.handler.reload(log_settings(10, 1), 64 * KIB)
    policy_of = one_for_all(SHORT)
    assert policy_of("/a.log", "qemu", DOMAIN) is policy_of("/b.log", None, None) is SHORT
