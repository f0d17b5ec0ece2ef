"""The program's commands, with a real server and what shippers of two hosts may have stored."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.fleet.conftest import DB, WEB, Line, Shelf
from tests.ship.test_nats import Server
from twisted_virtlog.ship import headers as names

pytestmark = pytest.mark.nats

WEB_LOG, DB_LOG, PLAIN = "/var/log/web.log", "/var/log/db.log", "/tmp/plain.log"

STORED = [
    *(Line("n17", WEB_LOG, b"web %d\n" % i, WEB, "web", i) for i in range(400)),
    # (the shipper of this host was behind when the guest had moved away)
    *(Line("n18", WEB_LOG, b"moved %d\n" % i, WEB, "web", 400 + i) for i in range(3)),
    *(Line("n17", WEB_LOG, b"late %d\n" % i, WEB, "web", 399 + i / 10) for i in range(1, 3)),
    Line("n18", DB_LOG, b"\xff1\n", DB, "db", 10),
    Line("n18", DB_LOG, b"pan", DB, "db", 11, {names.CUT: "end"}),
    Line("n18", DB_LOG, b"ic\n2", DB, "db", 12, {names.CUT: "both", names.MISSED: "5"}),
    Line("n17", PLAIN, b"here\n", seconds=20),
    Line("n18", PLAIN, b"there\n", seconds=21),
]
OF_WEB = b"".join(
    one.data for one in sorted(STORED, key=lambda one: one.seconds) if one.path == WEB_LOG
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Have a stream that all tests read."""
    server = Server(tmp_path_factory.mktemp("fleet") / "nats")
    found = Shelf(server)
    found.put(STORED)
    yield found
    server.kill()


def printed(shelf: Shelf, *arguments: str, status: int = 0) -> bytes:
    """Run the program; return what it printed."""
    result = shelf.run(*arguments)
    assert result.exit_code == status, result.stderr
    return result.stdout_bytes


def test_ls(shelf: Shelf) -> None:
    """Each host's logs, with guests, ends, numbers and times."""
    text = printed(shelf, "ls").decode()
    assert [line.split() for line in text.splitlines()] == [
        ["HOST", "PATH", "GUEST", "DRIVER", "POSITION", "MESSAGES", "LAST"],
        ["n17", PLAIN, "-", "qemu", "7:5:h1.x", "1", "2026-11-27T12:00:20Z"],
        ["n17", WEB_LOG, "web", "qemu", "7:3104:h1.x", "402", "2026-11-27T12:06:39Z"],
        ["n18", WEB_LOG, "web", "qemu", "7:24:h1.x", "3", "2026-11-27T12:06:42Z"],
        ["n18", PLAIN, "-", "qemu", "7:6:h1.x", "1", "2026-11-27T12:00:21Z"],
        ["n18", DB_LOG, "db", "qemu", "7:10:h1.x", "3", "2026-11-27T12:00:12Z"],
    ]
    (found,) = json.loads(printed(shelf, "--json", "ls", "--domain", "d*"))
    assert found == {
        "host": "n18",
        "path": DB_LOG,
        "domain": {"uuid": DB, "name": "db"},
        "driver": "qemu",
        "position": {"inode": 7, "offset": 10, "birth": "h1.x"},
        "messages": 3,
        "last": "2026-11-27T12:00:12+00:00",
    }
    at = "2026-11-27 12:00:20.5 UTC"
    assert printed(shelf, "ls", PLAIN, "--since", at).count(b"\n") == 2
    assert b"n17" in printed(shelf, "ls", PLAIN, "--until", at)
    assert b"n17" not in printed(shelf, "ls", "--host", "n18", DB_LOG)


def test_read(shelf: Shelf) -> None:
    """The bytes of a guest from both hosts, by time, or parts of them."""
    assert printed(shelf, "read", WEB_LOG) == OF_WEB
    assert printed(shelf, "read", WEB_LOG, "--tail", "4") == b"late 2\nmoved 0\nmoved 1\nmoved 2\n"
    assert printed(shelf, "read", WEB_LOG, "--bytes", "9") == b"web 0\nweb"
    assert printed(shelf, "read", WEB_LOG, "--host", "n18") == b"moved 0\nmoved 1\nmoved 2\n"
    start = OF_WEB.index(b"web 399") + 2
    assert printed(shelf, "read", WEB_LOG, "--from", f"7:{start}:h1.x") == OF_WEB[start:]
    assert printed(shelf, "read", WEB_LOG, "--from", "7:3104:h1.x") == b""
    since = ["--since", "2026-11-27 12:06:39 UTC", "--until", "2026-11-27 12:06:40 UTC"]
    assert printed(shelf, "read", WEB_LOG, *since) == b"web 399\nlate 1\nlate 2\nmoved 0\n"
    assert printed(shelf, "read", WEB_LOG, *since, "--tail", "1") == b"moved 0\n"
    result = shelf.run("read", DB_LOG)
    assert result.stdout_bytes == b"\xff1\npanic\n2"
    assert "n18:/var/log/db.log: bytes are missing before 7:6:h1.x" in result.stderr


