"""The page in another site, behind that site's login."""

from __future__ import annotations

import base64
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon

pytestmark = pytest.mark.lengthy

LOGIN = {"Authorization": "Basic " + base64.b64encode(b"operator:open sesame").decode()}


@pytest.fixture
def port(daemon: Daemon) -> Iterator[int]:
    """The port at which the example serves."""
    process = subprocess.Popen(
        [sys.executable, str(CHECKOUT / "doc/examples/page_in_a_site.py"), daemon.socket, "0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        text=True,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().rpartition("/logs/")[0].rpartition(":")[2])
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(120)


def get(port: int, target: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Ask the site for something."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_the_example_shows_logs_to_who_has_logged_in(
    port: int, daemon: Daemon, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.log")
    with daemon.client() as client:
        client.append(path, "hello\n")
    for target in ("/logs/", "/logs/api/boots?path=/a", "/logs/main.js"):
        assert get(port, target)[0] == 401
    status, headers, _ = get(port, "/logs", **LOGIN)
    assert (status, headers["Location"]) == (307, "logs/")
    assert get(port, "/logs/", **LOGIN)[2].startswith(b"<!doctype html>")
    assert get(port, "/logs/vendor/xterm/xterm.css", **LOGIN)[0] == 200
    assert get(port, f"/logs/api/window?path={path}&before=", **LOGIN)[2] == b"hello\n"
    assert get(port, "/logs/", Host="evil.example", **LOGIN)[0] == 421


@pytest.mark.systemd_analyze
def test_the_unit_is_understood(tmp_path: Path) -> None:
    unit = tmp_path / "virtlog-web.service"
    text = (CHECKOUT / "doc/examples/virtlog-web.service").read_text()
    unit.write_text(text.replace("/opt/twisted-virtlog/bin/virtlog-web", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert str(tmp_path) not in done.stderr, done.stderr
