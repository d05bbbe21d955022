"""The period an SLO's budget is for: the last so long, or a day, week, month or quarter of some place's calendar.

A budget of a calendar period starts anew at local midnight, so a day may have 23 or 25 hours and a month 28 to 31
days. What must not change from month to month (burn factors, which tiers can fire) goes by the nominal length.

Source: our own; OpenSLO v1 has the same two kinds of `timeWindow`; ISO 8601 for weeks, which begin on Monday;
IANA time zones.
Assumes: nominal months of 30 d and quarters of 90 d; a burn factor is off by at most 7 % in a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import Discriminator, Field, Tag

from observe.schema import Json
from observe.spec.quantity import write_duration
from observe.spec.schedule import Zone
from observe.spec.written import Duration, Written

Unit = Literal["day", "week", "month", "quarter"]
DAY_S: Final = 86_400.0
NOMINAL_S: Final[Mapping[str, float]] = {"day": DAY_S, "week": 7 * DAY_S, "month": 30 * DAY_S, "quarter": 90 * DAY_S}
_MONTHS: Final = {"month": 1, "quarter": 3}


class Calendar(Written):
    """A period of a calendar: its unit, and the zone in which it begins at midnight."""

    calendar: Unit
    time_zone: Zone = Field(default="UTC", alias="timeZone")


def _kind(value: Any) -> str:
    return "of a calendar" if isinstance(value, Mapping | Calendar) else "rolling"


Span = Annotated[Annotated[Duration, Tag("rolling")] | Annotated[Calendar, Tag("of a calendar")], Discriminator(_kind)]


def length_s(span: float | Calendar) -> float:
    """The nominal length of a period, s."""
    return NOMINAL_S[span.calendar] if isinstance(span, Calendar) else span


def as_json(span: float | Calendar) -> Json:
    """A period as a Monitor's `params["window"]` holds it."""
    if isinstance(span, Calendar):
        return {"kind": "calendar", "unit": span.calendar, "time_zone": span.time_zone, "length_s": length_s(span)}
    return {"kind": "rolling", "length_s": span}


def written(window: Json) -> str:
    """A period for people.

    >>> written({"kind": "rolling", "length_s": 2592000.0})
    '30d'
    >>> written({"kind": "calendar", "unit": "month", "time_zone": "Europe/Berlin", "length_s": 2592000.0})
    'calendar month (Europe/Berlin)'
    """
    if window["kind"] == "calendar":
        return f"calendar {window['unit']} ({window['time_zone']})"
    return write_duration(window["length_s"])


def period(window: Json, at: datetime) -> tuple[datetime, datetime]:
    """The period an instant lies in, half-open: `start <= at < end`; of a rolling one, the length before `at`.

    Args:
        window: `params["window"]` of a burn Monitor, see `as_json`.
        at: an aware instant. An instant on the boundary belongs to the period that begins there.

    Returns:
        Start and end, aware UTC.

    >>> month = {"kind": "calendar", "unit": "month", "time_zone": "Europe/Berlin"}
    >>> [t.isoformat() for t in period(month, datetime(2026, 3, 15, tzinfo=UTC))]
    ['2026-02-28T23:00:00+00:00', '2026-03-31T22:00:00+00:00']
    """
    if window["kind"] != "calendar":
        return at - timedelta(seconds=window["length_s"]), at
    zone, unit = ZoneInfo(window["time_zone"]), window["unit"]
    begin = first(at.astimezone(zone).date(), unit)
    return _midnight(begin, zone), _midnight(_next(begin, unit), zone)


def first(day: date, unit: str) -> date:
    """The first day of the unit (day, week, month, quarter) a day lies in.

    >>> first(date(2026, 11, 21), "quarter"), first(date(2026, 11, 21), "week")
    (datetime.date(2026, 10, 1), datetime.date(2026, 11, 16))
    """
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[unit]
    return day.replace(month=(day.month - 1) // months * months + 1, day=1)


def _next(begin: date, unit: str) -> date:
    """The first day of the unit after one."""
    if unit in _MONTHS:
        months = begin.month - 1 + _MONTHS[unit]
        return date(begin.year + months // 12, months % 12 + 1, 1)
    return begin + timedelta(days=7 if unit == "week" else 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day; where midnight is skipped, the moment the clock jumps over it.

    `fold=0` takes the offset before a jump, so a midnight that does not exist is the instant of the jump when
    that begins at midnight, which is the rule wherever clocks change at midnight (Beirut, Cairo, Santiago).
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
