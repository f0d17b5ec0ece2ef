"""Turns an event of twisted.logger into a line in the form of libvirt's logs.

What a client or a guest named, such as a path, is part of many messages. It is escaped here, the
one place that all outputs share: nobody can forge a line, or send a terminal more than text.
"""

from __future__ import annotations

from datetime import datetime, timezone

from twisted.logger import LogEvent, LogLevel, eventAsText

from twisted_virtlog.daemon.log.parts import part_of_namespace
from twisted_virtlog.escaping import visible
from twisted_virtlog.values import Priority

#: By Twisted's levels; what is critical is an error.
_PRIORITIES = {
    LogLevel.debug: Priority.DEBUG,
    LogLevel.info: Priority.INFO,
    LogLevel.warn: Priority.WARNING,
    LogLevel.error: Priority.ERROR,
    LogLevel.critical: Priority.ERROR,
}

_NO_NAMESPACE = "-"

#: Before the lines of a traceback, so that none looks like a message.
_INDENT = "    "


def priority_of(event: LogEvent) -> Priority:
    """Return how serious an event is."""
    return _PRIORITIES[event.get("log_level") or LogLevel.info]


def namespace_of(event: LogEvent) -> str:
    """Return the namespace of the logger that an event comes from."""
    return event.get("log_namespace") or _NO_NAMESPACE


def part_of(event: LogEvent) -> str:
    """Return the name of the part of the daemon that an event comes from."""
    return visible(str(part_of_namespace(str(namespace_of(event)))))


def message_of(event: LogEvent) -> str:
    """Return an event's words, escaped, with its traceback on lines of their own."""
    words = eventAsText(event, includeTraceback=False, includeTimestamp=False, includeSystem=False)
    message = visible(words)
    if "log_failure" not in event:
        return message
    whole = eventAsText(event, includeTimestamp=False, includeSystem=False)
    traceback = whole[len(words) :].strip("\n").split("\n")
    return "\n".join([message, *(_INDENT + visible(line) for line in traceback)])


def line_of(event: LogEvent, thread: int) -> str:
    """Return an event as libvirt writes it, with a newline at the end.

    :param thread: the id of the thread that writes it.
    """
    seconds: float = event.get("log_time", 0.0)
    time = datetime.fromtimestamp(seconds, timezone.utc)
    stamp = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}+0000"
    level = priority_of(event).name.lower()
    return f"{stamp}: {thread}: {level} : {part_of(event)} : {message_of(event)}\n"
