"""What the generated rules cost a Prometheus, beside the plain rules that Sloth generates for the same SLOs.

Both rule files are evaluated by one real Prometheus over the same backfilled counters; the figure is its own
`prometheus_rule_group_last_duration_seconds`, summed over the groups of a file, the median of some evaluations.

    python -m bench.rule_cost --slos 20 --pods 5 --days 3
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import yaml
from running import free_port, until

from alerts import counting, rules
from alerts.promise import Promise
from observe.spec.burn import TIERS

PERIOD_S = 30 * 86_400.0
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
OBJECTIVE, STEP_S = 0.999, 60


def ours(i: int) -> dict[str, object]:
    """One SLO as `observe rules` writes it."""
    made = Promise(
        slo_id=f"s{i}.slo", service=f"s{i}", name="slo", objective=OBJECTIVE, window_s=PERIOD_S,
        sli=counting.events(f'all_total{{slo="{i}"}}', f'bad_total{{slo="{i}"}}'), tiers=TIERS, alpha={"page": 1.0, "ticket": 26.0}, phi=3.0,
    )  # fmt: skip
    return dict(rules.group_of(made))


def plain(i: int) -> dict[str, object]:
    """The same SLO with two windows and no gate: ratios by window, a mean of ratios over 30 d, two alerts."""
    bad, total = f'sum(rate(bad_total{{slo="{i}"}}[%s]))', f'sum(rate(all_total{{slo="{i}"}}[%s]))'
    labels = {"plain_id": f"s{i}"}
    made: list[dict[str, object]] = [
        {"record": f"plain:sli_error:ratio_rate{w}", "expr": f"({bad % w}) / ({total % w})", "labels": labels}
        for w in WINDOWS
    ]
    own = f'plain:sli_error:ratio_rate5m{{plain_id="s{i}"}}'
    made += [
        {"record": "plain:sli_error:ratio_rate30d", "expr": f"sum_over_time({own}[30d]) / count_over_time({own}[30d])", "labels": labels},
        *({"record": f"plain:{name}", "expr": f"vector({value})", "labels": labels} for name, value in (("objective", OBJECTIVE), ("budget", 1 - OBJECTIVE))),
    ]  # fmt: skip
    for severity in ("page", "ticket"):
        tiers = [t for t in TIERS if t.severity == severity]
        asked = " or ".join(_both(i, t.long_s, t.short_s, t.factor(PERIOD_S)) for t in tiers)
        made.append({"alert": f"Plain{severity}", "expr": asked, "labels": {**labels, "severity": severity}})
    return {"name": f"plain:s{i}", "interval": "1m", "rules": made}


def _both(i: int, long_s: int, short_s: int, factor: float) -> str:
    names = dict(zip((300, 1800, 3600, 7200, 21600, 86400, 259200), WINDOWS, strict=True))
    one, two = (
        f'plain:sli_error:ratio_rate{names[s]}{{plain_id="s{i}"}} > {factor * (1 - OBJECTIVE):.6g}'
        for s in (long_s, short_s)
    )
    return f"({one} and {two})"


def backfill(folder: Path, slos: int, pods: int, days: float, seed: int) -> None:
    """Counters of the last days as blocks of a TSDB."""
    rng, now = np.random.default_rng(seed), int(time.time())
    at = np.arange(
        now - int(days * 86_400), now + 900, STEP_S
    )  # a little ahead, so that nothing goes stale while it is asked
    with (folder / "past.om").open("w") as out:
        for name, mean in (("all", 600.0), ("bad", 0.3)):
            out.write(f"# TYPE {name} counter\n")
            for i in range(slos):
                for pod in range(pods):
                    values = np.cumsum(rng.poisson(mean / pods, at.size)).tolist()
                    out.writelines(
                        f'{name}_total{{slo="{i}",pod="p{pod}"}} {v} {t}\n'
                        for v, t in zip(values, at.tolist(), strict=True)
                    )
        out.write("# EOF\n")
    command = [
        shutil.which("promtool") or "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(folder / "past.om"),
        str(folder / "tsdb"),
    ]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def prometheus(folder: Path, every: str) -> Iterator[str]:
    """A Prometheus that evaluates both files and scrapes nothing."""
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump({"global": {"evaluation_interval": every}, "rule_files": [str(folder / "*.rules.yml")]})
    )
    port = free_port()
    argv = [
        shutil.which("prometheus") or "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", "--storage.tsdb.retention.time=60d",
    ]  # fmt: skip
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(60)


def durations(url: str) -> dict[str, float]:
    """Seconds that the last evaluation of each file took."""
    found: dict[str, float] = {}
    for line in httpx.get(f"{url}/metrics", trust_env=False).text.splitlines():
        if line.startswith("prometheus_rule_group_last_duration_seconds{"):
            name = "plain" if "plain.rules.yml" in line else "ours"
            found[name] = found.get(name, 0.0) + float(line.rpartition(" ")[2])
    return found


def main() -> None:
    """One Prometheus, both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slos", type=int, default=20)
    parser.add_argument("--pods", type=int, default=5)
    parser.add_argument("--days", type=float, default=3.2)
    parser.add_argument("--evaluations", type=int, default=9)
    parser.add_argument("--every", default="6s")
    parser.add_argument("--seed", type=int, default=20_261_121)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as named:
        folder, counted = Path(named), {}
        for name, make in (("ours", ours), ("plain", plain)):
            groups = [{**make(i), "interval": given.every} for i in range(given.slos)]
            counted[name] = sum(len(g["rules"]) for g in groups)
            (folder / f"{name}.rules.yml").write_text(yaml.safe_dump({"groups": groups}))
        backfill(folder, given.slos, given.pods, given.days, given.seed)
        with prometheus(folder, given.every) as url:
            until(lambda: _answers(url), 60)
            until(lambda: len(durations(url)) == 2 and min(durations(url).values()) > 0, 60)
            seen = []
            for _ in range(given.evaluations):
                time.sleep(float(given.every.rstrip("s")))
                seen.append(durations(url))
            failed = httpx.get(f"{url}/metrics", trust_env=False).text
    took = {name: statistics.median(s[name] for s in seen) for name in ("ours", "plain")}
    failures = sum(
        float(x.rpartition(" ")[2])
        for x in failed.splitlines()
        if x.startswith("prometheus_rule_evaluation_failures_total{")
    )
    print(json.dumps({
        "bench": "rule_cost", "slos": given.slos, "series": 2 * given.slos * given.pods, "days": given.days, "rules": counted,
        "evaluation_s": {k: round(v, 4) for k, v in took.items()}, "ms_a_slo": {k: round(1000 * v / given.slos, 2) for k, v in took.items()},
        "ratio": round(took["ours"] / took["plain"], 2), "failed_rules": failures, "evaluations": len(seen), "seed": given.seed,
    }))  # fmt: skip


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
