"""Guests that print what would harm a terminal, or the browser around it."""

from __future__ import annotations

import random
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.daemon import Daemon, running
from tests.web.browser import Look, chromium, looking
from tests.web.conftest import Web
from twisted_virtlog.client import BlockingClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.chromium,
]

MANY = b"2147483647"

HOSTILE: dict[str, bytes] = {
    "script": b"<script>document.title='x';alert(1)</script><img src=x onerror=alert(1)>",
    "link": b"\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": b"\x1b]52;c;YWJj\x07",
    "title": b"\x1b]0;owned\x07\x1b]2;owned\x1b\\",
    "repeat": b"A\x1b[" + MANY + b"b",
    "repeat often": b"A" + b"\x1b[10000b" * 20_000,
    "large numbers": b"".join(
        b"x\x1b[%b%b%b%c" % (private, MANY, more, final)
        for private in (b"", b"?", b">", b"=", b"<")
        for more in (b"", b";" + MANY, b" ", b"!", b"$", b"'", b'"')
        for final in range(0x40, 0x7F)
    ),
    "accents": b"a" + "\u0301".encode() * 1_000_000,
    "unfinished title": b"\x1b]0;never ends",
    "unfinished picture": b"\x1bPq" + b"~" * 100_000,
    "picture": b'\x1bP0;0;8q"1;1;9999;9999#0;2;100;0;0#0!9999~-' + b"!9999~-" * 10_000 + b"\x1b\\",
    "alternate screen": b"\x1b[?1049h\x1b[2J\x1b[?47h",
    "erasing what was": b"\x1b[3J\x1bc\x1b[2J" * 1000,
    "mouse": b"\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h",
    "synchronised output": b"\x1b[?2026h",
    "reports": b"\x1b[c\x1b[>c\x1b[6n\x1b[5n\x1b[18t\x1bZ" * 1000,
    "no line end": b"x" * (16 << 20),
    "carriage returns": b"\r" * 5_000_000,
    "line ends": b"\n" * 1_000_000,
    "zeros": b"\0" * 1_000_000,
    "random": random.Random(1).randbytes(1 << 20),
    "erasing much": b"\x1b[2J\x1b[H" * 100_000,
    "colour for each": b"".join(b"\x1b[38;5;%dmx" % (i % 256) for i in range(100_000)),
    "wide": b"\x1b[?3h\x1b[?40h",
    "direction": "\u202e\u2066\u061c".encode() * 10_000,
    "c1": "\x9b2147483647b\x9d0;x\x90q\x85\x84".encode() * 1000,
    "below": b"\x1b[9999B\x1b[9999C\x1b[9999@\x1bD" * 10_000,
}


#: What follows each of them.
MARKER = b"\r\n\x1b[0m\x1b[999;1H\r\nMARK" + b"ER\r\n"
#: Of whom it is seen in each view as they print, and not only afterwards.
LIVE = ("line ends", "no line end", "colour for each", "random", "carriage returns")

#: What no task may take, in milliseconds, on a machine that does the work below in so many.
LONGEST_TASK = 750
WORK_HERE = 200
#: A machine that is slower, or does other things meanwhile, is given so much more at most, and so
#: many attempts: it may just have stopped the browser for a while.
MOST_SLOWER = 4
ATTEMPTS = 3

#: Work like that of the page, which says how fast this browser is now.
_WORK = """() => {
  const began = performance.now();
  let text = "";
  for (let index = 0; index < 400000; index += 1) text += `\\x1b[3${index % 8}m${index}`;
  let found = 0;
  for (const one of text.matchAll(/\\x1b\\[(\\d+)m(\\d+)/g)) found += one[1].length + one[2].length;
  return performance.now() - began;
}"""
#: (headless browsers give each session a clipboard of its own)
_KEEP = """() => navigator.clipboard.writeText("mine")"""
_KEPT = """() => navigator.clipboard.readText()"""
#: All that the page asks for by itself.
OWN = re.compile(
    r"/(|[a-z]+\.(js|css)|vendor/xterm/xterm\.(mjs|css)|api/(follow|window|timeline|times))"
)


_SETTLED = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
_SHOWN_WITH_TIME = """() => {
  const lines = [...document.querySelectorAll("#text .line")].slice(-10);
  return lines.some((line) => line.textContent.includes("MARKER"));
}"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that keeps all that any of them prints."""
    with running(tmp_path_factory.mktemp("daemon"), ["max_size = 67108864"]) as started:
        yield started


