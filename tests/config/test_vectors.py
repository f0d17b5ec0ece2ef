"""What the real virtlogd makes of configuration files, and what we make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twisted_virtlog.config.logging import (
    format_filters,
    format_outputs,
    parse_filters,
    parse_level,
    parse_outputs,
)
from twisted_virtlog.config.settings import ConfigError, load
from twisted_virtlog.daemon.log.observer import OwnLog
from twisted_virtlog.daemon.log.outputs import default_output
from twisted_virtlog.errors import OutputError

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "config.json").read_text())["cases"]


def _cases(accepted: bool, kind: str | None = None) -> list[Any]:
    return [
        pytest.param(case, id=case["name"])
        for case in CASES
        if case["accepted"] is accepted and case.get("kind") == kind
    ]


def _load(case: dict[str, Any]) -> Any:
    settings, _ = load("virtlogd.conf", case["config"].encode("latin-1"))
    return settings


@pytest.mark.parametrize("case", _cases(accepted=True))
def test_what_virtlogd_accepts_means_the_same(case: dict[str, Any]) -> None:
    """Limits, outputs and filters are those that virtlogd reports."""
    settings = _load(case)
    assert settings.max_clients == case["max_clients"]
    assert settings.admin_max_clients == case["admin_max_clients"]
    level = parse_level(settings.log_level)
    outputs = parse_outputs(settings.log_outputs) or [default_output(level, has_terminal=True)]
    assert format_outputs(outputs) == case["log_outputs"]
    assert format_filters(parse_filters(settings.log_filters)) == case["log_filters"]


@pytest.mark.parametrize("case", _cases(accepted=False, kind="syntax"))
def test_mistakes_of_syntax_are_virtlogd_s(case: dict[str, Any]) -> None:
    """The same words, the same line."""
    with pytest.raises(ConfigError) as caught:
        _load(case)
    assert caught.value.problem == f"configuration file syntax error: {case['problem']}"
    assert caught.value.line == case["line"]


@pytest.mark.parametrize("case", _cases(accepted=False, kind="value"))
def test_mistakes_in_values_are_virtlogd_s(case: dict[str, Any]) -> None:
    """The same words, and the line, which virtlogd does not tell."""
    with pytest.raises(ConfigError) as caught:
        _load(case)
    assert caught.value.problem == case["problem"]
    assert caught.value.line == 1
    assert case["config"].startswith(str(caught.value.key))


@pytest.mark.parametrize("case", _cases(accepted=False, kind="output"))
def test_outputs_that_fail_to_open_fail_as_virtlogd_s(case: dict[str, Any]) -> None:
    """The file is well-formed; opening the output is what fails."""
    with pytest.raises(OutputError) as caught:
        OwnLog(lambda _: [], outputs=parse_outputs(_load(case).log_outputs))
    assert str(caught.value) == case["problem"]


def test_no_case_is_left_out() -> None:
    """Each is of one of the kinds above."""
    assert {case.get("kind") for case in CASES} == {None, "syntax", "value", "output"}
    assert len(CASES) == 117
