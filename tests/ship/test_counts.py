"""What a shipper counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from twisted_virtlog.ship.counts import Counts, metrics_text


def test_each_sink_has_a_series() -> None:
    """In families with one help and one type each."""
    text = metrics_text([("far", Counts()), ("near", Counts(messages=3, bytes=4096, logs=2))])
    found = {
        (sample.name, sample.labels["sink"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert len(found) == 2 * 9
    assert found["virtlog_ship_messages_total", "near"] == 3
    assert found["virtlog_ship_bytes_total", "near"] == 4096
    assert found["virtlog_ship_logs", "near"] == 2
    assert found["virtlog_ship_bytes_total", "far"] == 0
