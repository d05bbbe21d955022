"""Model servers of one model as rows in a store, and what is told to scalers about it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from observe.app.loads import Loads
from observe.clock import EventClock
from observe.schema import Batch
from observe.spec import load
from observe.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\nprices: {h100-80gb: 3 USD/h}\n"
SPEC = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: chat, annotations: {coldStart: 2m}}
spec:
  identity: {model: {id: llama-3.3-70b}}
  runtime: {accelerator: {vendor: nvidia, type: h100-80gb, count: 4}}
  operations: {scaling: {minReplicas: 1, maxReplicas: 6%s}}
"""


def scraped(
    now: datetime, totals: dict[str, float], replicas: int, rate: float, queue: float, minutes: int
) -> list[dict[str, object]]:
    """Rows of model servers up to now; `totals` holds their counters from call to call."""
    rows: list[dict[str, object]] = []
    start = now - timedelta(minutes=minutes)
    for i in range(minutes * 4 + 1):
        for r in range(replicas):
            target = f"http://chat-{r}:8000/metrics"
            totals[target] = totals.get(target, 0.0) + 15 * rate / replicas
            rows.append({
                "ts": start + timedelta(seconds=15 * i), "target": target, "model_id": "chat", "engine": "", "pod": f"chat-{r}",
                "namespace": "prod", "cluster": "eu-west", "queue_depth": queue / replicas, "kv_util_ratio": 0.5,
                "requests_ok_total": totals[target], "requests_failed_total": 0.0,
                "tokens_in_total": 400 * totals[target], "tokens_out_total": 100 * totals[target],
            })  # fmt: skip
    return rows


class Served:
    """One model, its servers, and what is decided about it."""

    def __init__(self, folder: Path, scaling: str = ", targetRps: 5", spec: str = SPEC, site: str = SITE) -> None:
        (folder / "models").mkdir(exist_ok=True)
        (folder / "observe.yaml").write_text(site)
        (folder / "models/chat.yaml").write_text(spec % scaling)
        self.config = load(folder / "observe.yaml")
        self.clock = EventClock(NOON)
        self.store = Store.open(folder / "data", self.clock)
        self.loads = Loads(self.config, self.store, self.clock)
        self._batch, self._totals = 0, dict[str, float]()

    def send(self, table: str, rows: list[dict[str, object]]) -> None:
        self._batch += 1
        self.store.append(Batch("test", str(self._batch), {table: pl.DataFrame(rows)}))

    def serve(self, replicas: int, rate: float, *, queue: float = 0.0, minutes: int = 10) -> None:
        """Rows of so many minutes up to now: each replica is scraped four times a minute."""
        self.send("serving_sample", scraped(self.clock.now(), self._totals, replicas, rate, queue, minutes))

    def told(self) -> dict[str, object]:
        """Decide, and what is told then."""
        self.loads.tick()
        answer = self.loads.answer("chat")
        assert answer is not None
        return answer.body()
