"""A real daemon tells what it counts, and it is what else it says."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.daemon.conftest import StartDaemon


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
    assert found["virtlogd_written_bytes_total",] == counts["bytes_written"] == 1010
    assert found["virtlogd_dropped_bytes_total",] == counts["bytes_lost"] == 0
    assert found["virtlogd_rollovers_total",] == counts["rollovers"] == 1
    assert found["virtlogd_clients", "jsonrpc"] == counts["clients"] == 1
    assert found["virtlogd_log_written_bytes_total", "", listed.path, ""] == listed.bytes == 5
    assert found["virtlogd_log_kept_bytes", "", listed.path, ""] == listed.kept == 5
