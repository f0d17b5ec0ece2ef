"""Times as people write them on a command line.

Commands without a time do not import this, as the zones take some milliseconds.
"""

from datetime import datetime, tzinfo

from twisted_virtlog.ctl.times import grammar
from twisted_virtlog.ctl.times.grammar import NotATime
from twisted_virtlog.ctl.times.zones import local_zone, named_zone

__all__ = ["NotATime", "local_zone", "parse_time"]


def parse_time(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment that a text means; see :mod:`twisted_virtlog.ctl.times.grammar`.

    :param now: an aware time.
    :param zone: the caller's, as :func:`local_zone` finds it.
    :returns: an aware time in the caller's zone.
    :raises NotATime: the text means none.
    """
    return grammar.parse(text, now, zone, named_zone)
