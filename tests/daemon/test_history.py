"""What is known of the past of a real daemon's logs, whatever becomes of the daemon and the disk.

The index has tests of its own; here it is beside logs that guests write, and processes end.
"""

from __future__ import annotations

import grp
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.daemon import CHECKOUT, Daemon, running
from harness.frozen_mount import frozen_mount
from tests.daemon.conftest import StartDaemon, wait_for_message
from tests.daemon.test_following import lines, logged, write
from tests.daemon.test_handover import until
from twisted_virtlog.client import BlockingClient, LogEvent, RemoteError
from twisted_virtlog.values import Boot, Domain, LogState, Position, TimeMark, TimeRange

SETTINGS = ("max_size = 65536", "max_backups = 3")
GUEST = Domain("c7a5fdbd-cdaf-9455-926a-d65c16db1809", "web")

#: What fails is tried again soon.
SOON = "from twisted_virtlog.history import keeping; keeping.WRITE_SECONDS = 0.05"

_MINUTE = timedelta(minutes=1)


class Past(NamedTuple):
    """All that is known of a log's past."""

    boots: Sequence[Boot]
    events: Sequence[LogEvent]
    times: Sequence[TimeMark]
    ranges: Sequence[TimeRange]


def past(client: BlockingClient, log: Path) -> Past:
    """Ask for it."""
    path = str(log)
    return Past(
        client.boots(path), client.events(path), client.times(path), client.locate(path, _hour())
    )


def _hour() -> datetime:
    """Return when no test had begun."""
    return datetime.now(timezone.utc) - timedelta(hours=1)


def kinds(client: BlockingClient, log: Path) -> list[str]:
    """Return what happened to a log."""
    return [event.kind for event in client.events(str(log))]


def closed(client: BlockingClient, log: Path) -> None:
    """Wait until a log is closed."""
    until(lambda: str(log) not in [one.path for one in client.list()])


def written(client: BlockingClient, log: Path, data: bytes) -> Position:
    """Let a guest come, write, and go; return where its output ends."""
    pipe = client.open(str(log), driver="qemu", domain=GUEST).write_end
    write(pipe, data)
    end = client.position(str(log))
    os.close(pipe)
    closed(client, log)
    return end


def kill(daemon: Daemon) -> None:
    """Kill a daemon."""
    daemon.process.kill()
    daemon.process.wait()


def own_log(daemon: Daemon) -> str:
    """Return what a daemon has logged."""
    return (Path(daemon.socket).parent / "daemon.log").read_text()


def index_of(directory: Path) -> Path:
    """Return where the index of a daemon in a directory is."""
    return directory / "state" / "history.sqlite"


# One process after another.