def test_read_in_json(shelf: Shelf) -> None:
    """As virtlogctl has it, with the hosts of both ends."""
    found = json.loads(printed(shelf, "read", WEB_LOG, "--json"))
    assert found["data"] == OF_WEB.decode()
    assert found["start"] == {"host": "n17", "inode": 7, "offset": 0, "birth": "h1.x"}
    assert found["end"] == {"host": "n18", "inode": 7, "offset": 24, "birth": "h1.x"}
    assert found["gap"] is False
    part = ["read", WEB_LOG, "--json", "--from", "7:1", "--host", "n17", "--bytes", "2"]
    assert json.loads(printed(shelf, *part))["data"] == "eb"
    never = json.loads(printed(shelf, "read", WEB_LOG, "--json", "--until", "2020-01-01"))
    assert (never["data"], never["end"]["offset"]) == ("", 24)
    db = json.loads(printed(shelf, "read", DB_LOG, "--json", "--tail", "9"))
    assert base64.b64decode(db["data"]) == b"\xff1\npanic\n2"
    assert db["gap"] is True
    assert "start" not in db


def test_what_was_recorded_is_read_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the stream, where it is too much to keep."""
    monkeypatch.setattr("twisted_virtlog.ctl.recording.Recording.__init__.__defaults__", (16,))
    found = json.loads(printed(shelf, "read", WEB_LOG, "--json", "--from", "7:3000"))
    assert found["data"] == OF_WEB[3000:].decode()


def test_tail(shelf: Shelf) -> None:
    """The last lines, with names where there are several logs."""
    assert printed(shelf, "tail", WEB_LOG) == b"".join(OF_WEB.splitlines(keepends=True)[-10:])
    assert printed(shelf, "tail", WEB_LOG, "-n", "0") == b""
    assert printed(shelf, "tail", "-n", "1") == (
        b"n17:plain.log | here\nn18:web.log   | moved 2\nn18:plain.log | there\nn18:db.log    | 2"
    )
    since = ["--since", "2026-11-27 12:06:39.15 UTC"]
    assert printed(shelf, "tail", WEB_LOG, *since, "-n", "2") == b"moved 1\nmoved 2\n"
    assert printed(shelf, "tail", WEB_LOG, *since).startswith(b"late 2\nmoved 0\n")
    assert printed(shelf, "tail", WEB_LOG, "--from", "7:3103", "--host", "n17") == b"\n"
    stamped = printed(shelf, "tail", "--host", "n17", PLAIN, "--timestamps", "--json")
    assert json.loads(stamped) == {
        "host": "n17",
        "path": PLAIN,
        "start": {"inode": 7, "offset": 0, "birth": "h1.x"},
        "end": {"inode": 7, "offset": 5, "birth": "h1.x"},
        "data": "here\n",
        "encoding": "utf-8",
        "gap": False,
        "missed": None,
        "time": "2026-11-27T12:00:20+00:00",
    }


def test_grep(shelf: Shelf) -> None:
    """Lines that were cut into messages are whole; those of a guest come by time."""
    assert printed(shelf, "grep", "1$|late|moved", "--domain", "web", "-c") == (
        b"n17:/var/log/web.log:42\nn18:/var/log/web.log:3\n"
    )
    assert printed(shelf, "grep", "late|moved 0", WEB_LOG) == (
        b"n17:/var/log/web.log:late 1\nn17:/var/log/web.log:late 2\nn18:/var/log/web.log:moved 0\n"
    )
    assert printed(shelf, "grep", "moved 1", WEB_LOG, "--host", "n18", "-C", "1") == (
        b"moved 0\nmoved 1\nmoved 2\n"
    )
    result = shelf.run("grep", "panic", "--domain", DB)
    assert result.exit_code == 1
    assert "bytes are missing before 7:6:h1.x" in result.stderr
    found = json.loads(printed(shelf, "grep", "IC", "-i", "--json", DB_LOG))
    assert found["host"], found["path"] == ("n18", DB_LOG)
    assert found["position"] == {"inode": 7, "offset": 6, "birth": "h1.x"}
    nothing = ["grep", "x", PLAIN, "--host", "n17", "-c", "--since", "2026-11-29"]
    assert printed(shelf, *nothing, status=1) == b"0\n"
    assert printed(shelf, "grep", "x", "/nope", status=4) == b""
    assert shelf.run("grep", "(").exit_code == 2


def test_wait(shelf: Shelf) -> None:
    """For what is there already, from a time or a position on."""
    since = ["--since", "2026-11-27 12:00:00 UTC"]
    assert printed(shelf, "wait", WEB_LOG, "--for", "moved", *since) == b"moved 0\n"
    assert printed(shelf, "wait", "--for", "here", *since) == b"n17:/tmp/plain.log:here\n"
    found = json.loads(printed(shelf, "wait", DB_LOG, "--for", "2$", "--from", "7:6", "--json"))
    assert found == {
        "wanted": True,
        "host": "n18",
        "path": DB_LOG,
        "line": "2",
        "encoding": "utf-8",
        "end": {"inode": 7, "offset": 10, "birth": "h1.x"},
    }
    unwanted = ["wait", WEB_LOG, "--for", "moved", "--not", "web 39", *since]
    assert printed(shelf, *unwanted, status=1) == b"web 39\n"
    result = shelf.run("wait", WEB_LOG, "--for", "x", "--timeout", "0.2")
    assert result.exit_code == 124
    assert "no line that was waited for came within 0.2 seconds" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["read", "/nope"], 1, "nothing is stored of /nope"),
        (["read", PLAIN], 1, f"{PLAIN} is 2 logs, on n17, n18; choose by --host"),
        (["read", WEB_LOG, "--from", "8:1"], 1, "8:1 is not stored, or not any more"),
        (["tail", "--domain", "x"], 1, "no log is one of a guest x"),
        (["read", WEB_LOG, "--tail", "1", "--bytes", "1"], 2, "cannot be used together"),
        (["read", WEB_LOG, "--from", "7:1", "--since", "today"], 2, "cannot be used together"),
        (["tail", "--from", "7:1"], 2, "--from is a position in one log"),
        (["tail", WEB_LOG, "--from", "7:1", "--since", "today"], 2, "cannot be used together"),
        (["tail", "-f", "--until", "today"], 2, "cannot be used together"),
        (["wait", "--for", "x", "--from", "7:1"], 2, "--from is a position in one log"),
        (["wait", "--for", "("], 2, "is not a regular expression"),
        (["wait", WEB_LOG, "--for", "x", "--from", "7:1", "--since", "today"], 2, "together"),
        (["wait", "/nope", "--for", "x", "--from", "7:1"], 4, "nothing is stored of /nope"),
        (["ls", "--domain", "x", PLAIN], 2, "PATH and --domain cannot be used together"),
    ],
)
def test_it_says_what_is_wrong(shelf: Shelf, arguments: list[str], status: int, words: str) -> None:
    """With a status of its own."""
    result = shelf.run(*arguments)
    assert (result.exit_code, result.stdout_bytes) == (status, b"")
    assert words in result.stderr


def test_errors_can_be_had_in_json(shelf: Shelf) -> None:
    """As virtlogctl has them."""
    result = shelf.run("--json", "read", "/nope")
    assert json.loads(result.stderr)["error"]["message"] == "nothing is stored of /nope"


def test_paths_are_completed(shelf: Shelf) -> None:
    """From what is stored."""
    words = {"COMP_WORDS": "virtlog-fleet read /tmp/p", "COMP_CWORD": "2"}
    environment = {**words, "VIRTLOG_FLEET_SERVER": shelf.server.url}
    complete = {"_VIRTLOG_FLEET_COMPLETE": "bash_complete", **environment}
    result = shelf.bare(env=complete)
    assert result.stdout == f"plain,{PLAIN}\n"
    nobody = {**complete, "VIRTLOG_FLEET_SERVER": "nats://127.0.0.1:1"}
    assert not shelf.bare(env=nobody).stdout.strip()
