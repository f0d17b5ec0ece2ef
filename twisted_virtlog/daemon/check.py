"""The option ``--check``: reports every mistake in the configuration, and starts nothing."""

from __future__ import annotations

import os

from twisted_virtlog.daemon.command.outcome import STDOUT, say
from twisted_virtlog.daemon.configuration import Source
from twisted_virtlog.escaping import visible


def check(name: str, source: Source) -> int:
    """Write the mistakes, in the order of their lines, and the warnings to standard error.

    :param name: the program's name, which begins each message.
    :returns: the process's exit status: 1 if the daemon would not start with this configuration.
    """
    examined = source.examine()
    for error in sorted(examined.errors, key=lambda one: one.line or 0):
        say(f"{name}: {visible(str(error))}\n")
    for warning in examined.warnings:
        say(f"{name}: warning: {visible(warning)}\n")
    for root in examined.settings.log_roots:
        if not os.path.isdir(root):
            say(
                f"{name}: warning: {visible(source.file)}: log_roots: there is no directory"
                f" {visible(root)}; logs below it are refused until it is made\n"
            )
    if examined.errors:
        return 1
    if os.path.exists(source.file):
        say(f"{visible(source.file)}: no mistakes\n", STDOUT)
    else:
        say(f"{visible(source.file)}: there is no such file; the defaults hold\n", STDOUT)
    return 0
