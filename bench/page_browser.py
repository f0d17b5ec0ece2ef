"""A Chromium that looks at the page, as the benchmark needs it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bench.page_program import Program, private_mib
from harness.page_scripts import KNOW, WATCH

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_WAIT_MILLISECONDS = 60_000


class Look:
    """A page that somebody looks at."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self._browser = browser
        self._session = page.context.new_cdp_session(page)
        self.page = page

    def open(self, program: Program, path: str | None) -> None:
        """Show a log, or the list."""
        named = {"token": program.token} | ({} if path is None else {"log": path})
        fragment = "&".join(f"{name}={quote(value, safe='')}" for name, value in named.items())
        self.page.goto(f"http://{program.address}/#{fragment}")
        self.page.evaluate(KNOW)

    def ask(self, script: str, argument: object = None) -> Any:
        """Return what a function of the page returns, which may be a promise."""
        return self.page.evaluate(script, argument)

    def wait(self, script: str, argument: object = None) -> None:
        """Wait until a function of the page returns something that is true."""
        self.page.wait_for_function(script, arg=argument)

    def wait_for_line(self, wanted: str) -> None:
        """Wait until one of the last lines has a text."""
        self.wait(
            "(wanted) => window.shown.lines(300).some((line) => line.includes(wanted))", wanted
        )

    def busy_seconds(self) -> float:
        """Return for how long the page's thread has worked."""
        self._session.send("Performance.enable")
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return float({one["name"]: one["value"] for one in metrics}["TaskDuration"])

    def memory_mib(self) -> float:
        """Return how much memory the page's process has for itself."""
        session = self._browser.new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        return max(private_mib(one["id"]) for one in processes if one["type"] == "renderer")


@contextlib.contextmanager
def looking() -> Iterator[Look]:
    """Run a browser with a page."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        # (its sandbox needs more rights than a container gives to root)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"],
            timeout=_WAIT_MILLISECONDS,
        )
        try:
            context = browser.new_context()
            context.set_default_timeout(_WAIT_MILLISECONDS)
            context.add_init_script(WATCH)
            yield Look(browser, context.new_page())
        finally:
            browser.close()
