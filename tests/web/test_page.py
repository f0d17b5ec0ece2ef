"""The page in a real browser: what somebody sees who looks at logs."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.browser import Look, Proxy, looking
from tests.web.conftest import UUID, Web, serving
from twisted_virtlog.client import BlockingClient, Domain

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from harness.daemon import Daemon

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.chromium,
]


def test_the_list_shows_guests_as_text(look: Look, pipe: int, tmp_path: Path) -> None:
    look.open(find=str(tmp_path))
    look.wait_for_text("#rows", "<i>guest</i>")
    assert look.page.locator("#rows i").count() == 0
    assert "token" not in look.page.url
    look.page.keyboard.press("/")
    look.page.keyboard.type("no such guest")
    look.wait_for_text("#totals", "0 found")
    assert "find=" in look.page.url
    # The token is kept for the tab.
    look.page.reload()
    look.wait_for_text("#totals", "0 found")


def test_names_are_shown_as_they_are(look: Look, client: BlockingClient, tmp_path: Path) -> None:
    """What is not seen in them, or turns what follows around, is written out."""
    path = str(tmp_path / "a\u202egol.\u0007\u2066.log")
    opened = client.open(path, "qemu", Domain(UUID, "web\u202e\u200b<b>1"))
    os.write(opened.write_end, b"a line\r\n")
    look.open(find=str(tmp_path))
    look.wait_for_text("#rows", "web\u27e8U+202E\u27e9\u27e8U+200B\u27e9<b>1")
    name = "a\u27e8U+202E\u27e9gol.\u27e8U+0007\u27e9\u27e8U+2066\u27e9.log"
    look.wait_for_text("#rows", name)
    look.page.click("#rows a")
    look.wait_for_line("a line")
    assert look.page.inner_text("#path") == f"{tmp_path}/{name}"
    assert look.page.title() == name
    assert not re.search("[\u202e\u2066\u200b\u0007]", look.page.inner_text("body"))
    os.close(opened.write_end)


def test_a_log_is_shown_as_it_comes(look: Look, pipe: int, tmp_path: Path) -> None:
    os.write(pipe, b"\x1b[31mbefore\x1b[0m <script>alert(1)</script>\r\n")
    look.open(find=str(tmp_path))
    look.page.click("#rows a")
    look.wait_for_line("before <script>")
    os.write(pipe, b"now \xe4\xb8\x96\r\n")
    look.wait_for_line("now \u4e16")
    look.page.keyboard.press("t")
    assert look.page.inner_text("#text").startswith("before <script>")
    look.page.keyboard.press("Escape")
    look.wait_for_text("#rows", "a.log")


def test_a_log_that_is_not_there_yet_is_waited_for(
    look: Look, client: BlockingClient, tmp_path: Path
) -> None:
    path = str(tmp_path / "later.log")
    look.open(path)
    look.wait_for_text("#place", "waiting for the log")
    opened = client.open(path, "qemu")
    os.write(opened.write_end, b"the very first line\r\n")
    look.wait_for_line("the very first line")
    assert not any("missing" in line for line in look.lines())
    # What happened since is known, too.
    look.page.locator("#timeline rect.boot").wait_for(state="attached")
    look.page.keyboard.press("b")
    look.wait_for_text("#place", "reading")
    look.wait_for_line("the very first line")
    os.close(opened.write_end)


def test_one_goes_back_to_all_that_is_kept(look: Look, pipe: int, tmp_path: Path) -> None:
    """By older parts, a search, a boot and a link; and f follows again."""
    for number in range(20_000):
        os.write(pipe, b"%d\r\n" % number)
    path = str(tmp_path / "a.log")
    look.open(path)
    look.wait_for_line("19999")
    assert "0" not in look.lines()
    while look.page.locator("#older").is_enabled():
        before = look.page.inner_text("#place")
        look.page.keyboard.press("p")
        look.page.wait_for_function(
            "(before) => document.getElementById('place').textContent !== before", arg=before
        )
    look.wait_for_first_line("0")
    assert [line for line in look.lines() if line][:3] == ["0", "1", "2"]
    look.page.keyboard.press("/")
    look.page.fill("#pattern", "^12345")
    look.page.check("#regex")
    look.page.keyboard.press("Enter")
    look.wait_for_text("#search-status", "1 lines found")
    look.page.click("#found button")
    look.wait_for_first_line("12345")
    # What stands in the address shows a colleague the same line.
    look.page.reload()
    look.wait_for_first_line("12345")
    look.page.keyboard.press("f")
    look.wait_for_line("19999")
    os.write(pipe, b"and more\r\n")
    look.wait_for_line("and more")
    look.page.keyboard.press("b")
    look.wait_for_first_line("0")


def test_a_time_is_gone_to_and_marked(
    look: Look, client: BlockingClient, pipe: int, tmp_path: Path
) -> None:
    """In the picture of bytes over time, of this log or of all logs of the guest."""
    os.write(pipe, b"a line\r\n")
    other = client.open(str(tmp_path / "b.log"), "qemu", Domain(UUID, "<i>guest</i>"))
    os.write(other.write_end, b"in another log\r\n")
    os.close(other.write_end)
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("a line")
    picture = look.page.locator("#timeline svg")
    picture.wait_for()
    box = picture.bounding_box()
    assert box is not None
    mouse, y = look.page.mouse, box["y"] + 10
    mouse.click(box["x"] + 1, y)
    look.page.wait_for_function("() => location.hash.includes('at=')")
    look.wait_for_text("#place", "reading")
    look.wait_for_line("a line")
    assert not look.page.is_visible("#all-time")
    # What is marked is shown alone, until all is wanted again.
    with look.page.expect_request(re.compile("/api/timeline.*since=.*until=")):
        mouse.move(box["x"] + 2, y)
        mouse.down()
        mouse.move(box["x"] + box["width"] / 2, y, steps=4)
        assert look.page.locator("#timeline rect.brush").count() == 1
        mouse.up()
    look.page.locator("#all-time").wait_for()
    look.page.keyboard.press("z")
    look.page.locator("#all-time").wait_for(state="hidden")
    look.page.keyboard.press("g")
    look.page.locator("#timeline svg[aria-label*=' logs, from']").wait_for()


_TEXT_IS_AT_END = "() => text.scrollTop + text.clientHeight >= text.scrollHeight - 4"


@pytest.mark.parametrize("view", ["terminal", "text"])
def test_who_reads_is_not_thrown_to_the_end(
    view: str, look: Look, pipe: int, tmp_path: Path
) -> None:
    for number in range(500):
        os.write(pipe, b"line %d\r\n" % number)
    look.open(str(tmp_path / "a.log"), view=view)
    look.wait_for_line("line 499")
    # (that is said when it was scrolled there)
    look.wait_for_text("#place", "that are kept")
    if view == "text":
        look.wait_for_text("#text", "line 499")
        look.page.wait_for_function(_TEXT_IS_AT_END)
    look.page.keyboard.press("PageUp")
    os.write(pipe, b"one\r\ntwo\r\nthree\r\n")
    look.wait_for_text("#place", "3 new lines below")
    if view == "text":
        look.wait_for_text("#text", "three")
        assert not look.evaluate(_TEXT_IS_AT_END)
    look.page.keyboard.press("f")
    look.page.wait_for_function(
        "() => !document.getElementById('place').textContent.includes('new lines')"
    )
    if view == "text":
        look.page.wait_for_function(_TEXT_IS_AT_END)


def test_a_download_is_the_log(look: Look, pipe: int, tmp_path: Path) -> None:
    data = os.urandom(30_000)
    os.write(pipe, data)
    look.open(str(tmp_path / "a.log"))
    look.wait_for_text("#place", "following")
    with look.page.expect_download() as downloaded:
        look.page.click("#download")
    assert Path(downloaded.value.path()).read_bytes() == data
    assert downloaded.value.suggested_filename == "a.log"


def test_the_program_may_come_and_go(
    browser: Browser, daemon: Daemon, client: BlockingClient, pipe: int, tmp_path: Path
) -> None:
    """Nothing is lost, and nothing comes twice."""
    token = str(tmp_path / "token")
    options = ("--daemon", daemon.socket, "--token-file", token, "--listen")
    os.write(pipe, b"first\r\n")
    with serving(*options, "127.0.0.1:0") as web, looking(browser, web) as look:
        look.open(str(tmp_path / "a.log"))
        look.wait_for_line("first")
        web.process.kill()
        web.process.wait()
        os.write(pipe, b"second\r\n")
        look.page.wait_for_function("() => document.getElementById('status').textContent !== ''")
        with serving(*options, web.where):
            look.wait_for_line("second")
            os.write(pipe, b"third\r\n")
            look.wait_for_line("third")
            assert [line for line in look.lines() if line] == ["first", "second", "third"]


def test_a_wrong_token_shows_nothing(browser: Browser, listening: Web, tmp_path: Path) -> None:
    with looking(browser, listening) as look:
        look.open(str(tmp_path / "a.log"), token="wrong-wrong-wrong-wrong")
        look.wait_for_text("#status", "a token is needed")


def test_another_token_is_taken_in_the_same_tab(
    look: Look, listening: Web, pipe: int, tmp_path: Path
) -> None:
    """As of a program that was started again; what has changed of the address is its fragment."""
    os.write(pipe, b"a line\r\n")
    look.open(str(tmp_path / "a.log"), token="that-of-a-program-that-is-gone")
    look.wait_for_text("#status", "a token is needed")
    look.page.evaluate("() => { window.same = true; }")
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("a line")
    assert look.page.evaluate("() => window.same")
    assert "token" not in look.page.url
    assert listening.token is not None
    assert listening.token not in look.page.url


_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


@pytest.mark.parametrize("way", ["a key", "the row", "the text"])
def test_what_was_skipped_is_said_and_loaded(
    way: str, browser: Browser, daemon: Daemon, pipe: int, tmp_path: Path
) -> None:
    """Somebody comes back to a log of which much more has come than can be read."""
    token = str(tmp_path / "token")
    options = ("--daemon", daemon.socket, "--token-file", token, "--listen")
    os.write(pipe, b"before\r\n")
    with serving(*options, "127.0.0.1:0") as web, looking(browser, web) as look:
        look.page.route(
            re.compile("/api/follow"),
            lambda route: route.continue_(url=re.sub(r"skip=\d+", "skip=65536", route.request.url)),
        )
        look.open(str(tmp_path / "a.log"))
        look.wait_for_line("before")
        web.process.kill()
        web.process.wait()
        for number in range(2400):
            os.write(pipe, b"%098d\r\n" % number)
        with serving(*options, web.where):
            look.wait_for_line(f"{2399:098d}")
            lines = [line for line in look.lines() if line]
            place = next(i for i, line in enumerate(lines) if "were skipped here" in line)
            whole = [
                [int(line) for line in part if len(line) == 98]
                for part in (lines[1:place], lines[place:])
            ]
            assert whole[1][0] > whole[0][-1] + 1
            assert whole == [[*range(whole[0][-1] + 1)], [*range(whole[1][0], 2400)]]
            if way == "a key":
                look.page.keyboard.press("s")
            else:
                if way == "the text":
                    look.page.keyboard.press("t")
                button = look.page.locator(f"#{'text' if way == 'the text' else 'terminal'} button")
                while not button.is_visible():
                    look.page.keyboard.press("PageUp")
                    look.page.evaluate(_DRAWN)
                assert button.inner_text() == "Load"
                button.click()
            # (what is before it may be cut within the next line, which is shown from its start on)
            look.page.wait_for_function(
                "(most) => Number(window.shown.lines()[0]) >= most", arg=whole[0][-1]
            )
            assert int(look.lines()[0]) <= whole[0][-1] + 1
            assert "at=" in look.page.url


_COLOURS = b"\x1b[31mred\x1b[32m green\x1b[33m yellow\x1b[0m plain\r\n"
_PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def _violations(look: Look) -> list[str]:
    """Return what axe-core finds; the page's policy, which would refuse it, must not hold."""
    look.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = look.page.evaluate("async () => (await axe.run()).violations")
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_accessible(
    scheme: str, browser: Browser, listening: Web, pipe: int, tmp_path: Path
) -> None:
    """As far as axe-core can tell: the list, and a log with what opens over it."""
    os.write(pipe, _COLOURS)
    with looking(browser, listening, color_scheme=scheme, bypass_csp=True, **_PHONE) as look:
        look.open(find=str(tmp_path))
        look.wait_for_text("#rows", "guest")
        assert _violations(look) == []
        look.page.tap("#rows a")
        look.wait_for_text("#text", "plain")
        assert _violations(look) == []
        look.page.keyboard.press("c")
        look.page.keyboard.press("/")
        look.page.fill("#pattern", "green")
        look.page.keyboard.press("Enter")
        look.wait_for_text("#search-status", "1 lines found")
        assert _violations(look) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(
    scheme: str, browser: Browser, listening: Web, pipe: int, tmp_path: Path
) -> None:
    """As far as axe-core can tell: the list, a log in both views, and what opens over them."""
    os.write(pipe, _COLOURS)
    with looking(browser, listening, color_scheme=scheme, bypass_csp=True) as look:
        look.open(find=str(tmp_path))
        look.wait_for_text("#rows", "guest")
        assert _violations(look) == []
        look.page.keyboard.press("?")
        assert _violations(look) == []
        look.page.keyboard.press("Escape")
        look.page.click("#rows a")
        look.wait_for_line("plain")
        assert _violations(look) == []
        look.page.keyboard.press("/")
        look.page.fill("#pattern", "green")
        look.page.keyboard.press("Enter")
        look.wait_for_text("#search-status", "1 lines found")
        assert _violations(look) == []
        look.page.keyboard.press("Escape")
        assert look.page.is_hidden("#search")
        look.page.keyboard.press("c")
        look.wait_for_text("#gutter", ":")
        look.page.focus("#timeline svg")
        look.page.keyboard.press("Shift+PageUp")
        assert _violations(look) == []
        look.page.keyboard.press("t")
        look.page.locator("#text .line").first.wait_for()
        assert _violations(look) == []


