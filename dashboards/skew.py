"""Is it asked what it was trained on? The training–serving skew of a model's features, worst first.

Source: our own, after UX.md; METHODS section 9. Judged once a day, so the newest three days are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from dash import html

from dashboards import cards, sections, states, tables, words
from dashboards.cards import Badge, Query
from dashboards.reader import Reader
from dashboards.scope import Scope

NEWEST: Final = """
select monitor_id, subject, state, severity, effect, unit, ci_low, ci_high, n, note, window_end, details::VARCHAR as details, evidence_nats, threshold_nats
from finding
where kind = 'skew' and model = $model and window_end > $end::TIMESTAMPTZ - interval 3 day and window_end <= $end::TIMESTAMPTZ
qualify row_number() over (partition by monitor_id order by window_end desc) = 1
order by case state when 'alarm' then 0 when 'inform_only' then 1 when 'unknown' then 2 when 'ok' then 4 else 3 end, evidence_nats desc nulls last, subject
"""
_STALE: Final = timedelta(days=2)  # it is judged once a day
_TALL: Final = 9  # features from which on the table scrolls
_TITLE: Final = "Is it asked what it was trained on?"


def section(read: Reader, view: Scope, name: str, facts: Mapping[str, Any]) -> list[Any]:
    """Title and card; nothing where no training file is named and none was ever compared."""
    made = [card for card in cards.gather(lambda: _card(read, view, name, facts)) if card is not None]
    return [sections.section("Training–serving skew", "skew"), *made] if made else []


def _card(read: Reader, view: Scope, name: str, facts: Mapping[str, Any]) -> Any:
    query = Query(NEWEST, {**view.params, "model": name})
    rows = read(NEWEST, query.params).to_dicts()
    declared = (facts.get("drift") or {}).get("skew")
    if not rows:
        hint = "Features are compared once a day, after midnight UTC, from the first whole day on."
        none = cards.empty(f"{declared} was not compared with anything yet", hint, 140)
        return cards.card(_TITLE, none, mark=Badge("unknown", "not known"), sql=[query]) if declared else None
    marks = [states.finding_badge(r["state"], r["severity"], r["window_end"], view.now, _STALE) for r in rows]
    columns = [
        tables.Column("feature", "Feature", "", 150), tables.Column("verdict", "Verdict", "", 100), tables.Column("note", "What is served beside training", "", 460),
        tables.Column("effect", "Difference", "", 110), tables.Column("interval", "95 % interval", "", 150, hint="of that one figure; not widened for having looked at all of them"),
        tables.Column("n", "Rows", "count", 100, hint="served rows that were compared, of two weeks at most"),
    ]  # fmt: skip
    shown = [_row(r, mark) for r, mark in zip(rows, marks, strict=True)]
    return cards.card(
        _TITLE, tables.grid("skew", shown, columns, height=380 if len(rows) > _TALL else 0), html.P(_said(rows), className="legend"),
        sub=_sub(rows), mark=states.worst(marks), tools=[tables.csv_button("skew")], sql=[query],
    )  # fmt: skip


def _row(row: Mapping[str, Any], mark: Badge) -> Mapping[str, Any]:
    unit = row["unit"] or ""
    ends = None if row["ci_low"] is None else f"{_signed(row['ci_low'])} to {_signed(row['ci_high'])} {unit}"
    note = str(row["note"]).removeprefix(f"{row['subject']}: ")
    return {
        "feature": row["subject"], "verdict": mark.word, "note": note, "n": row["n"], "interval": ends or words.UNKNOWN,
        "effect": words.UNKNOWN if row["effect"] is None else f"{_signed(row['effect'])} {unit}",
    }  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−")


def _sub(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which file, how many rows, and which days it is compared with."""
    details = [json.loads(r["details"] or "{}") for r in rows]
    file: Mapping[str, Any] = next((d for d in details if d.get("file")), {})
    since = min((datetime.fromisoformat(d["compared_from"]) for d in details if d.get("compared_from")), default=None)
    until = max(r["window_end"] for r in rows)
    days = f" · beside what was served {words.clock(since)} – {words.clock(until)} UTC" if since else ""
    said = (
        f"{file['file']}, {words.count(file['file_rows'])} rows, content {file['fingerprint'] or '–'}" if file else ""
    )
    return f"{said}{days}".removeprefix(" · ")


def _said(rows: Sequence[Mapping[str, Any]]) -> str:
    judged = [r for r in rows if r["state"] in ("ok", "alarm")]
    return (
        f"{len(judged)} of {len(rows)} questions could be judged; the others are unknown, not fine. A feature is told once for one training file:"
        " the alarm stays until what is served is like the file, somebody accepts the difference, or the file changes."
    )
