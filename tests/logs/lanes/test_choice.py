"""Which file systems have a lane, by ``file_threads``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from twisted_virtlog.logs.lanes.choice import REMEMBERED_SECONDS, WAITING_TYPES, Choice
from twisted_virtlog.logs.lanes.mounts import UNKNOWN, Mount

DISK = Mount(22, 1, "8:1", "/", "ext4", "/dev/sda1")
BOUND = Mount(23, 22, "8:1", "/bind", "ext4", "/dev/sda1")
OTHER_DISK = Mount(24, 22, "8:2", "/srv/logs", "xfs", "/dev/sda2")
NFS = Mount(30, 22, "0:50", "/srv", "nfs4", "files:/export")
SSHFS = Mount(31, 30, "0:51", "/srv/fuse", "fuse.sshfs", "me@host:")
NTFS = Mount(32, 22, "8:3", "/win", "fuseblk", "/dev/sda3")
MOUNTS = (DISK, BOUND, OTHER_DISK, NFS, SSHFS, NTFS, UNKNOWN)

LISTS = st.lists(
    st.sampled_from(["nfs4", "fuse", "fuse.*", "fuse.sshfs", "fuseblk", "ext4", "xfs", "/", "/srv"])
).map(tuple)


def _in_lanes(choice: Choice, now: float = 0.0) -> set[Mount]:
    return {mount for mount in MOUNTS if choice.has_lane(mount, now)}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("auto", {NFS, SSHFS, NTFS}),
        ("always", set(MOUNTS)),
        ("never", set()),
        ((), set()),
        (("nfs4",), {NFS}),
        # (no word is a part of another)
        (("nfs",), set()),
        (("fuse",), {SSHFS, NTFS}),
        (("fuse.*",), {SSHFS, NTFS}),
        (("fuse.sshfs",), {SSHFS}),
        (("fuse.other",), set()),
        (("fuseblk",), {NTFS}),
        (("ext4",), {DISK, BOUND}),
        # (but not what lies nowhere, whose mount point says nothing)
        (("/",), {DISK}),
        (("/srv/",), {NFS}),
        (("/srv/logs", "/bind", "9p"), {OTHER_DISK, BOUND}),
    ],
)
def test_which_mounts_have_a_lane(words: str | tuple[str, ...], expected: set[Mount]) -> None:
    """From the beginning; no operation was slow."""
    assert _in_lanes(Choice(words)) == expected


@pytest.mark.parametrize("kind", [*WAITING_TYPES, "fuse.sshfs", "fuseblk", "fuseblk.ntfs"])
def test_types_that_wait_for_others_have_a_lane_at_once(kind: str) -> None:
    """Also their kinds, but no type that begins with the same letters."""
    choice = Choice("auto")
    assert choice.has_lane(replace(DISK, kind=kind), 0.0)
    assert not choice.has_lane(replace(DISK, kind=f"{kind}x"), 0.0) or "." in kind


def test_a_word_that_is_none_is_refused() -> None:
    """A type alone is a list of one."""
    with pytest.raises(ValueError, match="nfs4"):
        Choice("nfs4")


@given(st.sampled_from(["always", "never"]) | LISTS, st.lists(st.sampled_from(MOUNTS)))
def test_only_auto_learns(words: str | tuple[str, ...], slow: list[Mount]) -> None:
    """Elsewhere the operator has said it all."""
    choice = Choice(words)
    before = _in_lanes(choice)
    for mount in slow:
        choice.slow(mount, 0.0)
    assert _in_lanes(choice) == before


@given(LISTS, LISTS)
def test_a_list_is_the_sum_of_its_words(words: tuple[str, ...], more: tuple[str, ...]) -> None:
    """In any order, and however often."""
    expected = _in_lanes(Choice(words)) | _in_lanes(Choice(more))
    assert _in_lanes(Choice((*more, *words))) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(MOUNTS),
            st.booleans(),
            st.sampled_from([0.0, 1.0, 299.0, 301.0, 599.0, 600.0]),
        )
    )
)
def test_auto_remembers_slow_file_systems_for_ten_minutes(
    steps: list[tuple[Mount, bool, float]],
) -> None:
    """Wherever they are mounted: since the last operation that was slow, and no longer."""
    choice = Choice("auto")
    always = {NFS, SSHFS, NTFS}
    slow_at: dict[str, float] = {}
    now = 0.0
    for mount, is_slow, seconds in steps:
        if is_slow:
            choice.slow(mount, now)
            if mount is not UNKNOWN:
                slow_at[mount.device] = now
        now += seconds
        recently = {device for device, slow in slow_at.items() if now - slow < REMEMBERED_SECONDS}
        assert _in_lanes(choice, now) == always | {one for one in MOUNTS if one.device in recently}


def test_one_disk_that_is_slow_says_nothing_of_another() -> None:
    """The bound directory lies on the same file system."""
    choice = Choice("auto")
    choice.slow(BOUND, 10.0)
    assert _in_lanes(choice, 609.9) == {NFS, SSHFS, NTFS, DISK, BOUND}
    assert _in_lanes(choice, 610.0) == {NFS, SSHFS, NTFS}


def test_nothing_is_learned_of_a_mount_that_is_not_known() -> None:
    """Or all that nobody can tell would be one file system."""
    choice = Choice("auto")
    choice.slow(UNKNOWN, 0.0)
    assert not choice.has_lane(UNKNOWN, 0.0)


def test_file_systems_that_are_gone_are_forgotten() -> None:
    """Or what is mounted again and again would fill the memory."""
    choice = Choice("auto")
    for number in range(100):
        choice.slow(replace(DISK, device=f"0:{number}"), number * REMEMBERED_SECONDS)
    assert len(choice._slow) == 1
