"""Parses ``log_level``, ``log_filters`` and ``log_outputs``, in the words of libvirt 9.0.0."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence

from twisted_virtlog.values import Destination, Filter, Output, Priority

#: For messages that no filter matches, when ``log_level`` is not set.
DEFAULT_PRIORITY = Priority.WARNING


class SpecError(ValueError):
    """The text is none that its key takes; of levels, filters and outputs the message is libvirt's.

    :ivar remedy: what would be right.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


#: Those that are followed by a path or an identifier.
_WITH_ARGUMENT = (Destination.FILE, Destination.SYSLOG)

# libvirt reads a number, as C does, and looks at its range.
_PRIORITY = re.compile(r"[\t\n\v\f\r ]*\+?0*[1-4]")

_LEVEL_REMEDY = "write 1 (debug), 2 (info), 3 (warning) or 4 (error)"
_FILTER_REMEDY = "write filters as 1:logs 3:jsonrpc, a level and a part of a module's name"
_OUTPUT_REMEDY = (
    "write outputs as 3:stderr, 3:journald, 3:syslog:virtlogd or 1:file:/var/log/virtlogd.log"
)


def parse_level(level: int) -> Priority:
    """Return the priority that ``log_level`` means, where 0 is the default.

    :raises SpecError: there is no such level.
    """
    if not level:
        return DEFAULT_PRIORITY
    try:
        return Priority(level)
    except ValueError:
        message = f"Failed to set logging priority, argument '{level}' is invalid"
        raise SpecError(message, _LEVEL_REMEDY) from None


def parse_filters(text: str) -> list[Filter]:
    """Return the filters that a text lists, separated by spaces.

    :raises SpecError: the text is not such a list.
    """
    return [_parse_filter(item) for item in text.split(" ") if item]


def parse_outputs(text: str) -> list[Output]:
    """Return the outputs that a text lists; of two with the same destination the later one holds.

    :raises SpecError: the text is not such a list.
    """
    outputs: dict[tuple[Destination, str], Output] = {}
    for item in text.split(" "):
        if item:
            output = _parse_output(item)
            # In the earlier one's place it would be reported there.
            outputs.pop((output.destination, output.argument), None)
            outputs[output.destination, output.argument] = output
    return list(outputs.values())


def format_filters(filters: Sequence[Filter]) -> str:
    """Return filters as libvirt 9.0.0 reports them: a space after each; empty without filters."""
    return "".join(f"{one} " for one in filters)


def format_outputs(outputs: Sequence[Output]) -> str:
    """Return outputs as libvirt 9.0.0 reports them, separated by spaces."""
    return " ".join(map(str, outputs))


def wanted(filters: Sequence[Filter], level: Priority, names: Sequence[str]) -> Priority:
    """Return the least priority with which messages of a part go to the outputs.

    The first filter that matches decides. An output whose own priority is higher still does not
    take them, as in libvirt 9.0.0.

    :param level: for what no filter matches.
    :param names: those of the part, as ``logs`` and ``twisted_virtlog.logs.handler``.
    """
    for one in filters:
        if any(fnmatch.fnmatchcase(name, one.match) for name in names):
            return one.priority
    return level


def _parse_filter(item: str) -> Filter:
    # As in libvirt, a second colon ends the match.
    level, *rest = item.split(":")
    if not rest:
        raise SpecError(f"Malformed format for filter '{item}'", _FILTER_REMEDY)
    priority = _priority(level)
    if priority is None:
        raise SpecError(f"Invalid priority '{level}' for filter '{item}'", _FILTER_REMEDY)
    match = rest[0].removeprefix("+")
    if not match:
        raise SpecError(f"Invalid match string '{rest[0]}'", _FILTER_REMEDY)
    return Filter(priority, f"*{match}*")


def _parse_output(item: str) -> Output:
    level, colon, rest = item.partition(":")
    if not colon:
        raise SpecError(f"Malformed format for log output '{item}'", _OUTPUT_REMEDY)
    priority = _priority(level)
    if priority is None:
        raise SpecError(f"Invalid log priority '{level}' for log output '{item}'", _OUTPUT_REMEDY)
    name, colon, argument = rest.partition(":")
    try:
        destination = Destination(name)
    except ValueError:
        message = f"Invalid log destination '{name}' for log output '{item}'"
        raise SpecError(message, _OUTPUT_REMEDY) from None
    if (
        bool(argument) != (destination in _WITH_ARGUMENT)
        or (colon and not argument)
        # As in libvirt, nothing follows an argument, so that it has no colons.
        or ":" in argument
        # No file name has it.
        or "\0" in argument
    ):
        message = (
            f"Log output '{item}' does not meet the format requirements"
            f" for destination type '{name}'"
        )
        raise SpecError(message, _OUTPUT_REMEDY)
    if destination is Destination.FILE:
        argument = os.path.abspath(argument)
    return Output(priority, destination, argument)


def _priority(text: str) -> Priority | None:
    return Priority(int(text)) if _PRIORITY.fullmatch(text) else None
