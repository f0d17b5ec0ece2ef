"""Old files go at once; what takes long is done by another thread."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.logs.fakes import World
from twisted_virtlog.logs.files.removal import (
    AMPLE_BYTES,
    AT_ONCE,
    LARGE_BYTES,
    LARGE_BYTES_ALONE,
    Remover,
)


def make(path: Path, size: int) -> int:
    """Make a file of a size; tell its inode."""
    with path.open("wb") as file:
        file.truncate(size)
    return path.stat().st_ino


def held_files(directory: Path) -> list[str]:
    """Return which files below a directory this process has open."""
    names = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            continue
    return [name for name in names if name.startswith(str(directory))]


class Later:
    """Keeps calls until it is told to make them."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def __call__(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self) -> None:
        """Make the calls."""
        for call in self.calls:
            call()
        self.calls.clear()


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


def test_a_small_file_is_gone_at_once(tmp_path: Path) -> None:
    """With its data."""
    later = Later()
    inode = make(tmp_path / "a", LARGE_BYTES - 1)
    assert Remover(later, 2)(str(tmp_path / "a")) == inode
    assert list(tmp_path.iterdir()) == []
    assert later.calls == []
    assert held_files(tmp_path) == []


def test_a_large_files_data_goes_later(tmp_path: Path) -> None:
    """Its name goes at once."""
    later = Later()
    inode = make(tmp_path / "a", LARGE_BYTES)
    assert Remover(later, 2)(str(tmp_path / "a")) == inode
    assert list(tmp_path.iterdir()) == []
    assert held_files(tmp_path) == [f"{tmp_path}/a (deleted)"]
    later.run()
    assert held_files(tmp_path) == []


def test_without_another_processor_only_the_largest_are_left_to_a_thread(tmp_path: Path) -> None:
    """It would take the reactor's time all the same, and more of it."""
    later = Later()
    make(tmp_path / "a", LARGE_BYTES_ALONE - 1)
    Remover(later, 1)(str(tmp_path / "a"))
    assert later.calls == []
    make(tmp_path / "a", LARGE_BYTES_ALONE)
    Remover(later, 1)(str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []
    later.run()
    assert held_files(tmp_path) == []


class Patient(Later):
    """A thread that stands back for the reactor's."""

    is_busy = True

    def call(self, call: Callable[[], object]) -> None:
        """Call something later."""
        self.calls.append(lambda: call() and None)


def test_a_patient_thread_that_is_busy_anyhow_frees_what_is_less_large(tmp_path: Path) -> None:
    """What is larger would keep those waiting for whom it is busy."""
    later, patient = Later(), Patient()
    remove = Remover(later, 1, patient)
    for size, busy, found in [
        (LARGE_BYTES - 1, True, (0, 0)),
        (LARGE_BYTES, True, (0, 1)),
        (LARGE_BYTES_ALONE, True, (1, 1)),
        (LARGE_BYTES, False, (1, 1)),
    ]:
        patient.is_busy = busy
        make(tmp_path / "a", size)
        remove(str(tmp_path / "a"))
        assert (len(later.calls), len(patient.calls)) == found
    later.run()
    patient.run()
    assert held_files(tmp_path) == []


def test_where_there_is_little_room_it_is_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next file needs it."""
    later = Later()
    make(tmp_path / "a", LARGE_BYTES)
    room = os.statvfs_result((4096, 512, 0, 0, AMPLE_BYTES // 512 - 1, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: room)
    Remover(later, 2)(str(tmp_path / "a"))
    assert later.calls == []
    assert held_files(tmp_path) == []


def test_what_is_not_there_is_no_failure(tmp_path: Path) -> None:
    """Somebody else removed it."""
    assert AT_ONCE(str(tmp_path / "a")) == 0


def test_what_is_wrong_is_said_as_unlink_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what is not there: a read-only file system says first that it is one."""

    def fail(_path: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        AT_ONCE(str(tmp_path / "file" / "a"))
    assert AT_ONCE(str(tmp_path / "missing" / "a")) == 0
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", fail)
        with pytest.raises(OSError, match="Read-only"):
            AT_ONCE(str(tmp_path / "missing"))


def test_a_link_to_a_large_file_is_removed_alone(tmp_path: Path) -> None:
    """Its target is not touched."""
    later = Later()
    make(tmp_path / "a", LARGE_BYTES)
    (tmp_path / "b").symlink_to("a")
    Remover(later, 2)(str(tmp_path / "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert later.calls == []


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """And stays."""
    with pytest.raises(OSError, match="directory"):
        AT_ONCE(str(tmp_path))
    assert tmp_path.is_dir()


def test_a_large_file_that_cannot_be_held_is_removed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process has no descriptors left."""

    def fail(*_: object) -> int:
        raise OSError(24, "Too many open files")

    later = Later()
    make(tmp_path / "a", LARGE_BYTES)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", fail)
        Remover(later, 2)(str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []
    assert later.calls == []


@pytest.mark.parametrize("backups", [0, 1])
def test_a_rollover_leaves_a_large_files_data_to_a_thread(tmp_path: Path, backups: int) -> None:
    """Guests and clients do not wait for it."""
    make(tmp_path / "guest.log", LARGE_BYTES)
    make(tmp_path / "guest.log.0", LARGE_BYTES)
    world = World(tmp_path, LARGE_BYTES, backups)
    world.threads.held = True
    world.append(b"the next file\n")
    assert world.text() == b"the next file\n"
    assert held_files(tmp_path) == [f"{world.path}{'.0' * backups} (deleted)"]
    world.threads.run()
    assert held_files(tmp_path) == []
    world.close()


def test_a_log_that_begins_again_does_so_at_once(tmp_path: Path) -> None:
    """However much was in its files."""
    for name in ("guest.log", "guest.log.0", "guest.log.1"):
        make(tmp_path / name, LARGE_BYTES)
    world = World(tmp_path, LARGE_BYTES)
    world.threads.held = True
    world.open(truncate=True)
    assert [path.name for path in tmp_path.iterdir()] == ["guest.log"]
    assert world.text() == b""
    assert len(world.threads.waiting) == 3
    world.threads.run()
    world.close()
