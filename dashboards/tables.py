"""Tables that sort, filter and export; cells are drawn by name from `assets/grid.js`, always as text.

Source: AG Grid 35 community, its theming API with our CSS variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dash_ag_grid as dag
from dash import html

Row = Mapping[str, Any]
ROW_PX = 36
TALL_PX = 48  # a row of two lines
_WHOLE = frozenset({"state", "clock", "span"})  # drawings that say something else when they are cut
_THEME = (
    "themeQuartz.withParams({backgroundColor: 'var(--ground)', foregroundColor: 'var(--ink)', headerBackgroundColor: 'transparent',"
    " borderColor: 'var(--line)', accentColor: 'var(--info)', fontFamily: 'inherit', fontSize: 13, headerFontSize: 12, headerTextColor: 'var(--dim)',"
    " rowHoverColor: 'var(--raised)', wrapperBorder: false, headerRowBorder: true, columnBorder: false, cellHorizontalPadding: 10,"
    " oddRowBackgroundColor: 'transparent', headerColumnResizeHandleColor: 'transparent'})"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the row's field, its heading, how it is drawn, and its share of the width.

    `draw` is a function of `assets/grid.js`: share, count, times, usd, clock, seconds, span, state, budget,
    model, incident, happened (text of two lines that leads to the incident of field `id`), said (text of two lines, or
    of one with field `<name>_more` below it), or "" for text.
    `tip` names the field that is shown where the pointer rests, the text itself when it is "".
    """

    name: str
    heading: str
    draw: str = ""
    width: int = 120
    hint: str = ""
    sort: str = ""
    tip: str = ""


def grid(name: str, rows: Sequence[Row], columns: Sequence[Column], height: int = 0) -> Any:
    """A table of rows held in the browser; `height` px scrolls it, 0 shows all rows."""
    options: dict[str, Any] = {
        "theme": {"function": _THEME}, "animateRows": False, "rowHeight": ROW_PX, "headerHeight": 34, "enableCellTextSelection": True,
        "suppressDragLeaveHidesColumns": True, "tooltipShowDelay": 300, "domLayout": "normal" if height else "autoHeight",
    }  # fmt: skip
    return dag.AgGrid(
        id={"type": "grid", "index": name}, rowData=[dict(r) for r in rows], columnDefs=[_column(c) for c in columns],
        defaultColDef={"sortable": True, "filter": True, "resizable": True, "minWidth": 80}, columnSize="responsiveSizeToFit",
        dashGridOptions=options, csvExportParams={"fileName": f"observe-{name}.csv"}, className="grid-table",
        style={"height": f"{height}px" if height else None, "width": "100%"},
    )  # fmt: skip


def two_lines(table: Any) -> Any:
    """The same table with rows of `TALL_PX`, for cells of two lines."""
    table.dashGridOptions = {**table.dashGridOptions, "rowHeight": TALL_PX}
    return table


def csv_button(name: str) -> Any:
    """The button that saves the table of this name."""
    return html.Button("CSV", className="quiet-button", title="Save as CSV", id={"type": "csv", "index": name})


def _column(column: Column) -> dict[str, Any]:
    held: dict[str, Any] = {
        "field": column.name,
        "headerName": column.heading,
        "width": column.width,
        "minWidth": max(80, round(column.width * (1.0 if column.draw in _WHOLE else 0.8))),
        "headerTooltip": column.hint or column.heading,
    }
    if column.draw in ("", "model", "incident", "happened", "said"):
        held["tooltipField"] = column.tip or column.name  # a long text is cut in its cell
    if column.sort:
        held["sort"] = column.sort
    if column.draw in ("state", "budget", "model", "incident", "happened", "said", "slo", "left", "burns", "promise"):
        held["cellRenderer"] = f"{column.draw.capitalize()}Cell"
    elif column.draw:
        held["valueFormatter"] = {"function": f"observe_{column.draw}(params.value)"}
        held["filter"] = "agNumberColumnFilter" if column.draw != "clock" else True
        held["type"] = "rightAligned"
    return held
