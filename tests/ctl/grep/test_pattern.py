"""Which regular expressions can be searched for, and what is said of the others."""

from __future__ import annotations

import pytest

from twisted_virtlog.ctl.grep.pattern import BadPattern, compile_pattern


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("[", "unterminated character set at position 0"),
        ("a(b", "missing ), unterminated subpattern at position 1"),
        ("(?<=a*)b", "look-behind requires fixed-width pattern"),
        ("a{99999999999}", "the repetition number is too large"),
        ("é*", "write (?:é) before *"),
        ("[äö]", "write (?:ä|...) instead of a set"),
        ("[]é]", "write (?:é|...) instead of a set"),
        ("[^]é]", "write (?:é|...) instead of a set"),
        ("(?u)a", "flag with a bytes pattern"),
        ("(" * 5000 + ")" * 5000, "nested too deeply"),
    ],
)
def test_a_bad_one_says_why(expression: str, says: str) -> None:
    """In the words of Python, or of this program where they would mean something else."""
    with pytest.raises(BadPattern) as caught:
        compile_pattern(expression)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("é", "é".encode()),
        ("(?:é)*b", "éééb".encode()),
        (r"é\*", "é*".encode()),
        ("[a]é", "aé".encode()),
        ("\udcff", b"\xff"),
        (r"[\xe9]", b"\xe9"),
        ("[[]", b"["),
        ("[a^]é", "^é".encode()),
        (r"[a\]]é", "]é".encode()),
        ("[^]]é", "aé".encode()),
        ("[[]é", "[é".encode()),
    ],
)
def test_characters_are_their_bytes(expression: str, text: bytes) -> None:
    """Of UTF-8; bytes that are none come from the command line as surrogates."""
    assert compile_pattern(expression).fullmatch(text)


def test_case_is_that_of_ascii() -> None:
    """The only letters of which bytes know it."""
    assert compile_pattern("KERNEL é", ignore_case=True).fullmatch("kernel é".encode())
    assert not compile_pattern("É", ignore_case=True).fullmatch("é".encode())
