"""A real Chromium that looks at the page."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.page_scripts import KNOW, WATCH
from tests.web.conftest import Web
from twisted_virtlog.web.assets import STATIC

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

CHROMIUM = shutil.which("chromium")

_LINES = "() => window.shown.lines()"
_HAS = "(wanted) => window.shown.lines(300).some((line) => line.includes(wanted))"
_BEGINS = "(wanted) => window.shown.lines()[0] === wanted"
#: (a crowded machine may take half a minute to start a browser)
_WAIT_MILLISECONDS = 240_000
#: (playwright waits for ever for what a script returns, in a tab that hangs)
_EVALUATE_SECONDS = 240


@dataclass
class Look:
    """A page that somebody looks at.

    :ivar asked: the addresses of all that it has asked for.
    :ivar wrong: errors, dialogs and refusals by its policy.
    """

    page: Page
    web: Web
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def open(self, path: str | None = None, **address: str) -> None:
        """Show a log, or the list."""
        from urllib.parse import quote

        named = {"token": self.web.token or "", **({"log": path} if path else {}), **address}
        fragment = "&".join(f"{name}={quote(value, safe='')}" for name, value in named.items())
        self.page.goto(f"http://{self.web.where}/#{fragment}")

    def evaluate(self, script: str, arg: object = None) -> Any:
        """Return what a script returns; a browser that does not answer is killed."""
        pid = _pid(self.page)
        killing = threading.Timer(_EVALUATE_SECONDS, os.kill, (pid, signal.SIGKILL))
        killing.start()
        try:
            return self.page.evaluate(script, arg)
        finally:
            killing.cancel()

    def lines(self) -> list[str]:
        """Return what the terminal shows."""
        self.evaluate(KNOW)
        return list(self.evaluate(_LINES))

    def wait_for_line(self, wanted: str) -> None:
        """Wait until a line of the terminal has a text."""
        self.evaluate(KNOW)
        self.page.wait_for_function(_HAS, arg=wanted)

    def wait_for_first_line(self, wanted: str) -> None:
        """Wait until what is shown begins with a line."""
        self.evaluate(KNOW)
        self.page.wait_for_function(_BEGINS, arg=wanted)

    def wait_for_text(self, selector: str, wanted: str) -> None:
        """Wait until an element has a text."""
        self.page.wait_for_function(
            "([selector, wanted]) => document.querySelector(selector).textContent.includes(wanted)",
            arg=[selector, wanted],
        )


def _pid(page: Page) -> int:
    """Return the process of a page's browser."""
    browser = page.context.browser
    assert browser is not None
    session = browser.new_browser_cdp_session()
    try:
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return next(int(one["id"]) for one in processes if one["type"] == "browser")
    finally:
        session.detach()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # (its sandbox needs more rights than a container gives to root)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=_WAIT_MILLISECONDS
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def looking(browser: Browser, web: Web, **options: object) -> Iterator[Look]:
    """Open a page in a session of its own.

    :param options: of the browser's context.
    """
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(_WAIT_MILLISECONDS)
    context.add_init_script(WATCH)
    page = context.new_page()
    look = Look(page, web)
    page.on("request", lambda request: look.asked.append(request.url))
    page.on("pageerror", lambda error: look.wrong.append(str(error)))
    page.on("dialog", lambda dialog: (look.wrong.append(dialog.message), dialog.dismiss()))
    page.on(
        "console",
        lambda said: look.wrong.append(said.text) if "Policy" in said.text else None,
    )
    try:
        yield look
    finally:
        context.close()


@contextlib.contextmanager
def modules_alone() -> Iterator[Look]:
    """Open a page that has the page's modules and nothing else, and needs no program."""

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name:
            route.fulfill(path=STATIC / name, content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    # (no program is asked)
    with chromium() as browser, looking(browser, None) as look:  # type: ignore[arg-type]
        look.page.route("http://modules.test/**", answer)
        look.page.goto("http://modules.test/")
        yield look


class Proxy:
    """Answers in the program's place, as a proxy does that does not reach it."""

    def __init__(self, look: Look, questions: str, *statuses: int) -> None:
        """:param questions: which ones it answers, a part of their addresses.

        :param statuses: what the first of them are answered; the program has all others.
        """
        self._statuses = deque(statuses)
        look.page.route(re.compile(f"/api/({questions})"), self._answer)

    def fail(self, *statuses: int) -> None:
        """Answer once more."""
        self._statuses.extend(statuses)

    def _answer(self, route: Route) -> None:
        if self._statuses:
            route.fulfill(status=self._statuses.popleft(), body="<h1>Bad Gateway</h1>")
        else:
            route.continue_()
