"""The text that Prometheus reads: its own format, version 0.0.4, and OpenMetrics 1.0.

Samples are the same in both; what stands above those of a family, and the end, is not. Tests hold
this to the byte to what the library prometheus_client writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from twisted_virtlog.metrics.family import Family, Kind

#: From here on, numbers are written with an exponent, as Go's library writes them.
_LARGE = 1_000_000
_DIGITS_OF_LARGE = 6

#: Up to here a whole number has the digits that the float of the same value has.
_EXACT = 10**15

#: What stands at the end of OpenMetrics.
_END = "# EOF\n"


class Format(Struct, frozen=True):
    """One of the two formats.

    :ivar media_type: for HTTP's Content-Type.
    :ivar end: what stands after all families.
    """

    media_type: str
    end: str

    def head(self, family: Family) -> str:
        """Return what stands before the samples of a family."""
        if self.end:
            return _open_head(family)
        kind = Kind.GAUGE if family.kind is Kind.INFO else family.kind
        name = family.sample
        return f"# HELP {name} {_plain_help(family.help)}\n# TYPE {name} {kind.value}\n"


PLAIN = Format("text/plain; version=0.0.4; charset=utf-8", "")
OPEN_METRICS = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", _END)


def _open_head(family: Family) -> str:
    name = family.name
    unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    return f"# HELP {name} {_escaped(family.help)}\n# TYPE {name} {family.kind.value}\n{unit}"


def number(value: float) -> str:
    """Return a number as Go's library writes it."""
    if value.__class__ is int and -_LARGE < value < _EXACT:
        if value < _LARGE:
            return f"{value}.0"
        text = str(value)
        digits = f"{text[0]}.{text[1:]}".rstrip("0.")
        return f"{digits}e+{len(text) - 1:02d}"
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    dot = text.find(".")
    if value > 0 and dot > _DIGITS_OF_LARGE:
        digits = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{digits}e+{dot - 1:02d}"
    return text


def labels(names: Sequence[str], values: Sequence[str]) -> str:
    """Return labels as they stand behind a name; nothing if there are none."""
    if not names:
        return ""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}"


def samples(family: Family, values: Iterable[tuple[Sequence[str], float]]) -> Iterator[str]:
    """Yield the lines of a family's samples.

    :param values: the values of the labels, and the number, of each.
    """
    name, names = family.sample, family.labels
    for of_labels, value in values:
        yield f"{name}{labels(names, of_labels)} {number(value)}\n"


def histogram(
    family: Family,
    values: Sequence[str],
    bounds: Sequence[float],
    counts: Sequence[int],
    total: float,
) -> Iterator[str]:
    """Yield the lines of a histogram.

    :param values: of its labels.
    :param bounds: up to which each bucket goes, without the last one.
    :param counts: what is in each bucket alone, one more than there are bounds.
    :param total: the sum of all that was measured.
    """
    name, names = family.name, family.labels
    # (labels are sorted by their names)
    before = sum(one < "le" for one in names)
    bucket_names = (*names[:before], "le", *names[before:])
    count = 0
    for bound, in_bucket in zip((*bounds, math.inf), counts, strict=True):
        count += in_bucket
        bucket = (*values[:before], number(bound), *values[before:])
        yield f"{name}_bucket{labels(bucket_names, bucket)} {number(count)}\n"
    of_all = labels(names, values)
    yield f"{name}_count{of_all} {number(count)}\n"
    yield f"{name}_sum{of_all} {number(total)}\n"


def _plain_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escaped(text: str) -> str:
    """Return a label's value as it stands between quotes; bytes that are no text are told apart."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return text
