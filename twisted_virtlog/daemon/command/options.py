"""The options of virtlogd's command line and what they mean: arguments become a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from twisted_virtlog.daemon.command.getopt_long import Option, options_in

_HELP = Option("help", "h", "", "Show this help.")
#: virtlogd does not have these, so they must not make its short forms of others ambiguous.
_READ_ONLY = Option(
    "jsonrpc-ro", "", "ENDPOINT", "Where clients that only read connect, or none.", exact=True
)
_METRICS = Option(
    "metrics", "", "ENDPOINT", "Where Prometheus connects, or none, as by default.", exact=True
)
_CHECK = Option("check", "", "", "Report all mistakes in the configuration and exit.", exact=True)
_VERSION = Option("version", "V", "", "Show the version.")

#: In the order in which virtlogd knows them, which is that of a message about an ambiguous one.
OPTIONS = (
    Option("verbose", "v", "", "Log messages of level info and above."),
    Option("daemon", "d", "", "Run in the background."),
    Option("config", "f", "FILE", "Configuration file, which must exist."),
    Option("timeout", "t", "SECONDS", "Exit after being idle this long; 0: never."),
    Option("pid-file", "p", "FILE", "Where to write the process id."),
    _READ_ONLY,
    _METRICS,
    _CHECK,
    _VERSION,
    _HELP,
)

#: libvirt counts milliseconds in an int.
_LONGEST_TIMEOUT = (2**31 - 1) // 1000

# As C reads a number; what follows it does not matter.
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)0*(\d+)", re.ASCII)


class Arguments(Struct, frozen=True):
    """What the command line asks for.

    :ivar timeout: seconds without clients and open logs after which the daemon ends; 0 for never.
    :ivar config: None for the default file, which may be missing.
    :ivar pid_file: None for the default path; empty for no file.
    :ivar jsonrpc_ro: a server endpoint; None for the default one.
    :ivar metrics: likewise; by default there is none.
    :ivar check: whether only to look for mistakes in the configuration.
    """

    verbose: bool = False
    daemon: bool = False
    timeout: int = 0
    config: str | None = None
    pid_file: str | None = None
    jsonrpc_ro: str | None = None
    metrics: str | None = None
    check: bool = False


class ShowHelp(Struct, frozen=True):
    """The command line asks for the help."""


class ShowVersion(Struct, frozen=True):
    """The command line asks for the version."""


class BadTimeout(Exception):
    """The value of ``--timeout`` is not a possible number of seconds; the message says so."""


def parse(arguments: Sequence[str]) -> Arguments | ShowHelp | ShowVersion:
    """Read a command line, from left to right as virtlogd does.

    So anything may follow ``--help`` or ``--version``. Arguments that are not options mean nothing.

    :param arguments: without the program's name.
    :raises UsageError: it cannot be read.
    :raises BadTimeout: see there.
    """
    asked: dict[str, Any] = {}
    for option, value in options_in(arguments, OPTIONS):
        if option is _HELP:
            return ShowHelp()
        if option is _VERSION:
            return ShowVersion()
        name = option.long.replace("-", "_")
        if value is None:
            asked[name] = True
        else:
            asked[name] = _seconds(value) if option.long == "timeout" else value
    return Arguments(**asked)


def usage(name: str) -> str:
    """Return the text that explains the options.

    :param name: the program's name.
    """
    lines = [_explained(option) for option in OPTIONS]
    return "\n".join(
        [
            f"Usage: {name} [OPTION]...",
            "Write what guests print into size-rotated files, in the place of libvirt's virtlogd.",
            "",
            *lines,
            "",
            "For root the configuration is /etc/libvirt/virtlogd.conf, the sockets are",
            "virtlogd-sock, virtlogd-admin-sock and virtlogd-jsonrpc-sock in /run/libvirt, the",
            "process id is in /run/virtlogd.pid. For other users they are in",
            "$XDG_CONFIG_HOME/libvirt (~/.config) and $XDG_RUNTIME_DIR/libvirt (~/.cache/libvirt).",
            "",
        ]
    )


def _explained(option: Option) -> str:
    short = f"-{option.short}," if option.short else "   "
    long = f"{option.long} {option.value}" if option.value else option.long
    return f"  {short} --{long:<18} {option.meaning}"


def _seconds(text: str) -> int:
    number = _NUMBER.match(text)
    # (Python refuses to read numbers of thousands of digits)
    if number and len(number[2]) <= len(str(_LONGEST_TIMEOUT)):
        seconds = int(number[1] + number[2])
        if 0 <= seconds <= _LONGEST_TIMEOUT:
            return seconds
    raise BadTimeout(
        f"Invalid value for timeout: {text!r}; write seconds from 0 to {_LONGEST_TIMEOUT}"
    )
