"""Going through all that is kept of a log, in a real browser, and being told what is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.daemon import running
from tests.web.browser import Look, looking
from tests.web.conftest import UUID, serving
from twisted_virtlog.client import BlockingClient, Domain

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from harness.daemon import Daemon

pytestmark = [pytest.mark.lengthy, pytest.mark.chromium]

#: More than the terminal keeps.
MANY = 20_000

#: How many bytes are kept before what is shown.
_HAS = "(wanted) => window.shown.lines().some((line) => line.includes(wanted))"

_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


def scroll_beyond(look: Look, distance: float) -> list[str]:
    """Scroll at the edge, so that another part is shown; return its lines."""
    before = look.page.url
    look.page.mouse.wheel(0, distance)
    # (which names the part once it is drawn)
    look.page.wait_for_function("(before) => location.href !== before", arg=before)
    look.wait_for_text("#place", "reading")
    return [line for line in look.lines() if line]


@pytest.mark.parametrize("view", ["terminal", "text"])
def test_who_scrolls_beyond_the_edge_sees_what_is_there(
    view: str, look: Look, pipe: int, tmp_path: Path
) -> None:
    """Each part begins with a line, in colours of its own."""
    os.write(pipe, b"a line of before\r\n")
    for number in range(MANY):
        os.write(pipe, b"%d\r\n" % number)
    os.write(pipe, b"\x1b[31mred from here on\r\nand here\r\n")
    look.open(str(tmp_path / "a.log"), view=view)
    look.wait_for_line("and here")
    if view == "terminal":
        look.page.locator("#terminal .xterm-fg-1").first.wait_for()
    box = look.page.locator(f"#{view}").bounding_box()
    assert box is not None
    look.page.mouse.move(box["x"] + 50, box["y"] + box["height"] / 2)
    look.page.keyboard.press("Home")
    if view == "text":
        look.page.wait_for_function("() => text.scrollTop === 0")
    shown = scroll_beyond(look, -100)
    assert shown[0] in {"a line of before", *map(str, range(MANY))}
    assert [int(line) for line in shown[1:]] == [*range(int(shown[1]), int(shown[-1]) + 1)]
    assert int(shown[-1]) < MANY - 1
    assert look.page.locator("#terminal .xterm-fg-1").count() == 0
    assert scroll_beyond(look, 100)[0] == str(int(shown[-1]) + 1)


def test_the_next_failure_is_a_key_and_a_mark(browser: Browser, tmp_path: Path) -> None:
    path = str(tmp_path / "a.log")
    with (
        running(tmp_path / "daemon", ["rate = 1000", "burst = 1000"]) as daemon,
        daemon.client() as client,
        serving("--daemon", daemon.socket, "--listen", "127.0.0.1:0") as web,
        looking(browser, web) as look,
    ):
        opened = client.open(path, "qemu", Domain(UUID, "guest"))
        # (who asks for anything but the list gets all that was written)
        while not client.list()[0].dropped:
            os.write(opened.write_end, b"a line\r\n" * 1000)
        os.close(opened.write_end)
        # (a guest that has gone is counted to the end)
        while [event.kind for event in client.events(path)][-1:] != ["closed"]:
            client.info()
        look.open(path)
        look.wait_for_line("a line")
        look.page.locator("#timeline rect.failure").first.wait_for(state="attached")
        assert look.page.locator("#timeline rect.boot").count() == 1
        assert "dropped" in str(look.page.text_content("#timeline rect.failure title"))
        look.page.keyboard.press("e")
        look.wait_for_text("#place", "reading")
        assert "at=" in look.page.url
        # The log says so where it was, as everywhere.
        look.page.wait_for_function(_HAS, arg="bytes lost from")
        option = look.page.locator("#places option", has_text="dropped").first
        assert option.get_attribute("value") in look.page.evaluate("decodeURIComponent(location)")
        look.page.keyboard.press("b")
        look.page.wait_for_function("() => window.shown.lines()[0] === 'a line'")
        assert look.wrong == []


def test_what_is_not_kept_any_more_is_said_where_it_was(
    browser: Browser, daemon: Daemon, client: BlockingClient, pipe: int, tmp_path: Path
) -> None:
    token = str(tmp_path / "token")
    options = ("--daemon", daemon.socket, "--token-file", token, "--listen")
    path = str(tmp_path / "a.log")
    os.write(pipe, b"before\r\n")
    with serving(*options, "127.0.0.1:0") as web, looking(browser, web) as look:
        look.open(path)
        look.wait_for_line("before")
        web.process.kill()
        web.process.wait()
        for number in range(6000):
            os.write(pipe, b"%098d\r\n" % number)
        with serving(*options, web.where):
            look.wait_for_line(f"{5999:098d}")
            lines = [line for line in look.lines() if line]
            assert lines[0] == "before"
            assert "are missing here: they were rotated away" in lines[1]
            # (the oldest file may begin within a line)
            numbers = [int(line) for line in lines[3:]]
            assert numbers == [*range(numbers[0], 6000)]
            look.page.keyboard.press("t")
            look.wait_for_text("#text .said", "they were rotated away")
            look.page.keyboard.press("t")
            # A link to what is gone says so, too, and shows what is left.
            look.open(path, at="1:0:h1.gone")
            for wanted in ("what was here before is not kept any more", f"{numbers[0]:098d}"):
                look.page.wait_for_function(_HAS, arg=wanted)
        assert look.wrong == []


def test_the_browsers_own_keys_stay_its_own(look: Look, pipe: int, tmp_path: Path) -> None:
    os.write(pipe, b"a line\r\n")
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("a line")
    look.page.evaluate(
        "() => addEventListener('keydown', (event) => { window.taken = event.defaultPrevented; })"
    )
    for key, is_taken in (("Control+f", False), ("Control+t", False), ("t", True)):
        look.page.keyboard.press(key)
        assert look.page.evaluate("window.taken") == is_taken, key
    assert look.page.is_visible("#text")


def test_who_has_followed_goes_back_from_the_first_row(
    look: Look, client: BlockingClient, tmp_path: Path
) -> None:
    """What has gone out at the top comes again, from there on, whether or not the log was there."""
    path = str(tmp_path / "late.log")
    look.open(path)
    look.wait_for_text("#place", "waiting for the log, nothing is kept yet")
    with open(client.open(path, "qemu").write_end, "wb") as pipe:
        pipe.write(b"%d\r\n" * MANY % tuple(range(MANY)))
        pipe.flush()
        look.wait_for_line(str(MANY - 1))
        look.wait_for_text("#place", "following, from byte")
        # (which takes some of the terminal's room)
        look.page.locator("#timeline svg").wait_for()
        look.page.evaluate(_DRAWN)
        top = int(look.lines()[0])
        assert top > 0
        box = look.page.locator("#terminal").bounding_box()
        assert box is not None
        look.page.mouse.move(box["x"] + 50, box["y"] + box["height"] / 2)
        look.page.keyboard.press("Home")
        shown = scroll_beyond(look, -100)
        # (some rows may be seen again, but those that come before are what one sees)
        assert int(shown[0]) < top <= int(shown[-1]) + 1
        assert [int(line) for line in shown] == [*range(int(shown[0]), int(shown[-1]) + 1)]
        seen = str(look.page.inner_text("#terminal .xterm-rows")).split()
        assert int(seen[-1]) in {top - 1, top}
        # The address names what is shown.
        assert "at=" in look.page.url
        look.page.reload()
        look.wait_for_first_line(shown[0])


@pytest.mark.parametrize("between", [b"\r\n", b"\x1b[2J\r\n"], ids=["wrapped", "erasing"])
def test_a_link_shows_its_line_however_many_rows_come_after_it(
    between: bytes, look: Look, pipe: int, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.log")
    text = b"." * 100 if between == b"\r\n" else b""
    for number in range(1500):
        os.write(pipe, b"%05d%b%b" % (number, text, between))
    look.page.set_viewport_size({"width": 400, "height": 1600})
    look.open(path)
    look.wait_for_line("01499")
    look.page.keyboard.press("/")
    look.page.fill("#pattern", "00010")
    look.page.keyboard.press("Enter")
    look.wait_for_text("#search-status", "1 lines found")
    look.page.click("#found button")
    look.page.wait_for_function("() => window.shown.lines()[0].startsWith('00010')")
    look.wait_for_text("#place", "reading")


def test_what_is_kept_is_said_as_it_is(look: Look, client: BlockingClient, tmp_path: Path) -> None:
    """Also after the oldest of it was rotated away."""
    path = str(tmp_path / "rotated.log")
    look.open(path)
    look.wait_for_text("#place", "waiting for the log")
    with open(client.open(path, "qemu").write_end, "wb") as pipe:
        pipe.write(b"first\r\n")
        pipe.flush()
        look.wait_for_text("#place", "following, from byte 0 of 7 that are kept")
        for number in range(6000):
            pipe.write(b"%098d\r\n" % number)
        pipe.flush()
        look.wait_for_line(f"{5999:098d}")
        kept = sum(file.stat().st_size for file in tmp_path.glob("rotated.log*"))
        assert kept < 600_000
        look.wait_for_text("#place", f"of {kept} that are kept")


def test_after_the_end_comes_what_is_yet_to_come(look: Look, pipe: int, tmp_path: Path) -> None:
    """Who reads on to the end follows, and sees what comes."""
    for number in range(3):
        os.write(pipe, b"%d\r\n" % number)
    look.open(str(tmp_path / "a.log"), at="1:0")
    look.wait_for_line("2")
    look.wait_for_text("#place", "reading")
    look.page.keyboard.press("PageDown")
    look.wait_for_text("#place", "following")
    assert "at=" not in look.page.url
    os.write(pipe, b"and more\r\n")
    look.wait_for_line("and more")


def test_one_reads_on_over_what_is_missing_in_between(
    look: Look, client: BlockingClient, pipe: int, tmp_path: Path
) -> None:
    """A file in the middle was removed: it is said where, and the rest is seen on both sides."""
    path = tmp_path / "a.log"
    for number in range(2200):
        os.write(pipe, b"%098d\r\n" % number)
    client.position(str(path))
    (tmp_path / "a.log.1").unlink()
    for number in range(2200, 2900):
        os.write(pipe, b"%098d\r\n" % number)
    client.position(str(path))
    oldest = (tmp_path / "a.log.2").read_bytes().split()
    newest = path.read_bytes().split()
    look.open(str(path))
    look.wait_for_line(f"{2899:098d}")
    look.page.keyboard.press("p")
    look.wait_for_line(oldest[-1].decode())
    look.wait_for_text("#place", "reading, from byte 0")
    assert oldest[1].decode() in look.lines()
    look.page.keyboard.press("n")
    look.wait_for_line(newest[-1].decode())
    assert "are missing here" in "".join(look.lines()[:4])
    assert oldest[-1].decode() not in look.lines()
