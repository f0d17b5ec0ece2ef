"""Fixtures of the tests of the index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.history.world import World


@pytest.fixture(params=["file", "memory"])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Give a world whose index is in a file, and one that has it in memory alone."""
    world = World(tmp_path / "state" if request.param == "file" else None)
    yield world
    world.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a world whose index is in a file."""
    world = World(tmp_path / "state")
    yield world
    world.close()
