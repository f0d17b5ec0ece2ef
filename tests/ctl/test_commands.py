"""virtlogctl against a daemon on a real UNIX socket: what it prints, and how it ends."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.client.fake_daemon import INODE, LEDGER, LOG, FakeDaemon, Params, Refusal
from tests.ctl.runner import runner
from twisted_virtlog.ctl import main
from twisted_virtlog.ctl.holders import Holder, Holders

Run = Callable[..., Result]

LEDGER_TEXT = """\
since 2024-02-29T12:00:00Z
received                 20
  written                 3
  dropped, write error    1
  dropped, rate           2
  dropped, quota          3
  dropped, stopped        4
  pending                 5
found                   100
+ written, guest          3
+ written, appended       6
+ written, notices        7
+ added by others        20
  kept                   50
  held                    0
  removed, rotation      60
  removed, age            1
  removed, quota          2
  removed, truncate       3
  removed, asked          4
  cut by others           8
  removed by others       9
unread by shipper        11
holds: NO
"""


@pytest.fixture
def run(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that runs virtlogctl, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        return runner().invoke(
            main, ["--socket", str(daemon.path), *arguments], input=stdin, prog_name="virtlogctl"
        )

    return run


def output(result: Result) -> str:
    """Return what a command that succeeded printed."""
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_info_and_list_are_tables(daemon: FakeDaemon, run: Run) -> None:
    """People see names, numbers and columns."""
    daemon.answers["log.list"] = lambda _params: [LOG]
    assert "pid              42\n" in output(run("info"))
    assert f"socket           {daemon.path}\n" in output(run("info"))
    assert output(run("list")).splitlines()[1].split()[:8] == [
        *("/var/log/web.log", "open", "web", "qemu", "5:1234", "1234", "0", "2024-02-29T12:00:00Z")
    ]


@pytest.mark.parametrize("before", [True, False])
def test_json_is_for_programs(daemon: FakeDaemon, run: Run, before: bool) -> None:
    """--json may stand before or after the command, and prints one JSON text."""
    daemon.answers["log.list"] = lambda _params: [LOG]
    daemon.logs["/a"] = b"12345"
    commands = ["list"], ["info"], ["position", "/a"], ["append", "/a", "6"]
    logs, info, position, appended = (
        json.loads(output(run("--json", *command) if before else run(*command, "--json")))
        for command in commands
    )
    assert logs[0]["domain"] == LOG["domain"]
    assert (info["limits"], info["socket"]) == ({"max_size": 2097152}, str(daemon.path))
    assert position == {"inode": INODE, "offset": 5, "birth": ""}
    assert appended == {"inode": INODE, "offset": 8, "birth": ""}


@pytest.mark.parametrize(
    "spelling", ["/w/../a/./web.log", "//a/web.log", "/a//web.log/", "{up}a/web.log"]
)
def test_a_path_is_made_absolute_and_normal(
    daemon: FakeDaemon, run: Run, tmp_path: Path, spelling: str
) -> None:
    """However a user writes it, the daemon is asked for the one name of the log."""
    daemon.logs["/a/web.log"] = b"x"
    up = "../" * (len(tmp_path.parts) - 1)
    assert output(run("position", spelling.format(up=up))) == f"{INODE}:1\n"


def test_read_writes_every_byte(daemon: FakeDaemon, run: Run) -> None:
    """NUL, broken UTF-8 and line ends of all kinds are untouched."""
    daemon.logs["/a"] = bytes(range(256)) * 10_000
    result = run("read", "/a")
    assert (result.exit_code, result.stdout_bytes) == (0, daemon.logs["/a"])


def test_read_cuts_out_what_it_is_told(daemon: FakeDaemon, run: Run) -> None:
    """--from takes what position prints, --bytes and --tail limit the output."""
    daemon.logs["/a"] = b"one\ntwo\nthree\n"
    assert output(run("read", "/a", "--from", f"{INODE}:4")) == "two\nthree\n"
    assert output(run("read", "/a", "--from", f"{INODE}:4", "--bytes", "5")) == "two\nt"
    assert output(run("read", "/a", "--tail", "2")) == "two\nthree\n"
    end = output(run("position", "/a")).strip()
    assert output(run("read", "/a", "--from", end)) == ""


def test_read_takes_a_position_with_its_birth(daemon: FakeDaemon, run: Run) -> None:
    """It is sent as it came; and left out where there is none, as older daemons refuse it."""
    daemon.logs["/a"] = b"one\ntwo\n"
    assert output(run("read", "/a", "--from", f"{INODE}:4:h1.a-_Z+0")) == "two\n"
    assert output(run("read", "/a", "--from", f"{INODE}:4")) == "two\n"
    asked = [one["params"] for one in daemon.requests if one["method"] == "log.read"]
    start = {"inode": INODE, "offset": 4}
    assert [one["position"] for one in asked] == [{**start, "birth": "h1.a-_Z+0"}, start]


def test_positions_are_printed_with_their_birth(daemon: FakeDaemon, run: Run) -> None:
    """As --from takes them; in JSON as the daemon sends them, large numbers as digits."""
    here = {"inode": str(2**60), "offset": 5, "birth": "h1.a"}
    daemon.answers["log.position"] = lambda _params: here
    assert output(run("position", "/a")) == f"{2**60}:5:h1.a\n"
    assert json.loads(output(run("--json", "position", "/a"))) == here


def test_read_in_json_tells_where_to_go_on(daemon: FakeDaemon, run: Run) -> None:
    """A program gets the data, in base64 if it must, and the positions."""
    daemon.logs["/a"] = "ä\nb\n".encode()
    assert json.loads(output(run("--json", "read", "/a"))) == {
        "data": "ä\nb\n",
        "encoding": "utf-8",
        "start": {"inode": INODE, "offset": 0, "birth": ""},
        "end": {"inode": INODE, "offset": 5, "birth": ""},
        "gap": False,
    }
    assert json.loads(output(run("--json", "read", "/a", "--bytes", "1"))) == {
        "data": base64.b64encode(b"\xc3").decode(),
        "encoding": "base64",
        "start": {"inode": INODE, "offset": 0, "birth": ""},
        "end": {"inode": INODE, "offset": 1, "birth": ""},
        "gap": False,
    }
    assert json.loads(output(run("--json", "read", "/a", "--tail", "1"))) == {
        "data": "b\n",
        "encoding": "utf-8",
        "end": {"inode": INODE, "offset": 5, "birth": ""},
        "gap": False,
    }


def test_a_gap_is_told_beside_the_data(daemon: FakeDaemon, run: Run) -> None:
    """Who asks for bytes that were rotated away is told, on standard error."""
    daemon.logs["/a"] = b"new\n"

    def read_from_the_oldest(params: Params) -> Any:
        answer = read({**params, "position": None})
        return {**answer, "gap": params["position"]["inode"] == 3}

    read, daemon.answers["log.read"] = daemon.answers["log.read"], read_from_the_oldest
    result = run("read", "/a", "--from", "3:100")
    assert (result.exit_code, result.stdout) == (0, "new\n")
    oldest = f"{INODE}:0"
    assert result.stderr == f"virtlogctl: /a: bytes are missing: rotated away before {oldest}\n"
    assert json.loads(run("--json", "read", "/a", "--from", "3:100").stdout)["gap"] is True


def test_append_writes_lines_and_files(daemon: FakeDaemon, run: Run) -> None:
    """A message is a line, or with -n as it is, and so is standard input."""
    assert output(run("append", "/a", "hello")) == f"{INODE}:6\n"
    assert output(run("append", "/a", "-n", "there")) == f"{INODE}:11\n"
    assert output(run("append", "/a", "-n", "!")) == f"{INODE}:12\n"
    assert output(run("append", "/a", "-", stdin="\r\nä".encode())) == f"{INODE}:16\n"
    assert daemon.logs["/a"] == "hello\nthere!\r\nä".encode()


def test_append_begins_a_line(daemon: FakeDaemon, run: Run) -> None:
    """A note stands by itself, also behind a prompt that has no newline after it."""
    daemon.logs["/a"] = b"login: "
    output(run("append", "/a", "shutting down"))
    output(run("append", "/a", "now"))
    assert daemon.logs["/a"] == b"login: \nshutting down\nnow\n"


def test_close_ends_a_log_by_force(daemon: FakeDaemon, run: Run) -> None:
    """The daemon closes it, and says what was lost."""
    daemon.logs["/a"] = b"12"
    close = daemon.answers["log.close"]
    daemon.answers["log.close"] = lambda params: {**close(params), "dropped": 7}
    assert (
        output(run("close", "/a")) == f"/a is closed at {INODE}:2; 7 bytes could not be written\n"
    )
    assert json.loads(output(run("--json", "close", "/a")))["dropped"] == 7
    assert run("close", "/none").exit_code == 1


def test_remove_goes_on_with_the_other_logs(daemon: FakeDaemon, run: Run) -> None:
    """Each that is removed is printed; one that cannot be is told, and the status says so."""
    daemon.logs.update({"/a": b"12", "/b": b"3"})
    assert output(run("remove", "/a")) == "/a is removed, 1 file with 2 bytes\n"
    result = run("remove", "/none", "/b", "//b")
    assert (result.exit_code, result.stdout) == (1, "/b is removed, 1 file with 1 byte\n")
    assert result.stderr == "virtlogctl: /none is not open\n"
    assert daemon.logs == {}
    daemon.logs.update({"/a": b"12", "/b": b"3"})
    lines = output(run("--json", "remove", "/a", "/b")).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"path": "/a", "files": 1, "bytes": 2},
        {"path": "/b", "files": 1, "bytes": 1},
    ]
    assert run("remove").exit_code == 2


def test_a_busy_log_is_told_with_those_who_hold_it(
    daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds a log open learns which processes keep it so, as far as may be seen."""
    seen = Holders(
        {4321: [Holder(17, "qemu-system-x86"), Holder(18, "helper\x1b")]}, all_seen=False
    )
    monkeypatch.setattr("twisted_virtlog.ctl.outcomes.find_holders", lambda _pipes: seen)
    pipe = 4321

    def refuse(_params: Params) -> Any:
        raise Refusal(1001, "/a is open already", {"path": "/a", "pipe": pipe})

    daemon.answers["log.open"] = refuse
    result = run("exec", "/a", "true")
    held = "held by 17 (qemu-system-x86), 18 (helper\\x1b)"
    assert result.exit_code == 1
    assert result.stderr == f"virtlogctl: /a is open already; its pipe is {held}\n"
    error = json.loads(run("--json", "exec", "/a", "true").stderr)["error"]
    assert (error["data"]["holders"][0], error["code"]) == (
        {"pid": 17, "command": "qemu-system-x86"},
        1001,
    )
    pipe = 5
    assert run("exec", "/a", "true").stderr.endswith(
        "; only root can see which process holds its pipe\n"
    )
    seen = Holders({}, all_seen=True)
    assert run("exec", "/a", "true").stderr.endswith("; its pipe is held by no process\n")


