"""The manual page tells all that the command takes, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from twisted_virtlog.daemon.command.options import OPTIONS
from twisted_virtlog.daemon.command.outcome import Status

_FILE = Path(__file__).parents[3] / "doc" / "twisted-virtlogd.8"
PAGE = _FILE.read_text().replace("\\-", "-")


def _section(name: str) -> str:
    return PAGE.split(f".SH {name}\n")[1].split(".SH ")[0]


def test_all_options_are_explained() -> None:
    """In both forms, with the name of their value, in the order of the help."""
    pattern = r'^\.TP\n\.BR? (?:-(\w) ", " )?--([a-z-]+)(?: " \\fI([A-Z]+)")?$'
    found = re.findall(pattern, _section("OPTIONS"), re.MULTILINE)
    assert found == [(option.short, option.long, option.value) for option in OPTIONS]


def test_no_other_options_are_named() -> None:
    """Nowhere in the text."""
    text = re.sub(r"\\f[A-Z]|virtlogd-", "", PAGE)
    known = {f"--{option.long}" for option in OPTIONS} | {f"-{option.short}" for option in OPTIONS}
    assert set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", text)) <= known


def test_all_exit_statuses_are_explained() -> None:
    """By their numbers."""
    numbers = re.findall(r"^\.TP\n\.B (\d+)$", _section("EXIT STATUS"), re.MULTILINE)
    assert [int(number) for number in numbers] == sorted(Status)


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_the_page_can_be_set() -> None:
    """groff has nothing to complain of."""
    run = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", str(_FILE)], capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
