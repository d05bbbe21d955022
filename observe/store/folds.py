"""The SQL that folds rows into rollups, one text for rows being sealed and for rows still hot.

Source: our own; ARCHITECTURE section 3, Rollups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files as resources
from typing import Final

from observe.schema import ROLLUPS
from observe.schema.latency import bin_sql
from observe.store.ddl import quoted

FOLDED: Final[Mapping[str, str]] = {
    "gpu_sample": "gpu_1m",
    "serving_sample": "serving_5m",
    "attempt": "attempt_1m",
}  # raw table -> the rollup that its rows make
_OPEN: Final = {"attempt_1m": "attempt_open"}  # pages ask for it all the time: rows that add up to the rollup
ROLLED: Final = frozenset(noun.table_name for noun in ROLLUPS)  # names of all rollups


@cache
def _blocks() -> Mapping[str, str]:
    text = resources("observe.store").joinpath("rollups.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- fold: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (body.strip() for body in parts[1::2]), strict=True))


def fold_sql(rollup: str, rows: str, tries: str | None = None) -> str:
    """The query that folds `rows` into rows of `rollup`, without `late` and `ingested_at`.

    Args:
        rollup: name of the table.
        rows: a query for the rows: raw ones, or those of gpu_1m for what is folded from it.
        tries: where later tries of the same request are looked for, of attempts; None for `rows`.
    """
    sql = _blocks()[rollup].replace("$rows", rows).replace("$tries", tries or rows)
    return re.sub(r"\$(ttft_s|duration_s|tpot_s)", lambda m: bin_sql(m[1]), sql)


def open_sql(rollup: str) -> str:
    """Hot rows as they add up to what is made when they are sealed; the fleet's where nothing is sealed of a bucket yet."""
    if rollup == "gpu_fleet_5m":
        fleet = fold_sql(rollup, open_sql("gpu_1m"))
        return f"SELECT * FROM ({fleet}) AS o WHERE NOT EXISTS (FROM gpu_fleet_5m AS f WHERE f.ts = o.ts)"
    raw = next(raw for raw, made in FOLDED.items() if made == rollup)
    return fold_sql(_OPEN.get(rollup, rollup), f"SELECT * FROM hot.{quoted(raw)}")
