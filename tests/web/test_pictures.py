"""The pictures in the documents: the page as it is.

They are renewed with ``TWISTED_VIRTLOG_PICTURES=doc/pictures``, which says where to put them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.browser import Look, chromium, looking
from tests.web.conftest import serving
from twisted_virtlog.client import BlockingClient, Domain

if TYPE_CHECKING:
    from harness.daemon import Daemon

pytestmark = [pytest.mark.lengthy, pytest.mark.chromium]

GUESTS = ("build", "db", "mail", "web")

BOOT = b"""\x1b[1mSeaBIOS (version 1.16.2)\x1b[0m\r
Booting from Hard Disk...\r
[    0.000000] Linux version 6.1.0 (gcc 12.2.0) #1 SMP PREEMPT_DYNAMIC\r
[    0.000000] Command line: root=/dev/vda1 ro console=ttyS0\r
[    0.412034] virtio_blk virtio1: [vda] 20971520 512-byte logical blocks\r
[    1.803311] EXT4-fs (vda1): mounted filesystem with ordered data mode\r
\r
Welcome to \x1b[0;31mDebian GNU/Linux 12 (bookworm)\x1b[0m!\r
\r
[\x1b[0;32m  OK  \x1b[0m] Created slice \x1b[0;1;39msystem-getty.slice\x1b[0m.\r
[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mlocal-fs.target\x1b[0m - Local File Systems.\r
[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh.service\x1b[0m - OpenBSD Secure Shell server.\r
[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mbackup.service\x1b[0m - Nightly backup.\r
[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r
\r
Debian GNU/Linux 12 web ttyS0\r
\r
web login: """


#: Shows the logs where a host has them.
_RENAME = """([from, to]) => {
  const find = document.getElementById("find");
  find.value = find.value.replace(from, to);
  for (const element of document.querySelectorAll("#path, #rows a")) {
    element.textContent = element.textContent.replace(from, to);
  }
}"""


@pytest.fixture
def paths(client: BlockingClient, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The logs of some guests, by the guests' names."""
    with ExitStack() as stack:
        logs = {}
        for number, name in enumerate(GUESTS):
            path = str(tmp_path / f"{name}-console.log")
            uuid = f"c7a5fdbd-edaf-9455-926a-d65c16db181{number}"
            opened = client.open(path, "qemu", Domain(uuid, name))
            pipe = stack.enter_context(open(opened.write_end, "wb", buffering=0))
            pipe.write(BOOT)
            logs[name] = path
        yield logs


@pytest.mark.parametrize("kind", ["list", "light", "dark", "phone"])
def test_a_picture_is_made(
    kind: str, daemon: Daemon, paths: dict[str, str], tmp_path: Path
) -> None:
    options: dict[str, object] = {
        "viewport": {"width": 1000, "height": 560},
        "color_scheme": "dark" if kind == "dark" else "light",
    }
    if kind == "phone":
        options |= {
            "viewport": {"width": 390, "height": 700},
            "has_touch": True,
            "is_mobile": True,
        }
    directory = Path(os.environ.get("TWISTED_VIRTLOG_PICTURES", tmp_path))
    with (
        serving("--daemon", daemon.socket, "--listen", "127.0.0.1:0") as web,
        chromium() as browser,
        looking(browser, web, **options) as look,
    ):
        _show(look, kind, paths)
        look.page.evaluate(_RENAME, [str(Path(paths["web"]).parent), "/var/log/libvirt/qemu"])
        picture = look.page.screenshot(path=directory / f"page-{kind}.png")
        assert look.wrong == []
    assert len(picture) > 10_000


def _show(look: Look, kind: str, paths: dict[str, str]) -> None:
    if kind == "list":
        look.open(find=str(Path(paths["web"]).parent))
        look.wait_for_text("#rows", "web-console.log")
        return
    look.open(paths["web"])
    if kind == "phone":
        look.wait_for_text("#text", "web login:")
    else:
        look.wait_for_line("web login:")
    # (the line above, and not a frame of before it)
    look.page.wait_for_function("() => document.querySelector('#timeline svg') !== null")
    look.page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
