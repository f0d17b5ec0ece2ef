"""Resolving paths without leaving a mount; what real mounts do is in test_real_mounts.py."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.reactor import FakeReactor
from tests.logs.fakes import descriptors
from twisted_virtlog.logs.lanes import confined, resolving
from twisted_virtlog.logs.lanes.mounts import PATH_MAX, UNKNOWN, Mount, Mounts
from twisted_virtlog.logs.lanes.resolving import Resolving
from twisted_virtlog.logs.lanes.table import MountTable


def everywhere(mount: Mount) -> bool:
    """Touch any mount."""
    return True


class Tables:
    """Tables of mounts that follow one another, each for as many questions as said."""

    def __init__(self, *tables: tuple[int, Mounts]) -> None:
        self.tables = list(tables)

    def now(self) -> Mounts:
        times, mounts = self.tables[0]
        if times > 1 or len(self.tables) == 1:
            self.tables[0] = times - 1, mounts
        else:
            del self.tables[0]
        return mounts

    afresh = now


@pytest.fixture(scope="module")
def table() -> Iterator[MountTable]:
    """The mounts of this process."""
    table = MountTable(FakeReactor())
    yield table
    table.close()


def resolve(path: str, table: resolving.Table, follow_last: bool = True) -> tuple[str, Mount]:
    """Resolve a path, whatever mounts it leads over."""
    one = Resolving(path, table, follow_last)
    assert one.advance(everywhere) is None
    return one.real, one.mount


def no_openat2(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOSYS) -> None:
    """Let openat2(2) fail always."""

    def fails(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(confined, "openat2", fails)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Directories, files and links."""
    tree = Path(os.path.realpath(tmp_path))
    (tree / "log/libvirt/qemu").mkdir(parents=True)
    (tree / "log/libvirt/qemu/a.log").touch()
    (tree / "vm").symlink_to("log/libvirt/qemu")
    (tree / "absolute").symlink_to(tree / "log")
    (tree / "log/libvirt/current.log").symlink_to("../../vm/a.log")
    (tree / "dangling").symlink_to("log/none/x.log")
    (tree / "loop").symlink_to("loop/x")
    (tree / "up").symlink_to("log/libvirt/../..")
    return tree


