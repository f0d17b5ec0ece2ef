"""The command: reads its command line, and answers or starts the daemon."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from twisted_virtlog import __version__
from twisted_virtlog.daemon.command.background import open_standard_streams
from twisted_virtlog.daemon.command.getopt_long import UsageError
from twisted_virtlog.daemon.command.options import BadTimeout, ShowHelp, ShowVersion, parse, usage
from twisted_virtlog.daemon.command.outcome import STDOUT, Status, say
from twisted_virtlog.daemon.command.unneeded import load_later, without_tls


def main() -> NoReturn:
    """Run the command, and end the process."""
    # During the imports, the garbage collector would look for garbage and find none.
    gc.disable()
    open_standard_streams()
    # Twisted removes the service manager's variables from the environment.
    environment = dict(os.environ)
    sys.exit(run(os.path.basename(sys.argv[0]), sys.argv[1:], environment))


def run(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Status:
    """Do what a command line says; see :mod:`twisted_virtlog.daemon.command.options`.

    :param name: the program's name, for messages.
    """
    try:
        asked = parse(arguments)
    except UsageError as error:
        say(f"{name}: {error}\n\n{usage(name)}")
        return Status.REFUSED
    except BadTimeout as error:
        say(f"{name}: {error}\n")
        return Status.REFUSED
    if isinstance(asked, ShowHelp):
        say(usage(name))
        return Status.DONE
    if isinstance(asked, ShowVersion):
        say(f"{name} (twisted-virtlog) {__version__}\n", STDOUT)
        return Status.DONE
    # This imports all of Twisted, which is slow, and not needed before.
    load_later()
    with without_tls():
        from twisted_virtlog.daemon.command.start import start  # noqa: PLC0415

    return start(name, asked, environment)
