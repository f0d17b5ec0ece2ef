"""virtlogctl on a terminal, beside a daemon: what it shows of logs that guests write to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon
from tests.tmux import Terminal, terminal
from twisted_virtlog.client import Domain

pytestmark = pytest.mark.tmux

WEB = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
EVIL = Domain("d7a5fdbd-edaf-9455-926a-d65c16db1809", "\x1b[2J\x1b]0;evil\x07")


@contextmanager
def shown(daemon: Daemon, folder: Path, *arguments: str, **environment: str) -> Iterator[Terminal]:
    """Run virtlogctl on a terminal."""
    command = [sys.executable, "-m", "twisted_virtlog.ctl", "--socket", daemon.socket, *arguments]
    with terminal(folder, command, {"PYTHONPATH": str(CHECKOUT), **environment}) as seen:
        yield seen


@contextmanager
def guest(daemon: Daemon, path: Path, domain: Domain | None = None) -> Iterator[int]:
    """Open a log; yields the guest's end of its pipe."""
    with daemon.client() as client:
        write_end = client.open(str(path), "qemu", domain).write_end
    try:
        yield write_end
    finally:
        os.close(write_end)


def first_log(text: str) -> str:
    """Return the name of the log in the first line of the table."""
    lines = text.splitlines()
    heading = next(number for number, line in enumerate(lines) if line.endswith("PATH"))
    return lines[heading + 1].rpartition("/")[2]


def fits(text: str, columns: int, lines: int) -> bool:
    """Return whether a table is whole on a terminal of a size."""
    found = text.splitlines()
    widths = [len(line) for line in found]
    return len(found) == lines and widths[0] == columns - 1 and "sort by:" in text


@pytest.mark.in_common
def test_top(daemon: Daemon, tmp_path: Path) -> None:
    """Logs come and go, keys sort and filter, the size changes, and names are harmless."""
    web, evil, late = (tmp_path / name for name in ("web.log", "evil.log", "late.log"))
    with ExitStack() as stack:
        stack.enter_context(guest(daemon, evil, EVIL))
        written = stack.enter_context(guest(daemon, web, WEB))
        seen = stack.enter_context(shown(daemon, tmp_path, "top", "--interval", "0.2"))
        text = seen.wait_for(lambda text: "q quit" in text)
        assert "2 logs, 0 failing" in text
        assert "\\x1b[2J\\x1b]0;evil" in text
        assert first_log(text) == evil.name

        # What is written to comes first.
        def is_first(text: str) -> bool:
            os.write(written, b"hello\n")
            return first_log(text) == web.name

        seen.wait_for(is_first)
        with guest(daemon, late):
            seen.wait_for(lambda text: late.name in text and "3 logs" in text)
        seen.wait_for(lambda text: late.name not in text and "2 logs" in text)
        seen.press("n")
        seen.wait_for(lambda text: "by path" in text and first_log(text) == evil.name)
        seen.press("i")
        seen.wait_for(lambda text: "by path, reversed" in text and first_log(text) == web.name)
        seen.press("/", "e", "v")
        seen.wait_for(lambda text: "/ev_" in text and web.name not in text)
        seen.press("Escape")
        seen.wait_for(lambda text: web.name in text and "/ev_" not in text)
        seen.press("Space")
        seen.wait_for(lambda text: "paused" in text)
        with guest(daemon, late):
            seen.press("Space")
            seen.wait_for(lambda text: "paused" not in text and late.name in text)
        seen.resize(60, 10)
        seen.wait_for(lambda text: fits(text, 60, 10))
        seen.press("q")
        assert seen.status() == 0


def test_top_outlives_the_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """It says that there is none, and keys go on to work."""
    with guest(daemon, tmp_path / "log"), shown(daemon, tmp_path, "top") as seen:
        seen.wait_for(lambda text: "1 log," in text)
        daemon.process.kill()
        seen.wait_for(lambda text: "trying again" in text)
        seen.press("n")
        seen.press("C-c")
        assert seen.status() == 130


@pytest.mark.lengthy
@pytest.mark.parametrize("kind", ["dumb", "no-such-terminal"])
def test_top_on_a_terminal_that_cannot_be_drawn_on(
    daemon: Daemon, tmp_path: Path, kind: str
) -> None:
    """It prints plain lines."""
    with guest(daemon, tmp_path / "log"):
        plain = ("sh", "-c", f'TERM={kind} exec "$@"', "sh")
        command = [*plain, sys.executable, "-m", "twisted_virtlog.ctl", "--socket", daemon.socket]
        environment = {"PYTHONPATH": str(CHECKOUT)}
        # (a path may be long)
        with terminal(tmp_path, [*command, "top"], environment, columns=300) as seen:
            text = seen.wait_for(lambda text: "/log" in text)
            assert "q quit" not in text
            assert "1 log, 0 failing" in text


@pytest.mark.in_common
def test_tail(daemon: Daemon, tmp_path: Path) -> None:
    """What a guest prints is shown as it comes, and the terminal obeys none of it."""
    log = tmp_path / "web.log"
    with guest(daemon, log, WEB) as written:
        os.write(written, b"before\n")
        with shown(daemon, tmp_path, "tail", "-f", "--until-closed", str(log)) as seen:
            seen.wait_for(lambda text: "before" in text)
            os.write(written, b"\x1b]0;evil\x07\x1b[31mred\x1b[0m\r\nlogin: ")
            text = seen.wait_for(lambda text: "login:" in text)
            assert "\\x1b]0;evil\\x07red" in text
            os.write(written, b"root\n")
            seen.wait_for(lambda text: "login: root" in text)
            with daemon.client() as client:
                client.close_log(str(log))
            assert seen.status() == 0


def test_tail_of_several_logs(daemon: Daemon, tmp_path: Path) -> None:
    """Names stand before the lines of each; a guest that is started later joins."""
    with ExitStack() as stack:
        seen = stack.enter_context(shown(daemon, tmp_path, "tail", "-f", "--domain", "w*"))
        one = stack.enter_context(guest(daemon, tmp_path / "one.log", WEB))
        other = stack.enter_context(guest(daemon, tmp_path / "other.log", EVIL))
        more = stack.enter_context(guest(daemon, tmp_path / "more.log", WEB))
        os.write(one, b"first\n")
        os.write(other, b"not one of these\n")
        os.write(more, b"second\n")
        text = seen.wait_for(lambda text: "first" in text and "second" in text)
        lines = {line.split()[-1]: line.split()[0] for line in text.splitlines() if "|" in line}
        assert lines == {"first": "one.log", "second": "more.log"}
        seen.press("C-c")
        assert seen.status() == 130
