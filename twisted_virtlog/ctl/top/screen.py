"""The table on a terminal that curses can draw on, with keys."""

from __future__ import annotations

import contextlib
import curses
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from twisted_virtlog.ctl.top import view as keys
from twisted_virtlog.ctl.top.board import Board
from twisted_virtlog.ctl.top.text import Line, Status, Style, page, screen
from twisted_virtlog.ctl.top.updates import Listed, Lost, Told, Update
from twisted_virtlog.ctl.top.view import View, pressed

if TYPE_CHECKING:
    Window = curses.window

_STDIN, _STDOUT = 0, 1

#: The screen is drawn anew at least so often, so that one sees when nothing comes.
_REDRAW_SECONDS = 1.0
#: Between a key of its own and one that begins with it.
_ESCAPE_MILLISECONDS = 25
#: Nothing was heard for so long beyond the interval: that is said.
_LATE_SECONDS = 3.0

_KEY_NAMES = {
    curses.KEY_UP: keys.UP,
    curses.KEY_DOWN: keys.DOWN,
    curses.KEY_PPAGE: keys.PAGE_UP,
    curses.KEY_NPAGE: keys.PAGE_DOWN,
    curses.KEY_HOME: keys.HOME,
    curses.KEY_END: keys.END,
    curses.KEY_ENTER: keys.ENTER,
    curses.KEY_BACKSPACE: keys.BACKSPACE,
}
_CHARACTER_NAMES = {
    "\n": keys.ENTER,
    "\r": keys.ENTER,
    "\x1b": keys.ESCAPE,
    "\x7f": keys.BACKSPACE,
    "\b": keys.BACKSPACE,
    "\x15": keys.CLEAR,
}


def can_draw() -> bool:
    """Return whether curses can draw on standard output, and keys come from standard input."""
    if not (os.isatty(_STDIN) and os.isatty(_STDOUT)):
        return False
    try:
        # It raises for a terminal that it does not know.
        curses.setupterm(fd=_STDOUT)
        return curses.tigetstr("cup") is not None
    except curses.error:
        return False


class Screen:
    """Draws what comes, until somebody has seen enough."""

    def __init__(self, updates: Iterator[Update], interval: float, view: View) -> None:
        """:param updates: is waited for in a thread, so that keys work while nothing comes."""
        self._updates = updates
        self._interval = interval
        self._view = view
        self._board = Board()
        #: What is seen, while that is not what is known.
        self._paused: Board | None = None
        self._trouble = ""
        self._heard = time.monotonic()
        self._coming: deque[Update | Exception] = deque()
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)

    def take(self, update: Update) -> None:
        """Take what has come."""
        if isinstance(update, Listed):
            self._board.listed(update.logs, update.time)
            self._trouble = ""
            self._heard = update.time
        elif isinstance(update, Told):
            self._board.told(update.kind, update.log, update.time)
        elif isinstance(update, Lost):
            self._trouble = f"{update.reason}; trying again"

    def run(self) -> None:
        """Draw until a key ends it.

        :raises RemoteError: the daemon refuses to list logs.
        """
        with self._signals():
            curses.wrapper(self._run)

    def _run(self, window: Window) -> None:
        styles = _styles()
        curses.set_escdelay(_ESCAPE_MILLISECONDS)
        with contextlib.suppress(curses.error):
            curses.curs_set(0)
        window.nodelay(True)
        threading.Thread(target=self._listen, daemon=True).start()
        poll = select.poll()
        for descriptor in (_STDIN, self._wake_read):
            poll.register(descriptor, select.POLLIN)
        while not self._view.has_ended:
            self._draw(window, styles)
            ready = dict(poll.poll(_REDRAW_SECONDS * 1000))
            if ready.get(_STDIN, 0) & ~select.POLLIN:
                # (the terminal has gone)
                return
            if self._wake_read in ready:
                self._take_all()
            for key in _pressed(window):
                self._press(key, window)

    def _listen(self) -> None:
        try:
            for update in self._updates:
                self._tell(update)
        except Exception as error:  # noqa: BLE001  # (raised by the main thread)
            self._tell(error)

    def _tell(self, update: Update | Exception) -> None:
        self._coming.append(update)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _take_all(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        while self._coming:
            update = self._coming.popleft()
            if isinstance(update, Exception):
                raise update
            self.take(update)

    def _press(self, key: str, window: Window) -> None:
        height, width = window.getmaxyx()
        seen = self._paused or self._board
        logs = len(seen.rows(self._view.order, self._view.is_reversed, self._view.wanted))
        before = self._view.is_paused
        self._view = pressed(self._view, key, logs, page(width - 1, height))
        if self._view.is_paused != before:
            self._paused = self._board.copy() if self._view.is_paused else None

    def _draw(self, window: Window, styles: dict[Style, int]) -> None:
        height, width = _follow_size(window)
        seen = self._paused or self._board
        view = self._view
        rows = seen.rows(view.order, view.is_reversed, view.wanted)
        status = Status(time.strftime("%H:%M:%S"), self._interval, self._said_trouble())
        # (the last column is left free: what fills the last line to its end scrolls some terminals)
        lines = screen(rows, seen.totals(), view, status, width - 1, height)
        window.erase()
        for number, line in enumerate(lines[:height]):
            _write(window, number, line, styles)
        window.refresh()

    def _said_trouble(self) -> str:
        late = time.monotonic() - self._heard - self._interval
        if self._trouble or late < _LATE_SECONDS:
            return self._trouble
        return f"no answer for {late:.0f} s"

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let a change of the terminal's size end a poll."""

        def changed(_number: int, _frame: FrameType | None) -> None:
            """Do nothing but to let Python write to the descriptor."""

        former = signal.signal(signal.SIGWINCH, changed)
        former_wake = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(former_wake)
            signal.signal(signal.SIGWINCH, former)


def _styles() -> dict[Style, int]:
    styles = {
        Style.HEADING: curses.A_REVERSE,
        Style.FAILED: curses.A_BOLD,
        Style.KEYS: curses.A_DIM,
    }
    if curses.has_colors() and not os.environ.get("NO_COLOR"):
        curses.use_default_colors()
        curses.init_pair(1, curses.COLOR_RED, -1)
        styles[Style.FAILED] = curses.color_pair(1) | curses.A_BOLD
    return styles


def _follow_size(window: Window) -> tuple[int, int]:
    """Take over the terminal's size, which may have changed; return it in lines and columns."""
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(_STDOUT)
        if (size.lines, size.columns) != window.getmaxyx() and size.lines and size.columns:
            curses.resizeterm(size.lines, size.columns)
            window.clear()
    return window.getmaxyx()


def _write(window: Window, number: int, line: Line, styles: dict[Style, int]) -> None:
    text = line.text.encode(window.encoding, "backslashreplace").decode(window.encoding)
    # (a character may be wider than was thought, and the terminal of no size at all)
    with contextlib.suppress(curses.error):
        window.addstr(number, 0, text, styles.get(line.style, curses.A_NORMAL))


def _pressed(window: Window) -> Iterator[str]:
    """Yield the keys that were pressed."""
    while True:
        try:
            key = window.get_wch()
        except curses.error:
            return
        if isinstance(key, str):
            yield _CHARACTER_NAMES.get(key, key)
        elif name := _KEY_NAMES.get(key):
            yield name
