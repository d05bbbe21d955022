"""What a data directory has seen of models, features and sources, for proposals.

Source: our own; views `request`, `attempt`, `prediction`, `collector_run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

Ask = Callable[[str], "pl.DataFrame"]
SINCE: Final = "7 DAY"  # of the newest row: what a model is like now
_RECENT: Final = "{view} WHERE ts > (SELECT max(ts) FROM {view}) - INTERVAL " + SINCE
_MOST_MODELS: Final = 100  # of either kind, those with most rows
_SAMPLES: Final = ("gpu_sample", "serving_sample", "metric_sample")
_SAMPLE: Final = 500  # rows of a model that show which features it has
_ENOUGH: Final = 1_000  # requests from which a 99th percentile says something


@dataclass(frozen=True, slots=True)
class Latency:
    """One latency of a model as seen: how many requests had it, and its 95th and 99th percentile, s."""

    n: int
    p95_s: float
    p99_s: float

    @property
    def trusted(self) -> tuple[str, float]:
        """The highest objective that so many requests can support, and the latency at it, s."""
        return ("99%", self.p99_s) if self.n >= _ENOUGH else ("95%", self.p95_s)


@dataclass(frozen=True, slots=True)
class Served:
    """A model as gateways saw it; cancelled requests are not counted."""

    name: str
    n: int
    ok: int
    ttft: Latency
    duration: Latency
    also: tuple[str, ...] = ()  # other names that mean only this model


@dataclass(frozen=True, slots=True)
class Predicted:
    """A model as its predictions show it."""

    name: str
    n: int
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """All that proposals are made of."""

    served: tuple[Served, ...] = ()
    predicted: tuple[Predicted, ...] = ()
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # addresses that gave samples, by collector
    senders: tuple[str, ...] = ()  # sources that sent by themselves


def seen(ask: Ask) -> Seen:
    """Look at the last days of a store."""
    predicted = tuple(_predicted(ask))
    return Seen(tuple(_served(ask)), predicted, _targets(ask), _senders(ask))


@contextmanager
def asking(directory: Path) -> Iterator[Ask]:
    """How to ask a data directory: the store itself, or the service that owns it.

    Raises:
        UsageError: it is not a data directory, or there is no token for its service.
        SourceError: its service does not answer.
    """
    from observe.cli.directory import opened
    from observe.cli.service import owner
    from observe.cli.sql import through
    from observe.errors import StoreLocked

    with ExitStack() as held:
        try:
            ask: Ask = held.enter_context(opened(directory)).read
        except StoreLocked:
            service = owner(directory)
            ask = lambda query: through(query, service, True)[0]  # noqa: E731
        yield ask


def _served(ask: Ask) -> Iterator[Served]:
    columns = ", ".join(
        f"count({c}) AS {c}_n, quantile_cont({c}, 0.95) AS {c}_p95, quantile_cont({c}, 0.99) AS {c}_p99"
        for c in ("ttft_s", "duration_s")
    )
    recent = _RECENT.format(view="request")
    rows = ask(
        f"SELECT model_id, count(*) AS n, count(*) FILTER (status = 'ok') AS ok, {columns} FROM {recent}"
        f" AND model_id IS NOT NULL AND status <> 'cancelled' GROUP BY model_id ORDER BY n DESC, model_id LIMIT {_MOST_MODELS}"
    )
    names = _names(ask)
    for row in rows.iter_rows(named=True):
        model, ttft, duration = row["model_id"], _latency(row, "ttft_s"), _latency(row, "duration_s")
        yield Served(model, row["n"], row["ok"], ttft, duration, names.get(model, ()))


def _latency(row: Mapping[str, float], column: str) -> Latency:
    return Latency(int(row[f"{column}_n"]), row[f"{column}_p95"] or 0.0, row[f"{column}_p99"] or 0.0)


def _names(ask: Ask) -> dict[str, tuple[str, ...]]:
    """Other names in the attempts of a model, those left out that mean two of them or a model of its own."""
    pairs = ask(
        "SELECT DISTINCT model_id, unnest([model_requested, model_served]) AS name"
        f" FROM {_RECENT.format(view='attempt')} AND model_id IS NOT NULL ORDER BY ALL"
    )
    owners: dict[str, set[str]] = {}
    for model, name in pairs.iter_rows():
        owners.setdefault(model, set()).add(model)
        if name:
            owners.setdefault(name, set()).add(model)
    found: dict[str, tuple[str, ...]] = {}
    for name, models in owners.items():
        if len(models) == 1 and name not in models:
            (model,) = models
            found[model] = (*found.get(model, ()), name)
    return found


def _predicted(ask: Ask) -> Iterator[Predicted]:
    from observe.schema import TABLES

    known = {column.name for column in TABLES["prediction"].columns} | {"extra"}
    decided = list(ask("SELECT model, feature, column_name FROM core.feature_column").iter_rows())
    rows = ask(
        f"SELECT model_id, count(*) AS n FROM prediction GROUP BY model_id ORDER BY n DESC, model_id LIMIT {_MOST_MODELS}"
    )
    for model, n in rows.iter_rows():
        table = '"' + model.replace('"', '""') + '"'
        sample = ask(f"SELECT * FROM predictions.{table} ORDER BY ts DESC LIMIT {_SAMPLE}")
        arrived = [c for c in sample.columns if c not in known and sample[c].null_count() < sample.height]
        features = {c: feature for of, feature, c in decided if of == model}
        yield Predicted(model, n, tuple(sorted({features[c] for c in arrived if c in features})))


def _targets(ask: Ask) -> dict[str, tuple[str, ...]]:
    """Addresses that gave samples, by collector; others that are read, such as spend logs, give requests."""
    sampled = " UNION ".join(f"SELECT source FROM {table}" for table in _SAMPLES)
    rows = ask(
        f"SELECT collector, target FROM collector_run WHERE ok AND target LIKE 'http%' AND collector IN ({sampled})"
        " GROUP BY ALL HAVING sum(stored) > 0 ORDER BY ALL"
    )
    found: dict[str, tuple[str, ...]] = {}
    for collector, target in rows.iter_rows():
        found[collector] = (*found.get(collector, ()), target)
    return found


def _senders(ask: Ask) -> tuple[str, ...]:
    rows = ask("SELECT DISTINCT source FROM attempt UNION SELECT DISTINCT source FROM prediction ORDER BY 1")
    return tuple(rows["source"].to_list())
