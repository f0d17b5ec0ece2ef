"""Asks ``systemd-analyze timestamp`` what times mean."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

_ANSWER = re.compile(
    r"^  Original form: (.*)$(?:\n.*$)*?\n   UNIX seconds: @([0-9.]+)$", re.MULTILINE
)
#: Now, in a form that nobody else uses.
_NOW = "+0us0ms"


@dataclass(frozen=True)
class Answer:
    """What systemd takes a text for.

    :ivar moment_us: microseconds since 1970; None if it refuses the text.
    :ivar since_us: it was asked after this moment.
    :ivar until_us: it was asked before this moment.
    """

    moment_us: int | None
    since_us: int
    until_us: int


def ask(texts: Sequence[str], zone: str) -> list[Answer]:
    """Return what texts mean in a zone, all by one process, which asks the clock between them.

    With the time of a change of clocks, ask for one alone: what the C library chooses there depends
    on the zone's offset that the process needed last.
    """
    asked = [_NOW, *(text for one in texts for text in (one, _NOW))]
    result = subprocess.run(
        ["systemd-analyze", "timestamp", "--", *asked],
        env={"TZ": zone, "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = [
        (text, int(Decimal(seconds) * 1_000_000))
        for text, seconds in _ANSWER.findall(result.stdout)
    ]
    found.reverse()
    # (it shows blanks at the end, or none)
    moments = [
        found.pop()[1] if found and found[-1][0].rstrip() == text.rstrip() else None
        for text in asked
    ]
    assert not found, result.stderr
    return [
        Answer(moment, _known(before), _known(after))
        for before, moment, after in zip(moments[::2], moments[1::2], moments[2::2], strict=False)
    ]


def _known(moment_us: int | None) -> int:
    assert moment_us is not None
    return moment_us
