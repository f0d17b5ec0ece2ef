"""The manual page tells all that the program takes, and nothing else."""

from __future__ import annotations

from harness.daemon import CHECKOUT
from tests.man_pages import explained_commands, explained_options, options_of
from twisted_virtlog.ctl import main

PAGE = (CHECKOUT / "doc" / "virtlogctl.1").read_text().replace("\\-", "-")


def test_all_commands_are_explained() -> None:
    """Each command has an entry."""
    assert explained_commands(PAGE) == set(main.commands)


def test_all_options_are_explained() -> None:
    """The page has each option, and no other."""
    page = PAGE.replace("qemu-system-x86_64 -nographic", "")
    assert explained_options(page) == options_of(main)
