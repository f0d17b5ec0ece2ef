"""Descriptors for the tests of libvirt's protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def write_end() -> Iterator[int]:
    """Make a pipe; give its write end."""
    read_end, write_end = os.pipe()
    yield write_end
    os.close(read_end)
    os.close(write_end)
