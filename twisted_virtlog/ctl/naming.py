"""What the program that runs is called, in its messages."""

from __future__ import annotations

import click

_USUAL = "virtlogctl"


def program_name() -> str:
    """Return the name of the program whose command runs."""
    context = click.get_current_context(silent=True)
    name = None if context is None else context.find_root().command.name
    return name or _USUAL
