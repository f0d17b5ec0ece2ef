"""libvirt's own client code, as in its drivers, with this daemon and with virtlogd."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.stack import client_library
from tests.stack.sides import LOGS, Side, both

pytestmark = pytest.mark.libvirt

_SECONDS = 60.0


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the client code told of virtlogd and of this daemon."""
    with both(tmp_path_factory.mktemp("pair")) as pair:
        return [_driven(side) for side in pair]


def _driven(side: Side) -> dict[str, Any]:
    """Run the client where the daemon is, as its socket's path is fixed."""
    enter = ["nsenter", "--mount", f"--target={side.process.pid}", "--wd=/"]
    side.outside(f"{LOGS}/driven").mkdir()
    done = subprocess.run(
        [*enter, sys.executable, client_library.__file__, "system", f"{LOGS}/driven"],
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.lengthy
def test_libvirts_client_cannot_tell_the_two_apart(told: list[dict[str, Any]]) -> None:
    """Every call, and every error with its text, code, domain and details, is the same."""
    theirs, ours = told
    assert ours["told"] == theirs["told"]
    assert ours["files"] == theirs["files"]


@pytest.mark.lengthy
def test_a_driver_gets_what_it_asked_for(told: list[dict[str, Any]]) -> None:
    """A failed start's own words, and the reason of an error in virtlogd's words."""
    answers = told[1]["told"]
    assert answers[0] == "connected"
    # Fifty starts, of which each sees the words of its own.
    words = [answer for answer in answers if str(answer).startswith("qemu-system")]
    assert words == [f"qemu-system-x86_64: no such option {number}\n" for number in range(50)]
    errors = [answer for answer in answers if isinstance(answer, dict)]
    busy = f"Cannot open log file: '{LOGS}/driven/serial.log': Device or resource busy"
    assert errors[0]["message"] == busy
    assert [error["code"] for error in errors] == [38, 38, 38, 38, 1, 8, 1, 8, 38, 38, 8, 38]
