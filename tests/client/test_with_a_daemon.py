"""All clients follow the logs of a real daemon, while it rotates, hands over, and is killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from harness.daemon import Daemon, running
from tests.client.examples import program, run
from tests.client.followers import AWAITING, DRIVERS, AwaitingDriver, Driver, Iterating
from twisted_virtlog.client import (
    BlockingClient,
    FeedLog,
    Position,
    RemoteError,
    Removed,
    Snapshot,
)
from twisted_virtlog.client.feed import Feed, FeedData, FeedEnd

SETTINGS = ("max_size = 65536", "max_backups = 5")


class Host:
    """Where one daemon comes after another."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.start()

    def start(self) -> Daemon:
        """Start a daemon."""
        self.daemon = self._stack.enter_context(running(self._directory / "daemon", SETTINGS))
        self.socket = self.daemon.socket
        return self.daemon

    def kill(self) -> None:
        """Kill the daemon."""
        self.daemon.process.kill()
        self.daemon.process.wait()

    def ask(self) -> BlockingClient:
        """Connect another client."""
        return self._stack.enter_context(self.daemon.client())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Start a daemon with small files, which may be killed."""
    with ExitStack() as stack:
        yield Host(tmp_path, stack)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Start a daemon for all tests that do not kill it."""
    with ExitStack() as stack:
        yield Host(tmp_path_factory.mktemp("lasting"), stack)


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Return the path of a log that is not there yet."""
    return str(tmp_path / "guest.log")


Connect = Callable[[Host], Driver]


@pytest.fixture(params=DRIVERS, ids=lambda kind: kind.__name__)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Return a function that connects a client; of each kind."""
    with ExitStack() as stack:

        def connect(host: Host) -> Driver:
            driver: Driver = request.param(host.socket)
            stack.callback(driver.close)
            return driver

        yield connect


def take(following: Iterating, count: int) -> bytes:
    """Return so many bytes that come next, without a gap."""
    got = b""
    while len(got) < count:
        chunk = following.next()
        assert not chunk.gap
        got += chunk.data
    return got


def numbered(count: int, start: int = 0) -> bytes:
    """Return lines that differ."""
    return b"".join(b"line %d of the guest\n" % (start + number) for number in range(count))


@pytest.mark.lengthy
def test_all_that_a_guest_writes_comes(lasting: Host, log: str, connect: Connect) -> None:
    """Through rotations and a hand-over, over one connection."""
    following = connect(lasting).follow(log)
    assert following.position == Position(0, 0)
    asking = lasting.ask()
    guest = asking.open(log)
    written = b""
    for round_ in range(8):
        data = numbered(1000, 1000 * round_)
        os.write(guest.write_end, data)
        written += data
        assert take(following, len(data)) == data
        if round_ == 4:
            asking.reexec()
    assert len(written) > 2 * 65536
    os.close(guest.write_end)
    following.close()


@pytest.mark.lengthy
def test_each_byte_comes_once_over_kills(host: Host, log: str, connect: Connect) -> None:
    """Whoever follows connects again, as soon as there is a daemon."""
    host.ask().append(log, "before\n")
    following = connect(host).follow(log)
    assert following.position.offset == 7
    for number in range(2):
        host.ask().append(log, f"{number} is told\n")
        assert take(following, 10) == b"%d is told\n" % number
        host.ask().append(log, f"{number} may be told\n")
        host.kill()
        host.start()
        host.ask().append(log, f"{number} is not told before\n")
        rest = b"%d may be told\n%d is not told before\n" % (number, number)
        assert take(following, len(rest)) == rest
    following.close()


def test_it_ends_with_its_guest(lasting: Host, log: str, connect: Connect) -> None:
    """With all that the guest has written."""
    guest = lasting.ask().open(log)
    following = connect(lasting).follow(log, until_closed=True)
    os.write(guest.write_end, b"the last\n")
    os.close(guest.write_end)
    assert take(following, 9) == b"the last\n"
    assert following.next() is None
    assert following.ended == "closed"


@pytest.mark.lengthy
def test_it_ends_with_a_guest_that_ended_with_the_daemon(
    host: Host, log: str, connect: Connect
) -> None:
    """The next daemon does not know of it, and would wait for another one."""
    asking = host.ask()
    guest = asking.open(log)
    following = connect(host).follow(log, until_closed=True)
    os.write(guest.write_end, b"the first\n")
    assert take(following, 10) == b"the first\n"
    os.write(guest.write_end, b"the last\n")
    asking.position(log)
    host.kill()
    os.close(guest.write_end)
    host.start()
    assert take(following, 9) == b"the last\n"
    assert following.next() is None
    assert following.ended == "closed"


@pytest.mark.lengthy
def test_a_log_that_is_there_later_is_followed_from_its_beginning(
    host: Host, log: str, connect: Connect
) -> None:
    """Wherever the daemon has been meanwhile: the next one knows where the log was opened."""
    following = connect(host).follow(log)
    host.kill()
    host.start()
    guest = host.ask().open(log)
    os.write(guest.write_end, b"the first\n")
    assert take(following, 10) == b"the first\n"
    os.close(guest.write_end)
    following.close()


