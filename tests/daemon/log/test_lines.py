"""How a message looks as a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure

from twisted_virtlog.daemon.log.lines import line_of, message_of, part_of, priority_of
from twisted_virtlog.escaping import visible
from twisted_virtlog.values import Priority


def _event(**more: Any) -> LogEvent:
    return {
        "log_level": LogLevel.warn,
        "log_namespace": "twisted_virtlog.logs.handler",
        "log_format": "{what} happened",
        "log_time": 1700000000.0625,
        "what": "it",
        **more,
    }


@pytest.fixture
def set_zone() -> Iterator[Callable[[str], None]]:
    """Move the host to another time zone, for one test."""
    with pytest.MonkeyPatch.context() as patch:

        def move(zone: str) -> None:
            patch.setenv("TZ", zone)
            time.tzset()

        yield move
    time.tzset()


@pytest.mark.parametrize("zone", ["UTC0", "EST5", "IST-5:30"])
def test_a_line_has_libvirt_s_form(zone: str, set_zone: Callable[[str], None]) -> None:
    """The time in UTC wherever the host is, with milliseconds."""
    set_zone(zone)
    assert line_of(_event(), 4711) == (
        "2023-11-14 22:13:20.062+0000: 4711: warning : logs : it happened\n"
    )


@pytest.mark.parametrize(
    ("seconds", "stamp"),
    [
        (0.0, "1970-01-01 00:00:00.000+0000"),
        (1.9996, "1970-01-01 00:00:01.999+0000"),
        (1700000000.001, "2023-11-14 22:13:20.001+0000"),
    ],
)
def test_milliseconds_are_cut_not_rounded(seconds: float, stamp: str) -> None:
    """So that no line is of a second that has not come."""
    assert line_of(_event(log_time=seconds), 1).startswith(stamp)


@pytest.mark.parametrize(
    ("level", "word"),
    [
        (LogLevel.debug, "debug"),
        (LogLevel.info, "info"),
        (LogLevel.warn, "warning"),
        (LogLevel.error, "error"),
        (LogLevel.critical, "error"),
    ],
)
def test_twisted_s_levels_are_libvirt_s(level: Any, word: str) -> None:
    """What is critical is an error."""
    assert f": 7: {word} : " in line_of(_event(log_level=level), 7)


def test_an_event_of_old_code_is_told_too() -> None:
    """Without a level it is information, without a name it is nobody's."""
    assert priority_of({}) is Priority.INFO
    assert part_of({}) == "-"
    assert part_of({"log_namespace": None}) == "-"


def test_a_failure_brings_its_traceback() -> None:
    """The reason stands below the message."""
    try:
        raise ValueError("the reason")
    except ValueError:
        failure = Failure()
    lines = message_of(_event(log_failure=failure)).splitlines()
    assert lines[0] == "it happened"
    assert lines[1].startswith("    Traceback")
    assert lines[-1].endswith("ValueError: the reason")


def test_what_a_client_names_forges_no_line() -> None:
    """Nor does it reach a terminal as more than text; a backslash stays what it is."""
    path = (
        "/a\\b\n2023-11-14 22:13:20.062+0000: 1: error : logs : forged\x1b]0;x\x07\u202e\x9b\udcff"
    )
    line = line_of(_event(log_format="{path}: cannot be read", path=path), 1)
    assert line.isascii()
    assert line.count("\n") == 1
    assert line.endswith(
        r" : /a\b\n2023-11-14 22:13:20.062+0000: 1: error : logs : forged"
        r"\x1b]0;x\x07\u202e\x9b\udcff: cannot be read" + "\n"
    )


def test_a_traceback_forges_no_line() -> None:
    """What an exception says may be a client's."""
    try:
        raise ValueError("/x\n2023-11-14 22:13:20.062+0000: 1: error : logs : forged\x1b[2J")
    except ValueError:
        failure = Failure()
    first, *rest = message_of(_event(log_failure=failure)).splitlines()
    assert first == "it happened"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_printable_text_of_any_script_is_as_it_was() -> None:
    """Only what is not printable is escaped."""
    text = "/var/log/štěně 🐧 日本.log"
    assert visible(text) == text


@given(st.text())
def test_whatever_is_made_visible_is_one_printable_line(text: str) -> None:
    """And never empty, unless it was."""
    assert visible(text).isprintable()
    assert bool(visible(text)) == bool(text)


@given(
    st.dictionaries(
        st.sampled_from(["log_format", "what", "log_text", "log_namespace", "format"]),
        st.one_of(st.none(), st.text(max_size=10), st.integers(), st.binary(max_size=10)),
    )
)
def test_any_event_gives_a_line(more: dict[str, Any]) -> None:
    """A broken format is no reason to lose the message, or the daemon."""
    line = line_of(_event(**more), 1)
    assert line.startswith("2023-11-14 22:13:20.062+0000: 1: warning : ")
    assert line.endswith("\n")
