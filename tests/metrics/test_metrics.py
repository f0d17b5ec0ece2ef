"""The text of all metrics: which families there are, and what it costs."""

from __future__ import annotations

import errno
import re
import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from twisted.internet.defer import Deferred

from tests.metrics.values import GUEST, World, failing, joined, log
from twisted_virtlog.loop.stalls import StallCounts
from twisted_virtlog.metrics.families import LOG_ROWS, ROWS
from twisted_virtlog.metrics.family import Family
from twisted_virtlog.values import (
    ConsumerSums,
    DiskUse,
    HeldUse,
    MetricsLogs,
    MetricsText,
    MountThread,
    Space,
)

FAMILIES = [row.family for row in (*ROWS, *LOG_ROWS)]


def value(text: str, name: str, **labels: str) -> float:
    """Return the number of a sample."""
    (found,) = (
        sample.value
        for family in parse_plain(text)
        for sample in family.samples
        if (sample.name, sample.labels) == (name, labels)
    )
    return float(found)


def paths(text: str) -> list[str]:
    """Return of which logs there are samples."""
    found = {
        sample.labels["path"]
        for family in parse_plain(text)
        for sample in family.samples
        if "path" in sample.labels
    }
    return sorted(found)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_are_by_the_conventions(family: Family) -> None:
    """Prefix, base units at the end, labels in order, and a sentence of help."""
    assert re.fullmatch(r"(virtlogd|process)(_[a-z]+)+", family.name)
    assert not family.name.endswith(("_total", "_info", "_count", "_sum", "_bucket"))
    assert family.unit in {"", "bytes", "seconds"}
    assert family.name.endswith(family.unit)
    assert list(family.labels) == sorted(family.labels)
    assert family.help.endswith(".")


def test_no_name_is_there_twice() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_both_formats_say_the_same() -> None:
    """Each is read by the parser of its own, with the same samples."""
    world = World(log("/a"), failing("/b", pending=7))
    plain, other = list(parse_plain(world.text())), list(parse_open(world.text(open_metrics=True)))
    assert [one.name for one in other] == [family.name for family in FAMILIES]
    assert len(plain) == len(other)
    steady = [
        {(one.name, *one.labels.items()): one.value for family in found for one in family.samples}
        for found in (plain, other)
    ]
    assert steady[0].keys() == steady[1].keys()
    key = ("virtlogd_pending_bytes",)
    assert steady[0][key] == steady[1][key] == 7


def test_logs_are_added_up() -> None:
    """Those that fail by the reason, with what waits; and who follows."""
    world = World(
        log("/a", followers=2),
        failing("/b", pending=5, followers=1),
        failing("/c", errno.EIO, pending=None),
        failing("/d"),
    )
    text = world.text()
    assert value(text, "virtlogd_logs_failing", errno="ENOSPC") == 2
    assert value(text, "virtlogd_logs_failing", errno="EIO") == 1
    assert value(text, "virtlogd_pending_bytes") == 5
    assert value(text, "virtlogd_followers") == 3
    assert value(text, "virtlogd_written_bytes_total", kind="appended") == 2
    assert value(text, "virtlogd_dropped_bytes_total", reason="quota") == 3
    assert value(text, "virtlogd_logs_open") == 1
    assert value(text, "virtlogd_clients", server="admin") == 0
    assert value(text, "virtlogd_clients_max", server="admin") == 5000


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (MetricsLogs.NONE, []),
        (MetricsLogs.SOME, ["/b", "/c"]),
        (MetricsLogs.ALL, ["/a", "/b", "/c"]),
    ],
)
def test_logs_are_told_by_themselves_as_the_setting_says(
    shown: MetricsLogs, told: list[str]
) -> None:
    """By default those that cannot be written or have lost bytes."""
    text = World(log("/a"), failing("/b"), log("/c", lost_bytes=1), shown=shown).text()
    assert paths(text) == told


def test_a_log_has_the_labels_of_its_guest() -> None:
    """By which it is joined with what others tell of the guest; without one they are empty."""
    world = World(failing("/a", lost_bytes=3), failing("/b", domain=None))
    text = world.text()
    of_guest = {"domain": "web", "uuid": GUEST.uuid, "path": "/a"}
    assert value(text, "virtlogd_log_dropped_bytes_total", **of_guest) == 3
    assert value(text, "virtlogd_log_failing", domain="", uuid="", path="/b") == 1


def test_many_logs_are_written_in_slices() -> None:
    """Each log once in each family, in the order of the paths; nobody waits for all of it."""
    world = World(*(log(f"/{number:04}") for number in range(1000)), shown=MetricsLogs.ALL)
    at_once = world.text()
    world.slices.later = True
    later = world.metrics.text(open_metrics=False)
    assert isinstance(later, Deferred)
    # (16 slices for each of the families, and 16 before)
    assert world.slices.take_all() > 16 * (len(LOG_ROWS) + 1)
    found: list[MetricsText] = []
    later.addCallback(found.append)
    assert all(len(piece) < 64 * 1024 for piece in found[0].pieces)
    text = joined(found[0])
    assert text.count("\n") == at_once.count("\n")
    for row in LOG_ROWS:
        lines = re.findall(rf'^{row.family.sample}{{.*path="(.*?)"', text, re.MULTILINE)
        assert lines == [f"/{number:04}" for number in range(1000)]


