"""The programs in doc/client.md, and how they are run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.documents import blocks

DOCUMENT = Path(__file__).parents[2] / "doc" / "client.md"


def program(section: str, number: int = 0) -> str:
    """Return a program of a section."""
    found = [
        block.lines
        for block in blocks(DOCUMENT)
        if (block.section, block.language) == (section, "python")
    ]
    return "\n".join(found[number])


def run(program: str, *arguments: str) -> str:
    """Run a program that succeeds; return what it prints."""
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr == ""
    return result.stdout
