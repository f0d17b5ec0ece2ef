"""The list of all logs, in a real browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.daemon import running
from tests.web.browser import looking
from tests.web.conftest import UUID, serving
from twisted_virtlog.client import Domain

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.lengthy, pytest.mark.chromium]

_ROWS = """() => [...document.querySelectorAll("#rows tr")].map(
  (row) => [...row.cells].map((cell) => cell.textContent)
)"""
_ORDER = f"(wanted) => JSON.stringify(({_ROWS})().map((row) => row[1])) === JSON.stringify(wanted)"


def test_the_list_says_how_each_log_is(browser: Browser, tmp_path: Path) -> None:
    """Of guests that are off, too; the failing and the dropping ones first, if asked for."""
    quiet, dropping, off = (str(tmp_path / name) for name in ("a quiet", "b dropping", "c off"))
    failing = "/dev/full"
    with (
        running(tmp_path / "daemon", ["rate = 1000", "burst = 1000"]) as daemon,
        daemon.client() as client,
        serving("--daemon", daemon.socket, "--listen", "127.0.0.1:0") as web,
        looking(browser, web) as look,
        looking(browser, web) as other,
    ):
        ends = [client.open(path).write_end for path in (quiet, failing)]
        ends.append(client.open(dropping, "qemu", Domain(UUID, "guest")).write_end)
        client.open(off)
        client.close_log(off)
        os.write(ends[1], b"lost\n")
        os.write(ends[2], b"x" * 60_000)
        other.open(quiet)
        other.wait_for_text("#place", "following")
        look.open()

        def wait_for_order(*paths: str) -> None:
            look.page.wait_for_function(_ORDER, arg=list(paths))

        wait_for_order(failing, quiet, dropping, off)
        look.wait_for_text("#totals", "4 logs, 1 failing")
        look.wait_for_text("#rows", "closed")
        look.page.focus("#order")
        look.page.keyboard.type("failing")
        wait_for_order(failing, dropping, quiet, off)
        assert "order=state" in look.page.url
        # (rates come with the second list, and make a line of two)
        look.page.locator("#rows path.rates").first.wait_for(state="attached")
        look.page.wait_for_function("() => document.querySelector('#rows .dropping') !== null")
        rows = {row[1]: row for row in look.page.evaluate(_ROWS)}
        guest, _, state, rate, _, size, dropped, followers = rows[dropping]
        assert (guest, state, followers) == ("guest", "open", "")
        assert rate.endswith("/s")
        assert size.endswith(("B", "KiB"))
        assert dropped.endswith("KiB")
        assert rows[failing][2].startswith("failing: ")
        assert rows[quiet][7] == "1"
        assert rows[off][2:4] == ["closed", ""]
        look.page.check("#reverse")
        wait_for_order(off, quiet, dropping, failing)
        # One finds as one types, and a link shows a colleague the same.
        places = look.page.evaluate("() => history.length")
        look.page.keyboard.press("/")
        look.page.keyboard.type(str(tmp_path))
        wait_for_order(off, quiet, dropping)
        # (a letter is no place to go back to)
        assert look.page.evaluate("() => history.length") == places
        look.page.reload()
        wait_for_order(off, quiet, dropping)
        assert look.page.input_value("#find") == str(tmp_path)
        assert look.wrong == []
        for end in ends:
            os.close(end)


def test_the_list_is_shown_in_parts(browser: Browser, tmp_path: Path) -> None:
    """By keys, too, and each part has an address."""
    with (
        running(tmp_path / "daemon") as daemon,
        daemon.client() as client,
        serving("--daemon", daemon.socket, "--listen", "127.0.0.1:0") as web,
        looking(browser, web) as look,
    ):
        for number in range(60):
            path = str(tmp_path / f"{number:02}")
            client.open(path)
            client.close_log(path)
        look.open()
        look.wait_for_text("#totals", "1\u201350 of 60 found")
        look.page.keyboard.press("n")
        look.wait_for_text("#totals", "51\u201360 of 60 found")
        assert "first=50" in look.page.url
        assert look.page.is_disabled("#next")
        look.page.reload()
        look.wait_for_text("#totals", "51\u201360 of 60 found")
        look.page.keyboard.press("p")
        look.wait_for_text("#totals", "1\u201350 of 60 found")
        # A row is a link that keys reach.
        look.page.focus("#rows a")
        look.page.keyboard.press("Enter")
        look.wait_for_text("#path", str(tmp_path / "00"))