def test_a_file_that_was_rotated_away_is_missed(lasting: Host, log: str, connect: Connect) -> None:
    """With how much it was, where that is known."""
    asking = lasting.ask()
    guest = asking.open(log)
    start = asking.position(log)
    for number in range(30):
        os.write(guest.write_end, numbered(1000, number * 1000))
        asking.position(log)
    os.close(guest.write_end)
    following = connect(lasting).follow(log, start)
    chunk = following.next()
    assert chunk.gap
    assert chunk.start == asking.read(log).start
    following.close()


def test_a_log_is_followed_since_a_time(lasting: Host, log: str, connect: Connect) -> None:
    """With all that may have come since then."""
    asking = lasting.ask()
    before = datetime.now(timezone.utc) - timedelta(minutes=1)
    asking.append(log, "said\n")
    following = connect(lasting).follow(log, since=before)
    asking.append(log, "and said\n")
    assert take(following, 14) == b"said\nand said\n"
    following.close()


def test_a_log_has_a_history(lasting: Host, log: str) -> None:
    """All calls say what happened to it."""
    asking = lasting.ask()
    before = datetime.now(timezone.utc)
    guest = asking.open(log, "example")
    os.write(guest.write_end, b"said\n")
    end = asking.position(log)
    (boot,) = asking.boots(log)
    assert (boot.start, boot.closed_at, boot.driver) == (guest.position, None, "example")
    assert [(one.kind, one.position) for one in asking.events(log)] == [("opened", boot.start)]
    (part,) = asking.locate(log, since=before - timedelta(minutes=1))
    assert (part.start, part.end) == (boot.start, end)
    assert part.since <= part.until
    assert asking.times(log)[-1].position == end
    (file,) = asking.files(log).files
    assert (file.inode, file.birth, file.size) == (end.inode, end.birth, 5)
    assert os.pread(file.descriptor, 10, 0) == b"said\n"
    os.close(file.descriptor)
    asking.close_log(log)
    os.close(guest.write_end)
    assert log not in [one.path for one in asking.list()]
    (known,) = [one for one in asking.list(closed=True) if one.path == log]
    assert (known.state, known.position) == ("closed", None)
    assert known.closed_at is not None
    assert before <= known.closed_at <= datetime.now(timezone.utc) + timedelta(seconds=1)
    assert asking.remove(log) == Removed(1, 5)
    assert log not in [one.path for one in asking.list(closed=True)]
    for ask in (asking.remove, asking.boots, asking.read):
        with pytest.raises(RemoteError) as caught:
            ask(log)
        assert caught.value.code == 1002


@pytest.mark.parametrize(
    ("number", "printed"), [(0, "it is up, at 17\n"), (1, "Welcome!\n"), (2, "Welcome!\n")]
)
def test_the_document_s_examples(lasting: Host, log: str, number: int, printed: str) -> None:
    """They do with a daemon what they show."""
    assert run(program("Following a log", number), lasting.socket, log) == printed
    said = run(program("When it was said"), lasting.socket, log)
    assert said.splitlines()[0].endswith(" Welcome!")


def test_a_feed_follows_many(lasting: Host, log: str) -> None:
    """All over one connection, each with its own end."""
    paths = [f"{log}.{number}" for number in range(20)]
    with Feed(lasting.socket, 60) as feed:
        numbers = {feed.follow(path, until_closed=True): path for path in paths}
        watch = feed.watch()
        for path in paths:
            guest = feed.open(path)
            os.write(guest.write_end, path.encode())
            os.close(guest.write_end)
        got: dict[str, bytes] = dict.fromkeys(paths, b"")
        told: list[tuple[str, str]] = []
        while numbers or len(told) < 40:
            event = feed.next(60)
            if isinstance(event, FeedData):
                got[numbers[event.subscription]] += event.data
            elif isinstance(event, FeedEnd):
                assert event.reason == "closed"
                del numbers[event.subscription]
            else:
                assert isinstance(event, FeedLog)
                assert event.subscription == watch
                if event.log.path in got:
                    told.append((event.kind, event.log.path))
        assert got == {path: path.encode() for path in paths}
        kinds = [(kind, path) for path in paths for kind in ("closed", "opened")]
        assert sorted(told) == sorted(kinds)
        feed.unfollow(watch)
        assert feed.next(60) == FeedEnd(watch, "unfollowed")


@pytest.mark.lengthy
@pytest.mark.parametrize("kind", AWAITING, ids=lambda kind: kind.__name__)
def test_what_happens_to_logs_is_watched(
    host: Host, log: str, kind: Callable[[str], AwaitingDriver]
) -> None:
    """With another snapshot from the next daemon."""
    driver = kind(host.socket)
    watching = driver.client.watch()
    assert driver.next(watching) == Snapshot([])
    guest = host.ask().open(log)
    event = driver.next(watching)
    assert (event.kind, event.log.path, event.log.state) == ("opened", log, "open")
    os.close(guest.write_end)
    event = driver.next(watching)
    assert (event.kind, event.log.path) == ("closed", log)
    host.kill()
    host.start()
    assert driver.next(watching) == Snapshot([])
    driver.end(watching)
    driver.close()
