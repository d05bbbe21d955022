"""Where is capacity wasted or short? Every device of every cluster, what idles beside what is full, and what that costs.

Source: our own, after UX.md. MIG instances are their own devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from dash import html

from dashboards import cards, catalogue, changes, figures, tables, words
from dashboards.cards import Badge, Query
from dashboards.palette import CIVIDIS, SIGNS, palette
from dashboards.reader import Reader
from dashboards.scope import GPU_RECENT, Scope, scope

PATH, TITLE, ICON, ORDER = "/gpu", "GPU fleet", "gpu", 10
QUESTION = "Where is capacity wasted or short?"
SKELETON = ((12, 90), (3, 120), (3, 120), (3, 120), (3, 120), (7, 240), (5, 240), (12, 280))

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
BUSY = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, coalesce(cluster, '–') as cluster,
  (sum(util_mean * devices) / sum(devices))::DOUBLE as busy, (sum(power_w_sum) / count(distinct ts) / 1000)::DOUBLE as kw
from gpu_5m where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster)
group by 1, 2 order by 2, 1
"""
IDLE_NOTE = "A device is idle below 5 % mean utilisation in the last 15 min, full from 90 %."
MOST_SERIES = 6  # clusters drawn by themselves; the rest become "other"


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The fleet of one view."""
    view = scope(params)
    known = catalogue.catalogue(read)
    devices = read(DEVICES, view.params)
    if devices.is_empty():
        hint = "Add a collector of type prometheus with your dcgm-exporter's address to the site's configuration."
        return cards.grid([cards.card("GPU fleet", cards.empty("No GPU has been seen in this range", hint, 220), sql=[Query(DEVICES, view.params)])])
    groups = [g for _, g in devices.group_by(["cluster", "sku"], maintain_order=True)]
    parts = cards.gather(lambda: banner(read, view), *[_bound(g, known, view) for g in groups[:12]], lambda: busy_card(read, view), spans=(12,))
    return cards.grid([parts[0], *_stats(devices, known, view), *parts[1:-1], parts[-1], device_table(devices, view)])


def _bound(group: pl.DataFrame, known: catalogue.Catalogue, view: Scope) -> Any:
    return lambda: cluster_card(group, known, view)


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
    return html.Section([html.Div([cards.source(queries)], className="card-tools"), html.H1([html.Span(sign, className="sign"), title]), *([html.Ul(others)] if others else [])], className=f"verdict {kind} span-12")


def _stats(devices: pl.DataFrame, known: catalogue.Catalogue, view: Scope) -> Sequence[Any]:
    seen = devices.filter(pl.col("util").is_not_null())
    idle, full = int(seen["idle"].sum()), int(seen["full"].sum())
    throttled, xids = int(devices["throttled"].sum()), devices["xid"].drop_nulls().len()
    query = [Query(DEVICES, view.params)]
    cost = idle_cost(devices, known)
    silent = devices.height - seen.height
    unknown = Badge("unknown", "no data")
    return [
        cards.stat("Busy", words.share(seen["util"].mean()), f"{seen.height} devices report" + (f", {silent} silent" if silent else ""), None if seen.height else unknown, "", query),  # type: ignore[arg-type]
        cards.stat("Idle", f"{idle} / {seen.height}", IDLE_NOTE, Badge("ticket", "idle") if idle > 0.15 * max(seen.height, 1) else None, "", query),
        cards.stat("Idle cost", f"{words.dollars(cost)} / day" if cost is not None else words.UNKNOWN, "idle devices at the site's prices" if cost is not None else "no price is configured", None, "", query),
        cards.stat("Full · throttled · XID", f"{full} · {throttled} · {xids}", "thermal, power-brake or slowdown bits; XIDs of the range", Badge("ticket", "check") if throttled or xids else None, "", query),
    ]


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
    return cards.card(title, cards.graph(_cells(group, nodes, slots, view), min(height, 560), f"Utilisation of each device: {sub}"), sub=sub, mark=mark, sql=[Query(DEVICES, view.params)], span=span)


def _pressure(idle: int, full: int, total: int) -> Badge | None:
    if idle > 0.15 * total:
        return Badge("ticket", "idle")
    return Badge("info", "full") if full > 0.85 * total else None


def _slots(group: pl.DataFrame) -> list[str]:
    return sorted(group["gpu"].unique().to_list(), key=lambda g: [int(x) if x.isdigit() else 0 for x in g.split("/")])


def _cells(group: pl.DataFrame, nodes: list[str], slots: list[str], view: Scope) -> figures.Figure:
    p = palette(view.theme)
    z = np.full((len(nodes), len(slots)), np.nan, dtype=np.float32)
    words_ = [["" for _ in slots] for _ in nodes]
    hover = [["" for _ in slots] for _ in nodes]
    places: dict[str, list[tuple[int, int]]] = {"throttled": [], "xid": []}
    for row in group.iter_rows(named=True):
        i, j = nodes.index(row["node"]), slots.index(row["gpu"])
        z[i, j] = row["util"] if row["util"] is not None else np.nan
        words_[i][j] = "idle" if row["idle"] else "" if row["util"] is not None else "◌"
        hover[i][j] = figures.plain(f"{row['node']} GPU {row['gpu']}: {words.share(row['util'])} busy, {words.number(row['temp'], 2)} °C, {words.number(row['power'], 3)} W, {words.number(row['clock'], 4)} MHz")
        if row["throttled"]:
            places["throttled"].append((j, i))
        if row["xid"]:
            places["xid"].append((j, i))
    heat = figures.heat(
        [f"GPU {s}" for s in slots], list(range(len(nodes))), figures.typed(z), CIVIDIS, zmin=0, zmax=1, xgap=3, ygap=3, text=words_, texttemplate="%{text}",
        textfont={"size": 11, "color": "#ffffff"}, customdata=hover, hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    data = [heat, _signs(places["throttled"], slots, "triangle-up", p.page, "throttled"), _signs(places["xid"], slots, "x", p.page, "XID")]
    labels = [figures.plain(n if len(n) < 16 else "…" + n[-14:]) for n in nodes]
    legend = bool(places["throttled"] or places["xid"])
    margin = {"l": 20 + 7 * max(len(x) for x in labels), "r": 4, "t": 4, "b": 44 if legend else 26}
    yaxis = {"tickvals": list(range(len(nodes))), "ticktext": labels, "range": [len(nodes) - 0.5, -0.5], "showgrid": False}
    return figures.figure(data, view.theme, xaxis={"showgrid": False, "type": "category"}, yaxis=yaxis, margin=margin, showlegend=legend, legend={"y": -0.02, "yanchor": "top", "x": 1, "xanchor": "right", "yref": "container"} if False else {"x": 1, "xanchor": "right", "y": -26 / (26 * len(nodes) + 20), "yanchor": "top"})


def _signs(places: Sequence[tuple[int, int]], slots: list[str], symbol: str, colour: str, name: str) -> figures.Trace:
    marker = {"symbol": symbol, "size": 11, "color": colour, "line": {"color": "#ffffff", "width": 1.2}}
    return {"type": "scatter", "mode": "markers", "x": [f"GPU {slots[j]}" for j, _ in places], "y": [i for _, i in places], "marker": marker, "name": name, "hoverinfo": "skip", "showlegend": bool(places)}


def busy_card(read: Reader, view: Scope) -> Any:
    """Mean utilisation of each cluster over time."""
    frame = read(BUSY, view.params)
    query = Query(BUSY, view.params)
    title, sub = "Utilisation by cluster", "mean over devices · drag to set the range"
    if frame.is_empty():
        return cards.card(title, cards.empty("No samples in this range", "Choose a longer range.", 200), sub=sub, sql=[query])
    p = palette(view.theme)
    names = frame.group_by("cluster").agg(pl.col("kw").mean()).sort("kw", descending=True, nulls_last=True)["cluster"].to_list()
    data = []
    for i, name in enumerate(names[:MOST_SERIES]):
        part = frame.filter(pl.col("cluster") == name)
        data.append(figures.line(figures.instants(part["epoch"]), figures.typed(part["busy"]), figures.plain(name), p.series[i], hovertemplate="%{y:.0%} at %{x|%H:%M}"))
    if len(names) > MOST_SERIES:
        rest = frame.filter(~pl.col("cluster").is_in(names[:MOST_SERIES])).group_by("epoch").agg(pl.col("busy").mean()).sort("epoch")
        data.append(figures.line(figures.instants(rest["epoch"]), figures.typed(rest["busy"]), "other", p.dim))
    shapes, notes = figures.marks(changes.read_changes(read, view, kinds=("xid", "node_add", "node_remove", "driver", "scale", "disruption")), p, view.start, view.end)
    figure = figures.figure(
        data, view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis={"tickformat": ".0%", "range": [0, 1.08], "nticks": 5}, shapes=shapes,
        annotations=notes, margin={"l": 46, "r": 12, "t": 24, "b": 34}, showlegend=True, hovermode="x unified",
    )  # fmt: skip
    return cards.card(title, cards.graph(figure, 240, "Utilisation by cluster over time", brush="gpu-busy"), sub=sub, sql=[query])


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
    return cards.card("Devices", tables.grid("devices", rows, columns, height=min(420, 60 + tables.ROW_PX * len(rows))), sub=sub, tools=[tables.csv_button("devices")], sql=[Query(DEVICES, view.params)])


def _what(row: Mapping[str, Any]) -> str:
    if row["util"] is None:
        return "◌ silent"
    notes = [f"XID {row['xid']}"] if row["xid"] else []
    notes += ["throttled"] if row["throttled"] else []
    return ", ".join([*notes, *(["idle"] if row["idle"] else ["full"] if row["full"] else [])])
