"""A page that is looked at while the daemon, or the program that serves it, is started again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.daemon import running
from tests.web.browser import Look, Proxy, chromium, looking
from tests.web.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from harness.daemon import Daemon

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.chromium,
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests, which have sessions of their own."""
    with chromium() as started:
        yield started


def write(daemon: Daemon, path: Path, data: bytes) -> None:
    """Print something, as a guest does that ends then."""
    with daemon.client() as client, open(client.open(str(path), "qemu").write_end, "wb") as pipe:
        pipe.write(data)


def shown(look: Look) -> list[str]:
    """Return the lines that are not empty."""
    return [line for line in look.lines() if line]


def test_the_daemon_is_started_again(browser: Browser, tmp_path: Path) -> None:
    """Nothing is lost, and nothing comes twice, whether it was stopped or killed."""
    directory, path = tmp_path / "daemon", tmp_path / "a.log"
    options = ("--daemon", str(directory / "jsonrpc-sock"), "--listen", "127.0.0.1:0")
    with serving(*options) as web, looking(browser, web) as look:
        look.open(str(path))
        look.wait_for_text("#status", "cannot connect")
        with running(directory) as stopped:
            look.wait_for_text("#place", "waiting for the log")
            write(stopped, path, b"first\r\n")
            look.wait_for_line("first")
        with running(directory) as killed:
            write(killed, path, b"second\r\n")
            look.wait_for_line("second")
            killed.process.kill()
            killed.process.wait()
        with running(directory) as daemon:
            write(daemon, path, b"third\r\n")
            look.wait_for_line("third")
            assert shown(look) == ["first", "second", "third"]
        assert look.wrong == []


def test_a_proxy_answers_while_the_program_is_started_again(
    browser: Browser, daemon: Daemon, tmp_path: Path
) -> None:
    """Nothing is lost, and nothing comes twice."""
    path = tmp_path / "a.log"
    token = str(tmp_path / "token")
    options = ("--daemon", daemon.socket, "--token-file", token, "--listen")
    write(daemon, path, b"0\r\n")
    with (
        serving(*options, "127.0.0.1:0") as first,
        looking(browser, first) as look,
        ExitStack() as stack,
    ):
        proxy = Proxy(look, "follow")
        look.open(str(path))
        look.wait_for_line("0")
        look.wait_for_text("#place", "following")
        before = first
        for number in range(1, 4):
            proxy.fail(*[502] * number)
            with look.page.expect_response(lambda answer: answer.status == 502):
                before.process.kill()
                before.process.wait()
            write(daemon, path, b"%d\r\n" % number)
            before = stack.enter_context(serving(*options, first.where))
            look.wait_for_line(str(number))
        assert shown(look) == ["0", "1", "2", "3"]
        assert look.wrong == []


def test_a_stream_that_ends_at_once_is_not_asked_for_at_once_again(
    browser: Browser, daemon: Daemon
) -> None:
    """A proxy may end it, whatever it answers; then a second passes each time."""
    begun = 0

    def end(route: Route) -> None:
        nonlocal begun
        begun += 1
        route.fulfill(status=200, content_type="text/event-stream", body="")

    with (
        serving("--daemon", daemon.socket, "--listen", "127.0.0.1:0") as web,
        looking(browser, web) as look,
    ):
        look.page.clock.install(time=0)
        look.page.route(re.compile("/api/list"), end)
        with look.page.expect_response(re.compile("/api/list")):
            look.open()
        look.page.clock.pause_at(3_600_000)
        before = begun
        # (many answers come meanwhile, and so would those)
        look.page.evaluate(
            "async () => { for (let i = 0; i < 50; i += 1) await fetch('list.js'); }"
        )
        assert begun <= before + 1
        with look.page.expect_response(re.compile("/api/list")):
            look.page.clock.resume()
