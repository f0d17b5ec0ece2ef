"""A directory shown through FUSE: it is what it shows, and hangs and fails as it is told."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from harness import guardian
from harness.daemon import CHECKOUT
from harness.fuse import Operation
from harness.guardian import GuardianFailed, Patience
from harness.mounting import device_at, points_of
from harness.pass_mount import PassMount, pass_mount
from tests.harness.waiting import until_unmounted, waiting

pytestmark = pytest.mark.fuse


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[PassMount]:
    directory, point = tmp_path / "shown", tmp_path / "a mount\\"
    directory.mkdir()
    point.mkdir()
    with pass_mount(directory, point) as mount:
        yield mount


def test_it_is_the_directory(mounted: PassMount) -> None:
    """Contents, names and attributes are those below it."""
    point, directory = mounted.point, mounted.directory
    data = os.urandom(300_000)
    file = point / "file"
    file.write_bytes(data)
    assert file.read_bytes() == (directory / "file").read_bytes() == data
    os.rename(file, point / "renamed")
    os.link(point / "renamed", point / "linked")
    os.symlink("linked", point / "symbolic")
    assert os.readlink(point / "symbolic") == "linked"
    (point / "below").mkdir(0o700)
    for number in range(500):
        (point / "below" / f"{number}").touch()
    for place in (point, directory):
        assert set(os.listdir(place)) == {"renamed", "linked", "symbolic", "below"}
        assert {int(name) for name in os.listdir(place / "below")} == set(range(500))
    os.truncate(point / "symbolic", 10)
    os.chmod(point / "linked", 0o640)
    os.chown(point / "linked", 3, 4)
    os.utime(point / "linked", ns=(5, 6))
    for place in (point, directory):
        found = (place / "renamed").stat()
        assert found.st_size == 10
        assert found.st_nlink == 2
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert (found.st_uid, found.st_gid) == (3, 4)
        assert (found.st_atime_ns, found.st_mtime_ns) == (5, 6)
    assert os.statvfs(point).f_blocks == os.statvfs(directory).f_blocks
    for number in range(500):
        (point / "below" / f"{number}").unlink()
    (point / "below").rmdir()
    assert not (directory / "below").exists()
    with pytest.raises(FileNotFoundError):
        (point / "nothing").stat()
    with pytest.raises(FileExistsError):
        os.open(point / "renamed", os.O_CREAT | os.O_EXCL)


def test_an_open_file_is_that_file(mounted: PassMount) -> None:
    """Renamed and removed as well, with another of its name; splice(2) takes what is spliced."""
    file = mounted.point / "file"
    read_end, write_end = os.pipe()
    opened = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        os.write(write_end, b"spliced")
        assert os.splice(read_end, opened, 7, offset_dst=3) == 7
        file.unlink()
        file.write_bytes(b"another")
        assert os.pread(opened, 20, 0) == b"\0\0\0spliced"
        assert os.fstat(opened).st_nlink == 0
        assert file.read_bytes() == b"another"
    finally:
        for descriptor in (read_end, write_end, opened):
            os.close(descriptor)


def test_it_is_found_in_mountinfo(mounted: PassMount) -> None:
    """By its point, whatever characters are in it."""
    assert device_at(mounted.point) == mounted.device
    assert points_of(mounted.device) == [mounted.point]
    assert device_at(mounted.directory) is None


def test_what_is_asked_of_a_stopped_one_waits(mounted: PassMount) -> None:
    """It is done afterwards."""
    file = mounted.point / "file"
    with mounted.stopped(), waiting(lambda: file.write_bytes(b"late")) as result:
        assert os.listdir(mounted.directory) == []
        mounted.resume()
    assert result == [4]
    assert os.listdir(mounted.directory) == ["file"]


@pytest.mark.parametrize("how", [PassMount.kill, PassMount.abort])
def test_it_can_end_for_good(mounted: PassMount, how: object) -> None:
    """Also while it is stopped; what waits is refused, and what comes after."""
    assert callable(how)
    mounted.stop()
    with waiting(lambda: os.listdir(mounted.point)) as result:
        how(mounted)
    (error,) = result
    assert isinstance(error, OSError)
    assert error.errno in {errno.ECONNABORTED, errno.ENOTCONN}
    with pytest.raises(OSError, match="not connected"):
        os.listdir(mounted.point)
    mounted.unmount_lazily()
    mounted.mount_anew()
    assert os.listdir(mounted.point) == []


def test_operations_are_refused(mounted: PassMount) -> None:
    """Those that need room, or those that are named."""
    file = mounted.point / "file"
    file.write_bytes(b"before")
    mounted.refuse()
    with pytest.raises(OSError, match="No space left"):
        file.write_bytes(b"during")
    with pytest.raises(OSError, match="No space left"):
        (mounted.point / "other").touch()
    mounted.refuse(0)
    mounted.refuse(errno.EIO, Operation.READ)
    file.write_bytes(b"after")
    with pytest.raises(OSError, match="Input/output error"):
        file.read_bytes()


def test_operations_are_delayed(mounted: PassMount) -> None:
    """Each by itself; others are not."""
    file = mounted.point / "file"
    file.touch()
    mounted.delay(3600.0)
    with waiting(lambda: file.write_bytes(b"never")) as result:
        assert file.stat().st_size == 0
        mounted.kill()
    assert isinstance(result[0], OSError)
    assert (mounted.directory / "file").read_bytes() == b""


@pytest.mark.parametrize("done", [False, True])
def test_one_operation_is_held(mounted: PassMount, done: bool) -> None:
    """Before it is done, or before it is answered; others are not."""
    file = mounted.point / "file"
    file.touch()
    mounted.hold(Operation.WRITE, done=done)
    assert mounted.held(0.0) is None
    with waiting(lambda: file.write_bytes(b"held")) as result:
        assert mounted.held() is Operation.WRITE
        assert (mounted.directory / "file").read_bytes() == (b"held" if done else b"")
        (mounted.point / "other").write_bytes(b"not held")
        mounted.release()
    assert result == [4]
    assert file.read_bytes() == b"held"


def test_one_of_many_is_held_at_random(mounted: PassMount) -> None:
    """Whichever it is, it goes on."""
    mounted.hold(chance=0.1)
    held: list[object] = []

    def work() -> None:
        while not held:
            (mounted.point / "file").write_bytes(b"data")

    thread = Thread(target=work)
    thread.start()
    held.append(mounted.held())
    mounted.release()
    thread.join()
    assert (mounted.directory / "file").read_bytes() == b"data"


def test_it_is_unmounted_and_mounted_anew(mounted: PassMount) -> None:
    """What is open stays open, served by the former server; each can be stopped by itself."""
    file = mounted.point / "file"
    opened = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        mounted.unmount_lazily()
        assert os.listdir(mounted.point) == []
        os.write(opened, b"to the former ")
        before = mounted.device
        mounted.mount_anew()
        assert mounted.device != before
        with mounted.stopped():
            os.write(opened, b"again")
        assert file.read_bytes() == b"to the former again"
        mounted.end_former()
        with pytest.raises(OSError, match="not connected"):
            os.write(opened, b"to nobody")
        assert file.read_bytes() == b"to the former again"
    finally:
        with suppress(OSError):
            os.close(opened)


def test_no_other_mount_goes_instead_of_it(mounted: PassMount, tmp_path: Path) -> None:
    """When it is gone already, its number may be another's."""
    point = tmp_path / "other"
    point.mkdir()
    mounted.unmount_lazily()
    with pass_mount(mounted.directory, point) as other:
        assert other.device != mounted.device
        mounted.close()
        assert points_of(other.device) == [point]


