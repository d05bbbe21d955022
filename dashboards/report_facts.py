"""What a drift report knows: every question about a model in a period, and what stands around its answers.

Nothing here is drawn or judged anew: findings are as they were made, and a question that was not
answered, or not lately, is told as that.

Source: our own; METHODS sections 2 to 5.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any, Final, Protocol

import numpy as np
import polars as pl

from observe.schema import Window

Row = Mapping[str, Any]
Medians = tuple[float | None, float | None, float | None, float | None]
STALE: Final = timedelta(hours=3)  # drift is judged on hourly merges: an older judgement says nothing about the end
JUDGED: Final = ("ok", "alarm", "inform_only")
_MOST: Final = 200  # incidents, changes and decisions that are told, each

NEWEST: Final = """
select * exclude (details), details::VARCHAR as details from finding
where kind = 'drift' and model = $model and window_end > $start and window_end <= $end
qualify row_number() over (partition by monitor_id order by if(state = 'unknown', window_end - interval 3 hours, window_end) desc) = 1
"""  # a window without rows does not outweigh what was judged within `STALE` before it
ALARMED: Final = """
select monitor_id, count(*) filter (state in ('ok', 'alarm', 'inform_only')) as windows, min(window_end) filter (state = 'alarm') as first_alarm,
  max(window_end) filter (state = 'alarm') as last_alarm, arg_max(finding_id, window_end) filter (state = 'alarm') as finding_id
from finding where kind = 'drift' and model = $model and window_end > $start and window_end <= $end group by monitor_id
"""
BY_ID: Final = (
    "select * exclude (details), details::VARCHAR as details from finding where list_contains($ids, finding_id)"
)
BINS: Final = """
select binning_id, source_table, feature, kind, edges, levels, reference, quantiles, reference_from, reference_to
from binning where model = $model and kind <> 'pair' and source_table in ('attempts', 'predictions') qualify row_number() over (partition by feature order by version desc, made_at desc) = 1
"""
VALUES: Final = """
select measure, sum(n)::DOUBLE as n, sum(missing)::DOUBLE as missing, sum(nan)::DOUBLE as nan, sum(inf)::DOUBLE as inf,
  min(low) as low, max(high) as high, sum(counts[len(counts)])::DOUBLE as last_bin
from summary where model = $model and list_contains($measures, measure) and ts >= $start and ts < $end group by measure
"""
INCIDENTS: Final = f"""
select incident_id, kind, severity, state, since, opened_at, resolved_at, summary, cause::VARCHAR as cause, suggestion
from incident where model = $model and opened_at < $end and (resolved_at is null or resolved_at >= $start)
order by opened_at limit {_MOST}
"""
CHANGES: Final = f"""
select ts, kind, object_name, before, after, actor, message from change_event
where model_id = $model and ts >= $start and ts < $end order by ts limit {_MOST}
"""
DECISIONS: Final = f"""
select ts, actor, verb, object, reason from command
where ts >= $start and ts < $end and verb in ('accept_normal', 'false_alarm', 'acknowledge', 'mute', 'note')
  and (list_contains($ids, object) or starts_with(object, $model || '/')) order by ts limit {_MOST}