def test_list_shows_the_holders(
    daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked for by the number of the pipe."""
    asked: list[object] = []

    def found(pipes: object) -> Holders:
        asked.append(pipes)
        return Holders({4321: [Holder(17, "qemu")]}, all_seen=False)

    monkeypatch.setattr("twisted_virtlog.ctl.list_command.find_holders", found)
    daemon.answers["log.list"] = lambda _params: [LOG, {**LOG, "pipe": None}]
    assert [line.split()[8:] for line in output(run("list")).splitlines()] == [
        *(["HOLDERS"], ["17", "(qemu)"], ["?"])
    ]
    logs = json.loads(output(run("--json", "list")))
    assert [log["holders"] for log in logs] == [[{"pid": 17, "command": "qemu"}], None]
    assert [log["thread"] for log in logs] == [None, None]
    assert asked == [{4321}, {4321}]


def test_list_shows_threads(daemon: FakeDaemon, run: Run) -> None:
    """The mount point of each; a daemon from before them says nothing."""
    old = {name: value for name, value in LOG.items() if name != "thread"}
    daemon.answers["log.list"] = lambda _params: [{**LOG, "thread": "/srv"}, old]
    assert [line.split()[8] for line in output(run("list")).splitlines()] == ["THREAD", "/srv", "-"]
    assert [log["thread"] for log in json.loads(output(run("--json", "list")))] == ["/srv", None]


EVIL = "/a\x1b[31m\x07\n\x9b2J\u202e"
SHOWN = "/a\\x1b[31m\\x07\\n\\x9b2J\\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        ["position", EVIL],
        ["close", EVIL],
        ["remove", EVIL],
        ["read", EVIL],
        ["exec", "/a", EVIL],
        ["disconnect", EVIL, "7"],
        ["list", "--socket", EVIL],
        ["read", "/a", "--from", EVIL],
        ["--" + EVIL],
        ["a" + EVIL],
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_that_is_printed_is_obeyed_by_a_terminal(
    daemon: FakeDaemon, run: Run, arguments: list[str], as_json: bool
) -> None:
    """Names with control characters are escaped, in errors, answers and JSON."""
    daemon.answers["daemon.disconnect"] = lambda _params: True
    result = run(*["--json"] * as_json, *arguments)
    text = result.stdout + result.stderr
    assert "".join(text.split("\n")).isprintable()
    if as_json:
        json.loads(text)
        assert len(text.splitlines()) == 1
    else:
        # (a mistake on the command line is quoted as Python writes it)
        assert SHOWN in text or repr(EVIL)[1:-1] in text


def test_append_says_for_whom(daemon: FakeDaemon, run: Run) -> None:
    """Driver and guest reach the daemon."""
    uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
    output(run("append", "/a", "x", "--driver=qemu", "--domain-name=web", f"--domain-uuid={uuid}"))
    params = daemon.requests[-1]["params"]
    assert (params["driver"], params["domain"]) == ("qemu", {"uuid": uuid, "name": "web"})


def test_discover_prints_the_document(run: Run) -> None:
    """The OpenRPC document can be given to other tools."""
    assert json.loads(output(run("discover")))["openrpc"] == "1.2.6"


def test_metrics_are_printed_as_they_are(run: Run) -> None:
    """For other programs, with a line end at the end; or as a text in JSON."""
    text = 'virtlogd_logs_open{a="\u202e"} 1.0\n'
    assert output(run("metrics")) == text
    assert json.loads(output(run("--json", "metrics"))) == {"text": text}


def test_a_policy_says_where_each_word_is_from(daemon: FakeDaemon, run: Run) -> None:
    """For people below headings, and what others have written without control characters."""
    lines = output(run("policy", "/a")).splitlines()
    assert lines[0].split() == ["WORD", "VALUE", "FROM", "ENTRY"]
    assert lines[2].split() == ["on_rate", "block", "on_rate", "-"]
    assert lines[3].split() == ["rate", "262144", "policies[1]", r"domain:\u202e", "rate=262144"]
    assert daemon.requests[-1]["params"] == {"path": "/a"}
    told = json.loads(output(run("--json", "policy", "/a")))
    assert told["on_rate"] == {"value": "block", "from": "on_rate", "entry": None}


def test_consumers_are_listed_and_forgotten(daemon: FakeDaemon, run: Run) -> None:
    """With what each has yet to read; "list" need not be said."""
    one = {
        "consumer": "nats",
        "path": "/a",
        "position": {"inode": 7, "offset": 8, "birth": "h1.a"},
        "lag_bytes": 9,
        "lag_s": 3725.5,
        "held_bytes": 2,
        "unread_bytes": 1,
    }
    two = {**one, "consumer": "web\n", "position": None, "lag_bytes": None, "lag_s": None}
    daemon.answers["consumer.list"] = lambda _params: [one, {**one, "lag_s": 0}, two]
    daemon.answers["consumer.forget"] = lambda _params: True
    text = output(run("consumers"))
    assert text.splitlines() == [
        "CONSUMER  PATH  POSITION  LAG  READ          HELD  UNREAD",
        "nats      /a    7:8:h1.a    9  01:02:05 ago     2       1",
        "nats      /a    7:8:h1.a    9  now              2       1",
        "web\\n     /a    -           -  -                2       1",
    ]
    assert output(run("consumers", "list")) == text
    assert json.loads(output(run("--json", "consumers")))[0] == one
    forgotten = "what nats has read of all logs is forgotten\n"
    assert output(run("consumers", "forget", "nats")) == forgotten
    assert daemon.requests[-1]["params"] == {"consumer": "nats"}
    assert "nats has read of /a" in output(run("consumers", "forget", "nats", "/a"))
    assert daemon.requests[-1]["params"] == {"consumer": "nats", "path": "/a"}


def test_a_ledger_is_two_sums(daemon: FakeDaemon, run: Run) -> None:
    """For people from top to bottom, in JSON as the daemon has it; of one log or of all."""
    assert output(run("ledger", "/a")) == LEDGER_TEXT
    assert daemon.requests[-1]["params"] == {"path": "/a"}
    assert json.loads(output(run("--json", "ledger")))["storage"] == LEDGER["storage"]
    assert "params" not in daemon.requests[-1]
    daemon.answers["log.ledger"] = lambda _params: LEDGER | {"storage": None, "holds": None}
    lines = output(run("ledger", "/a")).splitlines()
    assert (len(lines), lines[-1]) == (10, "holds: -")


def test_a_ledger_is_checked(daemon: FakeDaemon, run: Run) -> None:
    """What does not agree is said of each log, and the status says so; an error is status 4."""
    result = run("ledger", "--check", "/a")
    assert (result.exit_code, result.stdout) == (1, LEDGER_TEXT)
    said = "the counts do not agree: intake by 2, storage by -1 bytes"
    assert result.stderr == f"virtlogctl: /a: {said}\n"
    even = LEDGER | {
        "intake": LEDGER["intake"] | {"received": 18},
        "storage": LEDGER["storage"] | {"kept": 49},
        "holds": True,
    }

    def ledger(params: Params) -> Any:
        if params.get("path") == "/gone.log":
            raise Refusal(1002, "No open log file /gone.log")
        return even if params.get("path") == "/even.log" else LEDGER

    daemon.answers["log.ledger"] = ledger
    names = ("/even.log", "/gone.log", LOG["path"])
    daemon.answers["log.list"] = lambda _params: [{**LOG, "path": path} for path in names]
    result = run("ledger", "--check")
    assert result.exit_code == 1
    assert result.stderr == f"virtlogctl: {LOG['path']}: {said}\n"
    assert output(run("ledger", "--check", "/even.log")).endswith("holds: yes\n")
    assert run("ledger", "--check", "/gone.log").exit_code == 4
    assert run("ledger", "/gone.log").exit_code == 1


def test_an_answered_error_is_status_1(run: Run) -> None:
    """The daemon's own words, for people and for programs."""
    result = run("position", "/none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "virtlogctl: /none is not open\n"
    result = run("--json", "position", "/none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(result.stderr) == {
        "error": {"code": 1002, "message": "/none is not open", "data": {"path": "/none"}}
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["position"], "Missing argument 'PATH'"),
        (["position", ""], "path of a log is empty"),
        (["position", "/\udcff"], "not UTF-8"),
        (["read", "/a", "--from", "7"], "write INODE:OFFSET"),
        (["read", "/a", "--from", f"{2**64}:0"], "the inode in"),
        (["read", "/a", "--from", f"1:{2**63}"], f"out of range; the highest is {2**63 - 1}"),
        (["read", "/a", "--from", "7:0:"], "write INODE:OFFSET"),
        (["read", "/a", "--from", "7:0:a b"], "write INODE:OFFSET"),
        (["read", "/a", "--tail", "1", "--bytes", "1"], "cannot be used together"),
        (["read", "/a", "--bytes", "0"], "--bytes"),
        (["append", "/a", "x", "--domain-name", "web"], "go together"),
        (["append", "/a", "\udcff"], "UTF-8"),
        (["append", "/a", "-"], "not UTF-8 at byte 1"),
        (["exec", "/a"], "Missing argument 'COMMAND...'"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_mistake_on_the_command_line_is_status_2(
    daemon: FakeDaemon, run: Run, arguments: list[str], complaint: str
) -> None:
    """The message says what is wrong, and nothing is asked."""
    result = run(*arguments, stdin=b"a\xff")
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert daemon.requests == []


def test_a_mistake_on_the_command_line_is_told_in_json_too(daemon: FakeDaemon, run: Run) -> None:
    """A program that asked for JSON need not read prose."""
    for arguments in (["position", "--json"], ["--json", "position"], ["--json", "--nonsense"]):
        result = run(*arguments)
        error = json.loads(result.stderr)["error"]
        assert (result.exit_code, error["code"], error["data"]) == (2, None, None)
        assert "PATH" in error["message"] or "--nonsense" in error["message"]
    error = json.loads(runner().invoke(main, ["--json"]).stderr)["error"]
    assert error["message"] == "Missing command."
    # This one is no option.
    assert run("append", "--", "--json").stderr.startswith("Usage: ")
    assert daemon.requests == []


def test_a_daemon_that_is_not_there_is_status_3(tmp_path: Path) -> None:
    """The message names the socket and a command that starts a daemon there."""
    path = tmp_path / "a:b"
    result = runner().invoke(main, ["list", "--socket", str(path)])
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(
        f"virtlogctl: cannot connect to {path}: No such file or directory. To start a daemon"
    )
    assert result.stderr.endswith(f"twistd -n --pidfile= virtlogd --jsonrpc '{tmp_path}/a\\:b'\n")


def test_a_path_that_no_socket_can_have_is_told_at_once(tmp_path: Path) -> None:
    """With its length, and with what to do; a daemon could not be started there either."""
    path = f"{tmp_path}/{'x' * 107}"
    result = runner().invoke(main, ["list", "--socket", path])
    assert result.exit_code == 3
    assert f"too long: {len(path)} bytes, where a socket's may have 107; make a" in result.stderr
    assert "daemon" not in result.stderr


def test_a_daemon_that_hangs_up_is_status_3(daemon: FakeDaemon, run: Run) -> None:
    """So does a daemon end that serves another user, or that is stopping."""

    def hang_up(_params: Params) -> Any:
        raise ConnectionAbortedError

    daemon.answers["daemon.info"] = hang_up
    result = run("info")
    assert result.exit_code == 3
    assert "closed the connection before it answered daemon.info" in result.stderr
    assert str(daemon.path) in result.stderr


def test_the_default_socket_is_the_users_own(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without --socket a user's own daemon is asked."""
    (tmp_path / "libvirt").mkdir()
    (tmp_path / "libvirt" / "virtlogd-jsonrpc-sock").symlink_to(daemon.path)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runner().invoke(main, ["info"]).exit_code == 0


def test_the_environment_may_name_the_socket(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """VIRTLOGCTL_SOCKET does where --socket does not, on either side of the command."""
    monkeypatch.setenv("VIRTLOGCTL_SOCKET", str(daemon.path))
    assert runner().invoke(main, ["info"]).exit_code == 0
    none = str(tmp_path / "none")
    assert runner().invoke(main, ["info", "--socket", none]).exit_code == 3
    assert runner().invoke(main, ["--socket", none, "info"]).exit_code == 3
    monkeypatch.setenv("VIRTLOGCTL_SOCKET", none)
    assert runner().invoke(main, ["--socket", str(daemon.path), "info"]).exit_code == 0


def complete(words: str, daemon: FakeDaemon) -> list[str]:
    """Return what bash would offer."""
    result = runner().invoke(
        main,
        prog_name="virtlogctl",
        env={
            "_VIRTLOGCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": f"virtlogctl --socket {daemon.path} {words}",
            "COMP_CWORD": str(2 + len(words.split(" "))),
        },
    )
    return result.stdout.splitlines()


def test_the_shell_completes_open_logs(daemon: FakeDaemon) -> None:
    """The tab key knows the daemon's logs; where it has none, files."""
    daemon.answers["log.list"] = lambda _params: [LOG]
    assert complete("position /var", daemon) == ["plain,/var/log/web.log"]
    assert complete("position /home", daemon) == ["file,/home"]
    daemon.answers["log.list"] = lambda _params: [{**LOG, "path": "/var/\x1b"}]
    assert complete("position /var", daemon) == ["file,/var"]

    def refuse(_params: Params) -> Any:
        raise Refusal(1005, "the daemon is stopping")

    daemon.answers["log.list"] = refuse
    assert complete("position /var", daemon) == ["file,/var"]
