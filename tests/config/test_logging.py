"""Levels, filters and outputs as the configuration writes them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.config.logging import (
    SpecError,
    format_filters,
    format_outputs,
    parse_filters,
    parse_level,
    parse_outputs,
    wanted,
)
from twisted_virtlog.values import Destination, Filter, Output, Priority


@pytest.mark.parametrize(("level", "priority"), [(0, 3), (1, 1), (2, 2), (3, 3), (4, 4)])
def test_a_level_is_a_priority(level: int, priority: int) -> None:
    """Unset means warnings and errors."""
    assert parse_level(level) is Priority(priority)


@pytest.mark.parametrize("level", [5, 100, -1])
def test_other_levels_are_refused(level: int) -> None:
    """In libvirt's words, with the levels that there are."""
    with pytest.raises(SpecError, match=rf"argument '{level}' is invalid") as caught:
        parse_level(level)
    assert "4 (error)" in caught.value.remedy


def test_filters_keep_their_order_and_their_duplicates() -> None:
    """Only spaces separate; a plus is dropped, a second colon ends the match."""
    assert parse_filters("  1:a 02:+b  3:c:d\t4:e 1:a ") == [
        Filter(Priority.DEBUG, "*a*"),
        Filter(Priority.INFO, "*b*"),
        Filter(Priority.WARNING, "*c*"),
        Filter(Priority.DEBUG, "*a*"),
    ]
    assert parse_filters("   ") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "Malformed format for filter 'foo'"),
        ("1:a foo", "Malformed format for filter 'foo'"),
        ("9:foo", "Invalid priority '9' for filter '9:foo'"),
        ("0:foo", "Invalid priority '0' for filter '0:foo'"),
        (":foo", "Invalid priority '' for filter ':foo'"),
        ("-1:foo", "Invalid priority '-1' for filter '-1:foo'"),
        ("²:foo", "Invalid priority '²' for filter '²:foo'"),
        ("3:", "Invalid match string ''"),
        ("3:+", "Invalid match string '+'"),
        ("3::x", "Invalid match string ''"),
    ],
)
def test_a_mistake_in_a_filter_is_told(text: str, message: str) -> None:
    """In libvirt's words."""
    with pytest.raises(SpecError) as caught:
        parse_filters(text)
    assert str(caught.value) == message
    assert caught.value.remedy


def test_outputs_of_all_kinds() -> None:
    """Each destination with its argument."""
    assert parse_outputs("1:stderr  2:journald 3:syslog:virtlogd 4:file:/var/log/a") == [
        Output(Priority.DEBUG, Destination.STDERR),
        Output(Priority.INFO, Destination.JOURNALD),
        Output(Priority.WARNING, Destination.SYSLOG, "virtlogd"),
        Output(Priority.ERROR, Destination.FILE, "/var/log/a"),
    ]


@pytest.mark.parametrize("blank", ["\t", "\n", "\r", "\v", "\f", "\n\t"])
def test_white_space_before_a_level_means_nothing(blank: str) -> None:
    """As in a string over several lines; libvirt skips it, too."""
    assert parse_filters(f"{blank}1:a") == [Filter(Priority.DEBUG, "*a*")]
    assert parse_outputs(f"{blank}+02:stderr") == [Output(Priority.INFO, Destination.STDERR)]


def test_of_two_outputs_to_one_place_the_later_holds() -> None:
    """Two files are two places."""
    outputs = parse_outputs("1:file:/a 3:stderr 2:file:/b 4:file:/a")
    assert [str(one) for one in outputs] == ["3:stderr", "2:file:/b", "4:file:/a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "Malformed format for log output 'foo'"),
        ("7:stderr", "Invalid log priority '7' for log output '7:stderr'"),
        ("3:foo", "Invalid log destination 'foo' for log output '3:foo'"),
        ("3:STDERR", "Invalid log destination 'STDERR' for log output '3:STDERR'"),
        *(
            (
                f"3:{name}{rest}",
                (
                    f"Log output '3:{name}{rest}' does not meet the format requirements"
                    f" for destination type '{name}'"
                ),
            )
            for name, rest in [
                ("file", ""),
                ("file", ":"),
                ("syslog", ""),
                ("stderr", ":x"),
                ("stderr", ":"),
                ("journald", ":x"),
                ("file", ":/a\0b"),
                ("file", ":/a:b"),
                ("file", "::"),
                ("syslog", ":x:"),
            ]
        ),
    ],
)
def test_a_mistake_in_an_output_is_told(text: str, message: str) -> None:
    """In libvirt's words."""
    with pytest.raises(SpecError) as caught:
        parse_outputs(text)
    assert str(caught.value) == message
    assert caught.value.remedy


