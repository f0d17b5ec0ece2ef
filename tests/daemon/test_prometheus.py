"""A real Prometheus scrapes the daemon by way of systemd's proxy, and says what the daemon says."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.daemon.conftest import StartDaemon

_PROXY = "/lib/systemd/systemd-socket-proxyd"
_RULES = Path(__file__).parents[2] / "doc" / "examples" / "prometheus" / "virtlogd.rules.yml"
_SECONDS = 60.0

_CONFIG = """
global: {evaluation_interval: 500ms}
rule_files: ["RULES"]
scrape_configs:
  - job_name: virtlogd
    scrape_interval: 500ms
    scrape_timeout: 500ms
    static_configs:
      - targets: ["127.0.0.1:PORT"]
"""


@contextmanager
def process(*command: str, **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, until the end."""
    run = subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)  # type: ignore[call-overload]
    try:
        yield run
    finally:
        run.terminate()
        run.wait(_SECONDS)


@contextmanager
def proxied(path: Path) -> Iterator[int]:
    """Pass what comes to a TCP port to a UNIX socket, as the units of doc/examples do.

    :returns: the port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        # (its descriptor has the first number, as from systemd)
        script = f'exec 3<&{listening.fileno()}; LISTEN_PID=$$ exec {_PROXY} "$0"'
        environment = {**os.environ, "LISTEN_FDS": "1"}
        command = ("bash", "-c", script, str(path))
        with process(*command, pass_fds=[listening.fileno()], env=environment):
            yield port


class Prometheus:
    """A server that is asked by PromQL."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, query: str) -> dict[str, float]:
        """Return the numbers of an expression, by path or error; none before it is ready."""
        url = f"http://{self._address}/api/v1/query?query={quote(query)}"
        try:
            with urlopen(url, timeout=_SECONDS) as response:
                found = json.load(response)["data"]["result"]
        except HTTPError as error:
            error.close()
            if error.code != 503:
                raise
            return {}
        return {
            one["metric"].get("path", one["metric"].get("errno", "")): float(one["value"][1])
            for one in found
        }

    def wait_for(self, expected: dict[str, dict[str, float]]) -> None:
        """Ask until some expressions have the numbers that are expected."""
        deadline = time.monotonic() + _SECONDS
        while True:
            found = {query: self.ask(query) for query in expected}
            if found == expected:
                return
            assert time.monotonic() < deadline, found


@contextmanager
def prometheus(directory: Path, port: int) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes a port of this machine."""
    config = directory / "prometheus.yml"
    config.write_text(_CONFIG.replace("PORT", str(port)).replace("RULES", str(_RULES)))
    said = directory / "prometheus.log"
    command = (
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory}/data",
        "--web.listen-address=127.0.0.1:0",
    )
    with said.open("wb") as log, process(*command, stdout=log, stderr=log) as running:
        deadline = time.monotonic() + _SECONDS
        while not (found := re.search(r'"Listening on" address=(\S+)', said.read_text())):
            assert running.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
        yield Prometheus(found[1])


@pytest.mark.slow
@pytest.mark.prometheus
def test_promql_says_what_the_daemon_says(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Of logs that are written, rolled over, or cannot be written; and over a hand-over."""
    if not os.path.exists(_PROXY):
        pytest.fail(f"{shutil.which('systemctl')}: there is no {_PROXY}")
    metrics = tmp_path / "metrics"
    daemon = start_daemon(
        "max_size = 1000", 'metrics_logs = "all"', options=["--metrics", str(metrics)]
    )
    with ExitStack() as stack:
        port = stack.enter_context(proxied(metrics))
        server = stack.enter_context(prometheus(tmp_path, port))
        client = stack.enter_context(daemon.client())
        opened = [client.open(str(path)) for path in (tmp_path / 'a\\"\u00e4.log', "/dev/full")]
        for log, text in zip(opened, (b"x" * 999 + b"\nmore\n", b"lost\n"), strict=True):
            stack.callback(os.close, log.write_end)
            os.write(log.write_end, text)
        client.position(str(tmp_path / 'a\\"\u00e4.log'))
        while not any(log.state == "failing" for log in client.list()):
            """The daemon finds out in its next turn."""
        for hand_overs in range(2):
            logs, counts, written = client.list(), client.info().counts, client.ledger().written
            server.wait_for(
                {
                    'up{job="virtlogd"}': {"": 1},
                    "virtlogd_logs_open": {"": 2},
                    "virtlogd_logs_failing": {"ENOSPC": 1},
                    'virtlogd_written_bytes_total{kind="guest"}': {"": written.guest},
                    "sum(virtlogd_written_bytes_total)": {"": written.total},
                    "virtlogd_rollovers_total": {"": counts["rollovers"]},
                    "virtlogd_hand_overs_total": {"": hand_overs},
                    "virtlogd_log_written_bytes_total": {log.path: log.bytes for log in logs},
                    "virtlogd_log_kept_bytes": {log.path: log.kept for log in logs},
                    "virtlogd_log_failing": {log.path: int(log.state == "failing") for log in logs},
                    'sum by (errno) (ALERTS{alertname="VirtlogdLogsFail"})': {"ENOSPC": 1},
                }
            )
            assert client.reexec()
