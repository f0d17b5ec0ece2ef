"""Times mean what systemd takes them for, in several zones, also when their clocks change."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from tests.ctl.times.expressions import ZONES, Expression, expressions, is_calm
from tests.ctl.times.systemd import Answer, ask
from tests.effort import examples
from twisted_virtlog.ctl.times import NotATime, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: What is taken that systemd refuses: docker's spans, and RFC 3339.
OTHERS = re.compile(
    r"(([0-9]+[.]?[0-9]*|[.][0-9]+)(h|m|s|ms|us|\u00b5s|\u03bcs|ns))+"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9:.]{5,}([Zz]|[-+][0-9:]{5})?|"
    r" [0-9:.]{8,}([Zz]|[-+][0-9:]{5}))"
)
NAMED = ("2026-07-01 12:00 {}", "wed 2026-07-01 {}", "tomorrow {}", "today {}", "14:05:09.5 {}")

pytestmark = pytest.mark.systemd_analyze


def parsed(text: str, now_us: int, zone: str) -> int | None:
    now = EPOCH + timedelta(microseconds=now_us)
    try:
        return (parse_time(text, now, ZoneInfo(zone)) - EPOCH) // timedelta(microseconds=1)
    except NotATime:
        return None


def asked(tried: Sequence[Expression], zone: str) -> Iterator[tuple[str, Answer]]:
    today = datetime.now()
    calm = [one.text for one in tried if is_calm(one.wall or today, zone)]
    for begin in range(0, len(calm), 100):
        some = calm[begin : begin + 100]
        yield from zip(some, ask(some, zone), strict=True)
    for one in tried:
        if not is_calm(one.wall or today, zone):
            yield one.text, ask([one.text], zone)[0]


def agrees(text: str, answer: Answer, zone: str) -> bool:
    """Return whether we take a text as systemd did, whose clock stood at an unknown moment."""
    if answer.moment_us is None and OTHERS.fullmatch(text):
        return True
    earliest, latest = (parsed(text, now, zone) for now in (answer.since_us, answer.until_us))
    if answer.moment_us in {earliest, latest}:
        return True
    known = earliest is not None and latest is not None and answer.moment_us is not None
    # (one that does not go with the clock has been compared)
    return known and earliest < answer.moment_us < latest


@pytest.mark.lengthy
@pytest.mark.parametrize("zone", ZONES)
def test_generated_expressions(zone: str) -> None:
    """What one takes the other takes, for the same moment, to the microsecond."""
    tried = expressions(examples(600), seed=0)
    different = [
        (text, answer, parsed(text, answer.since_us, zone))
        for text, answer in asked(tried, zone)
        if not agrees(text, answer, zone)
    ]
    assert different[:5] == []


@pytest.mark.parametrize("named", ["Europe/Berlin", "Asia/Tokyo", "Etc/GMT+5", "America/St_Johns"])
def test_a_named_zone(named: str) -> None:
    """A time with the name of a zone is one of that zone.

    systemd-analyze refuses these, as it looks for the text in its arguments after a fork that has
    cleared them; journalctl takes them.
    """
    texts = [form.format(named) for form in NAMED]
    answers = ask([text.removesuffix(f" {named}") for text in texts], named)
    for text, answer in zip(texts, answers, strict=True):
        there = {
            parsed(text, now, "America/New_York") for now in (answer.since_us, answer.until_us)
        }
        assert answer.moment_us in there, text


@pytest.mark.parametrize(
    "text",
    [
        *(form.format("Asia/Tokyo") for form in NAMED),
        "now Asia/Tokyo",
        "-5s Asia/Tokyo",
        "@5 Asia/Tokyo",
        "2026-07-01 12:00 CET",
        "2026-07-01 12:00 CEST",
        "2026-07-01 12:00 CET Asia/Tokyo",
        "2026-07-01 12:00 Asia/Nowhere",
        "2026-07-01 12:00 Asia",
        "2026-07-01 12:00 ../Asia/Tokyo",
        "2026-07-01 12:00  Asia/Tokyo",
        "UTC",
        "Asia/Tokyo",
    ],
)
def test_journalctl_takes_the_same_named_zones(text: str) -> None:
    """And refuses the same."""
    result = subprocess.run(
        ["journalctl", "--no-pager", "--directory=/proc/self/fdinfo", "--since", text],
        env={"TZ": "Europe/Berlin", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    is_taken = "Failed to parse timestamp" not in result.stderr
    assert (parsed(text, 1_795_788_300_000_000, "Europe/Berlin") is not None) == is_taken
