"""virtlogctl grep beside a daemon: over rotations, in many logs, in a time, on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from harness.daemon import Daemon
from tests.ctl.runner import runner
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import BlockingClient, Boot, Domain, Position, TimeRange
from twisted_virtlog.ctl import main
from twisted_virtlog.ctl.grep import reading

WEB = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web1")
DB = Domain("d7a5fdbd-edaf-9455-926a-d65c16db1809", "db")


def grep(daemon: Daemon, *arguments: str, json: bool = False) -> Result:
    """Run the command in this process."""
    options = ["--json"] if json else []
    return runner().invoke(main, ["--socket", daemon.socket, *options, "grep", *arguments])


def write(daemon: Daemon, log: str, text: bytes, domain: Domain | None = None) -> None:
    """Let a guest write to a log, and end."""
    with daemon.client() as client:
        write_end = client.open(log, "qemu", domain).write_end
        os.write(write_end, text)
        os.close(write_end)
        while any(one.path == log for one in client.list()):
            """Until the guest is known to be gone."""


@pytest.fixture(params=["by descriptors", "by log.read"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Search the files, or read by the daemon, as where it gives none."""
    if request.param == "by log.read":
        monkeypatch.setattr(reading.LogSource, "_files", lambda *_: None)
    name: str = request.param
    return name


@pytest.mark.lengthy
def test_all_that_was_written_is_found(start_daemon: StartDaemon, tmp_path: Path, way: str) -> None:
    """What is still in the pipe, and lines that go on in the next file."""
    daemon = start_daemon("max_size = 1024", "max_backups = 9")
    log = str(tmp_path / "log")
    lines = [b"%05d %s\r\n" % (number, b"x" * (number * 37 % 150)) for number in range(80)]
    with daemon.client() as client:
        write_end = client.open(log).write_end
        os.write(write_end, b"".join(lines) + b"login: ")
        result = grep(daemon, r"^...[05]\d x+$|: $", log)
        assert result.exit_code == 0
        wanted = [line for line in lines if line[3:4] in b"05" and not line.endswith(b" \r\n")]
        assert result.stdout_bytes == b"".join(wanted) + b"login: \n"
        os.close(write_end)


@pytest.mark.in_common
def test_statuses(daemon: Daemon, tmp_path: Path) -> None:
    """Found, not found, used wrongly, and refused by the daemon; each has another."""
    log = str(tmp_path / "log")
    write(daemon, log, b"hello\n")
    assert grep(daemon, "hello", log).exit_code == 0
    assert grep(daemon, "nothing", log).exit_code == 1
    result = grep(daemon, "(", log)
    assert result.exit_code == 2
    assert "REGEX: '(': missing ), unterminated subpattern at position 0" in result.stderr
    result = grep(daemon, "hello", f"{log}.other")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "no file of the log" in result.stderr
    assert grep(daemon, "hello", "--domain", "nobody").exit_code == 1
    assert grep(daemon, "hello", log, "--domain", "web1").exit_code == 2
    nobody = runner().invoke(main, ["--socket", f"{log}.socket", "grep", "hello", log])
    assert nobody.exit_code == 3


@pytest.mark.in_common
def test_several_logs(daemon: Daemon, tmp_path: Path) -> None:
    """The path is before each line; a log that is refused does not hold up the others."""
    web, db, other = (str(tmp_path / name) for name in ("web", "db", "other"))
    write(daemon, web, b"one\nhello web\n", WEB)
    write(daemon, db, b"hello db\n", DB)
    with daemon.client() as client:
        end = client.open(other).write_end
        os.write(end, b"hello other\n")
        result = grep(daemon, "hello", db, f"{web}.gone", web, db)
        assert result.exit_code == 4
        assert result.stdout == f"{db}:hello db\n{web}:hello web\n"
        assert f"{web}.gone" in result.stderr
        os.close(end)
    result = grep(daemon, "-c", "hello", web, db, other)
    assert result.stdout == f"{web}:1\n{db}:1\n{other}:1\n"
    assert grep(daemon, "--count", "hello", web).stdout == "1\n"


def test_the_logs_of_guests(daemon: Daemon, tmp_path: Path) -> None:
    """By the name or the number; or of all."""
    web, db = str(tmp_path / "web"), str(tmp_path / "db")
    with daemon.client() as client:
        ends = [
            client.open(log, "qemu", domain).write_end for log, domain in ((web, WEB), (db, DB))
        ]
        for end in ends:
            os.write(end, b"hello\n")
        assert grep(daemon, "hello", "--domain", "web*").stdout == f"{web}:hello\n"
        assert grep(daemon, "hello", "--domain", DB.uuid.upper()).stdout == f"{db}:hello\n"
        assert grep(daemon, "hello").stdout == f"{db}:hello\n{web}:hello\n"
        for end in ends:
            os.close(end)


