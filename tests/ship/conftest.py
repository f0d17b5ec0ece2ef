"""A daemon whose logs are shipped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import Daemon, running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Run one with small files."""
    with contextlib.ExitStack() as stack:
        settings = ("max_size = 100000", "max_backups = 32")
        yield stack.enter_context(running(tmp_path / "daemon", settings))
