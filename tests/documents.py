"""Finds the commands that README.md and doc/*.md show, each with its prompt and what it prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
DOCUMENTS = (CHECKOUT / "README.md", *sorted((CHECKOUT / "doc").glob("*.md")))

_HEADING = re.compile(r"#+ (.*)")
_PROMPT = re.compile(r"(\s*)([$#]) (\S.*)")
#: In a block, "# " is root's prompt before one of these, and begins a comment before anything else.
_PROGRAMS = (
    "/opt/",
    "apt-get ",
    "dpkg-divert ",
    "ln ",
    "python3 ",
    "rm ",
    "systemctl ",
    "virtlogctl ",
)
_GOES_ON = ("|", "\\", "&&")


@dataclass(frozen=True)
class Command:
    """A command of a document.

    :ivar section: the heading above it.
    :ivar prompt: ``$`` for an ordinary user, ``#`` for root.
    :ivar text: what is typed, its lines joined as they stand.
    :ivar output: the lines below it, up to the next command or the end of the block.
    """

    document: str
    section: str
    prompt: str
    text: str
    output: tuple[str, ...]


def commands(document: Path) -> Iterator[Command]:
    """Yield the commands of a document in their order."""
    lines = document.read_text().splitlines()
    section, fenced, at = "", False, 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and (heading := _HEADING.fullmatch(line)):
            section = heading[1]
        elif (match := _PROMPT.fullmatch(line)) and (fenced or len(match[1]) >= 4):
            indent, prompt, text = match[1], match[2], match[3]
            if prompt == "#" and not text.startswith(_PROGRAMS):
                continue
            while text.endswith(_GOES_ON):
                text += "\n" + lines[at].strip()
                at += 1
            output = []
            while at < len(lines) and _is_output(lines[at], indent):
                output.append(lines[at][len(indent) :])
                at += 1
            yield Command(document.name, section, prompt, text, tuple(output))


def _is_output(line: str, indent: str) -> bool:
    if not line.startswith(indent) or not line.strip() or line.lstrip().startswith("```"):
        return False
    return _PROMPT.fullmatch(line) is None