def test_a_proxy_may_answer_meanwhile(look: Look, pipe: int, tmp_path: Path) -> None:
    """What is asked for is asked for again until the program answers, not the proxy before it."""
    os.write(pipe, b"first\r\n")
    proxy = Proxy(look, "window|follow", 502, 504, 503)
    look.open(str(tmp_path / "a.log"))
    look.wait_for_line("first")
    os.write(pipe, b"second\r\n")
    look.wait_for_line("second")
    assert [line for line in look.lines() if line] == ["first", "second"]
    proxy.fail(502, 502)
    with look.page.expect_response(lambda answer: "/window" in answer.url and answer.ok):
        look.page.keyboard.press("b")
    look.page.wait_for_function("() => document.getElementById('status').textContent === ''")
    look.wait_for_line("second")


_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_of_many_tabs_the_one_that_is_seen_works(
    look: Look, listening: Web, pipe: int, tmp_path: Path
) -> None:
    """A browser has six connections for all of them."""
    context = look.page.context
    tabs = [Look(context.new_page(), listening) for _ in range(20)]
    os.write(pipe, b"before\r\n")
    for tab in tabs:
        tab.open(str(tmp_path / "a.log"))
        tab.wait_for_line("before")
        tab.page.evaluate(_HIDE, True)
    os.write(pipe, b"meanwhile\r\n")
    for tab in (tabs[0], tabs[-1]):
        tab.page.evaluate(_HIDE, False)
        tab.wait_for_line("meanwhile")
        assert [line for line in tab.lines() if line] == ["before", "meanwhile"]
        tab.page.evaluate(_HIDE, True)
    assert not any("meanwhile" in line for line in tabs[10].lines())


def test_a_phone_shows_text(browser: Browser, listening: Web, pipe: int, tmp_path: Path) -> None:
    """It scrolls by touch, which the terminal does not; nothing is wider than the screen."""
    for number in range(300):
        os.write(pipe, b"[    0.%06d] a line that is longer than a phone is wide\r\n" % number)
    with looking(browser, listening, **_PHONE) as look:
        look.open(str(tmp_path / "a.log"))
        look.wait_for_text("#text", "0.000299]")
        assert not look.page.is_visible("#terminal")
        assert look.page.evaluate("document.documentElement.scrollWidth") <= 390
        size = look.page.evaluate("['scrollWidth', 'clientWidth'].map((name) => text[name])")
        assert size[0] <= size[1]
        look.page.click("#wrap")
        size = look.page.evaluate("['scrollWidth', 'clientWidth'].map((name) => text[name])")
        assert size[0] > size[1]
        assert look.page.evaluate("text.clientHeight") > 300
        # Also what no line end follows.
        os.write(pipe, b"\r\n\x1b[1mand\x1b[0m more: ")
        look.wait_for_text("#text", "and more: ")
