"""Which time is it compared with? The reference of a feature, and one accepted after a training, drawn on time charts.

A stretch that lies in the chart is a pale band with its name above; one that ended before it is a line of text
at the left edge. Inside the chart there is room for changes at the top and for the onset at the bottom.

Source: our own; tables `binning` (what a σ and a median are of) and `reference_window` (what a training brought).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dashboards import figures
from dashboards.cards import Query
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

SPANS: Final = """
select * from (select 'reference' as what, reference_from as begun, reference_to as ended from binning
  where model = $model and feature = $feature and source_table in ($source, $other) and reference_from is not null and reference_to is not null
  order by version desc limit 1)
union all
select * from (select (case state when 'accepted' then 'accepted reference' else 'proposed reference' end) || coalesce(' ' || version, ''), period_from, period_to
  from reference_window where model = $model and state in ('accepted', 'proposed') order by changed_at desc limit 1)
"""
_STEP_PX: Final = 14
_LATE: Final = 0.6  # of a chart's width: a name that begins further right ends there instead


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that something is compared with."""

    what: str
    start: datetime
    end: datetime

    @property
    def words(self) -> str:
        """`reference 2 Nov – 16 Nov`."""
        return f"{self.what} {self.start.day} {self.start:%b} – {self.end.day} {self.end:%b}"


@dataclass(frozen=True, slots=True)
class Compared:
    """The stretches behind a chart, and how they were asked for."""

    spans: tuple[Span, ...]
    query: Query

    def drawn(self, figure: figures.Figure, view: Scope) -> figures.Figure:
        """A chart over the view's time, with the stretches behind it and their names above it."""
        layout = figure["layout"]
        free = layout.get("showlegend") is False  # nothing else stands above it
        named = self.notes(view, above=free)
        shapes = [*self.shapes(view), *layout.get("shapes", ())]
        notes = [*layout.get("annotations", ()), *named]
        margin = {**layout["margin"], "t": layout["margin"]["t"] + _STEP_PX * len(named) * free}
        return {**figure, "layout": {**layout, "shapes": shapes, "annotations": notes, "margin": margin}}

    def shapes(self, view: Scope) -> list[figures.Trace]:
        """Bands behind the chart, as far as they lie in it."""
        p = palette(view.theme)
        return [
            {
                "type": "rect", "x0": figures.millis(max(s.start, view.start)), "x1": figures.millis(min(s.end, view.end)), "y0": 0, "y1": 1,
                "yref": "paper", "fillcolor": faint(p.info, 0.10), "line": {"width": 0}, "layer": "below",
            }
            for s in self.spans if s.start < view.end and s.end > view.start
        ]  # fmt: skip

    def notes(self, view: Scope, *, above: bool) -> list[figures.Trace]:
        """Their names: at the band, or at the edge behind which they lie; above the chart, or at its foot."""
        p = palette(view.theme)
        return [self._note(s, i, view, p.info) | {"y": int(above)} for i, s in enumerate(self.spans)]

    def _note(self, span: Span, row: int, view: Scope, colour: str) -> figures.Trace:
        before, after = span.end <= view.start, span.start >= view.end
        text = f"◂ {span.words}" if before else f"{span.words} ▸" if after else span.words
        at = view.end if after else max(span.start, view.start)
        right = (at - view.start) / (view.end - view.start) > _LATE
        return {
            "x": figures.millis(at), "yref": "paper", "yanchor": "bottom", "xanchor": "right" if right else "left", "xshift": -3 if right else 3,
            "yshift": _STEP_PX * row, "showarrow": False, "text": figures.plain(text), "font": {"size": 10.5, "color": colour},
        }  # fmt: skip


def compared(read: Reader, view: Scope, model: str, feature: str, sources: Sequence[str] = ()) -> Compared:
    """What a feature is compared with; of `sources` attempts and predictions unless given."""
    source, other = (*sources, *sources)[:2] if sources else ("attempts", "predictions")
    params: dict[str, Value] = {**view.params, "model": model, "feature": feature, "source": source, "other": other}
    found = [Span(str(what), begun, ended) for what, begun, ended in read(SPANS, params).iter_rows()]
    return Compared(tuple(found), Query(SPANS, params))