def test_filters_are_reported_as_libvirt_reports_them() -> None:
    """A space stands behind each, also the last."""
    assert format_filters(parse_filters("1:+util 4:rpc")) == "1:*util* 4:*rpc* "
    assert format_filters([]) == ""


def test_outputs_are_reported_as_libvirt_reports_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A space stands between them, and a relative path has become absolute."""
    monkeypatch.chdir(tmp_path)
    outputs = parse_outputs("3:stderr 1:file:./a/../b 2:syslog:x 4:journald")
    assert format_outputs(outputs) == f"3:stderr 1:file:{tmp_path}/b 2:syslog:x 4:journald"
    assert format_outputs([]) == ""


_priorities = st.sampled_from(Priority)
_words = st.from_regex(r"[a-z0-9_./-]+", fullmatch=True)
_outputs = st.one_of(
    st.builds(Output, _priorities, st.sampled_from([Destination.STDERR, Destination.JOURNALD])),
    st.builds(Output, _priorities, st.just(Destination.SYSLOG), _words),
    st.builds(Output, _priorities, st.just(Destination.FILE), _words.map(os.path.abspath)),
)


@given(st.lists(_outputs, unique_by=lambda one: (one.destination, one.argument)))
def test_reported_outputs_can_be_set_again(outputs: list[Output]) -> None:
    """What is reported means what was set."""
    assert parse_outputs(format_outputs(outputs)) == outputs


_text = st.text(st.sampled_from("1234+: *?[]!-\\a/\0²"), max_size=30)


@given(_text, _text)
def test_any_text_gives_a_list_or_a_mistake(text: str, part: str) -> None:
    """Nothing else is raised, and filters of any pattern can be asked."""
    with suppress(SpecError):
        parse_outputs(text)
    filters: list[Filter] = []
    with suppress(SpecError):
        filters = parse_filters(text)
    assert wanted(filters, Priority.INFO, [part]) in Priority


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_pattern_fails(match: str, part: str) -> None:
    """A pattern that makes no sense matches nothing, or itself."""
    assert wanted([Filter(Priority.ERROR, f"*{match}*")], Priority.INFO, [part]) in {
        Priority.ERROR,
        Priority.INFO,
    }


@pytest.mark.parametrize(
    ("filters", "part", "priority"),
    [
        ("", "twisted_virtlog.logs.handler", 3),
        ("1:logs", "twisted_virtlog.logs.handler", 1),
        ("1:logs", "twisted_virtlog.jsonrpc.protocol", 3),
        ("1:logs 4:logs", "twisted_virtlog.logs.handler", 1),
        ("4:handler 1:logs", "twisted_virtlog.logs.handler", 4),
        ("4:handler 1:logs", "twisted_virtlog.logs.files.writer", 1),
        ("1:l?gs.*er", "twisted_virtlog.logs.files.writer", 1),
        ("1:LOGS", "twisted_virtlog.logs.files.writer", 3),
        ("1:[", "a[b", 1),
        ("1:[z-a]", "z-a", 3),
        ("1:*", "", 1),
    ],
)
def test_the_first_filter_that_matches_decides(filters: str, part: str, priority: int) -> None:
    """Otherwise the level does."""
    assert wanted(parse_filters(filters), Priority.WARNING, [part]) == priority


def test_a_pattern_of_many_stars_is_not_slow() -> None:
    """A filter cannot hold the daemon up, whatever messages come."""
    filters = parse_filters("1:" + "a*" * 40 + "b")
    assert wanted(filters, Priority.INFO, ["a" * 1000]) is Priority.INFO
