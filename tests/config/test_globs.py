"""Globs match what they say, and whoever chooses what is matched cannot make it last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from twisted_virtlog.config.globs import name_pattern, path_pattern


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("web", ["web"], ["web1", "aweb", "WEB", "", "web\n"]),
        ("ci-*", ["ci-", "ci-7", "ci-a/b", "ci-\n"], ["ci", "xci-7"]),
        ("*-db-*", ["a-db-b", "-db-", "a-db-db-b"], ["db", "a-db"]),
        ("web?", ["web1", "web?", "web\n"], ["web", "web12"]),
        ("**", ["", "anything"], []),
        ("web[0-35]", ["web0", "web3", "web5"], ["web4", "web", "web03"]),
        ("[!a-c]x", ["dx", "/x", "^x"], ["ax", "bx", "x"]),
        # As in the shell, a bracket in the first place is one of the characters.
        ("[]]", ["]"], ["[]]", "["]),
        ("[!]]", ["["], ["]", "[!]]"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[z-a]", [], ["z", "a", "[z-a]"]),
        ("[!z-a]", ["z", "x"], [""]),
        # Without an end it is no set.
        ("[ab", ["[ab"], ["a"]),
        ("[", ["["], [""]),
        ("[]", ["[]"], ["]"]),
        ("[!]", ["[!]"], ["!"]),
        (r"a.b\d+", [r"a.b\d+"], ["axb1"]),
        ("[[:&&~~||]", ["[", ":", "&", "~", "|"], ["a"]),
        ("", [""], ["a"]),
    ],
)
def test_what_a_glob_of_names_matches(
    glob: str, matched: Sequence[str], others: Sequence[str]
) -> None:
    """The whole name, and nothing else than what the shell would."""
    pattern = name_pattern(glob)
    assert [text for text in (*matched, *others) if pattern.match(text)] == matched


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("/a/*/c.log", ["/a/b/c.log", "/a//c.log"], ["/a/c.log", "/a/b/b/c.log"]),
        ("/a/**/c.log", ["/a/b/c.log", "/a/b/b/c.log", "/a//c.log"], ["/a/c.log", "/b/c.log"]),
        ("/a/?.log", ["/a/b.log"], ["/a//.log", "/a/.log"]),
        ("/a[!b]c", ["/axc"], ["/a/c", "/abc"]),
        ("/a[/]c", [], ["/a/c"]),
        ("**/c.log", ["/a/c.log", "/c.log"], ["/c.log.0", "c.log"]),
        ("/a/**", ["/a/", "/a/b", "/a/b/c"], ["/a", "/b"]),
        ("/a/***", ["/a/b/c"], ["/a"]),
        ("/**x*y", ["/xy", "/a/xby", "/xa/xby", "/x/x/xy"], ["/x/y"]),
        ("/*", ["/a", "/"], ["/a/b", ""]),
    ],
)
def test_what_a_glob_of_paths_matches(
    glob: str, matched: Sequence[str], others: Sequence[str]
) -> None:
    """Only two stars go from one directory into another."""
    pattern = path_pattern(glob)
    assert [text for text in (*matched, *others) if pattern.match(text)] == matched


def test_the_case_of_letters_counts_unless_it_is_said_not_to() -> None:
    """As newer versions of libvirt call their drivers by capitals."""
    assert name_pattern("QE*[m-n]u", any_case=True).match("qemU")
    assert not name_pattern("QE*u").match("qemu")


#: Parts of globs, each with the characters that it stands for.
_ONE = {"a": "a", "b": "b", "/": "/", ".": ".", "?": "ab./", "[ab]": "ab", "[!a]": "b./"}
_globs = st.lists(st.sampled_from([*_ONE, "*", "*"]), max_size=10)
_texts = st.text("ab./", max_size=12)


def _matches(parts: Sequence[str], text: str, in_path: bool) -> bool:
    """Return what any implementation has to: all ways to match are tried."""
    wildcards: list[str] = []
    for part, group in groupby(parts):
        count = len(list(group))
        wildcards += ["*" if count == 1 or not in_path else "**"] if part == "*" else [part] * count

    @cache
    def rest(wildcard: int, at: int) -> bool:
        if wildcard == len(wildcards):
            return at == len(text)
        part = wildcards[wildcard]
        here = text[at : at + 1]
        if part in {"*", "**"}:
            takes = here and (part == "**" or not in_path or here != "/")
            return rest(wildcard + 1, at) or bool(takes and rest(wildcard, at + 1))
        in_one = here != "/" or not in_path or part == "/"
        return bool(here and here in _ONE[part] and in_one and rest(wildcard + 1, at + 1))

    return rest(0, 0)


@pytest.mark.lengthy
@settings(max_examples=examples(500), deadline=None)
@given(_globs, _texts)
def test_no_way_to_match_is_missed(parts: list[str], text: str) -> None:
    """Though each part between two stars is looked for only once."""
    glob = "".join(parts)
    assert bool(name_pattern(glob).match(text)) == _matches(parts, text, in_path=False)
    assert bool(path_pattern(glob).match(text)) == _matches(parts, text, in_path=True)


@given(st.text("ab*?[]!-^/\\\n", max_size=12), st.text("ab*?[]!-^/\\\n", max_size=12))
def test_any_text_is_a_glob(glob: str, text: str) -> None:
    """However its brackets stand."""
    for make in (name_pattern, path_pattern):
        make(glob).match(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (name_pattern("*a" * 30 + "b"), "a" * 10_000),
        (path_pattern("/" + "*a" * 30 + "b"), "/" + "a" * 255),
        (path_pattern("**/" + "a*" * 30 + "b"), "/a" * 2000),
        (path_pattern("/a**" * 10 + "b"), "/a" * 2000),
    ],
    ids=["name", "segment", "path", "directories"],
)
def test_a_name_that_nearly_matches_takes_no_longer(pattern: re.Pattern[str], text: str) -> None:
    """If every way were tried, none of these would end in this world's time."""
    assert not pattern.match(text)