@pytest.mark.in_common
def test_context_is_of_the_log(daemon: Daemon, tmp_path: Path, way: str) -> None:
    """Lines around those that match, with what is between left out."""
    log = str(tmp_path / "log")
    write(daemon, log, b"".join(b"%d\n" % number for number in range(20)))
    result = grep(daemon, "^(3|5|17)$", log, "-C", "1")
    assert result.stdout == "2\n3\n4\n5\n6\n--\n16\n17\n18\n"


@pytest.mark.lengthy
def test_objects_for_programs(start_daemon: StartDaemon, tmp_path: Path, way: str) -> None:
    """A position leads to its line again."""
    daemon = start_daemon("max_size = 1024", "max_backups = 9")
    log = str(tmp_path / "log")
    write(daemon, log, b"".join(b"%060d\r\n" % number for number in range(40)) + b"\xff7")
    result = grep(daemon, "7", log, json=True)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["data"] for one in found] == [
        *(f"{number:060d}\r\n" for number in (7, 17, 27, 37)),
        "/zc=",
    ]
    assert {one["path"] for one in found} == {log}
    assert found[1]["matches"] == [[59, 60]]
    for one in found[:-1]:
        position = one["position"]
        start = f"{position['inode']}:{position['offset']}:{position['birth']}"
        read = runner().invoke(
            main, ["--socket", daemon.socket, "read", log, "--from", start, "--bytes", "62"]
        )
        assert read.stdout_bytes.decode() == one["data"]
    result = grep(daemon, "--count", "7", log, json=True)
    assert json.loads(result.stdout) == {"path": log, "count": 5}
    error = grep(daemon, "7", f"{log}.other", json=True)
    assert json.loads(error.stderr)["error"]["code"] == 1002


def on_terminal(daemon: Daemon, *arguments: str, **environment: str) -> bytes:
    """Run the command on a terminal; return what that got."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "twisted_virtlog.ctl", "--socket", daemon.socket, *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:
            """The terminal is closed."""
        os.close(ours)
    assert process.returncode == 0
    return shown.replace(b"\r\n", b"\n")


@pytest.mark.lengthy
def test_a_terminal_shows_matches_and_obeys_no_guest(daemon: Daemon, tmp_path: Path) -> None:
    """Colours of guests stay, other sequences do not, unless it is asked for."""
    log = str(tmp_path / "log")
    write(daemon, log, b"\x1b[32mok\x1b]0;title\x07 \x1b[2Jhello\r\nother\n")
    match = b"\x1b[01;31mhello\x1b[m"
    shown = on_terminal(daemon, "grep", "hello", log, NO_COLOR="")
    assert shown == b"\x1b[32mok\\x1b]0;title\\x07 " + match + b"\x1b[0m\n"
    raw = on_terminal(daemon, "grep", "--raw", "hello", log, NO_COLOR="")
    assert raw == b"\x1b[32mok\x1b]0;title\x07 \x1b[2J" + match + b"\r\n"
    plain = on_terminal(daemon, "grep", "hello", log, NO_COLOR="1")
    assert plain == b"ok\\x1b]0;title\\x07 hello\n"
    counted = on_terminal(daemon, "grep", "-c", "hello", log)
    assert counted == b"1\n"


def test_many_files_come_in_several_answers(
    start_daemon: StartDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost or searched twice between them."""
    daemon = start_daemon("max_size = 1024", "max_backups = 20")
    log = str(tmp_path / "log")
    lines = [b"%05d %s\n" % (number, b"x" * (number * 37 % 150)) for number in range(150)]
    write(daemon, log, b"".join(lines))
    with daemon.client() as client:
        real: Callable[..., reading.LogFiles] = client.files
        answers = 0

        def few(path: str, start: object = None) -> reading.LogFiles:
            nonlocal answers
            answers += 1
            found = real(path, start)
            for file in found.files[3:]:
                os.close(file.descriptor)
            return reading.LogFiles(found.files[:3], more=len(found.files) > 3)

        monkeypatch.setattr(client, "files", few)
        source = reading.LogSource(client, lambda *_: None)
        pieces = list(source.pieces(log, reading.Range()))
        assert b"".join(piece.data for piece in pieces) == b"".join(lines)
        assert [piece.parted for piece in pieces] == [True] + [False] * (len(pieces) - 1)
        assert answers > 3


