"""A comparison as HTML: one self-contained piece for notebooks and files, no script, light and dark.

Every text from the tables is escaped. Reference and current are drawn over the same bins.

Source: UX.md, design tokens and "peer faults to beat"; WHATWG HTML, CSS `prefers-color-scheme`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from detectors.exact_verdict import Bins, Feature, Reads, Test, Verdict, size_text
from observe.app.frames_words import SIGNS, effect_text, lasting, signed, value

if TYPE_CHECKING:
    from observe.app.frames_result import Comparison

_PICTURES: Final = 100  # features with a picture, the worst first: a page stays below a few MB
_WIDTH, _HEIGHT = 560, 150
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_CLASSES: Final[dict[Verdict, str]] = {"drift": "oc-bad", "too_few": "oc-dim", "inform": "oc-info", "no_drift": "oc-ok"}

_STYLE: Final = """
.oc{--ground:#fff;--raised:#f3f5f8;--line:#d5dbe2;--ink:#1b2430;--dim:#5b6673;--bad:#9A3412;--ok:#00694D;--info:#0072B2;
--ref:#8a94a0;--cur:#0072B2;color-scheme:light dark;background:var(--ground);color:var(--ink);font:14px/1.45 system-ui,sans-serif;
font-variant-numeric:tabular-nums;padding:16px;max-width:1100px}
@media (prefers-color-scheme:dark){.oc{--ground:#0d1117;--raised:#161d26;--line:#262e38;--ink:#e6edf3;--dim:#9aa4af;--bad:#F08A4B;
--ok:#2BBF94;--info:#4C9BE8;--ref:#7b8591;--cur:#56B4E9}}
.oc h1{font-size:18px;margin:0 0 4px}.oc p{margin:4px 0;color:var(--dim)}.oc b{font-weight:600}
.oc .oc-list{border:1px solid var(--line);border-radius:8px;margin:12px 0;overflow:hidden}
.oc details{border-top:1px solid var(--line)}.oc details:first-child{border-top:0}
.oc summary{display:grid;grid-template-columns:96px minmax(90px,220px) 1fr;gap:12px;padding:8px 12px;cursor:pointer}
.oc summary:hover{background:var(--raised)}.oc summary:focus-visible{outline:2px solid var(--info);outline-offset:-2px}
.oc summary span{overflow-wrap:anywhere}
.oc .oc-bad{color:var(--bad)}.oc .oc-ok{color:var(--ok)}.oc .oc-info{color:var(--info)}.oc .oc-dim{color:var(--dim)}
.oc .oc-body{padding:4px 12px 12px;display:flex;gap:20px;flex-wrap:wrap}.oc .oc-body>div{overflow-x:auto}
.oc table{border-collapse:collapse;font-size:13px}.oc td,.oc th{padding:2px 10px 2px 0;text-align:right;font-weight:400;background:none}
.oc th{color:var(--dim)}.oc td:first-child,.oc th:first-child{text-align:left;overflow-wrap:anywhere;max-width:260px}
.oc svg{max-width:100%;height:auto}.oc svg text{fill:var(--dim);font:11px system-ui,sans-serif}
.oc .oc-ref{fill:var(--ref);opacity:.45}.oc .oc-cur{fill:none;stroke:var(--cur);stroke-width:2}.oc .oc-bar{fill:var(--cur)}
.oc .oc-axis{stroke:var(--line)}
"""


def page(found: Comparison) -> str:
    """A whole document, which may load nothing."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{escape(found.headline)}</title>'
        "<style>body{margin:0;background:#fff}@media (prefers-color-scheme:dark){body{background:#0d1117}}"
        f".oc{{margin:0 auto}}</style></head><body>{fragment(found)}</body></html>\n"
    )


def fragment(found: Comparison) -> str:
    """The piece itself, with its style."""
    rows = "".join(
        _feature(f, open_=i < 3 and f.verdict == "drift", drawn=i < _PICTURES) for i, f in enumerate(found.features)
    )
    hidden = len(found.features) - _PICTURES
    return (
        f'<div class="oc"><style>{_STYLE}</style><h1>{escape(found.headline)}</h1>'
        f"<p>{_side(found.reference, found.reference_rows)} → {_side(found.current, found.current_rows)}</p>"
        f"<p>Matters: {escape(found.matters)}; {escape(found.assumes)}.</p>"
        f'<div class="oc-list">{rows}</div>'
        + (f"<p>Pictures of the {_PICTURES} worst features; {hidden:,} have none.</p>" if hidden > 0 else "")
        + "</div>"
    )


def _side(name: str, rows: int) -> str:
    return f"<b>{escape(name)}</b> ({rows:,} rows)"


def _feature(f: Feature, *, open_: bool, drawn: bool) -> str:
    notes = "".join(f"<p>{escape(note)}</p>" for note in f.notes if note != f.reason)
    change = effect_text(f)
    picture = f"<div>{picture_of(f.name, f.bins, f.reads)}</div>" if drawn and f.bins else ""
    return (
        f'<details{" open" if open_ else ""}><summary><span class="{_CLASSES[f.verdict]}">{SIGNS[f.verdict]}</span>'
        f"<span><b>{escape(f.name)}</b></span><span>{escape(f.reason)}</span></summary>"
        f'<div class="oc-body">{picture}<div>{f"<p>{escape(change)}</p>" if change else ""}{notes}'
        f"{_shifts(f)}</div>{_figures(f)}</div></details>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _shifts(f: Feature) -> str:
    unit = f" ({f.unit})" if f.unit and not f.reads else ""
    rows = []
    for s in f.shifts:
        low, shift, high = (lasting(v, f.unit) if f.reads else signed(v) for v in (s.low, s.shift, s.high))
        rows.append((s.of, value(s.reference, f.reads), value(s.current, f.reads), shift, f"{low} to {high}"))
    return _table(["", "reference", "current", f"change{unit}", "95 % interval"], rows)


def _figures(f: Feature) -> str:
    rows: list[tuple[str, ...]] = []
    for name in ("rows", "missing", "nan", "infinite", "unseen"):
        counts = getattr(f.reference, name), getattr(f.current, name)
        if name == "rows" or any(counts):
            rows.append((name, f"{counts[0]:,}", f"{counts[1]:,}"))
    distances: list[tuple[str, float | None]] = [("KS", f.ks), ("Wasserstein-1", f.wasserstein)]
    if f.distances:
        d = f.distances
        distances += [("PSI", d.psi), ("Jensen-Shannon", d.js), ("Hellinger", d.hellinger), ("total variation", d.tv)]
        distances += [(f"χ² (df {d.chi2_df})", d.chi2)]
    asked = [(t.name, size_text(t.effect, t.unit), _least(t), f"{t.p_holm:.2g}") for t in f.tests]
    tables = (
        _table(["", "reference", "current"], rows),
        _table(["distance", ""], [(name, f"{value:.4g}") for name, value in distances if value is not None]),
        _table(["question", "change", "matters", "p (Holm)"], asked),
    )
    return "".join(f"<div>{one}</div>" for one in tables if one)


def _least(test: Test) -> str:
    return size_text(test.least, test.unit) if test.least else "any"


def picture_of(name: str, bins: Bins, reads: Reads = "") -> str:
    """Both distributions over the same bins as SVG: reference filled, current as a line; levels as pairs of bars."""
    inner = _bars(bins) if bins.levels else _steps(bins, reads)
    height = 22 * len(bins.levels) + 24 if bins.levels else _HEIGHT + 34
    label = escape(f"{name}: share of rows, reference grey and current blue, on the same bins", quote=True)
    return f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">{inner}</svg>'


def _steps(bins: Bins, reads: Reads) -> str:
    top = max(*bins.reference, *bins.current, 1e-9)
    step = _WIDTH / len(bins.reference)

    def path(shares: Sequence[float]) -> str:
        parts = [f"M0 {_HEIGHT}"]
        for i, share in enumerate(shares):
            y = _HEIGHT - (_HEIGHT - 8) * share / top
            parts.append(f"L{i * step:.1f} {y:.1f}L{(i + 1) * step:.1f} {y:.1f}")
        return "".join(parts) + f"L{_WIDTH} {_HEIGHT}"

    middle = bins.edges[len(bins.edges) // 2]
    return (
        f'<path class="oc-ref" d="{path(bins.reference)}Z"/><path class="oc-cur" d="{path(bins.current)}"/>'
        f'<line class="oc-axis" x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/>'
        f'<text x="0" y="{_HEIGHT + 14}">{value(bins.edges[0], reads)}</text>'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 14}" text-anchor="middle">{value(middle, reads)}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 14}" text-anchor="end">{value(bins.edges[-1], reads)}</text>'
        f'<text x="0" y="{_HEIGHT + 30}">share of rows; reference filled grey, current as a blue line</text>'
    )


def _bars(bins: Bins) -> str:
    top = max(*bins.reference, *bins.current, 1e-9)
    left, room = 150, _WIDTH - 150 - 110
    parts = []
    for i, (level, a, b) in enumerate(zip(bins.levels, bins.reference, bins.current, strict=True)):
        y = 22 * i
        shown = level if len(level) <= 22 else level[:21] + "…"
        parts.append(
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(shown)}</text>'
            f'<rect class="oc-ref" x="{left}" y="{y + 2}" width="{room * a / top:.1f}" height="8"/>'
            f'<rect class="oc-bar" x="{left}" y="{y + 10}" width="{room * b / top:.1f}" height="8"/>'
            f'<text x="{left + room + 6}" y="{y + 14}">{100 * a:.3g}% → {100 * b:.3g}%</text>'
        )
    foot = f'<text x="0" y="{22 * len(bins.levels) + 16}">share of rows; reference grey, current blue</text>'
    return "".join(parts) + foot
