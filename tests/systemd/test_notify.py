"""Messages to the service manager."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from twisted.internet.error import ConnectionLost
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from tests.systemd.fakes import Ear, Line, line
from twisted_virtlog.systemd.notify import Notifier, parse_address


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Line]:
    with line(tmp_path) as made:
        yield made


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What was logged of it."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace", "").endswith("notify.Notifier"):
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/run/systemd/notify", "/run/systemd/notify"),
        ("@abc", "\0abc"),
        *((other, None) for other in (None, "", "/", "@", "relative", "vsock:2:1234")),
    ],
)
def test_addresses_are_paths_or_abstract(address: str | None, expected: str | None) -> None:
    """As sd_notify(3) has them."""
    assert parse_address(address) == expected


def test_a_message_is_a_datagram_of_lines(wire: Line) -> None:
    """It arrives at once."""
    wire.notifier.send("READY=1", "STATUS=2 logs open")
    assert wire.ear.heard() == ["READY=1\nSTATUS=2 logs open"]
    assert not wire.reactor.writers


def test_an_abstract_address_is_reached() -> None:
    """As systemd has in containers of some kinds."""
    made = Line(f"\0twisted-virtlog-test-{os.getpid()}")
    made.notifier.send("READY=1")
    assert made.ear.heard() == ["READY=1"]
    made.notifier.close()
    made.ear.close()


def test_a_descriptor_arrives_and_stays_the_senders(wire: Line) -> None:
    """The manager gets one of its own."""
    read_end, write_end = os.pipe()
    wire.notifier.send("FDSTORE=1", "FDNAME=x", descriptor=read_end)
    assert wire.ear.heard() == ["FDSTORE=1\nFDNAME=x"]
    (arrived,) = wire.ear.descriptors
    assert inode(arrived) == inode(read_end)
    assert arrived != read_end
    os.close(read_end)
    os.close(write_end)


def test_what_the_manager_does_not_take_now_waits_in_order(wire: Line) -> None:
    """Nothing blocks and nothing is lost, whatever the sender closes meanwhile."""
    sent = wire.fill()
    ends = [os.pipe() for _ in range(3)]
    inodes = [inode(read_end) for read_end, _ in ends]
    for number, (read_end, write_end) in enumerate(ends):
        wire.notifier.send("FDSTORE=1", f"FDNAME={number}", descriptor=read_end)
        os.close(read_end)
        os.close(write_end)
    assert wire.notifier.unsent[1:] == [f"FDSTORE=1\nFDNAME={number}" for number in range(3)]
    messages = wire.all_heard()
    assert messages[: sent + 1] == [f"X_NUMBER={number}" for number in range(sent + 1)]
    assert messages[sent + 1 :] == [f"FDSTORE=1\nFDNAME={number}" for number in range(3)]
    assert [inode(descriptor) for descriptor in wire.ear.descriptors] == inodes
    assert not wire.reactor.writers
    assert wire.notifier.unsent == []


def test_an_urgent_message_goes_first(wire: Line) -> None:
    """A watchdog must not wait for thousands of stored descriptors."""
    sent = wire.fill()
    wire.notifier.send("READY=1")
    wire.notifier.send("WATCHDOG=1", urgent=True)
    assert wire.all_heard()[sent] == "WATCHDOG=1"


def test_messages_that_wait_are_sent_to_a_new_manager(wire: Line) -> None:
    """An urgent message finds that the manager was started anew; those that wait follow it."""
    wire.fill()
    wire.ear.close()
    os.unlink(wire.address)
    waiting = wire.notifier.unsent
    wire.notifier.send("WATCHDOG=1", urgent=True)
    wire.ear = Ear(wire.address)
    wire.notifier.send("WATCHDOG=1", urgent=True)
    wire.notifier.send("READY=1")
    wire.time.advance(1)
    assert wire.all_heard() == ["WATCHDOG=1", *waiting, "READY=1"]
    assert not wire.notifier.busy


def test_messages_that_wait_are_sent_at_the_end(wire: Line) -> None:
    """A daemon that is told to stop has stored all its pipes when it ends."""
    wire.fill()
    wire.notifier.send("LAST=1")
    heard = wire.ear.heard()
    wire.notifier.close()
    assert "LAST=1" in [*heard, *wire.ear.heard()]
    wire.notifier.send("LATER=1")
    assert wire.ear.heard() == []


def test_a_manager_that_is_gone_costs_one_warning(wire: Line, warnings: Sequence[str]) -> None:
    """And one that comes back hears again."""
    wire.ear.close()
    os.unlink(wire.address)
    wire.notifier.send("READY=1")
    wire.notifier.send("STATUS=x")
    assert len(warnings) == 1
    assert "cannot be sent READY=1: No such file or directory" in warnings[0]
    wire.ear = Ear(wire.address)
    wire.notifier.send("STATUS=y")
    assert wire.ear.heard() == ["STATUS=y"]


def test_a_manager_that_goes_while_messages_wait_is_no_trouble(
    wire: Line, warnings: Sequence[str]
) -> None:
    """They are dropped with their descriptors."""
    wire.fill()
    read_end, write_end = os.pipe()
    wire.notifier.send("FDSTORE=1", descriptor=read_end)
    os.close(read_end)
    wire.ear.close()
    wire.reactor.turn()
    assert wire.notifier.unsent == []
    assert not wire.reactor.writers
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)
    assert len(warnings) == 1


def test_a_lost_connection_is_made_anew(wire: Line) -> None:
    """The reactor saw the socket hang up, and the manager has another by now."""
    wire.fill()
    wire.reactor.writers.clear()
    wire.ear.close()
    os.unlink(wire.address)
    wire.ear = Ear(wire.address)
    waiting = wire.notifier.unsent
    wire.notifier.connectionLost(Failure(ConnectionLost()))
    assert wire.all_heard() == waiting


def test_too_many_descriptors_on_their_way_are_waited_for(
    wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket would be writable all the time, so a timer looks again."""

    def refuse(sock: socket.socket, data: list[bytes], descriptors: list[int]) -> int:
        raise OSError(errno.ETOOMANYREFS, "too many references")

    with monkeypatch.context() as refused:
        refused.setattr(socket, "send_fds", refuse)
        wire.notifier.send("FDSTORE=1", descriptor=0)
        wire.time.advance(1)
        assert wire.notifier.unsent == ["FDSTORE=1"]
    assert not wire.reactor.writers
    wire.time.advance(1)
    assert wire.ear.heard() == ["FDSTORE=1"]
    assert wire.time.getDelayedCalls() == []


def test_a_descriptor_that_cannot_be_kept_is_told_of(
    wire: Line, warnings: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without descriptors left, the message is dropped."""
    wire.fill()

    def refuse(descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", refuse)
    wire.notifier.send("FDSTORE=1", descriptor=0)
    assert len(wire.notifier.unsent) == 1
    assert "Too many open files" in warnings[0]


def test_it_has_a_name_in_logs(wire: Line) -> None:
    """Twisted asks for it, and for a descriptor that is not there yet."""
    assert wire.notifier.logPrefix() == "service manager"
    assert wire.notifier.fileno() == -1
    assert isinstance(wire.notifier, Notifier)