PATHS = [
    "log/libvirt/qemu/a.log",
    "log/libvirt/qemu/new.log",
    "log/none/of/these.log",
    "log/libvirt/qemu/a.log/x/y",
    "vm/a.log",
    "vm/../x.log",
    "vm/new.log",
    "absolute/libvirt/current.log",
    "absolute/libvirt/none/../current.log",
    "dangling",
    "dangling/y",
    "up/vm/../../absolute//./libvirt/",
    "../../../../../../../../../..",
    "",
    ".",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("works", [True, False])
def test_paths_are_resolved_as_by_realpath(
    path: str, works: bool, tree: Path, table: MountTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absolute and relative ones, where openat2(2) is there and where it is not."""
    if not works:
        no_openat2(monkeypatch)
    monkeypatch.chdir(tree)
    before = descriptors()
    for text in (path, f"{tree}/{path}"):
        real, mount = resolve(text, table)
        assert real == os.path.realpath(text)
        assert mount == table.now().of(real)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("vm", "vm"),
        ("vm/", "log/libvirt/qemu"),
        ("vm/.", "log/libvirt/qemu"),
        ("vm/..", "log/libvirt"),
        ("absolute/libvirt/current.log", "log/libvirt/current.log"),
        ("vm/a.log", "log/libvirt/qemu/a.log"),
        ("loop", "loop"),
    ],
)
def test_a_last_link_is_left_if_wished(path: str, real: str, tree: Path, table: MountTable) -> None:
    """Unless a slash follows, as with O_NOFOLLOW."""
    assert resolve(f"{tree}/{path}", table, follow_last=False)[0] == f"{tree}/{real}"


def test_a_path_without_links_is_the_same_object(tree: Path, table: MountTable) -> None:
    """A long one is not kept twice."""
    path = f"{tree}/log/libvirt/qemu/a.log"
    assert resolve(path, table)[0] is path


def test_a_usual_path_takes_one_look(
    tree: Path, table: MountTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is to be made takes two."""
    looks: list[str] = []
    openat2 = confined.openat2

    def counted(path: str, flags: int, resolve: int, directory: int) -> int:
        looks.append(path)
        return openat2(path, flags, resolve, directory)

    monkeypatch.setattr(confined, "openat2", counted)
    one = table.now().of(str(tree))
    if one is not table.now().root:
        pytest.skip("temporary files have a mount of their own")
    resolve(f"{tree}/log/libvirt/qemu/a.log", table)
    assert len(looks) == 1
    resolve(f"{tree}/log/libvirt/qemu/new.log", table)
    assert len(looks) == 3


@pytest.mark.lengthy
@pytest.mark.parametrize("works", [True, False])
def test_too_many_links_and_too_long_names_are_refused(
    works: bool, tree: Path, table: MountTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many links as the kernel follows are followed."""
    if not works:
        no_openat2(monkeypatch)
    link = tree / "log"
    for number in range(41):
        (tree / f"l{number}").symlink_to(link)
        link = tree / f"l{number}"
    assert resolve(f"{tree}/l39", table)[0] == f"{tree}/log"
    (tree / "deep").symlink_to("d/" * 1000)
    for path, expected in [
        (f"{tree}/l40", errno.ELOOP),
        (f"{tree}/loop", errno.ELOOP),
        ("/" + "x/" * 3000, errno.ENAMETOOLONG),
        (f"{tree}/{'x' * 300}/y", errno.ENAMETOOLONG),
        (f"{tree}/deep/deep/{'x/' * 1500}", errno.ENAMETOOLONG),
    ]:
        with pytest.raises(OSError, match="/") as raised:
            resolve(path, table)
        assert raised.value.errno == expected, path


def test_the_longest_path_is_taken(table: MountTable) -> None:
    """With a NUL it is as long as PATH_MAX."""
    path = ("/x" * PATH_MAX)[: PATH_MAX - 1].rstrip("/")
    assert resolve(path, table)[0] == path
    with pytest.raises(OSError, match="File name too long"):
        resolve(path + "/x", table)


def test_a_nul_is_refused(table: MountTable) -> None:
    """As by os.open."""
    with pytest.raises(ValueError, match="null byte"):
        resolve("/etc/\0", table)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EMFILE, errno.ENFILE])
def test_without_openat2_names_are_read_one_by_one(
    number: int, tree: Path, table: MountTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 5.6, under a filter of system calls, and where descriptors are short."""
    no_openat2(monkeypatch, number)
    real, mount = resolve(f"{tree}/absolute/libvirt/current.log", table)
    assert real == f"{tree}/log/libvirt/qemu/a.log"
    assert mount == table.now().of(real)


@pytest.mark.parametrize("failing", range(1, 9))
def test_descriptors_may_become_short_under_way(
    failing: int, tree: Path, table: MountTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is open by then is closed."""
    openat2 = confined.openat2
    left = [failing]

    def fails_later(path: str, flags: int, resolve: int, directory: int) -> int:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return openat2(path, flags, resolve, directory)

    monkeypatch.setattr(confined, "openat2", fails_later)
    before = descriptors()
    for path in (f"{tree}/absolute/libvirt/current.log", "/proc/self/task/new"):
        assert resolve(path, table)[0] == os.path.realpath(path)
    assert descriptors() == before


@pytest.mark.parametrize("works", [True, False])
def test_it_stops_before_a_mount_that_must_not_be_touched(
    works: bool, tree: Path, table: MountTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on there, when it may; links and ``..`` lead out again."""
    if not works:
        no_openat2(monkeypatch)
    (tree / "link").symlink_to(f"/proc/self/../../{tree}/vm/b.log")
    one = Resolving(f"{tree}/link", table)
    asked: list[str] = []

    def outside(mount: Mount) -> bool:
        asked.append(mount.point)
        return mount.kind != "proc"

    def inside(mount: Mount) -> bool:
        asked.append(mount.point)
        return mount.kind == "proc"

    refused = one.advance(outside)
    assert refused is not None
    assert refused.point == "/proc"
    assert asked[-1] == "/proc"
    assert one.advance(outside) is refused
    back = one.advance(inside)
    assert back is not None
    assert back == table.now().root
    assert one.advance(outside) is None
    assert one.real == f"{tree}/log/libvirt/qemu/b.log"
    assert one.mount == table.now().of(str(tree))


def test_a_mount_that_only_leads_back_is_not_entered(table: MountTable) -> None:
    """Neither is one that the path ends at."""

    def outside(mount: Mount) -> bool:
        return mount.kind != "proc"

    one = Resolving("/proc/../etc", table)
    assert one.advance(outside) is None
    assert one.real == os.path.realpath("/etc")
    end = Resolving("/etc/../proc", table)
    assert end.advance(outside) is None
    assert (end.real, end.mount.kind) == ("/proc", "proc")


def test_where_nothing_is_known_all_is_one_mount(tree: Path) -> None:
    """It is asked for as that."""
    asked: list[Mount] = []

    def ask(mount: Mount) -> bool:
        asked.append(mount)
        return len(asked) > 1

    one = Resolving("/proc/self/../..", Tables((1, Mounts(""))))
    assert one.advance(ask) is UNKNOWN
    assert one.advance(ask) is None
    assert (one.real, one.mount) == (os.path.realpath("/proc/self/../.."), UNKNOWN)
    assert resolve(f"{tree}/vm/x", Tables((1, Mounts(""))))[0] == f"{tree}/log/libvirt/qemu/x"


def test_where_nothing_is_known_other_mounts_are_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look is enough."""
    monkeypatch.setattr(os, "readlink", None)
    assert resolve("/proc/sys/kernel", Tables((1, Mounts(""))))[0] == "/proc/sys/kernel"


def test_it_begins_anew_when_what_is_done_lies_elsewhere(tree: Path) -> None:
    """Other changes do not matter."""
    root = "22 1 8:1 / / rw - ext4 root rw\n"
    other = f"{root}23 22 0:20 / /srv rw - tmpfs srv rw\n"
    below = f"{root}24 22 0:21 / {tree}/log rw - nfs log rw\n"
    first, second = Mounts(f"{root}25 22 0:22 / {tree}/log rw - nfs before rw\n"), Mounts(below)
    refuse: Callable[[Mount], bool] = lambda mount: mount.kind != "nfs"  # noqa: E731
    one = Resolving(f"{tree}/vm/x", Tables((1, first), (1, second), (1, Mounts(below + other))))
    refused = [one.advance(refuse) for _ in range(3)]
    assert [mount and mount.source for mount in refused] == ["before", "log", "log"]


def test_it_ends_whatever_the_tables_say(tree: Path) -> None:
    """A mount that the kernel does not have, and one that comes and goes all the time."""
    root = "22 1 8:1 / / rw - ext4 root rw\n"
    wrong = Mounts(f"{root}23 22 0:20 / {tree}/log rw - tmpfs srv rw\n")
    real, mount = resolve(f"{tree}/vm/x", Tables((1, wrong)))
    assert (real, mount.kind) == (f"{tree}/log/libvirt/qemu/x", "tmpfs")
    changing = [(1, wrong), (1, Mounts(root))] * 50
    assert resolve(f"{tree}/vm/x", Tables(*changing))[0] == real
    # (here the kernel has mounts that the table does not)
    assert resolve("/proc/self/task", Tables((1, Mounts(root))))[0] == f"/proc/{os.getpid()}/task"


def test_a_link_that_is_replaced_meanwhile_is_looked_up_again(
    tree: Path, table: MountTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a directory, after it was seen to be a link."""
    readlink = os.readlink

    def replaced(path: str, *, dir_fd: int | None = None) -> str:
        if path == "vm":
            (tree / "vm").unlink()
            (tree / "vm").mkdir()
            (tree / "vm/link").symlink_to("../log")
        return readlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "readlink", replaced)
    assert resolve(f"{tree}/vm/link/x", table)[0] == f"{tree}/log/x"


_names = st.sampled_from(["a", "b", "c", "..", ".", ""])
_paths = st.lists(_names, min_size=1, max_size=5).map("/".join)
_things = st.lists(st.tuples(_paths, st.none() | _paths | st.just("/")), max_size=12)


def build(root: Path, things: Sequence[tuple[str, str | None]]) -> None:
    """Make directories, and links with a text."""
    for path, text in things:
        place = root / path
        # (a slash at the beginning, or a link, leads out of it)
        if not os.path.realpath(place.parent).startswith(str(root)):
            continue
        try:
            if text is None:
                place.mkdir()
            else:
                place.symlink_to(str(root) if text == "/" else text)
        except (OSError, ValueError):
            continue


def expected(path: str, follow_last: bool = True) -> str | None:
    """Return what realpath makes of a path; None if there are too many links."""
    if not follow_last:
        directory, name = os.path.split(path)
        if name not in {"", ".", ".."}:
            path = directory
            return None if expected(path) is None else os.path.join(os.path.realpath(path), name)
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
    return os.path.realpath(path)


def ours(path: str, table: resolving.Table, follow_last: bool) -> str | None:
    """Resolve a path; return None if there are too many links."""
    try:
        return resolve(path, table, follow_last)[0]
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None


@given(_things, st.lists(_paths, max_size=8), st.booleans(), st.booleans())
def test_any_tree_is_resolved_as_by_realpath(
    things: Sequence[tuple[str, str | None]], paths: Sequence[str], works: bool, follow_last: bool
) -> None:
    """Of directories and links."""
    table = Tables((1, Mounts(Path("/proc/self/mountinfo").read_text())))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        if not works:
            no_openat2(patch)
        # (deep enough that no path leads out of it)
        root = Path(os.path.realpath(directory), *"12345")
        root.mkdir(parents=True)
        build(root, things)
        for path in paths:
            text = f"{root}/{path}"
            found = ours(text, table, follow_last)
            if found is None:
                # (the kernel may have failed before, as a directory is missing)
                with pytest.raises(OSError, match=re.escape(directory)):
                    os.path.realpath(text, strict=True)
            elif expected(text, follow_last) is not None:
                assert found == expected(text, follow_last)
