"""Deploys, XIDs and incidents as marks on time charts.

Source: our own.
"""

from __future__ import annotations

import polars as pl

from dashboards.reader import Reader
from dashboards.scope import Scope

CHANGES = """
select epoch(ts)::DOUBLE as epoch, kind, left(case kind when 'deploy' then 'deploy ' || coalesce(revision, after, object_name, '')
  when 'xid' then 'XID ' || coalesce(after, '') || coalesce(' ' || node, '') else kind || ' ' || coalesce(object_name, '') end, 28) as label
from change_event
where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and kind <> 'alert_silence' and ($cluster = '' or cluster is null or cluster = $cluster)
  and ($model = '' or model_id is null or model_id = $model)
union all
select epoch(since)::DOUBLE, 'incident', left('■ ' || kind || ' ' || model, 28) from incident
where ($model <> '' or part_of is null) and since >= $start::TIMESTAMPTZ and since < $end::TIMESTAMPTZ and severity = 'page' and ($model = '' or model = $model)
order by 1
"""

NEAR_DATA = (
    "deploy",
    "rollback",
    "config",
    "model_version",
    "prompt",
    "data_pipeline",
    "trained",
)  # kinds that can move a feature


def read_changes(read: Reader, view: Scope, model: str = "", kinds: tuple[str, ...] = ()) -> pl.DataFrame:
    """Changes inside the view that concern `model` ("" for every model); `kinds` keeps only those."""
    frame = read(CHANGES, {**view.params, "model": model})
    return frame.filter(pl.col("kind").is_in(kinds)) if kinds else frame
