"""doc/operations.md leaves out no family."""

from __future__ import annotations

import re
from pathlib import Path

from twisted_virtlog.metrics.families import LOG_ROWS, ROWS

DOCUMENT = (Path(__file__).parents[2] / "doc" / "operations.md").read_text()


def test_each_family_is_in_the_table_with_its_labels() -> None:
    """In the order of the text, with the type."""
    rows = re.findall(r"^\| `((?:virtlogd|process)_\w+?)(?:{(.*?)})?` \| (\w+) \|", DOCUMENT, re.M)
    families = [row.family for row in (*ROWS, *LOG_ROWS)]
    assert rows == [(one.sample, ", ".join(one.labels), one.kind.value) for one in families]
