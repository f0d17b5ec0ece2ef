"""Files of a log in a directory whose owner may put links anywhere."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from twisted_virtlog.logs.files import beneath
from twisted_virtlog.logs.files.beneath import Beneath, open_directory, walk
from twisted_virtlog.logs.files.lineage import GAP_ATTRIBUTE
from twisted_virtlog.logs.files.log_directory import BY_PATH, Refused

_APPEND = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC


class Place:
    """A directory below a root, and one outside.

    :ivar log: a log's path.
    """

    def __init__(self, base: Path) -> None:
        self.root, self.outside = base / "root", base / "outside"
        self.own = self.root / "tenant" / "guest"
        self.own.mkdir(parents=True)
        self.outside.mkdir()
        self.secret = self.outside / "a.log"
        self.secret.write_bytes(b"secret")
        self.log = str(self.own / "a.log")
        self.directory = Beneath(str(self.own), [str(self.root)])

    def let_others_write(self) -> None:
        """Let anybody change the directory."""
        self.own.chmod(0o777)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Make directories."""
    return Place(tmp_path)


@pytest.fixture(params=["openat2", "name by name"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without openat2(2), too."""
    if request.param != "openat2":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)


def refused(call: Callable[[], object], number: int) -> None:
    """Expect that something is refused, for a reason."""
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.errno == number
    assert "log_roots" in caught.value.explanation


@pytest.mark.parametrize("open_it", [open_directory, walk])
def test_a_directory_is_opened_where_no_link_leads(
    place: Place, open_it: Callable[[str], int]
) -> None:
    """Where one does, or where there is none, the reason is the same in both ways."""
    directory = open_it(str(place.own))
    assert os.path.samestat(os.fstat(directory), place.own.stat())
    os.close(directory)
    os.close(open_it("/"))
    (place.root / "link").symlink_to(place.root / "tenant")
    (place.root / "file").write_bytes(b"")
    (place.root / "dangling").symlink_to("nowhere")
    for path, number in [
        ("link", errno.ELOOP),
        ("link/guest", errno.ELOOP),
        ("dangling", errno.ELOOP),
        ("tenant/other", errno.ENOENT),
        ("file", errno.ENOTDIR),
        ("file/a", errno.ENOTDIR),
    ]:
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            open_it(str(place.root / path))


@pytest.mark.usefixtures("_both_ways")
def test_no_link_is_followed_on_the_way(place: Place) -> None:
    """Nor one that stays below the root; it may take the place of any directory at any time."""
    tenant, log, directory = place.root / "tenant", place.log, place.directory
    os.close(directory.open(log, _APPEND, 0o600))
    tenant.rename(place.root / "former")
    for target in (place.outside, place.root / "former"):
        (place.outside / "guest").mkdir(exist_ok=True)
        tenant.symlink_to(target)
        for call in (
            lambda: directory.open(log, _APPEND, 0o600),
            lambda: directory.open(log, _READ),
            lambda: directory.open(log, os.O_PATH),
            lambda: directory.lstat(log),
            lambda: directory.stat(log),
            lambda: directory.exists(log),
            lambda: directory.rename(log, f"{log}.0"),
            lambda: directory.unlink(log),
            lambda: directory.mark(log, GAP_ATTRIBUTE),
            lambda: directory.longest_name(log),
            directory.begin,
        ):
            refused(call, errno.ELOOP)
        assert directory.file_system(log) is None
        tenant.unlink()
    assert list((place.outside / "guest").iterdir()) == []
    assert os.listdir(place.root / "former" / "guest") == ["a.log"]


def test_no_link_is_followed_in_the_place_of_a_file(place: Place) -> None:
    """It is renamed and removed itself."""
    log, directory = place.log, place.directory
    os.symlink(place.secret, log)
    for flags in (_APPEND, _READ, os.O_WRONLY, os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        refused(lambda flags=flags: directory.open(log, flags, 0o600), errno.ELOOP)
    refused(lambda: directory.mark(log, GAP_ATTRIBUTE), errno.ELOOP)
    with pytest.raises(FileExistsError):
        directory.open(log, _APPEND | os.O_EXCL, 0o600)
    assert directory.exists(log)
    assert os.path.samestat(directory.stat(log), os.lstat(log))
    directory.rename(log, f"{log}.0")
    assert os.readlink(f"{log}.0") == str(place.secret)
    directory.unlink(f"{log}.0")
    assert place.secret.read_bytes() == b"secret"
    assert GAP_ATTRIBUTE not in os.listxattr(place.secret)
    assert os.listdir(place.own) == []


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_file_with_another_name_is_refused(place: Place, is_shared: bool) -> None:
    """Whoever may change the directory; it may be renamed and removed."""
    if is_shared:
        place.let_others_write()
    log, directory = place.log, place.directory
    os.link(place.secret, log)
    refused(lambda: directory.open(log, _APPEND, 0o600), errno.EMLINK)
    refused(lambda: directory.open(log, _READ), errno.EMLINK)
    refused(lambda: directory.mark(log, GAP_ATTRIBUTE), errno.EMLINK)
    os.close(directory.open(log, os.O_PATH))
    directory.rename(log, f"{log}.0")
    directory.unlink(f"{log}.0")
    assert place.secret.read_bytes() == b"secret"
    file = directory.open(log, _APPEND | os.O_EXCL, 0o600)
    os.close(file)
    os.close(directory.open(log, _READ))


def test_a_name_that_is_gone_once_the_file_is_open_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of the file's names is 1 then, of the one outside."""
    place.let_others_write()
    log, directory = place.log, place.directory
    os.link(place.secret, log)
    open_file = os.open

    def opened_and_unlinked(path: str, flags: int, *more: int, **named: int) -> int:
        file = open_file(path, flags, *more, **named)
        if path == "a.log":
            os.unlink(log)
            os.link(place.secret, f"{log}.kept")
            os.unlink(f"{log}.kept")
        return file

    monkeypatch.setattr(os, "open", opened_and_unlinked)
    refused(lambda: directory.open(log, _READ), errno.EMLINK)


def test_a_name_that_was_moved_once_the_file_is_open_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removes it there takes another directory's lock."""
    place.let_others_write()
    log, directory = place.log, place.directory
    Path(log).write_bytes(b"")
    open_file = os.open

    def opened_and_moved(path: str, flags: int, *more: int, **named: int) -> int:
        file = open_file(path, flags, *more, **named)
        if path == "a.log":
            os.rename(log, place.root / "elsewhere")
        return file

    monkeypatch.setattr(os, "open", opened_and_moved)
    refused(lambda: directory.open(log, _READ), errno.EMLINK)


@pytest.mark.usefixtures("_both_ways")
def test_files_are_reached_as_by_their_paths(place: Place) -> None:
    """Where nobody means ill, nothing is different."""
    log, directory = place.log, place.directory
    assert not directory.exists(log)
    file = directory.open(log, _APPEND, 0o600)
    os.write(file, b"text")
    os.close(file)
    assert directory.exists(log)
    assert directory.lstat(log).st_size == 4
    for one in (directory, BY_PATH):
        looks = one.looks([log, f"{log}.9"])
        assert [None if look is None else look.st_size for look in looks] == [4, None]
    directory.mark(log, GAP_ATTRIBUTE)
    directory.mark(log, GAP_ATTRIBUTE)
    assert os.getxattr(log, GAP_ATTRIBUTE) == b"1"
    missing = f"{log}.9"
    expected = os.stat(log).st_dev, os.statvfs(log).f_fsid
    assert directory.file_system(log) == directory.file_system(missing) == expected
    assert directory.longest_name(log) == os.pathconf(place.own, "PC_NAME_MAX")
    for call in (
        lambda: directory.lstat(missing),
        lambda: directory.open(missing, _READ),
        lambda: directory.rename(missing, log),
        lambda: directory.unlink(missing),
    ):
        with pytest.raises(FileNotFoundError):
            call()


def test_what_is_not_below_a_root_is_refused(place: Place) -> None:
    """Whatever is asked of it."""
    directory = Beneath(None, [str(place.root)])
    path = str(place.secret)
    for call in (
        lambda: directory.open(path, _READ),
        lambda: directory.exists(path),
        lambda: directory.unlink(path),
        directory.begin,
    ):
        refused(call, errno.EPERM)
    assert directory.file_system(path) is None


def test_a_directory_is_open_while_it_is_held(place: Place) -> None:
    """What is done meanwhile is done in the same one, wherever it was moved; then it is let go."""
    log, directory = place.log, place.directory
    before = set(os.listdir("/proc/self/fd"))
    with directory:
        directory.begin()
        with directory:
            os.close(directory.open(log, _APPEND, 0o600))
        place.own.rename(place.root / "moved")
        assert directory.exists(log)
        assert directory.is_as_begun()
        assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        directory.is_as_begun()
    place.own.mkdir()
    assert not directory.is_as_begun()
    directory.begin()
    assert directory.is_as_begun()
    assert Beneath(str(place.own), []).is_as_begun()


def test_what_cannot_be_told_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing descriptor is no missing file."""

    def no_descriptor(path: str, *_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    monkeypatch.setattr(beneath, "open_directory", no_descriptor)
    with pytest.raises(OSError, match="Too many open files"):
        place.directory.exists(place.log)
