"""Which mount a path lies on, by the text of mountinfo."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from twisted_virtlog.logs.lanes import mounts as module
from twisted_virtlog.logs.lanes.mounts import MOUNTINFO, UNKNOWN, Mount, Mounts

#: As of a machine with a server's directories, a mount in a mount, and names with odd characters.
TEXT = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw
30 22 0:50 / /srv rw,relatime shared:3 master:2 - nfs4 files:/export/a\040b rw,vers=4.2
31 30 0:51 / /srv/fuse rw - fuse.sshfs me@host: rw
32 22 0:52 / /odd\040\011\012\134\043name rw - tmpfs - rw
33 22 8:1 /home /bind rw - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/var/log/libvirt/qemu/a.log", "/"),
        ("/", "/"),
        ("/srv", "/srv"),
        ("/srv/a.log", "/srv"),
        ("/srvother/a.log", "/"),
        ("/srv/fuse/../fuse/a.log", "/srv/fuse"),
        ("/srv/fuse/../a.log", "/srv"),
        ("//srv//fuse/./a.log", "/srv/fuse"),
        ("/odd \t\n\\#name/a.log", "/odd \t\n\\#name"),
        ("/bind/a.log", "/bind"),
    ],
)
def test_the_longest_prefix_is_the_mount(path: str, point: str) -> None:
    mount = Mounts(TEXT).of(path)
    assert mount is not None
    assert mount.point == point


def test_type_and_source_are_told() -> None:
    assert Mounts(TEXT).of("/srv/a.log") == Mount(
        30, 22, "0:50", "/srv", "nfs4", "files:/export/a b"
    )
    # (a line without optional fields)
    assert Mounts(TEXT).of("/srv/fuse/a.log") == Mount(
        31, 30, "0:51", "/srv/fuse", "fuse.sshfs", "me@host:"
    )


def test_a_relative_path_has_none() -> None:
    """The directory that it begins in is not told."""
    assert Mounts(TEXT).of("srv/a.log") is None
    assert Mounts(TEXT).of("") is None


def test_what_is_mounted_over_another_is_the_mount() -> None:
    """At the same place, as the kernel lists both."""
    text = TEXT + "40 30 0:60 / /srv rw - cifs //other/share rw\n"
    mount = Mounts(text).of("/srv/a.log")
    assert mount is not None
    assert mount.kind == "cifs"


def test_what_a_mount_above_hides_is_not_the_mount() -> None:
    """The mount at the longer path is still listed, but no path leads there."""
    text = TEXT + "40 30 0:60 / /srv rw - cifs //other/share rw\n"
    mount = Mounts(text).of("/srv/fuse/a.log")
    assert mount is not None
    assert mount.kind == "cifs"


def test_the_root_of_all_and_the_root_of_a_container_are_found() -> None:
    """The one is mounted on itself; what the other is on is not listed."""
    first = "1 1 0:2 / / rw - rootfs rootfs rw\n2 1 0:81 / /dev rw - tmpfs tmpfs rw"
    container = "700 650 0:80 / / rw - overlay overlay rw\n701 700 0:81 / /dev rw - tmpfs tmpfs rw"
    for text, kind in ((first, "rootfs"), (container, "overlay")):
        found = [Mounts(text).of(path) for path in ("/", "/etc", "/dev/log")]
        assert [one and one.kind for one in found] == [kind, kind, "tmpfs"]


def test_what_is_mounted_over_the_root_hides_nothing() -> None:
    """Paths begin in the root directory that processes have had before, below that mount."""
    mounts = Mounts(TEXT + "40 22 0:60 / / rw - tmpfs over rw\n")
    found = [mounts.of(path) for path in ("/etc", "/srv/a.log")]
    assert [one and one.kind for one in found] == ["ext4", "nfs4"]


def test_a_root_that_is_no_mount_has_none() -> None:
    """As after chroot(2) into a directory."""
    text = "50 22 0:70 / /inner rw - tmpfs tmpfs rw"
    assert Mounts(text).of("/etc") is None
    assert Mounts(text).of("/inner/a.log") is not None


def test_names_that_stay_on_a_mount_are_counted() -> None:
    """Up to where another begins, to ``..``, and to the longest path."""
    mounts = Mounts(TEXT)
    root, srv = mounts.of("/"), mounts.of("/srv")
    assert mounts.along(root, "", ["var", "srv"]) == (2, None)
    assert mounts.along(root, "", ["srv", "fuse", "x"]) == (0, srv)
    assert mounts.along(srv, "/srv", ["a", "..", "fuse"]) == (1, None)
    assert mounts.along(srv, "/srv", ["fuse", "x"]) == (0, mounts.of("/srv/fuse"))
    assert mounts.along(root, "/srv", ["fuse"]) == (1, None)
    assert mounts.along(root, "", ["x"] * 3000) == (2047, None)
    assert mounts.along(None, "", ["proc"]) == (1, None)


def test_the_mounts_that_lead_to_one_are_told() -> None:
    """From the root on; one that another covers is passed by, except autofs."""
    text = TEXT + (
        "40 30 0:60 / /srv rw - cifs //other/share rw\n"
        "41 40 0:61 / /srv/net rw - autofs map rw\n"
        "42 41 0:62 / /srv/net rw - nfs4 server:/ rw\n"
    )
    mounts = Mounts(text)
    for path, kinds in [
        ("/etc", ["ext4"]),
        ("/srv/x", ["ext4", "cifs"]),
        ("/srv/net/x", ["ext4", "cifs", "autofs", "nfs4"]),
    ]:
        mount = mounts.of(path)
        assert mount is not None
        assert [one.kind for one in mounts.leading_to(mount)] == kinds
        assert mounts.leading_to(mount) == mounts.leading_to(mount)
    for unlisted in (UNKNOWN, replace(UNKNOWN, point="/gone"), replace(mounts.all[0], point="/x")):
        assert list(mounts.leading_to(unlisted)) == [unlisted]


def test_what_is_as_it_was_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table that has changed; the rest is told as if it were the first one."""
    before = Mounts(TEXT)
    changed = TEXT.replace("/bind", "/moved") + "40 30 0:60 / /srv rw - cifs a rw"
    parsed: list[str] = []
    parse = module._parsed
    monkeypatch.setattr(module, "_parsed", lambda line: (parsed.append(line), parse(line))[1])
    after = Mounts(changed, before)
    assert [line.split(" ")[4] for line in parsed if line] == ["/moved", "/srv"]
    assert after.of("/srv/fuse") == Mounts(changed).of("/srv/fuse")
    assert after.all == Mounts(changed).all
    assert after.of("/proc") is before.of("/proc")


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    """What is no line of mountinfo is left out."""
    Mounts(text).of(text)


_names = st.lists(st.sampled_from("ab"), max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.sets(_names), _names)
def test_without_hidden_ones_it_is_the_longest_prefix(points: set[str], path: str) -> None:
    """However they lie in one another, and in whatever order they are listed."""
    lines: list[str] = []
    for number, point in enumerate(sorted({"/", *points}, key=len), 1):
        below = Mounts("\n".join(lines)).of(point)
        parent = below.number if below else 0
        lines.append(f"{number} {parent} 8:1 / {point} rw - ext4 - rw")
    expected = max(
        (point for point in {"/", *points} if f"{path}/".startswith(point.rstrip("/") + "/")),
        key=len,
    )
    found = Mounts("\n".join(reversed(lines))).of(path)
    assert found is not None
    assert found.point == expected


def test_the_kernels_own_text_is_understood() -> None:
    """Each of its lines."""
    text = Path(MOUNTINFO).read_text(errors="surrogateescape")
    mounts = Mounts(text)
    assert len(mounts.all) == text.count("\n")
    mount = mounts.of(MOUNTINFO)
    assert mount is not None
    assert mount.kind == "proc"
