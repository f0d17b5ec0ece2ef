"""How many examples the randomised tests try: few in the everyday suite, many in `make stress`."""

from __future__ import annotations

import os

#: How many times as many as in the everyday suite.
EFFORT = int(os.environ.get("EFFORT", "1"))


def examples(everyday: int) -> int:
    """Return how many examples to try, of as many in the everyday suite."""
    return everyday * EFFORT
