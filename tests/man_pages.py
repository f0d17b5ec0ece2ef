"""Compares a manual page with what a program takes."""

from __future__ import annotations

import re

import click

from twisted_virtlog.ctl.groups import Unloaded


def options_of(program: click.Group) -> set[str]:
    """Return all options of a program and its commands."""
    unloaded = [command for command in program.commands.values() if isinstance(command, Unloaded)]
    commands = [program, *(command.load() for command in unloaded)]
    return {
        option
        for command in commands
        for parameter in command.get_params(click.Context(command, **program.context_settings))
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def explained_commands(page: str) -> set[str]:
    """Return the commands that have an entry."""
    return set(re.findall(r"^\.TP\n\.BI? ([a-z]+)\b", page, re.MULTILINE))


def explained_options(page: str) -> set[str]:
    """Return all options that a page names."""
    text = re.sub(r"\\f[A-Z]", "", page)
    return set(re.findall(r"(?<![\w-])(--?[a-zA-Z][a-z-]*)", text))
