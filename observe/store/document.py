"""`docs/schema.md`: every view with its columns, types and meaning, from the code that makes them.

Source: our own. `python -m observe.store.document > docs/schema.md` writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from observe.schema import TABLES
from observe.store.database import Database
from observe.store.manifest import Manifest
from observe.store.opening import prepare
from observe.store.predictions import Features
from observe.store.rows import identity
from observe.store.views import column_docs, derived_docs

_INTRO = """# Schema

Made by `python -m observe.store.document`; a test fails when it is out of date.

What `observe sql` and `POST /api/v1/sql` can read. Times are TIMESTAMPTZ in UTC, windows half-open,
fractions 0-1, units in the name or the meaning. The predictions of each model stand in
`predictions."<model>"`: the columns of `prediction` without `model_id`, and one column a feature
(numbers DOUBLE, truth values BOOLEAN, text VARCHAR; `extra` holds features beyond the 500th as JSON).
A feature that differs from an earlier column only in case gets a number: `Z` after `z` is `Z_2`.
When the predictions of a day leave (`store.retain`, `store.size`), a uniform sample of `store.reservoir` rows
a model and day stays in the same view as long as rollups do: those with the smallest MD5 of (model,
prediction_id, item_idx). Their `sampled_of` is the day's number of rows; `sampled_of IS NULL` are the rows of whole days.

Rollups (`gpu_1m`, `gpu_1h`, `gpu_fleet_5m`, `serving_5m`, `attempt_1m`, `attempt_1h`) are written when rows are sealed,
about five minutes after them, and outlive the raw rows (`store.retain: {rollup: 90d}`). Rows of one key add up: sum counts
and sums, take the `max` of extremes; `late` rows are what came later. Views `gpu_5m`, `queue_5m` and `traffic_1m` also
hold what is not sealed yet. Latencies are histograms: `x_bins` names the bins that hold any, `x_counts` how many; bin k is
10^(k/24) to 10^((k+1)/24) seconds, so a quantile is known to 10 %.

`trace_id` joins `attempt`, `request` (`request_id`), `prediction` and `log_event`: what was logged at WARN or above
while a request was served is `SELECT l.* FROM log_event l JOIN request r ON l.trace_id = r.request_id`. The try a
record was written under is `attempt.attempt_id = log_event.span_id`, for attempts of source `otlp`.
"""
_LIKE = {
    "request": "attempt",
    "traffic_1m": "attempt_1m",
    "action_outcome": "action",
}  # view -> the table whose columns it has
_PREDICTION_MODEL = "model that answered"


def render() -> str:
    """The whole page as Markdown."""
    database = Database(None, threads=1, memory="256MB")
    try:
        prepare(database, Manifest(Path()), Features())
        with database.cursor() as cursor:
            return _INTRO + "".join(_section(cursor, view) for view in _views(cursor))
    finally:
        database.close()


def _views(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    sql = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' ORDER BY 1"
    return [name for (name,) in cursor.execute(sql).fetchall()]


def _section(cursor: duckdb.DuckDBPyConnection, view: str) -> str:
    return f"\n## {view}\n\n{_purpose(view)}\n\n| column | type | meaning |\n|---|---|---|\n" + "".join(
        _rows(cursor, view)
    )


def _purpose(view: str) -> str:
    if view in derived_docs():
        return derived_docs()[view]
    table = TABLES[view]
    told = " ".join(table.doc.split())
    return f"{told} One row per ({', '.join(identity(table))})." if table.ids else told


def _rows(cursor: duckdb.DuckDBPyConnection, view: str) -> Iterator[str]:
    meaning = _meanings(view)
    for name, kind, *_ in cursor.execute(f'DESCRIBE "{view}"').fetchall():
        yield f"| {name} | {kind.replace('TIMESTAMP WITH TIME ZONE', 'TIMESTAMPTZ')} | {_cell(meaning.get(name, ''))} |\n"


def _meanings(view: str) -> Mapping[str, str]:
    """By column: said in the view, else in the noun of that name, else in the one it is folded from."""
    told = {c.name: c.doc for c in TABLES[_LIKE[view]].columns} if view in _LIKE else {}
    told |= {c.name: c.doc for c in TABLES[view].columns} if view in TABLES else {}
    told |= {"model_id": _PREDICTION_MODEL} if view == "prediction" else {}
    return told | dict(column_docs().get(view, {}))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(render(), end="")
