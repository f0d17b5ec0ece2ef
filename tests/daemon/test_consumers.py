"""Files that rotation would remove stay for those who have yet to read them."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import Daemon, running
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import BlockingClient, ConsumerInfo, Position, RemoteError

_USER = pwd.getpwuid(os.geteuid()).pw_name
_SMALL = ("max_size = 1000", "max_backups = 2", f'consumers = ["nats:{_USER}", "idle:{_USER}"]')


def lines(first: int, count: int) -> bytes:
    """Make lines of 20 bytes, each of which says which one it is."""
    return b"".join(b"line %014d\n" % number for number in range(first, first + count))


class Guest:
    """Writes a log."""

    def __init__(self, client: BlockingClient, path: Path, truncate: bool = False) -> None:
        self.client = client
        self.path = path
        opened = client.open(str(path), truncate=truncate)
        self.start = opened.position
        self._pipe = opened.write_end
        self.count = 0
        # (the daemon knows who has read what by the time that its index answers)
        client.boots(str(path))

    def write(self, count: int) -> Position:
        """Write lines; return the position after them."""
        os.write(self._pipe, lines(self.count, count))
        self.count += count
        return self.client.position(str(self.path))

    def read(self, position: Position | None) -> bytes:
        """Read all from a position on; nothing may be missing."""
        found = []
        while True:
            chunk = self.client.read(str(self.path), position)
            assert not chunk.gap
            if not chunk.data:
                return b"".join(found)
            found.append(chunk.data)
            position = chunk.end

    def acknowledge(self, position: Position, consumer: str = "nats") -> None:
        """Say up to where a consumer has read."""
        assert self.client.acknowledge(consumer, {str(self.path): position})

    def consumer(self, name: str = "nats") -> ConsumerInfo:
        """Return what a consumer has of the log."""
        (found,) = (one for one in self.client.consumers() if one.consumer == name)
        return found

    def held(self) -> list[str]:
        """Return the names of the held files, oldest first."""
        found = self.path.parent.glob(f".{self.path.name}.held.*")
        return sorted((one.name for one in found), key=lambda name: int(name.rpartition(".")[2]))

    def settled(self) -> None:
        """Wait until there is no held file."""
        while self.held():
            self.client.info()

    def accounts(self) -> None:
        """Every byte is accounted for."""
        ledger = self.client.ledger(str(self.path))
        assert ledger.holds
        assert ledger.storage is not None
        sizes = [one.stat().st_size for one in self.path.parent.glob(f".{self.path.name}.held.*")]
        assert ledger.storage.held == sum(sizes)

    def close(self) -> None:
        """Be gone."""
        self.client.close_log(str(self.path))
        os.close(self._pipe)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Start a daemon with consumers, and small files."""
    with running(tmp_path_factory.mktemp("consumers"), _SMALL) as daemon:
        yield daemon


@pytest.fixture
def daemon(shared: Daemon) -> Iterator[Daemon]:
    """Give that daemon, in which nobody has read anything, to one test after another."""
    yield shared
    with shared.client() as client:
        for name in {one.consumer for one in client.consumers()}:
            client.forget_consumer(name)


def test_what_a_consumer_has_not_read_stays(daemon: Daemon, tmp_path: Path) -> None:
    """Until it has; what rotation keeps is as without consumers."""
    with daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        guest.acknowledge(guest.start)
        middle = guest.write(110)
        end = guest.write(390)
        assert sorted(one.name for one in tmp_path.glob("a.log*")) == [
            "a.log",
            "a.log.0",
            "a.log.1",
        ]
        assert guest.held() == [f".a.log.held.{number}" for number in range(7)]
        assert guest.read(guest.start) == guest.read(None) == lines(0, 500)
        assert guest.read(middle) == lines(110, 390)
        assert [one.size for one in client.files(str(guest.path)).files] == [1000] * 10
        status = guest.consumer()
        assert (status.position, status.lag_bytes) == (guest.start, 10_000)
        assert (status.held_bytes, status.unread_bytes) == (7000, 0)
        guest.accounts()
        guest.acknowledge(middle)
        while len(guest.held()) > 5:
            client.info()
        assert guest.held()[0] == ".a.log.held.2"
        guest.accounts()
        guest.acknowledge(end)
        guest.settled()
        status = guest.consumer()
        assert (status.lag_bytes, status.lag_s, status.unread_bytes) == (0, 0, 0)
        guest.accounts()
        ledger = client.ledger(str(guest.path))
        assert ledger.storage is not None
        assert ledger.storage.removed.rotation == 7000
        # (a position never goes back)
        guest.acknowledge(middle)
        assert guest.consumer().position == end
        guest.close()


