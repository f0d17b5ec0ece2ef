"""A service manager's stand-in, and the daemon under it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from harness.service_manager import ServiceManager

StartManager = Callable[..., ServiceManager]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[StartManager]:
    """Make stand-ins that start the daemon; all that they start ends with the test."""
    with ExitStack() as stack:

        def make(*settings: str, most: int = 20000) -> ServiceManager:
            config = tmp_path / "virtlogd.conf"
            config.write_text("\n".join([*settings, "# end"]) + "\n")
            command = [sys.executable, "-m", "twisted_virtlog.daemon.command", "-f", str(config)]
            command += ["-p", str(tmp_path / "pid")]
            manager = ServiceManager(tmp_path, command, most)
            stack.callback(manager.close)
            (tmp_path / "home").mkdir()
            manager.environment = {
                "PYTHONPATH": str(CHECKOUT),
                "FDSTORE": str(most),
                "HOME": str(tmp_path / "home"),
            }
            return manager

        yield make
