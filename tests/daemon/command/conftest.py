"""Users who run the command, or the real virtlogd beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.command.command import User, install


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that users reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="users") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def new_user(directory: Path) -> Iterator[Callable[[str], User]]:
    """Make users; a daemon that one has left in the background is ended."""
    users: list[User] = []

    def make(program: str) -> User:
        users.append(User(directory / f"user{len(users)}", program))
        return users[-1]

    yield make
    for user in users:
        user.clean_up()


@pytest.fixture
def user(new_user: Callable[[str], User], directory: Path) -> User:
    """A user of this daemon."""
    return new_user(str(install(directory / "twisted-virtlogd")))
