"""A drift report as one page that stands alone: no script, no request, dark or light as the reader's system.

Source: our own, after UX.md; TRUST section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dashboards import palette, words
from dashboards.markup import Markup, Part, joined, table, tag
from dashboards.palette import SIGNS
from dashboards.report import VERDICTS, Drawn, Report, budget_lines, state_of
from dashboards.report_charts import draw_course, draw_distribution
from dashboards.report_text import (
    COMPARED_HEADS,
    EVIDENTLY_NOTE,
    STREAM_HEADS,
    VALUE_HEADS,
    change_lines,
    compared_rows,
    finding_lines,
    incident_lines,
    sample_line,
    stream_cells,
    value_rows,
)
from dashboards.report_verdict import features_of, why_none
from dashboards.report_verdict import told as said_of

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_LIGHT_INK: Final = {"ok": "#00694D", "ticket": "#8A5A00"}  # UX.md: text needs more contrast on white


def as_html(report: Report, beside: str | None = None) -> str:
    """The whole page.

    Args:
        report: what it says.
        beside: the name of the file with Evidently's own page, which lies beside this one.
    """
    facts = report.facts
    head = tag(
        "head", tag("meta", charset="utf-8"), Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="dark light"), tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"Drift of {facts.model} · {facts.end:%Y-%m-%d}"), tag("style", Markup(style())),
    )  # fmt: skip
    body = tag("body", tag("main", _verdict(report), *_sections(report, beside), _foot(report)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _verdict(report: Report) -> Markup:
    facts, told = report.facts, report.said
    look, word = VERDICTS[told.verdict]
    name = f" · {report.title}" if report.title else ""
    period = f"{facts.start:%Y-%m-%d %H:%M} – {facts.end:%Y-%m-%d %H:%M} UTC"
    numbers = [
        ("features drifting", f"{features_of(told.drifting)} of {told.features}"),
        *([("pairs changed", f"{len(told.drifting) - features_of(told.drifting)} of {told.pairs}")] if told.pairs else []),
        ("drifted, over", str(len(told.over))), ("judged", f"{told.judged} of {told.features}"),
        ("incidents", str(len(facts.incidents))), ("changes", str(len(facts.changes))),
    ]  # fmt: skip
    return tag(
        "header",
        tag("p", f"Drift report{name} · {period}", cls="dim"), tag("h1", facts.model, " ", badge(look, word)),
        tag("p", told.headline + ".", cls="headline"),
        tag("dl", [tag("div", tag("dt", k), tag("dd", v)) for k, v in numbers]),
        cls=f"verdict {look}",
    )  # fmt: skip


def badge(look: str, word: str) -> Markup:
    """A state as sign, word and colour together."""
    return tag("span", tag("span", SIGNS[look], aria_hidden="true"), f" {word}", cls=f"badge {look}")


def _sections(report: Report, beside: str | None) -> list[Markup]:
    facts, told = report.facts, report.said
    changed = [_feature(report, d) for d in report.drawn if d.stream.drifts or d.stream.ended]
    still = [_feature(report, d) for d in report.drawn if not d.stream.drifts and not d.stream.ended]
    informing = [f"{s.feature} ({s.watched}): {s.note}" for s in told.informing]
    parts: tuple[tuple[str, str, Part], ...] = (
        ("What moved", "", changed),
        ("For information only", "kinds of change that are not held to the false-alarm budget", _list(informing)),
        ("Not judged", "unknown is not fine", _list([f"{f}: {why}" for f, why in told.unjudged])),
        ("Every question", "newest answer of the period", _questions(report)),
        ("For comparison", "features that did not drift, largest effect first", still),
        ("Values", "in the period, and in the time of the same length before it", _values(report)),
        ("Incidents", "open in the period", _list(incident_lines(report))),
        ("Changes and decisions", "", _list(change_lines(report))),
        ("False alarms", "declared and spent, as of now", _list(budget_lines(facts))),
        ("Evidently", "a second opinion on a sample", _evidently(report, beside)),
    )
    return [_section(title, sub, body) for title, sub, body in parts if body]


def _values(report: Report) -> Part:
    return table(VALUE_HEADS, value_rows(report)) if report.facts.values else None


def _section(title: str, sub: str, body: Part) -> Markup:
    return tag("section", tag("h2", title), tag("p", sub, cls="dim") if sub else None, body)


def _list(lines: Sequence[str]) -> Part:
    return None if not lines else tag("ul", [tag("li", line) for line in lines])


def _feature(report: Report, drawn: Drawn) -> Markup:
    stream = drawn.stream
    unit = report.facts.units.get(stream.feature, "")
    look, word = state_of(stream)
    title = tag("h3", stream.feature, tag("span", f" {stream.watched} ", cls="dim"), badge(look, word))
    lead = tag("p", said_of(stream), cls="lead") if stream.effect is not None else None
    lines = finding_lines(stream) if stream.drifts or stream.ended else finding_lines(stream)[:1]
    pictures = [_distribution(drawn, unit), _course(report, drawn)]
    return tag("article", title, lead, _list(lines), tag("div", pictures, cls="pair"))


def _distribution(drawn: Drawn, unit: str) -> Markup:
    told = drawn.distribution
    if told is None:
        return tag("figure", tag("p", "◌ no bins, or too few rows to draw a distribution", cls="dim none"))
    said = f"on the same bins; now: {words.count(told.rows)} rows, {words.clock(told.since)} – {words.clock(told.until)} UTC"
    keys = [tag("span", cls="key ref"), " reference ", tag("span", cls="key cur"), " now · ", said]
    return tag("figure", draw_distribution(drawn.stream.feature, unit, told), tag("figcaption", keys))


def _course(report: Report, drawn: Drawn) -> Markup:
    if drawn.course is None:
        return tag("figure", tag("p", "◌ not judged often enough to draw", cls="dim none"))
    unit = "σ" if drawn.stream.unit == "sigma" else drawn.stream.unit or ""
    picture = draw_course(drawn.stream, drawn.course, (report.facts.start, report.facts.end))
    return tag("figure", picture, tag("figcaption", f"effect over time in {unit}; band: 95 % interval"))


def _questions(report: Report) -> Markup:
    if not report.facts.streams:
        why = "declare drift: in the model's Monitoring" if report.facts.watched is False else why_none(report.facts)
        return tag("p", f"◌ {why[0].upper()}{why[1:]}.")
    rows = []
    for stream in report.facts.streams:
        look, word = state_of(stream)
        rows.append([badge(look, word), *stream_cells(stream)[1:]])
    return table(STREAM_HEADS, rows)


def _evidently(report: Report, beside: str | None) -> Part:
    attached = report.attached
    if attached is None:
        return None
    if attached.why_not is not None:
        return tag("p", f"◌ Not made: {attached.why_not}. The rest of this report does not depend on it.")
    link = tag("a", "Evidently's own page", href=beside) if beside else None
    about = [tag("p", f"{sample_line(report)}. {EVIDENTLY_NOTE}")]
    about += [tag("p", link, " (its own scripts, kept apart; it loads nothing from elsewhere)")] if link else []
    left = [f"{column}: {why}" for column, why in attached.left_out]
    return joined(
        [about, table(COMPARED_HEADS, compared_rows(report)), [tag("p", "Left out:"), _list(left)] if left else None]
    )


def _foot(report: Report) -> Markup:
    said = (
        "A feature drifts when the evidence against “nothing changed”, in nats, passes what the declared false-alarm budget asks for. "
        "Intervals are 95 %. σ is a standard deviation of the reference. “found within 24 h” is the smallest lasting change that would be found "
        "in a day with 90 %. What is not judged is listed as such and never counted as fine. "
    )
    return tag("footer", said, f"Made {report.facts.made_at:%Y-%m-%d %H:%M:%S} UTC by Observe.")


def style() -> str:
    """The style of pages that stand alone, dark and light; they print light."""
    dark, light = palette.PALETTES["dark"], palette.PALETTES["light"]
    return (
        f":root{{color-scheme:dark light;{_colours(dark, {})}}}@media (prefers-color-scheme:light),print{{:root{{{_colours(light, _LIGHT_INK)}}}}}"
        + _RULES
    )


def _colours(p: palette.Palette, ink: dict[str, str]) -> str:
    pairs = {
        "ground": p.ground, "raised": p.raised, "edge": p.line, "ink": p.ink, "dim": p.dim, "cur": p.series[0],
        "ok": ink.get("ok", p.ok), "ticket": ink.get("ticket", p.ticket), "info": p.info, "unknown": p.unknown,
    }  # fmt: skip
    return "".join(f"--{name}:{value};" for name, value in pairs.items())


_RULES: Final = """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:14px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1120px;margin:0 auto;padding:20px 16px 40px}
h1{font-size:24px;margin:2px 0 6px;overflow-wrap:anywhere}h2{font-size:17px;margin:0}h3{font-size:15px;margin:0;overflow-wrap:anywhere}
p{margin:4px 0;overflow-wrap:anywhere;max-width:100ch}ul{margin:6px 0;padding-left:20px}li{overflow-wrap:anywhere}
.dim{color:var(--dim);font-weight:400;font-size:13px}.headline{font-size:16px;font-weight:600}.lead{font-weight:600}
.verdict{border:1px solid var(--edge);border-left:5px solid var(--unknown);border-radius:8px;padding:14px 16px}
.verdict.ok{border-left-color:var(--ok)}.verdict.ticket{border-left-color:var(--ticket)}
dl{display:flex;flex-wrap:wrap;gap:6px 30px;margin:12px 0 0}dt{color:var(--dim);font-size:12px}dd{margin:0;font-weight:600;font-size:16px}
.badge{font-size:13px;font-weight:600;white-space:nowrap;color:var(--dim)}
.badge.ok{color:var(--ok)}.badge.ticket{color:var(--ticket)}.badge.info{color:var(--info)}
section{margin-top:26px}article{border:1px solid var(--edge);border-radius:8px;padding:12px 14px;margin-top:10px;break-inside:avoid}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:14px;margin-top:8px}
figure{margin:0}figcaption{color:var(--dim);font-size:12px}.none{padding:40px 10px;text-align:center}
.chart{width:100%;height:auto;display:block}.chart text{fill:var(--dim);font-size:11.5px;font-family:inherit}
.chart .base,.chart .zero{stroke:var(--edge);stroke-width:1}.chart .onset{stroke:var(--ticket);stroke-width:1.5;stroke-dasharray:4 3}
.chart path.ref{fill:none;stroke:var(--dim);stroke-width:1.6}.chart path.cur{fill:var(--cur);fill-opacity:.34;stroke:var(--cur);stroke-width:1.2}
.chart rect.ref{fill:var(--dim);fill-opacity:.55}.chart rect.cur{fill:var(--cur)}
.chart .band{fill:var(--cur);fill-opacity:.22}.chart .line{fill:none;stroke:var(--cur);stroke-width:1.6}
.key{display:inline-block;width:10px;height:10px;border-radius:2px}.key.ref{background:var(--dim)}.key.cur{background:var(--cur)}
.scroll{overflow-x:auto;margin-top:8px;border:1px solid var(--edge);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:13px}th{color:var(--dim);font-weight:500;font-size:12px}
th,td{text-align:left;padding:6px 10px;vertical-align:top;border-bottom:1px solid var(--edge)}tbody tr:last-child td{border-bottom:0}
td{white-space:nowrap}td:nth-child(2),td:first-child{white-space:normal;min-width:14ch;overflow-wrap:anywhere}a{color:var(--info)}footer{margin-top:30px;color:var(--dim);font-size:12.5px;max-width:100ch}
:focus-visible{outline:2px solid var(--info);outline-offset:2px}
@media print{main{max-width:none}}
"""