"""
BUDGET: Final = "select severity, declared, period_s, notified, false_marked from alarm_budget order by severity"
DECLARED: Final = "select value::VARCHAR as value from core.setting where key = 'models'"


class Rows(Protocol):
    """Anything that answers SQL over the views: the store, or the core's from afar."""

    def read(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pl.DataFrame:
        """Rows that answer `sql`; bulk tables hold those of `window` only, if given."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """One question about one feature: its newest answer in the period, and whether it alarmed before."""

    monitor_id: str
    feature: str
    watched: str  # location | spread | missing | ...
    state: str  # of the finding, or stale
    severity: str
    effect: float | None
    unit: str | None
    ci_low: float | None
    ci_high: float | None
    onset: datetime | None
    onset_low: datetime | None
    onset_high: datetime | None
    evidence_nats: float | None
    threshold_nats: float | None
    smallest: float | None  # effect that would be found within 24 h, in `unit`
    smallest_units: float | None  # the same of a location, in the feature's own unit
    n: int | None
    judged_at: datetime
    note: str
    windows: int  # judged in the period
    ended: datetime | None  # last alarming window, of an alarm that is over
    median_from: float | None = None  # in the feature's own unit
    median_to: float | None = None
    median_low: float | None = None
    median_high: float | None = None
    psi: float | None = None
    user_unit: str = ""

    @property
    def drifts(self) -> bool:
        """Whether it alarms at the end of the period."""
        return self.state == "alarm"

    @property
    def pair(self) -> bool:
        """Whether it is about two features together, which is no feature of its own."""
        return self.watched.startswith("pair")


@dataclass(frozen=True, slots=True)
class Values:
    """What a feature's values were like in the period, against the time before it and the reference."""

    feature: str
    kind: str
    rows: float
    missing: float | None  # shares 0-1
    missing_before: float | None
    not_finite: float
    unseen: float | None  # share of rows whose level the reference does not have
    unseen_reference: float | None
    low: float | None
    high: float | None
    reference_low: float | None
    reference_high: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a report of one model and period tells."""

    model: str
    start: datetime
    end: datetime
    made_at: datetime
    streams: tuple[Stream, ...]
    unasked: tuple[str, ...]  # declared features that no question was asked about
    values: tuple[Values, ...]
    bins: Mapping[str, Row]
    incidents: tuple[Row, ...]
    changes: tuple[Row, ...]
    decisions: tuple[Row, ...]
    budget: tuple[Row, ...]
    units: Mapping[str, str]  # of features, for people
    watched: bool | None  # whether drift of this model is declared; None where no service has run on these data yet


def gather(rows: Rows, model: str, period: Window, made_at: datetime) -> Facts:
    """Read all of it; everything is of `[start, end)` of the period, nothing after it is looked at."""
    asked = {"model": model, "start": period.start, "end": period.end}
    bins = {r["feature"]: r for r in rows.read(BINS, {"model": model}).iter_rows(named=True)}
    declared = _declared(rows, model)
    incidents = tuple(rows.read(INCIDENTS, asked).iter_rows(named=True))
    said = {**asked, "ids": [i["incident_id"] for i in incidents]}
    features = ((declared or {}).get("drift") or {}).get("features") or ()
    units = {f["name"]: f["unit"] for f in features if f.get("unit")}
    streams = _streams(rows, asked, bins, units, made_at)
    known = {s.feature for s in streams}
    return Facts(
        model, period.start, period.end, made_at, streams,
        tuple(f["name"] for f in features if f["name"] not in known), _values(rows, asked, bins), bins, incidents,
        tuple(rows.read(CHANGES, asked).iter_rows(named=True)), tuple(rows.read(DECISIONS, said).iter_rows(named=True)),
        tuple(rows.read(BUDGET).iter_rows(named=True)), units, None if declared is None else bool(declared.get("drift")),
    )  # fmt: skip


def _declared(rows: Rows, model: str) -> Mapping[str, Any] | None:
    """What the newest service on these data declared of a model; None where there was none."""
    found = rows.read(DECLARED)
    if not found.height:
        return None
    mine: Mapping[str, Any] = json.loads(found["value"][0] or "{}").get(model) or {}
    return mine


def _streams(
    rows: Rows, asked: Row, bins: Mapping[str, Row], units: Mapping[str, str], made_at: datetime
) -> tuple[Stream, ...]:
    newest = list(rows.read(NEWEST, asked).iter_rows(named=True))
    alarmed = {r["monitor_id"]: r for r in rows.read(ALARMED, asked).iter_rows(named=True)}
    over = [alarmed[f["monitor_id"]]["finding_id"] for f in newest if f["state"] != "alarm"]
    past = rows.read(BY_ID, {"ids": [i for i in over if i]})
    last = {r["monitor_id"]: r for r in past.iter_rows(named=True)}
    limit = min(asked["end"], made_at) - STALE
    found = []
    for newest_of in newest:
        stream = _stream(
            newest_of,
            alarmed[newest_of["monitor_id"]],
            last.get(newest_of["monitor_id"]),
            bins.get(newest_of["subject"]),
        )
        stale = stream.state in ("ok", "inform_only") and stream.judged_at <= limit
        found.append(replace(stream, state="stale" if stale else stream.state, user_unit=units.get(stream.feature, "")))
    return tuple(sorted(found, key=_order))


def _order(stream: Stream) -> tuple[Any, ...]:
    over = stream.ended is not None
    rank = 0 if stream.drifts else 1 if over else 2 if stream.state == "inform_only" else 3
    return rank, -(stream.evidence_nats or 0.0) if rank < 3 else 0.0, stream.feature, stream.watched


def _stream(newest: Row, alarmed: Row, last: Row | None, bins: Row | None) -> Stream:
    told = last or newest  # the effect of an alarm that is over is that of its last window
    details = json.loads(told["details"] or "{}")
    judged = json.loads(newest["details"] or "{}")
    sigma, units = _known(judged.get("min_detectable_24h")), _known(judged.get("min_detectable_24h_units"))
    in_sigma = told["unit"] in ("σ", "sigma", None)
    medians = _medians(told, details, bins)
    return Stream(
        newest["monitor_id"], newest["subject"], watched(newest["monitor_id"], newest["subject"]), newest["state"], newest["severity"],
        _known(told["effect"]), told["unit"], _known(told["ci_low"]), _known(told["ci_high"]),
        told["onset"], told["onset_low"], told["onset_high"], _known(told["evidence_nats"]), _known(told["threshold_nats"]),
        sigma if in_sigma else units, units if in_sigma else None, newest["n"], newest["window_end"],
        told["note"], alarmed["windows"], alarmed["last_alarm"] if last else None, *medians, _known(details.get("psi")),
    )  # fmt: skip


def watched(monitor_id: str, subject: str) -> str:
    """What a question watches of its subject.

    >>> watched("fraud/level/a/b/location_fast", "a/b"), watched("fraud/level/card/share:x/y", "card")
    ('location, fast', 'share:x/y')
    """
    _, found, last = monitor_id.partition(f"/{subject}/")
    score = last if found else monitor_id.rsplit("/", 1)[-1]
    return f"{score.removesuffix('_fast')}, fast" if score.endswith("_fast") else score


def _known(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _medians(told: Row, details: Row, bins: Row | None) -> Medians:
    """Median before and after, and the 95 % interval of the latter, in the feature's own unit; of a shift in σ."""
    before, after = _known(details.get("median_from")), _known(details.get("median_to"))
    quantiles = (bins or {}).get("quantiles")
    if before is None or after is None or not watched(told["monitor_id"], told["subject"]).startswith("location"):
        return None, None, None, None
    if not quantiles or told["unit"] not in ("σ", "sigma") or told["ci_low"] is None or told["ci_high"] is None:
        return before, after, None, None
    return before, after, at_sigma(quantiles, told["ci_low"]), at_sigma(quantiles, told["ci_high"])


def at_sigma(quantiles: Sequence[float], sigma: float) -> float:
    """The value of the reference `sigma` normal scores above its median, from its 101 percentiles.

    >>> at_sigma([float(k) for k in range(101)], 0.0)
    50.0
    """
    return float(np.interp(100.0 * NormalDist().cdf(sigma), np.arange(len(quantiles)), np.asarray(quantiles, float)))


def _values(rows: Rows, asked: Row, bins: Mapping[str, Row]) -> tuple[Values, ...]:
    measures = {f"{asked['model']}/{b['source_table']}/{feature}": b for feature, b in bins.items()}
    before = asked["start"] - (asked["end"] - asked["start"])
    wanted = {"model": asked["model"], "measures": list(measures)}

    def of(start: datetime, end: datetime) -> dict[str, Row]:
        found = rows.read(VALUES, {**wanted, "start": start, "end": end}, Window(start, end))
        return {r["measure"]: r for r in found.iter_rows(named=True)}

    now, then = of(asked["start"], asked["end"]), of(before, asked["start"])
    return tuple(_value(measures[m], now[m], then.get(m)) for m in sorted(now))


def _value(bins: Row, now: Row, then: Row | None) -> Values:
    levels, quantiles = bins["kind"] == "categorical", bins["quantiles"] or (None,)
    total = sum(bins["reference"])
    return Values(
        bins["feature"], bins["kind"], now["n"] + now["missing"],
        missing_share(now), missing_share(then), (now["nan"] or 0.0) + (now["inf"] or 0.0),
        now["last_bin"] / now["n"] if levels and now["n"] and now["last_bin"] is not None else None,
        bins["reference"][-1] / total if levels and total else None,
        None if levels else now["low"], None if levels else now["high"],
        None if levels else quantiles[0], None if levels else quantiles[-1],
    )  # fmt: skip


def missing_share(row: Row | None) -> float | None:
    """The share of rows without a value, 0-1; None where there are no rows."""
    rows = (row["n"] or 0.0) + (row["missing"] or 0.0) if row else 0.0
    return row["missing"] / rows if row and rows else None
