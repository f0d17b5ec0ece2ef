"""Words an event of twisted.logger as a line, in the form of libvirt's logs."""

from __future__ import annotations

from datetime import datetime, timezone

from twisted.logger import LogEvent, LogLevel, eventAsText

from twisted_virtlog.ownlog.spec import PRIORITY_OF_LEVEL, Priority

_NO_NAMESPACE = "-"


def priority_of(event: LogEvent) -> Priority:
    """Tell how grave an event is."""
    return PRIORITY_OF_LEVEL[event.get("log_level") or LogLevel.info]


def part_of(event: LogEvent) -> str:
    """Tell which part of the daemon an event comes from, as a module's or class's name."""
    return event.get("log_namespace") or _NO_NAMESPACE


def message_of(event: LogEvent) -> str:
    """Give an event's words, with its traceback on lines of their own."""
    return eventAsText(event, includeTimestamp=False, includeSystem=False)


def line_of(event: LogEvent, thread: int) -> str:
    """Give an event as libvirt writes it, ended by a newline.

    :param thread: the id of the thread that writes it.
    """
    seconds: float = event.get("log_time", 0.0)
    time = datetime.fromtimestamp(seconds, timezone.utc)
    stamp = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}+0000"
    level = priority_of(event).name.lower()
    return f"{stamp}: {thread}: {level} : {part_of(event)} : {message_of(event)}\n"
