"""What a page shows: the time range, cluster and model of its URL, resolved to instants.

The URL is a public API: `?range=24h&cluster=eu-west`, or `?from=...&to=...` in ISO 8601. Alerts
link to it, brushing a chart writes it, and every link of a page keeps it.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from dashboards.reader import Value

RANGES: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30),
}  # fmt: skip
DEFAULT_RANGE = "24h"
BUCKETS_S = (10, 30, 60, 300, 900, 1800, 3600, 7200, 21600, 86400)  # widths a chart may use, s
MAX_BUCKETS = 100  # more than a chart of 600 px can show
KEPT = ("range", "from", "to", "cluster", "theme_hint")  # parts of the URL that links keep
GPU_RECENT = timedelta(minutes=15)  # "now" of a device


@dataclass(frozen=True, slots=True)
class Scope:
    """One page view: half-open range `[start, end)` in UTC, filters ("" means all), theme and the URL's own parts."""

    start: datetime
    end: datetime
    now: datetime
    cluster: str
    model: str
    theme: str
    query: Mapping[str, str]

    @property
    def bucket_s(self) -> int:
        """Width of a time bucket, s: the narrowest that keeps a chart within `MAX_BUCKETS`."""
        seconds = (self.end - self.start).total_seconds()
        return next((b for b in BUCKETS_S if seconds / b <= MAX_BUCKETS), BUCKETS_S[-1])

    @property
    def params(self) -> dict[str, Value]:
        """The parameters that every query of a page may name."""
        return {
            "start": self.start, "end": self.end, "now": self.now, "bucket": self.bucket_s,
            "cluster": self.cluster, "model": self.model, "recent": self.end - GPU_RECENT,
        }  # fmt: skip

    def link(self, path: str = "", **change: str | None) -> str:
        """`path` with this view's query string, parts replaced; None drops one."""
        kept = {k: v for k, v in self.query.items() if k in KEPT}
        merged = {k: v for k, v in {**kept, **change}.items() if v}
        return path + ("?" + urlencode(merged) if merged else "" if path else "?")

    @property
    def range_name(self) -> str:
        """The named range in use, or "" for an absolute one."""
        if "from" in self.query:
            return ""
        name = self.query.get("range", DEFAULT_RANGE)
        return name if name in RANGES else DEFAULT_RANGE


def scope(params: Mapping[str, str]) -> Scope:
    """The view that `params` ask for; a value that cannot be read falls back to the default.

    Args:
        params: the URL's query, the path's `name`, and `now` (ISO, UTC) and `theme` from the shell.
    """
    now = _instant(params.get("now", "")) or datetime(1970, 1, 1, tzinfo=UTC)
    start, end = _instant(params.get("from", "")), _instant(params.get("to", ""))
    query = {k: v for k, v in params.items() if k not in ("now", "theme", "name")}
    if start is None or (end or now) <= start:
        query = {k: v for k, v in query.items() if k not in ("from", "to")}
        end = now
        start = end - RANGES.get(params.get("range", ""), RANGES[DEFAULT_RANGE])
    theme = "light" if params.get("theme") == "light" else "dark"
    return Scope(start, end or now, now, params.get("cluster", ""), params.get("model", ""), theme, query)


def everywhere(view: Scope) -> str:
    """That incidents are no fewer where the page is of one cluster; "" where it is of all."""
    return f"of all clusters, not only {view.cluster}: an incident has no cluster of its own" if view.cluster else ""


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
