"""What an objective's numbers mean, in words: when its budget is gone, what it cannot see, what its burn rates say.

Source: our own; the numbers are those of the view `slo_status`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dashboards import words

Row = Mapping[str, Any]
UNSURE = ("too_few", "unknown", "none")  # states in which no number is worth showing


def period(row: Row) -> str:
    """The period its budget is for.

    >>> period({"window_kind": "rolling", "window_s": 2592000.0})
    'the last 30 d'
    """
    if row.get("window_kind") == "calendar" and row.get("window_to"):
        last = row["window_to"] - timedelta(minutes=1)
        return f"the period {_day(row['window_from'])} – {_day(last)}"
    return f"the last {words.span(row['window_s'])}" if row.get("window_s") else words.UNKNOWN


def measured(row: Row) -> str | None:
    """The share of good ones, with as many digits as tell it from what is promised; None where nothing counts.

    >>> measured({"sli": 0.98984, "objective": 0.99})
    '98.98 %'
    """
    if not words.known(row["sli"]):
        return None
    return words.share(row["sli"], max(1, math.ceil(-math.log10(1 - float(row["objective"])) - 1e-9)))


def gone(row: Row, now: datetime) -> str:
    """When the budget is gone, short enough for a table's cell."""
    if row["state"] in UNSURE or not words.known(row["budget_left"]):
        return words.UNKNOWN
    if row["budget_left"] <= 0:
        return "spent"
    if row.get("forecast_until") is None:
        return words.UNKNOWN
    low, best, high = row["exhausted_low"], row["exhausted_at"], row["exhausted_high"]
    if best is not None:
        return f"in {_span(best - now)} ({_span(low - now)} – {_span(high - now) if high else 'never'})"
    return f"no; not before {_at(low, now)}" if low else f"not before {_at(row['forecast_until'], now)}"


def outlook(row: Row, now: datetime) -> str:
    """When the budget is gone, as a sentence with its interval and what it rests on."""
    left = row["budget_left"]
    if not words.known(left):
        return "Nothing is known of its budget yet."
    if left <= 0:
        return f"The budget of {period(row)} is spent: the objective is missed as things stand."
    if row.get("forecast_until") is None:
        return "Too little is known to say when the budget is gone."
    low, best, high = row["exhausted_low"], row["exhausted_at"], row["exhausted_high"]
    goes = (
        "If the burn goes on as since its onset"
        if row["forecast_basis"] == "since the onset"
        else "If the last days go on"
    )
    if best is None and low is None:
        return f"{goes}, the budget lasts beyond {_at(row['forecast_until'], now)} (95 % sure)."
    if best is None:
        return f"{goes}, the budget lasts; at the worst (95 %) it is gone {_at(low, now)}."
    until = f"{_at(high, now)}" if high else f"never before {_at(row['forecast_until'], now)}"
    return f"{goes}, the budget is gone in {_span(best - now)}, {_at(best, now)} (95 %: {_at(low, now)} to {until})."


def blind(row: Row, events: str = "requests") -> list[str]:
    """What this objective's alarms cannot see, in sentences; the numbers come from the detector."""
    if not row.get("forecast_until") and not words.known(row.get("found_24h")):
        return ["Not known yet: there was too little traffic to say what would be found."]
    if not words.known(row.get("found_24h")):
        return [
            "At the present traffic not even a total outage of a day would be told from chance: this objective watches nobody's sleep."
        ]
    day = float(row["found_24h"])
    said = [
        f"A burn of {_times(day)} and more is found within a day, in nine of ten cases.",
        _within_an_hour(row, events),
    ]
    if day > 1:
        spent = _span(timedelta(seconds=float(row["window_s"]) / day))
        said.append(
            f"So a burn just below {_times(day)} may go a day without an alarm; it would spend the whole budget in {spent}."
        )
    return said


def _within_an_hour(row: Row, events: str) -> str:
    if not words.known(row.get("found_1h")):
        return "Within an hour not even a total outage is found."
    burn = float(row["found_1h"])
    return f"Within an hour it takes {_times(burn)}{_share(burn, row, events)}."


def raised(events: str) -> str:
    """What would make it see more."""
    return f"More {events}, a lower objective or a larger share of the false-alarm budget (falseAlarms, share) would lower these."


def gaps(row: Row) -> str | None:
    """How long nothing was known of it; None when nothing is missing."""
    lost = row.get("gaps_s")
    return f"{words.span(float(lost))} without data: neither good nor bad" if lost else None


def _times(value: float) -> str:
    return f"{words.number(value, 2 if value < 100 else 3)}×"


def _share(burn: float, row: Row, events: str) -> str:
    share = burn * (1 - float(row["objective"]))
    return " (a total outage)" if share > 0.995 else f" ({words.share(share)} of {events} bad)"


def _span(length: timedelta) -> str:
    seconds = max(0.0, length.total_seconds())
    if seconds < 60:
        return "< 1 min"
    size = 86400 if seconds >= 10 * 86400 else 3600 if seconds >= 86400 else 60
    return words.span(float(round(seconds / size) * size))


def _at(instant: datetime, now: datetime) -> str:
    return words.clock(instant, now) if instant - now < timedelta(days=3) else _day(instant)


def _day(instant: datetime) -> str:
    return f"{instant.day} {instant:%b}"
