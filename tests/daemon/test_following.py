"""Clients follow logs of a real daemon, whatever happens to the logs, to them and to the daemon."""

from __future__ import annotations

import base64
import grp
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import Self

from harness.daemon import Daemon, running
from harness.pass_mount import pass_mount
from tests.daemon.conftest import StartDaemon, by_default
from tests.daemon.followers import SECONDS, RawFollower, Told, feed
from tests.daemon.test_handover import another_image, until
from tests.stack.rpc_client import ADMIN_PROGRAM, Connection, frame, uint
from twisted_virtlog.client import BlockingClient, Disconnected, Position, RemoteError
from twisted_virtlog.client.feed import Feed, FeedData

_LINE_BYTES = 100
_NOBODY = Position(0, 0)


def lines(begin: int, end: int) -> bytes:
    """Return numbered lines of a hundred bytes."""
    return b"".join(b"%09d %89s\n" % (number, b"x") for number in range(begin, end))


def write(pipe: int, data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(pipe, data) :]


@contextmanager
def logged(client: BlockingClient, log: Path) -> Iterator[int]:
    """Have a log open inside the context; give the write end of its pipe."""
    pipe = client.open(str(log)).write_end
    try:
        yield pipe
    finally:
        os.close(pipe)


def followers(client: BlockingClient) -> list[int | None]:
    """Return how many follow each open log."""
    return [log.followers for log in client.list()]


# What a log is.