@pytest.mark.lengthy
def test_only_a_time_or_a_boot(
    start_daemon: StartDaemon, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole lines of the ranges that the daemon names, each line once."""
    daemon = start_daemon("max_size = 1024", "max_backups = 9")
    log = str(tmp_path / "log")
    lines = [b"%060d\n" % number for number in range(60)]
    with daemon.client() as client:
        write_end = client.open(log).write_end
        places = [client.position(log)]
        for line in lines:
            os.write(write_end, line)
            places.append(client.position(log))
        os.close(write_end)

    def within(number: int, offset: int) -> Position:
        after = places[number + 1]
        return msgspec.structs.replace(after, offset=after.offset - 61 + offset)

    asked: list[object] = []
    now = datetime.now(timezone.utc)
    ranges = [
        # From within a line to within another one; from within that one; and to the end of a line.
        TimeRange(within(3, 5), within(20, 10), now, now, 1.0),
        TimeRange(within(20, 30), within(22, 61), now, now, 1.0),
        TimeRange(within(40, 0), within(41, 1), now, now, 1.0),
    ]

    def locate(_: object, path: str, since: object, until: object) -> list[TimeRange]:
        asked.append((path, since, until))
        return ranges

    boots = [Boot(places[number], now, None, "qemu", None) for number in (0, 16, 17)]
    monkeypatch.setattr(BlockingClient, "locate", locate)
    monkeypatch.setattr(BlockingClient, "boots", lambda _client, _path: boots)
    result = grep(daemon, "", log, "--since", "2026-01-02T03:04:05Z")
    assert result.stdout_bytes == b"".join(lines[3:23] + lines[40:42])
    assert asked == [(log, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), None)]
    for boot, expected in (
        ("0", lines[17:]),
        ("-1", lines[16:17]),
        ("-2", lines[:16]),
        ("1", lines[:16]),
        ("3", lines[17:]),
    ):
        result = grep(daemon, "", log, "--boot", boot)
        assert result.stdout_bytes == b"".join(expected), boot
    result = grep(daemon, "", log, "--boot", "4")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "3 are kept" in result.stderr
    assert grep(daemon, "", log, "--boot", "0", "--since", "now").exit_code == 2


def test_a_part_that_was_rotated_away(
    start_daemon: StartDaemon, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of it is searched, and that some is missing is said; or nothing, if it is."""
    daemon = start_daemon("max_size = 1024", "max_backups = 1")
    log = str(tmp_path / "log")
    lines = [b"%063d\n" % number for number in range(40)]
    with daemon.client() as client:
        write_end = client.open(log).write_end
        places = []
        for line in lines:
            places.append(client.position(log))
            os.write(write_end, line)
        end = client.position(log)
        now = datetime.now(timezone.utc)
        kept = lines[16:]
        for ranges, expected in (
            ([(places[2], end)], kept),
            ([(places[2], places[20])], lines[16:20]),
            ([(places[2], places[5])], []),
            ([(places[2], places[5]), (places[20], end)], lines[20:]),
        ):
            found = [TimeRange(*one, now, now, None) for one in ranges]
            monkeypatch.setattr(BlockingClient, "locate", lambda *_, found=found: found)
            result = grep(daemon, "", log, "--until", "now")
            assert result.stdout_bytes == b"".join(expected)
            assert ("bytes are missing" in result.stderr) == (expected in (kept, lines[16:20]))
        os.close(write_end)


@pytest.mark.lengthy
def test_what_came_after_an_opening_or_a_time(daemon: Daemon, tmp_path: Path, way: str) -> None:
    """As the daemon itself noted it."""
    log = str(tmp_path / "log")
    texts = [b"first a\nfirst b\n", b"second a\nsecond b\n"]
    write(daemon, log, texts[0])
    between = datetime.now(timezone.utc)
    write(daemon, log, texts[1])
    for boot, expected in (("-1", texts[0]), ("1", texts[0]), ("0", texts[1])):
        assert grep(daemon, "", log, "--boot", boot).stdout_bytes == expected
    since = grep(daemon, "b$", log, "--since", between.isoformat())
    assert since.stdout.endswith("second b\n")
    later = (between + timedelta(hours=1)).isoformat()
    earlier = (between - timedelta(hours=1)).isoformat()
    assert grep(daemon, "a$", log, "--since", later).exit_code == 1
    assert grep(daemon, "a$", log, "--until", earlier).exit_code == 1
    found = grep(daemon, "a$", log, "--since", earlier, "--until", later)
    assert found.stdout == "first a\nsecond a\n"
