"""doc/jsonrpc.md leaves out no method, no parameter and no error code."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.methods import METHODS
from twisted_virtlog.jsonrpc.openrpc import openrpc_document
from twisted_virtlog.loop.slices import at_once

DOCUMENT = (Path(__file__).parents[2] / "doc" / "jsonrpc.md").read_text()

#: By heading.
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##)", DOCUMENT, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_told_with_its_parameters_and_errors(name: str) -> None:
    """In a section of its own."""
    text = msgspec.json.encode(at_once(openrpc_document([METHODS[name]], "title", "1")))
    (method,) = msgspec.json.decode(text)["methods"]
    section = SECTIONS[name]
    rows = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    told = [parameter for row in rows for parameter in re.findall("`(.+?)`", row)]
    assert [one["name"] for one in method["params"] if one["name"] not in told] == []
    codes = {int(code) for code in re.findall(r"-?\d{4,5}", section.partition("Errors:")[2])}
    assert {int(code) for code in METHODS[name].errors} <= codes


@pytest.mark.parametrize("code", Code, ids=lambda code: code.name)
def test_each_code_is_in_the_table(code: Code) -> None:
    """With its name."""
    assert re.search(rf"^\| {int(code)} \| \S", DOCUMENT, re.MULTILINE)