@pytest.mark.parametrize("threads", ["auto", pytest.param("always", marks=pytest.mark.lengthy)])
def test_all_that_a_guest_writes_comes_across_rollovers(
    threads: str, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """In order, without a gap, and the end is the log's position."""
    daemon = start_daemon("max_size = 65536", "max_backups = 3", f'file_threads = "{threads}"')
    log = tmp_path / "guest.log"
    with daemon.client() as client, feed(daemon) as following, logged(client, log) as pipe:
        write(pipe, b"before\n")
        told = Told(following)
        number = following.follow(str(log))
        assert following.beginning(number) == client.position(str(log))
        for begin in range(0, 10_000, 100):
            write(pipe, lines(begin, begin + 100))
            told.until_has(number, (begin + 100) * _LINE_BYTES)
        assert bytes(told.data[number]) == lines(0, 10_000)
        assert told.gaps == []
        assert told.last[number] == client.position(str(log))
        assert client.list()[0].rollovers > 10


@pytest.mark.in_common
def test_what_is_in_files_comes_first(daemon: Daemon, tmp_path: Path) -> None:
    """From a position in a backup on, and then what is written."""
    log = tmp_path / "guest.log"
    with daemon.client() as client, feed(daemon) as following, logged(client, log) as pipe:
        write(pipe, lines(0, 100))
        position = client.position(str(log))
        write(pipe, lines(100, 1500))
        told = Told(following)
        number = following.follow(str(log), position)
        assert following.beginning(number) == position
        told.until_has(number, 1400 * _LINE_BYTES)
        write(pipe, lines(1500, 1510))
        assert told.until_has(number, 1410 * _LINE_BYTES) == lines(100, 1510)
        assert told.gaps == []


@pytest.mark.in_common
def test_a_log_that_is_not_there_yet_is_followed_until_it_is_closed(
    daemon: Daemon, tmp_path: Path
) -> None:
    """From its first byte to its last; then the end is told, and nobody follows it."""
    log = tmp_path / "later.log"
    with daemon.client() as client, feed(daemon) as following:
        told = Told(following)
        number = following.follow(str(log), until_closed=True)
        on = following.follow(str(log))
        assert following.beginning(number) == _NOBODY
        with logged(client, log) as pipe:
            write(pipe, lines(0, 3))
            told.until_has(number, 3 * _LINE_BYTES)
            assert followers(client) == [2]
            write(pipe, lines(3, 2000))
        assert told.until_end(number) == "closed"
        assert told.data[number] == lines(0, 2000)
        with logged(client, log) as pipe:
            assert followers(client) == [1]
            write(pipe, lines(2000, 2001))
            assert told.until_has(on, 2001 * _LINE_BYTES) == lines(0, 2001)
        assert told.gaps == []


@pytest.mark.in_common
def test_until_closed_means_the_close_after_the_next_opening(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Of a log that is there and not open; one message is not an opening."""
    log = tmp_path / "guest.log"
    log.write_bytes(b"old\n")
    with daemon.client() as client, feed(daemon) as following:
        told = Told(following)
        number = following.follow(str(log), until_closed=True)
        client.append(str(log), "a note\n")
        with logged(client, log) as pipe:
            write(pipe, b"new\n")
        assert told.until_end(number) == "closed"
        assert told.data[number] == b"a note\nnew\n"


@pytest.mark.in_common
def test_a_truncating_open_and_a_cut_lose_nothing_that_was_sent(
    daemon: Daemon, tmp_path: Path
) -> None:
    """What comes goes on without a gap, as nothing was missed."""
    log = tmp_path / "guest.log"
    with daemon.client() as client, feed(daemon) as following:
        told = Told(following)
        number = following.follow(str(log))
        with logged(client, log) as pipe:
            write(pipe, lines(0, 2))
            told.until_has(number, 2 * _LINE_BYTES)
        until(lambda: not client.list())
        pipe = client.open(str(log), truncate=True).write_end
        write(pipe, lines(2, 4))
        told.until_has(number, 4 * _LINE_BYTES)
        os.truncate(log, 0)
        write(pipe, lines(4, 6))
        assert told.until_has(number, 6 * _LINE_BYTES) == lines(0, 6)
        assert told.last[number] == client.position(str(log))
        assert told.gaps == []
        os.close(pipe)


@pytest.mark.in_common
def test_a_log_that_fails_for_a_while_is_followed_on(daemon: Daemon, tmp_path: Path) -> None:
    """What waited in the pipe comes once it is written; watchers are told of both."""
    directory = tmp_path / "logs"
    directory.mkdir()
    log = directory / "guest.log"
    with daemon.client() as client, feed(daemon) as following, logged(client, log) as pipe:
        told = Told(following)
        number = following.follow(str(log))
        watch = following.watch()
        write(pipe, lines(0, 1))
        told.until_has(number, _LINE_BYTES)
        log.unlink()
        directory.rmdir()
        write(pipe, lines(1, 2))
        told.until(lambda: bool(told.logs))
        assert (told.logs[0].kind, told.logs[0].log.state) == ("state", "failing")
        assert told.logs[0].log.error is not None
        directory.mkdir()
        assert told.until_has(number, 2 * _LINE_BYTES) == lines(0, 2)
        told.until(lambda: len(told.logs) == 2)
        assert (told.logs[1].kind, told.logs[1].log.state) == ("state", "open")
        assert {one.subscription for one in told.logs} == {watch}


@pytest.mark.lengthy
@pytest.mark.parametrize("threads", ["auto", "always"])
def test_who_watches_is_told_of_openings_and_closings(
    threads: str, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """With what the list says of the log then."""
    daemon = start_daemon(f'file_threads = "{threads}"')
    log = tmp_path / "guest.log"
    with daemon.client() as client, feed(daemon) as following:
        told = Told(following)
        number = following.watch()
        with logged(client, log) as pipe:
            told.until(lambda: len(told.logs) == 1)
            assert told.logs[0].log == client.list()[0]
            write(pipe, b"x")
        told.until(lambda: len(told.logs) == 2)
        closed = told.logs[1].log
        assert [one.kind for one in told.logs] == ["opened", "closed"]
        assert (closed.path, closed.state, closed.position) == (str(log), "closed", None)
        assert closed.closed_at is not None
        following.unfollow(number)
        assert told.until_end(number) == "unfollowed"
        with logged(client, log):
            assert not told.take(0)


@pytest.mark.in_common
def test_characters_are_never_split(daemon: Daemon, tmp_path: Path) -> None:
    """Neither where a guest wrote half of one, nor where a file ends; what breaks off is U+FFFD."""
    log = tmp_path / "guest.log"
    text = "".join(f"{number} é€𝄞\n" for number in range(20_000))
    data = text.encode()
    with daemon.client() as client, RawFollower(daemon.socket) as raw:
        pipe = client.open(str(log)).write_end
        raw.ask(1, "log.follow", path=str(log), until="closed")
        raw.answer()
        received = ""
        for begin in range(0, len(data), 3001):
            write(pipe, data[begin : begin + 3001])
            client.position(str(log))
            whole = data[: begin + 3001].decode(errors="ignore")
            while len(received) < len(whole):
                received += raw.text()["params"]["data"]
            assert received == whole
        write(pipe, b"\xffnot\xe2\x82")
        os.close(pipe)
        params = {}
        while (told := raw.text())["method"] != "log.end":
            params = told["params"]
            received += params["data"]
        assert received == text + "\ufffdnot\ufffd"
        end: Any = params["end"]
        assert end["offset"] == log.stat().st_size
        assert told["params"] == {"subscription": 1, "reason": "closed"}


# Requests and notifications on one connection.


@pytest.mark.in_common
def test_the_last_notification_comes_before_the_answer(daemon: Daemon, tmp_path: Path) -> None:
    """Of log.unfollow; other subscriptions go on, and their numbers are not used again."""
    log = tmp_path / "guest.log"
    with (
        daemon.client() as client,
        RawFollower(daemon.socket) as raw,
        logged(client, log) as pipe,
    ):
        for number in (1, 2):
            raw.ask(number, "log.follow", path=str(log))
            assert raw.answer()["subscription"] == number
        raw.ask(3, "log.unfollow", subscription=1)
        end = {"subscription": 1, "reason": "unfollowed"}
        assert raw.text() == {"jsonrpc": "2.0", "method": "log.end", "params": end}
        assert raw.text() == {"jsonrpc": "2.0", "id": 3, "result": True}
        write(pipe, b"x")
        data = raw.text()["params"]
        assert (data["subscription"], data["data"], data["encoding"]) == (2, "x", "utf-8")
        assert (data["gap"], data["missed"]) == (False, None)
        for wrong in (1, 3):
            raw.ask(4, "log.unfollow", subscription=wrong)
            error = raw.text()["error"]
            assert error["code"] == -32602
            assert f"no subscription {wrong}" in error["message"]
        raw.ask(5, "log.watch")
        assert raw.answer() == {"subscription": 3}


@pytest.mark.in_common
def test_nothing_follows_over_http(daemon: Daemon, tmp_path: Path) -> None:
    """There is no stream for notifications."""
    for method, params in (
        ("log.follow", {"path": str(tmp_path / "log")}),
        ("log.watch", {}),
        ("log.unfollow", {"subscription": 1}),
    ):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(daemon.socket)
            head = "POST / HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            answer = client.makefile("rb").read()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == 1012


class Flood:
    """A guest that writes numbered lines as fast as it can, until it is told to stop.

    It writes no more than the log keeps, so that nobody misses anything.
    """

    def __init__(self, pipe: int, most: int) -> None:
        """:param most: how many bytes it writes."""
        self._pipe = pipe
        self._most = most
        self._stopping = False
        self._written = 0
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        while not self._stopping and self._written < self._most // _LINE_BYTES:
            write(self._pipe, lines(self._written, self._written + 100))
            self._written += 100

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Write no more; return how many lines were written."""
        self._stopping = True
        self._thread.join()
        return self._written


@pytest.mark.lengthy
@pytest.mark.parametrize("headers", [False, True])
def test_no_notification_stands_inside_another_text(
    headers: bool, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Neither in a long answer nor in a batch's, while a log is flooded; and both get on."""
    daemon = start_daemon("max_size = 8388608", "max_backups = 3")
    log, long = tmp_path / "guest.log", tmp_path / "long.log"
    long.write_bytes(b"y" * (1 << 20))
    read = {"jsonrpc": "2.0", "method": "log.read", "params": [str(long), None, 1 << 20]}
    with (
        daemon.client() as client,
        RawFollower(daemon.socket, headers) as raw,
        logged(client, log) as pipe,
    ):
        raw.ask(0, "log.follow", path=str(log), encoding="base64")
        raw.answer()
        with Flood(pipe, 30_000_000) as flood:
            texts: list[Any] = []
            for number in range(10):
                raw.send({**read, "id": number})
                raw.send([{**read, "id": f"{number}-{part}"} for part in range(3)])
                answers = 0
                while answers < 2:
                    texts.append(raw.text())
                    answers += "method" not in texts[-1]
            written = flood.stop()
        answers = [text for text in texts if "method" not in text]
        assert [isinstance(answer, list) for answer in answers] == [False, True] * 10
        for answer in answers:
            for one in answer if isinstance(answer, list) else [answer]:
                assert one["result"]["data"] == "y" * (1 << 20)
        data = b"".join(_bytes_of(text) for text in texts if "method" in text)
        assert data
        while len(data) < written * _LINE_BYTES:
            data += _bytes_of(raw.text())
        assert data == lines(0, written)


def _bytes_of(text: Any) -> bytes:
    assert text["method"] == "log.data"
    assert not text["params"]["gap"]
    return base64.b64decode(text["params"]["data"])


# Clients that do not read, that close, and that are gone.


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.lengthy
def test_who_does_not_read_costs_no_memory_and_holds_up_nobody(
    daemon: Daemon, tmp_path: Path
) -> None:
    """When he reads again, he is told how much he has missed, to the byte."""
    log = tmp_path / "guest.log"
    with (
        daemon.client() as client,
        ExitStack() as stack,
        logged(client, log) as pipe,
    ):
        slow = [stack.enter_context(feed(daemon)) for _ in range(20)]
        numbers = [one.follow(str(log)) for one in slow]
        assert followers(client) == [20]
        write(pipe, lines(0, 20_000))
        client.position(str(log))
        before = resident_bytes(daemon.process.pid)
        for begin in range(20_000, 300_000, 20_000):
            write(pipe, lines(begin, begin + 20_000))
        client.position(str(log))
        # (for one of them alone, all that was written is more)
        assert resident_bytes(daemon.process.pid) - before < 4 << 20
        for one, number in zip(slow[:3], numbers, strict=False):
            told = Told(one)
            _all_or_missed(told, number, 300_000)
            assert told.last[number] == client.position(str(log))


def _all_or_missed(told: Told, number: int, written: int) -> None:
    """Read until all lines have come, or are told to be missing, with how many bytes."""
    total = written * _LINE_BYTES

    def missed() -> int:
        return sum(gap.missed or 0 for gap in told.gaps)

    told.until(lambda: len(told.data[number]) + missed() >= total)
    assert len(told.data[number]) + missed() == total
    assert told.gaps
    data = bytes(told.data[number])
    tail = data[-1000 * _LINE_BYTES :]
    assert tail == lines(written - 1000, written)
    # What lies between two gaps is as it was written.
    assert data.startswith(lines(0, 100))


@pytest.mark.in_common
def test_a_half_closed_client_is_served_until_its_last_subscription_ends(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Also what it had asked before; then its connection is closed."""
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    with daemon.client() as client, RawFollower(daemon.socket) as raw:
        pipes = [client.open(str(log)).write_end for log in logs]
        for number, log in enumerate(logs):
            raw.ask(number, "log.follow", path=str(log), until="closed")
        raw.ask(2, "log.list")
        raw.socket.shutdown(socket.SHUT_WR)
        answers = [raw.answer() for _ in range(3)]
        assert [row["followers"] for row in answers[2]] == [1, 1]
        for pipe in pipes:
            write(pipe, lines(0, 1))
            assert raw.text()["params"]["data"].encode() == lines(0, 1)
        os.close(pipes[0])
        assert raw.text()["params"] == {"subscription": 1, "reason": "closed"}
        write(pipes[1], lines(1, 2))
        assert raw.text()["params"]["data"].encode() == lines(1, 2)
        os.close(pipes[1])
        assert raw.text()["params"] == {"subscription": 2, "reason": "closed"}
        assert raw.text() is None
        until(lambda: client.info().counts["clients"] == 1)


@pytest.mark.in_common
@pytest.mark.socat
def test_a_shell_follows_with_socat(daemon: Daemon, tmp_path: Path) -> None:
    """printf ... | socat - UNIX:...; it ends when the guest does."""
    log = tmp_path / "guest.log"
    params = {"path": str(log), "until": "closed"}
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "log.follow", "params": params})
    with daemon.client() as client:
        pipe = client.open(str(log)).write_end
        # (it gives up half a second after its input ended, without -t)
        command = ["socat", "-t", "60", "-", f"UNIX:{daemon.socket}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request.encode())
            process.stdin.close()
            assert json.loads(process.stdout.readline())["result"]["subscription"] == 1
            for number in range(3):
                write(pipe, lines(number, number + 1))
                told = json.loads(process.stdout.readline())
                assert told["params"]["data"].encode() == lines(number, number + 1)
            os.close(pipe)
            assert json.loads(process.stdout.readline())["params"]["reason"] == "closed"
            assert process.stdout.read() == b""
            assert process.wait(SECONDS) == 0


_COUNT_TURNS = """exec('''
import os
from twisted.internet.epollreactor import EPollReactor
turns = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
poll = EPollReactor.doPoll
def count(self, timeout):
    os.write(turns, b"x")
    poll(self, timeout)
EPollReactor.doPoll = EPollReactor.doIteration = count
''')"""


def test_a_half_closed_client_does_not_keep_the_daemon_busy(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Nothing turns while it is quiet, however long."""
    turns = tmp_path / "turns"
    daemon = start_daemon(patch=_COUNT_TURNS.format(path=str(turns)))
    log = tmp_path / "guest.log"
    with daemon.client() as client, RawFollower(daemon.socket) as raw, logged(client, log) as pipe:
        raw.ask(1, "log.follow", path=str(log))
        raw.socket.shutdown(socket.SHUT_WR)
        raw.answer()
        client.info()
        before = turns.stat().st_size
        assert before
        # Each takes some ten times as long as a busy daemon rests between two turns.
        for _ in range(20):
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)
        assert turns.stat().st_size - before < 100
        write(pipe, b"x")
        assert raw.text()["params"]["data"] == "x"


@pytest.mark.in_common
def test_who_is_gone_follows_no_more(daemon: Daemon, tmp_path: Path) -> None:
    """Though the log is quiet: closed, killed, or closed after its writing side."""
    log = tmp_path / "guest.log"
    with daemon.client() as client, logged(client, log) as pipe:
        with RawFollower(daemon.socket) as one, RawFollower(daemon.socket) as half:
            for raw in (one, half):
                raw.ask(1, "log.follow", path=str(log))
                raw.answer()
            half.socket.shutdown(socket.SHUT_WR)
            other = _program_that_follows(daemon, log)
            assert followers(client) == [3]
            assert client.info().counts["clients"] == 4
        until(lambda: followers(client) == [1])
        other.kill()
        other.wait()
        until(lambda: followers(client) == [0])
        until(lambda: client.info().counts["clients"] == 1)
        write(pipe, b"x")
        assert client.position(str(log)).offset == 1


def _program_that_follows(daemon: Daemon, log: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from twisted_virtlog.client.feed import Feed; feed = Feed(sys.argv[1]);"
        " feed.follow(sys.argv[2]); print('follows', flush=True); feed.next()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, daemon.socket, str(log)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"follows\n"
    return process


def _ends_soon(daemon: Daemon) -> None:
    """Let a daemon end when it has had neither clients nor logs for a second."""
    with Connection(daemon.admin_socket) as admin:
        admin.send(frame(19, uint(1) + uint(0), program=ADMIN_PROGRAM))
        admin.receive()


@pytest.mark.lengthy
def test_who_follows_keeps_the_daemon(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """One that has nothing to do ends after a while, but not while somebody waits for a log."""
    followed, idle = start_daemon(), start_daemon()
    with RawFollower(followed.socket) as raw:
        raw.ask(1, "log.follow", path=str(tmp_path / "later.log"))
        raw.socket.shutdown(socket.SHUT_WR)
        raw.answer()
        _ends_soon(followed)
        _ends_soon(idle)
        assert idle.process.wait(SECONDS) == 0
        assert followed.process.poll() is None
    assert followed.process.wait(SECONDS) == 0


@pytest.mark.lengthy
@pytest.mark.fuse
def test_a_mount_that_does_not_answer_holds_up_its_own_followers_alone(tmp_path: Path) -> None:
    """They get what was written when it answers again; nobody else waits."""
    shown, point = tmp_path / "shown", tmp_path / "mount"
    shown.mkdir()
    point.mkdir()
    with (
        pass_mount(shown, point) as mount,
        running(tmp_path / "daemon", ["file_timeout = 1"]) as daemon,
        daemon.client() as client,
        feed(daemon) as following,
        logged(client, point / "slow.log") as slow,
        logged(client, tmp_path / "quick.log") as quick,
    ):
        told = Told(following)
        numbers = [
            following.follow(str(log)) for log in (point / "slow.log", tmp_path / "quick.log")
        ]
        for pipe, number in zip((slow, quick), numbers, strict=True):
            write(pipe, lines(0, 1))
            told.until_has(number, _LINE_BYTES)
        with mount.stopped():
            write(slow, lines(1, 2))
            for number in range(1, 100):
                write(quick, lines(number, number + 1))
                told.until_has(numbers[1], (number + 1) * _LINE_BYTES)
            with pytest.raises(RemoteError) as refused:
                following.follow(str(point / "slow.log"))
            assert (refused.value.code, refused.value.data["errno"]) == (1003, "ETIMEDOUT")
            assert refused.value.data["mount"] == str(point)
        write(slow, lines(2, 3))
        assert told.until_has(numbers[0], 3 * _LINE_BYTES) == lines(0, 3)
        assert told.data[numbers[1]] == lines(0, 100)
        assert told.gaps == []


@pytest.mark.lengthy
def test_five_hundred_clients_follow_one_log(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """And one client follows it five hundred times; all get all of it."""
    daemon = start_daemon("max_clients = 1000")
    log = tmp_path / "guest.log"
    count = 400 if os.sysconf("SC_OPEN_MAX") < 2000 else 500
    with daemon.client() as client, ExitStack() as stack, logged(client, log) as pipe:
        many = [Told(stack.enter_context(feed(daemon))) for _ in range(count)]
        for one in many:
            one.feed.follow(str(log))
        alone = Told(stack.enter_context(feed(daemon)))
        numbers = [alone.feed.follow(str(log)) for _ in range(count)]
        assert followers(client) == [2 * count]
        write(pipe, lines(0, 100))
        for number in numbers:
            assert alone.until_has(number, 100 * _LINE_BYTES) == lines(0, 100)
        for one in many:
            assert one.until_has(1, 100 * _LINE_BYTES) == lines(0, 100)
        assert all(told.gaps == [] for told in (alone, *many))


@pytest.mark.lengthy
def test_there_are_no_more_subscriptions_than_a_connection_may_have(
    daemon: Daemon, tmp_path: Path
) -> None:
    """The next one is refused with the limit's name, and one that ended makes room."""
    log = str(tmp_path / "guest.log")
    with feed(daemon) as following, daemon.client() as client:
        request = {"jsonrpc": "2.0", "method": "log.watch", "id": 1}
        with RawFollower(daemon.socket) as raw:
            for _ in range(128):
                raw.send([request] * 128)
                assert len(raw.text()) == 128
            raw.ask(2, "log.follow", path=log)
            error = raw.text()["error"]
            assert (error["code"], error["data"]["limit"]) == (1004, "subscriptions")
            raw.ask(3, "log.unfollow", subscription=1)
            raw.text()
            assert raw.answer() is True
            raw.ask(4, "log.follow", path=log)
            assert raw.answer()["subscription"] == 128 * 128 + 1
        # (others have their own)
        following.follow(log)
        until(lambda: client.info().counts["clients"] == 2)


# The daemon's end, and its next image.


@pytest.mark.lengthy
def test_the_end_of_the_daemon_is_told(daemon: Daemon, tmp_path: Path) -> None:
    """To each subscription, also of clients that do not read all; then the connection ends."""
    log = tmp_path / "guest.log"
    with daemon.client() as client, feed(daemon) as following, feed(daemon) as lazy:
        pipe = client.open(str(log)).write_end
        told, slow = Told(following), Told(lazy)
        numbers = [following.follow(str(log)), following.watch()]
        lazy.follow(str(log))
        write(pipe, lines(0, 20_000))
        client.position(str(log))
        daemon.process.send_signal(signal.SIGTERM)
        for number in numbers:
            assert told.until_end(number) == "shutting down"
        with pytest.raises(Disconnected):
            told.take(SECONDS)
        assert daemon.process.wait(SECONDS) == 0
        with pytest.raises(Disconnected):
            slow.until(lambda: False)
        os.close(pipe)


@pytest.mark.lengthy
def test_after_a_kill_each_byte_comes_once(tmp_path: Path) -> None:
    """The client connects to the next daemon by itself, and goes on from the last end."""
    log = tmp_path / "guest.log"
    received = b""
    with running(tmp_path / "daemon") as first:
        with first.client() as client:
            following = client.follow(str(log))
            pipe = client.open(str(log)).write_end
            write(pipe, lines(0, 500))
            while len(received) < 300 * _LINE_BYTES:
                chunk = next(following)
                assert not chunk.gap
                received += chunk.data
            client.position(str(log))
        first.process.kill()
        first.process.wait()
        os.close(pipe)
    with (
        running(tmp_path / "daemon") as second,
        second.client() as client,
        following,
        logged(client, log) as pipe,
    ):
        write(pipe, lines(500, 600))
        while len(received) < 600 * _LINE_BYTES:
            chunk = next(following)
            assert not chunk.gap
            received += chunk.data
    assert received == lines(0, 600)


@pytest.mark.lengthy
@by_default
def test_a_hand_over_in_a_flood_loses_nothing(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Of several subscriptions, one of a half-closed client; their numbers stay."""
    daemon = start_daemon("max_size = 2097152", "max_backups = 9")
    log = tmp_path / "guest.log"
    with (
        daemon.client() as client,
        feed(daemon) as following,
        RawFollower(daemon.socket) as half,
        logged(client, log) as pipe,
    ):
        told = Told(following)
        numbers = [following.follow(str(log)) for _ in range(3)]
        half.ask(1, "log.follow", path=str(log), encoding="base64")
        half.socket.shutdown(socket.SHUT_WR)
        half.answer()
        reading = threading.Thread(target=_read_lines, args=(half, received := bytearray()))
        reading.start()
        with Flood(pipe, 15_000_000) as flood:
            for _ in range(3):
                with another_image(daemon.process.pid):
                    daemon.process.send_signal(signal.SIGUSR1)
                    told.take(SECONDS)
                told.until_has(numbers[0], len(told.data[numbers[0]]) + 1)
            written = flood.stop()
        write(pipe, b"the end\n")
        expected = lines(0, written) + b"the end\n"
        for number in numbers:
            assert told.until_has(number, len(expected)) == expected
        reading.join()
        assert received == expected
        assert following.follow(str(log)) == 4
        assert told.gaps == []


def _read_lines(raw: RawFollower, received: bytearray) -> None:
    while not received.endswith(b"the end\n"):
        received += _bytes_of(raw.text())


@pytest.mark.lengthy
@by_default
def test_files_that_are_gone_go_over_for_those_who_read_them(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """A client that stood in a file whose name is gone gets the rest of it from the next image."""
    daemon = start_daemon("max_size = 2000000", "max_backups = 1")
    log = tmp_path / "guest.log"
    with daemon.client() as client, feed(daemon) as lazy, logged(client, log) as pipe:
        told = Told(lazy)
        number = lazy.follow(str(log))
        # It reads nothing, and stands in the first file; those after it are kept open for it.
        write(pipe, lines(0, 90_000))
        client.position(str(log))
        assert client.list()[0].rollovers == 4
        assert client.reexec()
        write(pipe, lines(90_000, 90_010))
        assert told.until_has(number, 90_010 * _LINE_BYTES) == lines(0, 90_010)
        assert told.gaps == []


@pytest.mark.lengthy
@by_default
def test_what_is_watched_goes_over(daemon: Daemon, tmp_path: Path) -> None:
    """What happened before to a client that does not read, and what happens afterwards."""
    flooded = tmp_path / "flooded.log"
    with daemon.client() as client, feed(daemon) as following, logged(client, flooded) as pipe:
        told = Told(following)
        number = following.follow(str(flooded))
        following.watch()
        write(pipe, lines(0, 20_000))
        with logged(client, tmp_path / "one.log"):
            client.reexec()
            with logged(client, tmp_path / "two.log"):
                told.until(lambda: len(told.logs) == 2)
        told.until(lambda: len(told.logs) == 4)
        names = [(one.kind, Path(one.log.path).name) for one in told.logs]
        assert names[:2] == [("opened", "one.log"), ("opened", "two.log")]
        assert sorted(names[2:]) == [("closed", "one.log"), ("closed", "two.log")]
        assert told.data[number]


@pytest.mark.lengthy
@by_default
def test_an_older_release_has_no_subscriptions(daemon: Daemon, tmp_path: Path) -> None:
    """They end before the document is written for it; without any, it is the same as ever."""
    log = tmp_path / "guest.log"
    with RawFollower(daemon.socket) as asking, feed(daemon) as following:
        told = Told(following)
        number = following.follow(str(log))
        asking.ask(1, "daemon.reexec", state_version=3)
        assert told.until_end(number) == "shutting down"
        assert asking.answer() is True
        with pytest.raises(RemoteError):
            following.unfollow(number)
        with daemon.client() as client, logged(client, log) as pipe:
            number = following.follow(str(log))
            write(pipe, b"x")
            assert told.feed.next(SECONDS) == FeedData(
                number, b"x", following.beginning(number), client.position(str(log))
            )


# The read-only socket.


def test_readers_of_the_group_follow_what_the_daemon_opens(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Any other file says nothing, whatever position is asked for, until it is opened as a log."""
    group = grp.getgrgid(os.getgid()).gr_name
    daemon = start_daemon(f'jsonrpc_ro_group = "{group}"')
    log, secret = tmp_path / "guest.log", tmp_path / "secret"
    secret.write_bytes(b"for root alone\n")
    status = secret.stat()
    with daemon.client() as client, Feed(f"{daemon.socket}-ro", SECONDS) as reader:
        told = Told(reader)
        quiet = [
            reader.follow(str(secret)),
            reader.follow(str(secret), Position(status.st_ino, 0)),
        ]
        number = reader.follow(str(log))
        reader.watch()
        with secret.open("ab") as file:
            file.write(b"more\n")
        with logged(client, log) as pipe:
            write(pipe, lines(0, 1))
            assert told.until_has(number, _LINE_BYTES) == lines(0, 1)
            known = reader.follow(str(log), Position(log.stat().st_ino, 0))
            assert told.until_has(known, _LINE_BYTES) == lines(0, 1)
        for one in quiet:
            assert told.data[one] == b""
        # (it is in its directory's next daemon's hands now, as any log)
        with logged(client, secret) as pipe:
            write(pipe, b"a guest\n")
            assert told.until_has(quiet[0], 8) == b"a guest\n"
        assert told.logs[0].kind == "opened"
