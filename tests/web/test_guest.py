"""A real guest, started by libvirt, that somebody watches on the page from before its start."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.page_scripts import KNOW
from tests.stack import guest
from tests.stack.scenarios import LOGS
from tests.stack.stack import running, twisted_virtlog
from tests.web.browser import Look, chromium, looking
from tests.web.conftest import Web, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.chromium,
    pytest.mark.libvirt,
    pytest.mark.timeout(1200),
]

#: Three runs of it fill two files, and none of these is removed.
_LINES = 700
_FILE_BYTES = 65536
_LAST = guest.CLOSING.decode().strip()
# All that firmware draws with: it begins anew, and chooses modes.
_SEQUENCES = re.compile(rb"\x1b(?:c|\[[?0-9;]*[a-zA-Z])")
_ENDED = "(times) => window.shown.lines().filter((line) => line.includes('%s')).length >= times"


def wait_until_it_has_printed(look: Look, times: int) -> None:
    """Wait until the page shows that the guest has printed its last line so many times."""
    look.evaluate(KNOW)
    look.page.wait_for_function(_ENDED % _LAST, arg=times)


def downloaded(look: Look) -> bytes:
    """Return what the page gives to keep."""
    with look.page.expect_download() as download:
        look.page.click("#download")
    return Path(download.value.path()).read_bytes()


def shown(look: Look) -> list[str]:
    """Return the lines that are not empty."""
    return [line for line in look.lines() if line]


def drawn(data: bytes) -> list[str]:
    """Return the lines that a terminal draws of this, without those that are empty.

    The firmware prints its last characters while the guest does already, so that these may be
    within a line of the guest's.
    """
    lines = []
    for line in _SEQUENCES.sub(b"", data).decode("ascii").split("\n"):
        text = ""
        for part in line.rstrip("\r").split("\r"):
            text = part + text[len(part) :]
        lines.append(text)
    return [line for line in lines if line]


def test_a_guest_is_watched_from_before_its_start(tmp_path: Path) -> None:
    """What is shown is its log, over resets, roll-overs, a hand-over and another program.

    That is its download, byte for byte, and each line in the terminal; and who comes later sees
    what was seen as it came.
    """
    daemon = tmp_path / "jsonrpc-sock"
    token = str(tmp_path / "token")
    options = ("--daemon", str(daemon), "--token-file", token, "--listen")
    command = (*twisted_virtlog(), "--jsonrpc", f"unix:{daemon}:mode=600")
    path = f"{LOGS}/walter-serial0.log"
    with ExitStack() as stack:
        machine = stack.enter_context(running(tmp_path, command, max_size=_FILE_BYTES))
        web: Web = stack.enter_context(serving(*options, "127.0.0.1:0"))
        look = stack.enter_context(looking(stack.enter_context(chromium()), web))
        look.open(path)
        look.wait_for_text("#place", "waiting for the log")
        assert machine.run("printing", name="walter", lines=_LINES) == path
        wait_until_it_has_printed(look, 1)
        machine.run("reset_and_handed_over", name="walter")
        wait_until_it_has_printed(look, 2)
        web.process.kill()
        web.process.wait()
        machine.run("reset", name="walter")
        stack.enter_context(serving(*options, web.where))
        wait_until_it_has_printed(look, 3)
        data = downloaded(look)
        assert data == machine.run("destroyed", name="walter").encode("latin-1")
        # (it has more than two files hold)
        assert len(data) > 2 * _FILE_BYTES
        lines = shown(look)
        assert lines == drawn(data)
        assert sum("SeaBIOS" in line for line in lines) == 3
        look.page.reload()
        wait_until_it_has_printed(look, 3)
        assert shown(look) == lines
        assert look.wrong == []
