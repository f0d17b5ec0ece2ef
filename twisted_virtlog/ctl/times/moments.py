"""Finds the moment at which the clocks of a zone show a time, as the GNU C library's mktime does.

Where clocks are put forward, some times are shown never, and where they are put back, some twice.
mktime(3) chooses then, and so do systemd and all who use it. Its choice follows from the way in
which it looks: it takes the time for one of UTC, asks what clocks of the zone show at that moment,
corrects the moment by the difference, and so on. So a time that comes twice is mostly the second
one east of Greenwich and the first one west of it, and one that is skipped is as long after the
change as it seems to be after it by the clock of before.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

from twisted_virtlog.ctl.times.civil import Civil

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_DAY_S = 86_400
_HOUR_S = 3_600
#: Python's calendar ends with the year 9999; the last of its days are there for zones.
_LAST_S = 253_402_214_400

#: Two or three corrections do for all zones that there are.
_MOST_CORRECTIONS = 6
#: Where mktime looks for the other kind of time: in these steps, up to seven years away.
_STEP_S = 601_200
_FARTHEST_S = 457_243_209 // 2 + _STEP_S


def moment_of(civil: Civil, zone: tzinfo, summer: bool | None = None) -> int | None:
    """Return when clocks of a zone show a time, in microseconds since 1970.

    :param summer: whether it is meant as summer time; None if that is not said.
    :returns: None if it is before 1970, or after 9999.
    """
    # A leap second is the second after the minute's last one.
    second = min(civil.second, 59)
    wall_s = civil.day * _DAY_S + civil.hour * _HOUR_S + civil.minute * 60 + second
    if not -2 * _DAY_S <= wall_s <= _LAST_S + 2 * _DAY_S:
        return None
    found_s = _find(wall_s, zone, summer)
    if found_s is None:
        return None
    moment_s = found_s + civil.second - second
    return moment_s * 1_000_000 + civil.microsecond if moment_s >= 0 else None


def local_time(moment_s: int, zone: tzinfo) -> datetime:
    """Return what the clocks of a zone show.

    :param moment_s: seconds since 1970; what is after 9999 is taken for its end.
    """
    return (EPOCH + timedelta(seconds=min(moment_s, _LAST_S))).astimezone(zone)


def _find(wall_s: int, zone: tzinfo, summer: bool | None) -> int | None:
    guess_s = last_s = last_but_one_s = wall_s
    last_is_summer = False
    for _ in range(_MOST_CORRECTIONS):
        offset_s, is_summer = _offset(guess_s, zone)
        missing_s = wall_s - guess_s - offset_s
        if not missing_s:
            break
        # Two guesses take turns: the time is skipped. Summer time is preferred, as what is shown
        # after the change, or else the kind that was not asked for.
        preferred = last_is_summer <= is_summer if summer is None else summer != is_summer
        if guess_s == last_but_one_s != last_s and preferred:
            return guess_s
        last_but_one_s, last_s, last_is_summer = last_s, guess_s, is_summer
        guess_s += missing_s
    else:
        return None
    if summer is None or summer == is_summer:
        return guess_s
    return _find_other(wall_s, guess_s, zone, summer)


def _find_other(wall_s: int, guess_s: int, zone: tzinfo, summer: bool) -> int:
    """Return the moment by the clock that the zone had, or will have, when it was summer or not."""
    for distance_s in range(_STEP_S, _FARTHEST_S, _STEP_S):
        for near_s in (guess_s - distance_s, guess_s + distance_s):
            offset_s, is_summer = _offset(near_s, zone)
            if is_summer == summer:
                return wall_s - offset_s
    return guess_s + (-_HOUR_S if summer else _HOUR_S)


def _offset(moment_s: int, zone: tzinfo) -> tuple[int, bool]:
    """Return by how many seconds clocks are ahead of UTC, and whether that is summer time."""
    local = local_time(moment_s, zone)
    return round((local.utcoffset() or timedelta()).total_seconds()), bool(local.dst())
