"""What a shipper counts, and the text in which Prometheus reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Counts:
    """Of one sink.

    :ivar messages: stored, with ``bytes`` of logs in them.
    :ivar refused_bytes: left out, as the sink refused them again and again.
    :ivar rejected_lines: left out of what was stored, as the sink says.
    :ivar retries: how often something was tried again.
    :ivar missed_gaps: how often bytes were gone before they could be shipped.
    :ivar missed_bytes: how many these were, where that is known.
    :ivar waiting_bytes: read from the daemon and not stored yet.
    :ivar logs: which are shipped as they grow.
    """

    messages: int = 0
    bytes: int = 0
    refused_bytes: int = 0
    rejected_lines: int = 0
    retries: int = 0
    missed_gaps: int = 0
    missed_bytes: int = 0
    waiting_bytes: int = 0
    logs: int = 0


_FAMILIES = (
    ("messages_total", "messages", "Messages that were stored."),
    ("bytes_total", "bytes", "Bytes of logs that were stored."),
    ("refused_bytes_total", "refused_bytes", "Bytes left out, as the sink refused them."),
    ("rejected_lines_total", "rejected_lines", "Lines that the sink left out, as it says."),
    ("retries_total", "retries", "Times that something was tried again."),
    ("gaps_total", "missed_gaps", "Times that bytes were gone before they could be shipped."),
    ("missed_bytes_total", "missed_bytes", "Bytes that were gone, where their number is known."),
    ("waiting_bytes", "waiting_bytes", "Bytes read from the daemon and not stored yet."),
    ("logs", "logs", "Logs that are shipped as they grow."),
)


def metrics_text(sinks: Sequence[tuple[str, Counts]]) -> str:
    """Return the counts in Prometheus' text format.

    :param sinks: with their names, of letters, digits, ``-`` and ``_``.
    """
    lines = []
    for name, member, explanation in _FAMILIES:
        family = f"virtlog_ship_{name}"
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {family} {explanation}", f"# TYPE {family} {kind}"]
        lines += [f'{family}{{sink="{sink}"}} {getattr(counts, member)}' for sink, counts in sinks]
    return "\n".join(lines) + "\n"
