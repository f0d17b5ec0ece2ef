"""What comes while the program runs, in a process of its own, with a real server."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from harness.daemon import CHECKOUT
from tests.ctl.runner import runner
from tests.fleet.conftest import WEB, Line, Shelf
from tests.ship.test_nats import Server
from twisted_virtlog.fleet.program import main

pytestmark = pytest.mark.nats

_PROGRAM = "from twisted_virtlog.fleet.program import main; main()"
_SECONDS = 60.0
_LOG = "/var/log/web.log"


@contextmanager
def running(shelf: Shelf, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program; its output is read by the test."""
    command = [sys.executable, "-c", _PROGRAM, "--server", shelf.server.url, *arguments]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[bytes], count: int) -> Sequence[bytes]:
    """Wait for lines."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def web(number: int, host: str = "n17") -> Line:
    """Return a line of a guest."""
    return Line(host, _LOG, b"web %d\n" % number, WEB, "web", number)


def test_logs_are_followed(shelf: Shelf) -> None:
    """With those that begin later, to which a guest moves, and lines without an end."""
    shelf.put([web(0), web(1)])
    with running(shelf, "tail", "-f", "-n", "1", "--host", "n*") as process:
        assert lines(process, 1) == [b"n17:web.log | web 1\n"]
        shelf.put([web(2), web(3, "n18"), Line("m1", "/x", b"not\n")])
        assert lines(process, 2) == [b"n17:web.log | web 2\n", b"n18:web.log | web 3\n"]
        shelf.put([Line("n19", "/y.log", b"login: ")])
        assert process.stdout is not None
        expected = b"n19:y.log   | login: "
        assert process.stdout.read(len(expected)) == expected


def test_one_log_is_exact(shelf: Shelf) -> None:
    """Its bytes come as they are, in any pieces, from whichever host the guest is on."""
    shelf.put([web(0)])
    with running(shelf, "tail", "-f", _LOG) as process:
        assert lines(process, 1) == [b"web 0\n"]
        shelf.put([web(1, "n18"), Line("n18", _LOG, b"other\n"), web(2, "n18")])
        assert lines(process, 2) == [b"web 1\n", b"web 2\n"]


def test_what_is_not_there_yet_is_followed(shelf: Shelf) -> None:
    """By its path."""
    with running(shelf, "tail", "-f", "--json", "/x") as process:
        assert process.stdout is not None
        with running(shelf, "tail", "-f", "/y") as other:
            # (nobody knows when they have begun)
            for number in range(200):
                shelf.put([Line("n1", "/x", b"%d\n" % number), Line("n1", "/y", b"y\n")])
                if other.poll() is None and _has_come(process) and _has_come(other):
                    break
        assert b'"host":"n1","path":"/x"' in process.stdout.readline()


def _has_come(process: subprocess.Popen[bytes]) -> bool:
    return bool(select.select([process.stdout], [], [], 0.1)[0])


@pytest.mark.lengthy
def test_each_byte_comes_once_over_kills_of_the_server(shelf: Shelf) -> None:
    """And in order."""
    shelf.put([web(0)])
    with running(shelf, "tail", "-f", _LOG) as process:
        assert lines(process, 1) == [b"web 0\n"]
        for round_ in range(2):
            first = 1 + 20 * round_
            shelf.put([web(number) for number in range(first, first + 10)])
            shelf.server.kill()
            shelf.server.start()
            shelf.put([web(number) for number in range(first + 10, first + 20)])
            found = lines(process, 20)
            assert found == [b"web %d\n" % number for number in range(first, first + 20)]


@pytest.mark.lengthy
def test_a_line_is_waited_for(shelf: Shelf) -> None:
    """Also a prompt, over a restart of the server."""
    with (
        running(shelf, "wait", "--for", "login: $", "--domain", "web") as process,
        running(shelf, "wait", _LOG, "--for", "x", "--not", "web 1[0-9]") as other,
    ):
        # (who has not begun when the server is killed learns that there is none)
        while shelf.readers() < 2:
            assert process.poll() is None
            assert other.poll() is None
        for number in range(200):
            shelf.put([web(number), Line("n17", _LOG, b"login: ", WEB, "web", number)])
            if number == 5:
                shelf.server.kill()
                shelf.server.start()
            if _has_come(process) and _has_come(other):
                break
        assert process.wait(_SECONDS) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b"n17:/var/log/web.log:login: \n"
        assert other.wait(_SECONDS) == 1
        assert other.stdout is not None
        assert b"web 1" in other.stdout.read()


def test_no_server_is_waited_for_at_the_beginning(shelf: Shelf) -> None:
    """Who types a command learns at once that there is none, or no stream."""
    result = shelf.run("--timeout", "60", "tail", "-f", env={"VIRTLOG_FLEET_CONFIG": "/nowhere"})
    assert result.exit_code == 2
    assert "/nowhere: it cannot be read" in result.stderr
    shelf.server.kill()
    result = shelf.run("--timeout", "60", "ls")
    assert result.exit_code == 3
    assert shelf.server.url in result.stderr
    shelf.server.start()


def test_a_server_without_a_stream_says_so(server: Server) -> None:
    """At once."""
    result = runner().invoke(main, ["--server", server.url, "ls"])
    assert (result.exit_code, result.stderr) == (3, "virtlog-fleet: there is no stream virtlog\n")
