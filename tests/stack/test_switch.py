"""A host is switched from virtlogd to the daemon and back, while guests run and print."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from tests.stack.stack import running

pytestmark = pytest.mark.libvirt

_COMMAND = """\
#!{python}
import sys
sys.path.insert(0, {checkout!r})
from twisted_virtlog.daemon.command.main import main
main()
"""

_FAILED = "error: Failed to create domain from .*\nerror: "
_EXPLAINED = re.compile(_FAILED + r"internal error: (?s:.*): -nosuchoption: invalid option\n+")
#: What libvirtd says when the log daemon gave it nothing to read; newer ones name the guest.
_UNEXPLAINED = re.compile(
    _FAILED + r"internal error: (?i:qemu) unexpectedly closed the monitor(?: \(vm='.*'\))?\n+"
)
#: And when, on a busy machine, it gives up without a look at the log.
_UNASKED = re.compile(_FAILED + r"failed to connect to monitor socket: .*\n+")


def _programs(directory: Path) -> tuple[Path, Path, str]:
    """Give a path that leads to virtlogd, that of our command, and virtlogd's own."""
    virtlogd = shutil.which("virtlogd", path="/usr/sbin:/usr/bin")
    assert virtlogd
    ours = directory / "twisted-virtlogd"
    ours.write_text(_COMMAND.format(python=sys.executable, checkout=str(CHECKOUT)))
    ours.chmod(0o755)
    command = directory / "virtlogd"
    command.symlink_to(virtlogd)
    return command, ours, virtlogd


@pytest.mark.lengthy
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_host_is_switched_and_switched_back(tmp_path: Path, times: int) -> None:
    """Guests and libvirtd notice nothing, and no byte is lost.

    Each daemon takes over the other's pipes, sockets and clients, and libvirtd works with each. Who
    follows a log is told that virtlogd does not let him.
    """
    command, ours, virtlogd = _programs(tmp_path)
    # However long it takes, all that a guest printed is in one file.
    with running(tmp_path, (str(command),), max_size=1 << 30) as stack:
        result = stack.run(
            "switched", command=str(command), ours=str(ours), virtlogd=virtlogd, times=times
        )
    assert result["programs"] == ["twisted-virtlogd", "virtlogd"] * times
    ours_said, virtlogd_said = (
        [text for text in result["errors"][first::2] if not _UNASKED.fullmatch(text)]
        for first in (0, 1)
    )
    assert [text for text in ours_said if not _EXPLAINED.fullmatch(text)] == []
    # virtlogd reads the file without a look at the pipe, where QEMU's words may still be.
    unexplained = [text for text in virtlogd_said if not _EXPLAINED.fullmatch(text)]
    assert [text for text in unexplained if not _UNEXPLAINED.fullmatch(text)] == []
    assert all(lines > 0 for lines in result["lines"])
    assert result["log daemon ended"] is None
    assert result["told"] == "shutting down"
