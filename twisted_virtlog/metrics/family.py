"""What a family of metrics is: its name, its meaning, its type and its labels."""

from __future__ import annotations

import enum

from msgspec import Struct


class Kind(enum.Enum):
    """The type of a family. The values are those of Prometheus and OpenMetrics."""

    #: It only grows, but for a new beginning.
    COUNTER = "counter"
    GAUGE = "gauge"
    #: How many of what was measured took how long.
    HISTOGRAM = "histogram"
    #: Its labels are all that it says.
    INFO = "info"


class Family(Struct, frozen=True):
    """Metrics of one name.

    :ivar name: without what the type adds to it, as ``_total`` of a counter.
    :ivar help: what it is, in one line.
    :ivar labels: the names of its labels, sorted.
    :ivar unit: the unit that ends the name; empty for none.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def sample(self) -> str:
        """The name of its samples, but for a histogram's."""
        if self.kind is Kind.COUNTER:
            return f"{self.name}_total"
        return f"{self.name}_info" if self.kind is Kind.INFO else self.name
