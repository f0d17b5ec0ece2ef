"""The attack on a daemon with ``log_roots``, and that it would succeed without them."""

from __future__ import annotations

import os

import pytest

from bench.roots import main

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="another user is to attack")

# (in a directory that other users may enter, as those of pytest are not)


@pytest.mark.lengthy
def test_what_is_outside_is_touched_without_roots(capsys: pytest.CaptureFixture[str]) -> None:
    """By links, as with virtlogd; so the attack is one."""
    assert main(["--everywhere"]) == 1
    assert "/outside/" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("way", [[], ["--walk"]])
def test_nothing_outside_is_touched_or_served(way: list[str]) -> None:
    """With openat2(2), and name by name."""
    assert main(["--swaps", "20000", *way]) == 0
