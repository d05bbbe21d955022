"""The levels of a categorical feature: the share of each before and now, and rows of levels nobody knows.

A level's interval is that of its own question where one is asked. The names of unknown levels are not in the
summaries: they are read from the rows of the newest window that had any, and only while those are kept.

Source: METHODS sections 2, 3 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from dash import html

from dashboards import cards, distribution, feature, moved, words
from dashboards.cards import Query
from dashboards.distribution import Seen
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from observe.errors import QueryError
from observe.schema import OWN_LEVELS

NEWEST_UNKNOWN: Final = """
select ts, window_s, counts[len(counts)]::DOUBLE as unknown from summary
where measure = $measure and binning_id = $binning and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and counts[len(counts)] > 0
order by ts desc limit 1
"""
COLUMN: Final = """
select t.name as relation, c.column_name as column_name from core.model_table t join core.feature_column c using (model)
where t.model = $model and c.feature = $feature
"""
NAMES: Final = """
select {column}::VARCHAR as level, count(*)::DOUBLE as n from {relation}
where ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and {column} is not null
  and not exists (select 1 from (select unnest(levels) as known from binning where binning_id = $binning) where known = {column}::VARCHAR)
group by 1 order by 2 desc, 1 limit 6
"""
_SHOWN: Final = 5  # names of unknown levels
_LONGEST: Final = 40  # characters of a level


def levels_card(
    read: Reader,
    view: Scope,
    model: str,
    finding: Mapping[str, Any],
    drifts: Sequence[Mapping[str, Any]],
    span: int = 6,
) -> Any:
    """Each large level's share before and now with its interval, the small ones together, and the unknown ones."""
    found = distribution.seen(read, view, model, finding)
    if found is None or found.bins["kind"] != "categorical":
        return None
    title = ["Levels of ", str(finding["subject"])]
    sub = f"share in the reference and since {words.clock(found.since, view.now)} UTC"
    if not found.enough:
        none = cards.empty("Too few rows to tell shares", f"From {distribution.FEWEST_ROWS} rows on.", 120)
        return cards.card(title, none, sub=sub, sql=found.queries, span=span)
    asked = {moved.score(d): d for d in drifts if d["subject"] == finding["subject"]}
    body, more = [_table(found, asked, view)], list[Query]()
    if found.current[-1] > 0:
        said, more = _unknown(read, view, model, finding, found)
        body.append(html.P(said, className="sub"))
    note = "Intervals are those of the questions asked: of the whole change while one alarms, else of the newest judged window."
    return cards.card(title, *body, html.P(note, className="legend"), sub=sub, sql=[*found.queries, *more], span=span)


def _table(found: Seen, asked: Mapping[str, Mapping[str, Any]], view: Scope) -> Any:
    names = [str(x) for x in found.bins["levels"] or ()]
    own, last = min(OWN_LEVELS, len(names)), len(names)
    rows = [_row(name, (found, slice(i, i + 1)), _question(asked, name, i), view) for i, name in enumerate(names[:own])]
    if last > own:
        rows.append(
            _row(
                f"{last - own} smaller levels",
                (found, slice(own, last)),
                asked.get(f"{moved.SHARE}{moved.OTHER}"),
                view,
            )
        )
    rows.append(_row("any other value", (found, slice(last, None)), asked.get("unseen"), view))
    head = html.Tr([html.Th(h, scope="col") for h in ("Level", "Reference", "Now", "Change", "95 % of now", "")])
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)]), className="measures levels")


def _question(asked: Mapping[str, Mapping[str, Any]], name: str, place: int) -> Mapping[str, Any] | None:
    return asked.get(moved.SHARE + name) or asked.get(f"{moved.SHARE}#{place + 1}")


def _row(name: str, where: tuple[Seen, slice], finding: Mapping[str, Any] | None, view: Scope) -> Any:
    found, cells = where
    before, now = (float(c[cells].sum() / c.sum()) for c in (found.reference, found.current))
    told = moved.told(finding, found.bins) if finding is not None else None
    shown = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    mark = cards.badge(feature.badge(finding, view)) if finding is not None else html.Span("not asked", className="dim")
    change = words.effect(100 * (now - before), "pp")
    values = (words.share(before), words.share(now), change, (told.interval if told else None) or words.UNKNOWN)
    return html.Tr(
        [html.Th(shown, scope="row", title=name), *(html.Td(v, className="value") for v in values), html.Td(mark)]
    )


def _unknown(read: Reader, view: Scope, model: str, finding: Mapping[str, Any], found: Seen) -> tuple[str, list[Query]]:
    """How many rows are of no known level, and which ones the newest window had that had any."""
    source, rows = str(found.bins["source_table"]), float(found.current[-1])
    head = f"{words.count(rows)} rows ({words.share(rows / found.rows)}) are of none of the {len(found.bins['levels'] or ())} known levels"
    params: dict[str, Value] = {
        **view.params, "measure": f"{model}/{source}/{finding['subject']}", "binning": found.bins["binning_id"], "from": found.since,
    }  # fmt: skip
    newest = read(NEWEST_UNKNOWN, params)
    if newest.is_empty():
        return f"{head}.", [Query(NEWEST_UNKNOWN, params)]
    at, length = newest["ts"][0], timedelta(seconds=int(newest["window_s"][0]))
    names, query = _names(read, model, finding, found, (at, at + length))
    when = f"in the window of {words.clock(at, view.now)} UTC"
    queries = [Query(NEWEST_UNKNOWN, params), *([query] if query else [])]
    if not names:
        return f"{head}; which ones is not kept in summaries, and the rows {when} are not kept any more.", queries
    shown = ", ".join(
        f"{n if len(n) <= _LONGEST else n[: _LONGEST - 1] + '…'} ({words.count(c)})" for n, c in names[:_SHOWN]
    )
    return f"{head}; {when}: {shown}{' and more' if len(names) > _SHOWN else ''}.", queries


def _names(
    read: Reader, model: str, finding: Mapping[str, Any], found: Seen, span: tuple[datetime, datetime]
) -> tuple[list[tuple[str, float]], Query | None]:
    """Unknown levels and their rows in one window; none where its rows are not kept."""
    relation, column = _stored(read, model, str(found.bins["source_table"]), str(finding["subject"]))
    if relation is None:
        return [], None
    sql = NAMES.format(relation=relation, column=column)
    if relation == "attempt":
        sql = sql.replace("where ts", "where model_id = $model and status = 'ok' and ts", 1)
    params: dict[str, Value] = {"model": model, "binning": found.bins["binning_id"], "from": span[0], "end": span[1]}
    try:
        return list(read(sql, params).iter_rows()), Query(sql, params)
    except QueryError:  # the model's table has gone, or never was: predictions of a restored store
        return [], None


def _stored(read: Reader, model: str, source: str, name: str) -> tuple[str | None, str]:
    """The view and column that hold a feature's rows; names are quoted, for they come from data."""
    if source == "attempts":
        return "attempt", _quoted(name)
    rows = read(COLUMN, {"model": model, "feature": name})
    if rows.is_empty():
        return None, ""
    return f"predictions.{_quoted(str(rows['relation'][0]))}", _quoted(str(rows["column_name"][0]))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
