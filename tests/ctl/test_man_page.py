"""The manual page tells all that the program takes, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import click

from twisted_virtlog.ctl import main
from twisted_virtlog.ctl.groups import Unloaded

PAGE = (Path(__file__).parents[2] / "doc" / "virtlogctl.1").read_text().replace("\\-", "-")

UNLOADED = [command for command in main.commands.values() if isinstance(command, Unloaded)]


def taken() -> set[str]:
    """Return all options of the program and its commands."""
    commands = [main, *(command.load() for command in UNLOADED)]
    return {
        option
        for command in commands
        for parameter in command.get_params(click.Context(command, **main.context_settings))
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def test_all_commands_are_explained() -> None:
    """Each command has an entry."""
    explained = set(re.findall(r"^\.TP\n\.BI? ([a-z]+)\b", PAGE, re.MULTILINE))
    assert explained == set(main.commands)


def test_all_options_are_explained() -> None:
    """The page has each option, and no other."""
    text = re.sub(r"\\f[A-Z]", "", PAGE).replace("qemu-system-x86_64 -nographic", "")
    assert set(re.findall(r"(?<![\w-])(--?[a-zA-Z][a-z-]*)", text)) == taken()