def test_nothing_is_held_for_who_has_read_it(daemon: Daemon, tmp_path: Path) -> None:
    """Or who has never read any of it."""
    with daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        for _ in range(20):
            guest.acknowledge(guest.write(50))
        assert guest.held() == []
        assert guest.consumer().unread_bytes == 0
        guest.accounts()
        guest.close()


def test_a_policy_holds_from_the_beginning(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """For consumers that it names, of logs that it is for."""
    daemon = start_daemon(*_SMALL, f'policies = ["path:{tmp_path}/a.log hold=nats,idle"]')
    with daemon.client() as client:
        guest, other = Guest(client, tmp_path / "a.log"), Guest(client, tmp_path / "b.log")
        other.write(500)
        end = guest.write(500)
        assert guest.read(None) == lines(0, 500)
        assert other.held() == []
        assert [one.consumer for one in client.consumers()] == ["idle", "nats"]
        assert guest.consumer().position is None
        guest.acknowledge(end)
        # (the other one has not)
        guest.acknowledge(guest.start, "idle")
        guest.accounts()
        assert len(guest.held()) == 7
        guest.acknowledge(end, "idle")
        guest.settled()
        guest.close()
        other.close()


@pytest.mark.lengthy
@pytest.mark.parametrize("key", ["hold_max", "hold_max_log"])
def test_what_goes_all_the_same_is_counted(
    start_daemon: StartDaemon, tmp_path: Path, key: str
) -> None:
    """A consumer that does not come fills no disk."""
    daemon = start_daemon(*_SMALL, f"{key} = 16384")
    with daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        guest.acknowledge(guest.start)
        guest.acknowledge(guest.start, "idle")
        for _ in range(20):
            guest.write(50)
        held = guest.held()
        assert len(held) == 16384 // 4096
        kept = len(held) * 1000 + 3000
        assert guest.consumer().unread_bytes == 20_000 - kept
        assert guest.consumer().lag_bytes == kept
        chunk = client.read(str(guest.path), guest.start)
        assert chunk.gap
        assert chunk.data == lines((20_000 - kept) // 20, kept // 20)
        guest.accounts()
        unread = client.ledger(str(guest.path)).unread
        assert unread == client.ledger().unread == dict.fromkeys(("idle", "nats"), 20_000 - kept)
        # From the next opening on it is counted anew.
        guest.close()
        again = Guest(client, guest.path)
        assert client.ledger(str(guest.path)).unread == {"idle": 0, "nats": 0}
        assert again.consumer().unread_bytes == 20_000 - kept
        again.close()


def test_a_truncating_open_holds(daemon: Daemon, tmp_path: Path) -> None:
    """What was in the log before comes first for who has yet to read it."""
    with daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        guest.acknowledge(guest.start)
        guest.write(120)
        guest.close()
        again = Guest(client, guest.path, truncate=True)
        again.count = 120
        assert (guest.path.stat().st_size, len(guest.held())) == (0, 3)
        again.write(130)
        assert again.read(guest.start) == again.read(None) == lines(0, 250)
        again.accounts()
        again.acknowledge(client.position(str(again.path)))
        again.settled()
        again.close()


@pytest.mark.lengthy
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_positions_outlast_the_daemon(tmp_path: Path, number: signal.Signals) -> None:
    """Nobody else remembers them; and what is held is found again."""
    directory = tmp_path / "daemon"
    with running(directory, _SMALL) as daemon, daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        middle = guest.write(110)
        guest.acknowledge(middle)
        guest.write(190)
        held = guest.held()
        assert held
        # (an answer from the index: what was noted before is written)
        client.boots(str(guest.path))
        daemon.process.send_signal(number)
        daemon.process.wait()
    with running(directory, _SMALL) as daemon, daemon.client() as client:
        again = Guest(client, guest.path)
        again.count = 300
        end = again.write(300)
        assert again.held()[: len(held)] == held
        assert again.consumer().position == middle
        assert again.read(middle) == lines(110, 490)
        again.acknowledge(end)
        again.settled()
        again.close()


@pytest.mark.lengthy
def test_a_hand_over_keeps_all(daemon: Daemon, tmp_path: Path) -> None:
    """The next image holds what this one has held."""
    with daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        guest.acknowledge(guest.start)
        guest.write(200)
        client.reexec()
        end = guest.write(300)
        assert guest.read(guest.start) == lines(0, 500)
        guest.accounts()
        guest.acknowledge(end)
        guest.settled()
        guest.close()


def test_who_is_gone_for_good_is_forgotten(daemon: Daemon, tmp_path: Path) -> None:
    """For a log, or for all; what was held for it alone goes."""
    with daemon.client() as client:
        guests = [Guest(client, tmp_path / name) for name in ("a.log", "b.log")]
        for guest in guests:
            guest.acknowledge(guest.start)
            guest.write(300)
        client.forget_consumer("nats", str(guests[0].path))
        assert guests[0].held() == []
        assert guests[1].held() != []
        assert [one.path for one in client.consumers()] == [str(guests[1].path)]
        client.forget_consumer("nats")
        assert guests[1].held() == []
        assert client.consumers() == []
        with pytest.raises(RemoteError, match="no consumer 'nobody'") as refused:
            client.forget_consumer("nobody")
        assert refused.value.code == -32602
        for guest in guests:
            guest.accounts()
            guest.close()


def test_who_is_not_named_acknowledges_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """And of a log that the daemon does not know there is nothing to hold."""
    with daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        with pytest.raises(RemoteError, match="names no consumer 'loki'") as refused:
            guest.acknowledge(guest.start, "loki")
        assert refused.value.code == -32602
        client.acknowledge("nats", {str(tmp_path / "unknown.log"): guest.start})
        assert client.consumers() == []
        guest.close()


def test_followers_go_through_what_is_held(daemon: Daemon, tmp_path: Path) -> None:
    """From where a consumer stopped, also of a log that is closed."""
    with daemon.client() as client, daemon.client() as other:
        guest = Guest(client, tmp_path / "a.log")
        guest.acknowledge(guest.start)
        guest.write(300)
        found = _followed(other, guest, 300)
        assert found == lines(0, 300)
        guest.close()
        assert _followed(other, guest, 300) == found
        assert client.read(str(guest.path), guest.start).data == found


def _followed(client: BlockingClient, guest: Guest, count: int) -> bytes:
    data = b""
    with client.follow(str(guest.path), guest.start) as chunks:
        for chunk in chunks:
            assert not chunk.gap
            data += chunk.data
            if len(data) >= 20 * count:
                break
    return data


def test_a_removed_log_leaves_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """Its held files go with the others, and so does what consumers had of it."""
    with daemon.client() as client:
        guest = Guest(client, tmp_path / "a.log")
        guest.acknowledge(guest.start)
        guest.write(300)
        held = len(guest.held())
        guest.close()
        removed = client.remove(str(guest.path))
        assert (removed.files, removed.bytes) == (3 + held, 6000)
        assert list(tmp_path.glob(".a*")) == list(tmp_path.glob("a*")) == []
        assert client.consumers() == []
