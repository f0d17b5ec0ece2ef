"""What an administrator set on a log's file, which a rotated one keeps."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World
from tests.logs.test_no_descriptors import _descriptors_left
from twisted_virtlog.logs.files.attributes import Attributes
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer

FULL = 100
ACL = "system.posix_acl_access"
_ANY = 0xFFFFFFFF

root = pytest.mark.skipif(os.getuid() != 0, reason="gives files away, which only root may")


def acl_for(user: int) -> bytes:
    """Make the list "u::rw-,u:USER:r--,g::r--,m::r--,o::---"."""
    entries = [(1, 6, _ANY), (2, 4, user), (4, 4, _ANY), (16, 4, _ANY), (32, 0, _ANY)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.fixture
def rotating(make_world: MakeWorld) -> World:
    """A world whose log is full."""
    world = make_world(FULL, 2)
    world.append(b"x" * FULL)
    return world


def mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


@pytest.mark.parametrize("backups", [0, 2])
@pytest.mark.parametrize("given", [0o600, 0o640, 0o666, 0o400])
def test_the_mode_is_kept(given: int, backups: int, make_world: MakeWorld) -> None:
    """For one rollover after the other, until it is changed again."""
    world = make_world(FULL, backups)
    world.open()
    world.append(b"x" * FULL)
    os.chmod(world.path, given)
    for _ in range(3):
        world.append(b"x" * FULL)
        assert mode(world.path) == given
    assert world.status().rollovers == 3


def test_no_file_is_made_that_runs_as_its_owner(rotating: World) -> None:
    """Only the permissions are kept of a mode."""
    os.chmod(rotating.path, 0o6755)
    rotating.append(b"x")
    assert mode(rotating.path) == 0o755


@root
def test_owner_and_group_are_kept(rotating: World) -> None:
    """Together with the mode."""
    os.chown(rotating.path, 12, 34)
    os.chmod(rotating.path, 0o640)
    rotating.append(b"x")
    status = os.stat(rotating.path)
    assert (status.st_uid, status.st_gid, mode(rotating.path)) == (12, 34, 0o640)


def test_an_access_control_list_is_kept(rotating: World) -> None:
    """Where the file system has them."""
    try:
        os.setxattr(rotating.path, ACL, acl_for(1234))
    except OSError as error:
        pytest.skip(f"no access control lists here: {error}")
    rotating.append(b"x" * FULL)
    assert os.getxattr(rotating.path, ACL) == acl_for(1234)
    # A default of the directory, which the administrator took away from the file.
    os.setxattr(rotating.directory, "system.posix_acl_default", acl_for(5))
    os.removexattr(rotating.path, ACL)
    os.chmod(rotating.path, 0o640)
    rotating.append(b"x")
    assert ACL not in os.listxattr(rotating.path)
    assert mode(rotating.path) == 0o640


def test_a_label_is_kept(rotating: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it differs from the one that a new file gets."""
    labels: dict[int, bytes] = {os.stat(rotating.path).st_ino: b"admins_t"}

    def get(file: int, name: str) -> bytes:
        return labels.get(os.fstat(file).st_ino, b"default_t")

    def put(file: int, name: str, value: bytes) -> None:
        assert name == "security.selinux"
        assert os.fstat(file).st_size == 0
        labels[os.fstat(file).st_ino] = value

    monkeypatch.setattr(os, "listxattr", lambda file: ["security.selinux", "user.other"])
    monkeypatch.setattr(os, "getxattr", get)
    monkeypatch.setattr(os, "setxattr", put)
    rotating.append(b"x" * FULL)
    assert labels[os.stat(rotating.path).st_ino] == b"admins_t"


def test_where_nothing_was_changed_nothing_is_set(
    rotating: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs two looks at each file."""

    def never(*_: Any) -> None:
        raise AssertionError

    for name in ("fchmod", "fchown", "setxattr", "removexattr"):
        monkeypatch.setattr(os, name, never)
    rotating.append(b"x")
    assert mode(rotating.path) == 0o600


def test_what_may_not_be_set_is_said_once(
    rotating: World,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    """The log goes on; the permissions of a group are not given to another one."""

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    fstat = os.fstat
    former = os.stat(rotating.path).st_ino

    def of_others(file: int) -> os.stat_result:
        status = fstat(file)
        if status.st_ino == former:
            return os.stat_result((*status[:4], 12, 34, *status[6:]))
        return status

    rotating.open()
    os.chmod(rotating.path, 0o664)
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "fstat", of_others)
    rotating.append(b"x" * FULL)
    assert mode(rotating.path) == 0o604
    for _ in range(5):
        former = os.stat(rotating.path).st_ino
        rotating.append(b"x" * FULL)
    assert logged().count("does not have the former one's") == 1
    assert "owner (Operation not permitted), group (Operation not permitted)" in logged()


def test_a_file_that_somebody_put_there_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a link to a file that is not the daemon's business."""
    log, other = tmp_path / "guest.log", tmp_path / "shadow"
    other.touch(0o600)
    writer = Writer(str(log), Limits(FULL, 1), keep_attributes=Attributes())
    log.chmod(0o666)
    writer.append(b"x" * FULL)
    rename = os.rename

    def planted(source: str, target: str) -> None:
        rename(source, target)
        log.symlink_to(other)

    monkeypatch.setattr(os, "rename", planted)
    writer.append(b"x")
    writer.close()
    assert mode(str(other)) == 0o600


def test_a_rollover_that_was_interrupted_keeps_them(make_world: MakeWorld) -> None:
    """Another process finds the former file among the backups."""
    world = make_world(FULL, 2)
    world.open()
    world.append(b"x" * FULL)
    os.chmod(world.path, 0o640)
    os.rename(world.path, world.path + ".0")
    state = world.handler.suspended()[0]
    after = make_world(FULL, 2)
    after.handler.restore(msgspec.structs.replace(state, pipe=os.dup(state.pipe)))
    after.append(b"x")
    assert mode(after.path) == 0o640
    assert after.files() == {".0": b"x" * FULL, "": b"x"}


def test_without_descriptors_they_are_kept_too(tmp_path: Path) -> None:
    """The former file is closed then before the new one is made."""
    log = tmp_path / "guest.log"
    writer = Writer(str(log), Limits(FULL, 1), keep_attributes=Attributes())
    log.chmod(0o640)
    writer.append(b"x" * FULL)
    with _descriptors_left(0):
        writer.append(b"x")
    writer.close()
    assert mode(str(log)) == 0o640
