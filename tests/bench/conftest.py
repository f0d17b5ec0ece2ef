"""The compiled load generator, which tests of the benchmark share."""

from __future__ import annotations

import shutil

import pytest

from bench.load import Load


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Compile it once."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    return Load(tmp_path_factory.mktemp("build"))
