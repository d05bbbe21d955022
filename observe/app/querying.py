"""Prometheus asked about SLOs: which questions a configuration has, and one of them asked on from where it ended.

How far an SLO was asked is kept under `promql/<slo_id>`; summaries go no further. While Prometheus cannot be reached
nothing is said about the time; when it can, up to a day is asked after. Minutes of which it then knows nothing are
gaps.

Source: our own; Prometheus documentation, "HTTP API".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from alerts import counting
from alerts.promql import within
from collectors import promql
from observe.app import countable
from observe.app.intake import Intake, Taken
from observe.errors import ObserveError
from observe.schema import Parsed
from observe.summaries.promises import BAD, PULLED, TOTAL

if TYPE_CHECKING:
    from observe.spec.config import Model
    from observe.store import Store

TYPE: Final = "promql"
DELAY: Final = timedelta(seconds=30)  # so long after a minute its last scrape is there
FIRST: Final = timedelta(hours=1)  # how far back the first question goes
OLDEST: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Question:
    """One SLO whose events a Prometheus counts."""

    slo_id: str
    total: str  # expressions over the range
    errors: str
    over_s: float

    @property
    def key(self) -> str:
        """Of what is remembered about it."""
        return f"{PULLED}{self.slo_id}"


def questions(models: Mapping[str, Model]) -> Iterator[tuple[str, Question]]:
    """What is asked, with the collector that asks it.

    Raises:
        ConfigError: an expression cannot be counted.
    """
    for model in models.values():
        for slo in model.monitoring.slos if model.monitoring else ():
            seen = slo.prometheus
            if slo.kind == "prometheus" and seen is not None and seen.source is not None:
                sli = countable.counted(slo)
                assert sli is not None
                total, errors = (within(counting.summed(e), seen.over_s) for e in (sli.total, sli.errors))
                yield seen.source, Question(f"{model.name}.{slo.name}", total, errors, seen.over_s)


def ask(
    question: Question, get: Callable[[str], bytes], target: str, answers: tuple[Intake, Store], at: datetime
) -> Taken:
    """Ask what is new and queue it; when it is durable, the next question begins there.

    Args:
        question: what is asked.
        get: reads an address.
        target: of the Prometheus.
        answers: where rows go, and where it is kept how far was asked.
        at: the present.

    Raises:
        SourceError: it cannot be reached, or refuses.
        PayloadError: it answers something else.
    """
    intake, store = answers
    mark = store.state([question.key]).get(question.key, {}).get("until")
    until = _minute(at - DELAY)
    since = max(datetime.fromisoformat(mark), until - OLDEST) if mark else until - FIRST
    parsed = Parsed({}, 0)
    if until > since:
        parsed = _asked(question, get, target, (since, until), at)
    taken = intake.store_parsed(
        TYPE, parsed, batch_id=f"{question.key}/{since.isoformat()}/{until.isoformat()}", admitted=True
    )
    taken.wait()
    if until > since:
        with store.change() as tx:
            tx.set_state(question.key, {"until": until.isoformat()}, None)
    return taken


def minutes(question: Question, get: Callable[[str], bytes], target: str, at: datetime) -> int:
    """Minutes of the last hour of which a Prometheus knows how many events there were.

    Raises:
        SourceError: it cannot be reached, or refuses.
        PayloadError: it answers something else.
    """
    until = _minute(at - DELAY)
    return promql.parse(get(promql.url(target, question.total, until - FIRST, until)), at, {}).items


def _minute(at: datetime) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // 60 * 60, UTC)


def _asked(
    question: Question, get: Callable[[str], bytes], target: str, span: tuple[datetime, datetime], at: datetime
) -> Parsed:
    labels = {"series": json.dumps({"slo_id": question.slo_id}), "over_s": str(question.over_s)}
    found = []
    for metric, expression in ((TOTAL, question.total), (BAD, question.errors)):
        body = get(promql.url(target, expression, *span))
        found.append(promql.parse(body, at, {**labels, "metric": metric}))
    frames = [p.tables["metric_sample"] for p in found if p.tables]
    rejected = {reason: sum(p.rejected.get(reason, 0) for p in found) for p in found for reason in p.rejected}
    tables = {"metric_sample": pl.concat(frames)} if frames else {}
    return replace(found[0], tables=tables, offered=sum(p.offered for p in found), rejected=rejected)


def first_answer(
    targets: tuple[str, ...], call: Callable[[str], Taken], failed: Callable[[str, str], None]
) -> tuple[str, Taken] | None:
    """The first target that answers, and its answer; replicas of one Prometheus say the same, so others are not asked.

    Args:
        targets: replicas, in order.
        call: asks one.
        failed: is told of those that did not answer, and why.

    Returns:
        None when none does.
    """
    for target in targets:
        try:
            return target, call(target)
        except ObserveError as error:
            failed(target, str(error))
    return None
