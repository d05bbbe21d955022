"""The pictures of docs/detectors: each detector at work on a series made for it.

python -m bench.pictures docs/detectors/img [NAME ...]
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench import pictures_fleet, pictures_service, rates, streams, walks
from bench.drawing import BLUE, RED, Panel, svg
from detectors import gauge
from observe.app.backtest import backtest
from observe.app.backtest_plan import Options
from observe.app.backtest_table import tabulate
from observe.schema import Evidence, Monitor, Window

Floats = NDArray[np.float64]

HISTORY_D = 28


def level() -> str:
    """Eight days of hourly means with a season, and a shift of a fifth of a sigma."""
    days, begun, watch = 8, 110, walks.Watch({"location": 1.0}, 60)
    rng, hours = np.random.default_rng(7), 24 * (HISTORY_D + days)
    kind = streams.Stream(rho=0.6, tau=0.05, season=0.2, weekend=-0.15)
    world = streams.World.of(kind, streams.HOUR_S, hours, 1, rng)
    mean = world.mean + 0.2 * (np.arange(hours) >= hours - 24 * days + begun)[:, None]
    walk = walks.walk(world, walks.totals(world, mean, ("location",), rng), ("location",), watch, 24 * days)
    told: list[tuple[float, float, float]] = []

    def tell(end: int, which: object, nats: Floats, columns: tuple[Floats, ...]) -> None:
        told.append((float(columns[0][0]), float(columns[2][0]), float(nats[0])))

    walk._tell = tell  # type: ignore[method-assign, assignment]
    walk.slots[:] = 0
    walk.run()
    seen, expected, nats = np.array(told).T
    bottom, top = min(seen.min(), expected.min()), max(seen.max(), expected.max())
    need = watch.threshold("location")
    shown = Panel(
        "mean score of each hour, and the season that was learnt", bottom, top,
        (f"{bottom:+.2f} σ", f"{top:+.2f} σ"), seen, [(expected, BLUE)],
    )  # fmt: skip
    return svg([shown, _evidence("evidence, and the threshold", nats, need)], [begun])


class _Told(rates.Counted):
    """Remembers what its evidence was worth in every window."""

    def _tell(self, t: int, end: int, streams: object, nats: object, told: object) -> None:
        self.nats = [*getattr(self, "nats", []), float(np.asarray(nats)[0])]
        super()._tell(t, end, streams, nats, told)


def rate() -> str:
    """Three days of a share with a season, bursts of its own, and a rise."""
    days, begun = 3, int(2.2 * rates.DAY)
    rng, windows = np.random.default_rng(7), rates.DAY * (HISTORY_D + days)
    t = np.arange(windows)[:, None]
    share = 0.004 * 2 ** np.cos(2 * np.pi * (t - 150) / rates.DAY)
    share[windows - rates.DAY * days + begun :] *= 1.8
    n = np.full((windows, 1), 2000.0)
    x = rates.observed(rates.KINDS["season"], share, n, rng)
    walk = rates.judge(x, n, rates.DAY * days, kind=_Told)
    normal = walk.memory.normals[0]
    assert isinstance(walk, _Told)
    assert normal is not None
    ts = int(rates.START.timestamp()) + rates.STEP_S * np.arange(windows - rates.DAY * days, windows)
    seen, expected = (x / n)[-rates.DAY * days :, 0], normal.share * normal.factors(ts, rates.STEP_S)
    shown = Panel(
        "share of bad events, and what was expected", 0.0, seen.max(), ("0 %", f"{seen.max():.1%}"), seen, [(expected, BLUE)]
    )  # fmt: skip
    return svg(
        [shown, _evidence("what the evidence is worth, and the threshold", np.array(walk.nats), rates.THRESHOLD)],
        [begun],
    )


def gauge_() -> str:
    """A day of a queue's depth, with a burst that passes and a change that stays."""
    start, windows, begun = datetime(2026, 3, 2, tzinfo=UTC), 288, 190
    rng = np.random.default_rng(7)
    depth = rng.gamma(3.0, 1.0, windows)
    depth[120:122] += 14
    depth[begun:] += 9
    ts = [start + timedelta(minutes=5 * i) for i in range(windows)]
    rows = pl.DataFrame({"ts": ts, "cluster": "eu-west", "model_id": "chat", "queue_mean": depth})
    monitor = Monitor(
        "chat/gauge/queue", "chat", "gauge", "queue", "queue", "change", 300, "inform", 0.0, 0.0, None, ""
    )
    judged = Window(start + timedelta(minutes=5 * gauge.HISTORY), ts[-1] + timedelta(minutes=5))
    evidence = Evidence((monitor,), judged, rows.clear(), {}, {}, frames={"queue_5m": rows})
    found = gauge.detect(evidence).findings[0]
    onset = int((found.onset - start).total_seconds() // 300) if found.onset else 0
    usual = np.array(
        [
            np.median(depth[max(0, min(i, onset) - gauge.HISTORY) : min(i, onset)]) if i else depth[0]
            for i in range(windows)
        ]
    )
    panel = Panel(
        "requests waiting, their median of six hours, and where the change was told to have begun", 0.0, depth.max(),
        ("0", f"{depth.max():.0f}"), depth, [(usual, BLUE)],
    )  # fmt: skip
    return svg([panel], [onset])


def past() -> str:
    """Two weeks of a metric with a season and memory that `observe backtest` judged: it becomes a tenth larger."""
    days, begun = 14, 24 * 8
    rng, hours = np.random.default_rng(7), 24 * (HISTORY_D + days)
    wander = np.zeros(hours)
    for t in range(1, hours):
        wander[t] = 0.6 * wander[t - 1] + 4 * rng.standard_normal()
    x = 200 + 20 * np.cos(2 * np.pi * np.arange(hours) / 24) + wander
    x[24 * HISTORY_D + begun :] *= 1.1
    start = datetime(2026, 1, 5, tzinfo=UTC)
    table = tabulate(pl.DataFrame({"ts": [start + timedelta(hours=i) for i in range(hours)], "x": x}), "ts")
    [alarm] = backtest(table, Options(fit_s=HISTORY_D * 86_400.0))[0].alarms
    at = [int((t - start) / timedelta(hours=1)) - 24 * HISTORY_D for t in (alarm.onset, alarm.at)]
    level = np.where(np.arange(24 * days) < at[0], alarm.levels.before or 0.0, alarm.levels.after or 0.0)
    seen = x[24 * HISTORY_D :]
    panel = Panel(
        "a metric by the hour; median of the week before and after; since when it moved, and when that was found",
        seen.min(), seen.max(), (f"{seen.min():.0f}", f"{seen.max():.0f}"), seen, [(level, BLUE)],
    )  # fmt: skip
    return svg([panel], at)


def _evidence(title: str, nats: Floats, need: float) -> Panel:
    return Panel(title, 0.0, 2 * need, ("0", ""), None, [(nats, RED)], (need, f"{need:.0f} nats"))


DRAWN = {
    "level": level, "rate": rate, "gauge": gauge_, "backtest": past, "silence": pictures_fleet.silent, "imbalance": pictures_fleet.uneven,
    "straggler": pictures_fleet.behind, "burn": pictures_service.burning, "canary": pictures_service.beside,
    "performance": pictures_service.labelled, "estimate": pictures_service.unlabelled,
}  # fmt: skip


if __name__ == "__main__":
    folder, *chosen = sys.argv[1:]
    for name in chosen or DRAWN:
        Path(folder, f"{name}.svg").write_text(DRAWN[name]())
