"""Cards about many GPUs: one grid of devices a cluster, and utilisation over time.

Source: our own, after UX.md. MIG instances are their own devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from dash import html

from dashboards import cards, catalogue, changes, figures, words
from dashboards.cards import Badge, Query
from dashboards.palette import CIVIDIS, Palette, palette
from dashboards.reader import Reader
from dashboards.scope import Scope

DEVICES = """
with recent as (
  select device_id, avg(util_ratio) as util, max(temp_c) as temp, avg(power_w) as power, avg(sm_clock_mhz) as clock, avg(mem_used_mib) as mem,
    bit_or(coalesce(throttle_mask, 0)) & 232 <> 0 as throttled, max(ts) as ts
  from gpu_sample where ts >= $recent::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster) group by 1
), faults as (
  select object_name as device_id, arg_max(after, ts) as xid from change_event
  where kind = 'xid' and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ group by 1
)
select coalesce(d.cluster, '–') as cluster, coalesce(d.model, 'GPU') as sku, coalesce(d.node, '–') as node, d.device_id,
  coalesce(d.gpu_index::VARCHAR, '0') || coalesce('/' || d.mig_gi, '') as gpu, r.util::DOUBLE as util, r.temp::DOUBLE as temp, r.power::DOUBLE as power,
  r.clock::DOUBLE as clock, r.mem::DOUBLE as mem, d.mem_total_mib::DOUBLE as mem_total, coalesce(r.throttled, false) as throttled, f.xid,
  r.util < 0.05 as idle, r.util >= 0.9 as full
from gpu_device d left join recent r using (device_id) left join faults f using (device_id)
where d.last_seen >= $start::TIMESTAMPTZ and ($cluster = '' or d.cluster = $cluster)
order by 1, 2, 3, d.gpu_index, gpu
"""
BUSY = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, coalesce(cluster, '–') as cluster,
  (sum(util_mean * devices) / sum(devices))::DOUBLE as busy, (sum(power_w_sum) / count(distinct ts) / 1000)::DOUBLE as kw
from gpu_5m where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster)
group by 1, 2 order by 2, 1
"""
FLEET_CHANGES = ("xid", "node_add", "node_remove", "driver", "scale", "disruption")  # kinds that concern hardware
MOST_SERIES = 6  # clusters drawn by themselves; the rest become "other"


def idle_cost(devices: pl.DataFrame, known: catalogue.Catalogue) -> float | None:
    """USD a day that idle devices cost; None when no device has a price."""
    prices = [known.price(sku) for sku in devices["sku"]]
    if all(p is None for p in prices):
        return None
    return sum(24 * p for p, idle in zip(prices, devices["idle"], strict=True) if p is not None and idle)


def cluster_card(group: pl.DataFrame, known: catalogue.Catalogue, view: Scope) -> Any:
    """Node by GPU: colour is utilisation, marks are throttling and XIDs."""
    seen = group.filter(pl.col("util").is_not_null())
    idle, full = int(seen["idle"].sum()), int(seen["full"].sum())
    cost = idle_cost(group, known)
    money = f" · idle ≈ {words.dollars(cost)} a day" if cost else ""
    sub = f"{group.height} devices · {words.share(seen['util'].mean())} busy · {idle} idle{money}"  # type: ignore[arg-type]
    mark = Badge("unknown", "silent") if seen.is_empty() else _pressure(idle, full, seen.height)
    nodes, slots = group["node"].unique(maintain_order=True).to_list(), _slots(group)
    span = 12 if len(nodes) > 16 or len(slots) > 16 else 6
    height = 64 + 26 * len(nodes)
    title = [html.Span(group["cluster"][0]), html.Span(f" {group['sku'][0]}", className="dim")]
    return cards.card(
        title,
        cards.graph(_cells(group, nodes, slots, view), min(height, 560), f"Utilisation of each device: {sub}"),
        sub=sub,
        mark=mark,
        sql=[Query(DEVICES, view.params)],
        span=span,
    )


def _pressure(idle: int, full: int, total: int) -> Badge | None:
    if idle > 0.15 * total:
        return Badge("ticket", "idle")
    return Badge("info", "full") if full > 0.85 * total else None


def _slots(group: pl.DataFrame) -> list[str]:
    return sorted(group["gpu"].unique().to_list(), key=lambda g: [int(x) if x.isdigit() else 0 for x in g.split("/")])


