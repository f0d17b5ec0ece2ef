"""A program on a terminal, in tmux: what it shows, keys, and the terminal's size."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 60.0

_ENDED = "ended with status"

#: Waits for a key, so that nothing is printed before it is known that it will be noticed.
_SCRIPT = f"""
    stty -echo; read -r _; stty echo
    trap : INT
    "$@"
    echo "{_ENDED} $?"
    read -r _
"""


class Terminal:
    """A terminal on which one program runs."""

    def __init__(self, tmux: Sequence[str], events: int) -> None:
        """:param events: a descriptor that is readable when the program has printed something."""
        self._tmux = tmux
        self._events = events

    def text(self) -> str:
        """Return what is to be seen."""
        return self._run("capture-pane", "-p", "-t", "0")

    def wait_for(self, condition: Callable[[str], bool]) -> str:
        """Wait until what is to be seen is so; return it."""
        deadline = time.monotonic() + _SECONDS
        while not condition(seen := self.text()):
            left = deadline - time.monotonic()
            assert left > 0, seen
            if select.select([self._events], [], [], left)[0]:
                assert os.read(self._events, 65536) or condition(self.text()), seen
        return seen

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._run("send-keys", "-t", "0", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        self._run("resize-window", "-t", "0", "-x", str(columns), "-y", str(lines))

    def status(self) -> int:
        """Wait until the program has ended; return its exit status."""
        text = self.wait_for(lambda text: _ENDED in text)
        return int(text.rpartition(_ENDED)[2].split()[0])

    def _run(self, *arguments: str) -> str:
        result = subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, timeout=_SECONDS
        )
        return result.stdout.decode()


@contextmanager
def terminal(
    folder: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    columns: int = 100,
    lines: int = 24,
) -> Iterator[Terminal]:
    """Run a program on a terminal of its own, which stays there when it has ended."""
    own = {name: value for name, value in os.environ.items() if name not in {"TMUX", "TMUX_PANE"}}
    own |= {"LC_ALL": "C.UTF-8", **environment}
    tmux = ["tmux", "-u", "-S", str(folder / "tmux"), "-f", os.devnull]
    fifo = folder / "events"
    os.mkfifo(fifo)
    # (opened for both, so that nobody waits for the other end)
    events = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        subprocess.run(
            [
                *(*tmux, "new-session", "-d", "-x", str(columns), "-y", str(lines)),
                *("sh", "-c", _SCRIPT, "sh", *command),
            ],
            check=True,
            env=own,
            timeout=_SECONDS,
        )
        seen = Terminal(tmux, events)
        subprocess.run([*tmux, "pipe-pane", "-t", "0", f"exec cat >'{fifo}'"], check=True)
        seen.press("Enter")
        yield seen
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, stderr=subprocess.DEVNULL)
        os.close(events)