def test_the_process_is_told_of() -> None:
    """As by the library of Prometheus for any process."""
    text = World().text()
    assert value(text, "process_resident_memory_bytes") > 1_000_000
    assert value(text, "process_open_fds") > 2
    assert value(text, "process_start_time_seconds") > 1.7e9


def test_calls_are_told_by_their_methods() -> None:
    """Those that were made, with how long they took and how many failed."""
    world = World()
    for seconds in (0.0001, 0.00011, 2.0, 60.0):
        world.calls["jsonrpc"]["log.list"].add(seconds)
    world.calls["libvirt"]["DOMAIN_OPEN_LOG_FILE"].failed += 1
    text = world.text()
    of = {"protocol": "jsonrpc", "method": "log.list"}
    for bound, count in (("0.0001", 1), ("0.0005", 2), ("1.0", 2), ("5.0", 3), ("+Inf", 4)):
        assert value(text, "virtlogd_call_duration_seconds_bucket", le=bound, **of) == count
    assert value(text, "virtlogd_call_duration_seconds_count", **of) == 4
    assert value(text, "virtlogd_call_duration_seconds_sum", **of) == pytest.approx(62.00021)
    assert value(text, "virtlogd_calls_failed_total", **of) == 0
    of = {"protocol": "libvirt", "method": "DOMAIN_OPEN_LOG_FILE"}
    assert value(text, "virtlogd_calls_failed_total", **of) == 1


def test_file_systems_are_told_of() -> None:
    """Their threads, and the room on them, which is waited for."""
    world = World()
    world.storage.threads = [MountThread("/srv/a b", 3, 1.5)]
    world.storage.found = [Space("/srv/a b", "nfs4", 1000, 500, 0, 0)]
    world.storage.later = later = Deferred()
    answer = world.metrics.text(open_metrics=False)
    assert isinstance(answer, Deferred)
    found: list[MetricsText] = []
    answer.addCallback(found.append)
    later.callback(None)
    text = joined(found[0])
    assert value(text, "virtlogd_mount_oldest_call_seconds", mountpoint="/srv/a b") == 1.5
    assert value(text, "virtlogd_mount_logs", mountpoint="/srv/a b") == 3
    of = {"mountpoint": "/srv/a b", "fstype": "nfs4"}
    assert value(text, "virtlogd_filesystem_avail_bytes", **of) == 500


def test_the_loop_is_told_of() -> None:
    """Its turns, its stalls by cause, and hand-overs."""
    world = World()
    world.turns.add(0.003)
    world.stalls["log"] = StallCounts(2, 1.5, 1.0)
    text = world.text()
    assert value(text, "virtlogd_reactor_turn_seconds_count") == 1
    assert value(text, "virtlogd_reactor_stalls_total", cause="log") == 2
    assert value(text, "virtlogd_reactor_stalled_seconds_total", cause="log") == 1.5
    assert value(text, "virtlogd_hand_overs_total") == 3


def test_the_rest_is_told_of() -> None:
    """What was removed, how the index fares, and what is used, where that is counted."""
    world = World()
    text = world.text()
    assert value(text, "virtlogd_old_files_removed_total") == 4
    assert value(text, "virtlogd_old_removed_bytes_total") == 5
    assert value(text, "virtlogd_index_failing") == 1
    assert value(text, "virtlogd_index_notes_lost_total") == 6
    assert value(text, "virtlogd_index_notes_waiting") == 7
    assert value(text, "virtlogd_index_oldest_call_seconds") == 0.5
    assert value(text, "virtlogd_compressed_files_total") == 8
    assert value(text, "virtlogd_compressed_from_bytes_total") == 900
    assert value(text, "virtlogd_compressed_to_bytes_total") == 90
    assert value(text, "virtlogd_compress_waiting_logs") == 10
    assert "\nvirtlogd_disk_used_bytes" not in text
    world.storage.use = DiskUse(8, 9)
    text = world.text()
    assert value(text, "virtlogd_disk_used_bytes") == 8
    assert value(text, "virtlogd_disk_max_bytes") == 9


def test_consumers_are_told_of_where_there_are_any() -> None:
    """What is held, and what each has missed."""
    world = World()
    text = world.text()
    assert "\nvirtlogd_held" not in text
    assert "\nvirtlogd_consumer" not in text
    world.storage.held = HeldUse(5, 6, [ConsumerSums("loki", 2, 0), ConsumerSums("nats", 3, 70)])
    world.lags = {"nats": 4}
    text = world.text()
    assert value(text, "virtlogd_held_used_bytes") == 5
    assert value(text, "virtlogd_held_max_bytes") == 6
    assert value(text, "virtlogd_consumer_logs", consumer="loki") == 2
    assert value(text, "virtlogd_consumer_lag_bytes", consumer="loki") == 0
    assert value(text, "virtlogd_consumer_lag_bytes", consumer="nats") == 4
    assert value(text, "virtlogd_consumer_unread_bytes_total", consumer="loki") == 0
    assert value(text, "virtlogd_consumer_unread_bytes_total", consumer="nats") == 70


def test_nothing_of_this_is_loaded_for_those_who_are_not_scraped() -> None:
    """And neither a library of Prometheus nor one for HTTP for anybody."""
    script = """
import sys
import twisted_virtlog.daemon.command.start
ours = [name for name in sys.modules if name.startswith("twisted_virtlog.metrics")]
assert not ours, ours
import twisted_virtlog.metrics.metrics, twisted_virtlog.metrics.conversation
found = [name for name in sys.modules if name.startswith(("prometheus", "twisted.web"))]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
