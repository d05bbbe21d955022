"""Generated rules: false pages while the budget burns exactly as allowed, beside the plain rule that Sloth generates.

The arithmetic of the rules is done here in arrays, so that hundreds of months take minutes; that it is the
rules' is shown first: `--agree` feeds drawn minutes to promtool and asks, at drawn instants and around each
page, for every recording and every alert. Gate of METHODS section 10: upper bound <= .083 pages per 30 d.
Seeds are never used for tuning.

    python -m bench.rules --replicates 200 --seed 20261121 --agree 3
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from alerts import counting, promql, rules
from alerts.promise import Promise
from bench.slo_gate import upper
from observe.spec.burn import TIERS

DAY, DAYS, OBJECTIVE = 1_440, 30, 0.999
KEEPS = 15  # minutes a page stays after its condition ended
WARM = 400  # minutes before promtool is asked: the longest window is full
ASKED = 40  # drawn instants of a replicate


def promise(phi: float) -> Promise:
    """The SLO of METHODS section 6: one false page a 360-day year over both page tiers."""
    return Promise(
        slo_id="b.slo", service="b", name="slo", objective=OBJECTIVE, window_s=DAYS * 86_400.0,
        sli=counting.events("all_total", "bad_total"), tiers=TIERS[:2], alpha={"page": 1.0}, phi=phi,
    )  # fmt: skip


@dataclass(frozen=True)
class Minutes:
    """Drawn events by minute, and their prefix sums."""

    n: np.ndarray
    bad: np.ndarray

    def within(self, minutes: int) -> tuple[np.ndarray, np.ndarray]:
        """Events and bad events of the window before the end of each minute."""
        sums = []
        for x in (self.n, self.bad):
            total = np.concatenate([[0], np.cumsum(x)])
            ends = np.arange(1, x.size + 1)
            sums.append((total[ends] - total[np.maximum(ends - minutes, 0)]).astype(float))
        return sums[0], sums[1]


def nats(slo: Promise, drawn: Minutes, minutes: int) -> np.ndarray:
    """`slo:burn_evidence:nats`, written down apart from PromQL."""
    n, e = drawn.within(minutes)
    mu = np.maximum(n * slo.budget, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (e * np.log(e / mu) - e + mu) / slo.phi - 0.5 * np.log(np.maximum(e / slo.phi, 1.0) / (2 * np.pi))
    return np.where((e >= 1) & (e > n * slo.budget) & (n > 0), np.maximum(value, 0.0), 0.0)


def ratio(drawn: Minutes, minutes: int) -> np.ndarray:
    """`slo:sli_error:ratio_rate`; nothing is written as NaN."""
    n, e = drawn.within(minutes)
    return np.divide(e, n, out=np.full(e.size, np.nan), where=n > 0)


def holds(slo: Promise, drawn: Minutes, *, gate: bool) -> np.ndarray:
    """Minutes in which a page tier's condition holds."""
    found = np.zeros(drawn.n.size, dtype=bool)
    for tier in slo.usable:
        threshold = slo.factor(tier) * slo.budget
        burning = (ratio(drawn, tier.long_s // 60) > threshold) & (ratio(drawn, tier.short_s // 60) > threshold)
        found |= burning & (nats(slo, drawn, tier.long_s // 60) > slo.gate_nats(tier)) if gate else burning
    return found


def pages(firing: np.ndarray, keeps: int = 0) -> int:
    """How often it begins to fire; a pause no longer than `keeps` minutes is none."""
    at = np.flatnonzero(firing)
    return int((np.diff(at) > keeps + 1).sum() + 1) if at.size else 0


def draw(rate: float, swing: float, burst: int, seed: int, days: int = DAYS) -> Minutes:
    """Minutes at exactly the allowed rate."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(rate * (1 + swing * np.sin(2 * np.pi * np.arange(days * DAY) / DAY)))
    return Minutes(n, np.minimum(n, burst * rng.binomial(n, (1 - OBJECTIVE) / burst)))


def null(rate: float, swing: float, burst: int, seed: int) -> tuple[int, ...]:
    """Pages in 30 d: generated with phi 3, with phi 5, and the plain rule."""
    drawn = draw(rate, swing, burst, seed)
    gated = [pages(holds(promise(phi), drawn, gate=True), KEEPS) for phi in (3.0, 5.0)]
    return (*gated, pages(holds(promise(3.0), drawn, gate=False)))


def delay(rate: float, factor: float, seed: int) -> tuple[float, float]:
    """Minutes until the first page of a burn: generated with phi 3, and the plain rule."""
    rng = np.random.default_rng(seed)
    start, share = 4 * DAY, np.full(5 * DAY, (1 - OBJECTIVE) / 2)
    share[start:] = min(1.0, factor * (1 - OBJECTIVE))
    n = rng.poisson(rate, share.size)
    drawn, slo = Minutes(n, rng.binomial(n, share)), promise(3.0)
    first = [np.flatnonzero(holds(slo, drawn, gate=gate)[start:]) for gate in (True, False)]
    return tuple(float(x[0] + 1) if x.size else np.inf for x in first)  # type: ignore[return-value]


def agrees(seed: int, rate: float = 10.0, factor: float = 12.0) -> tuple[int, int]:
    """Questions to promtool about two days with a burn in them, and how many it answers otherwise."""
    rng = np.random.default_rng(seed)
    share = np.full(2 * DAY, 1 - OBJECTIVE)
    share[DAY : DAY + 240] = factor * (1 - OBJECTIVE)
    n = rng.poisson(rate, share.size)
    drawn, slo = Minutes(n, rng.binomial(n, share)), promise(3.0)
    firing = holds(slo, drawn, gate=True)
    edges = WARM + np.flatnonzero(np.diff(firing[WARM:].astype(int)))
    at = np.unique(np.concatenate([rng.integers(WARM, n.size, ASKED), edges, edges + 1]))
    asked = [question for minute in at for question in questions(slo, drawn, firing, int(minute))]
    return len(asked), wrong(slo, drawn, asked)


def questions(slo: Promise, drawn: Minutes, firing: np.ndarray, minute: int) -> list[dict[str, object]]:
    """What every recording should be at the end of a minute, and whether a condition holds."""
    made = []
    for tier in slo.usable:
        for seconds in (tier.long_s, tier.short_s):
            value = ratio(drawn, seconds // 60)[minute]
            if not np.isnan(value):
                made.append(near(promql.series(slo, promql.RATIO, seconds), value))
        made.append(near(promql.series(slo, promql.NATS, tier.long_s), nats(slo, drawn, tier.long_s // 60)[minute]))
    held = " or ".join(f"({promql.gate(slo, tier)})" for tier in slo.usable)
    made.append(f"vector(1) unless on () ({held})" if not firing[minute] else f"count({held}) > bool 0")
    return [{"expr": e, "eval_time": f"{minute + 1}m", "exp_samples": [{"labels": "{}", "value": 1}]} for e in made]


def near(series: str, value: float) -> str:
    """Whether a recording has a value."""
    return f"max(abs({series} - {value:.15g}) < bool 1e-7)"


def wrong(slo: Promise, drawn: Minutes, asked: list[dict[str, object]]) -> int:
    """How many questions promtool answers otherwise."""
    group = rules.group_of(slo)
    group["rules"] = [r for r in group["rules"] if "record" in r and not r["record"].endswith("30d")]
    series = [
        {"series": name, "values": " ".join(map(str, [0, *np.cumsum(x).tolist()]))}
        for name, x in (("all_total", drawn.n), ("bad_total", drawn.bad))
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
        suite = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
        (Path(folder) / "test.yml").write_text(yaml.safe_dump(suite, width=10_000))
        command = [shutil.which("promtool") or "promtool", "test", "rules", str(Path(folder) / "test.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    return said.count("got:") if "got:" in said else int(done.returncode != 0) * len(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--agree", type=int, default=3)
    given = parser.parse_args()
    for i in range(given.agree):
        asked, otherwise = agrees(given.seed + i)
        print(
            json.dumps({"agree_seed": given.seed + i, "asked_of_promtool": asked, "answered_otherwise": otherwise}),
            flush=True,
        )
    worst = 0.0
    with ProcessPoolExecutor(given.workers) as pool:
        for rate, swing, burst in (
            *((r, s, 1) for r in (1, 10, 100, 1000) for s in (0.0, 0.95)),
            (10, 0.0, 3),
            (100, 0.0, 3),
        ):
            jobs = [(rate, swing, burst, given.seed + i) for i in range(given.replicates)]
            three, five, plain = np.sum(list(pool.map(null, *zip(*jobs, strict=True), chunksize=8)), axis=0).tolist()
            bound = upper(three, given.replicates)
            worst = max(worst, bound if burst == 1 else 0.0)
            print(json.dumps({"rate": rate, "swing": swing, "bursts_of": burst, "pages_per_30d": three / given.replicates, "upper": round(bound, 4),
                              "phi_5_per_30d": five / given.replicates, "plain_per_30d": plain / given.replicates}), flush=True)  # fmt: skip
        for rate in (10, 100):
            for factor in (10, 20, 1000):
                jobs = [(rate, factor, given.seed + i) for i in range(max(10, given.replicates // 10))]
                gated, bare = np.median(np.array(list(pool.map(delay, *zip(*jobs, strict=True)))), axis=0).tolist()
                print(
                    json.dumps({"rate": rate, "burn": factor, "delay_min": gated, "plain_delay_min": bare}), flush=True
                )
    print(
        json.dumps(
            {
                "bench": "rules",
                "replicates": given.replicates,
                "worst_upper": round(worst, 4),
                "gate": 1 / 12,
                "met": worst <= 1 / 12,
            }
        )
    )


if __name__ == "__main__":
    main()
