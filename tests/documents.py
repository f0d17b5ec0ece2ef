"""Finds the commands that README.md and doc/*.md show, each with its prompt and what it prints.

They stand in blocks of the language ``console``, where ``$ `` is an ordinary user's prompt, ``# ``
root's, and all else is what a command prints; there are no comments of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
DOCUMENTS = (CHECKOUT / "README.md", *sorted((CHECKOUT / "doc").glob("*.md")))

CONSOLE = "console"

_HEADING = re.compile(r"#+ (.*)")
_FENCE = re.compile(r"( *)(?:```|~~~)(.*)")
_INDENTED = " " * 4
_PROMPT = re.compile(r"([$#]) (\S.*)")
_GOES_ON = ("|", "\\", "&&")
_SHELL = ("sh", "shell", "bash", "shell-session")
_NO_LANGUAGE = ("", "text")

#: What differs each time a command is run: numbers, births, programs and where the socket is.
BIRTH = r"\b(?:h[0-9a-f]+|t)\.[\w-]+"
_FIGURE = re.compile(rf"{BIRTH}|[0-9]+|\(\w+\)|/\S+/[\w-]*jsonrpc-sock")
_RULE = re.compile("-{4,}")


@dataclass(frozen=True)
class Block:
    """A block of code.

    :ivar section: the heading above it.
    :ivar language: what stands behind its fence, or nothing.
    :ivar lines: without the indentation of the block.
    """

    document: str
    section: str
    language: str
    lines: tuple[str, ...]


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


def blocks(document: Path) -> Iterator[Block]:
    """Yield the blocks of a document, those behind fences and those that are indented."""
    lines = document.read_text().splitlines()
    section, at = "", 0
    while at < len(lines):
        line = lines[at]
        begin = at = at + 1
        if fence := _FENCE.fullmatch(line):
            indent, language = fence[1], fence[2]
            while not _FENCE.fullmatch(lines[at]):
                at += 1
            inside = [one.removeprefix(indent) for one in lines[begin:at]]
            yield Block(document.name, section, language, tuple(inside))
            at += 1
        elif heading := _HEADING.fullmatch(line):
            section = heading[1]
        elif not line and lines[at : at + 1] and lines[at].startswith(_INDENTED):
            while at < len(lines) and (not lines[at] or lines[at].startswith(_INDENTED)):
                at += 1
            inside = trimmed([one.strip() for one in lines[begin:at]])
            yield Block(document.name, section, "", tuple(inside))


def commands(document: Path) -> Iterator[Command]:
    """Yield the commands of a document in their order."""
    for block in blocks(document):
        if block.language == CONSOLE:
            yield from _typed(block)


def _typed(block: Block) -> Iterator[Command]:
    lines = list(block.lines)
    while lines:
        match = _PROMPT.fullmatch(lines.pop(0))
        assert match, f"{block.document}: a block of {CONSOLE} begins without a prompt: {block}"
        prompt, text = match[1], match[2]
        while text.endswith(_GOES_ON):
            text += "\n" + lines.pop(0).strip()
        output = []
        while lines and not _PROMPT.fullmatch(lines[0]):
            output.append(lines.pop(0))
        yield Command(block.document, block.section, prompt, text, tuple(trimmed(output)))


def unprompted(block: Block, programs: Iterable[str]) -> list[str]:
    """Give the lines of a block that look like commands, where :func:`commands` does not see them.

    :param programs: names of programs.
    """
    known = set(programs)
    if block.language == CONSOLE:
        return [line for one in _typed(block) for line in one.output if program(line) in known]
    if block.language in _SHELL:
        return [line for line in block.lines if line]
    if block.language in _NO_LANGUAGE:
        return [one for one in block.lines if _PROMPT.fullmatch(one) or program(one) in known]
    return []


def program(text: str) -> str:
    """Name the program that a line of the shell runs first."""
    words = [word for word in text.split() if not re.match(r"\w+=", word)]
    return Path(words[0]).name if words else ""


def trimmed(lines: Sequence[str]) -> list[str]:
    """Leave out empty lines at the end."""
    kept = list(lines)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def shape(line: str) -> str:
    """Return a line without what differs each time, and without widths."""
    return " ".join(_RULE.sub("--", _FIGURE.sub("N", line)).split())


def compare(command: Command, printed: Sequence[str], same: Callable[[str], str] = shape) -> None:
    """See that a command printed what its document shows; ``...`` is any number of lines.

    :param same: what must be the same of two lines.
    """
    shown = [same(line) for line in command.output]
    said = [same(line) for line in trimmed(printed)]
    if command.output[-1:] == ("...",):
        shown.pop()
        del said[len(shown) :]
    assert said == shown, (command, said)