@pytest.mark.lengthy
@pytest.mark.parametrize("threads", ["auto", "always"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_next_process_knows_what_the_last_one_did(
    number: signal.Signals, threads: str, tmp_path: Path
) -> None:
    """Of a log that was rotated and opened several times, and is closed."""
    log = tmp_path / "guest.log"
    settings = [*SETTINGS, f'file_threads = "{threads}"']
    with running(tmp_path / "daemon", settings) as first:
        with first.client() as client:
            # (the first boot is gone, the second one's beginning too)
            for begin in (0, 100, 2500):
                end = written(client, log, lines(begin, begin + 2400))
            before = past(client, log)
            (known,) = client.list(closed=True)
        first.process.send_signal(number)
        first.process.wait()
    assert [boot.closed_at is None for boot in before.boots] == [False, False]
    assert [(boot.driver, boot.domain) for boot in before.boots] == [("qemu", GUEST)] * 2
    assert [event.kind for event in before.events] == ["closed", "opened", "closed"]
    assert before.times[-1].position == end
    (part,) = before.ranges
    assert (part.start, part.end) == (before.boots[0].start, end)
    with running(tmp_path / "daemon", settings) as second, second.client() as client:
        assert past(client, log) == before
        assert client.list(closed=True) == [known]
        assert (known.driver, known.domain) == ("qemu", GUEST)
        assert (known.state, known.position) == (LogState.CLOSED.value, None)
        assert known.closed_at == before.boots[-1].closed_at
        # It goes on there.
        again = written(client, log, b"again\n")
        now = past(client, log)
        assert list(now.boots[:-1]) == list(before.boots)
        assert now.boots[-1].start == end
        assert now.times[-1].position == again


@pytest.mark.lengthy
def test_a_stop_closes_what_is_open_and_a_kill_does_not(tmp_path: Path) -> None:
    """Nobody knows when a guest was gone that ended with a daemon that was killed."""
    stopped, killed = tmp_path / "stopped.log", tmp_path / "killed.log"
    for log, number in ((stopped, signal.SIGTERM), (killed, signal.SIGKILL)):
        with (
            running(tmp_path / "daemon") as daemon,
            daemon.client() as client,
            logged(client, log) as pipe,
        ):
            write(pipe, b"a line\n")
            client.position(str(log))
            (boot,) = client.boots(str(log))
            assert boot.closed_at is None
            daemon.process.send_signal(number)
            daemon.process.wait()
    with running(tmp_path / "daemon") as daemon, daemon.client() as client:
        (boot,) = client.boots(str(stopped))
        assert boot.closed_at is not None
        assert boot.opened_at <= boot.closed_at <= datetime.now(timezone.utc)
        assert kinds(client, stopped) == ["opened", "closed"]
        (boot,) = client.boots(str(killed))
        assert boot.closed_at is None
        assert kinds(client, killed) == ["opened"]
        states = {Path(log.path): (log.state, log.closed_at) for log in client.list(closed=True)}
        assert states[killed] == (LogState.CLOSED.value, None)
        assert states[stopped][0] == LogState.CLOSED.value


@pytest.mark.lengthy
def test_what_came_right_before_a_kill_is_found_all_the_same(tmp_path: Path) -> None:
    """No byte is missed, only times are less exact: those that were in memory alone."""
    log = tmp_path / "guest.log"
    with (
        running(tmp_path / "daemon", SETTINGS) as daemon,
        daemon.client() as client,
        logged(client, log) as pipe,
    ):
        write(pipe, lines(0, 1500))
        end = client.position(str(log))
        # (what is answered is in the file)
        (before,) = client.boots(str(log))
        kill(daemon)
    with running(tmp_path / "daemon", SETTINGS) as daemon, daemon.client() as client:
        (boot,) = client.boots(str(log))
        assert boot == before
        (part,) = client.locate(str(log), boot.opened_at, datetime.now(timezone.utc))
        assert (part.start, part.end) == (boot.start, end)


@pytest.mark.lengthy
def test_readers_of_the_group_are_served_what_was_known_before(tmp_path: Path) -> None:
    """Over a kill, after which there is no document of a former image; and nothing else."""
    group = grp.getgrgid(os.getgid()).gr_name
    settings = [f'jsonrpc_ro_group = "{group}"']
    log, noted, secret = (tmp_path / name for name in ("guest.log", "noted.log", "secret"))
    secret.write_text("for root alone")
    with running(tmp_path / "daemon", settings) as daemon, daemon.client() as client:
        written(client, log, b"a guest\n")
        client.append(str(noted), "a note\n", driver="notes")
        before = past(client, log)
        kill(daemon)
    with running(tmp_path / "daemon", settings) as daemon:
        with daemon.client() as client:
            # (it is known once this is answered)
            assert [Path(one.path) for one in client.list(closed=True)] == [log, noted]
            assert client.info().counts["known_logs"] == 2
        with BlockingClient(f"{daemon.socket}-ro", 60) as reader:
            assert past(reader, log) == before
            assert reader.read(str(log)).data == b"a guest\n"
            assert reader.read(str(noted)).data == b"a note\n"
            assert reader.boots(str(noted)) == []
            assert [Path(one.path) for one in reader.list(closed=True)] == [log, noted]
            for ask in (reader.boots, reader.events, reader.times, reader.locate):
                with pytest.raises(RemoteError) as refused:
                    ask(str(secret))
                assert refused.value.code == 1011


# One image after another.


@pytest.mark.lengthy
@pytest.mark.parametrize("version", [None, 1])
def test_a_hand_over_is_no_opening_and_costs_no_times(
    version: int | None, daemon: Daemon, tmp_path: Path
) -> None:
    """Also to a release that knows no index, which the document is for then; again and again."""
    log, other = tmp_path / "guest.log", tmp_path / "other.log"
    with daemon.client() as client, logged(client, log) as pipe:
        written(client, other, b"of another\n")
        before = past(client, other)
        times: Sequence[TimeMark] = ()
        for begin in range(0, 900, 300):
            write(pipe, lines(begin, begin + 300))
            end = client.position(str(log))
            known = {mark.position for mark in client.times(str(log))}
            assert {mark.position for mark in times} <= known
            assert end in known
            assert client.reexec(state_version=version)
            times = client.times(str(log))
            assert {mark.position for mark in times} >= known
            assert _open_indexes(daemon) == [str(index_of(Path(daemon.socket).parent))]
            # (memory that is shared through a file is not there: NFS lacks it)
            names = [path.name for path in index_of(Path(daemon.socket).parent).parent.iterdir()]
            assert sorted(names) == ["history.sqlite", "history.sqlite-wal"]
        (boot,) = client.boots(str(log))
        assert (boot.start.offset, boot.closed_at) == (0, None)
        assert kinds(client, log) == ["opened"]
        assert past(client, other) == before
        (part,) = client.locate(str(log), boot.opened_at - _MINUTE)
        assert (part.start, part.end) == (boot.start, end)
        stamps = [mark.time for mark in times]
        assert stamps == sorted(stamps)


def _open_indexes(daemon: Daemon) -> list[str]:
    """Return the names of the index's file as a daemon has it open, each as often as it has."""
    directory = Path(f"/proc/{daemon.process.pid}/fd")
    names = [os.readlink(link) for link in directory.iterdir() if link.is_symlink()]
    return [name for name in names if name.endswith(".sqlite")]


def test_after_a_hand_over_that_was_refused_all_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    """The index was closed for it, and is open again."""
    log = tmp_path / "guest.log"
    no_daemon = tmp_path / "virtlogd"
    no_daemon.write_text("#!/bin/sh\nexit 1\n")
    no_daemon.chmod(0o755)
    with daemon.client() as client:
        for _ in range(3):
            written(client, log, b"a line\n")
            with pytest.raises(RemoteError) as refused:
                client.reexec(str(no_daemon))
            assert refused.value.code == 1007
        assert kinds(client, log) == ["opened", "closed"] * 3
        assert _open_indexes(daemon) == [str(index_of(Path(daemon.socket).parent))]
        kill(daemon)
    assert _openings(index_of(Path(daemon.socket).parent)) == 3


def _openings(file: Path) -> int:
    """Return how many openings are in a file that nobody has open."""
    with sqlite3.connect(file) as connection:
        count: int = connection.execute("SELECT count(*) FROM openings").fetchone()[0]
    connection.close()
    return count


# What happens to logs.


@pytest.mark.lengthy
def test_what_happens_to_a_log_is_told_with_where_it_was(daemon: Daemon, tmp_path: Path) -> None:
    """Of an outage, of another program's cut, and of a file that somebody removed."""
    directory = tmp_path / "logs"
    directory.mkdir()
    log = directory / "guest.log"
    with daemon.client() as client, logged(client, log) as pipe:
        write(pipe, lines(0, 10))
        end = client.position(str(log))
        os.truncate(log, 0)
        write(pipe, lines(10, 11))
        client.position(str(log))
        cut = client.events(str(log))[-1]
        assert (cut.kind, cut.bytes, cut.position.offset) == ("cut", 1000, 0)
        assert cut.position.inode == end.inode
        assert cut.position.birth != end.birth
        # (what was noted of the bytes that are gone is not told)
        (part,) = client.locate(str(log), _hour())
        assert (part.start.offset, part.end.offset) == (0, 100)
        log.unlink()
        directory.rmdir()
        write(pipe, lines(11, 12))
        until(lambda: client.list()[0].state == LogState.FAILING.value)
        directory.mkdir()
        until(lambda: client.list()[0].state == LogState.OPEN.value)
        write(pipe, lines(12, 13))
        assert client.position(str(log)).offset == 200
        assert kinds(client, log) == ["recovered"]
        (boot,) = client.boots(str(log))
        assert boot.start == Position(log.stat().st_ino, 0, boot.start.birth)


def test_a_file_that_is_missing_between_two_is_a_gap(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """It is told where the bytes go on, with when the last ones before came."""
    daemon = start_daemon("max_size = 1000", "max_backups = 3")
    log = tmp_path / "guest.log"
    with daemon.client() as client:
        written(client, log, lines(0, 30))
        assert kinds(client, log) == ["opened", "closed"]
        before = datetime.fromtimestamp((tmp_path / "guest.log.1").stat().st_mtime, timezone.utc)
        (tmp_path / "guest.log.0").unlink()
        opened, gap, end = client.events(str(log))
        assert (opened.kind, gap.kind, end.kind) == ("opened", "gap", "closed")
        assert (gap.position.inode, gap.position.offset) == (log.stat().st_ino, 0)
        assert abs(gap.time - before) < timedelta(milliseconds=1)
        assert len(client.locate(str(log), _hour())) == 2


@pytest.mark.lengthy
@pytest.mark.parametrize("keeps", [0, 1])
def test_a_truncating_open_begins_anew_unless_all_is_kept(
    keeps: int, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """As "nova reboot" does it: what is known goes with the bytes, and stays with them."""
    daemon = start_daemon(*SETTINGS, f"keep_on_truncate = {keeps}")
    log = tmp_path / "guest.log"
    with daemon.client() as client:
        written(client, log, b"the first\n")
        pipe = client.open(str(log), driver="nova", truncate=True).write_end
        write(pipe, b"the second\n")
        client.position(str(log))
        drivers = [boot.driver for boot in client.boots(str(log))]
        assert drivers == ["qemu", "nova"][1 - keeps :]
        assert kinds(client, log) == [*["opened", "closed"][: 2 * keeps], "opened"]
        assert client.read(str(log)).data == b"the first\nthe second\n"[10 * (1 - keeps) :]
        os.close(pipe)
        closed(client, log)
        client.reexec()
        assert [boot.driver for boot in client.boots(str(log))] == drivers


def test_without_an_index_of_times_there_are_those_of_files(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Openings and events are noted all the same; and times as well once they are wanted."""
    daemon = start_daemon("time_index = 0")
    log = tmp_path / "guest.log"
    with daemon.client() as client, logged(client, log) as pipe:
        for number in range(3):
            write(pipe, lines(100 * number, 100 * number + 100))
            end = client.position(str(log))
        (mark,) = client.times(str(log))
        modified = datetime.fromtimestamp(log.stat().st_mtime, timezone.utc)
        assert mark.position == end
        assert abs(mark.time - modified) < timedelta(milliseconds=1)
        (part,) = client.locate(str(log), _hour())
        assert (part.start.offset, part.end, part.exact_s) == (0, end, None)
        assert len(client.boots(str(log))) == 1
        assert kinds(client, log) == ["opened"]
        config = Path(daemon.socket).parent / "virtlogd.conf"
        config.write_text(config.read_text().replace("time_index = 0", "max_backups = 7"))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: client.info().limits["max_backups"] == 7)
        write(pipe, lines(300, 301))
        client.position(str(log))
        until(lambda: len(client.times(str(log))) > 1)
        assert client.times(str(log))[0].position == end


# Where the index is.


@pytest.mark.lengthy
def test_two_daemons_do_not_share_an_index(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """The later one says so, answers from its memory, and has the file when the other ends."""
    state = f'state_dir = "{tmp_path / "state"}"'
    first, second = start_daemon(state), start_daemon(state, patch=SOON)
    logs = [tmp_path / name for name in ("first.log", "second.log")]
    with first.client() as client:
        written(client, logs[0], b"a line\n")
        assert len(client.boots(str(logs[0]))) == 1
    with second.client() as client:
        written(client, logs[1], b"a line\n")
        assert len(client.boots(str(logs[1]))) == 1
        wait_for_message(second, "history.sqlite: another process has it; until that is over")
        assert [Path(log.path) for log in client.list(closed=True)] == logs[1:]
        first.process.send_signal(signal.SIGTERM)
        first.process.wait()
        until(lambda: [Path(log.path) for log in client.list(closed=True)] == logs)
        assert [len(client.boots(str(log))) for log in logs] == [1, 1]


def test_a_broken_index_is_set_aside(tmp_path: Path) -> None:
    """Nobody waits for that, and no log suffers."""
    log = tmp_path / "guest.log"
    index = index_of(tmp_path / "daemon")
    index.parent.mkdir(parents=True)
    index.write_bytes(b"no index" * 1000)
    with running(tmp_path / "daemon") as daemon, daemon.client() as client:
        written(client, log, b"a line\n")
        assert len(client.boots(str(log))) == 1
        wait_for_message(daemon, f"{index}.broken-1")
    assert index.with_name("history.sqlite.broken-1").read_bytes() == b"no index" * 1000
    assert _openings(index) == 1


@pytest.mark.lengthy
@pytest.mark.root
def test_on_a_full_disk_it_is_kept_in_memory(tmp_path: Path) -> None:
    """See full_state.py."""
    small = tmp_path / "small"
    small.mkdir()
    mount = 'mount -t tmpfs -o size=400k tmpfs "$1" && exec "$2" -m tests.daemon.full_state "$1"'
    run = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", mount),
            *("sh", str(small), sys.executable),
        ],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.lengthy
@pytest.mark.root
def test_a_disk_that_hangs_holds_up_the_past_alone(tmp_path: Path) -> None:
    """Logs go on, a hand-over is refused, and the daemon ends; at its start nobody waits either."""
    point = tmp_path / "point"
    point.mkdir()
    log = tmp_path / "guest.log"
    settings = [f'state_dir = "{point}/state"']
    with frozen_mount(point, tmp_path / "image") as mounted:
        with running(tmp_path / "daemon", settings) as daemon, daemon.client() as client:
            written(client, log, b"before\n")
            assert len(client.boots(str(log))) == 1
            mounted.freeze()
            written(client, log, b"meanwhile\n")
            with pytest.raises(RemoteError) as refused:
                client.boots(str(log))
            assert (refused.value.code, refused.value.data["errno"]) == (1003, "ETIMEDOUT")
            assert refused.value.data["mount"] == str(point)
            (part,) = client.locate(str(log), _hour())
            assert (part.start.offset, part.end.offset) == (0, 17)
            with pytest.raises(RemoteError, match=f"at {point}, which the times of logs are on"):
                client.reexec()
            assert client.read(str(log)).data == b"before\nmeanwhile\n"
            daemon.process.send_signal(signal.SIGTERM)
            status = Path(f"/proc/{daemon.process.pid}/status")
            until(lambda: "State:\tZ" in status.read_text())
            assert "the thread 'index of logs' waits" in own_log(daemon)
            mounted.thaw()
            assert daemon.process.wait(60) == 0
        mounted.freeze()
        with running(tmp_path / "daemon", settings) as daemon, daemon.client() as client:
            written(client, log, b"at its start\n")
            mounted.thaw()
            until(lambda: [Path(one.path) for one in client.list(closed=True)] == [log])
            assert [boot.start.offset for boot in client.boots(str(log))] == [0, 17]
