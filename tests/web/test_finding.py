"""Finding a place in a log by a text, a time, a boot or a failure, in a real browser."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.browser import Look, Proxy
from tests.web.conftest import write
from twisted_virtlog.client import BlockingClient

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.chromium,
]


def search(look: Look, wanted: str) -> None:
    """Begin to search for a text."""
    look.page.fill("#pattern", wanted)
    look.page.keyboard.press("Enter")


def test_what_was_found_belongs_to_its_log(
    look: Look, client: BlockingClient, pipe: int, tmp_path: Path
) -> None:
    other = str(tmp_path / "b.log")
    write(client, other, b"in the other log\r\n")
    os.write(pipe, b"in this log\r\n")
    look.open(other)
    look.wait_for_line("in the other log")
    look.page.keyboard.press("/")
    search(look, "log")
    look.wait_for_text("#search-status", "1 lines found")
    look.page.click("#search-close")
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("in this log")
    look.page.keyboard.press("/")
    assert look.page.locator("#found button").count() == 0
    assert look.page.inner_text("#search-status") == ""


def test_only_the_last_search_is_answered(look: Look, pipe: int, tmp_path: Path) -> None:
    """One that takes long, and is answered later, is not shown in its place."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    look.page.route(re.compile("/api/search.*find=slow"), hold)
    os.write(pipe, b"slow\r\nquick\r\n")
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("quick")
    look.page.keyboard.press("/")
    with look.page.expect_request(re.compile("/api/search.*find=slow")):
        search(look, "slow")
    with look.page.expect_event("requestfailed"):
        search(look, "quick")
    look.wait_for_text("#search-status", "1 lines found")
    assert look.page.locator("#found button").all_inner_texts() == ["quick"]
    look.page.unroute_all(behavior="ignoreErrors")


def at(look: Look) -> str:
    """Return the offset that the address names."""
    return str(look.page.evaluate("new URLSearchParams(location.hash.slice(1)).get('at')")).split(
        ":"
    )[1]


def test_boots_are_gone_to_one_after_the_other(
    look: Look, client: BlockingClient, tmp_path: Path
) -> None:
    """From what is shown on, past those that have printed nothing, and to the first at the end."""
    path = str(tmp_path / "boots.log")
    for text in (b"", b"", b"one\r\n", b"two\r\n", b"three\r\n"):
        write(client, path, text)
    end = client.read(path).end
    look.open(path)
    look.wait_for_line("three")
    offsets = []
    for _ in range(4):
        before = look.page.url
        look.page.keyboard.press("b")
        look.page.wait_for_function("(before) => location.href !== before", arg=before)
        offsets.append(at(look))
    assert offsets == ["0", "5", "10", "0"]
    # A link, which is to no boot.
    look.open(path, at=f"{end.inode}:7:{end.birth}")
    look.wait_for_first_line("two")
    before = look.page.url
    look.page.keyboard.press("b")
    look.page.wait_for_function("(before) => location.href !== before", arg=before)
    assert at(look) == "10"


def test_the_timeline_is_asked_for_until_it_is_there(look: Look, pipe: int, tmp_path: Path) -> None:
    """Also where nothing comes meanwhile, as in a part that a link has opened."""
    os.write(pipe, b"a line\r\n")
    Proxy(look, "timeline", 502, 502)
    look.open(str(tmp_path / "a.log"), at="0:0")
    look.wait_for_line("a line")
    look.page.locator("#timeline rect.boot").wait_for(state="attached")


def test_a_time_is_typed_to_its_end(look: Look, pipe: int, tmp_path: Path) -> None:
    """Each part of it that is typed is not a time that anybody wants to go to."""
    os.write(pipe, b"a line\r\n")
    asked: list[str] = []
    look.page.on("request", lambda request: asked.append(request.url))
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("a line")
    entries = look.page.evaluate("history.length")
    look.page.fill("#time", "2020-01-01T00:00")
    look.page.wait_for_function("() => location.hash.includes('at=')")
    look.page.focus("#time")
    for key in "12312021":
        look.page.keyboard.press(key)
    assert [url for url in asked if "/api/locate" in url and "2021" in url] == []
    with look.page.expect_request(re.compile("/api/locate.*since=2021")):
        look.page.keyboard.press("Enter")
    look.page.wait_for_function(f"() => history.length === {entries + 2}")


@pytest.mark.parametrize("key", ["e", "b"])
def test_where_nothing_is_known_it_says_so(look: Look, tmp_path: Path, key: str) -> None:
    look.open(str(tmp_path / "nothing.log"))
    look.wait_for_text("#place", "waiting for the log")
    look.page.keyboard.press(key)
    look.page.wait_for_function("() => document.getElementById('status').textContent !== ''")
