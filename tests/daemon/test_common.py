"""Tests that use one daemon after another find it as a new one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.daemon.conftest import Common


@pytest.mark.lengthy
def test_what_a_test_leaves_is_no_other_s(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """A daemon that has a log or a client left, or is gone, is replaced; else it goes on."""
    common = Common(tmp_path_factory)
    first = common.take()
    common.put_back(first)
    assert common.take() is first
    with first.client() as client:
        write_end = client.open(str(tmp_path / "log")).write_end
        common.put_back(first)
    os.close(write_end)
    assert first.process.returncode == 0
    second = common.take()
    with second.client() as client:
        client.info()
        common.put_back(second)
    assert second.process.returncode == 0
    third = common.take()
    third.process.kill()
    common.put_back(third)
    assert common.take() is not third
    common.end()
