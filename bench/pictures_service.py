"""Pictures of docs/detectors about answers: `burn`, `canary`, `performance` and `estimate` at work. See `bench.pictures`."""

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench import canary, slo_gate
from bench.answers import KINDS, START, Kind, answered
from bench.drawing import BLUE, RED, Panel, svg
from bench.performance import HISTORY_H, SAID, binned, evidence
from detectors import estimate, performance
from detectors.errorbudget import Minutes, gate_nats
from observe.schema import Evidence, Window
from observe.spec.performance import estimates

Floats = NDArray[np.float64]


def burning() -> str:
    """Eight hours of a service with little traffic: five errors at once, and later a burn."""
    minutes, burst, begun = 20 * 60, 90, 330
    rng, first = np.random.default_rng(7), 20 * 60 - 8 * 60
    n = rng.poisson(6, minutes)
    bad = np.zeros(minutes, dtype=np.int64)
    bad[first + burst] = min(5, n[first + burst])
    bad[first + begun :] = rng.binomial(n[first + begun :], 0.06)
    budget, tier = 1 - slo_gate.OBJECTIVE, slo_gate.params()["tiers"][0]  # type: ignore[index]
    counted, ends = Minutes.of(0, n, bad), np.arange(first + 1, minutes + 1)
    total, errors = counted.within(ends, 60)
    walk = slo_gate.walked(n, bad)
    phi = np.interp(ends, [mark.minute for mark in walk.marks], [mark.phi for mark in walk.marks])
    nats, fired = gate_nats(errors.astype(np.float64), total * budget, phi), slo_gate.fired(walk)
    factor, need = tier["factor"], tier["gate_nats"]
    fast = Panel(
        "burn of the last hour (blue) and of the last five minutes (dots), in multiples of what is allowed; 14.4 pages if all agree",
        0.0, 80.0, ("0", "80×"), counted.burn(ends, 5, budget), [(counted.burn(ends, 60, budget), BLUE)], (factor, f"{factor:g}×"),
    )  # fmt: skip
    gate = Panel(
        "what the errors of that hour prove, the evidence that a page needs, and when it paged", 0.0, 2 * need, ("0", ""),
        None, [(nats, RED)], (need, f"{need:.1f} nats"),
    )  # fmt: skip
    return svg([fast, gate], [fired[0] - first] if fired else [begun])


def beside() -> str:
    """Six hours of two canaries: one has twice the errors of the old version, one is as good."""
    minutes = 360
    worse, _, _ = canary.paths(canary.run(canary.KINDS["flat"], 2.0, minutes, np.random.default_rng(7)))
    alike, good, _ = canary.paths(canary.run(canary.KINDS["flat"], 1.0, minutes, np.random.default_rng(8)))
    at = int(canary.first(worse, float(canary.WORSE)))
    needs = float(canary.WORSE), float(canary.GOOD)
    bad = Panel(
        "evidence that it is worse: of a canary with twice the errors (red), of one without (blue); and when it is told",
        -3.0, 12.0, ("", "12 nats"), None, [(worse, RED), (alike, BLUE)], (needs[0], f"{needs[0]:.1f} nats"),
    )  # fmt: skip
    fine = Panel(
        "evidence that the other one is as good as the old version", -3.0, 6.0, ("", "6 nats"), None, [(good, BLUE)],
        (needs[1], f"{needs[1]:.1f} nats"),
    )  # fmt: skip
    return svg([bad, fine], [at - 1])


def labelled() -> str:
    """Five days of a model's hourly accuracy with a season, and a world that turns a little."""
    judged, begun = 5 * 24, 24
    given = evidence(KINDS["season"], 1, 7, judged, turned=0.04)
    [asked] = [m for m in given.monitors if m.feature == "accuracy"]
    found = [f for f in performance.detect(given).findings if f.monitor_id == asked.monitor_id]
    rows = given.summaries.filter((pl.col("measure") == asked.measure) & (pl.col("ts") >= given.window.start)).sort(
        "ts"
    )
    counts = np.array(rows["counts"].to_list(), dtype=np.float64)
    right = counts[:, 1] / counts.sum(axis=1)
    nats = np.array([f.evidence_nats or 0.0 for f in found])
    need = found[-1].threshold_nats or 0.0
    low, high = float(right.min()), float(right.max())
    seen = Panel("accuracy of each hour, by labels", low, high, (f"{low:.0%}", f"{high:.0%}"), right)
    told = Panel(
        "evidence that it fell, and the threshold", 0.0, 2 * need, ("0", ""), None, [(nats, RED)], (need, f"{need:.0f} nats")
    )  # fmt: skip
    return svg([seen, told], [begun])


def unlabelled() -> str:
    """Nine days of an estimate without labels: questions get harder, which it sees, and the world turns, which it cannot."""
    days, harder, turned = 9, 3 * 24, 6 * 24
    hours = HISTORY_H + 24 * days
    t, rng = np.arange(hours) - HISTORY_H, np.random.default_rng(7)
    rows = answered(Kind(), np.where(t >= harder, 0.5, 0.0), 500, rng, np.where(t >= turned, 0.06, 0.0))
    cells = [binned(rows, rows.hour == hour) for hour in range(hours)]
    frame = pl.DataFrame({
        "ts": [START + timedelta(hours=h) for h in range(hours)], "model": ["m"] * hours,
        "n": [int(c.n.sum()) for c in cells], "value_sum": [None] * hours,
    })  # fmt: skip
    score, wrong = (
        frame.with_columns(pl.Series("counts", [list(map(int, of)) for of in values], dtype=pl.List(pl.Int64)))
        for values in ([c.n for c in cells], [c.total for c in cells])
    )
    monitor = next(m for m in estimates("m", SAID) if m.feature == "accuracy")
    known = pl.concat([score.with_columns(feature=pl.lit("score")), wrong.with_columns(feature=pl.lit("score_wrong"))])
    window = Window(START + timedelta(hours=HISTORY_H), START + timedelta(hours=hours))
    given = Evidence(
        (monitor,), window, score.with_columns(measure=pl.lit(monitor.measure)), {}, {}, {estimate.LABELLED: known}
    )
    found = estimate.detect(given).findings
    value, low, high = (np.array([getattr(f, n) for f in found]) for n in ("effect", "ci_low", "ci_high"))
    right = np.array([1 - c.total.sum() / c.n.sum() for c in cells])
    day = np.convolve(right, np.full(24, 1 / 24), "valid")[-value.size :]
    bottom, top = min(day.min(), low.min()) - 0.01, max(day.max(), high.max()) + 0.01
    panel = Panel(
        "accuracy of the last 24 hours: as labels show it later (dots), as estimated before them (line, with its 95 %)",
        bottom, top, (f"{bottom:.0%}", f"{top:.0%}"), day, [(value, RED), (low, BLUE), (high, BLUE)],
    )  # fmt: skip
    return svg([panel], [harder, turned])
