"""How a log is shown, in a real browser: with times, wrapped or not, and by its timeline."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.browser import Look, looking
from tests.web.conftest import Web

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.lengthy, pytest.mark.chromium]

#: Far from UTC, and without a summer time.
ZONE, OFFSET = "America/Phoenix", timedelta(hours=-7)

_COPIED = """() => {
  getSelection().selectAllChildren(document.getElementById("text"));
  return getSelection().toString();
}"""
_LABELS = """() => [...document.querySelectorAll("#text .line")].map((line) => line.dataset.time)"""


def labels(text: str) -> list[datetime]:
    """Return the times that stand beside lines."""
    return [
        datetime.fromisoformat(line.lstrip(" \u2264")).replace(tzinfo=timezone.utc)
        for line in text.splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize("view", ["terminal", "text"])
def test_times_stand_beside_lines(
    view: str, browser: Browser, listening: Web, pipe: int, tmp_path: Path
) -> None:
    """In the browser's zone or UTC; of what was there by the index, of the rest as it comes."""
    before = datetime.now(timezone.utc) - timedelta(seconds=2)
    os.write(pipe, b"first\r\nsecond\r\n")
    with looking(browser, listening, timezone_id=ZONE) as look:
        look.open(str(tmp_path / "a.log"), view=view)
        look.wait_for_line("second")

        def shown(count: int) -> list[datetime]:
            if view == "text":
                look.page.wait_for_function(
                    f"(count) => ({_LABELS})().filter(Boolean).length === count", arg=count
                )
                return labels("\n".join(look.page.evaluate(_LABELS)))
            look.page.wait_for_function(
                "(count) => gutter.textContent.split('\\n').filter(Boolean).length === count",
                arg=count,
            )
            return labels(look.page.inner_text("#gutter"))

        assert look.page.is_hidden("#gutter")
        look.page.keyboard.press("c")
        look.wait_for_text("#place", f"times in {ZONE}")
        local = shown(2)
        os.write(pipe, b"third\r\n")
        look.wait_for_line("third")
        assert shown(3)[:2] == local
        look.page.keyboard.press("u")
        look.wait_for_text("#place", "times in UTC")
        look.page.wait_for_function("() => location.hash.includes('utc=1')")
        times = shown(3)
        assert times[0] + OFFSET == local[0]
        after = datetime.now(timezone.utc) + timedelta(seconds=1)
        assert [before, *times, after] == sorted([before, *times, after])
        if view == "text":
            assert look.page.evaluate(_COPIED).split() == ["first", "second", "third"]
        # The address has how it is shown, so that a link shows a colleague the same.
        look.page.reload()
        look.wait_for_line("third")
        look.wait_for_text("#place", "times in UTC")
        # (the daemon may know it less exactly than who saw it come)
        assert times[0] <= shown(3)[0] <= datetime.now(timezone.utc)
        look.page.click("#times")
        look.page.wait_for_function("() => !location.hash.includes('times')")
        look.wait_for_line("third")
        assert look.page.is_hidden("#gutter")
        assert look.page.evaluate(_LABELS) == []
        assert look.wrong == []


def test_lines_are_wrapped_or_not(look: Look, pipe: int, tmp_path: Path) -> None:
    line = "0123456789" * 40
    os.write(pipe, f"{line}\r\n".encode())
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("0123456789")
    assert line not in look.lines()
    look.page.keyboard.press("w")
    look.wait_for_line(line)
    wide = "() => terminal.scrollWidth > terminal.clientWidth"
    look.page.wait_for_function(wide)
    look.page.evaluate("() => terminal.scrollTo(1e6, 0)")
    assert look.page.evaluate("() => terminal.scrollLeft") > 0
    look.page.reload()
    look.wait_for_line(line)
    assert look.page.get_attribute("#wrap", "aria-pressed") == "false"
    look.page.keyboard.press("t")
    look.page.wait_for_function("() => text.scrollWidth > text.clientWidth")
    look.page.click("#wrap")
    look.page.wait_for_function("() => text.scrollWidth <= text.clientWidth")
    look.page.keyboard.press("t")
    look.page.wait_for_function(f"() => !({wide})()")
    assert line not in look.lines()


def test_the_timeline_is_used_by_keys(look: Look, pipe: int, tmp_path: Path) -> None:
    """Moved in, marked, shown alone, and all of it again; said to those who do not see it."""
    os.write(pipe, b"a line\r\n")
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("a line")
    timeline = look.page.locator("#timeline svg")
    cursor = look.page.locator("#timeline rect.cursor")
    assert cursor.evaluate("(cursor) => getComputedStyle(cursor).display") == "none"
    look.page.keyboard.press("Shift+Tab")
    timeline.focus()
    assert cursor.evaluate("(cursor) => getComputedStyle(cursor).display") != "none"

    def said() -> str:
        return timeline.get_attribute("aria-valuetext") or ""

    newest = said()
    assert re.fullmatch(r"[-0-9]{10} [:0-9]{8}, .* B", newest)
    look.page.keyboard.press("PageUp")
    look.page.keyboard.press("ArrowLeft")
    assert said() <= newest
    assert look.page.locator("#timeline rect.brush").count() == 0
    look.page.keyboard.press("Shift+PageUp")
    look.page.keyboard.press("Shift+ArrowLeft")
    assert re.match(r"marked from [-0-9]{10} [:0-9]{8} to [-0-9]{10} ", said())
    assert look.page.locator("#timeline rect.brush").count() == 1
    assert look.page.inner_text("#timeline .where") == said()
    look.page.keyboard.press("Escape")
    assert "marked" not in said()
    look.page.keyboard.press("Shift+Home")
    with look.page.expect_request(re.compile("/api/timeline.*since=.*until=")):
        look.page.keyboard.press("Enter")
    look.page.locator("#all-time").wait_for()
    look.page.wait_for_function("() => document.activeElement?.closest('#timeline') !== null")
    look.page.keyboard.press("Escape")
    look.page.locator("#all-time").wait_for(state="hidden")
    look.page.wait_for_function("() => document.activeElement?.closest('#timeline') !== null")
    look.page.keyboard.press("Home")
    look.page.keyboard.press("Enter")
    look.page.wait_for_function("() => location.hash.includes('at=')")
    look.wait_for_text("#place", "reading")
    # Nothing is left to be taken back: that is the way to the list.
    look.page.keyboard.press("Escape")
    look.wait_for_text("#rows", "a.log")
