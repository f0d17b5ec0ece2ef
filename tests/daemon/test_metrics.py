"""A real daemon tells what it counts, and it is what else it says."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from harness.scraper import Scraper
from tests.daemon.conftest import StartDaemon, wait_for_message
from twisted_virtlog.client import RemoteError


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return the numbers of a text, by their names and the values of their labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_metrics_say_what_the_list_and_the_info_say(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Of logs that were written, rolled over and closed."""
    daemon = start_daemon("max_size = 1000", 'metrics_logs = "all"')
    with daemon.client() as client:
        closed, held = (client.open(str(tmp_path / name)) for name in ("a.log", "b.log"))
        os.write(closed.write_end, b"x" * 999 + b"\n" + b"more\n")
        os.write(held.write_end, b"some\n")
        client.close_log(str(tmp_path / "a.log"))
        client.position(str(tmp_path / "b.log"))
        (listed,), info, text = client.list(), client.info(), client.metrics()
        for one in (closed, held):
            os.close(one.write_end)
    found = samples(text)
    assert found["virtlogd_build_info", info.version] == 1
    assert found["virtlogd_start_time_seconds",] == info.started_at.timestamp()
    counts = info.counts
    assert found["virtlogd_logs_open",] == counts["open_logs"] == 1
    assert found["virtlogd_logs_opened_total",] == counts["opened_logs"] == 2
    assert found["virtlogd_logs_known",] == counts["known_logs"] == 2
    assert found["virtlogd_written_bytes_total", "guest"] == counts["bytes_written"] == 1010
    assert found["virtlogd_written_bytes_total", "notices"] == 0
    for reason in ("write_error", "rate", "quota", "stopped"):
        assert found["virtlogd_dropped_bytes_total", reason] == 0
    assert found["virtlogd_rollovers_total",] == counts["rollovers"] == 1
    assert found["virtlogd_clients", "jsonrpc"] == counts["clients"] == 1
    assert found["virtlogd_log_written_bytes_total", "", listed.path, ""] == listed.bytes == 5
    assert found["virtlogd_log_kept_bytes", "", listed.path, ""] == listed.kept == 5


def test_metrics_say_what_was_asked_and_what_room_there_is(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """By method; and of the file system that has a log, once."""
    daemon = start_daemon()
    with daemon.client() as client:
        for name in ("a.log", "b.log"):
            os.close(client.open(str(tmp_path / name)).write_end)
        held = client.open(str(tmp_path / "c.log"))
        with pytest.raises(RemoteError):
            client.position(str(tmp_path / "none"))
        text = client.metrics()
        os.close(held.write_end)
    found = samples(text)
    assert found["virtlogd_call_duration_seconds_count", "log.open", "jsonrpc"] == 3
    assert found["virtlogd_calls_failed_total", "log.open", "jsonrpc"] == 0
    assert found["virtlogd_calls_failed_total", "log.position", "jsonrpc"] == 1
    room = os.statvfs(tmp_path)
    sizes = [number for key, number in found.items() if key[0] == "virtlogd_filesystem_size_bytes"]
    assert sizes == [room.f_blocks * room.f_frsize]


@pytest.mark.lengthy
def test_prometheus_is_served_by_its_owner_or_a_group(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Whatever mode the endpoint says; in either format, and over a hand-over."""
    group = grp.getgrgid(os.getgid()).gr_name
    for settings, mode in (((), 0o600), ((f'jsonrpc_ro_group = "{group}"',), 0o660)):
        path = tmp_path / f"metrics{mode}"
        daemon = start_daemon(*settings, options=["--metrics", f"unix:{path}:mode=666"])
        assert path.stat().st_mode & 0o777 == mode
        assert path.stat().st_gid == os.getgid()
        with Scraper(str(path)) as scraper, daemon.client() as client:
            assert list(parse(scraper.get()))
            assert list(parse_open(scraper.get("application/openmetrics-text")))
            assert client.reexec()
            found = samples(scraper.get())
            assert found["virtlogd_clients", "metrics"] == 1
            assert found["virtlogd_hand_overs_total",] == 1
            servers = [one.server for one in client.clients()]
            assert "metrics" in servers


def test_an_unknown_group_leaves_its_owner(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """And the own log says so."""
    path = tmp_path / "metrics"
    daemon = start_daemon('jsonrpc_ro_group = "no-such-group"', options=["--metrics", str(path)])
    assert path.stat().st_mode & 0o777 == 0o600
    wait_for_message(daemon, "only the daemon's own user is served there")


@pytest.mark.lengthy
@pytest.mark.parametrize("endpoint", ["tcp:9100", "unix:"])
def test_only_a_unix_socket_can_be_named(start_daemon: StartDaemon, endpoint: str) -> None:
    """The daemon opens no network socket; the message says what to write."""
    with pytest.raises(RuntimeError, match=r"metrics: .*write unix:/path"):
        start_daemon(options=["--metrics", endpoint])
