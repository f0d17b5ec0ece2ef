"""Runs click's commands in this process, with standard error apart from standard output."""

from __future__ import annotations

import inspect

from click.testing import CliRunner


def runner() -> CliRunner:
    """Return a runner; click before 8.2 keeps the two apart only when asked."""
    if "mix_stderr" in inspect.signature(CliRunner).parameters:
        return CliRunner(mix_stderr=False)  # type: ignore[call-arg]  # gone from click 8.2 on
    return CliRunner()