def _cells(group: pl.DataFrame, nodes: list[str], slots: list[str], view: Scope) -> figures.Figure:
    p = palette(view.theme)
    z = np.full((len(nodes), len(slots)), np.nan, dtype=np.float32)
    shown, hover = ([["" for _ in slots] for _ in nodes] for _ in range(2))
    throttled: list[tuple[int, int]] = []
    faults: list[tuple[int, int]] = []
    for row in group.iter_rows(named=True):
        i, j = nodes.index(row["node"]), slots.index(row["gpu"])
        z[i, j] = np.nan if row["util"] is None else row["util"]
        shown[i][j] = "◌" if row["util"] is None else "idle" if row["idle"] else ""
        hover[i][j] = _hover(row)
        throttled += [(j, i)] if row["throttled"] else []
        faults += [(j, i)] if row["xid"] else []
    heat = figures.heat(
        [f"GPU {s}" for s in slots], list(range(len(nodes))), figures.typed(z), CIVIDIS, zmin=0, zmax=1, xgap=3, ygap=3, text=shown, texttemplate="%{text}",
        textfont={"size": 11, "color": "#ffffff"}, customdata=hover, hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    data = [
        heat,
        _signs(throttled, slots, "triangle-up", p.page, "throttled"),
        _signs(faults, slots, "x", p.page, "XID"),
    ]
    labels = [figures.plain(n if len(n) < 16 else "…" + n[-14:]) for n in nodes]
    marked = bool(throttled or faults)
    places = [f"GPU {s}" for s in slots]
    xaxis = {
        "showgrid": False, "type": "category", "tickangle": 0, "tickvals": places, "ticktext": [places[0], *slots[1:]],
    }  # fmt: skip
    yaxis = {
        "tickvals": list(range(len(nodes))),
        "ticktext": labels,
        "range": [len(nodes) - 0.5, -0.5],
        "showgrid": False,
    }
    return figures.figure(
        data, view.theme, xaxis=xaxis, yaxis=yaxis, margin=figures.margins(20 + 7 * max(len(x) for x in labels), 4, 4, 44 if marked else 26),
        showlegend=marked, legend={"x": 1, "xanchor": "right", "y": -26 / (26 * len(nodes) + 20), "yanchor": "top"},
    )  # fmt: skip


def _hover(row: Mapping[str, Any]) -> str:
    numbers = (
        f"{words.number(row['temp'], 2)} °C, {words.number(row['power'], 3)} W, {words.number(row['clock'], 4)} MHz"
    )
    return figures.plain(f"{row['node']} GPU {row['gpu']}: {words.share(row['util'])} busy, {numbers}")


def _signs(places: Sequence[tuple[int, int]], slots: list[str], symbol: str, colour: str, name: str) -> figures.Trace:
    marker = {"symbol": symbol, "size": 11, "color": colour, "line": {"color": "#ffffff", "width": 1.2}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [f"GPU {slots[j]}" for j, _ in places],
        "y": [i for _, i in places],
        "marker": marker,
        "name": name,
        "hoverinfo": "skip",
        "showlegend": bool(places),
    }


def busy_card(read: Reader, view: Scope) -> Any:
    """Mean utilisation of each cluster over time."""
    frame = read(BUSY, view.params)
    query = Query(BUSY, view.params)
    title, sub = "Utilisation by cluster", "mean over devices · drag to set the range"
    if frame.is_empty():
        none = cards.empty("No samples in this range", "Choose a longer range.", 200)
        return cards.card(title, none, sub=sub, sql=[query])
    p = palette(view.theme)
    shapes, notes = figures.marks(changes.read_changes(read, view, kinds=FLEET_CHANGES), p, view.start, view.end)
    yaxis = {"tickformat": ".0%", "range": [0, 1.08], "nticks": 5}
    figure = figures.figure(
        _series(frame.with_columns(pl.col("epoch").clip(view.start.timestamp())), p), view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis=yaxis, shapes=shapes, annotations=notes,
        margin=figures.margins(46, 12, 24, 34), showlegend=True, hovermode="x unified",
    )  # fmt: skip
    return cards.card(
        title, cards.graph(figure, 240, "Utilisation by cluster over time", brush="gpu-busy"), sub=sub, sql=[query]
    )


def _series(frame: pl.DataFrame, p: Palette) -> list[figures.Trace]:
    """One line a cluster, those with the most power first, the rest as "other"."""
    power = frame.group_by("cluster").agg(pl.col("kw").mean()).sort("kw", descending=True, nulls_last=True)
    names = power["cluster"].to_list()
    rest = frame.filter(pl.col("cluster").is_in(names[MOST_SERIES:])).group_by("epoch").agg(pl.col("busy").mean())
    parts = [
        (figures.plain(n), frame.filter(pl.col("cluster") == n), p.series[i]) for i, n in enumerate(names[:MOST_SERIES])
    ]
    if not rest.is_empty():
        parts.append(("other", rest.sort("epoch"), p.dim))
    hover = "%{y:.0%} at %{x|%H:%M}"
    return [
        figures.line(figures.instants(f["epoch"]), figures.typed(f["busy"]), n, c, hovertemplate=hover)
        for n, f, c in parts
    ]
