"""--since and --until, on any command that has them."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from twisted_virtlog.ctl.time_options import time_options

pytestmark = pytest.mark.usefixtures("berlin")

Range = tuple["datetime | None", "datetime | None"]


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")


def run(*arguments: str) -> tuple[Result, list[Range]]:
    got: list[Range] = []

    @click.command()
    @time_options
    def command(since: datetime | None, until: datetime | None) -> None:
        got.append((since, until))

    return CliRunner().invoke(command, arguments), got


def test_times_are_the_callers() -> None:
    """In the zone of the environment."""
    _, [(since, until)] = run("--since", "2026-07-01 14:05", "--until", "2026-07-01T14:05:00Z")
    assert (since and since.isoformat()) == "2026-07-01T14:05:00+02:00"
    assert (until and until.isoformat()) == "2026-07-01T16:05:00+02:00"


def test_neither_is_needed() -> None:
    """Then there is no limit."""
    assert run()[1] == [(None, None)]
    [(since, until)] = run("--since", "1h")[1]
    assert since is not None
    assert until is None


def test_both_are_relative_to_the_same_moment() -> None:
    """However long it takes to read the command line."""
    for first, second in (("-1h", "now"), ("1h", "+0s"), ("60 min ago", "0s left")):
        [(since, until)] = run("--since", first, "--until", second)[1]
        assert since is not None
        assert until is not None
        assert until - since == timedelta(hours=1)


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_what_is_no_time(option: str) -> None:
    """The message names the option and the text, and gives examples."""
    result, got = run(option, "last week")
    assert (result.exit_code, got) == (2, [])
    for part in (option, "'last week'", '"10 min ago"', '"2026-11-27 14:05"'):
        assert part in result.output


def test_an_end_before_the_beginning() -> None:
    """It would give nothing, and is a mistake."""
    result, got = run("--since", "now", "--until", "yesterday")
    assert (result.exit_code, got) == (2, [])
    assert "--until is before --since" in result.output


def test_the_manuals_examples() -> None:
    """What the table of the page has in its first column is taken."""
    page = (Path(__file__).parents[2] / "doc" / "virtlogctl.1").read_text().replace("\\-", "-")
    table = page.partition(".SH TIMES\n")[2].partition(".nf\n")[2].partition(".fi\n")[0]
    texts = [text for row in table.splitlines() for text in row.split("  ")[0].split(", ")]
    assert len(texts) > 10
    for text in texts:
        assert run("--since", text)[1], text


def test_commands_without_a_time_do_not_load_zones() -> None:
    """They would take longer to start."""
    modules = "twisted_virtlog.ctl, twisted_virtlog.ctl.time_options"
    program = f"import sys, {modules}\nsys.exit('zoneinfo' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
