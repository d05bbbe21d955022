"""When something happens again and again: five cron fields in a time zone, as instants in UTC.

Where clocks change, Debian's cron is followed: a time that does not exist happens right after the
gap, one that exists twice happens once.

Source: crontab(5) of Debian; `cronsim` evaluates the fields; IANA time zones.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator

from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Malformed
from observe.spec.written import as_text

OFTENEST: Final = timedelta(hours=1)  # nothing that is scheduled happens more often
_LOOKED_AT: Final = 50  # slots that are compared when a schedule is read
_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_OVERLAP: Final = timedelta(hours=3)  # more than any clock is ever set back


def upcoming(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first slot after an instant; None when there is none within fifty years.

    >>> upcoming("0 7 * * 1", "Europe/Berlin", datetime(2026, 11, 21, tzinfo=UTC))
    datetime.datetime(2026, 11, 23, 6, 0, tzinfo=datetime.timezone.utc)
    """
    slots = _slots(cron, zone, after - _OVERLAP, back=False)
    return next((at for at in slots if at > after), None)


def latest(cron: str, zone: str, now: datetime) -> datetime | None:
    """The newest slot that is not after an instant; None when there was none for fifty years."""
    slots = _slots(cron, zone, now + _OVERLAP, back=True)
    return next((at for at in slots if at <= now), None)


def _slots(cron: str, zone: str, begin: datetime, *, back: bool) -> Iterator[datetime]:
    for at in CronSim(cron, begin.astimezone(ZoneInfo(zone)), reverse=back):
        yield at.astimezone(UTC)


def check_cron(value: Any) -> Any:
    """Refuse a text that is not five cron fields, or that comes more often than once an hour."""
    if not isinstance(value, str):
        return value
    hint = 'five fields: minute hour day month weekday, e.g. "0 7 * * 1" for Mondays at 7:00'
    if len(value.split()) != 5:
        raise Malformed(f"{value!r} has {len(value.split())} fields", hint)
    try:
        slots = list(islice(CronSim(value, _BEGIN), _LOOKED_AT))
    except CronSimError as error:
        raise Malformed(f"{value!r}: {str(error)[:1].lower()}{str(error)[1:]}", hint) from None
    if not slots:
        raise Malformed(f"{value!r} never comes", hint)
    if any(b - a < OFTENEST for a, b in pairwise(slots)):
        raise Malformed(f"{value!r} comes more often than once an hour", hint)
    return value


def check_zone(value: Any) -> Any:
    """Refuse a text that is not the name of a time zone."""
    if isinstance(value, str) and value not in available_timezones():
        raise Malformed(f"no time zone {value!r}", did_you_mean(value, available_timezones()) or "Europe/Berlin, UTC")
    return value


Cron = Annotated[
    str, BeforeValidator(check_cron), as_text("cron fields", r"\S+( +\S+){4}", "0 7 * * 1", "30 6 1 * *")
]  # fmt: skip
Zone = Annotated[str, BeforeValidator(check_zone), as_text("time zone", r"[A-Za-z0-9_+/-]+", "UTC", "Europe/Berlin")]
