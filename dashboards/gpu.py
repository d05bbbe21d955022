"""Where is capacity wasted or short? Every device of every cluster, what idles beside what is full, and what that costs.

Source: our own, after UX.md. MIG instances are their own devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from dash import html

from dashboards import cards, catalogue, fleet, matches, tables, words
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import GPU_RECENT, Scope, scope

PATH, TITLE, ICON, ORDER = "/gpu", "GPU fleet", "gpu", 10
QUESTION = "Where is capacity wasted or short?"
SKELETON = ((12, 90), (3, 120), (3, 120), (3, 120), (3, 120), (7, 240), (5, 240), (12, 280))

IMBALANCE = """
select subject, note, window_end, state, severity from finding
where kind = 'imbalance' and window_end > $now::TIMESTAMPTZ - interval 1 hour
qualify row_number() over (partition by monitor_id, subject order by window_end desc) = 1
order by state <> 'alarm', window_end desc limit 3
"""
SIGNALS = """
select subject, note, onset, window_end from finding
where kind = 'gpu' and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ and state in ('alarm', 'inform_only')
qualify row_number() over (partition by monitor_id, subject order by window_end desc) = 1 order by window_end desc limit 5
"""
IDLE_NOTE = "below 5 % mean use in the last 15 min; full is from 90 % on"


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The fleet of one view."""
    view = scope(params)
    known = catalogue.catalogue(read)
    devices = read(fleet.DEVICES, view.params)
    if devices.is_empty():
        hint = "Add a collector of type prometheus with your dcgm-exporter's address to the site's configuration."
        return cards.grid(
            [
                cards.card(
                    "GPU fleet",
                    cards.empty("No GPU has been seen in this range", hint, 220),
                    sql=[Query(fleet.DEVICES, view.params)],
                )
            ]
        )
    groups = [g for _, g in devices.group_by(["cluster", "sku"], maintain_order=True)]
    parts = cards.gather(
        lambda: banner(read, view),
        *[_bound(g, known, view) for g in groups[:12]],
        lambda: matches.card(read, view),
        lambda: fleet.busy_card(read, view),
        spans=(12,),
    )
    return cards.grid([parts[0], *_stats(devices, known, view), *parts[1:-1], parts[-1], device_table(devices, view)])


def _bound(group: pl.DataFrame, known: catalogue.Catalogue, view: Scope) -> Any:
    return lambda: fleet.cluster_card(group, known, view)


def banner(read: Reader, view: Scope) -> Any:
    """Idle beside full, as counted by the imbalance detector, and devices that throttle."""
    found = read(IMBALANCE, view.params).filter(pl.col("state") == "alarm").to_dicts()
    signals = read(SIGNALS, view.params).to_dicts()
    queries = [Query(IMBALANCE, view.params), Query(SIGNALS, view.params)]
    if not found and not signals:
        return None
    kind, sign = ("ticket", SIGNS["ticket"]) if found else ("info", SIGNS["info"])
    title = found[0]["note"] if found else signals[0]["note"]
    rest = [*(f["note"] for f in found[1:]), *(s["note"] for s in (signals if found else signals[1:]))]
    others = [html.Li([html.Span(SIGNS["info"], className="sign info"), note]) for note in rest]
    return html.Section(
        [
            html.Div([cards.source(queries)], className="card-tools"),
            html.H1([html.Span(sign, className="sign"), title]),
            *([html.Ul(others)] if others else []),
        ],
        className=f"verdict {kind} span-12",
    )


def _stats(devices: pl.DataFrame, known: catalogue.Catalogue, view: Scope) -> Sequence[Any]:
    seen = devices.filter(pl.col("util").is_not_null())
    idle, full, silent = int(seen["idle"].sum()), int(seen["full"].sum()), devices.height - seen.height
    throttled, xids = int(devices["throttled"].sum()), devices["xid"].drop_nulls().len()
    cost = fleet.idle_cost(devices, known)
    mean = words.share(seen["util"].mean())  # type: ignore[arg-type]
    report = f"{seen.height} devices report" + (f", {silent} silent" if silent else "")
    price = f"{words.dollars(cost)} / day" if cost is not None else words.UNKNOWN
    priced = "idle devices at the site's prices" if cost is not None else "no price is configured"
    rows: list[tuple[str, str, str, Badge | None]] = [
        ("Busy", mean, report, None if seen.height else Badge("unknown", "no data")),
        ("Idle", f"{idle} / {seen.height}", IDLE_NOTE, Badge("ticket", "idle") if idle > 0.15 * max(seen.height, 1) else None),
        ("Idle cost", price, priced, None),
        ("Full · throttled · XID", f"{full} · {throttled} · {xids}", "slowdown, thermal or power-brake bits; XIDs of the range", Badge("ticket", "check") if throttled or xids else None),
    ]  # fmt: skip
    query = [Query(fleet.DEVICES, view.params)]
    return [cards.stat(label, value, sub, mark, "", query) for label, value, sub, mark in rows]


def device_table(devices: pl.DataFrame, view: Scope) -> Any:
    """Every device with what it does now."""
    rows = [
        {"cluster": r["cluster"], "node": r["node"], "gpu": r["gpu"], "sku": r["sku"], "util": r["util"], "mem": r["mem"] / r["mem_total"] if r["mem"] and r["mem_total"] else None,
         "temp": r["temp"], "power": r["power"], "clock": r["clock"], "what": _what(r)}
        for r in devices.head(5000).iter_rows(named=True)
    ]  # fmt: skip
    columns = [
        tables.Column("cluster", "Cluster", "", 100), tables.Column("node", "Node", "", 120), tables.Column("gpu", "GPU", "", 80), tables.Column("sku", "Product", "", 190),
        tables.Column("util", "Busy", "share", 90), tables.Column("mem", "Memory", "share", 90, "framebuffer in use"), tables.Column("temp", "°C", "number", 80),
        tables.Column("power", "W", "count", 80), tables.Column("clock", "SM MHz", "count", 90), tables.Column("what", "Note", "", 150),
    ]  # fmt: skip
    sub = f"Mean of the last {words.span(GPU_RECENT)}"
    return cards.card(
        "Devices",
        tables.grid("devices", rows, columns, height=min(420, 60 + tables.ROW_PX * len(rows))),
        sub=sub,
        tools=[tables.csv_button("devices")],
        sql=[Query(fleet.DEVICES, view.params)],
    )


def _what(row: Mapping[str, Any]) -> str:
    if row["util"] is None:
        return "◌ silent"
    notes = [f"XID {row['xid']}"] if row["xid"] else []
    notes += ["throttled"] if row["throttled"] else []
    return ", ".join([*notes, *(["idle"] if row["idle"] else ["full"] if row["full"] else [])])
