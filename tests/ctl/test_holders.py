"""Who holds a pipe is found in /proc, as far as that may be seen."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from twisted_virtlog.ctl.holders import Holder, find_holders


def test_writers_are_found_and_readers_are_not() -> None:
    """Those who can write keep a log open; this process reads."""
    read_end, write_end = os.pipe()
    pipe = os.fstat(read_end).st_ino
    try:
        with subprocess.Popen(["sleep", "600"], stdout=write_end) as process:
            os.close(write_end)
            try:
                found = find_holders([pipe, 1])
            finally:
                process.kill()
        holders = found.of(pipe)
        assert holders is not None
        assert [holder.pid for holder in holders] == [process.pid]
        assert list(find_holders([pipe]).of(pipe) or []) == []
    finally:
        os.close(read_end)


def process(proc: Path, pid: int, comm: str, links: dict[int, tuple[str, int]]) -> Path:
    """Make a process as /proc shows it: its descriptors' targets and flags."""
    folder = proc / str(pid)
    for name in ("fd", "fdinfo"):
        (folder / name).mkdir(parents=True)
    (folder / "comm").write_text(comm + "\n")
    for descriptor, (target, flags) in links.items():
        (folder / "fd" / str(descriptor)).symlink_to(target)
        (folder / "fdinfo" / str(descriptor)).write_text(
            f"pos:\t0\nflags:\t0{flags:o}\nmnt_id:\t15\n"
        )
    return folder


def test_each_pipe_has_its_own_holders(tmp_path: Path) -> None:
    """A process counts once, whatever its name and however many descriptors it has."""
    writing, reading = ("pipe:[8]", os.O_WRONLY | os.O_CLOEXEC), ("pipe:[8]", os.O_RDONLY)
    process(tmp_path, 1, "init", {})
    process(tmp_path, 30, "b\nad", {1: writing, 2: writing})
    process(
        tmp_path, 4, "a", {0: reading, 1: ("pipe:[9]", os.O_RDWR), 2: ("socket:[8]", os.O_RDWR)}
    )
    (tmp_path / "self").mkdir()
    (tmp_path / "77").mkdir()
    found = find_holders([8, 9, 10], str(tmp_path))
    assert (found.of(8), found.of(9), found.of(10)) == ([Holder(30, "b\nad")], [Holder(4, "a")], [])
    assert found.of(None) is None


def test_what_may_not_be_seen_is_not_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process may not be looked into, nobody says that there are no holders."""
    process(tmp_path, 1, "init", {})
    process(tmp_path, 2, "mine", {1: ("pipe:[8]", os.O_WRONLY)})
    assert find_holders([9], str(tmp_path)).of(9) == []
    listdir = os.listdir

    def refusing(path: str) -> list[str]:
        if path == f"{tmp_path}/1/fd":
            raise PermissionError(path)
        return listdir(path)

    monkeypatch.setattr("os.listdir", refusing)
    found = find_holders([8, 9], str(tmp_path))
    assert (found.of(8), found.of(9)) == ([Holder(2, "mine")], None)
    (tmp_path / "1").rename(tmp_path / "hidden")
    monkeypatch.undo()
    assert find_holders([9], str(tmp_path)).of(9) is None
