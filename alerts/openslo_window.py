"""OpenSLO's time windows, read and written: the last so long, or a day, week, month or quarter of a place's calendar.

A calendar window repeats from its `startTime` on. What can be kept begins at local midnight, weeks on Monday, months
on the first, quarters in January, April, July and October; another start or length is refused with its place.

Source: OpenSLO specification v1, `SLO`, field `timeWindow` (one item; duration shorthand m h d w M Q Y).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from typing import Any, Final, NamedTuple

from alerts.reading import Field
from observe.spec.periods import DAY_S, NOMINAL_S, first
from observe.spec.quantity import write_duration
from observe.spec.schedule import check_zone

PERIOD_S: Final = 30 * DAY_S  # where no timeWindow is given
_UNITS: Final[Mapping[str, str]] = {
    "1d": "day", "24h": "day", "1w": "week", "7d": "week", "1M": "month", "1Q": "quarter", "3M": "quarter",
}  # fmt: skip
_WRITTEN: Final[Mapping[str, tuple[str, str]]] = {  # duration and a first instant, by unit; 2026-01-05 is a Monday
    "day": ("1d", "2026-01-01 00:00:00"), "week": ("1w", "2026-01-05 00:00:00"),
    "month": ("1M", "2026-01-01 00:00:00"), "quarter": ("1Q", "2026-01-01 00:00:00"),
}  # fmt: skip


class Period(NamedTuple):
    """The period of an SLO: its length, s, nominal for a calendar's; and the calendar's unit and time_zone."""

    window_s: float
    calendar: Mapping[str, str] = {}


def period(spec: Field) -> Period:
    """The period that the `spec` of an SLO names.

    Raises:
        ConfigError: it cannot be kept.
    """
    windows = list(spec("timeWindow").items())
    if len(windows) > 1:
        raise spec("timeWindow").refused("an SLO has one time window", "write two SLOs")
    if not windows:
        if spec("timeWindow").given:
            raise spec("timeWindow").refused("timeWindow is a list of one window", "[{duration: 30d, isRolling: true}]")
        spec.note(f"no timeWindow is given: taken for the last {write_duration(PERIOD_S)}")
        return Period(PERIOD_S)
    [window] = windows
    rolls = window("isRolling").flag(not window("calendar").given)
    return _rolling(window) if rolls else _calendar(window)


def written(window_s: float, calendar: Mapping[str, str]) -> dict[str, Any]:
    """The item of `timeWindow` that says a period.

    >>> written(2592000.0, {"unit": "month", "time_zone": "Europe/Berlin"})["calendar"]
    {'startTime': '2026-01-01 00:00:00', 'timeZone': 'Europe/Berlin'}
    """
    if not calendar:
        return {"duration": write_duration(window_s), "isRolling": True}
    duration, start = _WRITTEN[calendar["unit"]]
    told = {"startTime": start, "timeZone": calendar["time_zone"]}
    return {"duration": duration, "isRolling": False, "calendar": told}


def _rolling(window: Field) -> Period:
    if window("calendar").given:
        hint = "remove calendar, or write isRolling: false"
        raise window("isRolling").refused("a window either rolls or follows a calendar", hint)
    duration = window("duration")
    seconds = duration.seconds()
    if duration.text()[-1] in "MQY":
        duration.note(f"a rolling {duration.text()} is {write_duration(seconds)}")
    return Period(seconds)


def _calendar(window: Field) -> Period:
    calendar, duration = window("calendar"), window("duration").needed()
    if not calendar.given:
        hint = 'calendar: {startTime: "2026-01-01 00:00:00", timeZone: Europe/Berlin}, or isRolling: true'
        raise window("isRolling").refused("a window that does not roll needs its calendar", hint)
    if duration not in _UNITS:
        hint = "1d, 1w, 1M or 1Q; or the last so long, without calendar: isRolling: true"
        raise window("duration").refused(f"no calendar period of {duration} is kept", hint)
    unit, zone = _UNITS[duration], calendar("timeZone").needed()
    with calendar("timeZone").refusing():
        check_zone(zone)
    _begins(calendar("startTime"), unit)
    return Period(NOMINAL_S[unit], {"unit": unit, "time_zone": zone})


def _begins(start: Field, unit: str) -> None:
    """Refuse a first instant that begins no such period of the calendar."""
    text, hint = start.needed(), f"the local midnight on which one begins: {_WRITTEN[unit][1]}"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise start.refused(f"{text!r} is no instant", hint) from None
    if at.tzinfo is not None:
        raise start.refused(f"{text!r} has a zone of its own", "timeZone says where it is: 2026-01-01 00:00:00")
    if at.time() != time(0) or at.date() != first(at.date(), unit):
        raise start.refused(f"a {unit} of the calendar does not begin at {text}", hint)