@dataclass
class Tasks:
    """How long tasks of the page take, and what may be expected of the machine."""

    look: Look
    work: float = 0
    longest: float = 0

    def begin(self) -> None:
        """Measure from now on."""
        self.work = max(self.work, self.look.evaluate(_WORK))
        self.look.evaluate("window.longest = 0")

    def end(self) -> None:
        """Measure no more."""
        self.look.evaluate(_SETTLED)
        self.longest = max(self.longest, self.look.evaluate("window.longest"))
        self.work = max(self.work, self.look.evaluate(_WORK))

    @property
    def most(self) -> float:
        """How long a task may take, in milliseconds."""
        return LONGEST_TASK * min(MOST_SLOWER, max(1, self.work / WORK_HERE))


def printing(client: BlockingClient, path: str, printed: bytes) -> threading.Thread:
    """Let a guest print."""
    opened = client.open(path, "qemu")

    def write() -> None:
        with open(opened.write_end, "wb") as pipe:
            pipe.write(printed)

    return threading.Thread(target=write)


def check_tasks(case: str, attempt: Callable[[int], Tasks]) -> None:
    """Check that no task took too long in one of several attempts."""
    for number in range(ATTEMPTS):
        tasks = attempt(number)
        sys.stdout.write(f"{case}: {tasks.longest:.0f} ms, the work {tasks.work:.0f} ms\n")
        if tasks.longest <= tasks.most:
            return
    pytest.fail(f"a task took {tasks.longest:.0f} ms, of {tasks.most:.0f} at most")


@pytest.mark.parametrize("case", HOSTILE)
def test_what_follows_is_seen(
    case: str, listening: Web, client: BlockingClient, tmp_path: Path
) -> None:
    """Nothing else happens than that a text is shown. (A browser that hangs is not waited for.)"""
    printed = HOSTILE[case] + MARKER

    def attempt(number: int) -> Tasks:
        path = tmp_path / f"{number}.log"
        rights = ["clipboard-read", "clipboard-write"]
        with chromium() as browser, looking(browser, listening, permissions=rights) as look:
            look.open(str(path))
            look.wait_for_text("#place", "nothing is kept yet")
            look.evaluate(_KEEP)
            tasks = Tasks(look)
            tasks.begin()
            writing = printing(client, str(path), printed)
            writing.start()
            look.wait_for_line("MARKER")
            writing.join()
            tasks.end()
            assert path.stat().st_size == len(printed)
            assert look.page.title() == path.name
            assert look.evaluate(_KEPT) == "mine"
            # (whoever has the mouse could forbid to select anything)
            assert look.page.locator(".enable-mouse-events").count() == 0
            # The same in the other view, and in both with times.
            tasks.begin()
            look.page.keyboard.press("t")
            look.wait_for_text("#text", "MARKER")
            look.page.keyboard.press("c")
            look.page.wait_for_function(_SHOWN_WITH_TIME)
            look.page.keyboard.press("t")
            look.wait_for_line("MARKER")
            look.wait_for_text("#gutter", ":")
            tasks.end()
            assert look.wrong == []
            asked = {urlsplit(address) for address in look.asked}
            assert {f"{one.scheme}://{one.netloc}" for one in asked} == {
                f"http://{listening.where}"
            }
            assert all(OWN.fullmatch(one.path) for one in asked), asked
            return tasks

    check_tasks(case, attempt)


@pytest.mark.parametrize("times", ["0", "1"])
@pytest.mark.parametrize("view", ["terminal", "text"])
@pytest.mark.parametrize("case", LIVE)
def test_it_is_seen_in_each_view_as_it_comes(
    case: str, view: str, times: str, listening: Web, client: BlockingClient, tmp_path: Path
) -> None:
    def attempt(number: int) -> Tasks:
        path = str(tmp_path / f"{number}.log")
        with chromium() as browser, looking(browser, listening) as look:
            look.open(path, view=view, times=times)
            look.wait_for_text("#place", "nothing is kept yet")
            tasks = Tasks(look)
            tasks.begin()
            writing = printing(client, path, HOSTILE[case] + MARKER)
            writing.start()
            if view == "text":
                look.wait_for_text("#text", "MARKER")
            else:
                look.wait_for_line("MARKER")
            writing.join()
            tasks.end()
            # What a guest has printed is loaded again where one opens a part of it.
            tasks.begin()
            look.page.keyboard.press("b")
            look.wait_for_text("#place", "reading")
            tasks.end()
            assert look.wrong == []
            return tasks

    check_tasks(f"{case}, {view}, times={times}", attempt)
