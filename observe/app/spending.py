"""The spend log of a LiteLLM gateway, read on: from where the last reading ended, with some overlap.

A target that names no path is asked page by page (`/spend/logs/v2`, LiteLLM 1.80 and newer); one that
ends in `/spend/logs` is asked day by day, which any version answers. Rows are stored as those of the
gateway's callback, source `litellm`, so that a call told by both is one attempt: the store knows what
came in the last two hours, and for windows that begin earlier its rows are asked.

Source: our own; the API in `collectors.spendlogs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import polars as pl

from collectors import litellm, spendlogs
from collectors.instants import instant, micros
from observe.app.intake import Intake, Taken
from observe.errors import SourceError

if TYPE_CHECKING:
    from observe.schema import Parsed
    from observe.store import Store

SOURCE: Final = "litellm"  # one name for callback, files and spend log
OVERLAP: Final = timedelta(minutes=15)  # a call is logged at its end, under its start; the gateway writes in batches
FIRST: Final = timedelta(hours=1)  # how far back the first reading goes
OLDEST: Final = timedelta(days=7)
REMEMBERED: Final = timedelta(minutes=90)  # windows that begin earlier are compared with what is stored
PAGE_SIZE: Final = 100  # the most the gateway gives
MAX_PAGES: Final = 200  # of one reading; a window with more is halved
_SHORTEST: Final = timedelta(seconds=2)  # the log is asked by the second


@dataclass(frozen=True, slots=True)
class Gateway:
    """One target: under which collector, with which labels, and how to ask it."""

    collector: str
    target: str
    labels: Mapping[str, str]
    get: Callable[[str], bytes]

    @property
    def key(self) -> str:
        """Of what is remembered about it."""
        return f"spendlogs/{self.collector}/{self.target}"

    def days(self) -> bool:
        """Whether it is asked day by day."""
        return urlsplit(self.target).path.rstrip("/").endswith("/spend/logs")

    def ask(self, **query: object) -> spendlogs.Page:
        """One answer.

        Raises:
            SourceError: it cannot be reached or refuses.
            PayloadError: it is no spend log.
        """
        path = "" if self.days() else "/spend/logs/v2"
        return spendlogs.read(self.get(f"{self.target.rstrip('/')}{path}?{urlencode(query)}"))


def spend(gateway: Gateway, intake: Intake, store: Store, at: datetime) -> Taken:
    """Read what is new and queue it; when it is durable, the next reading begins there.

    Raises:
        SourceError: the gateway cannot be reached or refuses.
        PayloadError: it answers something else.
        Overloaded: the queue is full.
    """
    mark = store.state([gateway.key]).get(gateway.key, {}).get("until")
    since = datetime.fromisoformat(mark) - OVERLAP if mark else at - FIRST
    since = max(since, at - OLDEST)
    items, until = _by_day(gateway, since, at) if gateway.days() else _by_page(gateway, since, at)
    told = intake.told({"source": SOURCE, **gateway.labels})
    parsed = litellm.attempts(items, at, told)
    if at - since > REMEMBERED:
        parsed = _unknown(parsed, store, since)
    taken = intake.store_parsed(SOURCE, parsed, batch_id="")
    taken.wait()
    with store.change() as tx:
        tx.set_state(gateway.key, {"until": until.isoformat()})
    return taken


def _by_page(gateway: Gateway, since: datetime, until: datetime) -> tuple[list[Any], datetime]:
    """The rows that began in [since, until], and the end of what was read, which may be earlier.

    Raises:
        SourceError: even two seconds have more than 200 pages.
    """
    while True:
        query = {
            "start_date": _second(since),
            "end_date": _second(until + timedelta(seconds=1)),
            "page_size": PAGE_SIZE,
        }
        first = gateway.ask(page=1, **query)
        if first.pages <= MAX_PAGES:
            break
        if until - since < _SHORTEST:
            raise SourceError(
                f"{gateway.target}: tells of {first.pages} pages of calls within two seconds, at most {MAX_PAGES} are "
                f"read; if that is true, send them by the gateway's callback (type litellm)"
            )
        until = since + (until - since) / 2
    items = list(first.items)
    for page in range(2, first.pages + 1):
        items += gateway.ask(page=page, **query).items
    return items, until


def _by_day(gateway: Gateway, since: datetime, until: datetime) -> tuple[list[Any], datetime]:
    """The rows that began since, out of whole days; the gateway takes the midnight after a day as its end."""
    items: list[Any] = []
    day, low = since.astimezone(UTC).date(), micros(since)
    while day <= until.astimezone(UTC).date():
        page = gateway.ask(start_date=day, end_date=day + timedelta(days=1), summarize="false")
        items += [item for item in page.items if not _before(item, low)]
        day += timedelta(days=1)
    return items, until


def _before(item: Any, low: int) -> bool:
    start = instant(item.get("startTime")) if isinstance(item, dict) else None
    return start is not None and start < low


def _second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _unknown(parsed: Parsed, store: Store, since: datetime) -> Parsed:
    """The same without attempts that are stored already."""
    rows = parsed.tables.get("attempt")
    if rows is None:
        return parsed
    sql = "select attempt_id from attempt where source = $source and ts >= $since::TIMESTAMPTZ"
    stored = store.read(sql, {"source": SOURCE, "since": since})["attempt_id"]
    fresh = rows.filter(~pl.col("attempt_id").is_in(stored.implode()))
    known = rows.height - fresh.height
    rejected = {**parsed.rejected, "duplicate": known} if known else parsed.rejected
    return replace(parsed, tables={"attempt": fresh} if fresh.height else {}, rejected=rejected)