_LEFT = """
import os, signal, sys
from pathlib import Path
from threading import Thread
from harness.pass_mount import pass_mount
from tests.harness.waiting import waiting

def look():
    os.listdir(sys.argv[2])

with pass_mount(Path(sys.argv[1]), Path(sys.argv[2])) as mounted:
    mounted.stop()
    match sys.argv[3]:
        case "nobody waits":
            print(mounted.device, flush=True)
            signal.pause()
        case "a thread waits":
            with waiting(look):
                print(mounted.device, flush=True)
                signal.pause()
        case "it waits":
            print(mounted.device, flush=True)
            look()
"""


@pytest.mark.parametrize("case", ["nobody waits", "a thread waits", "it waits"])
def test_nothing_is_left_of_a_test_that_is_killed(tmp_path: Path, case: str) -> None:
    """Not the mount, though its server is stopped and the test waits for it in the kernel."""
    point = tmp_path / "point"
    point.mkdir()
    command = [sys.executable, "-c", _LEFT, str(tmp_path), str(point), case]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        device = test.stdout.readline().strip()
        assert points_of(device) == [point]
        test.send_signal(signal.SIGKILL)
        until_unmounted(device)


def test_what_cannot_be_mounted_is_said(tmp_path: Path) -> None:
    with pytest.raises(GuardianFailed, match="No such file or directory"):
        PassMount(tmp_path, tmp_path / "nothing", "fuse")


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts from the first begin on."""
    patience = Patience()
    assert not patience.is_over
    patience.begin()
    assert not patience.is_over
    monkeypatch.setattr(guardian, "LONGEST_SECONDS", -1.0)
    patience.begin()
    assert patience.is_over
    patience.end()
    assert not patience.is_over
