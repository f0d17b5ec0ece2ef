"""A host is switched from virtlogd to the daemon and back, while guests run and print."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from bench.daemon import CHECKOUT
from tests.libvirt.stack import running

pytestmark = pytest.mark.libvirt

_COMMAND = """\
#!{python}
import sys
sys.path.insert(0, {checkout!r})
from twisted_virtlog.cli.main import main
main()
"""


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


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_host_is_switched_and_switched_back(tmp_path: Path, times: int) -> None:
    """Guests and libvirtd notice nothing, and no byte is lost.

    Each daemon takes over the other's pipes, sockets and clients, and libvirtd works with each.
    """
    command, ours, virtlogd = _programs(tmp_path)
    with running(tmp_path, (str(command),)) as stack:
        result = stack.run(
            "switched", command=str(command), ours=str(ours), virtlogd=virtlogd, times=times
        )
    assert result["programs"] == ["twisted-virtlogd", "virtlogd"] * times
    explained = re.compile(r"(?s)error: Failed to create .*: -nosuchoption: invalid option\n+")
    assert [text for text in result["errors"] if not explained.fullmatch(text)] == []
    assert all(lines > 0 for lines in result["lines"])
    assert result["log daemon ended"] is None
