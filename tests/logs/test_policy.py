"""Logs that are kept by policies of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, KIB, Guest, World, log_settings
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import Policies, Policy, Words, one_for_all
from twisted_virtlog.syscalls import pipe_capacity
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


def test_a_closed_log_is_read_as_it_was_opened(make_world: MakeWorld, tmp_path: Path) -> None:
    """Else its backups would not be found; and whoever appends names the guest as he likes."""
    world = make_world()
    world.handler.reload(LogSettings(by_driver), 64 * KIB)
    path = str(tmp_path / "a.log")
    guest = opened(world, path, "lxc")
    guest.write(b"a line\n" * 2)
    guest.end()
    world.reactor.run()
    world.handler.append(path, b"other\n", "none", None)
    assert world.files(path) == {".0": b"a line\noth", "": b"er\n"}
    assert world.read(path=path).data == b"a line\nother\n"


def test_a_pipe_has_the_size_of_its_policy(make_world: MakeWorld, tmp_path: Path) -> None:
    """And those of other logs the one of all."""
    world = make_world(pipe_size=64 * KIB)

    def small(path: str, driver: str | None, domain: Domain | None) -> Policy:
        return Policy(Limits(0, 0), pipe_size=8 * KIB if driver == "lxc" else None)

    world.handler.reload(LogSettings(small), 64 * KIB)
    guests = [opened(world, str(tmp_path / driver), driver) for driver in ("lxc", "qemu")]
    assert [pipe_capacity(guest.write_end) for guest in guests] == [8 * KIB, 64 * KIB]
    for guest in guests:
        guest.end()


@dataclass(frozen=True)
class ByDriver:
    """A rule for the logs of one driver, or of all."""

    driver: str | None
    words: Sequence[tuple[str, int | str]]

    def matches(self, path: str, driver: str | None, domain: Domain | None) -> bool:
        """See Rule."""
        return self.driver in (None, driver)


def sizes(words: Words) -> Policy:
    """Make a policy of two words."""
    return Policy(Limits(int(words.get("max_size", 7)), int(words.get("max_backups", 7))))


def test_the_first_rule_that_has_a_word_decides_it() -> None:
    """Each word by itself; where no rule has one, the key does."""
    rules = [
        ByDriver("lxc", [("max_size", 1)]),
        ByDriver("qemu", [("max_size", 2), ("max_backups", 2)]),
        ByDriver(None, [("max_size", 3), ("max_backups", 3)]),
    ]
    policies = Policies(rules, sizes)
    assert policies("/a", "lxc", None).limits == Limits(1, 3)
    assert policies("/a", "qemu", None).limits == Limits(2, 2)
    assert policies("/a", None, DOMAIN).limits == Limits(3, 3)
    assert policies.origins("/a", "lxc", None) == {"max_size": 0, "max_backups": 2}
    few = Policies(rules[:1], sizes)
    assert few("/a", "qemu", None).limits == Limits(7, 7)
    assert few.origins("/a", "qemu", None) == {}


def test_equal_policies_are_one_object() -> None:
    """Whichever rules they are from."""
    rules = [ByDriver("lxc", [("max_size", 1)]), ByDriver("qemu", [("max_size", 1)])]
    policies = Policies([*rules, ByDriver("xen", [("max_size", 7)])], sizes)
    assert policies("/a", "lxc", None) is policies("/b", "qemu", DOMAIN)
    assert policies("/a", "xen", None) is policies("/a", None, None)
