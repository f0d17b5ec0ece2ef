"""The program serves who may look, and tells what is in the daemon's logs as it is."""

from __future__ import annotations

import base64
import grp
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from harness.daemon import CHECKOUT, Daemon, running
from tests.web.conftest import StartWeb, Stream, Web, serving, write
from twisted_virtlog.client import BlockingClient, Domain
from twisted_virtlog.web.places import place_text

pytestmark = pytest.mark.lengthy

GUESTS = ("c7a5fdbd-edaf-9455-926a-d65c16db1809", "c7a5fdbd-edaf-9455-926a-d65c16db1810")


def followed(stream: Stream, count: int) -> bytes:
    """Read so many bytes of a log that is followed."""
    data = b""
    while len(data) < count:
        event = stream.next()
        assert event.kind == "data"
        assert "gap" not in event.value
        data += base64.b64decode(str(event.value["data"]))
    return data


def test_the_socket_is_its_owners(web: Web) -> None:
    assert stat.S_IMODE(os.stat(web.where).st_mode) == 0o600
    assert web.get("/").status == 200


def test_a_socket_that_was_left_behind_is_replaced_but_no_other(
    serve: StartWeb, tmp_path: Path
) -> None:
    web = serve("--socket", str(tmp_path / "web.sock"))
    web.process.kill()
    web.process.wait()
    assert serve("--socket", web.where).get("/").status == 200
    (tmp_path / "file").write_text("")
    for path in (web.where, str(tmp_path / "file")):
        run = subprocess.run(
            [sys.executable, "-m", "twisted_virtlog.web", "--socket", path],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 1
        assert run.stderr.startswith(f"virtlog-web: {path}: it is")


@pytest.mark.parametrize(
    "options",
    [
        *(["--listen", "0.0.0.0:8080"], ["--listen", "192.0.2.1:80"], ["--listen", "8080"]),
        *(["--listen", "127.0.0.1:99999"], ["--listen", "127.0.0.1:0", "--trust-header", "X"]),
        *(["--token-file", "/t"], ["--no-such-option"]),
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "twisted_virtlog.web", *options],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("virtlog-web: ")


def test_a_port_is_for_who_knows_the_token(serve: StartWeb, tmp_path: Path) -> None:
    file = tmp_path / "token"
    web = serve("--listen", "127.0.0.1:0", "--token-file", str(file))
    assert web.token == file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # The page has no data.
    assert web.get("/", Authorization="").status == 200
    for what in ("list", "follow?path=/a", "window?path=/a", "download?path=/a", "search", "none"):
        for wrong in ("", "Bearer wrong-wrong-wrong-wrong", f"Basic {web.token}"):
            answer = web.get(f"/api/{what}", Authorization=wrong)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert web.ask("window", path="/no/such").status == 200


def test_others_pages_are_refused_before_a_stream_begins(web: Web) -> None:
    for headers, status in (
        ({"Host": "evil.example"}, 421),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
    ):
        for target in ("/api/list", "/api/follow?path=/a", "/index.html", "/"):
            answer = web.get(target, **headers)
            assert answer.status == status
            assert answer.headers["Content-Type"] == "application/json"
    assert web.get("/api/list", method="POST").status == 405


def test_every_answer_has_the_policy(web: Web) -> None:
    for target in ("/", "/no-such", "/api/", "/api/no-such", "/api/boots"):
        headers = web.get(target).headers
        assert "require-trusted-types-for 'script'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_group_may_reach_the_socket(serve: StartWeb, tmp_path: Path) -> None:
    groups = [group.gr_gid for group in grp.getgrall()] if os.geteuid() == 0 else os.getgroups()
    other = next((gid for gid in groups if gid != os.getegid()), os.getegid())
    web = serve("--socket", str(tmp_path / "sock"), "--group", grp.getgrgid(other).gr_name)
    seen = os.stat(web.where)
    assert (stat.S_IMODE(seen.st_mode), seen.st_gid) == (0o660, other)
    assert web.get("/").status == 200


def twistd(*options: str) -> subprocess.Popen[str]:
    """Begin to run twistd, which is not in the background."""
    # (the plugin of this checkout, whichever is installed)
    plugins = str(CHECKOUT / "twisted" / "plugins")
    code = (
        f"import twisted.plugins; twisted.plugins.__path__.insert(0, {plugins!r});"
        "from twisted.scripts.twistd import run; run()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "--pidfile=", "-n", "virtlog-web", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )


def test_twistd_serves_at_a_port_with_a_token_that_is_in_a_file(
    daemon: Daemon, tmp_path: Path
) -> None:
    """It tells the token nobody, neither in its log."""
    token = tmp_path / "token"
    with twistd(
        *("--daemon", daemon.socket, "--listen", "127.0.0.1:0", "--token-file", str(token))
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            while (match := re.search(r"starting on (\d+)", said)) is None:
                line = process.stdout.readline()
                assert line, said
                said += line
            web = Web(cast(Any, process), f"127.0.0.1:{match[1]}", token.read_text().strip())
            assert web.ask("window", path=str(tmp_path / "a")).status == 200
            assert web.get("/api/window?path=/a", Authorization="").status == 401
        finally:
            process.terminate()
        said += process.stdout.read()
    assert token.read_text().strip() not in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--listen", "127.0.0.1:0"], "goes with --token-file"),
        (["--token-file", "/t"], "goes with --listen"),
        (["--listen", "0.0.0.0:80", "--token-file", "/t"], "not of this machine alone"),
    ],
)
def test_twistd_says_what_it_cannot_serve(options: list[str], why: str) -> None:
    with twistd(*options) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert why in said


def test_a_header_names_users(serve: StartWeb, tmp_path: Path) -> None:
    web = serve("--socket", str(tmp_path / "web.sock"), "--trust-header", "X-User")
    assert web.get("/api/window?path=/a").status == 401
    assert web.get("/api/window?path=/a", X_User="alice").status == 200


def test_a_proxys_name_is_known(serve: StartWeb, tmp_path: Path) -> None:
    web = serve("--socket", str(tmp_path / "web.sock"), "--host", "Logs.Example")
    assert web.get("/", Host="logs.example").status == 200
    assert web.get("/", Host="localhost:8080").status == 200
    assert web.get("/", Host="other.example").status == 421


def test_a_log_is_followed_and_goes_on_by_the_last_id(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.log")
    with web.stream("follow", path=path) as stream:
        assert stream.next().kind == "begin"
        opened = client.open(path, "test")
        os.write(opened.write_end, b"first \x1b[0m\xff\n")
        event = stream.next()
    assert base64.b64decode(str(event.value["data"])) == b"first \x1b[0m\xff\n"
    assert event.number == event.value["end"] == place_text(client.position(path))
    os.write(opened.write_end, b"second\n")
    with web.stream("follow", {"Last-Event-ID": str(event.number)}, path=path) as stream:
        stream.next()
        assert followed(stream, 7) == b"second\n"
    os.close(opened.write_end)


def test_what_is_behind_is_skipped_if_asked_for(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    path = str(tmp_path / "a")
    data = b"".join(b"%098d\r\n" % number for number in range(2400))
    write(client, path, data)
    with web.stream("follow", path=path, skip=65536, **{"from": "0:0"}) as stream:
        assert stream.next().kind == "begin"
        before = b""
        while (event := stream.next()).kind == "data":
            before += base64.b64decode(str(event.value["data"]))
        assert event.kind == "skipped"
        assert event.number == event.value["end"]
        skipped = int(str(event.value["bytes"]))
        after = followed(stream, len(data) - len(before) - skipped)
    assert data.startswith(before)
    assert data.endswith(after)
    # (from the start of a line on, and no more than half of what may be behind)
    assert data[len(before) + skipped - 1 : len(before) + skipped] == b"\n"
    assert len(after) <= 32768 + 100


def test_a_stream_is_not_kept_back(web: Web, tmp_path: Path) -> None:
    with web.stream("follow", {"Accept-Encoding": "gzip"}, path=str(tmp_path / "a")) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Content-Encoding"] is None
    assert web.get("/api/follow?path=/a", method="HEAD").status == 200


def test_a_browser_that_does_not_read_holds_back_only_itself(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.log")
    write(client, path, b"".join(b"%07d\n" % number for number in range(20_000)))
    oldest = client.read(path, None, 1).start
    place = place_text(oldest)
    with web.stream("follow", path=path, **{"from": place}) as stream:
        assert stream.next().kind == "begin"
        # (what others ask is answered meanwhile)
        assert web.ask("boots", path=path).status == 200
        kept = client.read(path, oldest, 4 << 20).data
        assert followed(stream, len(kept)) == kept


def test_windows_begin_with_a_line_and_join(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    """Going back window by window over all files finds what was written, byte for byte."""
    path = str(tmp_path / "a.log")
    lines = b"".join(b"line %06d\n" % number for number in range(12_000))
    write(client, path, lines)
    before: str | None = ""
    found = b""
    while before is not None:
        answer = web.ask("window", path=path, before=before, bytes=10_000)
        assert answer.status == 200
        assert answer.headers["Virtlog-Gap"] == "0"
        assert not answer.body or answer.body.startswith(b"line ")
        found = answer.body + found
        is_first = answer.headers["Virtlog-Before"] == "0"
        before = None if is_first else answer.headers["Virtlog-Start"]
    assert found == lines
    # (in a newer file than that position)
    oldest = answer.headers["Virtlog-Start"]
    answer = web.ask("window", path=path, before=oldest, ahead=96_000, bytes=24)
    assert answer.body == b"line 007999\n"
    middle = web.ask("window", path=path, before="", bytes=30_001).headers["Virtlog-Start"]
    inode, offset, birth = middle.split(":")
    inside = f"{inode}:{int(offset) + 5}:{birth}"
    answer = web.ask("window", path=path, bytes=100, **{"from": inside})
    assert answer.headers["Virtlog-Start"] == middle
    assert answer.body.startswith(b"line ")


def test_windows_go_on_over_a_gap_and_say_so(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    """In both directions, where another program has removed a file from between two."""
    path = str(tmp_path / "a.log")
    lines = [b"line %06d\n" % number for number in range(24_000)]
    write(client, path, b"".join(lines[:18_000]))
    os.unlink(f"{path}.1")
    write(client, path, b"".join(lines[18_000:]))
    kept = web.ask("download", path=path).body
    assert len(kept) < 12 * 24_000
    for parameter, way, edge in (("from", "End", ""), ("before", "Start", "")):
        at, parts, gaps = edge, [], 0
        while True:
            answer = web.ask("window", path=path, bytes=30_000, **{parameter: at})
            parts.append(answer.body)
            before = int(answer.headers["Virtlog-Before"])
            gaps += answer.headers["Virtlog-Gap"] == "1"
            if (way == "End" and not answer.body) or (way == "Start" and not before):
                break
            assert answer.headers[f"Virtlog-{way}"] != at
            at = answer.headers[f"Virtlog-{way}"]
        assert gaps == 1
        if way == "Start":
            assert b"".join(reversed(parts)) == kept
        else:
            # (each begins with the line that the one before it has cut)
            seen = {line for part in parts for line in part.split(b"\n")}
            assert seen >= {line for line in kept.split(b"\n") if len(line) == 11}


def test_a_log_that_is_not_there_has_an_empty_window(web: Web, tmp_path: Path) -> None:
    answer = web.ask("window", path=str(tmp_path / "none"), before="")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Virtlog-Start"] is None


def test_a_download_is_the_log(web: Web, client: BlockingClient, tmp_path: Path) -> None:
    path = str(tmp_path / 'odd "name"\x01.log')
    data = os.urandom(150_000)
    write(client, path, data)
    answer = web.ask("download", path=path)
    assert answer.body == data
    assert answer.headers["Content-Disposition"] == 'attachment; filename="odd__name__.log"'


def test_boots_events_and_times_are_those_of_the_daemon(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.log")
    write(client, path, b"x" * 1000)
    (boot,) = web.ask("boots", path=path).json
    assert boot["start"] == place_text(client.boots(path)[0].start)
    kinds = [event["kind"] for event in web.ask("events", path=path).json]
    assert kinds == ["opened", "closed"]
    timeline = web.ask("timeline", path=path, columns=10).json
    assert sum(timeline["columns"]) == 1000
    assert [event["path"] for event in timeline["events"]] == [path, path]
    (found,) = web.ask("locate", path=path).json
    assert found["start"] == boot["start"]


def test_times_of_a_part_are_known(web: Web, client: BlockingClient, tmp_path: Path) -> None:
    path = str(tmp_path / "a.log")
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    write(client, path, b"first\nsecond\n")
    window = web.ask("window", path=path).headers
    part = {"from": window["Virtlog-Start"], "to": window["Virtlog-End"]}
    times = web.ask("times", path=path, **part).json
    left, time = times[-1]
    assert left == 0
    after = datetime.now(timezone.utc) + timedelta(seconds=1)
    assert before <= datetime.fromisoformat(time.replace("Z", "+00:00")) <= after
    assert web.ask("times", path=path).status == 400


def test_the_bytes_of_all_logs_of_a_guest_are_shown_together(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    paths = [str(tmp_path / name) for name in ("console", "channel", "of another guest")]
    for number, path in enumerate(paths):
        opened = client.open(path, "test", Domain(GUESTS[number // 2], f"guest{number // 2}"))
        with open(opened.write_end, "wb") as pipe:
            pipe.write(b"x" * 100 * (number + 1))
        client.close_log(path)
    for path, expected in ((paths[1], [paths[1], paths[0]]), (paths[2], [paths[2]])):
        timeline = web.ask("timeline", path=path, columns=10, guest=1).json
        assert timeline["paths"] == expected
        assert {event["path"] for event in timeline["events"]} == set(expected)
        assert timeline["left_out"] == 0
        assert sum(timeline["columns"]) == 300


def test_logs_of_a_guest_that_are_left_out_are_counted(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    for number in range(23):
        opened = client.open(str(tmp_path / str(number)), "test", Domain(GUESTS[1], "many"))
        client.close_log(str(tmp_path / str(number)))
        os.close(opened.write_end)
    timeline = web.ask("timeline", path=str(tmp_path / "7"), columns=10, guest=1).json
    assert (len(timeline["paths"]), timeline["left_out"]) == (20, 3)


def test_lines_are_found(web: Web, client: BlockingClient, tmp_path: Path) -> None:
    path = str(tmp_path / "a.log")
    lines = [b"line %06d of a guest\n" % number for number in range(9_000)]
    write(client, path, b"".join(lines))
    answer = web.ask("search", path=path, find="004321 OF", ignore_case=1).json
    (line,) = answer["lines"]
    assert line["text"] == "line 004321 of a guest"
    window = web.ask("window", path=path, bytes=24, **{"from": line["at"]})
    assert window.body.startswith(lines[4321])
    many = web.ask("search", path=path, find=r"^line 00[0-9]+5", regex=1).json
    assert (len(many["lines"]), many["ended_by"]) == (1000, "lines")
    wrong = web.ask("search", path=path, find="(", regex=1)
    assert wrong.status == 400
    assert "makes no sense" in str(wrong.json)


def test_lines_are_found_in_compressed_files(tmp_path: Path) -> None:
    settings = ["max_size = 65536", "max_backups = 3", 'compress = "zstd"']
    path = str(tmp_path / "a.log")
    lines = [b"[%8d] a line of a guest, and what it says\n" % number for number in range(4500)]
    with (
        running(
            tmp_path / "daemon", [*settings, "compress_from = 0", "compress_delay = 0"]
        ) as daemon,
        daemon.client() as client,
        serving("--daemon", daemon.socket, "--socket", str(tmp_path / "web.sock")) as web,
    ):
        write(client, path, b"".join(lines))
        backups = [f"{path}.{number}" for number in range(3)]
        while any(os.path.exists(name) or not os.path.exists(f"{name}.zst") for name in backups):
            client.info()
        answer = web.ask("search", path=path, find=r"^\[ +(7|4321)\]", regex=1).json
        assert answer["ended_by"] is None
        for number, line in zip((7, 4321), answer["lines"], strict=True):
            assert line["text"] == lines[number].decode().rstrip()
            window = web.ask("window", path=path, bytes=24, **{"from": line["at"]})
            assert window.body.startswith(lines[number][:20])
        with open(f"{path}.1.zst", "r+b") as packed:
            packed.truncate(100)
        answer = web.ask("search", path=path, find="a line of").json
        assert answer["ended_by"] == "lines"
        answer = web.ask("search", path=path, find="no such line").json
        assert answer == {"lines": [], "ended_by": "compressed"}


@pytest.mark.slow
def test_an_expression_that_takes_for_ever_is_given_up(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    """And holds nobody back meanwhile."""
    path = str(tmp_path / "a.log")
    write(client, path, b"first\n" + b"a" * 60 + b"b\n")
    with ThreadPoolExecutor(1) as pool:
        searched = pool.submit(web.ask, "search", path=path, find="first|(a+)+$", regex=1)
        assert web.ask("search", path=path, find="b").json["ended_by"] is None
        assert not searched.done()
        answer = searched.result().json
    assert answer["ended_by"] == "time"
    assert [line["text"] for line in answer["lines"]] == ["first"]


def test_the_list_is_told_as_it_changes(web: Web, client: BlockingClient, tmp_path: Path) -> None:
    with web.stream("list", find=str(tmp_path), order="state") as stream:
        assert stream.next().value["page"]["found"] == 0
        opened = client.open(str(tmp_path / "<b>.log"), "test")
        rows: list[dict[str, object]] = []
        while not rows:
            rows = stream.next().value["page"]["rows"]
        assert (rows[0]["path"], rows[0].get("state")) == (str(tmp_path / "<b>.log"), None)
        os.write(opened.write_end, b"x" * 5000)
        while not rows[0].get("rate"):
            rows = stream.next().value["page"]["rows"]
        os.close(opened.write_end)
        while rows[0].get("state") != "closed":
            rows = stream.next().value["page"]["rows"]


def test_queries_that_make_no_sense_are_refused(web: Web) -> None:
    for target in (
        "follow",
        "window?path=a",
        "list?order=no",
        "list?count=x",
        "follow?path=/a&from=x",
        "search?path=/a",
        "times?path=/a",
    ):
        assert web.get(f"/api/{target}").status == 400
    answer = web.get("/api/follow?path=/a", Last_Event_ID="1")
    assert (answer.status, "Last-Event-ID" in str(answer.json)) == (400, True)


def test_the_daemon_may_come_and_go(tmp_path: Path) -> None:
    """Who follows a log misses nothing, and the list says what is the matter."""
    path = str(tmp_path / "a.log")
    directory = tmp_path / "daemon"
    socket = directory / "jsonrpc-sock"
    with ExitStack() as stack:
        web = stack.enter_context(
            serving("--daemon", str(socket), "--socket", str(tmp_path / "web.sock"))
        )
        answer = web.ask("boots", path=path)
        assert answer.status == 503
        assert "cannot connect" in str(answer.json)
        with web.stream("list") as stream:
            assert stream.next().kind == "lost"
            with running(directory) as first, first.client() as client:
                while stream.next().kind != "rows":
                    pass
                followed_log = stack.enter_context(web.stream("follow", path=path))
                assert followed_log.next().kind == "begin"
                write(client, path, b"before\n")
        with running(directory) as second, second.client() as client:
            write(client, path, b"after\n")
            assert followed(followed_log, 13) == b"before\nafter\n"


def test_files_are_kept_by_browsers_until_they_change(web: Web) -> None:
    first = web.get("/filter.js", Accept_Encoding="gzip")
    assert first.headers["Content-Encoding"] == "gzip"
    assert first.headers["Content-Type"] == "text/javascript; charset=utf-8"
    again = web.get("/filter.js", If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    plain = web.get("/filter.js", Accept_Encoding="gzip;q=0")
    assert plain.headers["Content-Encoding"] is None
    assert b"TerminalFilter" in plain.body


def test_the_program_says_what_it_takes() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "twisted_virtlog.web", "--help"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0
    assert set(re.findall(r"--([a-z-]+)", run.stdout)) >= {"daemon", "listen", "trust-header"}
