"""The figures of the page are taken."""

from __future__ import annotations

import pytest

from bench import page

_SEEN = {"seen", "flood", "memory", "rows", "jump", "load", "restarts"}


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.chromium, pytest.mark.slow] if kind in _SEEN else [])
        for kind in page.KINDS
    ],
)
def test_each_figure_is_found(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether a goal is met depends on the machine, but that nothing is missing."""
    assert page.main(["--quick", "--only", kind]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert rows
    for row in rows:
        assert "nan" not in row
        if "missing unsaid" in row:
            assert row.endswith("yes")
