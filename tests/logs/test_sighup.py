"""What another configuration changes for logs that are open: word by word, as the document says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, DRIVER, KIB, Guest, World, copied, of_the_direct_way
from tests.logs.packing import by_hand
from tests.logs.test_failing import files_end_at, pass_time
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.errors import LimitReached, NotAllowed
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.service import _log_settings
from twisted_virtlog.syscalls import pipe_capacity

LINE = b"a line\n"

#: At most so many turns until all that may be written is.
_TURNS = 8


class Room:
    """Logs whose configuration changes."""

    def __init__(self, world: World, by_policy: bool) -> None:
        """:param by_policy: whether an entry of ``policies`` says what changes, or the keys."""
        self.world = world
        self._by_policy = by_policy

    def configure(self, **words: int | str) -> None:
        """Let other words hold for the logs, as after SIGHUP."""
        values: dict[str, Any] = dict(words)
        # (for who is named in what holds a log)
        consumers = ("nats:root",)
        if self._by_policy:
            said = " ".join(f"{name}={value}" for name, value in words.items())
            entries = ("domain:nobody max_size=1 rate=1", f"domain:{DOMAIN.name} {said}")
            # (where no word is said the entry would be a mistake)
            values = {"policies": entries if words else entries[:1]}
        self.configure_host(**values, consumers=consumers)

    def configure_host(self, **values: Any) -> None:
        """Let other keys hold."""
        settings = Settings(**{"max_size": 0, "pipe_size": 64 * KIB, **values})
        self.world.handler.reload(_log_settings(settings), settings.pipe_size)

    def write(self, guest: Guest, data: bytes) -> None:
        """Let a guest write, and the daemon take what it takes."""
        guest.write(data)
        for _ in range(_TURNS):
            self.world.reactor.turn()

    def reopen(self, guest: Guest, truncate: bool = False) -> Guest:
        """Let another guest follow."""
        guest.end()
        self.world.reactor.run()
        return self.world.open(truncate=truncate)


@pytest.fixture(params=[False, True], ids=["key", "policy"])
def room(make_world: MakeWorld, request: pytest.FixtureRequest) -> Room:
    """Configure logs by keys, and by an entry for their guest."""
    return Room(make_world(), request.param)


def _max_size(room: Room) -> None:
    """The next byte heeds it; a file that is larger already ends before it."""
    room.configure(max_size=1000)
    guest = room.world.open()
    room.write(guest, LINE * 4)
    room.configure(max_size=14)
    assert room.world.files() == {"": LINE * 4}
    room.write(guest, LINE * 3)
    assert room.world.files() == {".1": LINE * 4, ".0": LINE * 2, "": LINE}
    room.configure(max_size=21)
    room.write(guest, LINE * 2)
    assert room.world.files() == {".1": LINE * 4, ".0": LINE * 2, "": LINE * 3}


def _max_backups(room: Room) -> None:
    """The next roll-over heeds it; backups that are too many stay, and are not read any more."""
    room.configure(max_size=7, max_backups=1)
    guest = room.world.open()
    room.write(guest, b"line 1\nline 2\nline 3\n")
    assert room.world.files() == {".0": b"line 2\n", "": b"line 3\n"}
    room.configure(max_size=7, max_backups=3)
    room.write(guest, b"line 4\nline 5\n")
    files = {".2": b"line 2\n", ".1": b"line 3\n", ".0": b"line 4\n", "": b"line 5\n"}
    assert room.world.files() == files
    room.configure(max_size=7, max_backups=1)
    assert room.world.files() == files
    assert room.world.read().data == b"line 4\nline 5\n"
    room.write(guest, b"line 6\n")
    assert room.world.files() == {**files, ".0": b"line 5\n", "": b"line 6\n"}


def _on_write_error(room: Room) -> None:
    """Also while the file cannot be written: from the next look on, of which there are many."""
    world = room.world
    room.configure(on_write_error="block")
    guest = world.open()
    with files_end_at(1000):
        room.write(guest, b"x" * 3000)
        while guest.write_without_blocking(b"y" * KIB):
            """Fill the pipe."""
        pass_time(world, 3.0)
        assert world.status().lost_bytes == 0
        room.configure(on_write_error="drop")
        pass_time(world, 0.1)
        lost = world.status().lost_bytes
        assert lost > 0
        room.configure(on_write_error="block")
        while guest.write_without_blocking(b"y" * KIB):
            """Fill it again."""
        pass_time(world, 3.0)
        assert world.status().lost_bytes == lost


def _keep_on_truncate(room: Room) -> None:
    """The next open that asks for an empty log."""
    room.configure()
    guest = room.world.open()
    room.write(guest, b"first\n")
    room.configure(keep_on_truncate=1)
    assert room.world.files() == {"": b"first\n"}
    room.write(room.reopen(guest, truncate=True), b"second\n")
    assert room.world.files() == {".0": b"first\n", "": b"second\n"}


def _pipe_size(room: Room) -> None:
    """The next open: a pipe that was given away keeps its size."""
    room.configure(pipe_size=8 * KIB)
    guest = room.world.open()
    room.configure(pipe_size=16 * KIB)
    assert pipe_capacity(guest.write_end) == 8 * KIB
    assert pipe_capacity(room.reopen(guest).write_end) == 16 * KIB


def _quota(room: Room) -> None:
    """As soon as it is looked at the files: growth is refused, or goes on with the next try."""
    world = room.world
    room.configure()
    guest = world.open()
    room.write(guest, b"x" * 32 * KIB)
    assert world.position().offset == 32 * KIB
    room.configure(quota=16 * KIB)
    room.write(guest, b"y" * 8 * KIB)
    assert "quota of 16384 bytes" in (world.status().error or "")
    assert world.text() == b"x" * 32 * KIB
    room.configure(quota=64 * KIB)
    pass_time(world, 1.05)
    assert world.text() == b"x" * 32 * KIB + b"y" * 8 * KIB


def _rate(room: Room) -> None:
    """The next bytes: a log that gets one begins with a burst, and one that has none goes on."""
    room.configure()
    guest = room.world.open()
    room.write(guest, LINE * 1000)
    assert room.world.text() == LINE * 1000
    room.configure(rate=700)
    room.write(guest, LINE * 150)
    assert room.world.text() == LINE * 1100
    assert room.world.status().lost_bytes == 50 * len(LINE)
    room.configure()
    room.write(guest, LINE * 1000)
    assert room.world.text().endswith(b" over its rate of 700 bytes a second]\n" + LINE * 1000)


def _burst(room: Room) -> None:
    """What a log may take after a silence; a smaller one holds at once."""
    room.configure(rate=700, on_rate="block")
    guest = room.world.open()
    room.configure(rate=700, burst=7000, on_rate="block")
    room.world.clock.advance(10.0)
    room.write(guest, LINE * 2000)
    assert room.world.text() == LINE * 1000
    room.world.position()
    room.world.clock.advance(100.0)
    room.configure(rate=700, burst=70, on_rate="block")
    room.write(guest, LINE * 100)
    assert room.world.text() == LINE * 2010


def _boot_burst(room: Room) -> None:
    """The next open."""
    room.configure(rate=700)
    guest = room.world.open()
    room.configure(rate=700, boot_burst=7000)
    room.write(guest, LINE * 150)
    assert room.world.text() == LINE * 100
    room.world.clock.advance(2.0)
    guest = room.reopen(guest)
    before = len(room.world.text())
    room.write(guest, LINE * 1500)
    assert room.world.text()[before:] == LINE * 1000


def _on_rate(room: Room) -> None:
    """Also for a log that drops or waits just then."""
    room.configure(rate=700, on_rate="block")
    guest = room.world.open()
    room.write(guest, LINE * 150)
    assert room.world.status().lost_bytes == 0
    room.configure(rate=700, on_rate="drop")
    pass_time(room.world, 0.1)
    room.write(guest, LINE)
    lost = room.world.status().lost_bytes
    assert lost > 0
    room.configure(rate=700, on_rate="block")
    room.write(guest, LINE * 500)
    assert room.world.status().lost_bytes == lost


def _host_max_use(room: Room) -> None:
    """As a quota."""
    world = room.world
    room.configure()
    guest = world.open()
    room.write(guest, b"x" * 32 * KIB)
    room.configure_host(host_max_use=16 * KIB)
    room.write(guest, b"y")
    assert "host_max_use" in (world.status().error or "")
    room.configure_host(host_max_use=64 * KIB)
    pass_time(world, 1.05)
    assert world.text() == b"x" * 32 * KIB + b"y"


def _host_keep_free(room: Room) -> None:
    """Before the log takes up more, and with the next try."""
    world = room.world
    room.configure()
    guest = world.open()
    room.write(guest, b"x" * 32 * KIB)
    room.configure_host(host_keep_free=1 << 62)
    room.write(guest, b"y" * 32 * KIB)
    assert "host_keep_free" in (world.status().error or "")
    room.configure_host()
    pass_time(world, 1.05)
    assert world.text() == b"x" * 32 * KIB + b"y" * 32 * KIB


def _hold(room: Room) -> None:
    """The next roll-over heeds it; what is held for nobody goes at once."""
    world, small = room.world, {"max_size": 7, "max_backups": 1}
    room.configure(**small)
    guest = world.open()
    room.write(guest, LINE * 3)
    room.configure(**small, hold="nats")
    room.write(guest, b"line 2\nline 3\n")
    assert world.read().data == LINE * 2 + b"line 2\nline 3\n"
    room.configure(**small)
    assert list(world.directory.glob(".*.held.*")) == []


def _compress(room: Room) -> None:
    """Backups that are there, too; what is compressed stays so."""
    world, large = room.world, {"max_size": 8 * KIB, "max_backups": 3}
    room.configure(**large)
    guest = world.open()
    room.write(guest, LINE * 5000)
    assert by_hand.pack_all(world) == 0
    room.configure(**large, compress="zstd")
    assert by_hand.pack_all(world) == 2
    room.configure(**large)
    assert by_hand.pack_all(world) == 0
    assert len(list(world.directory.glob("*.zst"))) == 2
    assert (LINE * 5000).endswith(world.read().data)


def _compress_from(room: Room) -> None:
    """The same."""
    world, large = room.world, {"max_size": 8 * KIB, "max_backups": 3, "compress": "zstd"}
    room.configure(**large, compress_from=2)
    guest = world.open()
    room.write(guest, LINE * 5000)
    assert by_hand.pack_all(world) == 1
    room.configure(**large, compress_from=0)
    assert by_hand.pack_all(world) == 2


def _consumers(room: Room) -> None:
    """The same, and who comes again goes on where it was."""
    world, names = room.world, ("nats:root",)
    small: dict[str, Any] = {"max_size": 7, "max_backups": 1}
    room.configure_host(**small, consumers=names)
    guest = world.open()
    world.handler.acknowledge(world.path, "nats", world.position(), datetime.now(timezone.utc))
    room.write(guest, LINE * 4)
    assert world.read().data == LINE * 4
    room.configure_host(**small)
    assert list(world.directory.glob(".*.held.*")) == []
    room.configure_host(**small, consumers=names)
    room.write(guest, LINE * 2)
    assert world.read().data == LINE * 4


def _hold_max(room: Room) -> None:
    """When the next file is held, the oldest go."""
    _held_within(room, "hold_max")


def _hold_max_log(room: Room) -> None:
    """Likewise."""
    _held_within(room, "hold_max_log")


def _held_within(room: Room, key: str) -> None:
    world = room.world
    same: dict[str, Any] = {"max_size": 7, "consumers": ("nats:root",), "hold": "nats"}
    room.configure_host(**same)
    guest = world.open()
    room.write(guest, LINE * 9)
    assert len(list(world.directory.glob(".*.held.*"))) == 5
    room.configure_host(**same, **{key: 2 * 4096})
    assert len(list(world.directory.glob(".*.held.*"))) == 5
    room.write(guest, LINE)
    assert len(list(world.directory.glob(".*.held.*"))) == 2


def _log_roots(room: Room) -> None:
    """The next opening: what is open goes on, and is rolled over, wherever it is."""
    world = room.world
    room.configure()
    guest = world.open()
    room.configure_host(log_roots=("/nowhere",), max_size=7)
    room.write(guest, LINE * 2)
    assert world.files() == {".0": LINE, "": LINE}
    with pytest.raises(NotAllowed):
        room.reopen(guest)


def _max_open_logs(room: Room) -> None:
    """The next opening, and no log is closed."""
    world = room.world
    room.configure()
    guest = world.open()
    world.open(str(world.directory / "second.log"))
    room.configure_host(max_open_logs=1)
    room.write(guest, LINE)
    assert world.text() == LINE
    with pytest.raises(LimitReached):
        room.reopen(guest)


#: By the words of policies.
SCENARIOS: dict[str, Callable[[Room], None]] = {
    "max_size": _max_size,
    "max_backups": _max_backups,
    "pipe_size": _pipe_size,
    "on_write_error": _on_write_error,
    "keep_on_truncate": _keep_on_truncate,
    "quota": _quota,
    "rate": _rate,
    "burst": _burst,
    "boot_burst": _boot_burst,
    "on_rate": _on_rate,
    "hold": _hold,
    "compress": _compress,
    "compress_from": _compress_from,
}


@of_the_direct_way
@pytest.mark.parametrize("word", SCENARIOS)
def test_a_change_holds_for_an_open_log_from_when_the_document_says(word: str, room: Room) -> None:
    """Whether the key says so or an entry of policies."""
    SCENARIOS[word](room)


def test_the_next_image_keeps_a_log_as_its_configuration_says(make_world: MakeWorld) -> None:
    """By its guest and driver, which are handed over."""
    room = Room(make_world(), by_policy=True)
    room.configure(max_size=1000)
    guest = room.world.open()
    room.write(guest, LINE)
    successor = Room(make_world(), by_policy=True)
    successor.configure(max_size=7, max_backups=1)
    for state in room.world.handler.suspended():
        successor.world.handler.adopt(copied(state))
    successor.write(guest, LINE * 3)
    assert successor.world.files() == {".0": LINE, "": LINE}


@pytest.mark.parametrize("steps", [0, 9, 18, 27])
def test_a_guest_that_follows_has_what_holds_then(
    room: Room, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the configuration changes while what its former pipe has is written, in slices."""
    world = room.world
    room.configure(max_size=1)
    former = world.open()
    former.write(LINE)
    monkeypatch.setattr(Writer, "seconds", itertools.count().__next__)
    world.slices.later = True
    later = world.handler.open(world.path, DRIVER, DOMAIN, False)
    assert isinstance(later, Deferred)
    # (what was there before is written first, and what came since is its former guest's)
    former.write(LINE)
    for _ in range(steps):
        assert world.slices.take()
    room.configure(max_size=1000)
    assert world.slices.take_all()
    guest = Guest(world.reactor.result(later))
    room.write(guest, LINE * 2)
    world.slices.take_all()
    assert world.text().endswith(LINE * 2)
    guest.end()
    former.end()


#: By the keys that are no words, and bear on open logs.
KEY_SCENARIOS: dict[str, Callable[[Room], None]] = {
    "host_max_use": _host_max_use,
    "host_keep_free": _host_keep_free,
    "log_roots": _log_roots,
    "consumers": _consumers,
    "hold_max": _hold_max,
    "hold_max_log": _hold_max_log,
    "max_open_logs": _max_open_logs,
}


@of_the_direct_way
@pytest.mark.parametrize("key", KEY_SCENARIOS)
def test_a_change_of_another_key_holds_from_when_the_document_says(
    key: str, make_world: MakeWorld
) -> None:
    """Those of the threads of file systems are tried with threads."""
    KEY_SCENARIOS[key](Room(make_world(), by_policy=False))
