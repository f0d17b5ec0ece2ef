"""The twistd plugin ``virtlog-web``, and the program of that name: options, and the service."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python import usage

from twisted_virtlog.client.usual_socket import usual_socket
from twisted_virtlog.web.memory import return_what_is_large
from twisted_virtlog.web.service import (
    Asked,
    CannotServe,
    IWebReactor,
    WebService,
    parse_listen,
    usual_address,
)


class Options(usage.Options):
    """What ``virtlog-web`` and ``twistd virtlog-web`` take."""

    synopsis = "[options]"
    longdesc = (
        "Shows logs in a browser. It serves at a UNIX socket, which is reached by"
        " ssh -L 8080:/run/virtlog-web.sock HOST or by a proxy; or, with --listen, at an address of"
        " this machine, where it prints what to open."
    )
    optParameters: ClassVar = [
        ["daemon", None, None, "The daemon's JSON-RPC socket, instead of the usual one."],
        ["socket", "s", None, "The UNIX socket to serve at, instead of virtlog-web.sock in /run."],
        ["group", None, None, "A group that may reach that socket."],
        ["trust-header", None, None, "A header in which a proxy at that socket names the user."],
        ["listen", None, None, "Serve at 127.0.0.1:PORT instead, to who knows the token."],
        ["token-file", None, None, "A file with the token; it is made if it is not there."],
    ]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["hosts"] = []

    def opt_host(self, name: str) -> None:
        """Another name that the page is reached by, as by a proxy; may be given several times."""
        self["hosts"].append(name)

    def asked(self) -> Asked:
        """Return what the options ask for.

        :raises UsageError: they make no sense.
        """
        if self["listen"] and (self["socket"] or self["group"] or self["trust-header"]):
            raise usage.UsageError("--listen goes without --socket, --group and --trust-header")
        if self["token-file"] and not self["listen"]:
            raise usage.UsageError("--token-file goes with --listen")
        try:
            listen = parse_listen(self["listen"]) if self["listen"] else None
        except ValueError as error:
            raise usage.UsageError(f"--listen: {error}") from error
        return Asked(
            self["daemon"] or usual_socket(),
            self["socket"] or usual_address(os.geteuid(), os.environ),
            self["group"],
            listen,
            self["token-file"],
            self["trust-header"],
            self["hosts"],
        )


def makeService(options: Options) -> Service:
    """Make the service for twistd; a mistake ends the process with one line that says it."""
    # Importing the reactor installs it, which only a process of our own may do.
    from twisted.internet import reactor  # noqa: PLC0415

    try:
        asked = options.asked()
        if asked.listen is not None and asked.token_file is None:
            # What is printed here nobody sees, and twistd's log is no place for a secret.
            raise usage.UsageError("twistd's --listen goes with --token-file, which has the token")
        return WebService(cast(IWebReactor, reactor), asked)
    except (CannotServe, usage.UsageError) as error:
        raise SystemExit(f"virtlog-web: {error}") from error


def main() -> None:
    """Be the program ``virtlog-web``."""
    options = Options()
    try:
        usage.Options.parseOptions(options, sys.argv[1:])
        asked = options.asked()
    except usage.UsageError as error:
        sys.stderr.write(f"virtlog-web: {error}\nvirtlog-web --help says more.\n")
        raise SystemExit(2) from error
    return_what_is_large()
    warnings = LogLevelFilterPredicate(LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [warnings])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    react(_serve, [asked])


def _serve(reactor: Any, asked: Asked) -> Deferred[None]:
    try:
        service = WebService(reactor, asked)
        service.startService()
    except CannotServe as error:
        sys.stderr.write(f"virtlog-web: {error}\n")
        raise SystemExit(1) from error
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    sys.stdout.write(f"{service.where}\n")
    sys.stdout.flush()
    return Deferred()
