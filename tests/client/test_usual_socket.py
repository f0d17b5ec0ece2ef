"""Which socket is asked when nobody names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from twisted_virtlog.client import usual_socket as module
from twisted_virtlog.client.usual_socket import usual_socket


@pytest.mark.parametrize(
    ("own", "system", "chosen"),
    [(True, True, "own"), (True, False, "own"), (False, True, "system"), (False, False, "own")],
)
def test_the_system_s_read_only_socket_is_the_second_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, system: bool, chosen: str
) -> None:
    """It is asked only where it is there and the user's own daemon is not."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "libvirt").mkdir()
    paths = {
        "own": tmp_path / "libvirt" / "virtlogd-jsonrpc-sock",
        "system": tmp_path / "virtlogd-jsonrpc-sock-ro",
    }
    monkeypatch.setattr(module, "SYSTEM_READ_ONLY", str(paths["system"]))
    for name, there in (("own", own), ("system", system)):
        if there:
            paths[name].touch()
    assert usual_socket() == str(paths[chosen])
