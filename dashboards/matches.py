"""Starved models beside idle devices: who could take what, whether it fits, and what it would save.

Source: our own; rows are those of `capacity_match`, see docs/scaling.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dashboards import cards, tables, words
from dashboards.cards import Query
from dashboards.reader import Reader
from dashboards.scope import Scope

MATCHES = """
select model, starved, replicas_short, cluster, sku, idle, fits, replicas, devices_each, why, rtt_s, saved_usd_h, ts
from capacity_match
where ts > $now::TIMESTAMPTZ - interval 15 minute and ($cluster = '' or cluster = $cluster)
qualify ts = max(ts) over ()
order by fits <> 'yes', fits <> 'unknown', model, rtt_s nulls last, cluster limit 50
"""
SHORT = """
select model, running, replicas, said from scaling_decision
where ts > $now::TIMESTAMPTZ - interval 7 day qualify row_number() over (partition by model order by ts desc) = 1
"""

COLUMNS: Final = (
    tables.Column("model", "Model", "model", 155), tables.Column("starved", "Starved", "said", 190), tables.Column("cluster", "Idle in", "", 100),
    tables.Column("devices", "Idle devices", "said", 150), tables.Column("fits", "Fits", "said", 120, "and how many of the replicas it lacks the idle devices hold"),
    tables.Column("away", "Away", "", 90, "declared round trip"), tables.Column("saved", "Saves / h", "", 125, "new replicas like the declared, less egress"),
    tables.Column("why", "Why", "said", 260),
)  # fmt: skip


def card(read: Reader, view: Scope) -> Any:
    """The table; nothing while no model lacks replicas."""
    queries = [Query(MATCHES, view.params), Query(SHORT, view.params)]
    rows = read(MATCHES, view.params).to_dicts()
    if not rows:
        lacking = [r for r in read(SHORT, view.params).to_dicts() if (r["replicas"] or 0) > (r["running"] or 0)]
        if not lacking:
            return None
        names = ", ".join(r["model"] for r in lacking[:3])
        none = cards.empty(f"{names}: more replicas are needed; no idle devices were found", lacking[0]["said"], 90)
        return cards.card("Starved models and idle devices", none, sql=queries)
    table = tables.grid("matches", [_told(r) for r in rows], COLUMNS, height=min(340, 60 + tables.TALL_PX * len(rows)))
    return cards.card(
        "Starved models and idle devices", tables.two_lines(table),
        sub="what idles is paid for; how fast a model is on another product is not measured",
        tools=[tables.csv_button("matches")], sql=queries,
    )  # fmt: skip


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    away = words.UNKNOWN if row["rtt_s"] is None else words.seconds(row["rtt_s"])
    saved = words.UNKNOWN if row["saved_usd_h"] is None else words.dollars(row["saved_usd_h"])
    return {
        **{k: row[k] for k in ("model", "starved", "cluster", "why")}, "devices": f"{row['idle']} × {row['sku'].removeprefix('NVIDIA ')}",
        "fits": f"{row['fits']}, {_replicas(row['replicas'])}", "away": away, "saved": saved,
    }  # fmt: skip


def _replicas(n: int | None) -> str:
    if n is None:
        return "replicas not known"
    return f"{n} replica" if n == 1 else f"{n} replicas"
