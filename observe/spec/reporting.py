"""Reports that a site makes by itself.

Source: our own (`observe/v1`, `reports:` of kind `Site`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from observe.spec.quantity import Malformed
from observe.spec.schedule import Cron, Zone
from observe.spec.written import Duration, Name, Written

Format = Literal["html", "md", "json"]
_HOUR_S, _YEAR_S = 3600.0, 366 * 86_400.0


def _period(length_s: float) -> float:
    if not _HOUR_S <= length_s <= _YEAR_S:
        raise Malformed("a report tells of an hour at least, of a year at most", "last: 7d")
    return length_s


class ReportSpec(Written):
    """A drift report of one model, made again and again and kept."""

    model: Name
    cron: Cron
    timezone: Zone = "UTC"
    last_s: Annotated[Duration, AfterValidator(_period)] = Field(default=7 * 86_400.0, alias="last")
    format: Annotated[tuple[Format, ...], Field(min_length=1)] = ("html", "json", "md")
    evidently: bool = True
